"""Work shared among processes: how each computes, and how they share the tasks.

Nothing here imports JAX before a process has been set up for it.
"""

import multiprocessing
import os
import pickle
import queue
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

Task = TypeVar("Task")
Report = Callable[[Any], None]

_ONE_THREAD = "--xla_cpu_multi_thread_eigen=false"


def use_one_thread() -> None:
    """Make JAX compute with one thread, here and in child processes; call it before JAX is first used.

    Sums are then taken in one order, so their digits do not depend on the number of cores. XLA also cuts
    large loops by the number of its threads, and rounds their ends differently, even where it uses only one.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if _ONE_THREAD not in flags.split():
        os.environ["XLA_FLAGS"] = f"{flags} {_ONE_THREAD}".strip()
    os.environ |= {"OMP_NUM_THREADS": "1", "PJRT_NPROC": "1"}


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_asked: list[int] = []
"""Signals that have asked this process to leave."""


@contextmanager
def leaving_on_signals() -> Iterator[None]:
    """Within it SIGTERM and SIGUSR1 only ask this process to leave, see `asked_to_leave`."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    for number in before:
        signal.signal(number, lambda caught, frame: _asked.append(caught))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked.clear()


def asked_to_leave() -> bool:
    """Whether a signal has asked this process to leave; see `leaving_on_signals`."""
    return bool(_asked)


def end_without_parent() -> None:
    """End this process if it is a child of one that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        sys.exit(1)


def run_in_processes(
    work: Callable[[Task, Report], None],
    tasks: Sequence[Task],
    report: Report,
    *,
    processes: int | None = None,
) -> None:
    """Call ``work(task, report)`` for every task, each in one of several processes, or here if one is enough.

    Args:
        work: a function that can be pickled, or a `functools.partial` of one. What it passes to its
            ``report`` arrives in this process.
        tasks: arguments that can be pickled.
        report: called in this process with what arrives.
        processes: how many; by default one per core, but not more than tasks.

    The first error in any process ends all of them and is raised here; a process that dies raises
    WorkerDiedError.
    """
    processes = processes or min(len(tasks), usable_cores())
    if processes <= 1:
        for task in tasks:
            work(task, report)
        return
    # Spawned rather than forked: JAX has threads, which a fork would lose.
    context = multiprocessing.get_context("spawn")
    waiting, messages = context.Queue(), context.Queue()
    for waits in [*tasks, *[None] * processes]:
        waiting.put(waits)
    # Each process is pinned to a core only if they use all cores: otherwise other programs may need some.
    cores: list[int | None] = [None] * processes
    if hasattr(os, "sched_getaffinity") and processes == usable_cores():
        cores = [*sorted(os.sched_getaffinity(0))]
    # Unpacked only after JAX has been set up, since that imports the function's module.
    packed = pickle.dumps(work)
    workers = [
        context.Process(target=_work, args=(packed, waiting, messages, core), daemon=True) for core in cores
    ]
    try:
        for worker in workers:
            worker.start()
        _receive(messages, workers, len(tasks), report)
        for worker in workers:
            worker.join()
    finally:
        for worker in workers:
            if worker.pid is not None:
                worker.terminate()
                worker.join()


def _receive(messages: Any, workers: list[Any], left: int, report: Report) -> None:
    """Pass on reports until so many tasks are done; raises the first error."""
    from scattermec.errors import WorkerDiedError

    while left:
        kind, content = _next_message(messages, workers)
        if kind == "report":
            report(content)
        elif kind == "done":
            left -= 1
        elif kind == "error":
            raise content
        else:
            raise WorkerDiedError(content)


def _next_message(messages: Any, workers: list[Any]) -> tuple[str, Any]:
    """The next message of a process, or a failure if a process died without one."""
    while True:
        died = [worker.exitcode for worker in workers if worker.exitcode not in (None, 0)]
        try:
            return messages.get(timeout=0.5)
        except queue.Empty:
            if died:
                return "died", f"a process ended unexpectedly (exit status {died[0]})"


def _work(packed: bytes, waiting: Any, messages: Any, core: int | None) -> None:
    """Body of each process: take tasks until none is left."""
    # Ctrl-C reaches all processes; the parent ends this one itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if core is not None:
        os.sched_setaffinity(0, {core})
    from scattermec._compilation import start_jax
    from scattermec.errors import ScattermecError

    start_jax()

    def report(content: Any) -> None:
        end_without_parent()
        messages.put(("report", content))

    try:
        work = pickle.loads(packed)
        for task in iter(waiting.get, None):
            work(task, report)
            messages.put(("done", None))
    except (ScattermecError, OSError) as error:
        messages.put(("error", error))
    # JAX's threads occasionally crash at interpreter shutdown, which would look like a failure.
    messages.close()
    messages.join_thread()
    os._exit(0)
