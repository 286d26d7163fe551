"""Files replaced whole, locks that end with their process, and which folders a run may have. Without JAX."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from scattermec.errors import InputError

try:
    import fcntl
except ImportError:  # not on Windows, where two runs in one folder go unnoticed
    fcntl = None  # type: ignore[assignment]

RUN, SCENARIO, CONFIG = "run.json", "scenario.yaml", "training.yaml"
"""What was asked for, in a run's folder; the first is written last, so that a folder with it is complete."""


def check_folder(path: Path, *, resume: bool) -> bool:
    """Whether there is a run to resume. Raises InputError where none can be put or resumed."""
    if path.exists() and not path.is_dir():
        raise InputError([f"{path}: is not a folder"])
    names = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
    if RUN in names:
        if not resume:
            raise InputError([f"{path}: holds a training run; add --resume to go on, or name another folder"])
        return True
    # What is left by a process that was killed before it had begun does not count.
    if any(name not in (SCENARIO, CONFIG) and not name.endswith(".partial") for name in names):
        raise InputError([f"{path}: has something in it and is no training run; name another folder"])
    return False


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside ``path`` to write to; what is written there takes its place at the end, or never.

    The name is always the same, so that what a killed process leaves behind is overwritten by the next one.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file ``path``; raises InputError, naming ``what`` is locked, if another process does."""
    with path.open("ab") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise InputError([f"{what}: another process is training there; wait for its end"]) from None
        yield
