"""Places: a full disk, a read-only folder, and two writers at once."""

import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from torture import processes
from torture.results import Outcome, Row, write_faults

SMALL_DISK = 16 * 1024
"""Bytes: too few for any of the outputs"""


@dataclass
class Options:
    """Where to try."""

    seconds: float = 300.0
    work: Path = Path("torture-work")
    out: Path | None = None
    tell: Callable[[str], None] = lambda text: None


def commands(frames: Path, place: Path) -> dict[str, tuple[list[str], Path]]:
    """Commands that write below ``place``, with the paths of their results."""
    return {
        "solve to a file": (
            ["solve", str(frames), "--out", str(place / "solution.npz"), "--json"],
            place / "solution.npz",
        ),
        "solve to a folder": (
            ["solve", str(frames), "--out", str(place / "solved"), "--json"],
            place / "solved",
        ),
        "train": (processes.training(500, place / "run"), place / "run"),
        "reproduce": (
            ["reproduce", "--out", str(place / "results"), *processes.REPRODUCE],
            place / "results",
        ),
    }


def run(options: Options) -> Outcome:
    """Run every command in every place."""
    begun = time.monotonic()
    work = processes.empty(options.work.resolve() / "places")
    cache, frames = work / "cache", work / "frames.npz"
    processes.write_frames(frames, 4000)
    failures: list[dict[str, str]] = []
    rows = []
    # Fills the compilation cache before it becomes read-only.
    for arguments, _ in commands(frames, processes.empty(work / "warm")).values():
        processes.run(arguments, cache, cwd=work)
    places = (("file size limit", _limited), ("full disk", _full), ("read-only folder", _read_only))
    for title, place in places:
        tried = bad = 0
        remark = ""
        for name in commands(frames, work):
            if time.monotonic() - begun > options.seconds:
                remark = "not all in the time given"
                break
            with place(processes.empty(work / "place")) as allowed:
                if allowed is None:
                    remark = "cannot be made here"
                    break
                folder, file_size = allowed
                arguments, result = commands(frames, folder)[name]
                status, errors = processes.run(arguments, cache, cwd=work, file_size=file_size)
                what = _wrong(status, errors, folder, result)
            tried += 1
            options.tell(f"{title}: {name}: {what or 'as it should be'}")
            if what:
                bad += 1
                failures.append({"place": title, "command": name, "what": what})
        rows.append(Row("Places", f"{title}: no clear message, or half a result", tried, bad, remark))
    tried = bad = 0
    remark = ""
    for name, (arguments, result) in commands(work / "many.npz", processes.empty(work / "shared")).items():
        if time.monotonic() - begun > options.seconds:
            remark = "not all in the time given"
            break
        if not (work / "many.npz").exists():
            processes.write_frames(work / "many.npz", 400_000)
        tried += 1
        what = _two(arguments, result, cache, work)
        options.tell(f"two writers: {name}: {what or 'as it should be'}")
        if what:
            bad += 1
            failures.append({"place": "two writers", "command": name, "what": what})
    rows.append(Row("Places", "two writers: the second is not refused", tried, bad, remark))
    write_faults(options.out, "places", failures)
    shutil.rmtree(work, ignore_errors=True)
    return Outcome(rows, {"Faults of places": failures}, [], not any("in the time" in r.remark for r in rows))


Allowed = tuple[Path, int | None] | None
"""The place and the largest file that may be written; None if there is no such place."""


@contextmanager
def _limited(folder: Path) -> Iterator[Allowed]:
    yield folder, SMALL_DISK


@contextmanager
def _mounted(folder: Path, *options: str) -> Iterator[bool]:
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "torture", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        done = False
    try:
        yield done
    finally:
        if done:
            subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)


@contextmanager
def _full(folder: Path) -> Iterator[Allowed]:
    with _mounted(folder, f"size={SMALL_DISK}") as done:
        yield (folder, None) if done else None


@contextmanager
def _read_only(folder: Path) -> Iterator[Allowed]:
    if os.geteuid() == 0:  # modes do not stop root
        with _mounted(folder, "size=1m", "ro") as done:
            yield (folder, None) if done else None
        return
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        yield folder, None
    finally:
        folder.chmod(stat.S_IRWXU)


def _wrong(status: int, errors: str, folder: Path, result: Path) -> str:
    """Fault in how a command ended that could not write its result."""
    if status == 0:
        return "exit status 0"
    if "Traceback" in errors:
        return f"a traceback: {errors.strip().splitlines()[-1]}"
    if result.name not in errors:
        return f"the message names no path: {errors.strip()[-200:]}"
    if result.is_file() and not _is_whole(result):
        return "half a file under the final name"
    if result.name in ("solved", "solution.npz") and result.exists():
        return "a result under the final name"
    if left := processes.leftovers(folder):
        return f"left behind: {', '.join(left[:3])}"
    return ""


def _is_whole(path: Path) -> bool:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return all(archive[name] is not None for name in archive)
    except Exception:  # any fault of the file
        return False


def _two(arguments: list[str], result: Path, cache: Path, work: Path) -> str:
    """Run the same command twice at once: one must do the work, the other be refused by name."""
    both = [processes.start(arguments, cache, cwd=work) for _ in range(2)]
    ended = [processes.finish(process) for process in both]
    statuses = sorted(status for status, _ in ended)
    if any("Traceback" in errors for _, errors in ended):
        return "a traceback"
    if statuses == [0, 0]:
        return "both end with exit status 0"
    if statuses != [0, 2]:
        return f"exit statuses {statuses}: " + " / ".join(errors.strip()[-150:] for _, errors in ended)
    refusal = next(errors for status, errors in ended if status == 2)
    if result.name not in refusal:
        return f"the refusal names no path: {refusal.strip()[-200:]}"
    if left := processes.leftovers(result.parent):
        return f"left behind: {', '.join(left[:3])}"
    return ""
