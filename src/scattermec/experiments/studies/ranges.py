"""How often each claim holds for other values of the constants that the paper does not give.

Each such constant has a declared range (`scattermec.experiments.claims.withheld`), sampled evenly (Latin
hypercube). At every sample the sweeps of Fig. 3 and 4 are measured and the claims judged as in the scenario
itself, with fewer frames and points; at the first few samples the learners of Fig. 2 are trained too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from scipy.stats import binomtest, qmc

from scattermec.experiments.claims.learning import STATEMENTS, examine_learning
from scattermec.experiments.claims.optima import CLAIMS, examine_scenario
from scattermec.experiments.claims.withheld import CONSTANTS, COORDINATES, declared_ranges, scenario_at
from scattermec.experiments.measure.beams import Beams
from scattermec.experiments.measure.statistics import CONFIDENCE
from scattermec.experiments.measure.sweeps import SWEEPS
from scattermec.experiments.measure.table import Table
from scattermec.experiments.studies.base import FileStudy, Findings, Progress
from scattermec.experiments.studies.figure_2 import Figure2, read_runs
from scattermec.experiments.studies.plan import Plan
from scattermec.experiments.studies.record import Record
from scattermec.scenario import Scenario

SCENARIOS, FRAMES = 48, 256
QUICK_SCENARIOS, QUICK_FRAMES = 6, 48

TRAINED, SEEDS, TRAINING_FRAMES = 6, 4, 4000
PRESET = "tuned"


class Sample(NamedTuple):
    """Verdicts at one sample of the ranges: on exact optima, or on learners trained there."""

    number: int
    """from 0"""
    trained: bool


@dataclass(frozen=True)
class Ranges(FileStudy[Sample]):
    """Claims judged over the ranges."""

    name = "ranges"
    title = "other constants"
    trains = True
    empty = list

    scenario: Scenario
    """source of all other constants"""
    beams: tuple[Beams, ...] = ("mrt", "optimal")
    scenarios: int = SCENARIOS
    frames: int = FRAMES
    """per point"""
    trained: int = TRAINED
    """number of samples, the first ones, at which the learners of Fig. 2 are trained"""
    seeds: int = SEEDS
    training_frames: int = TRAINING_FRAMES
    """per seed"""
    seed: int = 0

    @classmethod
    def of(cls, plan: Plan) -> "Ranges":
        """The default study, or its quick form."""
        if not plan.quick:
            return cls(plan.scenario, plan.beams, seed=plan.seed)
        return cls(
            plan.scenario,
            plan.beams,
            scenarios=QUICK_SCENARIOS,
            frames=QUICK_FRAMES,
            trained=0,
            seed=plan.seed,
        )

    @property
    def items(self) -> tuple[Sample, ...]:
        """Exact optima at every sample, learners at the first few."""
        return tuple(
            Sample(index, trained)
            for index in range(self.scenarios)
            for trained in ((False, True) if index < self.trained else (False,))
        )

    def frames_of(self, item: Sample) -> int:
        """Frames trained, or solved."""
        if item.trained:
            return self._runs(self.scenario).total
        points = sum(sweep.count(quick=True) * len(sweep.schemes) for sweep in SWEEPS.values())
        return len(self.beams) * points * self.frames

    def settings(self) -> dict[str, Any]:
        """Everything that the verdicts depend on."""
        return {
            "ranges": declared_ranges(),
            "frames": self.frames,
            "trained": self.trained,
            "seeds": self.seeds,
            "training_frames": self.training_frames,
            "seed": self.seed,
            "beams": list(self.beams),
            "scenarios": self.scenarios,
            "scenario": self.scenario.record(),
        }

    def sampled(self) -> list[Scenario]:
        """The scenarios, evenly over the ranges."""
        parts = qmc.LatinHypercube(len(COORDINATES), rng=self.seed).random(self.scenarios)
        return [scenario_at(row, self.scenario) for row in parts]

    def key(self, item: Sample) -> str:
        """Name of a sample's verdicts."""
        return "learned" if item.trained else "exact"

    def has(self, kept: Findings, item: Sample) -> bool:
        """Whether an item has been found."""
        return item.number < len(kept.found) and self.key(item) in kept.found[item.number]

    def keep(self, kept: Findings, item: Sample, finding: Any) -> None:
        """Add an item to a list of all samples."""
        if not item.trained:
            scenario = self.sampled()[item.number]
            kept.found.append({"constants": {name: getattr(scenario, name) for name in CONSTANTS}})
        kept.found[item.number][self.key(item)] = finding
        kept.save()

    def compute(self, item: Sample, folder: Path, progress: Progress) -> Any:
        """Judge the claims of Fig. 3 and 4 for each kind of beams, or those of Fig. 2."""
        scenario = self.sampled()[item.number]
        if not item.trained:
            found = {
                kind: examine_scenario(scenario, kind, frames=self.frames, seed=self.seed, quick=True)
                for kind in self.beams
            }
            return {kind: {one.name: one.verdict for one in findings} for kind, findings in found.items()}
        path = folder / self.name / f"{item.number:02}"
        path.mkdir(parents=True, exist_ok=True)
        self._runs(scenario).run(path, Record(path), progress)
        return {finding.name: finding.verdict for finding in examine_learning(read_runs(path))}

    @classmethod
    def tabulate(cls, settings: Mapping[str, Any], found: Any) -> list[Table]:
        """How often each claim holds, for each kind of beams."""
        return _tables(settings, found)

    def _runs(self, scenario: Scenario) -> Figure2:
        return Figure2(scenario, self.seeds, self.training_frames, (PRESET,))


STUDY = Ranges


def _tables(settings: Mapping[str, Any], found: list[dict[str, Any]]) -> list[Table]:
    ranges = ", ".join(f"`{name}` {_span(*ends)}" for name, ends in settings["ranges"].items())
    about = (
        f"scenarios over declared ranges of what the paper does not give (Latin hypercube): {ranges}. "
        "The conditions and thresholds are those of the claims table. Part of the scenarios in which a claim "
        f"holds, with its 95% Wilson interval. Each scenario's constants and verdicts: {Ranges.file(Path())}."
    )
    command = "scattermec reproduce --out again --figures ranges"
    exact = {kind: [one["exact"][kind] for one in found] for kind in settings["beams"]}
    trained = [one["learned"] for one in found if "learned" in one]
    made = [
        Table(
            title="How often the claims of Fig. 3 and 4 hold where the constants are others",
            note=f"{len(found)} {about} Exact optima, {settings['frames']} frames per point, the points of "
            "the quick setting.",
            columns=("claim", "the paper", *(f"holds, {kind} beams" for kind in exact)),
            rows=tuple(
                (claim.name, claim.statement, *(_counted(exact[kind], claim.name) for kind in exact))
                for claim in CLAIMS
            ),
            command=command,
        )
    ]
    if trained:
        made.append(
            Table(
                title="How often the claims of Fig. 2 hold where the constants are others",
                note=f"{len(trained)} {about} Both learners, preset {PRESET}, {settings['seeds']} seeds of "
                f"{settings['training_frames']:,} frames each.",
                columns=("claim", "the paper", "holds"),
                rows=tuple((name, text, _counted(trained, name)) for name, text in STATEMENTS.items()),
                command=command,
            )
        )
    return made


def _span(low: bool | float, high: bool | float) -> str:
    return "false or true" if isinstance(low, bool) else f"{low:g} to {high:g}"


def _counted(verdicts: Sequence[dict[str, str]], claim: str) -> str:
    """Share of samples where the claim holds, with its interval, and counts of the other verdicts."""
    all_ = [one[claim] for one in verdicts]
    holds, partly, not_at_all = (all_.count(one) for one in ("holds", "holds in part", "does not hold"))
    interval = binomtest(holds, len(all_)).proportion_ci(CONFIDENCE, method="wilson")
    return (
        f"{holds / len(all_):.0%} ({interval.low:.0%} to {interval.high:.0%}); in part {partly}, "
        f"not {not_at_all}"
    )
