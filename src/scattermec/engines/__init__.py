"""Engines: the same numbered tasks on the cores of one machine, on a Slurm cluster, or on Ray.

`local` starts a process per core, `slurm` an array of jobs, `ray` remote functions. Each computes a task
with one thread and the same compiler settings, so that results are the same to the digit. Nothing here knows
what the tasks compute.
"""

from collections.abc import Callable
from typing import Literal, Protocol, get_args, runtime_checkable

__all__ = ["ENGINES", "Engine", "Report", "Work"]

Engine = Literal["local", "slurm", "ray"]
ENGINES: tuple[Engine, ...] = get_args(Engine)

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
