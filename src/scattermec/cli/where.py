"""The engine that the options of a command ask for. Nothing here imports JAX."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from scattermec.engines import Work, local, ray, slurm


@dataclass(frozen=True)
class Where:
    """An engine and its settings."""

    engine: str = "local"
    address: str | None = None
    """of a Ray cluster"""
    processes: int | None = None
    """on this machine"""
    array: slurm.Settings = field(default_factory=slurm.Settings)
    """of a Slurm cluster"""
    index: int | None = None
    """number of the job that this process is within the array, if it is one"""

    def share(self, tasks: int) -> range:
        """The tasks of this job."""
        assert self.index is not None
        return slurm.share(self.index, self.array.jobs, tasks)

    def compute(self, work: Work, numbers: Sequence[int], report: Callable[[int], None]) -> None:
        """Compute and keep tasks, here or on Ray."""
        if numbers and self.engine == "ray":
            ray.run(work, numbers, report, address=self.address, processes=self.processes)
        else:
            local.run(work, numbers, report, processes=self.processes)
