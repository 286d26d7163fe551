"""One machine: a process per core, each with one thread."""

from collections.abc import Sequence
from functools import partial

from scattermec._processes import run_in_processes
from scattermec.engines import Report, Work
from scattermec.errors import WorkerDiedError

ATTEMPTS = 5
"""How often processes may die in turn without any task done in between."""


def run(work: Work, numbers: Sequence[int], report: Report, *, processes: int | None = None) -> None:
    """Compute and keep tasks; those of a process that dies are computed again.

    Args:
        work: the tasks.
        numbers: which of them.
        report: called for each, here.
        processes: how many; by default one per core, but not more than tasks.

    Raises the first error of any task, and WorkerDiedError if processes die again and again.
    """
    left, deaths = list(numbers), 0
    while left:
        done: set[int] = set()

        def tell(number: int, done: set[int] = done) -> None:
            done.add(number)
            report(number)

        try:
            run_in_processes(partial(_compute, work), left, tell, processes=processes)
            return
        except WorkerDiedError:
            deaths = 1 if done else deaths + 1
            if deaths == ATTEMPTS:
                raise
        left = [number for number in left if number not in done]


def _compute(work: Work, number: int, report: Report) -> None:
    work.keep(number, work.compute(number))
    report(number)
