"""The answer that a report opens with, and its abstract: sentences made from the results."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from scattermec.experiments.claims.evidence import curve, show
from scattermec.experiments.claims.learning import STATEMENTS, LearningCurves
from scattermec.experiments.claims.optima import CLAIMS, Finding
from scattermec.experiments.measure.sweeps import SWEEPS
from scattermec.experiments.report.captions import frames_text, sentence
from scattermec.experiments.report.contents import Contents
from scattermec.experiments.report.markdown import by_claim, kind_label, learned_and_exact
from scattermec.experiments.report.panels import BEAM_STYLES, learner_style
from scattermec.experiments.studies.named import Verdicts

AUTHORS = "Zhou, Long, Zhang, Xu and Gong (IEEE WCNC 2022)"


SCENARIOS = {
    "paper": "in the scenario found for it",
    "default": "with our default constants",
}
"""The scenarios that come with the package, for readers."""


def answer(contents: Contents) -> str:
    """How many claims hold in each scenario, each with the beams and the preset with which most hold."""
    own: Verdicts = {}
    for label, group in _by_kind(contents.findings).items():
        own[label] = {finding.name: finding.verdict for finding in group}
    holds, of = held(own)
    if not of:
        return "No claim is examined here."
    here = SCENARIOS.get(contents.scenario.known_as or "", "in the scenario reproduced here")
    whole = len(CLAIMS) + len(STATEMENTS)
    among = f"the paper's {whole} claims" if of == whole else f"the {of} claims examined"
    parts = [f"{sentence(here)}, {holds} of {among} hold"]
    for name, verdicts in contents.named.items():
        there, judged = held(verdicts)
        parts.append(f"{SCENARIOS[name]}, {there}{'' if judged == of else f' of {judged}'}")
    return f"{'; '.join(parts)}."


def held(verdicts: Verdicts) -> tuple[int, int]:
    """Number of claims that hold, and that were examined.

    Claims about optima count with one kind of beams, those about learning with one preset: the best.
    """
    best: dict[bool, tuple[int, int]] = {}
    for own in verdicts.values():
        examined = [verdict for verdict in own.values() if verdict != "not examined"]
        learned = any(name in STATEMENTS for name in own)
        best[learned] = max(best.get(learned, (0, 0)), (examined.count("holds"), len(examined)))
    return sum(holds for holds, _ in best.values()), sum(of for _, of in best.values())


def sentences(contents: Contents) -> tuple[str, str, str, str, str]:
    """The methods; the verdicts on optima; those on learning; the value of beams; the certainty.

    Anything missing from the folder is said to be missing.
    """
    learned, exact = learned_and_exact(contents.findings)
    return (
        _what(contents),
        _optima(exact),
        _learning(learned, contents.curves),
        _beams(contents),
        _sure(contents),
    )


def _what(contents: Contents) -> str:
    claims = len(by_claim(contents.findings))
    trained = ""
    if contents.curves:
        run = contents.curves[0]
        seeds = run.values["reward"].shape[0]
        trained = f" and Fig. 2 on training runs of {seeds} seeds and {run.frames[-1]:,} frames each"
    return (
        f"Each of the {claims} claims examined here, which {AUTHORS} read off their figures, was put to a "
        "test whose thresholds are fixed in the code: Fig. 3 and 4 on exactly optimised allocations "
        f"({frames_text(contents.measurements)}){trained}."
    )


def _optima(findings: Sequence[Finding]) -> str:
    told = [
        f"with {label}, of {len(group)} claims {counts(group)}"
        for label, group in _by_kind(findings).items()
        if any(finding.verdict != "not examined" for finding in group)
    ]
    return f"About Fig. 3 and 4: {'; '.join(told)}." if told else "Fig. 3 and 4 are not part of this run."


def _learning(findings: Sequence[Finding], curves: Sequence[LearningCurves]) -> str:
    if not findings:
        return "Fig. 2 is not part of this run."
    told = []
    for label, group in _by_kind(findings).items():
        preset = group[0].preset
        finals = [
            f"{show(run.final('reward'), 'kbit/J')} for {_lower(learner_style(run.learner).label)}"
            for run in curves
            if run.preset == preset
        ]
        told.append(
            f"in {label}, of {len(group)} claims {counts(group)}, the final reward being {_and(finals)}"
        )
    return f"About Fig. 2: {'; '.join(told)}."


def _beams(contents: Contents) -> str:
    sweep = SWEEPS["distance"]
    values: dict[str, tuple[str, float]] = {}
    for kind, look in BEAM_STYLES.items():
        rows = [row for row in contents.measurements if row.beams == kind]
        line = curve(rows, sweep.name, "hybrid", "energy_efficiency")
        if line.values.size:
            nearest = float(line.values[np.argmin(np.abs(np.log(line.values)))])
            (row,) = (
                r
                for r in rows
                if (r.swept, r.value, r.scheme, r.metric)
                == (sweep.name, nearest, "hybrid", "energy_efficiency")
            )
            shown = f"{row.mean:.3g} ({row.low:.3g} to {row.high:.3g}) kbit/J with {_lower(look.label)}"
            values[kind] = shown, nearest
    if not values:
        return "What beams are worth is not part of this run."
    (nearest,) = {value for _, value in values.values()}
    where = "the scenario's own distances" if nearest == 1 else f"{nearest:g} times the scenario's distances"
    return f"At {where} the energy efficiency is {_and([shown for shown, _ in values.values()])}."


def _sure(contents: Contents) -> str:
    gaps = [row.mean for row in contents.measurements if row.metric == "gap" and np.isfinite(row.mean)]
    again = "each figure and table names the command that computes it again"
    if not gaps:
        return f"No energies of Fig. 3 and 4 are in this run to be certified; {again}."
    largest = np.format_float_positional(float(f"{100 * max(0.0, *gaps):.1g}"), trim="-")
    return (
        f"Summed over the frames of a point, the energies of Fig. 3 and 4 exceed certified lower bounds by "
        f"{largest}% at most, and {again}."
    )


def counts(findings: Sequence[Finding]) -> str:
    """How many claims hold, hold in part, do not hold, and were not examined; in words."""
    number = Counter(finding.verdict for finding in findings)
    words = [f"{number['holds']} hold{'s' if number['holds'] == 1 else ''}"]
    if number["holds in part"]:
        words.append(f"{number['holds in part']} hold{'s' if number['holds in part'] == 1 else ''} in part")
    if number["does not hold"]:
        words.append(f"{number['does not hold']} do{'es' if number['does not hold'] == 1 else ''} not hold")
    if number["not examined"]:
        words.append(
            f"{number['not examined']} {'is' if number['not examined'] == 1 else 'are'} not examined"
        )
    return _and(words)


def _by_kind(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(kind_label(finding), []).append(finding)
    return groups


def _lower(label: str) -> str:
    """A label within a sentence; abbreviations keep their capitals."""
    return label if label[:2].isupper() else label[:1].lower() + label[1:]


def _and(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
