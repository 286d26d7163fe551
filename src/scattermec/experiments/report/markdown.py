"""Texts of a reproduction: the verdicts as Markdown and JSON, and the index of its folder."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scattermec.errors import one_line
from scattermec.experiments.claims.learning import LearningCurves
from scattermec.experiments.claims.optima import Condition, Finding
from scattermec.experiments.measure.sweeps import ALL_METRICS, Measurement
from scattermec.experiments.measure.table import markdown as table_markdown
from scattermec.experiments.measure.table import markdown_rows
from scattermec.experiments.report import learning_figures
from scattermec.experiments.report.captions import (
    LEARNING_FIGURES,
    TITLES,
    frames_text,
    policy_label,
    reading,
    runs_text,
    sentence,
)
from scattermec.experiments.report.contents import Contents
from scattermec.experiments.report.figures import Picture
from scattermec.experiments.studies import frame
from scattermec.experiments.studies.figure_2 import LABELS
from scattermec.experiments.studies.frame import PlayedFrame
from scattermec.experiments.studies.record import Record
from scattermec.experiments.studies.results import DATA, MANIFEST, PARQUET
from scattermec.pictures.style import FORMATS
from scattermec.storage import replace_text

PAPER = (
    "Zhou, Long, Zhang, Xu, Gong: Hierarchical multi-agent deep reinforcement learning for backscatter-aided "
    "data offloading, IEEE WCNC 2022"
)
MARKS = {"met": "yes", "unclear": "partly", "not met": "no"}


def write(contents: Contents) -> tuple[Path, ...]:
    """Write claims.md, claims.json, scenario.yaml and index.md; returns the paths."""
    findings, settings = contents.findings, contents.settings
    texts = {
        "claims.md": claims_markdown(findings, settings, contents.measurements),
        "claims.json": claims_json(findings, settings),
        "scenario.yaml": contents.scenario.to_yaml(),
        "index.md": index_markdown(contents),
    }
    for name, text in texts.items():
        replace_text(contents.folder / name, text)
    return tuple(contents.folder / name for name in texts)


def claims_json(findings: Sequence[Finding], settings: Mapping[str, Any]) -> str:
    """All findings as JSON."""
    kept = {name: settings[name] for name in ("version", "regime", "frames", "seed", "beams")}
    claims = [finding.to_json() for finding in findings]
    return json.dumps({**kept, "claims": claims}, indent=2, ensure_ascii=False) + "\n"


def claims_markdown(
    findings: Sequence[Finding], settings: Mapping[str, Any], measurements: Sequence[Measurement]
) -> str:
    """All findings as Markdown: a table of verdicts, then the conditions behind each."""
    parts = [
        "# The paper's claims and what was measured",
        f"Exact optima, judged apart for each kind of beams: {_kinds(settings)}. "
        f"{sentence(frames_text(measurements))}. Seed {settings['seed']}. "
        f"Regime: {plain(settings['regime'])}.",
        "The conditions and their thresholds are fixed in the code. A condition is met (yes) if its 95% "
        "interval wholly meets it, partly if only the estimate or the change from end to end does. All met: "
        "the claim holds; none of the essential ones: it does not hold; else it holds in part.",
        verdict_table(findings),
    ]
    parts += [_section(group) for group in by_claim(findings) if any(f.conditions for f in group)]
    return "\n\n".join(parts) + "\n"


def learned_and_exact(findings: Sequence[Finding]) -> tuple[list[Finding], list[Finding]]:
    """The findings about learning (Fig. 2), by preset, and those about optima, by kind of beams."""
    return [one for one in findings if one.preset], [one for one in findings if not one.preset]


def kind_label(finding: Finding) -> str:
    """Subject of a finding in words: a kind of beams, or a preset."""
    return label_of(finding.preset or finding.beams)


def label_of(kind: str) -> str:
    """A kind of beams, or a preset, in words."""
    return LABELS[kind] if kind in LABELS else policy_label(kind)


def decisive(finding: Finding) -> Condition | None:
    """The condition that decides a verdict: the first that is not met, or else the first."""
    missing = [condition for condition in finding.conditions if condition.judgement != "met"]
    return next(iter(missing or finding.conditions), None)


def by_claim(findings: Sequence[Finding]) -> list[list[Finding]]:
    """The findings grouped by claim, each for all kinds of beams or presets."""
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.name, []).append(finding)
    return list(groups.values())


def verdict_table(findings: Sequence[Finding]) -> str:
    """One row per claim, one column per kind of beams (or, for Fig. 2, per preset: a table of its own)."""
    learned, exact = learned_and_exact(findings)
    if learned and exact:
        return verdict_table(learned) + "\n\n" + verdict_table(exact)
    groups = by_claim(findings)
    kinds = [kind_label(finding) for finding in groups[0]] if groups else []
    rows = [
        (group[0].name, group[0].statement, *(f"**{finding.verdict}**" for finding in group))
        for group in groups
    ]
    lines = [markdown_rows(("claim", "the paper", *kinds), rows)]
    reasons: dict[str, list[str]] = {}
    for group in groups:
        if all(finding.verdict == "not examined" for finding in group):
            reasons.setdefault(group[0].why, []).append(group[0].name)
    lines += [f"\nNot examined, {', '.join(names)}: {why}" for why, names in reasons.items()]
    return "\n".join(lines)


def _section(group: Sequence[Finding]) -> str:
    """A claim's conditions, for each kind of beams."""
    lines = [f"## {group[0].name}: {group[0].statement}", ""]
    for finding in group:
        if not finding.conditions:
            continue
        lines += [
            f"**{sentence(kind_label(finding))}: {finding.verdict}.** {finding.why}",
            "",
            markdown_rows(("condition", "met", "measured"), map(_condition, finding.conditions)),
            "",
        ]
    mechanism = next(finding.mechanism for finding in group)
    return "\n".join([*lines, f"What decides it: {mechanism}"])


def _kinds(settings: Mapping[str, Any]) -> str:
    return ", ".join(policy_label(kind) for kind in settings["beams"])


def _condition(condition: Condition) -> tuple[str, str, str]:
    beside = "" if condition.essential else " (not essential)"
    return condition.statement + beside, MARKS[condition.judgement], condition.measured


def index_markdown(contents: Contents) -> str:
    """The contents of `index.html` as Markdown."""
    settings, curves, record = contents.settings, contents.curves, contents.record
    metrics = [(f"`{name}`", metric.unit, metric.meaning) for name, metric in ALL_METRICS.items()]
    parts = [
        f"# Reproduction of Fig. {'2, ' if curves else ''}3 and 4",
        f"{PAPER}. Fig. 3 and 4 are drawn from exactly optimised allocations for each kind of beams: "
        f"{_kinds(settings)}. Optimal beams are optimised with the allocation; a lower bound on the energy "
        "of every frame certifies both (`gap` in the data).",
        f"Regime: {plain(settings['regime'])}. {sentence(frames_text(contents.measurements))}. "
        f"Seed {settings['seed']}; every point, scheme and kind of beams meets the same fading and "
        "batteries.",
        "## Claims\n\n" + verdict_table(contents.findings),
        "The conditions and numbers behind each verdict: [claims.md](claims.md), for machines "
        "[claims.json](claims.json).",
        "## Figures",
        *(_learning_figure(name, curves) for name in LEARNING_FIGURES if curves),
        *(_figure(picture) for picture in contents.pictures),
        *(_frame(frame) for frame in contents.frames),
        *(["## Tables"] if contents.tables else []),
        *(table_markdown(table) for table in contents.tables),
        f"## Data\n\n[{DATA}]({DATA}) (as Parquet: [{PARQUET}]({PARQUET})): one row for each number, with "
        "its 95% bootstrap interval over frames.",
        markdown_rows(("metric", "unit", "meaning"), metrics),
        "## How to get this again",
        code_block("\n".join(map(one_line, record.commands))),
        f"Drawn again from the data, without computing: `{redraw_command(contents)}`.",
        _timings(record),
        f"Scenario: [scenario.yaml](scenario.yaml). All settings: [{MANIFEST}]({MANIFEST}). Versions: "
        f"{plain(versions_text(contents))}.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def redraw_command(contents: Contents) -> str:
    """The command that redraws the folder."""
    return shlex.join(["scattermec", "report", str(contents.folder)])


def versions_text(contents: Contents) -> str:
    """Versions of everything that computed the results."""
    versions = contents.record.versions or {"scattermec": contents.settings["version"]}
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def plain(text: str) -> str:
    """Markdown that shows a text from a file literally, on one line."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|&~$])", r"\\\1", one_line(text))


def code_block(text: str) -> str:
    """Markdown that shows a text as code, even if it contains backquotes."""
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", text))])
    return f"{fence}\n{text}\n{fence}"


def duration(seconds: float) -> str:
    """A time in words: seconds, or minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _timings(record: Record) -> str:
    if not record.seconds:
        return ""
    rows = [(plain(name), duration(seconds)) for name, seconds in record.seconds.items()]
    rows.append(("all", duration(sum(record.seconds.values()))))
    return markdown_rows(("part", f"computing time ({plain(record.machine)})"), rows)


def _figure(picture: Picture) -> str:
    files = " ".join(f"[{kind}]({picture.stem}.{kind})" for kind in FORMATS)
    name = picture.name
    title = TITLES[name][:1].lower() + TITLES[name][1:]
    text = " ".join(reading(name))
    return f"### {picture.label}: {title}\n\n![{picture.label}]({picture.stem}.png)\n\n{text} Files: {files}"


def _frame(played: PlayedFrame) -> str:
    stem, title = frame.stem(played.policy), frame.TITLES[played.policy]
    files = " ".join(f"[{kind}]({stem}.{kind})" for kind in FORMATS)
    return (
        f"### One frame: {title}\n\n![One frame]({stem}.png)\n\nData: [{stem}.npz]({stem}.npz) Files: {files}"
    )


def _learning_figure(name: str, curves: Sequence[LearningCurves]) -> str:
    stem = learning_figures.stem(name)
    files = " ".join(f"[{kind}]({stem}.{kind})" for kind in FORMATS)
    return (
        f"### Fig. {name}: {TITLES[name].lower()}\n\n![Fig. {name}]({stem}.png)\n\n"
        f"{' '.join(reading(name))} {runs_text(curves)}; the runs, with settings and metrics, are in "
        f"[runs](runs). Files: {files}"
    )
