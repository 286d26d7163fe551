"""The command: ``python -m benchmarks``."""

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.machine import allowed_cores, describe, use_one_core, versions

if TYPE_CHECKING:
    from benchmarks.results import Results, Section

SECTIONS = ("allocation", "beams", "learning", "pendulum", "startup", "sweeps", "devices")
"""Sections measured by default; a GPU and others' trainers only on demand."""

ON_GPU = ("gpu", "seeds")

OF_OTHERS = ("trainers", "rewards")

BEAMS = ((3, 3), (6, 4))
"""Numbers of users and antennas in the comparisons of P2."""


def main(arguments: list[str] | None = None) -> int:
    """Measure, save, print. Returns the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(given)
    allowed = allowed_cores()
    try:
        core = use_one_core(options.core, with_gpu=options.only in ON_GPU)
    except ValueError as fault:
        _parser().error(str(fault))

    # Imported only now: JAX and the solvers size their thread pools on import.
    import jax
    from rich.console import Console

    jax.config.update("jax_enable_x64", True)

    from benchmarks.results import Results
    from scattermec.optimisation import compiled

    about = {
        "command": " ".join(["python -m benchmarks", shlex.join(given)]).strip(),
        "machine": describe(core),
        "versions": versions(options.commit),
        "solver": f"compiled kernel ({compiled.instruction_set()})"
        if compiled.available()
        else "portable solver",
        "settings": {key: str(v) if isinstance(v, Path) else v for key, v in vars(options).items()},
    }
    path = options.json or (options.docs and options.docs.with_suffix(".json"))
    try:
        results = Results(path, about)
        if options.add is not None:
            results.add(options.add, options.label)
    except (OSError, ValueError) as fault:
        _parser().error(str(fault))
    if options.trainers:
        try:
            _add_trainers(results, options)
        except ValueError as fault:
            _parser().error(str(fault))
    elif options.add is None:
        for name in SECTIONS if options.only is None else [options.only]:
            section = results.start(name)
            _measure(section, options, max(allowed - {core}, default=None))
            results.finish(section)
    screen = Console()
    # Output to a file or a pipe has no known width, so tables are printed at full width.
    results.print(screen if screen.is_terminal else Console(width=120))
    results.save()
    if options.docs is not None:
        options.docs.parent.mkdir(parents=True, exist_ok=True)
        options.docs.write_text(results.page(), encoding="utf-8")
    return 0


def _tell(text: str) -> None:
    """Report progress."""
    from rich.console import Console

    Console(stderr=True).print(text, highlight=False)


def _add_trainers(results: "Results", options: argparse.Namespace) -> None:
    """Add rows of others' trainers to their section. Raises ValueError if there is nothing to add to."""
    from benchmarks.trainers import compare_learners

    frames, seeds, script = _trainings(options)
    section = results.resume("trainers")
    source = results.source()
    compare_learners(
        section,
        frames,
        seeds,
        quick=options.quick,
        tell=_tell,
        script=script,
        only=options.trainers,
        source=source,
    )


def _measure(section: "Section", options: argparse.Namespace, other_core: int | None) -> None:
    """Measure one section. Imports only what it needs: a machine with a GPU need not have the peers."""
    tell, quick = _tell, options.quick
    seconds = options.seconds or (0.2 if quick else 3.0)
    batches = options.batches or ([1, 64] if quick else [1, 64, 1024, 8192])
    if section.name == "allocation":
        from benchmarks.compare import compare_allocation

        for users in options.users or ([1, 3] if quick else [1, 3, 10, 50]):
            sample = 32 if quick else _sample(users)
            compare_allocation(section, users, batches, sample, seconds, tell)
    elif section.name == "beams":
        from benchmarks.compare import compare_beams

        for users, antennas in BEAMS[:1] if quick else BEAMS:
            sample = 16 if quick else 256
            compare_beams(section, users, antennas, batches, sample, seconds, tell)
    elif section.name == "learning":
        from benchmarks.learning import compare_speed

        compare_speed(section, other_core, quick=quick, tell=tell)
    elif section.name == "pendulum":
        from benchmarks.learning import compare_pendulum

        steps = options.pendulum_steps or (300 if quick else 15_000)
        seeds = options.pendulum_seeds or (2 if quick else 10)
        compare_pendulum(section, steps, seeds, quick=quick, tell=tell)
    elif section.name in OF_OTHERS:
        _measure_trainers(section, options)
    elif section.name == "startup":
        from benchmarks.startup import compare_startup

        compare_startup(section, other_core, quick=quick, tell=tell)
    elif section.name == "sweeps":
        from benchmarks.sweeps import compare_sweeps, simulate_trainings

        compare_sweeps(section, quick=quick, tell=tell)
        simulate_trainings(section, options.tasks or (1000 if quick else 10**6), tell=tell)
    elif section.name == "devices":
        from benchmarks.devices import compare_devices

        compare_devices(section, frames=options.frames or (100 if quick else 10_000), tell=tell)
    else:
        _measure_on_gpu(section, options, seconds, tell)


def _measure_on_gpu(
    section: "Section", options: argparse.Namespace, seconds: float, tell: Callable[[str], None]
) -> None:
    from benchmarks.gpu import BATCHES, compare_gpu, compare_seeds, find_gpu, say_there_is_none

    gpu = find_gpu()
    if gpu is None:
        say_there_is_none(section)
    elif section.name == "seeds":
        compare_seeds(section, gpu, tell)
    else:
        sizes = options.batches or (BATCHES[:1] if options.quick else BATCHES)
        compare_gpu(section, gpu, sizes, 256 if options.quick else 8192, seconds, tell)


def _measure_trainers(section: "Section", options: argparse.Namespace) -> None:
    """Measure a section of others' trainers."""
    from benchmarks.trainers import compare_environments, compare_learners, compare_rewards

    quick, (frames, seeds, script) = options.quick, _trainings(options)
    if section.name == "rewards":
        compare_rewards(section, frames, seeds, quick=quick, tell=_tell)
    else:
        compare_environments(section, quick=quick, tell=_tell)
        compare_learners(section, frames, seeds, quick=quick, tell=_tell, script=script)


def _trainings(options: argparse.Namespace) -> tuple[int, int, Path | None]:
    """Frames and seeds of trainings beside others, and the script of JaxMARL's IPPO."""
    frames = options.trainer_frames or (2048 if options.quick else 20_480)
    return frames, options.trainer_seeds or 3, options.jaxmarl_ippo


def _sample(users: int) -> int:
    """Frames that every solver gets: enough for a steady rate, few enough for the slowest peer."""
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
        "--batches",
        type=_positive,
        nargs="+",
        metavar="K",
        help="frames per call of ours (1 64 1024 8192; on a GPU 1000 to 1000000 in powers of ten)",
    )
    parser.add_argument(
        "--only",
        choices=(*SECTIONS, *OF_OTHERS, *ON_GPU),
        help="measure only this section; the others stay as they are",
    )
    parser.add_argument("--seconds", type=_seconds, metavar="S", help="minimum time for each measurement (3)")
    parser.add_argument(
        "--pendulum-steps", type=_positive, metavar="T", help="training steps of DDPG on the pendulum (15000)"
    )
    parser.add_argument(
        "--pendulum-seeds", type=_positive, metavar="R", help="seeds trained on the pendulum (10)"
    )
    parser.add_argument(
        "--trainer-frames",
        type=_positive,
        metavar="T",
        help="frames to learn from, others and ours (20480)",
    )
    parser.add_argument(
        "--trainer-seeds", type=_positive, metavar="R", help="seeds beside others' trainers (3)"
    )
    parser.add_argument(
        "--trainers",
        nargs="+",
        metavar="NAME",
        help="measure only these of others' trainers, and put their rows into the table that is there",
    )
    parser.add_argument(
        "--jaxmarl-ippo",
        type=Path,
        metavar="FILE",
        help="JaxMARL's script ippo_ff_mabrax.py, see docs/how-to/trainers.md",
    )
    parser.add_argument("--frames", type=_positive, metavar="K", help="frames that devices decide in (10000)")
    parser.add_argument(
        "--tasks", type=_positive, metavar="K", help="trainings of the simulated sweep (1000000)"
    )
    parser.add_argument("--core", type=int, metavar="C", help="core to run on (the idlest one)")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="keep the numbers here as they come (beside the page)"
    )
    parser.add_argument("--commit", metavar="NAME", help="commit that was measured, if git does not know it")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="write the tables as a Markdown page")
    parser.add_argument(
        "--add", type=Path, metavar="FILE", help="measure nothing; add the results saved by another machine"
    )
    parser.add_argument(
        "--label", metavar="TEXT", help="label that keeps added results apart (otherwise they replace others)"
    )
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
