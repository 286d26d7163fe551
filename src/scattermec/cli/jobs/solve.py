"""Streamed solution of frames from a file, for `scattermec solve`."""

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import typer

from scattermec._version import __version__
from scattermec.cli.jobs.common import parameters_for, warn_without_kernel
from scattermec.cli.output import Report, progress, provenance, warn
from scattermec.experiments.measure.diagnosis import Sample, infeasible_lines, warnings_of
from scattermec.experiments.measure.table import Table
from scattermec.optimisation import (
    FEASIBLE,
    INFEASIBLE,
    NOT_CONVERGED,
    OPTIMAL,
    BeamSolution,
    allocate_frames,
    allocation_problem,
    frame_rewards,
    infeasibility_margin,
    optimise_beams_frames,
    optimise_service_frames,
)
from scattermec.physics import Frame, Parameters, with_margin
from scattermec.scenario import Scenario
from scattermec.storage import ArrayWriter, FrameChunk, FrameFile

FRAMES_AT_ONCE = 2048
"""Frames read, solved and written together: enough to keep the solver busy, few enough for any memory."""

PER_FRAME = {"energy": "f8", "reward": "f8", "status": "i1", "accuracy": "f8"}
PER_USER = {
    "served": "?",
    "t_active": "f8",
    "t_passive": "f8",
    "l_active": "f8",
    "l_passive": "f8",
    "l_local": "f8",
    "price_workload": "f8",
    "price_budget": "f8",
    "price_capacity": "f8",
}
"""Arrays of a solution, (K,) and (K, N), and their types."""
WITH_BEAMS = {"lower_bound": "f8", "gap": "f8"}
WITH_BEST = {"reward_bound": "f8"}
"""Further arrays (K,), for optimal beams and the best set of users."""

CERTIFIED_GAP = 1e-4
"""The summary counts the frames whose energy is above the bound by at most this much, relatively."""


def run(
    source: FrameFile,
    frames: Path,
    out: Path,
    scenario: Scenario,
    options: dict[str, str],
    *,
    margin: float,
    quiet: bool,
) -> Report:
    """Solve all frames of ``source``, the file ``frames``, with these options of `solve_chunk`."""
    with _writer(out, source, scenario, options, margin) as writer:
        warn_without_kernel(options["beams"] == "optimal")
        true = parameters_for(scenario, source.num_users, source.num_antennas, str(frames))
        parameters = with_margin(true, margin)
        with progress("Checking", quiet=quiet) as update:
            capacity = np.asarray(parameters.battery_capacity)
            checked = source.check(capacity, lambda done: update(done, source.num_frames))
        with progress("Solving", quiet=quiet) as update:
            summary = _solve(source, writer, parameters, options, update)
    warn_of_frames(scenario, source, checked.strong, infeasible=summary["infeasible"] == source.num_frames)
    summary |= {"clipped_batteries": checked.overfull}
    about = {"frames_from": str(frames), "out": str(out), **options, "margin": margin}
    return Report(data={**about, **summary, **provenance(scenario)}, tables=[_table(summary, out)])


def warn_of_frames(scenario: Scenario, source: FrameFile, strong: int, *, infeasible: bool) -> None:
    """Warn on standard error of suspicious numbers, and say why if all frames are ``infeasible``."""
    first = next(source.chunks(min(source.num_frames, FRAMES_AT_ONCE)))
    sample = Sample(scenario, first.channels, first.workload, first.battery)
    for line in warnings_of(sample, strong):
        warn(line)
    if infeasible:
        typer.echo("Every frame is infeasible. Medians, per user:", err=True)
        for line in infeasible_lines(sample):
            typer.echo(line, err=True)


def _writer(
    out: Path, source: FrameFile, scenario: Scenario, options: dict[str, str], margin: float
) -> ArrayWriter:
    per_frame = dict(PER_FRAME)
    if options["beams"] == "optimal":
        per_frame |= WITH_BEAMS | (WITH_BEST if options["serve"] == "best" else {})
    rows: dict[str, tuple[tuple[int, ...], np.dtype]] = {
        name: ((), np.dtype(kind)) for name, kind in per_frame.items()
    }
    rows |= {name: ((source.num_users,), np.dtype(kind)) for name, kind in PER_USER.items()}
    if options["beams"] == "optimal":
        rows["beams"] = ((source.num_users, source.num_antennas), np.dtype(np.complex128))
    texts = {
        "scenario": scenario.to_yaml(),
        "version": __version__,
        "scheme": options["scheme"],
        "serve": options["serve"],
        "beams_from": options["beams"],
        "margin": f"{margin:g}",
    }
    return ArrayWriter(out, source.num_frames, rows, texts)


def _solve(
    source: FrameFile,
    writer: ArrayWriter,
    parameters: Parameters,
    options: dict[str, str],
    update: Callable[[int, int], None],
) -> dict[str, Any]:
    """Solve all frames chunk by chunk; returns the summary."""
    begun = time.perf_counter()
    counts = np.zeros(4, dtype=np.int64)
    energy = reward = served = largest_gap = 0.0
    certified = 0
    # Chunks of nearly equal size: a short last one would need a compilation of its own.
    size = -(-source.num_frames // -(-source.num_frames // FRAMES_AT_ONCE))
    for chunk in source.chunks(size):
        rows = solve_chunk(parameters, chunk, **options)
        writer.append(rows)
        optimal = rows["status"] == OPTIMAL
        present = optimal | (rows["status"] == FEASIBLE)
        counts += np.bincount(rows["status"], minlength=4)
        energy += float(rows["energy"][present].sum())
        reward += float(rows["reward"].sum())
        served += float(rows["served"].sum())
        if "gap" in rows:
            gaps = rows["gap"][present]
            certified += int(np.count_nonzero(gaps <= CERTIFIED_GAP))
            largest_gap = max(largest_gap, float(gaps.max(initial=0)))
        update(chunk.start + len(optimal), source.num_frames)
    seconds = time.perf_counter() - begun
    solved = int(counts[OPTIMAL] + counts[FEASIBLE])
    certificate = {
        "certified_gap": CERTIFIED_GAP,
        "certified_share": certified / solved if solved else None,
        "largest_gap": largest_gap if solved else None,
    }
    return {
        "frames": source.num_frames,
        "users": source.num_users,
        "antennas": source.num_antennas,
        "optimal": int(counts[OPTIMAL]),
        "feasible": int(counts[FEASIBLE]),
        "infeasible": int(counts[INFEASIBLE]),
        "not_converged": int(counts[NOT_CONVERGED]),
        "feasible_share": solved / source.num_frames,
        "served_share": served / (source.num_frames * source.num_users),
        "mean_energy": energy / solved if solved else None,
        "mean_reward": reward / source.num_frames,
        **(certificate if options["beams"] == "optimal" else {}),
        "seconds": seconds,
        "frames_per_second": source.num_frames / seconds,
    }


def frames_in(chunk: FrameChunk) -> Frame:
    """The frames of a chunk, (k, ...), as JAX's arrays."""
    return Frame(
        channels=jnp.asarray(chunk.channels),
        workload=jnp.asarray(chunk.workload),
        battery=jnp.asarray(chunk.battery),
    )


def solve_chunk(
    parameters: Parameters, chunk: FrameChunk, *, scheme: Any, serve: Any, beams: str
) -> dict[str, np.ndarray]:
    """Solution of k frames: arrays named in `PER_FRAME` (k,) and `PER_USER` (k, N).

    With optimal beams also those of `WITH_BEAMS` and `WITH_BEST` (k,), and ``beams`` (k, N, M).
    """
    frames = frames_in(chunk)
    more: dict[str, Any] = {}
    if beams == "optimal":
        if serve == "best":
            service = optimise_service_frames(parameters, frames, scheme=scheme)
            found, more["reward_bound"] = service.best, service.reward_bound
        else:
            found = optimise_beams_frames(parameters, frames, scheme=scheme)
        solution = found.solution
        more |= _certificate(parameters, frames, found, scheme)
    else:
        # A zero beam means the one along the user's own channel.
        chosen = np.zeros_like(chunk.channels) if chunk.beams is None else chunk.beams
        solution = allocate_frames(parameters, frames, jnp.asarray(chosen), scheme=scheme, serve=serve)
    reward = frame_rewards(parameters, frames, solution)
    solution, reward, more = jax.device_get((solution, reward, more))
    rows = {
        "energy": solution.energy,
        "reward": reward,
        "status": solution.status,
        "accuracy": solution.accuracy,
        "served": solution.served,
        **more,
    }
    allocation, optimal = solution.allocation, rows["status"] == OPTIMAL
    rows |= {name: getattr(allocation, name) for name in PER_USER if hasattr(allocation, name)}
    # For an infeasible frame the solver's prices belong to the proof; they are no prices of energy.
    prices = jax.tree.map(lambda price: np.where(optimal[:, None], price, 0), solution.prices)
    return rows | {
        "price_workload": prices.workload,
        "price_budget": prices.budget,
        "price_capacity": prices.capacity,
    }


def _certificate(parameters: Parameters, frames: Frame, found: BeamSolution, scheme: Any) -> dict[str, Any]:
    """Rows that hold for all beams; the solution's own rows hold for its beams only."""
    margins = _margins(scheme)(parameters, frames, found)
    return {
        "status": found.status,
        "accuracy": jnp.where(found.status == INFEASIBLE, margins, found.solution.accuracy),
        "lower_bound": found.lower_bound,
        "gap": found.gap,
        "beams": found.beams,
    }


@functools.cache
def _margins(scheme: Any) -> Callable[..., Any]:
    """Compiled once: (parameters, frames, `BeamSolution`) to the margins (k,) of proofs for all beams."""

    def margin(parameters: Any, frame: Any, found: Any) -> Any:
        problem = allocation_problem(parameters, frame, found.beams, scheme=scheme)
        return infeasibility_margin(problem, found.prices, found.beam_worth)

    return jax.jit(jax.vmap(margin, in_axes=(None, 0, 0)))


def _table(summary: dict[str, Any], out: Path) -> Table:
    energy = summary["mean_energy"]
    certificate = []
    if summary.get("largest_gap") is not None:
        certificate = [
            (f"Gap to the bound of all beams at most {CERTIFIED_GAP:g}", f"{summary['certified_share']:.2%}"),
            ("Largest gap", f"{summary['largest_gap']:.1e}"),
        ]
    rows: list[tuple[str, ...]] = [
        ("Frames", f"{summary['frames']:,}"),
        ("Users, antennas", f"{summary['users']}, {summary['antennas']}"),
        ("Optimal", f"{summary['optimal']:,} ({summary['optimal'] / summary['frames']:.2%})"),
        ("Feasible, bound not met", f"{summary['feasible']:,}"),
        ("Infeasible", f"{summary['infeasible']:,}"),
        ("Not converged", f"{summary['not_converged']:,}"),
        ("Users served", f"{summary['served_share']:.2%}"),
        ("Mean energy of the frames solved", "-" if energy is None else f"{energy:.6g} J"),
        ("Mean reward", f"{summary['mean_reward']:.6g} kbit/J"),
        *certificate,
        ("Batteries above their capacity, taken as full", f"{summary['clipped_batteries']:,}"),
        ("Time", f"{summary['seconds']:.1f} s ({summary['frames_per_second']:,.0f} frames/s)"),
    ]
    return Table(str(out), "", ("", ""), tuple(rows))
