"""The only writer of files: output is complete or absent, and written by one process at a time. Without JAX.

While a file NAME is written, it is called `.NAME.partial`, and its writer holds the lock file `.NAME.lock`
beside it. The names never vary, and both files are removed at the end. If a process is killed, its files are
unlocked, since locks end with their process, and the next writer of the same output takes them over.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO

from scattermec.errors import BusyError, InputError

try:
    import fcntl
except ImportError:  # Windows, where two writers of one output are not detected
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "abandon",
    "alone",
    "check_own_folder",
    "discard",
    "discard_partials",
    "is_scaffold",
    "partial_of",
    "replace_text",
    "replacing",
    "writing",
]

_PARTIAL, _LOCK = ".partial", ".lock"

_held: set[Path] = set()
"""Lock files that this process holds."""


def partial_of(path: Path) -> Path:
    """Temporary name of ``path`` while it is written."""
    return path.with_name(f".{path.name}{_PARTIAL}")


def is_scaffold(name: str) -> bool:
    """Whether a name is that of a partial or lock file, which killed writers may leave behind."""
    return name.startswith(".") and name.endswith((_PARTIAL, _LOCK))


def check_own_folder(path: Path, record: str, *, besides: Collection[str] = ()) -> None:
    """Raise InputError if ``path`` is neither free nor a folder of ours, which holds the file ``record``.

    Files named ``besides`` do not count: they are ours, too, and written before the record.
    """
    if path.exists() and not path.is_dir():
        raise InputError([f"{path}: is not a folder"])
    if not path.is_dir() or (path / record).exists():
        return
    if any(not is_scaffold(entry.name) and entry.name not in besides for entry in path.iterdir()):
        raise InputError([f"{path}: has something in it, and no {record}; name another folder"])


@contextlib.contextmanager
def writing(path: Path, *, inside: bool = False) -> Iterator[None]:
    """Be the only process that writes ``path``, a file or a folder; may be nested within a process.

    The lock file is beside ``path``, or ``inside`` a folder that exists and stays. Raises BusyError if
    another process is writing the same path.
    """
    lock = Path(os.path.abspath(path / _LOCK if inside else path.with_name(f".{path.name}{_LOCK}")))
    if lock in _held or fcntl is None:
        yield
        return
    with naming(path, lock):
        file = _locked(lock, path)
    _held.add(lock)
    try:
        yield
    finally:
        _held.discard(lock)
        # Remove the lock file while it is held: a process that has opened it finds it gone and tries again.
        lock.unlink(missing_ok=True)
        file.close()


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Be the only process on this disk that computes what will be in ``path``; waits until no other does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        while True:
            try:
                held.enter_context(writing(path.with_name(f"{path.stem}.work")))
                break
            except BusyError:
                time.sleep(1)
        yield


def _locked(lock: Path, path: Path) -> IO[bytes]:
    """The lock file, opened and locked."""
    while True:
        file = lock.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise BusyError([f"{path}: another process is writing there; wait for its end"]) from None
        except OSError:  # a file system without locks
            return file
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), lock.stat()):
                return file
        file.close()  # its holder removed it before we locked it


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; at the end it replaces ``path``, unless there was an exception.

    An OSError, for instance if the disk is full, names ``path``.
    """
    partial = partial_of(path)
    with writing(path), naming(path, partial):
        try:
            yield partial
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


def replace_text(path: Path, text: str) -> None:
    """Write a text file with line ends as they are; an interruption leaves the old file, or none."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")


def discard(partial: Path) -> None:
    """Remove an unfinished file or folder, if there is one."""
    if partial.is_dir() and not partial.is_symlink():
        shutil.rmtree(partial, ignore_errors=True)
    else:
        partial.unlink(missing_ok=True)


def discard_partials(folder: Path) -> None:
    """Remove files of killed writers in and below a folder, in which no other writer may be active."""
    for path in folder.rglob(f".*{_PARTIAL}"):
        discard(path)
    for path in folder.rglob(f".*{_LOCK}"):
        if path.absolute() not in _held:
            path.unlink(missing_ok=True)


def abandon() -> None:
    """Remove this process's unfinished files and locks, before it exits at once."""
    for lock in list(_held):
        if lock.name == _LOCK:
            discard_partials(lock.parent)
        else:
            name = lock.name.removeprefix(".").removesuffix(_LOCK)
            discard(partial_of(lock.with_name(name)))
        lock.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: Path, *stand_ins: Path) -> Iterator[None]:
    """Let an OSError name ``path`` if it names no file, or a file at or below one of ``stand_ins``."""
    try:
        yield
    except OSError as error:
        inside = error.filename is not None and any(
            Path(os.fsdecode(error.filename)).is_relative_to(stand_in) for stand_in in stand_ins
        )
        if error.filename is None or inside:
            error.filename = os.fspath(path)
        error.filename2 = None
        raise
