"""Constants under which the paper's claims hold, for `scattermec calibrate`."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from scattermec._processes import run_in_processes
from scattermec.cli.jobs.common import command_line, not_submitted, warn_without_kernel
from scattermec.cli.output import Report, described_progress
from scattermec.cli.where import Where
from scattermec.engines import Listed, slurm
from scattermec.experiments.calibrate.calibration import (
    FULL,
    QUICK,
    RECORD,
    WINNER,
    Calibration,
    Effort,
    Task,
)
from scattermec.experiments.calibrate.tables import shipped, tables
from scattermec.scenario import Scenario

ARRAY = "array"
"""Folder of the script and the logs of a Slurm array."""

Compute = Callable[[Any, Callable[[Any], None]], None]
"""Computes a task, and reports."""


class _ShareDoneError(Exception):
    """A job has computed its share; only the command that started it goes on to the next stage."""


def run(
    folder: Path,
    base: Scenario,
    starts: tuple[Scenario, ...],
    known: tuple[Scenario, ...],
    words: list[str],
    where: Where,
    *,
    quick: bool,
    seed: int,
    quiet: bool,
) -> Report:
    """Calibrate in a folder, or continue there; ``words`` are the options that name scenarios."""
    warn_without_kernel(True)
    again = ["calibrate", str(folder), *(["--quick"] if quick else []), "--seed", str(seed), *words]
    # With an absolute path, since workers of Ray have working folders of their own.
    calibration = Calibration(
        folder.absolute(), base, _effort(quick), seed, starts, known, _sharing(folder, again, where)
    )
    try:
        with described_progress("Sampling", quiet=quiet, unit="scenarios") as update:
            record = calibration.run(update)
    except slurm.NotSubmittedError as error:
        return not_submitted(error)
    found = f"The scenario found: {folder / WINNER}. The record: {folder / RECORD}."
    return _report(record, command_line(), [found])


def run_share(
    folder: Path,
    base: Scenario,
    starts: tuple[Scenario, ...],
    known: tuple[Scenario, ...],
    where: Where,
    *,
    quick: bool,
    seed: int,
) -> None:
    """Compute the share of a job in the first stage that is not complete."""

    def share(work: Compute, tasks: Sequence[Task], report: Callable[[Any], None]) -> None:
        if not all(task.done for task in tasks):
            own = [number for number in where.share(len(tasks)) if not tasks[number].done]
            slurm.run(Listed(work, tasks, report), own, lambda number: None)
            raise _ShareDoneError

    with contextlib.suppress(_ShareDoneError):
        calibration = Calibration(folder.absolute(), base, _effort(quick), seed, starts, known, share)
        calibration.run(lambda *stage: None)


def _sharing(folder: Path, again: list[str], where: Where) -> Callable[..., None]:
    """How an engine shares the tasks of a stage; ``again`` is the command, for the jobs of an array."""
    if where.engine == "ray":

        def on_ray(work: Compute, tasks: Sequence[Task], report: Callable[[Any], None]) -> None:
            where.compute(Listed(work, tasks, report), range(len(tasks)), lambda number: None)

        return on_ray
    if where.engine == "local":
        return partial(run_in_processes, processes=where.processes)

    def share(work: Compute, tasks: Sequence[Task], report: Callable[[Any], None]) -> None:
        def left() -> int:
            return sum(not task.done for task in tasks)

        if left():
            command = [sys.executable, "-m", "scattermec", *again]
            slurm.complete(command, folder / ARRAY, where.array, len(tasks), left)
        for task in tasks:  # all are done: this only reads their files and reports them
            work(task, report)

    return share


def _effort(quick: bool) -> Effort:
    return QUICK if quick else FULL


def show() -> Report:
    """The calibration that comes with the package."""
    return _report(shipped(), "scattermec calibrate", ["The scenario found: --scenario paper."])


def _report(record: Mapping[str, Any], command: str, notes: list[str]) -> Report:
    return Report(data=record, tables=tables(record, command), values=_values(record), notes=notes)


def _values(record: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    yield ("claim", "other", "joint_margin")
    for first, others in record["joint"].items():
        for second, margin in others.items():
            yield (first, second, margin)
