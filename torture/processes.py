"""Commands as processes of their own, and their output files."""

import json
import os
import resource
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

REPRODUCE = ("--quick", "--figures", "3a", "--frames", "8", "--set", "local_rate=100", "--beams", "mrt")
"""A reproduction of about a minute, compilation included."""

SMALL_NETWORKS = {"actor_layers": [8], "critic_width": 8, "batch_size": 4, "buffer_size": 32}
"""Settings with which training takes seconds."""

LIMIT = 300.0
"""s after which a command counts as hanging"""


def environment(cache: Path) -> dict[str, str]:
    """Variables of this process, with one compilation cache for all commands and one thread per command."""
    return os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def start(
    arguments: list[str], cache: Path, *, cwd: Path, file_size: int | None = None
) -> subprocess.Popen[str]:
    """Start a command that cannot write files larger than ``file_size`` bytes."""

    def limit() -> None:
        if file_size is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))

    return subprocess.Popen(
        [sys.executable, "-m", "scattermec", *arguments],
        cwd=cwd,
        env=environment(cache),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit if file_size is not None else None,
    )


def finish(process: subprocess.Popen[str], limit: float = LIMIT) -> tuple[int, str]:
    """Exit status and standard error; the process is killed if it takes too long."""
    try:
        _, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        process.kill()
        _, errors = process.communicate()
        return 124, errors + "\n(hangs)"
    return process.returncode, errors


def run(arguments: list[str], cache: Path, *, cwd: Path, file_size: int | None = None) -> tuple[int, str]:
    """Start a command and wait for its end."""
    return finish(start(arguments, cache, cwd=cwd, file_size=file_size))


def training(frames: int, out: str | Path) -> list[str]:
    """A command that trains four seeds in seconds."""
    options = ["--frames", str(frames), "--seeds", "4", "--processes", "1"]
    options += [part for name, value in SMALL_NETWORKS.items() for part in ("--train", f"{name}={value}")]
    return ["train", "ddpg", *options, "--set", "user_positions=[[3,3]]", "--out", str(out), "--json"]


def empty(folder: Path) -> Path:
    """The folder, emptied."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def leftovers(folder: Path) -> list[str]:
    """Names of incomplete files."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if "partial" in p.name)


def contents(path: Path) -> dict[str, bytes]:
    """Every file below a folder, or one file, by name; of archives only the members, without dates."""
    files = [path] if path.is_file() else [p for p in sorted(path.rglob("*")) if p.is_file()]
    found: dict[str, bytes] = {}
    for file in files:
        name = str(file.relative_to(path)) if file != path else file.name
        if file.suffix == ".npz":
            with zipfile.ZipFile(file) as archive:
                found |= {f"{name}/{member}": archive.read(member) for member in archive.namelist()}
        elif file.name == "run.json":
            # The commands differ in --resume.
            data = {k: v for k, v in json.loads(file.read_bytes()).items() if k != "command"}
            found[name] = json.dumps(data, sort_keys=True).encode()
        else:
            found[name] = file.read_bytes()
    return found


def write_frames(path: Path, count: int, seed: int = 0) -> None:
    """Write frames drawn from the default scenario to a file."""
    random = np.random.default_rng(seed)
    shape = (count, 3, 3)
    channels = 0.02 * (random.standard_normal(shape) + 1j * random.standard_normal(shape))
    workload = random.poisson(40.0, shape[:2]).astype(float)
    np.savez(path, channels=channels, workload=workload, battery=random.uniform(0, 0.1, shape[:2]))


Tell = Callable[[str], None]
