"""A sweep run: its groups computed by an engine, and how long that takes."""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow

from scattermec.experiments.sweep import jobs
from scattermec.experiments.sweep.plan import Plan
from scattermec.experiments.sweep.store import RECORD, Store
from scattermec.experiments.sweep.tasks import Task, Tasks
from scattermec.storage.atomic import alone


class Sweep:
    """The groups of a sweep as the tasks of an engine; see `scattermec.engines.Work`."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder.resolve()
        self._store: Store | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"plan": self.plan, "folder": self.folder, "_store": None}

    @property
    def store(self) -> Store:
        """The folder's data set."""
        self._store = self._store or Store(self.folder, self.plan)
        return self._store

    def compute(self, number: int) -> bytes:
        """The file of a group. If another process on the same disk computes it, waits for that one's file."""
        path = self.store.path(number)
        if not self._sees_the_folder():
            return self._encoded(number)
        with alone(path):
            return path.read_bytes() if path.exists() else self._encoded(number)

    def rows(self, number: int) -> Iterator[tuple[Task, list[jobs.Row]]]:
        """The tasks of a group with their rows."""
        tasks = self.store.tasks
        return jobs.run(tasks, tasks.group(number), self.scratch(number), tasks.group_size)

    def scratch(self, number: int) -> Path:
        """Folder for the checkpoints of a group, on a machine that does not see the sweep elsewhere."""
        if self._sees_the_folder():
            return self.store.work(number)
        return Path(tempfile.gettempdir()) / f"scattermec-{self.plan.digest[:16]}" / f"{number}"

    def _encoded(self, number: int) -> bytes:
        return self.store.encode(self.store.schema(fields_of(self.plan)), self.rows(number))

    def _sees_the_folder(self) -> bool:
        return (self.folder / RECORD).exists()

    def keep(self, number: int, content: bytes) -> None:
        """Write the file of a group, unless it is there."""
        if not self.store.path(number).exists():
            self.store.write(number, content)


def fields_of(plan: Plan) -> list[pyarrow.Field]:
    """The columns of what a job measures."""
    columns = jobs.columns_of(plan)
    estimates = [n for name in columns.estimates for n in (name, f"{name}_low", f"{name}_high")]
    kinds = (
        (columns.labels, pyarrow.string()),
        (columns.counts, pyarrow.int64()),
        (columns.numbers, pyarrow.float64()),
        (estimates, pyarrow.float64()),
    )
    return [pyarrow.field(name, kind) for names, kind in kinds for name in names]


@dataclass(frozen=True)
class Cost:
    """What a sweep takes, from a measured group."""

    first: float
    """seconds of the first group, compilation included"""
    group: float
    """seconds of a later group"""
    bytes: int
    """of a group's file"""

    def seconds(self, tasks: Tasks, groups: int, processes: int) -> float:
        """Seconds that so many groups take in so many processes."""
        compiling = tasks.compilations * max(0.0, self.first - self.group)
        return compiling + groups * self.group / max(1, min(processes, groups))


def measure(plan: Plan, folder: Path) -> Cost:
    """Compute the first group twice, and keep nothing; trainings are measured on few frames."""
    short, factor = plan, 1.0
    if plan.job == "train":
        frames = min(plan.chosen.frames, SAMPLE)
        short = plan.replace(options={**plan.options, "frames": frames})
        factor = plan.chosen.frames / frames
    sweep, spent, content = Sweep(short, folder), [], b""
    for _ in range(2):
        begin = time.perf_counter()
        content = sweep.compute(0)
        spent.append(time.perf_counter() - begin)
    compiling = max(0.0, spent[0] - spent[1])
    return Cost(compiling + spent[1] * factor, spent[1] * factor, len(content))


SAMPLE = 500
"""Frames of each seed on which trainings are measured."""
