"""Large batches of frames, and many seeds of the learners, on a GPU beside one core of the CPU.

Needs only the package itself, for machines with a GPU on which little else is installed.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array

from benchmarks import frames as workload
from benchmarks.learning import LEARNERS, SEEDS, train
from benchmarks.processes import Unavailable
from benchmarks.results import Answers, Section
from benchmarks.sheets import Sheet
from benchmarks.timing import Timing, time_passes
from scattermec.optimisation import (
    OPTIMAL,
    allocate,
    allocate_frames,
    compiled,
    optimise_beams,
    optimise_beams_frames,
)
from scattermec.physics import Frame, Parameters, parameters_of

BATCHES = (1_000, 10_000, 100_000, 1_000_000)

MOST_IN_BLOCKS = 10_000
"""Batches up to this many frames are also solved by the functions that split them into blocks."""

LONGEST_PASS = 120.0
"""s: a batch is left out if a pass would take longer, judging by the rate of the previous one."""

SEEDS_ON_GPU = (100, 1_000)
"""Seeds side by side."""

FRAMES_ON_CPU, FRAMES_ON_GPU = 200, 70
"""of every seed, per pass"""

Tell = Callable[[str], None]


def find_gpu() -> Any:
    """The first GPU that JAX finds; None if there is none, or JAX is installed without GPU support."""
    try:
        return jax.devices("gpu")[0]
    except RuntimeError:
        return None


def say_there_is_none(section: Section) -> None:
    """What a section says where there is no GPU."""
    section.tables.append(Sheet("no GPU here: JAX finds none", {}))
    section.save()


def compare_gpu(
    section: Section,
    gpu: Any,
    batches: Sequence[int],
    cpu_frames: int,
    seconds: float,
    tell: Tell,
    problems: Sequence[str] = ("P1", "P2"),
) -> None:
    """Batches of K frames on a device, and ``cpu_frames`` of the same frames on one core of the CPU."""
    sheet = Sheet(
        gpu.device_kind,
        {
            "problem": ("problem", ""),
            "frames": ("frames", ",d"),
            "call": ("frames a call", ",d"),
            "gpu_rate": ("GPU, frames/s", ",.0f"),
            "cpu_rate": ("one core, frames/s", ",.0f"),
            "ratio": ("× one core", ".2f"),
            "worst_energy_difference": ("difference", ".0e"),
            "verdicts_that_differ": ("verdicts", "d"),
            "undecided": ("undecided", "d"),
        },
    )
    section.tables.append(sheet)
    if not compiled.available():
        sheet.remarks.append("the core of the CPU solves portably, too: the compiled kernel is missing here")
    parameters = parameters_of(workload.scenario(3, 3))
    tell(f"{max(batches):,} frames")
    frames, beams = workload.draw(parameters, max(batches))
    data = {"P1": (parameters, frames, beams), "P2": (parameters, frames)}
    for problem in problems:
        _compare(section, sheet, problem, gpu, data[problem], batches, cpu_frames, seconds, tell)


def _solve_p1(parameters: Parameters, frames: Frame, beams: Array) -> Any:
    return jax.vmap(partial(allocate, parameters))(frames, beams)


def _solve_p2(parameters: Parameters, frames: Frame) -> Any:
    return jax.vmap(partial(optimise_beams, parameters))(frames)


SOLVERS = {
    "P1": (jax.jit(_solve_p1), allocate_frames),
    "P2": (jax.jit(_solve_p2), optimise_beams_frames),
}
"""For each problem: all frames in one program, and in blocks."""


def _compare(
    section: Section,
    sheet: Sheet,
    problem: str,
    gpu: Any,
    data: tuple[Any, ...],
    batches: Sequence[int],
    cpu_frames: int,
    seconds: float,
    tell: Tell,
) -> None:
    """One row per batch, with the frames in one call and in blocks."""
    whole, in_blocks = SOLVERS[problem]
    parameters, *arrays = data
    tell(f"{problem}: one core, {cpu_frames:,} frames")
    cpu = jax.devices("cpu")[0]
    count = min(cpu_frames, max(batches))
    with jax.default_device(cpu):
        on_cpu = jax.device_put((parameters, *workload.first(arrays, count)), cpu)
        timing, _ = _measure(in_blocks, on_cpu, count, seconds)
    cpu_rate, cpu_answers = count / timing.best, Answers.of_solutions(timing.results)

    on_gpu = jax.device_put(data, gpu)
    rates: dict[str, float] = {}
    for batch in batches:
        for name, solve in ((problem, whole), (f"{problem}, in blocks", in_blocks)):
            if solve is in_blocks and batch > MOST_IN_BLOCKS:
                continue
            if name in rates and batch / rates[name] > LONGEST_PASS:
                sheet.remarks.append(
                    f"{name}, {batch:,} frames: left out, a pass would take {batch / rates[name]:.0f} s"
                )
                continue
            tell(f"{name}: GPU, {batch:,} frames")
            timing, call = _measure(solve, (on_gpu[0], *workload.first(on_gpu[1:], batch)), batch, seconds)
            rates[name] = batch / timing.best
            answers = Answers.of_solutions(timing.results)
            sheet.rows.append(
                {
                    "problem": name,
                    "frames": batch,
                    "call": call,
                    "gpu_rate": rates[name],
                    "cpu_rate": cpu_rate,
                    "ratio": rates[name] / cpu_rate,
                    "passes": timing.passes,
                    "undecided": int((~answers.decided).sum()),
                    "worst_gap": _worst_gap(timing.results),
                }
                | answers.compare(cpu_answers)
            )
            section.save()
    gaps = [row["worst_gap"] for row in sheet.rows if row["problem"] == problem and row["worst_gap"]]
    if gaps:
        sheet.remarks.append(f"worst certified gap of {problem} on the GPU: {max(gaps):.1e}")
    section.save()


def _measure(
    solve: Callable[..., Any], data: tuple[Any, ...], count: int, seconds: float
) -> tuple[Timing, int]:
    """Time ``count`` frames in as few calls as memory allows; also returns the frames per call."""
    parameters, *arrays = data
    call = count
    while True:
        parts = workload.slices(arrays, count, call)
        try:
            jax.block_until_ready(solve(parameters, *parts[0]))  # compiles

            def run(part: list[Any]) -> Any:
                return jax.block_until_ready(solve(parameters, *part))

            return time_passes(parts, run, seconds), call
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error) or call < 100:
                raise
            call //= 10


def _worst_gap(solutions: Sequence[Any]) -> float | None:
    """Largest gap of the frames called optimal; None for P1, whose solution has no gap."""
    if not hasattr(solutions[0], "gap"):
        return None
    gap = np.concatenate([np.asarray(solution.gap) for solution in solutions])
    status = np.concatenate([np.asarray(solution.status) for solution in solutions])
    return float(gap[status == OPTIMAL].max(initial=0.0))


def compare_seeds(
    section: Section, gpu: Any, tell: Tell, seeds: Sequence[int] = SEEDS_ON_GPU, passes: int = 3
) -> None:
    """Training of many seeds side by side on a GPU, and of four on one core of the CPU."""
    sheet = Sheet(
        gpu.device_kind,
        {
            "learner": ("", ""),
            "device": ("", ""),
            "seeds": ("seeds", ",d"),
            "rate": ("frames/s, all seeds", ",.0f"),
            "ratio": ("× one core", ".1f"),
            "compiling": ("compilation, s", ".0f"),
        },
    )
    section.tables.append(sheet)
    for learner in LEARNERS:
        core_rate = None
        places = [("cpu", SEEDS, FRAMES_ON_CPU), *(("gpu", many, FRAMES_ON_GPU) for many in seeds)]
        for device, many, frames in places:
            tell(f"{learner}: {device}, {many:,} seeds")
            try:
                with train(learner, many, frames, device=device) as worker:
                    about = worker.answer()
                    found = [worker.ask() for _ in range(passes)]
            except Unavailable as reason:
                sheet.remarks.append(f"{learner}, {device}, {many:,} seeds: {reason}")
                continue
            rate = max(one["count"] / one["seconds"] for one in found)
            core_rate = rate if device == "cpu" else core_rate
            sheet.rows.append(
                {
                    "learner": learner,
                    "device": "GPU" if device == "gpu" else "one core",
                    "seeds": many,
                    "rate": rate,
                    "ratio": rate / core_rate if core_rate else None,
                    "compiling": about["compiling"],
                }
            )
            section.save()
    section.save()
