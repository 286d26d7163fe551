"""The results of a sweep: a data set in Parquet, one file per group, which can be read while it grows.

    sweep.json                               the plan's record and digest, versions, command
    plan.yaml                                the plan
    results/part=0000/group-00000000.parquet a row or more per task

Columns are `task`, `hash` and `seed`, the constants that vary, what the job measures (`jobs.Columns`), and
`fault`. Files have no times or places in them: the same plan gives the same bytes on every engine.
"""

import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.dataset
import pyarrow.parquet

from scattermec._version import __version__
from scattermec._yaml import show
from scattermec.errors import InputError
from scattermec.experiments.measure.statistics import Estimate, mean_interval
from scattermec.experiments.sweep.plan import Plan
from scattermec.experiments.sweep.tasks import Task, Tasks
from scattermec.storage.atomic import check_own_folder, replace_text, replacing
from scattermec.storage.texts import read_object, read_text

RECORD, PLAN, RESULTS, WORK, MERGED = "sweep.json", "plan.yaml", "results", "work", "merged.parquet"
TRIALS = "trials.jsonl"

PART = 1000
"""Groups in a partition, which is a folder."""

ROWS_TOGETHER = 1 << 16
"""Rows of a row group of a merged file, which is what merging holds in memory."""


class Store:
    """The folder of a sweep."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan = folder, plan

    @cached_property
    def tasks(self) -> Tasks:
        """The tasks of the plan; with constants that a search has chosen, if it was one."""
        tasks = Tasks(self.plan)
        if self.trials.exists():
            lines = read_text(self.trials).splitlines()
            try:
                tasks.chosen = {number: dict(json.loads(line)) for number, line in enumerate(lines)}
            except (ValueError, TypeError):
                raise InputError([f"{self.trials}: is damaged: it must be JSON, line by line"]) from None
        return tasks

    @property
    def trials(self) -> Path:
        """File of the constants that a search has chosen, one line per trial."""
        return self.folder / TRIALS

    @classmethod
    def begin(cls, folder: Path, plan: Plan, command: str) -> "Store":
        """A new folder, or that of the same plan to go on with; raises InputError for any other."""
        path = folder / RECORD
        if path.exists():
            found = cls.open(folder)
            if found.plan.digest != plan.digest:
                names = ", ".join(_differences(plan.record(), found.plan.record()))
                raise InputError([f"{folder}: holds another plan ({names} differ); name another folder"])
            return found
        check_own_folder(folder, RECORD, besides=(PLAN,))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RESULTS).mkdir(exist_ok=True)
        plan.save(folder / PLAN)
        record = {"plan": plan.record(), "digest": plan.digest, "version": __version__, "command": command}
        replace_text(path, json.dumps(record, indent=1) + "\n")
        return cls(folder, plan)

    @classmethod
    def open(cls, folder: Path) -> "Store":
        """The sweep in a folder; raises InputError if there is none, or its plan is damaged."""
        path = folder / RECORD
        if not path.exists():
            raise InputError([f"{folder}: is not the folder of a sweep: it has no {RECORD}"])
        record = read_object(path)
        if not isinstance(record.get("plan"), dict):
            raise InputError([f"{path}: is damaged: it has no plan"])
        try:
            plan = Plan(**record["plan"])
        except InputError as error:
            raise InputError(f"{path}: {fault}" for fault in error.faults) from None
        if plan.digest != record.get("digest"):
            raise InputError([f"{path}: is damaged: the digest is not that of the plan"])
        return cls(folder, plan)

    def path(self, group: int) -> Path:
        """File of a group."""
        return self.folder / RESULTS / f"part={group // PART:04d}" / f"group-{group:08d}.parquet"

    def work(self, group: int) -> Path:
        """Folder for the checkpoints of a group."""
        return self.folder / WORK / f"group-{group:08d}"

    def done(self) -> bytearray:
        """Whether each group is done, a byte each: what the folder holds."""
        found = bytearray(self.tasks.groups)
        for part in _entries(self.folder / RESULTS):
            for entry in _entries(Path(part.path)):
                stem = entry.name.removeprefix("group-").removesuffix(".parquet")
                if entry.name == f"group-{stem}.parquet" and stem.isdecimal() and int(stem) < len(found):
                    found[int(stem)] = 1
        return found

    def left(self, numbers: Iterable[int] | None = None) -> list[int]:
        """The groups that are not done, all or of some."""
        done = self.done()
        return [number for number in (range(len(done)) if numbers is None else numbers) if not done[number]]

    def write(self, group: int, content: bytes) -> None:
        """Keep the file of a group."""
        path = self.path(group)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            partial.write_bytes(content)

    def encode(
        self, schema: pyarrow.Schema, found: Iterable[tuple[Task, Sequence[Mapping[str, Any]]]]
    ) -> bytes:
        """The file of a group."""
        names, texts = schema.names, _texts(schema)
        columns: dict[str, list[Any]] = {name: [] for name in names}
        for task, rows in found:
            own = {"task": task.number, "hash": task.hash, "seed": task.seed}
            own |= {name: self.tasks.value(task, name) for name in self.plan.varied}
            own = {
                name: show(value) if name in texts and name != "hash" else value
                for name, value in own.items()
            }
            for row in rows:
                for name in names:
                    value = own[name] if name in own else row.get(name)
                    columns[name].append("" if value is None and name in texts else value)
        file = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table(columns, schema=schema), file)
        return file.getvalue()

    def schema(self, measured: Sequence[pyarrow.Field]) -> pyarrow.Schema:
        """The columns of all files, given those of the job."""
        begin = [("task", pyarrow.int64()), ("hash", pyarrow.string()), ("seed", pyarrow.int64())]
        varied = [(name, self._kind(name)) for name in self.plan.varied]
        fields = [pyarrow.field(*pair) for pair in (*begin, *varied)] + list(measured)
        notes = {"scattermec.version": __version__, "scattermec.plan": self.plan.digest}
        return pyarrow.schema([*fields, pyarrow.field("fault", pyarrow.string())], metadata=notes)

    def merge(self, progress: Callable[[int, int], None]) -> tuple[Path, int, int]:
        """Write all results that are there into one file, in the order of the tasks.

        Returns the file, its tasks and its rows. Raises InputError if a file does not hold the tasks of its
        group. Memory does not grow with the number of groups.
        """
        path, rows, tasks = self.folder / MERGED, 0, 0
        done = self.done()
        with replacing(path) as partial, partial.open("wb") as file:
            writer: pyarrow.parquet.ParquetWriter | None = None
            waiting: list[pyarrow.Table] = []
            held = 0
            for group in range(len(done)):
                if done[group]:
                    table = self.read(group)
                    waiting.append(table)
                    held += table.num_rows
                    tasks += len(self.tasks.group(group))
                if held and (held >= ROWS_TOGETHER or group == len(done) - 1):
                    whole = pyarrow.concat_tables(waiting)
                    writer = writer or pyarrow.parquet.ParquetWriter(file, whole.schema)
                    writer.write_table(whole)
                    rows, held, waiting = rows + held, 0, []
                progress(group + 1, len(done))
            if writer is None:
                raise InputError([f"{self.folder}: has no results yet"])
            writer.close()
        return path, tasks, rows

    def read(self, group: int) -> pyarrow.Table:
        """The rows of a group; raises InputError unless they are those of its tasks."""
        path = self.path(group)
        try:
            # Opened here: pyarrow would take a file name for a data set.
            with path.open("rb") as file:
                table = pyarrow.parquet.read_table(file, use_threads=False, pre_buffer=False)
            found = list(
                dict.fromkeys(zip(table["task"].to_pylist(), table["hash"].to_pylist(), strict=True))
            )
        except OSError as error:
            raise InputError([f"{path}: cannot be read: {error.strerror or 'not Parquet'}"]) from None
        except Exception:  # pyarrow may raise anything for a damaged file
            raise InputError([f"{path}: cannot be read: not Parquet"]) from None
        numbers = self.tasks.group(group)
        if [number for number, _ in found] != list(numbers):
            raise InputError([f"{path}: does not hold the tasks {numbers[0]} to {numbers[-1]}; delete it"])
        if any(self.tasks.task(number).hash != own for number, own in found):
            raise InputError([f"{path}: was made for other tasks; delete it"])
        return table

    def columns(self, names: Sequence[str], quantities: Sequence[str]) -> dict[str, np.ndarray]:
        """Columns of all results that are there, a row for each of theirs, in the order of the groups.

        ``quantities`` are numbers; where a job has the ends of their intervals, these come too (`NAME_low`,
        `NAME_high`). Raises InputError for names that are no columns, and if nothing is there.
        """
        paths = [str(self.path(group)) for group, done in enumerate(self.done()) if done]
        if not paths:
            raise InputError([f"{self.folder / RESULTS}: has no results yet"])
        data = pyarrow.dataset.dataset(paths, format="parquet")
        there = data.schema.names
        wanted = list(dict.fromkeys([*names, *quantities]))
        faults = [
            f"{name[:80]}: is not a column; choose from {', '.join(there)}"
            for name in wanted
            if name not in there
        ]
        faults += [
            f"{name}: is a text; it must be a number"
            for name in quantities
            if name in there and data.schema.field(name).type == pyarrow.string()
        ]
        if faults:
            raise InputError(faults)
        ends = [end for name in quantities for end in (f"{name}_low", f"{name}_high") if end in there]
        table = data.to_table(columns=list(dict.fromkeys([*wanted, *ends])), use_threads=False)
        return {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}

    def _kind(self, name: str) -> pyarrow.DataType:
        """Type of the column of a constant: numbers if all its values are, else texts."""
        plan = self.plan
        values: list[Any] = [value for axis in plan.axes if axis.name == name for value in axis.values]
        values += [point[name] for point in plan.listed if name in point]
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            return pyarrow.float64()
        return pyarrow.string()


def mean_of(columns: Mapping[str, np.ndarray], name: str, rows: Sequence[int] | np.ndarray) -> Estimate:
    """The mean of a quantity over some rows of `Store.columns`, with its 95% interval.

    Rows without a number do not count. The interval of a single row is its own, or NaN.
    """
    values = columns[name][rows].astype(float)
    there = np.isfinite(values)
    if there.sum() > 1:
        return mean_interval(values[there])
    if not there.any():
        return Estimate(np.nan, np.nan, np.nan)
    row = np.asarray(rows)[there][0]
    ends = (columns.get(f"{name}_{end}") for end in ("low", "high"))
    return Estimate(float(values[there][0]), *(np.nan if end is None else float(end[row]) for end in ends))


def _texts(schema: pyarrow.Schema) -> set[str]:
    return {field.name for field in schema if field.type == pyarrow.string()}


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    if folder.is_dir():
        with os.scandir(folder) as entries:
            yield from entries


def _differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    return (name for name in ours if ours[name] != theirs.get(name))
