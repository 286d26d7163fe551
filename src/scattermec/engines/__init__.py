"""Engines: the same numbered tasks on the cores of one machine, on a Slurm cluster, or on Ray.

`local` starts a process per core, `slurm` an array of jobs, `ray` remote functions. Each computes a task
with one thread and the same compiler settings, so that results are the same to the digit. Nothing here knows
what the tasks compute.
"""

import pickle
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

__all__ = ["Listed", "Report", "Work"]

Report = Callable[[int], None]
"""Called with the number of each task that is done."""


@runtime_checkable
class Work(Protocol):
    """Tasks by their numbers; an object that can be pickled.

    Computing a task twice gives the same bytes, and keeping them twice is like keeping them once.
    """

    def compute(self, number: int) -> bytes:
        """The result of a task, computed in any process of any machine."""
        ...

    def keep(self, number: int, content: bytes) -> None:
        """Keep the result of a task, where the folder of the results can be written."""
        ...


class Listed:
    """A list of tasks for a function, as `scattermec._processes.run_in_processes` takes it, as `Work`.

    The function keeps its results itself, in files that all machines see; what it reports is passed on.
    """

    def __init__(
        self,
        work: Callable[[Any, Callable[[Any], None]], None],
        tasks: Sequence[Any],
        report: Callable[[Any], None],
    ) -> None:
        self._work, self._tasks = work, tasks
        self._report: Callable[[Any], None] | None = report

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_report": None}

    def compute(self, number: int) -> bytes:
        """Do a task; returns what it reports."""
        reports: list[Any] = []
        self._work(self._tasks[number], reports.append)
        return pickle.dumps(reports)

    def keep(self, number: int, content: bytes) -> None:
        """Pass on what a task has reported."""
        assert self._report is not None
        for report in pickle.loads(content):
            self._report(report)
