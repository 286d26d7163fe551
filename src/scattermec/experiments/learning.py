"""The paper's Fig. 2: its two learners trained over many seeds, and its claims about them judged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scattermec.agents.settings import PRESETS, TrainingConfig
from scattermec.experiments import evidence, study
from scattermec.experiments.claims import Finding, judge
from scattermec.experiments.evidence import Condition, Curve
from scattermec.experiments.record import Record
from scattermec.experiments.statistics import Estimate, interquartile_mean, mean_interval
from scattermec.learners import ALGORITHMS
from scattermec.scenario import Scenario

LEARNERS = ("h-maddpg-opt", "h-maddpg")
"""The optimization-driven one and the model-free one, about which the paper's claims are."""
OTHERS = ("ap-ddpg", "ddpg")
GREEDY_MODE = {
    "h-maddpg-opt": "choice",
    "h-maddpg": "decentralised",
    "ap-ddpg": "estimate",
    "ddpg": "joint",
    "price-net": "p1",
    "price-net-foresight": "p1",
}
"""How each acts greedily on held-out frames."""

SETTINGS: dict[str, TrainingConfig] = {
    **PRESETS,
    "paper-feasible": PRESETS["paper"].model_copy(update={"action_form": "feasible"}),
    "tuned-paper": PRESETS["tuned"].model_copy(update={"action_form": "paper"}),
}
"""Both presets, each also with the other form of the users' actions."""

RUNS = "runs"
"""The folder of the training runs within that of a reproduction."""

LABELS = {
    "paper": "preset paper",
    "tuned": "preset tuned",
    "paper-feasible": "preset paper, feasible form",
    "tuned-paper": "preset tuned, paper's form",
}
"""What readers call `SETTINGS`."""

SEEDS, FRAMES = 20, 10_000
QUICK_SEEDS, QUICK_FRAMES = 4, 2_000

FINAL = 0.1
"""The last part of the frames, over which a final level is averaged."""
EARLY = 0.2
"""The first part of the frames, in which something happens "early"."""
CONVERGED = 0.9
"""A curve has converged from where on it stays above this part of its final level."""


@dataclass(frozen=True)
class LearningPlan:
    """What is trained for Fig. 2."""

    scenario: Scenario
    seeds: int = SEEDS
    frames: int = FRAMES
    """of each seed"""
    presets: tuple[str, ...] = tuple(PRESETS)
    """of `SETTINGS`"""
    learners: tuple[str, ...] = LEARNERS

    @property
    def runs(self) -> tuple[tuple[str, str], ...]:
        """Learner and preset of every run; the AP alone has no users whose actions take a form."""
        return tuple(
            (learner, preset)
            for preset in self.presets
            for learner in self.learners
            if learner != "ap-ddpg" or preset in PRESETS
        )

    @property
    def total(self) -> int:
        """Frames of all runs and seeds together."""
        return len(self.runs) * self.seeds * self.frames


@dataclass(frozen=True)
class LearningCurves:
    """What one run showed, by chunk of frames (C,) and seed (S,)."""

    learner: str
    preset: str
    """empty for a learner that has none, which every panel shows"""
    frames: np.ndarray
    """(C,) frames played at the end of each chunk"""
    values: dict[str, np.ndarray]
    """(S, C) each, by the metrics' names"""
    optimum: float
    """mean certified optimum of the held-out frames, kbit/J"""

    def curve(self, name: str, unit: str = "") -> Curve:
        """Mean over seeds with its 95% bootstrap interval, along the frames."""
        estimates = np.array([mean_interval(column) for column in self.values[name].T])
        return Curve(name, unit, self.frames, *estimates.T)

    def final(self, name: str) -> Estimate:
        """Mean over seeds of the last part of training."""
        count = max(1, round(FINAL * self.frames.size))
        return mean_interval(self.values[name][:, -count:].mean(axis=1))

    def final_interquartile(self, name: str) -> Estimate:
        """Interquartile mean over seeds of the last part of training."""
        count = max(1, round(FINAL * self.frames.size))
        return interquartile_mean(self.values[name][:, -count:].mean(axis=1))

    def first(self, name: str) -> Estimate:
        """Mean over seeds of the first chunk."""
        return mean_interval(self.values[name][:, 0])

    def early(self, name: str) -> Estimate:
        """Mean over seeds where the early part of training ends."""
        return mean_interval(self.values[name][:, self._early_index])

    @property
    def _early_index(self) -> int:
        return min(self.frames.size - 1, max(1, round(EARLY * self.frames.size)))

    def frames_to_converge(self, name: str) -> Estimate:
        """Frames after which a seed stays above `CONVERGED` of its own final level, mean over seeds."""
        values = self.values[name]
        count = max(1, round(FINAL * self.frames.size))
        level = CONVERGED * values[:, -count:].mean(axis=1, keepdims=True)
        # Averaged over as many chunks as the level, so that noise does not decide.
        kernel = np.ones(count) / count
        smooth = np.stack([np.convolve(row, kernel, mode="valid") for row in values])
        below = smooth < level
        last = np.where(below.any(axis=1), below.shape[1] - np.argmax(below[:, ::-1], axis=1), 0)
        index = np.minimum(last + count - 1, self.frames.size - 1)
        return mean_interval(self.frames[index].astype(float))


def train_runs(
    plan: LearningPlan, folder: Path, progress: Callable[[int], None], record: Record | None = None
) -> None:
    """Train what is missing in ``folder``, a run a learner and preset; ``record`` keeps how long each took.

    An interrupted run goes on from its last checkpoint. Raises InputError where a run is there that was made
    with other settings, TrainingError where learning cannot go on.
    """
    # Imported late: a process trains only once its threads are settled.
    from scattermec.training import Plan, train

    record = record or Record(folder)
    each = plan.seeds * plan.frames
    for index, (learner, preset) in enumerate(plan.runs):
        path = run_folder(folder, learner, preset)
        path.parent.mkdir(parents=True, exist_ok=True)

        def report(now: Any, before: int = index * each) -> None:
            progress(before + now.done)

        with record.part(f"training of {learner}, preset {preset}", when=not _is_finished(path, plan.frames)):
            train(
                Plan(
                    algorithm=learner,
                    scenario=plan.scenario,
                    config=SETTINGS[preset],
                    seeds=tuple(range(plan.seeds)),
                    frames=plan.frames,
                ),
                path,
                resume=path.exists(),
                command=train_command(learner, preset, plan.seeds, plan.frames),
                report=report,
            )
        progress((index + 1) * each)


def read_runs(folder: Path) -> list[LearningCurves]:
    """What the finished runs in ``folder`` showed; those of presets that lack a run are left out.

    Raises InputError where a run cannot be read.
    """
    from scattermec.training.folder import read_folder
    from scattermec.training.metrics import columns_of, read

    curves = []
    for preset in SETTINGS:
        found = []
        for learner in LEARNERS + OTHERS:
            path = run_folder(folder, learner, preset)
            if path.exists() and _is_finished(path):
                run = read_folder(path)
                rows = [
                    row
                    for seeds in run.plan.blocks
                    for row in read(run.metrics(seeds), columns_of(ALGORITHMS[learner].MODES))
                ]
                with study.damaged(path / "metrics"):
                    found.append(_curves(learner, preset, rows, run.optimum))
        # Claims compare two learners, and a panel shows both.
        if {run.learner for run in found} >= set(LEARNERS):
            curves += found
    return curves


def presets_of(curves: Sequence[LearningCurves]) -> list[str]:
    """Presets of which there are runs, in their order."""
    return [preset for preset in dict.fromkeys(run.preset for run in curves) if preset]


def train_command(learner: str, preset: str, seeds: int, frames: int) -> str:
    """What to type for the same run."""
    base = preset.split("-")[0]
    form = "" if preset in PRESETS else f" --train action_form={SETTINGS[preset].action_form}"
    return f"scattermec train {learner} --preset {base}{form} --seeds {seeds} --frames {frames}"


def _is_finished(path: Path, frames: int | None = None) -> bool:
    """Whether every seed of the run has played its frames, or as many as told."""
    from scattermec.training.folder import read_folder

    if not path.exists():
        return False
    run = read_folder(path)
    return all(run.frames(seeds) >= (frames or run.plan.frames) for seeds in run.plan.blocks)


def run_folder(folder: Path, learner: str, preset: str) -> Path:
    """Where a run of Fig. 2 lies."""
    return folder / RUNS / f"{learner}-{preset}"


def _curves(learner: str, preset: str, rows: Sequence[dict[str, Any]], optimum: float) -> LearningCurves:
    seeds = sorted({row["seed"] for row in rows})
    frames = sorted({row["frame"] for row in rows})
    where = {(row["seed"], row["frame"]): row for row in rows}
    names = [name for name in rows[0] if name not in ("seed", "frame")]
    values = {
        name: np.array([[where[seed, frame][name] for frame in frames] for seed in seeds], dtype=float)
        for name in names
    }
    return LearningCurves(learner, preset, np.array(frames), values, optimum)


STATEMENTS = {
    "2a-1": "Optimization-driven H-MADDPG converges faster than model-free H-MADDPG.",
    "2a-2": "Its reward is 50% higher.",
    "2b-1": "Its outage probability is much lower.",
    "2b-2": "Its outage probability falls steeply early in learning.",
}
"""What the paper reads off Fig. 2."""

MECHANISMS = {
    "2a-1": "line 4 of Algorithm 1: P1's allocation is near its best from the first frame on, so that there "
    "is little left to learn; a curve that starts at its level has converged at once.",
    "2a-2": "(11) is zero where nobody is served, and users who have to find out by trial how to meet (2), "
    "(3) and (9) serve nobody for long.",
    "2b-1": "the same: the estimate meets every constraint by construction.",
    "2b-2": "the estimate's outage is that of the beams, of the battery and of the backlog from the first "
    "frame on; a backlog that grows at the start makes it rise rather than fall.",
}


def examine_learning(curves: Sequence[LearningCurves]) -> list[Finding]:
    """The verdict on every claim of Fig. 2, for each preset whose runs of the paper's learners are there."""
    findings = []
    for preset in presets_of(curves):
        runs = {run.learner: run for run in curves if run.preset == preset}
        conditions = _conditions(*(runs[learner] for learner in LEARNERS))
        for name, tests in conditions.items():
            verdict, why = judge(tests)
            finding = Finding(
                name, name[:2], STATEMENTS[name], verdict, why, MECHANISMS[name], tuple(tests), preset
            )
            findings.append(finding)
    return findings


def _conditions(driven: LearningCurves, free: LearningCurves) -> dict[str, list[Condition]]:
    return {
        "2a-1": [
            evidence.exceeds(
                f"model-free takes more frames until its reward stays above {CONVERGED:.0%} of its final one",
                free.frames_to_converge("reward"),
                driven.frames_to_converge("reward"),
                unit="frames",
            )
        ],
        "2a-2": [
            evidence.exceeds(
                "the final reward while learning exceeds 1.5 times that of model-free",
                driven.final("reward"),
                free.final("reward"),
                factor=1.5,
                unit="kbit/J",
            )
        ],
        "2b-1": [
            evidence.exceeds(
                "the final outage of model-free is more than twice as high",
                free.final("outage"),
                driven.final("outage"),
                factor=2.0,
            )
        ],
        "2b-2": [
            evidence.exceeds(
                f"the outage at the start exceeds 1.25 times that after {EARLY:.0%} of the frames",
                driven.first("outage"),
                driven.early("outage"),
                factor=1.25,
            )
        ],
    }
