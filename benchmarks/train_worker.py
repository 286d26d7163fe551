"""A worker that trains one of our learners: the seeds side by side, in one compiled scan."""

import ctypes
import resource
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.processes import Desk, timed
from scattermec.agents.settings import TrainingConfig
from scattermec.learners import ALGORITHMS, new_task
from scattermec.scenario import Scenario


def main() -> None:
    """Compile, learn until every buffer holds a batch, then learn from more frames on each request."""
    desk = Desk()
    seeds, frames = desk.setup["seeds"], desk.setup["frames"]
    jax.config.update("jax_enable_x64", True)
    if desk.setup.get("device"):
        jax.config.update("jax_default_device", jax.devices(desk.setup["device"])[0])
    if desk.setup.get("cache"):
        jax.config.update("jax_compilation_cache_dir", desk.setup["cache"])
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    config = TrainingConfig()
    algorithm, task = ALGORITHMS[desk.setup["learner"]], new_task(Scenario(), config)
    keys = jax.random.split(jax.random.key(0), seeds)
    started = time.perf_counter()
    state = jax.block_until_ready(jax.jit(jax.vmap(algorithm.initial, in_axes=(None, 0)))(task, keys))
    preparing = time.perf_counter() - started
    state_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(state) if hasattr(leaf, "nbytes"))

    @partial(jax.jit, donate_argnums=1)
    def advance(task: Any, state: Any, start: Any) -> tuple[Any, Any]:
        def one(state: Any, time: Any) -> tuple[Any, Any]:
            return jax.vmap(algorithm.frame, in_axes=(None, 0, None))(task, state, time)

        return jax.lax.scan(one, state, start + jnp.arange(frames))

    started = time.perf_counter()
    lowered = advance.lower(task, state, jnp.zeros((), int))
    tracing = time.perf_counter() - started
    run = lowered.compile()
    compiling = time.perf_counter() - started - tracing
    release()
    now = 0

    def go_on() -> None:
        nonlocal state, now
        state, records = run(task, state, jnp.asarray(now))
        jax.block_until_ready((state, records))
        now += frames

    while now <= config.batch_size:
        go_on()
    about = {"preparing": preparing, "tracing": tracing, "compiling": compiling, "state_bytes": state_bytes}
    desk.answer(about)
    while True:
        desk.request()
        desk.answer(timed(go_on) | {"count": frames * seeds, "peak_bytes": peak()})


def release() -> None:
    """Release memory used for compilation and reset the peak of resident memory (Linux with glibc)."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """Peak of resident memory in bytes."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    main()
