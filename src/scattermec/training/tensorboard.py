"""The same metrics for TensorBoard, if tensorboardX is installed."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def tensorboard(folder: Path) -> Iterator[Callable[[list[dict[str, Any]]], None]]:
    """Yield a writer of metric rows; it writes below ``folder``, one TensorBoard run per seed."""
    from tensorboardX import SummaryWriter

    writers: dict[int, Any] = {}

    def write(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            seed, frame = row["seed"], row["frame"]
            if seed not in writers:
                # Replaces points that an earlier process wrote for frames that are now played again.
                writers[seed] = SummaryWriter(str(folder / f"seed-{seed:04d}"), purge_step=frame)
            for name, value in row.items():
                if name not in ("seed", "frame") and value == value:
                    writers[seed].add_scalar(name.replace(".", "/", 1), value, frame)

    try:
        yield write
    finally:
        for writer in writers.values():
            writer.close()
