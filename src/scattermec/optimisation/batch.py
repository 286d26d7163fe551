"""Many frames at once, in blocks of fixed size, so that programs compile once and memory is bounded."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeVar, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Complex, Float, Int

from scattermec._programs import kept_jit
from scattermec.optimisation import compiled
from scattermec.optimisation.allocation import FEASIBLE, OPTIMAL, Solution, solve_allocation
from scattermec.optimisation.battery_value import BatteryValue
from scattermec.optimisation.beamforming import BeamSolution, optimise_beams
from scattermec.optimisation.joint_service import ServiceSolution, optimise_service
from scattermec.optimisation.problem import Scheme, allocation_problem
from scattermec.optimisation.service import allocate_best_set
from scattermec.physics.frame import Frame
from scattermec.physics.parameters import Parameters
from scattermec.physics.rewards import ap_reward

Result = TypeVar("Result", Solution, BeamSolution)

Serve = Literal["all", "best", "all-or-best"]
SERVE: tuple[Serve, ...] = get_args(Serve)
"""Whom to serve: everyone; the set that maximises (11); or everyone if possible, else that set."""

BLOCK, BEST_BLOCK = 512, 128
"""Frames per call of the kernel, in general and when sets of users are tried: enough to amortise the cost of
a call, though a single frame costs a full block. Blocks are always full, so that programs compile once."""

BLOCKS = 8
"""Most blocks per call of a program, which solves them one after another. The call itself, with its arrays,
costs as much as solving a hundred frames with given beams."""

PORTABLE_BLOCK, PORTABLE_BEST_BLOCK = 512, 48
"""The same for the portable solver, whose time is that of the slowest frame in a block."""

SPARE = 16
"""Unused frames at the end of each block: compiled loops compute their remainder with different rounding, and
a frame's result must not depend on its position."""


def _block() -> int:
    return BLOCK if _by_kernel() else PORTABLE_BLOCK


def _best_block() -> int:
    return BEST_BLOCK if _by_kernel() else PORTABLE_BEST_BLOCK


def _by_kernel() -> bool:
    return compiled.available() and jax.default_backend() == "cpu"


def allocate_frames(
    parameters: Parameters,
    frames: Frame,
    beams: Complex[Array, "K N M"],
    *,
    scheme: Scheme = "hybrid",
    serve: Serve = "all",
    battery_value: BatteryValue | None = None,
) -> Solution:
    """Solve P1 for K frames (leading axis of ``frames`` and ``beams``); arguments as for `allocate`.

    Not for use inside jit: vmap `allocate` or `allocate_best_set` there. Even one frame costs a whole block;
    for single frames, jit `allocate` instead. Raises ValueError for an unknown ``scheme`` or ``serve``, and
    for a ``battery_value`` unless everyone is served.
    """
    if serve not in SERVE:
        raise ValueError(f"serve: {serve!r} is not known; choose from {', '.join(SERVE)}")
    if battery_value is not None and serve != "all":
        raise ValueError(f"serve: {serve!r} is not possible with a battery_value; choose all")
    if serve == "all-or-best":
        return allocate_all_or_best(parameters, frames, beams, scheme=scheme)[0]
    everyone = _in_blocks(partial(_solve_all, scheme, battery_value), parameters, (frames, beams), _block())
    if serve == "all":
        return everyone
    return _in_blocks(partial(_solve_best, scheme), parameters, (frames, beams, everyone), _best_block())


def optimise_beams_frames(
    parameters: Parameters,
    frames: Frame,
    *,
    scheme: Scheme = "hybrid",
    battery_value: BatteryValue | None = None,
) -> BeamSolution:
    """Solve P2 for K frames (leading axis of ``frames``), everyone served; arguments as for `optimise_beams`.

    Not for use inside jit: vmap `optimise_beams` there.
    """
    solve = partial(_optimise_all, scheme, battery_value)
    return _in_blocks(solve, parameters, (frames,), _block())


def optimise_service_frames(
    parameters: Parameters, frames: Frame, *, scheme: Scheme = "hybrid"
) -> ServiceSolution:
    """Like `optimise_beams_frames`, for the set of users that maximises (11); see `optimise_service`."""
    everyone = optimise_beams_frames(parameters, frames, scheme=scheme)
    return _in_blocks(partial(_optimise_best, scheme), parameters, (frames, everyone), _best_block())


def allocate_all_or_best(
    parameters: Parameters,
    frames: Frame,
    beams: Complex[Array, "K N M"],
    *,
    scheme: Scheme = "hybrid",
) -> tuple[Solution, Int[np.ndarray, " K"]]:
    """Serve everyone in each of K frames if possible, else the set that maximises (11).

    Arguments as for `allocate_frames`; not for use inside jit either. Returns the solution and, per frame,
    the status of serving everyone: ``OPTIMAL`` where everyone is served.
    """
    everyone = allocate_frames(parameters, frames, beams, scheme=scheme, serve="all")
    return _or_best(partial(_solve_best, scheme), parameters, (frames, beams), everyone)


def optimise_all_or_best(
    parameters: Parameters,
    frames: Frame,
    *,
    scheme: Scheme = "hybrid",
    battery_value: BatteryValue | None = None,
) -> tuple[BeamSolution, Int[np.ndarray, " K"]]:
    """Like `allocate_all_or_best`, but the beams are optimised too.

    ``battery_value`` applies only where everyone is served.
    """
    everyone = optimise_beams_frames(parameters, frames, scheme=scheme, battery_value=battery_value)

    def solve(parameters: Parameters, frames: Frame, everyone: BeamSolution, count: np.int32) -> BeamSolution:
        return _optimise_best(scheme, parameters, frames, everyone, count).best

    return _or_best(solve, parameters, (frames,), everyone)


def _or_best(
    solve: Callable[..., Result], parameters: Parameters, data: tuple, everyone: Result
) -> tuple[Result, Int[np.ndarray, " K"]]:
    """Replace the solutions that could not serve everyone by those of ``solve``; also the status before."""
    status = np.asarray(everyone.status)
    failed = np.flatnonzero((status != OPTIMAL) & (status != FEASIBLE))
    if not failed.size:
        return everyone, status
    # Collected in NumPy: JAX would compile new programs for every number of failures.
    solution: Result = jax.tree.map(np.array, everyone)
    arrays = jax.tree.map(np.asarray, (*data, everyone))
    best = _solved(solve, parameters, arrays, failed, _best_block())
    for whole, part in zip(jax.tree.leaves(solution), jax.tree.leaves(best), strict=True):
        whole[failed] = part
    return jax.device_put(solution), status


@partial(kept_jit, static_argnums=(0,))
def _solve_all(
    scheme: Scheme,
    battery_value: BatteryValue | None,
    parameters: Parameters,
    frames: Frame,
    beams: Complex[Array, "K N M"],
    count: Int[Array, ""],
) -> Solution:
    def solve(frame: Frame, beams: Complex[Array, "N M"], skip: Bool[Array, ""]) -> Solution:
        problem = allocation_problem(parameters, frame, beams, scheme=scheme, battery_value=battery_value)
        return solve_allocation(problem, skip=skip)

    return _each_block(solve, _block(), (frames, beams), count)


@partial(kept_jit, static_argnums=(0,))
def _solve_best(
    scheme: Scheme,
    parameters: Parameters,
    frames: Frame,
    beams: Complex[Array, "K N M"],
    everyone: Solution,
    count: Int[Array, ""],
) -> Solution:
    def solve(frame: Frame, beams: Complex[Array, "N M"], known: Solution, _: Bool[Array, ""]) -> Solution:
        return allocate_best_set(parameters, frame, beams, scheme=scheme, everyone=known)

    return _each_block(solve, _best_block(), (frames, beams, everyone), count)


@partial(kept_jit, static_argnums=(0,))
def _optimise_all(
    scheme: Scheme,
    battery_value: BatteryValue | None,
    parameters: Parameters,
    frames: Frame,
    count: Int[Array, ""],
) -> BeamSolution:
    def solve(frame: Frame, skip: Bool[Array, ""]) -> BeamSolution:
        return optimise_beams(parameters, frame, scheme=scheme, battery_value=battery_value, skip=skip)

    return _each_block(solve, _block(), (frames,), count)


@partial(kept_jit, static_argnums=(0,))
def _optimise_best(
    scheme: Scheme, parameters: Parameters, frames: Frame, everyone: BeamSolution, count: Int[Array, ""]
) -> ServiceSolution:
    def solve(frame: Frame, known: BeamSolution, skip: Bool[Array, ""]) -> ServiceSolution:
        return optimise_service(parameters, frame, scheme=scheme, everyone=known, skip=skip)

    return _each_block(solve, _best_block(), (frames, everyone), count)


def frame_rewards(parameters: Parameters, frames: Frame, solution: Solution) -> Float[Array, " K"]:
    """Reward (11) in kbit/J of K solutions."""
    return jax.vmap(ap_reward, in_axes=(None, 0, 0, 0))(
        parameters, frames.workload, solution.served, solution.energy
    )


def _each_block(solve: Callable[..., Any], size: int, data: tuple, count: Int[Array, ""]) -> Any:
    """Results of ``solve(*data, skip)`` for the first ``count`` frames of ``data``, block by block.

    ``data`` holds whole blocks of ``size`` frames, and the `SPARE` frames of the last one. The results of
    blocks that hold none of the ``count`` frames are zeros.
    """
    # Traced once, for the shapes of its results and for the loop.
    solve_block = jax.jit(jax.vmap(solve))
    position = jnp.arange(size + SPARE)

    def block_from(start: Int[Array, ""]) -> tuple:
        block = jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, start, size + SPARE), data)
        return *block, (position >= size) | (start + position >= count)

    def add(number: Int[Array, ""], results: Any) -> Any:
        start = number * size
        found = solve_block(*block_from(start))
        return jax.tree.map(
            lambda whole, part: jax.lax.dynamic_update_slice_in_dim(whole, part[:size], start, 0),
            results,
            found,
        )

    total = len(data[0].workload) - SPARE
    shapes = jax.eval_shape(lambda: solve_block(*block_from(jnp.int32(0))))
    nothing = jax.tree.map(lambda leaf: jnp.zeros((total, *leaf.shape[1:]), leaf.dtype), shapes)
    return jax.lax.fori_loop(0, (count + size - 1) // size, add, nothing)


def _in_blocks(solve: Callable[..., Any], parameters: Parameters, data: tuple, size: int) -> Any:
    """Results for the leading axis of ``data``, block by block.

    Even a few frames fill a whole block: programs of other sizes round the last digit differently, and a
    frame's result must not depend on its neighbours.
    """
    # Split and joined in NumPy: JAX would compile and run a program for every array.
    parameters, arrays = jax.tree.map(np.asarray, (parameters, data))
    return jax.device_put(_solved(solve, parameters, arrays, np.arange(len(data[0].workload)), size))


def _solved(
    solve: Callable[..., Any], parameters: Parameters, data: tuple, chosen: Int[np.ndarray, " K"], size: int
) -> Any:
    """Results for the frames ``chosen`` of ``data``, as NumPy arrays."""
    parts = []
    for start in range(0, len(chosen), BLOCKS * size):
        count = min(len(chosen) - start, BLOCKS * size)
        # The program always gets arrays of the same size, of which it uses only the blocks with frames.
        used = -(-count // size) * size + SPARE
        index = chosen[np.minimum(np.arange(start, start + used), start + count - 1)]

        def padded(leaf: np.ndarray, index: np.ndarray = index) -> np.ndarray:
            whole = np.zeros((BLOCKS * size + SPARE, *leaf.shape[1:]), leaf.dtype)
            whole[: len(index)] = leaf[index]
            return whole

        found = solve(parameters, *jax.tree.map(padded, data), np.int32(count))
        parts.append(jax.tree.map(lambda leaf, count=count: np.asarray(leaf)[:count], found))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
