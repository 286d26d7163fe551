"""A Ray cluster, or Ray on this machine. Needs the extra `ray`.

Workers need no access to the folder of the results: these are streamed to the driver, which keeps them.
"""

import itertools
import logging
import pickle
from collections.abc import Iterable
from typing import Any

from scattermec.engines import Report, Work
from scattermec.errors import ComputationError, ScattermecError

RETRIES = 20
"""How often a task is begun again after its worker or its machine was lost."""

AHEAD = 2
"""Tasks per core of the cluster that are handed out at a time, so that the driver's memory is bounded."""


def run(
    work: Work,
    numbers: Iterable[int],
    report: Report,
    *,
    address: str | None = None,
    processes: int | None = None,
) -> None:
    """Compute tasks on the cluster and keep them here; those of a lost worker are computed again.

    Args:
        work: the tasks.
        numbers: which of them.
        report: called for each, here.
        address: of a running cluster, or "auto"; None starts one on this machine.
        processes: how many on this machine; by default one per core.

    Raises the first error of any task, and ComputationError if the cluster cannot be reached or a task is
    lost again and again.
    """
    import ray

    try:
        ray.init(
            address=address,
            num_cpus=processes if address is None else None,
            include_dashboard=False if address is None else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ComputationError(f"ray: {error}") from None
    try:
        _run(ray, work, numbers, report)
    finally:
        ray.shutdown()


def _run(ray: Any, work: Work, numbers: Iterable[int], report: Report) -> None:
    compute = ray.remote(num_cpus=1, max_retries=RETRIES)(_compute)
    packed = ray.put(pickle.dumps(work))
    waiting = iter(numbers)
    running: dict[Any, int] = {}
    while True:
        # Asked each time, since machines come and go.
        most = max(1, AHEAD * int(ray.cluster_resources().get("CPU", 1)))
        for number in itertools.islice(waiting, max(0, most - len(running))):
            running[compute.remote(packed, number)] = number
        if not running:
            return
        (ready, *_), _ = ray.wait(list(running), num_returns=1)
        number = running.pop(ready)
        try:
            content = ray.get(ready)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, ScattermecError):
                raise error.cause from None
            raise
        except ray.exceptions.RayError as error:
            raise ComputationError(f"ray: task {number}: {error}") from None
        work.keep(number, content)
        report(number)


def _compute(packed: bytes, number: int) -> bytes:
    """A task, in a process of Ray's."""
    from scattermec._compilation import start_jax
    from scattermec._processes import use_one_thread

    use_one_thread()
    start_jax()
    # Unpacked only after JAX has been set up, since that imports the modules of the work.
    work: Work = pickle.loads(packed)
    return work.compute(number)
