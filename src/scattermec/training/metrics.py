"""Metrics during training: one Parquet file per block of seeds, one row per seed and chunk of frames.

Columns: ``seed``; ``frame``, frames played so far; means over the chunk while learning (``reward`` in kbit/J,
``user_reward``, ``outage``, ``ap_energy`` in J, ``processed`` in kbit, ``estimate_chosen``, and
``critic_loss.AGENT`` and ``value.AGENT`` of each agent); then, for each greedy mode on held-out frames,
``reward.MODE`` in kbit/J, ``outage.MODE`` and ``share.MODE``, the share of the optimal mean reward.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow
import pyarrow.parquet

from scattermec.errors import InputError
from scattermec.storage.atomic import replacing

Row = dict[str, int | float]

_OF_MODES = ("reward", "outage", "share")
_INTEGERS = ("seed", "frame")


class MetricsFile:
    """Rows of one block, in memory and, once saved, in a file."""

    def __init__(self, path: Path, notes: Mapping[str, str]) -> None:
        self.path = path
        self._notes = {f"scattermec.{name}": text for name, text in notes.items()}
        self.rows: list[Row] = []

    def take_up(self, frame: int) -> None:
        """Read the rows of the first ``frame`` frames; later frames will be played again.

        Raises InputError if these rows are missing.
        """
        rows = read(self.path)
        self.rows = [row for row in rows if row["frame"] <= frame]
        if frame not in {row["frame"] for row in self.rows}:
            raise InputError([f"{self.path}: lacks frame {frame}, at which the checkpoint is"])

    def save(self) -> None:
        """Replace the file with all rows so far."""
        names = list(self.rows[0]) if self.rows else list(_INTEGERS)
        kinds = [(name, pyarrow.int64() if name in _INTEGERS else pyarrow.float64()) for name in names]
        columns = {name: [row[name] for row in self.rows] for name in names}
        schema = pyarrow.schema(kinds, metadata=self._notes)
        with replacing(self.path) as partial, partial.open("wb") as file:
            pyarrow.parquet.write_table(pyarrow.table(columns, schema=schema), file)


def columns_of(modes: Iterable[str]) -> list[str]:
    """Columns that readers of metrics use, for a learner with these modes."""
    return [
        "reward",
        "outage",
        *(f"{name}.{mode}" for name in _OF_MODES for mode in modes),
    ]


def read(path: Path, columns: Sequence[str] = ()) -> list[Row]:
    """Rows of one file, which must contain at least ``columns``; raises InputError for any other file."""
    try:
        # Opened here: pyarrow would take a file name for a data set.
        with path.open("rb") as file:
            table = pyarrow.parquet.read_table(file, use_threads=False, pre_buffer=False)
        faults = list(_faults(table, columns))
        rows = [] if faults else table.to_pylist()
    except OSError as error:
        raise InputError([f"{path}: metrics cannot be read: {error.strerror or 'not Parquet'}"]) from None
    except Exception:  # pyarrow may raise anything for a damaged file
        raise InputError([f"{path}: metrics cannot be read: not Parquet"]) from None
    if faults:
        raise InputError(f"{path}: {fault}" for fault in faults)
    return rows


def _faults(table: pyarrow.Table, columns: Sequence[str]) -> Iterator[str]:
    """Reasons why a table is not a table of metrics."""
    for name in dict.fromkeys((*_INTEGERS, *columns)):
        if name not in table.column_names:
            yield f"{name}: is missing"
    if len(set(table.column_names)) < len(table.column_names):
        yield "columns: a name is given twice"
    for field, column in zip(table.schema, table.columns, strict=True):
        wanted = pyarrow.int64() if field.name in _INTEGERS else pyarrow.float64()
        if field.type != wanted:
            yield f"{field.name}: type {field.type} is not allowed; it must be {wanted}"
        elif column.null_count:
            yield f"{field.name}: has {column.null_count} empty cells"
    if not table.num_rows:
        yield "has no rows"
