"""`scattermec solve`: the exact allocation for frames from a file."""

import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from scattermec._version import __version__
from scattermec.cli.common import (
    JsonOption,
    ScenarioOption,
    Scheme,
    SchemeOption,
    SetOption,
    load_scenario,
    print_table,
    progress,
    provenance,
    to_json,
    use_double_precision,
)
from scattermec.scenario import Scenario
from scattermec.storage import ArrayWriter, FrameChunk, FrameFile, InputError, open_frames

if TYPE_CHECKING:
    from scattermec.physics import Parameters

FRAMES_AT_ONCE = 2048
"""Frames read, solved and written together: enough to keep the solver busy, little enough for any memory."""

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


class Serve(StrEnum):
    """Whom to serve."""

    ALL = "all"
    BEST = "best"


def solve(
    frames: Annotated[
        Path, typer.Argument(metavar="FRAMES", help="An .npz file, or a folder of .npy files.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="SOLUTION",
            help="Where to put the solution: an .npz file, or else a new folder of .npy files.",
        ),
    ],
    scheme: SchemeOption = Scheme.HYBRID,
    serve: Annotated[
        Serve, typer.Option(help="Serve everyone, or the set of users that maximises the reward.")
    ] = Serve.ALL,
    scenario: ScenarioOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the exact optimal allocation for each of K frames of N users and M antennas.

    FRAMES holds

    - `channels` (K, N, M) complex, `workload` (K, N) in kbit, `battery` (K, N) in mJ and
    - optionally `beams` (K, N, M) complex, of norm 1; along the users' channels unless given.

    N and M follow from it; the scenario's positions are not used. SOLUTION will hold

    - of each frame, (K): `energy` in J (infinite unless optimal), `reward` in kbit/J, `status` (0 optimal,
      1 infeasible, 2 not converged) and `accuracy` (the relative gap to a proved lower bound on the energy,
      or the margin by which infeasibility is proved);
    - of each user, (K, N): `served`, the times `t_active` and `t_passive` in s, the work `l_active`,
      `l_passive` and `l_local` in kbit, and the prices `price_workload` in J/kbit, `price_budget` and
      `price_capacity` in J/mJ (all 0 unless optimal);
    - the texts `scenario`, `version`, `scheme` and `serve`, with which it was made.

    Both are streamed, so any number of frames fits in little memory. Faults name frames and users counted
    from 0.

    Examples:

        scattermec solve frames.npz --out solution.npz
        scattermec solve folder/ --out solved/ --scheme active --serve best --set ap_power=2
    """
    chosen = load_scenario(scenario, settings)
    source = open_frames(frames)
    if frames.resolve() == out.resolve():
        raise InputError([f"{out}: is the input; name another file"])
    with _writer(out, source, chosen, scheme.value, serve.value) as writer:
        use_double_precision()
        constants = _constants(chosen, source)
        with progress("Checking", quiet=as_json) as update:
            capacity = np.asarray(constants.battery_capacity)
            clipped = source.check(capacity, lambda done: update(done, source.num_frames))
        with progress("Solving", quiet=as_json) as update:
            summary = _solve(source, writer, constants, scheme.value, serve.value, update)
    summary |= {"clipped_batteries": clipped}
    if as_json:
        options = {"frames_from": str(frames), "out": str(out), "scheme": scheme.value, "serve": serve.value}
        typer.echo(to_json({**options, **summary, **provenance(chosen)}))
    else:
        _print(summary, str(out))


def _writer(out: Path, source: FrameFile, scenario: Scenario, scheme: str, serve: str) -> ArrayWriter:
    rows: dict[str, tuple[tuple[int, ...], np.dtype]] = {
        name: ((), np.dtype(kind)) for name, kind in PER_FRAME.items()
    }
    rows |= {name: ((source.num_users,), np.dtype(kind)) for name, kind in PER_USER.items()}
    texts = {"scenario": scenario.to_yaml(), "version": __version__, "scheme": scheme, "serve": serve}
    return ArrayWriter(out, source.num_frames, rows, texts)


def _constants(scenario: Scenario, source: FrameFile) -> "Parameters":
    from scattermec.physics import parameters

    try:
        return parameters(scenario, num_users=source.num_users, num_antennas=source.num_antennas)
    except ValueError as error:  # a constant given per user, for another number of users
        raise InputError([str(error)]) from error


def _solve(
    source: FrameFile,
    writer: ArrayWriter,
    constants: "Parameters",
    scheme: Any,
    serve: Any,
    update: Callable[[int, int], None],
) -> dict[str, Any]:
    """Solve all frames chunk by chunk; returns the summary."""
    begun = time.perf_counter()
    counts = np.zeros(3, dtype=np.int64)
    energy = reward = served = 0.0
    # Chunks of nearly one size: a short last one would cost the compilation of its own program.
    size = -(-source.num_frames // -(-source.num_frames // FRAMES_AT_ONCE))
    for chunk in source.chunks(size):
        rows = solve_chunk(constants, chunk, scheme=scheme, serve=serve)
        writer.append(rows)
        optimal = rows["status"] == 0
        counts += np.bincount(rows["status"], minlength=3)
        energy += float(rows["energy"][optimal].sum())
        reward += float(rows["reward"].sum())
        served += float(rows["served"].sum())
        update(chunk.start + len(optimal), source.num_frames)
    seconds = time.perf_counter() - begun
    solved = int(counts[0])
    return {
        "frames": source.num_frames,
        "users": source.num_users,
        "antennas": source.num_antennas,
        "optimal": solved,
        "infeasible": int(counts[1]),
        "not_converged": int(counts[2]),
        "feasible_share": solved / source.num_frames,
        "served_share": served / (source.num_frames * source.num_users),
        "mean_energy": energy / solved if solved else None,
        "mean_reward": reward / source.num_frames,
        "seconds": seconds,
        "frames_per_second": source.num_frames / seconds,
    }


def solve_chunk(
    constants: "Parameters", chunk: FrameChunk, *, scheme: Any, serve: Any
) -> dict[str, np.ndarray]:
    """Solution of k frames by the names of `PER_FRAME` (k,) and `PER_USER` (k, N)."""
    import jax
    import jax.numpy as jnp

    from scattermec.optimisation import OPTIMAL, allocate_frames, frame_rewards
    from scattermec.physics import Frame

    # A zero beam means the one along the user's own channel.
    beams = np.zeros_like(chunk.channels) if chunk.beams is None else chunk.beams
    frames = Frame(
        channels=jnp.asarray(chunk.channels),
        workload=jnp.asarray(chunk.workload),
        battery=jnp.asarray(chunk.battery),
    )
    solution = allocate_frames(constants, frames, jnp.asarray(beams), scheme=scheme, serve=serve)
    reward = frame_rewards(constants, frames, solution)
    solution, reward = jax.device_get((solution, reward))
    allocation, optimal = solution.allocation, solution.status == OPTIMAL
    rows = {
        "energy": solution.energy,
        "reward": reward,
        "status": solution.status,
        "accuracy": solution.accuracy,
        "served": solution.served,
    }
    rows |= {name: getattr(allocation, name) for name in PER_USER if hasattr(allocation, name)}
    # For an infeasible frame the solver's prices are those of the proof, which are no prices of energy.
    prices = jax.tree.map(lambda price: np.where(optimal[:, None], price, 0), solution.prices)
    return rows | {
        "price_workload": prices.workload,
        "price_budget": prices.budget,
        "price_capacity": prices.capacity,
    }


def _print(summary: dict[str, Any], out: str) -> None:
    energy = summary["mean_energy"]
    rows: list[tuple[str, ...]] = [
        ("Frames", f"{summary['frames']:,}"),
        ("Users, antennas", f"{summary['users']}, {summary['antennas']}"),
        ("Optimal", f"{summary['optimal']:,} ({summary['feasible_share']:.2%})"),
        ("Infeasible", f"{summary['infeasible']:,}"),
        ("Not converged", f"{summary['not_converged']:,}"),
        ("Users served", f"{summary['served_share']:.2%}"),
        ("Mean energy of the optimal frames", "-" if energy is None else f"{energy:.6g} J"),
        ("Mean reward", f"{summary['mean_reward']:.6g} kbit/J"),
        ("Batteries above their capacity, taken as full", f"{summary['clipped_batteries']:,}"),
        ("Time", f"{summary['seconds']:.1f} s ({summary['frames_per_second']:,.0f} frames/s)"),
    ]
    print_table(out, ("", ""), rows)
