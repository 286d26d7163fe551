"""Training in processes: how each computes, and how they share the blocks of seeds.

Nothing here imports JAX before a process has been set up for it.
"""

import multiprocessing
import os
import queue
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_ONE_THREAD = "--xla_cpu_multi_thread_eigen=false"


def use_one_thread() -> None:
    """Make JAX compute with one thread, here and in child processes; call it before JAX is first used.

    Sums are then taken in one order, so their digits do not depend on the number of cores.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if _ONE_THREAD not in flags.split():
        os.environ["XLA_FLAGS"] = f"{flags} {_ONE_THREAD}".strip()
    os.environ["OMP_NUM_THREADS"] = "1"


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def train_in_processes(
    path: Path, blocks: list[int], processes: int, save_every: int, report: Callable[[list], None]
) -> None:
    """Train the blocks with these numbers of the run in ``path``; ``report`` is called in this process.

    The first error in any process ends all of them and is raised here.
    """
    from scattermec.errors import TrainingError
    from scattermec.storage.atomic import discard_partials

    # Spawned rather than forked: JAX has threads, which a fork would lose.
    context = multiprocessing.get_context("spawn")
    tasks, messages = context.Queue(), context.Queue()
    for block in blocks:
        tasks.put(block)
    for _ in range(processes):
        tasks.put(None)
    # Each process is pinned to a core only if they use all cores: otherwise other programs may need some.
    cores: list[int | None] = [None] * processes
    if hasattr(os, "sched_getaffinity") and processes == usable_cores():
        cores = [*sorted(os.sched_getaffinity(0))]
    workers = [
        context.Process(target=_work, args=(path, save_every, tasks, messages, core), daemon=True)
        for core in cores
    ]
    try:
        for worker in workers:
            worker.start()
        left = len(blocks)
        while left:
            kind, content = _next_message(messages, workers)
            if kind == "rows":
                report(content)
            elif kind == "done":
                left -= 1
            elif kind == "error":
                raise content
            else:
                raise TrainingError(content)
        for worker in workers:
            worker.join()
    finally:
        for worker in workers:
            if worker.pid is not None:
                worker.terminate()
                worker.join()
        discard_partials(path)


def _next_message(messages: Any, workers: list[Any]) -> tuple[str, Any]:
    """The next message of a process, or a failure if a process died without one."""
    while True:
        died = [worker.exitcode for worker in workers if worker.exitcode not in (None, 0)]
        try:
            return messages.get(timeout=0.5)
        except queue.Empty:
            if died:
                return "died", f"a process that was training ended unexpectedly (exit status {died[0]})"


def _work(path: Path, save_every: int, tasks: Any, messages: Any, core: int | None) -> None:
    """Body of each process: train blocks until none is left."""
    # Ctrl-C reaches all processes; the parent ends this one itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if core is not None:
        os.sched_setaffinity(0, {core})
    from scattermec._compilation import start_jax
    from scattermec.errors import ScattermecError
    from scattermec.training.block import train_block
    from scattermec.training.plan import read_run

    start_jax(lightly=False)

    def report(rows: list) -> None:
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():  # the parent was killed
            sys.exit(1)
        messages.put(("rows", rows))

    try:
        run = read_run(path)
        program = run.plan.program()
        for block in iter(tasks.get, None):
            train_block(run, program, run.plan.blocks[block], save_every=save_every, report=report)
            messages.put(("done", block))
    except (ScattermecError, OSError) as error:
        messages.put(("error", error))
    # JAX's threads occasionally crash at interpreter shutdown, which would look like a failure.
    messages.close()
    messages.join_thread()
    os._exit(0)
