"""The paper's Fig. 2: its learners, and price-net beside them, trained over many seeds and evaluated."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scattermec.agents.settings import PRESETS, TrainingConfig
from scattermec.experiments.claims.learning import FINAL, LEARNERS, LearningCurves, examine_learning
from scattermec.experiments.claims.optima import Finding
from scattermec.experiments.measure.table import Table
from scattermec.experiments.studies import price_nets
from scattermec.experiments.studies.base import Progress, Study, damaged
from scattermec.experiments.studies.plan import FIGURE_2, Plan
from scattermec.learners import ALGORITHMS
from scattermec.scenario import Scenario
from scattermec.training import Plan as TrainingPlan
from scattermec.training import train
from scattermec.training.folder import check_folder
from scattermec.training.metrics import columns_of, read
from scattermec.training.plan import RunFolder, read_run

OTHERS = ("ap-ddpg", "ddpg")
"""Learners that the paper does not compare."""
GREEDY_MODE = {
    "h-maddpg-opt": "choice",
    "h-maddpg": "decentralised",
    "ap-ddpg": "estimate",
    "ddpg": "joint",
    "price-net": "p1",
    "price-net-foresight": "p1",
}
"""The greedy mode of each on held-out frames."""

SETTINGS: dict[str, TrainingConfig] = {
    **PRESETS,
    "paper-feasible": PRESETS["paper"].model_copy(update={"action_form": "feasible"}),
    "tuned-paper": PRESETS["tuned"].model_copy(update={"action_form": "paper"}),
}
"""The presets, the first two also with each other's form of the users' actions."""

QUICK_PRESETS = ("paper", "corrections")

LABELS = {
    "paper": "preset paper",
    "tuned": "preset tuned",
    "corrections": "preset corrections",
    "paper-feasible": "preset paper, feasible form",
    "tuned-paper": "preset tuned, paper's form",
}
"""Names of `SETTINGS` for readers."""


@dataclass(frozen=True)
class Figure2(Study[tuple[str, str], Path]):
    """Training runs by learner and preset."""

    name = "runs"
    title = "training"

    scenario: Scenario
    seeds: int = FIGURE_2.seeds
    frames: int = FIGURE_2.frames
    """per seed"""
    presets: tuple[str, ...] = tuple(PRESETS)
    """of `SETTINGS`"""
    learners: tuple[str, ...] = LEARNERS

    @classmethod
    def of(cls, plan: Plan) -> "Figure2":
        """The paper's learners in both presets, or every learner and setting."""
        return cls(
            plan.scenario,
            plan.training.seeds,
            plan.training.frames,
            presets=tuple(SETTINGS) if plan.complete else QUICK_PRESETS if plan.quick else tuple(PRESETS),
            learners=LEARNERS + (OTHERS if plan.complete else ()),
        )

    @property
    def items(self) -> tuple[tuple[str, str], ...]:
        """Learner and preset of every run that makes sense."""
        return tuple(
            (learner, preset)
            for preset in self.presets
            for learner in self.learners
            if _fits(learner, preset)
        )

    def frames_of(self, item: tuple[str, str]) -> int:
        """Frames of all seeds together."""
        return self.seeds * self.frames

    def settings(self) -> dict[str, Any]:
        """Everything that the runs depend on; each run keeps its own part of it."""
        return {
            "runs": [list(run) for run in self.items],
            "seeds": self.seeds,
            "frames": self.frames,
            "scenario": self.scenario.record(),
        }

    def open(self, folder: Path) -> Path:
        """The folder, in which each run checks its own settings."""
        return folder

    def has(self, kept: Path, item: tuple[str, str]) -> bool:
        """Whether every seed of just this run has played its frames."""
        run = _read_run(run_folder(kept, *item))
        return run is not None and run.plan == self._plan(*item) and _is_finished(run)

    def compute(self, item: tuple[str, str], folder: Path, progress: Progress) -> None:
        """Train a run in its folder; an interrupted one continues from its last checkpoint.

        Raises InputError if the folder holds a run with other settings, TrainingError if learning fails.
        """
        path = run_folder(folder, *item)
        path.parent.mkdir(parents=True, exist_ok=True)
        train(
            self._plan(*item),
            path,
            resume=path.exists(),
            processes=1,
            command=train_command(*item, self.seeds, self.frames),
            report=lambda now: progress(now.done),
        )

    def part(self, item: tuple[str, str]) -> str:
        """Every run is a part of its own."""
        learner, preset = item
        return f"{self.title} of {learner}, preset {preset}"

    @classmethod
    def tables(cls, folder: Path) -> list[Table]:
        """What all finished runs reached, and the paper's claims about them; empty if there are none."""
        curves = read_curves(folder)
        return [_table(curves), _verdicts(examine_learning(curves))] if curves else []

    @classmethod
    def discard(cls, folder: Path) -> None:
        """Remove the runs."""
        shutil.rmtree(folder / cls.name, ignore_errors=True)

    def _plan(self, learner: str, preset: str) -> TrainingPlan:
        return TrainingPlan(
            algorithm=learner,
            scenario=self.scenario,
            config=SETTINGS[preset],
            seeds=tuple(range(self.seeds)),
            frames=self.frames,
        )


STUDY = Figure2


def read_curves(folder: Path) -> list[LearningCurves]:
    """All curves of Fig. 2: the learners' finished runs and, if there are any, price-net beside them."""
    curves = read_runs(folder)
    return curves + price_nets.read_curves(folder) if curves else []


def read_runs(folder: Path) -> list[LearningCurves]:
    """Curves of the finished runs in ``folder``, for presets that have all their runs.

    Raises InputError if a run cannot be read.
    """

    curves = []
    for preset in SETTINGS:
        found = []
        for learner in LEARNERS + OTHERS:
            path = run_folder(folder, learner, preset)
            run = _read_run(path)
            if run is not None and _is_finished(run):
                rows = [
                    row
                    for seeds in run.plan.blocks
                    for row in read(run.metrics(seeds), columns_of(ALGORITHMS[learner].MODES))
                ]
                with damaged(path / "metrics"):
                    found.append(_curves(learner, preset, rows, run.optimum))
        # Claims compare two learners, and a panel shows both.
        if {run.learner for run in found} >= set(LEARNERS):
            curves += found
    return curves


def train_command(learner: str, preset: str, seeds: int, frames: int) -> str:
    """The command for the same run."""
    base = preset.split("-")[0]
    form = "" if preset in PRESETS else f" --train action_form={SETTINGS[preset].action_form}"
    return f"scattermec train {learner} --config {base}{form} --seeds {seeds} --frames {frames}"


def run_folder(folder: Path, learner: str, preset: str) -> Path:
    """The folder of a run of Fig. 2."""
    return folder / Figure2.name / f"{learner}-{preset}"


def _read_run(path: Path) -> RunFolder | None:
    """The run in a folder; None if none has begun."""

    return read_run(path) if path.exists() and check_folder(path, resume=True) else None


def _is_finished(run: RunFolder) -> bool:
    """Whether every seed has played its frames."""
    return all(run.frames(seeds) >= run.plan.frames for seeds in run.plan.blocks)


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


def _table(curves: Sequence[LearningCurves]) -> Table:
    seeds, frames = len(curves[0].values["reward"]), int(curves[0].frames[-1])
    return Table(
        title="What the learners reached",
        note=f"{seeds} seeds of {frames:,} frames each; means over the last {FINAL:.0%} of training with "
        "95% bootstrap intervals over seeds, and interquartile means (IQM), which a few seeds cannot "
        "pull. While learning: rollouts, exploration included (price-net does not explore). Acting: "
        "greedy, on held-out independent frames; shares are of their certified optimum. "
        "`scattermec evaluate` on a run's folder adds controls and rollouts.",
        columns=(
            "learner",
            "preset",
            "reward while learning, kbit/J",
            "IQM",
            "outage while learning",
            "acting",
            "share of the optimum",
            "IQM",
            "outage",
        ),
        rows=tuple(row for run in curves for row in _rows(run)),
        command="scattermec reproduce --out again --figures 2a,2b",
    )


def _verdicts(findings: Sequence[Finding]) -> Table:
    """Each claim about learning with what decides it, a row for each preset."""
    return Table(
        title="The paper's claims about learning",
        note="H-MADDPG with optimization beside the model-free one, with the same preset. A claim holds if "
        "the 95% interval wholly meets its condition, in part if only the estimate does.",
        columns=("claim", "preset", "verdict", "condition", "measured"),
        rows=tuple(
            (finding.name, finding.preset, finding.verdict, condition.statement, condition.measured)
            for finding in sorted(findings, key=lambda finding: finding.name)
            for condition in finding.conditions
        ),
        command="scattermec reproduce --out again --figures 2a,2b",
    )


def _rows(run: LearningCurves) -> list[tuple[str, ...]]:
    modes = [name.removeprefix("share.") for name in run.values if name.startswith("share.")]
    modes.sort(key=lambda mode: mode != GREEDY_MODE[run.learner])
    rows: list[tuple[str, ...]] = []
    # With foresight a policy does not act for the current frame alone.
    for index, mode in enumerate(modes or ("",)):
        learning = (
            f"{run.final('reward'):.1f}",
            f"{run.final_interquartile('reward'):.1f}",
            f"{run.final('outage'):.1%}",
        )
        acting: tuple[str, ...] = ("-", "-", "-")
        if mode:
            share = f"share.{mode}"
            outage = run.final(f"outage.{mode}")
            acting = f"{run.final(share):.1%}", f"{run.final_interquartile(share):.1%}", f"{outage:.1%}"
        rows.append(
            (
                run.learner,
                run.preset or "-",
                *(learning if index == 0 else ("", "", "")),
                mode or "-",
                *acting,
            )
        )
    return rows


def _fits(learner: str, preset: str) -> bool:
    """Whether a learner takes the preset's form of actions; the AP alone has no users, so no such forms."""
    if learner == "ap-ddpg":
        return preset in ("paper", "tuned")
    return SETTINGS[preset].action_form in ALGORITHMS[learner].FORMS
