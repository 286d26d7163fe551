"""Kills: commands are killed at random moments, resumed, and compared with undisturbed runs."""

import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torture import processes
from torture.results import Outcome, Row, write_faults

KILLS = 30
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)

FRAMES = 10_000
"""frames for `solve`"""

NOT_COMPARED = ("provenance.json", "index.html", "index.md", "figures.md")
"""Files of a reproduction that record when and how it was made."""


@dataclass
class Options:
    """How much to try, and where to save bad cases."""

    seed: int = 0
    kills: int = KILLS
    seconds: float = 600.0
    work: Path = Path("torture-work")
    out: Path | None = None
    jobs: tuple[str, ...] = ()
    tell: Callable[[str], None] = lambda text: None


@dataclass
class Job:
    """A command whose result lies in ``result``, a file or folder below its own folder."""

    name: str
    command: list[str]
    resumed: list[str]
    """the command that resumes it"""
    result: str
    halfway: Callable[[Path], bool] | None = None
    """whether it is in the middle of its work"""


def jobs() -> list[Job]:
    """The commands to kill."""
    training = [*processes.training(600, "run"), "--save-every", "1"]
    solving = ["solve", "frames.npz", "--out", "solution.npz", "--beams", "optimal", "--json"]
    drawing = ["reproduce", "--out", "results", *processes.REPRODUCE]

    def in_the_sweep(folder: Path) -> bool:
        data = folder / "results" / "data.csv"
        return data.exists() and len(data.read_bytes().splitlines()) > 4

    return [
        Job("train", training, [*training, "--resume"], "run"),
        Job("solve", solving, solving, "solution.npz"),
        Job("reproduce", drawing, drawing, "results"),
        Job("reproduce, in a sweep", drawing, drawing, "results", in_the_sweep),
    ]


def run(options: Options) -> Outcome:
    """Kill each job in turn until there are enough kills, or the time is over."""
    begun, chance = time.monotonic(), random.Random(options.seed)
    work = processes.empty(options.work.resolve() / "kills")
    cache = work / "cache"
    tried, bad, failures = Counter[str](), Counter[str](), []
    chosen = [job for job in jobs() if not options.jobs or job.name in options.jobs]
    undisturbed: dict[str, dict[str, bytes]] = {}
    duration: dict[str, float] = {}
    number = 0
    while number < options.kills and time.monotonic() - begun < options.seconds:
        job, how = chosen[number % len(chosen)], SIGNALS[(number // len(chosen)) % len(SIGNALS)]
        kind = " ".join(job.command)
        if kind not in undisturbed:
            # The first run compiles, the second one measures the time needed.
            for name in ("warm", "whole"):
                folder = _fresh(work / name)
                since = time.monotonic()
                status, errors = processes.run(job.command, cache, cwd=folder)
                duration[kind] = time.monotonic() - since
                if status != 0:
                    raise RuntimeError(f"{' '.join(job.command)}: {errors[-2000:]}")
            undisturbed[kind] = processes.contents(folder / job.result)
        if time.monotonic() - begun > options.seconds:
            break
        folder = _fresh(work / "killed")
        moment = chance.uniform(0.02, 1.0) * duration[kind]
        what = _kill(job, how, moment, folder, cache, undisturbed[kind])
        tried[job.name] += 1
        options.tell(f"{job.name}: {how.name} after {moment:.1f} s: {what or 'as it should be'}")
        if what:
            bad[job.name] += 1
            failures.append({"job": job.name, "signal": how.name, "after s": f"{moment:.1f}", "what": what})
        number += 1
    rows = [
        Row("Kills", f"{job.name}: not to the same bytes, or something left", tried[job.name], bad[job.name])
        for job in chosen
    ]
    done = number >= options.kills
    if not done:
        rows.append(Row("Kills", "less than planned", options.kills, 0, f"{number} in the time given"))
    write_faults(options.out, "kills", failures)
    shutil.rmtree(work, ignore_errors=True)
    return Outcome(rows, {"Faults after kills": failures}, [], done)


def _fresh(folder: Path) -> Path:
    processes.empty(folder)
    processes.write_frames(folder / "frames.npz", FRAMES)
    return folder


def _kill(
    job: Job, how: signal.Signals, moment: float, folder: Path, cache: Path, whole: dict[str, bytes]
) -> str:
    """Start, kill, inspect, resume, compare. Returns the fault, or an empty text."""
    process = processes.start(job.command, cache, cwd=folder)
    since = time.monotonic()
    while process.poll() is None and time.monotonic() - since < processes.LIMIT:
        if job.halfway(folder) if job.halfway is not None else time.monotonic() - since > moment:
            break
        time.sleep(0.01)
    finished = process.poll() is not None
    if not finished:
        process.send_signal(how)
    status, errors = processes.finish(process)
    if "Traceback" in errors:
        return f"a traceback: {errors.strip().splitlines()[-1]}"
    if not finished and status == 0 and how is signal.SIGTERM and not (folder / job.result).exists():
        return "exit status 0 without a result"
    if how is not signal.SIGKILL and (left := processes.leftovers(folder)):
        return f"left behind: {', '.join(left[:3])}"
    if not (job.name == "train" and finished):
        status, errors = processes.run(job.resumed, cache, cwd=folder)
        if status != 0:
            return f"does not go on: {errors.strip()[-300:]}"
    if left := processes.leftovers(folder):
        return f"left behind by a killed run after the next: {', '.join(left[:3])}"
    return _difference(processes.contents(folder / job.result), whole)


def _difference(ours: dict[str, bytes], theirs: dict[str, bytes]) -> str:
    names = {name for name in (*ours, *theirs) if Path(name).name not in NOT_COMPARED}
    differs = sorted(name for name in names if ours.get(name) != theirs.get(name))
    return f"differs: {', '.join(differs[:5])}" if differs else ""
