"""One core for everyone, and a description of the machine. Imports nothing that starts threads."""

import os
import platform
import subprocess
import time
from importlib import metadata
from pathlib import Path

PACKAGES = ("scattermec", "jax", "jaxlib", "numpy", "scipy", "clarabel", "cvxpy", "moreau", "moreau-cpu")

_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "RAYON_NUM_THREADS",
)


def use_one_core(core: int | None, *, with_gpu: bool = False) -> int | None:
    """Bind this process to one core (the idlest by default); None if that is impossible.

    JAX sees the CPU alone unless ``with_gpu``.

    Call this before JAX and NumPy are imported, since they size their thread pools then. Raises ValueError
    for a core that this process may not use.
    """
    for name in _ONE_THREAD:
        os.environ[name] = "1"
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
    if with_gpu:
        # Workers share the GPU with this process, which must not reserve its memory.
        os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    else:
        os.environ["JAX_PLATFORMS"] = "cpu"
    allowed = allowed_cores()
    if not allowed:
        return None
    chosen = _idlest(allowed) if core is None else core
    if chosen not in allowed:
        raise ValueError(f"--core: {chosen} is not one of {sorted(allowed)}")
    os.sched_setaffinity(0, {chosen})
    return chosen


def allowed_cores() -> set[int]:
    """The cores that this process may use; empty if it cannot be bound to one."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def describe(core: int | None) -> dict[str, object]:
    """Processor, system and core."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "pinned_to_core": core,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def versions(commit: str | None = None) -> dict[str, str | None]:
    """Version of each package, None if not installed; and ``commit``, by default that of this checkout."""
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    found["commit"] = commit or _commit()
    return found


def _idlest(cores: set[int], seconds: float = 0.5) -> int:
    """The core that others use least over a short while; the last one if the system does not say."""
    try:
        before = _busy_ticks()
        time.sleep(seconds)
        after = _busy_ticks()
    except OSError:
        return max(cores)
    return min(cores, key=lambda core: (after.get(core, 0) - before.get(core, 0), -core))


def _busy_ticks() -> dict[int, int]:
    """Clock ticks since the start in which each core was busy."""
    busy = {}
    for line in Path("/proc/stat").read_text(encoding="utf-8").splitlines():
        name, *ticks = line.split()
        if name.startswith("cpu") and name != "cpu":
            idle, waiting = int(ticks[3]), int(ticks[4])
            busy[int(name[3:])] = sum(map(int, ticks[:8])) - idle - waiting
    return busy


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    name = facts.get("model name", "unknown")
    family, model = facts.get("cpu family"), facts.get("model")
    return f"{name} (family {family}, model {model})" if family else name


def _commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
