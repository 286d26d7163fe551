"""Computes the paper's figures and judges its claims: the items of all studies, then the report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scattermec.engines import local
from scattermec.experiments.claims.optima import Finding
from scattermec.experiments.measure.beams import BEAMS
from scattermec.experiments.measure.sweeps import Measurement
from scattermec.experiments.report.redraw import discard_pictures, redraw
from scattermec.experiments.studies.base import every_study, studies_of
from scattermec.experiments.studies.items import Items
from scattermec.experiments.studies.plan import Plan
from scattermec.experiments.studies.record import Record
from scattermec.experiments.studies.results import Results
from scattermec.experiments.studies.sweeps import Sweeps

Engine = Callable[[Items, Sequence[int], Callable[[int], None]], None]
"""Computes and keeps tasks by their numbers, and reports each here."""


IN_TURN: Engine = partial(local.run, processes=1)
"""This process."""


@dataclass(frozen=True)
class Reproduction:
    """Results of a run of `reproduce`."""

    files: tuple[Path, ...]
    findings: tuple[Finding, ...]
    computed: int
    """points of sweeps computed by this run"""
    reused: int
    """points of the wanted figures that existed already"""
    not_converged: float
    """largest share of a point's frames that the solver could not settle"""
    gap: float
    """largest gap of a point between energy and certified bound, relative to the energy"""


def reproduce(
    plan: Plan,
    folder: Path,
    *,
    overwrite: bool = False,
    command: str = "",
    engine: Engine = IN_TURN,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Reproduction:
    """Run the studies that a plan asks for, then draw and judge everything complete in the folder.

    Results in the folder are not computed again, so an interrupted run continues. All results are kept as
    data in the folder, and `redraw` draws everything for readers from them.

    Args:
        plan: the plan.
        folder: folder of all outputs; created if missing.
        overwrite: start anew, discarding the results in the folder.
        command: command line that repeats the run, for the record.
        engine: what computes; by default this process.
        progress: called with the number of frames trained and solved, and the total.

    Raises InputError if the folder holds results of other settings.
    """
    if overwrite:
        discard_pictures(folder)
        for kind in every_study():
            kind.discard(folder)
        Items((), folder).discard()
    before = set(Results.open(folder, plan.settings(), overwrite=overwrite).points)
    record = Record.open(folder, overwrite=overwrite)
    items = Items(studies_of(plan), folder)
    # Results that cannot be continued are refused before anything is computed.
    items.open()
    record.add_command(command)
    _compute(items, record, engine, progress)
    results = Results.read(folder)
    results.rewrite()
    results.export()

    drawn = redraw(folder)
    measurements = drawn.contents.measurements
    return Reproduction(
        files=(*results.files, *drawn.files),
        findings=tuple(drawn.contents.findings),
        computed=len(results.points.keys() - before),
        reused=len(Sweeps(plan).points & before),
        not_converged=_largest(measurements, "not_converged"),
        gap=_largest(measurements, "gap"),
    )


def _compute(items: Items, record: Record, engine: Engine, progress: Callable[[int, int], None]) -> None:
    """Compute the missing items, adding each to the findings as soon as those before it are there."""
    items.collect(record)
    left = items.left()
    frames = {number: items.frames(number) for number in range(len(items.pairs))}
    total, done = sum(frames.values()), frames | dict.fromkeys(left, 0)

    def update(number: int, reached: int) -> None:
        done[number] = reached
        progress(sum(done.values()), total)

    def report(number: int) -> None:
        items.collect(record)
        update(number, frames[number])

    items.progress = update
    engine(items, left, report)
    items.collect(record)
    items.discard()


def _largest(measurements: Sequence[Measurement], metric: str) -> float:
    # Without learned beams, which no solver settles.
    found = [row.mean for row in measurements if row.metric == metric and row.beams in BEAMS]
    return max(found, default=0.0)
