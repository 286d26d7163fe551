"""The paper's figures: Fig. 3 and 4 computed from exact optima, Fig. 2 from training runs; claims judged.

Each for every kind of beams that is asked for, learned ones among them; and what the paper lacks: a figure
that compares the beams, the claims where constants are others, and what imperfect knowledge costs.
"""

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from scattermec._version import __version__
from scattermec.experiments import frame_pictures, knowledge, learned, price_nets, ranges
from scattermec.experiments.beams import BEAMS, Beams
from scattermec.experiments.claims import Finding
from scattermec.experiments.knowledge import KnowledgePlan, examine_knowledge
from scattermec.experiments.learned import LearnedPlan, measure_learned
from scattermec.experiments.learning import RUNS, LearningPlan, train_runs
from scattermec.experiments.price_nets import PriceNetPlan, train_price_nets
from scattermec.experiments.ranges import RangePlan, examine_ranges
from scattermec.experiments.record import Record
from scattermec.experiments.redraw import LEARNING_FIGURES, discard_pictures, redraw
from scattermec.experiments.results import Results
from scattermec.experiments.sweeps import (
    COMPARED_BEAMS,
    FIGURES,
    REGIME,
    SWEEPS,
    Measurement,
    Sweep,
    measure_point,
)
from scattermec.scenario import Scenario

FRAMES = 2000
QUICK_FRAMES = 256
"""Frames a point unless told otherwise."""

__all__ = ["FRAMES", "LEARNING_FIGURES", "QUICK_FRAMES", "Plan", "Reproduction", "Studies", "reproduce"]


@dataclass(frozen=True)
class Plan:
    """What is to be computed; everything that the numbers depend on."""

    scenario: Scenario
    frames: int = FRAMES
    seed: int = 0
    beams: tuple[Beams, ...] = ("mrt", "optimal")
    """for which the paper's figures are drawn and its claims judged"""
    quick: bool = False
    learned: LearnedPlan = learned.FULL
    """what is trained at every point for learned beams, where these are wanted"""

    def beams_of(self, figure: str) -> tuple[Beams, ...]:
        """Kinds of beams that a figure needs."""
        return COMPARED_BEAMS if figure == "beams" else self.beams

    def settings(self) -> dict[str, Any]:
        """As kept beside the results, which are continued only under equal settings."""
        return {
            "version": __version__,
            "regime": REGIME,
            "points": {sweep.name: list(sweep.values(self.quick)) for sweep in SWEEPS.values()},
            "frames": self.frames,
            "seed": self.seed,
            "beams": [kind for kind in BEAMS if kind in self.beams],
            "learned": dataclasses.asdict(self.learned),
            "precision": str(jnp.asarray(0.0).dtype),
            "scenario": self.scenario.model_dump(mode="json"),
        }


@dataclass(frozen=True)
class Studies:
    """What is to be learned and examined besides; parts that are None are left out, or as they are."""

    learning: LearningPlan | None = None
    """the training runs of Fig. 2"""
    price_nets: PriceNetPlan | None = None
    """price-net beside them"""
    learned: bool = False
    """learned beams at every point of the sweeps"""
    ranges: RangePlan | None = None
    knowledge: KnowledgePlan | None = None


@dataclass(frozen=True)
class Reproduction:
    """What a run left behind."""

    files: tuple[Path, ...]
    findings: tuple[Finding, ...]
    computed: int
    """points computed by this run"""
    reused: int
    """points that were there already"""
    not_converged: float
    """largest part of the frames of a point that the solver could not settle"""
    gap: float
    """largest gap of a point between energy and certified bound, relative to the energy"""


def reproduce(
    plan: Plan,
    folder: Path,
    *,
    wanted: Sequence[str] = (*FIGURES, frame_pictures.NAME),
    overwrite: bool = False,
    studies: Studies | None = None,
    command: str = "",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Reproduction:
    """Measure the sweeps of the wanted figures, then draw and judge whatever is complete in the folder.

    Points already in the folder are not computed again, so that an interrupted run goes on where it was.
    Everything computed is kept as data in the folder, and all that readers see is drawn by `redraw` from
    there. To compute something more, do it before `redraw`, inside a `Record.part` of its own, and keep it as
    a file.

    Args:
        plan: what to compute.
        folder: where everything is written; made if missing.
        wanted: figures, of `FIGURES`, and "frame" for the pictures of one frame.
        overwrite: start anew, discarding the results in the folder.
        studies: what else; without them, what is there already is drawn.
        command: what to type for the same again, for the record.
        progress: told how many frames are trained and solved, and of how many.

    Raises InputError if the folder holds results of other settings.
    """
    points = dict.fromkeys(
        (sweep, value, kind)
        for sweep in SWEEPS.values()
        for value in sweep.values(plan.quick)
        for figure in wanted
        if figure in sweep.figures
        for kind in plan.beams_of(figure)
    )
    if overwrite:
        discard_pictures(folder)
    results = Results.open(folder, plan.settings(), overwrite=overwrite)
    record = Record.open(folder, overwrite=overwrite)
    record.add_command(command)
    missing = [point for point in points if (point[0].name, *point[1:]) not in results.points]
    studies = studies or Studies()
    if overwrite:
        for name in (RUNS, knowledge.RUNS, ranges.RUNS):
            shutil.rmtree(folder / name, ignore_errors=True)
        for name in (knowledge.FILE, ranges.FILE, price_nets.FILE):
            (folder / name).unlink(missing_ok=True)
    to_learn = [
        (sweep, value)
        for sweep in SWEEPS.values()
        for value in sweep.values(plan.quick)
        if studies.learned and (sweep.name, value, learned.KIND) not in results.points
    ]
    steps = _Steps(progress)
    training = steps.add(0 if studies.learning is None else studies.learning.total)
    netting = steps.add(0 if studies.price_nets is None else studies.price_nets.total)
    solving = steps.add(sum(plan.frames * len(sweep.schemes) for sweep, _, _ in missing))
    learning = steps.add(plan.learned.total * len(to_learn))
    knowing = steps.add(0 if studies.knowledge is None else studies.knowledge.total)
    ranging = steps.add(0 if studies.ranges is None else studies.ranges.total)
    if studies.learning is not None:
        train_runs(studies.learning, folder, training, record)
    if studies.price_nets is not None:
        with record.part(
            "training of price-net", when=not price_nets.is_finished(studies.price_nets, folder)
        ):
            train_price_nets(studies.price_nets, folder, netting)
    _measure(plan, results, record, missing, solving)
    _learn(plan, results, record, to_learn, learning)
    if studies.knowledge is not None:
        with record.part("imperfect knowledge", when=not knowledge.is_finished(studies.knowledge, folder)):
            examine_knowledge(studies.knowledge, folder, knowing)
    if studies.ranges is not None:
        with record.part("other constants", when=not ranges.is_finished(studies.ranges, folder)):
            examine_ranges(studies.ranges, folder, ranging)
    if frame_pictures.NAME in wanted and not frame_pictures.is_kept(folder, plan.scenario):
        with record.part("frame under each policy"):
            frame_pictures.keep_frame(plan.scenario, plan.seed, folder)
    results.rewrite()
    results.export()

    drawn = redraw(folder)
    measurements = drawn.contents.measurements
    return Reproduction(
        files=(*results.files, *drawn.files),
        findings=tuple(drawn.contents.findings),
        computed=len(missing) + len(to_learn),
        reused=len(points) - len(missing),
        not_converged=_largest(measurements, "not_converged"),
        gap=_largest(measurements, "gap"),
    )


class _Steps:
    """Progress of parts that follow each other, told as one."""

    def __init__(self, progress: Callable[[int, int], None]) -> None:
        self._progress, self._total = progress, 0

    def add(self, count: int) -> Callable[[int], None]:
        """Of a part of so many frames: to be told how many of them are done."""
        before = self._total
        self._total += count
        return lambda done: self._progress(before + done, self._total)


def _largest(measurements: Sequence[Measurement], metric: str) -> float:
    # Not of what was learned, which no solver settled.
    found = [row.mean for row in measurements if row.metric == metric and row.beams in BEAMS]
    return max(found, default=0.0)


def _measure(
    plan: Plan,
    results: Results,
    record: Record,
    missing: Sequence[tuple[Sweep, float, Beams]],
    progress: Callable[[int], None],
) -> None:
    done = 0

    def count(scheme: str) -> None:
        nonlocal done
        done += plan.frames
        progress(done)

    # All kinds of beams of a point together, since they share the frames and their bounds.
    for sweep, value in dict.fromkeys((sweep, value) for sweep, value, _ in missing):
        with record.part(f"sweep of {sweep.name}"):
            measured = measure_point(
                plan.scenario,
                sweep,
                value,
                frames=plan.frames,
                seed=plan.seed,
                beams=[kind for *point, kind in missing if point == [sweep, value]],
                on_scheme=count,
            )
        results.add(measured)


def _learn(
    plan: Plan,
    results: Results,
    record: Record,
    points: Sequence[tuple[Sweep, float]],
    progress: Callable[[int], None],
) -> None:
    for index, (sweep, value) in enumerate(points):
        with record.part(f"learned beams, sweep of {sweep.name}"):
            measured = measure_learned(
                plan.scenario,
                sweep,
                value,
                plan.learned,
                frames=plan.frames,
                seed=plan.seed,
                progress=lambda done, before=index * plan.learned.total: progress(before + done),  # type: ignore[misc]
            )
        results.add(measured)
