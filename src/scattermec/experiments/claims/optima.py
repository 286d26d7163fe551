"""The claims of the paper's Section IV: for each, conditions with fixed thresholds, and the verdict."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from scattermec.experiments.claims import evidence
from scattermec.experiments.claims.evidence import Condition, Curve, Estimate, curve
from scattermec.experiments.measure.beams import Beams
from scattermec.experiments.measure.sweeps import SWEEPS, Measurement, Swept, measure_point, sweep_of
from scattermec.scenario import Scenario

Verdict = Literal["holds", "holds in part", "does not hold", "not examined"]

MARKS: dict[str, str] = {"holds": "✓", "holds in part": "◐", "does not hold": "✗", "not examined": "–"}
"""Signs for the verdicts, beside colours or alone."""

FEW = 0.10
"""A share below this is "suppressed"; "nearly all" means above one minus this."""
SOME = 0.05
"""A mode with less than this share does not count as used."""
LARGE = 1 / 3
"""A "large part": more than an even split among the three modes."""
CLOSE = 0.10
"""Efficiencies that differ by less than this, relatively, have "become close"."""

Measurements = Sequence[Measurement]


@dataclass(frozen=True)
class Curves:
    """What a figure shows: metrics along its sweep, of the hybrid scheme unless another is named."""

    measurements: Measurements
    swept: Swept

    def of(self, metric: str, scheme: str = "hybrid") -> Curve:
        """The curve of a metric."""
        return curve(self.measurements, self.swept, scheme, metric)

    def efficiency(self, scheme: str) -> Curve:
        """What the paper calls energy efficiency, the second term of (11): of each frame, then the mean."""
        return self.of("frame_efficiency", scheme)

    @property
    def active(self) -> Curve:
        """The active share."""
        return self.of("active_share")

    @property
    def passive(self) -> Curve:
        """The passive share."""
        return self.of("passive_share")

    @property
    def local(self) -> Curve:
        """The local share."""
        return self.of("local_share")


@dataclass(frozen=True)
class Claim:
    """A statement that the paper makes about a figure, and its test."""

    name: str
    """figure and number, such as 3a-1"""
    statement: str
    test: Callable[[Curves], list[Condition]]
    """judges its conditions on the curves of the figure"""
    mechanism: str
    """the part of the equations that decides it"""

    @property
    def figure(self) -> str:
        """The figure that it is about."""
        return self.name.partition("-")[0]

    @property
    def swept(self) -> Swept:
        """The constant that the figure varies."""
        return sweep_of(self.figure).name

    def conditions(self, measurements: Measurements) -> list[Condition]:
        """Its conditions, judged on measurements of all figures."""
        return self.test(Curves(measurements, self.swept))


@dataclass(frozen=True)
class Finding:
    """A claim's verdict for one kind of beams (or, about learning, one preset), with its evidence."""

    name: str
    figure: str
    statement: str
    verdict: Verdict
    why: str
    mechanism: str
    conditions: tuple[Condition, ...] = ()
    beams: str = ""
    """the kind of beams, for a claim about optima"""
    preset: str = ""
    """the preset, for a claim about learning"""

    def to_json(self) -> dict[str, Any]:
        """All fields; a preset takes the place of the beams, since a finding has only one of them."""
        data = dataclasses.asdict(self)
        preset = data.pop("preset")
        return {**data, "beams": self.beams or preset}


def examine(measurements: Measurements, swept: Sequence[str], beams: str = "") -> list[Finding]:
    """The verdict on every claim about optima that the sweeps named in ``swept`` can decide.

    The measurements are those of one kind of beams; the findings keep its name.
    """
    findings = []
    for claim in CLAIMS:
        if claim.swept in swept:
            conditions = claim.conditions(measurements)
            verdict, why = judge(conditions)
        else:
            conditions, verdict, why = [], "not examined", f"Fig. {claim.figure} is not part of this run."
        findings.append(
            Finding(
                claim.name,
                claim.figure,
                claim.statement,
                verdict,
                why,
                claim.mechanism,
                tuple(conditions),
                beams,
            )
        )
    return findings


def examine_scenario(
    scenario: Scenario,
    beams: Beams,
    *,
    frames: int,
    seed: int,
    quick: bool,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Finding]:
    """The verdict on every claim about optima in a scenario, whose sweeps are measured for that.

    ``progress`` is called with the number of frames solved; other arguments as for `measure_point`.
    """
    measurements, done = [], 0
    for sweep in SWEEPS.values():
        for value in sweep.values(scenario, quick):
            measurements += measure_point(scenario, sweep, value, frames=frames, seed=seed, beams=[beams])
            done += len(sweep.schemes) * frames
            progress(done)
    return examine(measurements, list(SWEEPS), beams)


def judge(conditions: Sequence[Condition]) -> tuple[Verdict, str]:
    """Holds if all conditions are met, fails if no essential one is met or unclear; otherwise in part."""
    missing = [c for c in conditions if c.judgement != "met"]
    if not missing:
        return "holds", "Every condition is met with its whole 95% interval."
    reasons = "; ".join(
        f"{'only within the uncertainty or in part' if c.judgement == 'unclear' else 'not'}: {c.statement}"
        for c in missing
    )
    nothing = all(c.judgement == "not met" for c in conditions if c.essential)
    verdict: Verdict = "does not hold" if nothing else "holds in part"
    return verdict, f"{len(conditions) - len(missing)} of {len(conditions)} conditions met; {reasons}."


LABELS = {"hybrid": "Hybrid-offload", "active": "Active-enabled", "local": "MEC-disabled"}


def _inverse(energy: Curve) -> Curve:
    """Efficiency relative to MEC-disabled, from its relative energy on the same frames."""
    with np.errstate(divide="ignore"):  # the interval of an energy may reach down to 0
        mean, low, high = 1 / energy.mean, 1 / energy.high, 1 / energy.low
    return Curve(energy.name, energy.unit, energy.values, mean, low, high)


def _ordered(curves: Curves) -> list[Condition]:
    hybrid, active, local = map(curves.efficiency, LABELS)
    on_same = {scheme: _inverse(curves.of("relative_energy", scheme)) for scheme in LABELS}
    same = "on the frames where every scheme serves everyone"
    return [
        evidence.never_below("Hybrid-offload is nowhere less efficient than Active-enabled", hybrid, active),
        evidence.never_below("Active-enabled is nowhere less efficient than MEC-disabled", active, local),
        evidence.never_below(f"the first also holds {same}", on_same["hybrid"], on_same["active"]),
        evidence.never_below(f"the second also holds {same}", on_same["active"], on_same["local"]),
        evidence.exceeds(
            "Hybrid-offload is clearly more efficient than MEC-disabled at the least distance",
            hybrid.first,
            local.first,
            unit=hybrid.unit,
        ),
    ]


def _converge(curves: Curves) -> list[Condition]:
    local = curves.efficiency("local")
    conditions = []
    for scheme in ("hybrid", "active"):
        own, label = curves.efficiency(scheme), LABELS[scheme]
        conditions += [
            _within(
                f"{label} is within {CLOSE:.0%} of MEC-disabled at the greatest distance",
                evidence.ratio_of(own.last, local.last),
            ),
            _shrinks(f"{label}'s lead over MEC-disabled there is under half that nearest", own, local),
        ]
    return conditions


def _within(statement: str, ratio: Estimate) -> Condition:
    clear = ratio.low > 1 - CLOSE and ratio.high < 1 + CLOSE
    likely = abs(ratio.mean - 1) < CLOSE
    judgement: evidence.Judgement = "met" if clear else "unclear" if likely else "not met"
    margin = min(evidence.lead(ratio.low, 1 - CLOSE), evidence.lead(1 + CLOSE, ratio.high))
    return Condition(statement, judgement, f"ratio {evidence.show(ratio)}", margin)


def _shrinks(statement: str, own: Curve, local: Curve) -> Condition:
    """The relative gap halves. The absolute gap is only shown: it shrinks whenever both curves fall to 0."""
    nearest, farthest = evidence.ratio_of(own.first, local.first), evidence.ratio_of(own.last, local.last)
    largest = max(abs(farthest.low - 1), abs(farthest.high - 1))
    smallest = 0 if nearest.low <= 1 <= nearest.high else min(abs(nearest.low - 1), abs(nearest.high - 1))
    clear, likely = largest < smallest / 2, abs(farthest.mean - 1) < abs(nearest.mean - 1) / 2
    judgement: evidence.Judgement = "met" if clear else "unclear" if likely else "not met"
    gaps = (own.first.mean - local.first.mean, own.last.mean - local.last.mean)
    measured = (
        f"ratio {evidence.show(nearest)} nearest, {evidence.show(farthest)} farthest; "
        f"difference {gaps[0]:.3g} and {gaps[1]:.3g} {own.unit}"
    )
    return Condition(statement, judgement, measured, evidence.lead(smallest / 2, largest))


CLAIMS = (
    Claim(
        "3a-1",
        "At low AP power active offloading is suppressed.",
        lambda curves: [
            evidence.below(
                f"the active share at the lowest power is below {FEW:.0%}", curves.active.first, FEW
            ),
            evidence.exceeds(
                "the active share at the highest power is more than twice that at the lowest",
                curves.active.last,
                curves.active.first,
                factor=2.0,
            ),
        ],
        "Transmitting and computing draw on one budget (9): scarcity suppresses what costs more per kbit.",
    ),
    Claim(
        "3a-2",
        "At low AP power users prefer passive to active offloading.",
        lambda curves: [
            evidence.exceeds(
                "the passive share exceeds the active share at the lowest power",
                curves.passive.first,
                curves.active.first,
            ),
            evidence.above(
                f"the passive share at the lowest power is above {SOME:.0%}", curves.passive.first, SOME
            ).beside(),
        ],
        "Backscatter costs a user nothing and its beam charges the others (8), but its rate falls with the "
        "power (6), and the AP pays more for beaming than for receiving (7).",
    ),
    Claim(
        "3a-3",
        "At low AP power a large part of the work is computed locally.",
        lambda curves: [
            evidence.above("the local share at the lowest power is above a third", curves.local.first, LARGE)
        ],
        "Local work costs the AP nothing, but a user more energy per kbit than transmission if circuit power "
        "and noise are low: scarce energy then goes into the radio.",
    ),
    Claim(
        "3a-4",
        "Active offloading grows with the AP's power.",
        lambda curves: [evidence.rises("the active share rises with power", curves.active)],
        "More power fills the users' budgets, but it also makes each second of beaming dearer to the AP (7).",
    ),
    Claim(
        "3b-1",
        "A small workload is (nearly) all offloaded, actively and passively.",
        lambda curves: [
            evidence.below(
                f"the local share at the smallest workload is below {FEW:.0%}", curves.local.first, FEW
            ),
            evidence.above(f"the active share there is above {SOME:.0%}", curves.active.first, SOME).beside(),
            evidence.above(
                f"the passive share there is above {SOME:.0%}", curves.passive.first, SOME
            ).beside(),
        ],
        "With energy to spare only (7) decides. It charges reception and the server, not local computing, so "
        "what the stored energy can pay for is computed locally.",
    ),
    Claim(
        "3b-2",
        "Passive time grows with the workload.",
        lambda curves: [evidence.rises("the passive time rises with the workload", curves.of("t_passive"))],
        "Users with more work need more energy, which only beaming in the others' slots supplies.",
    ),
    Claim(
        "3b-3",
        "Active time shrinks with the workload.",
        lambda curves: [evidence.falls("the active time falls with the workload", curves.of("t_active"))],
        "Active and passive time share the slot (2): more work takes more of both, until the slot is full "
        "and beaming displaces transmission.",
    ),
    Claim(
        "3b-4",
        "Local computing grows with the workload.",
        lambda curves: [evidence.rises("the local share rises with the workload", curves.local)],
        "Stored energy pays for a fixed amount of local work, a falling share of a growing load; once "
        "the slot is full, local computing takes the rest.",
    ),
    Claim(
        "4a-1",
        "The farther the users, the larger the local part.",
        lambda curves: [evidence.rises("the local share rises with distance", curves.local)],
        "Energy per kbit grows with distance for transmission but not for local computing; this tells where "
        "radiated power outweighs circuit power.",
    ),
    Claim(
        "4a-2",
        "The farther the users, the smaller the active part.",
        lambda curves: [evidence.falls("the active share falls with distance", curves.active)],
        "The power for the same rate grows with the square of the distance (4).",
    ),
    Claim(
        "4a-3",
        "What far users still offload is offloaded passively.",
        lambda curves: [
            evidence.exceeds(
                "the passive share exceeds the active share at the greatest distance",
                curves.passive.last,
                curves.active.last,
            )
        ],
        "A backscattered signal fades with the fourth power of the distance (6), a transmitted one with the "
        "square (4).",
    ),
    Claim(
        "4b-1",
        "Energy efficiency falls with distance.",
        lambda curves: [
            evidence.falls(f"the efficiency of {label} falls with distance", curves.efficiency(scheme))
            for scheme, label in LABELS.items()
        ],
        "Less of the beam's energy arrives, so the AP must beam for longer for the same work.",
    ),
    Claim(
        "4b-2",
        "Hybrid-offload is at least as efficient as Active-enabled, and that as MEC-disabled.",
        _ordered,
        "Each scheme is a restriction of the one before: on frames where all serve everyone it cannot cost "
        "less. Where they drop different users, the rest may be cheaper to serve.",
    ),
    Claim(
        "4b-3",
        "With distance the three efficiencies converge.",
        _converge,
        "The schemes meet where offloading becomes dearer to the users than computing, so that nothing is "
        "offloaded any more.",
    ),
)
