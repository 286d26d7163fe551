"""The command: ``python -m benchmarks``."""

import argparse
import sys
from pathlib import Path

from benchmarks.machine import allowed_cores, describe, use_one_core, versions

BEAMS = ((3, 3), (6, 4))
"""Users and antennas of the comparisons of P2."""


def main(arguments: list[str] | None = None) -> int:
    """Measure, save, print. Returns the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(given)
    allowed = allowed_cores()
    try:
        core = use_one_core(options.core)
    except ValueError as fault:
        _parser().error(str(fault))

    # Only now: JAX and the solvers size their thread pools when they are imported.
    import jax
    from rich.console import Console

    jax.config.update("jax_enable_x64", True)

    from benchmarks.compare import compare_allocation, compare_beams
    from benchmarks.learning import compare_pendulum, compare_speed
    from benchmarks.results import Results

    progress = Console(stderr=True)
    about = {
        "command": " ".join(["python -m benchmarks", *given]),
        "machine": describe(core),
        "versions": versions(),
        "settings": {key: str(v) if isinstance(v, Path) else v for key, v in vars(options).items()},
    }
    results = Results(options.json, about)

    def tell(text: str) -> None:
        progress.print(text, highlight=False)

    quick = options.quick
    seconds = options.seconds or (0.2 if quick else 3.0)
    batches = options.batches or ([1, 64] if quick else [1, 64, 1024, 8192])
    if options.only in (None, "allocation"):
        for users in options.users or ([1, 3] if quick else [1, 3, 10, 50]):
            sample = 32 if quick else _sample(users)
            compare_allocation(results, users, batches, sample, seconds, tell)
    if options.only in (None, "beams"):
        for users, antennas in BEAMS[:1] if quick else BEAMS:
            sample = 16 if quick else 256
            compare_beams(results, users, antennas, batches, sample, seconds, tell)
    if options.only in (None, "learning"):
        other = max(allowed - {core}, default=None)
        compare_speed(results, other, quick=quick, tell=tell)
    if options.only in (None, "learning", "pendulum"):
        steps = options.pendulum_steps or (300 if quick else 15_000)
        seeds = options.pendulum_seeds or (2 if quick else 10)
        compare_pendulum(results, steps, seeds, quick=quick, tell=tell)
    results.finish()
    screen = Console()
    # Into a file or a pipe, where no width is known, the tables come whole.
    results.print(screen if screen.is_terminal else Console(width=120))
    if options.docs is not None:
        results.write_page(options.docs)
    return 0


def _sample(users: int) -> int:
    """Frames that everyone solves: enough for a steady rate, few enough for the slowest peer."""
    return 1024 if users <= 3 else 512 if users <= 10 else 64


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Speed and agreement with Clarabel, CVXPY and, where installed, moreau, and learning "
        "beside BenchMARL and Stable-Baselines3, on one core.",
    )
    parser.add_argument("--quick", action="store_true", help="few frames, small sizes, short timings")
    parser.add_argument(
        "--users", type=_positive, nargs="+", metavar="N", help="numbers of users of P1 (1 3 10 50)"
    )
    parser.add_argument(
        "--batches", type=_positive, nargs="+", metavar="K", help="frames a call of ours (1 64 1024 8192)"
    )
    parser.add_argument(
        "--only", choices=("allocation", "beams", "learning", "pendulum"), help="leave the rest out"
    )
    parser.add_argument(
        "--seconds", type=_seconds, metavar="S", help="time to spend on each measurement, at least (3)"
    )
    parser.add_argument(
        "--pendulum-steps", type=_positive, metavar="T", help="steps that DDPG learns on the pendulum (15000)"
    )
    parser.add_argument(
        "--pendulum-seeds", type=_positive, metavar="R", help="seeds that learn on the pendulum (10)"
    )
    parser.add_argument("--core", type=int, metavar="C", help="the core to run on (the idlest one)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="save all numbers, as they come")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="write the tables as a Markdown page")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a time")
    return number


if __name__ == "__main__":
    sys.exit(main())
