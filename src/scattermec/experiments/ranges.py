"""How often each claim holds where the constants that the paper does not give are others.

A declared range for each such constant, sampled evenly (Latin hypercube). At every sample the sweeps of
Fig. 3 and 4 are measured and the claims judged as in the default scenario, on fewer frames and points; at the
first few the learners of Fig. 2 are trained too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest, qmc

from scattermec.experiments import study
from scattermec.experiments.beams import Beams
from scattermec.experiments.claims import CLAIMS, examine
from scattermec.experiments.learning import (
    STATEMENTS,
    LearningPlan,
    examine_learning,
    read_runs,
    train_runs,
)
from scattermec.experiments.statistics import CONFIDENCE
from scattermec.experiments.sweeps import SWEEPS, measure_point
from scattermec.experiments.tables import Table
from scattermec.scenario import Scenario

FILE = "ranges.json"
RUNS = "ranges"
"""The folder of the training runs within that of a reproduction."""

SCENARIOS, FRAMES = 48, 256
QUICK_SCENARIOS, QUICK_FRAMES = 6, 48

TRAINED, SEEDS, TRAINING_FRAMES = 6, 4, 4000
PRESET = "tuned"


@dataclass(frozen=True)
class Range:
    """Values of a constant that the paper does not give."""

    low: float
    high: float
    logarithmic: bool = True

    def at(self, part: float) -> float:
        """The value at a part of the range, in four digits."""
        if self.logarithmic:
            value = self.low * (self.high / self.low) ** part
        else:
            value = self.low + (self.high - self.low) * part
        return float(f"{value:.4g}")


RANGES = {
    "bandwidth": Range(4.0, 16.0),
    "noise_power": Range(1e-10, 1e-8),
    "harvest_efficiency": Range(0.3, 0.8, logarithmic=False),
    "reflection_gain": Range(0.001, 0.3),
    "circuit_power": Range(0.001, 0.3),
    "local_energy": Range(0.001, 0.025),
    "local_rate": Range(30.0, 150.0),
    "active_receive_power": Range(0.01, 0.1),
    "passive_receive_power": Range(0.001, 0.01),
    "mec_energy": Range(0.0001, 0.002),
    "idle_power": Range(0.001, 0.05),
    "initial_battery": Range(0.0, 0.2, logarithmic=False),
}
"""Declared before any of these scenarios was solved: about a factor of ten around the default where nothing
tells more. ``initial_battery`` is the upper end of what batteries at reset are drawn from."""


@dataclass(frozen=True)
class RangePlan:
    """What is examined."""

    scenario: Scenario
    """whose other constants are kept"""
    beams: tuple[Beams, ...] = ("mrt", "optimal")
    scenarios: int = SCENARIOS
    frames: int = FRAMES
    """a point"""
    trained: int = TRAINED
    """the first scenarios, in which the learners of Fig. 2 are trained"""
    seeds: int = SEEDS
    training_frames: int = TRAINING_FRAMES
    """of each seed"""
    seed: int = 0

    @property
    def frames_each(self) -> int:
        """Frames solved in each scenario."""
        points = sum(len(sweep.values(quick=True)) * len(sweep.schemes) for sweep in SWEEPS.values())
        return len(self.beams) * points * self.frames

    @property
    def total(self) -> int:
        """Frames trained and solved in all scenarios."""
        runs = LearningPlan(self.scenario, self.seeds, self.training_frames, (PRESET,))
        return self.scenarios * self.frames_each + self.trained * runs.total

    def sampled(self) -> list[Scenario]:
        """The scenarios, evenly over the ranges."""
        parts = qmc.LatinHypercube(len(RANGES), rng=self.seed).random(self.scenarios)
        return [self._scenario(row) for row in parts]

    def _scenario(self, parts: np.ndarray) -> Scenario:
        values: dict[str, Any] = {
            name: declared.at(part) for (name, declared), part in zip(RANGES.items(), parts, strict=True)
        }
        values["initial_battery"] = (0.0, values["initial_battery"])
        return Scenario(**(self.scenario.model_dump() | values))

    def settings(self) -> dict[str, Any]:
        """What the verdicts depend on."""
        return {
            "ranges": {name: [declared.low, declared.high] for name, declared in RANGES.items()},
            "frames": self.frames,
            "trained": self.trained,
            "seeds": self.seeds,
            "training_frames": self.training_frames,
            "seed": self.seed,
            "beams": list(self.beams),
            "scenarios": self.scenarios,
            "scenario": self.scenario.model_dump(mode="json"),
        }


def plan(scenario: Scenario, beams: tuple[Beams, ...], seed: int, quick: bool) -> RangePlan:
    """What is examined around a scenario: by default, or for a quick look."""
    if not quick:
        return RangePlan(scenario, beams, seed=seed)
    return RangePlan(scenario, beams, scenarios=QUICK_SCENARIOS, frames=QUICK_FRAMES, trained=0, seed=seed)


def examine_ranges(plan: RangePlan, folder: Path, progress: Callable[[int], None]) -> None:
    """Judge the claims at every sample, into ``ranges.json``; what is there is kept, and runs go on.

    ``progress`` is told how many frames are trained and solved. Raises InputError where something in the
    folder was made with other settings.
    """
    found, done = _kept(plan, folder), 0
    for index, scenario in enumerate(plan.sampled()):
        if index >= len(found):
            verdicts = {kind: _judged(plan, scenario, kind) for kind in plan.beams}
            found.append({"constants": {name: getattr(scenario, name) for name in RANGES}, "exact": verdicts})
            study.write(folder / FILE, plan.settings(), found)
        done += plan.frames_each
        progress(done)
        if index >= plan.trained:
            continue
        runs = LearningPlan(scenario, plan.seeds, plan.training_frames, (PRESET,))
        if "learned" not in found[index]:
            path = folder / RUNS / f"{index:02}"
            path.mkdir(parents=True, exist_ok=True)
            train_runs(runs, path, lambda more, before=done: progress(before + more))  # type: ignore[misc]
            findings = examine_learning(read_runs(path))
            found[index]["learned"] = {finding.name: finding.verdict for finding in findings}
            study.write(folder / FILE, plan.settings(), found)
        done += runs.total
        progress(done)


def is_finished(plan: RangePlan, folder: Path) -> bool:
    """Whether every sample is in the folder."""
    found = _kept(plan, folder)
    return len(found) == plan.scenarios and all("learned" in one for one in found[: plan.trained])


def _judged(plan: RangePlan, scenario: Scenario, kind: Beams) -> dict[str, str]:
    """Verdicts on the claims of Fig. 3 and 4."""
    measurements = [
        row
        for sweep in SWEEPS.values()
        for value in sweep.values(quick=True)
        for row in measure_point(scenario, sweep, value, frames=plan.frames, seed=plan.seed, beams=[kind])
    ]
    return {finding.name: finding.verdict for finding in examine(measurements, list(SWEEPS), kind)}


def _kept(plan: RangePlan, folder: Path) -> list[dict[str, Any]]:
    return study.kept(folder / FILE, plan.settings()) or []


def tables(folder: Path) -> list[Table]:
    """How often each claim holds, for each kind of beams; nothing where no ranges were examined."""
    if not (folder / FILE).exists():
        return []
    settings, found = study.read(folder / FILE)
    with study.damaged(folder / FILE):
        return _tables(settings, found)


def _tables(settings: dict[str, Any], found: list[dict[str, Any]]) -> list[Table]:
    ranges = ", ".join(f"`{name}` {low:g} to {high:g}" for name, (low, high) in settings["ranges"].items())
    about = (
        f"scenarios over declared ranges of what the paper does not give (Latin hypercube): {ranges}. "
        "The conditions and thresholds are those of the claims table. Part of the scenarios in which a claim "
        f"holds, with its 95% Wilson interval. Each scenario's constants and verdicts: {FILE}."
    )
    command = "scattermec reproduce --out again --figures ranges"
    exact = {kind: [one["exact"][kind] for one in found] for kind in settings["beams"]}
    trained = [one["learned"] for one in found if "learned" in one]
    made = [
        Table(
            title="How often the claims of Fig. 3 and 4 hold where the constants are others",
            note=f"{len(found)} {about} Exact optima, {settings['frames']} frames a point, the points of the "
            "quick setting.",
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


def _counted(verdicts: Sequence[dict[str, str]], claim: str) -> str:
    """Part that holds with its interval, and the numbers of the other verdicts."""
    all_ = [one[claim] for one in verdicts]
    holds, partly, not_at_all = (all_.count(one) for one in ("holds", "holds in part", "does not hold"))
    interval = binomtest(holds, len(all_)).proportion_ci(CONFIDENCE, method="wilson")
    return (
        f"{holds / len(all_):.0%} ({interval.low:.0%} to {interval.high:.0%}); in part {partly}, "
        f"not {not_at_all}"
    )
