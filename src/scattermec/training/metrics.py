"""Metrics as they come: one Parquet file a block of seeds, with one row a seed and chunk of frames.

Columns: ``seed``; ``frame``, frames played so far; means over the chunk while learning (``reward`` in kbit/J,
``user_reward``, ``outage``, ``ap_energy`` in J, ``processed`` in kbit, ``estimate_chosen``, and
``critic_loss.AGENT`` and ``value.AGENT`` of each agent); then, of each greedy mode on held-out frames,
``reward.MODE`` in kbit/J, ``outage.MODE`` and ``share.MODE``, the part of the optimal mean reward.
"""

from collections.abc import Mapping
from pathlib import Path

import pyarrow
import pyarrow.parquet

from scattermec.errors import InputError
from scattermec.storage.atomic import replacing

Row = dict[str, int | float]

_INTEGERS = ("seed", "frame")


class MetricsFile:
    """The rows of one block, in memory and, once saved, in a file."""

    def __init__(self, path: Path, notes: Mapping[str, str]) -> None:
        self.path = path
        self._notes = {f"scattermec.{name}": text for name, text in notes.items()}
        self.rows: list[Row] = []

    def take_up(self, frame: int) -> None:
        """Read the rows of the first ``frame`` frames, the later ones being played again.

        Raises InputError where they are not there.
        """
        rows = read(self.path)
        self.rows = [row for row in rows if row["frame"] <= frame]
        if frame not in {row["frame"] for row in self.rows}:
            raise InputError([f"{self.path}: lacks frame {frame}, at which the checkpoint is"])

    def save(self) -> None:
        """Replace the file by all rows so far."""
        names = list(self.rows[0]) if self.rows else list(_INTEGERS)
        kinds = [(name, pyarrow.int64() if name in _INTEGERS else pyarrow.float64()) for name in names]
        columns = {name: [row[name] for row in self.rows] for name in names}
        schema = pyarrow.schema(kinds, metadata=self._notes)
        with replacing(self.path) as partial, partial.open("wb") as file:
            pyarrow.parquet.write_table(pyarrow.table(columns, schema=schema), file)


def read(path: Path) -> list[Row]:
    """The rows of one file; raises InputError where they cannot be read."""
    try:
        # Opened here: given a name, pyarrow would look for a data set.
        with path.open("rb") as file:
            return pyarrow.parquet.read_table(file, use_threads=False, pre_buffer=False).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        reason = str(error).splitlines()[0] if str(error) else "not Parquet"
        raise InputError([f"{path}: metrics cannot be read: {reason}"]) from None
