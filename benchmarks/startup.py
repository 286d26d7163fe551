"""Fixed cost of commands: processor time with an empty compilation cache, then with a filled one."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import frames as workload
from benchmarks.results import Section
from benchmarks.sheets import Sheet
from scattermec.physics import parameters_of

ROUNDS = 3
FRAMES = 64
"""Frames in the input file of `solve`."""

FRAMES_FILE = "frames.npz"

COMMANDS = (
    ("--help",),
    ("simulate", "--frames", "500"),
    ("solve", FRAMES_FILE, "--out", "solution.npz"),
    ("evaluate", "price-net"),
)
REPRODUCE = ("reproduce", "--quick", "--out", "reproduced")

Tell = Callable[[str], None]


class Cost(NamedTuple):
    """Cost of one process and its children, in s."""

    processor: float
    elapsed: float


def compare_startup(
    section: Section,
    other_core: int | None,
    *,
    quick: bool,
    tell: Tell,
    commands: Sequence[Sequence[str]] = COMMANDS,
) -> None:
    """Measure the commands, best of some rounds; unless ``quick`` also `reproduce --quick` on two cores."""
    rounds = 1 if quick else ROUNDS
    sheet = Sheet(
        f"the best of {rounds}",
        {
            "command": ("command", ""),
            "cold": ("processor time, empty cache, s", ".1f"),
            "warm": ("processor time, filled cache, s", ".1f"),
            "cold_elapsed": ("elapsed, empty cache, s", ".1f"),
            "warm_elapsed": ("elapsed, filled cache, s", ".1f"),
        },
    )
    section.tables.append(sheet)
    with tempfile.TemporaryDirectory() as folder:
        _write_frames(Path(folder) / FRAMES_FILE)
        for command in commands:
            tell(f"scattermec {' '.join(command)}: {rounds} times with an empty cache and with a filled one")
            pairs = [_cold_and_warm(command, Path(folder)) for _ in range(rounds)]
            cold, warm = zip(*pairs, strict=True)
            sheet.rows.append(
                {
                    "command": f"`{' '.join(command)}`",
                    "cold": min(cost.processor for cost in cold),
                    "warm": min(cost.processor for cost in warm),
                    "cold_elapsed": min(cost.elapsed for cost in cold),
                    "warm_elapsed": min(cost.elapsed for cost in warm),
                }
            )
            section.save()
        if not quick:
            tell("scattermec reproduce --quick")
            with tempfile.TemporaryDirectory() as cache:
                cost = _run(REPRODUCE, Path(folder), cache, other_core)
            name = f"`reproduce --quick`, {1 if other_core is None else 2} cores"
            sheet.rows.append(
                {"command": name, "cold": cost.processor, "cold_elapsed": cost.elapsed},
            )
            section.save()


def _cold_and_warm(command: Sequence[str], folder: Path) -> tuple[Cost, Cost]:
    with tempfile.TemporaryDirectory() as cache:
        return _run(command, folder, cache), _run(command, folder, cache)


def _run(command: Sequence[str], folder: Path, cache: str, other_core: int | None = None) -> Cost:
    """Run a command in ``folder`` with its compiled programs in ``cache``; on one more core if given."""
    environment = os.environ | {"XDG_CACHE_HOME": cache, "SCATTERMEC_CACHE": ""}
    for name in ("XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR"):  # these would change what commands do
        environment.pop(name, None)
    line = [sys.executable, "-m", "scattermec", *command]
    cores = os.sched_getaffinity(0) if other_core is not None else set()
    if other_core is not None:
        os.sched_setaffinity(0, cores | {other_core})  # inherited by the process
    try:
        before, start = os.times(), time.perf_counter()
        done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        elapsed, after = time.perf_counter() - start, os.times()
    finally:
        if other_core is not None:
            os.sched_setaffinity(0, cores)
    if done.returncode:
        raise RuntimeError(f"scattermec {' '.join(command)} failed: {done.stderr.strip()}")
    user = after.children_user - before.children_user
    return Cost(user + after.children_system - before.children_system, elapsed)


def _write_frames(path: Path) -> None:
    frames, _ = workload.draw(parameters_of(workload.scenario(3, 3)), FRAMES)
    np.savez(path, channels=frames.channels, workload=frames.workload, battery=frames.battery)
