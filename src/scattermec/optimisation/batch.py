"""Many frames at once: blocks of one size, so that each program is compiled once and memory stays bounded."""

from collections.abc import Iterator
from functools import partial
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Complex, Float, Int

from scattermec.optimisation.allocation import OPTIMAL, Solution, allocate
from scattermec.optimisation.problem import Scheme
from scattermec.optimisation.service import allocate_best_set
from scattermec.physics.frame import Frame
from scattermec.physics.parameters import Parameters
from scattermec.physics.rewards import ap_reward

Serve = Literal["all", "best", "all-or-best"]
SERVE: tuple[Serve, ...] = get_args(Serve)
"""Whom to serve: everyone; the set that maximises (11); or everyone where that is possible, else that set."""

BLOCK = 512
"""Frames solved together: the slowest frame of a block sets its time, and its state should stay in cache."""

BEST_BLOCK = 16
"""The same where every set of users is tried. Always full, so that it is compiled once however few remain."""


def allocate_frames(
    parameters: Parameters,
    frames: Frame,
    beams: Complex[Array, "K N M"],
    *,
    scheme: Scheme = "hybrid",
    serve: Serve = "all",
) -> Solution:
    """Solve P1 for K frames (leading axis of ``frames`` and ``beams``); arguments as for `allocate`.

    Not for use inside jit: vmap `allocate` or `allocate_best_set` there. Raises ValueError for an unknown
    scheme or choice of whom to serve.
    """
    if serve not in SERVE:
        raise ValueError(f"serve: {serve!r} is not known; choose from {', '.join(SERVE)}")
    if serve == "best":
        return _in_blocks(partial(_solve_best, scheme), parameters, frames, beams, BEST_BLOCK)
    if serve == "all-or-best":
        return allocate_all_or_best(parameters, frames, beams, scheme=scheme)[0]
    few = 1 << max(len(frames.workload) - 1, 0).bit_length()
    return _in_blocks(partial(_solve_all, scheme), parameters, frames, beams, min(BLOCK, few))


def allocate_all_or_best(
    parameters: Parameters,
    frames: Frame,
    beams: Complex[Array, "K N M"],
    *,
    scheme: Scheme = "hybrid",
) -> tuple[Solution, Int[np.ndarray, "K"]]:
    """Serve everyone in each of K frames where that is possible, else the set that maximises (11).

    Arguments as for `allocate_frames`, and like it not for use inside jit. Returns the solution and, for each
    frame, the status of serving everyone: ``OPTIMAL`` where everyone is served.
    """
    everyone = allocate_frames(parameters, frames, beams, scheme=scheme, serve="all")
    status = np.asarray(everyone.status)
    failed = np.flatnonzero(status != OPTIMAL)
    if not failed.size:
        return everyone, status
    # Collected in numpy: JAX would compile programs of its own for every number of failures.
    solution: Solution = jax.tree.map(np.array, everyone)
    for index in _blocks(failed.size, BEST_BLOCK):
        chosen = failed[index]
        block = jax.tree.map(lambda leaf, i=chosen: leaf[i], (frames, beams))
        best = _solve_best(scheme, parameters, *block)
        for whole, part in zip(jax.tree.leaves(solution), jax.tree.leaves(best), strict=True):
            whole[chosen] = part
    return jax.tree.map(jnp.asarray, solution), status


@partial(jax.jit, static_argnums=0)
def _solve_all(
    scheme: Scheme, parameters: Parameters, frames: Frame, beams: Complex[Array, "K N M"]
) -> Solution:
    return jax.vmap(lambda frame, w: allocate(parameters, frame, w, scheme=scheme))(frames, beams)


@partial(jax.jit, static_argnums=0)
def _solve_best(
    scheme: Scheme, parameters: Parameters, frames: Frame, beams: Complex[Array, "K N M"]
) -> Solution:
    return jax.vmap(lambda frame, w: allocate_best_set(parameters, frame, w, scheme=scheme))(frames, beams)


def frame_rewards(parameters: Parameters, frames: Frame, solution: Solution) -> Float[Array, "K"]:
    """Reward (11) in kbit/J of K solutions."""
    return jax.vmap(ap_reward, in_axes=(None, 0, 0, 0))(
        parameters, frames.workload, solution.served, solution.energy
    )


def _in_blocks(
    solve: partial[Solution],
    parameters: Parameters,
    frames: Frame,
    beams: Complex[Array, "K N M"],
    size: int,
) -> Solution:
    parts = []
    for index in _blocks(beams.shape[0], size):
        block = jax.tree.map(lambda leaf, i=index: leaf[i], (frames, beams))
        parts.append(solve(parameters, *block))
    joined = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)
    return jax.tree.map(lambda leaf: leaf[: beams.shape[0]], joined)


def _blocks(count: int, size: int) -> Iterator[np.ndarray]:
    """Indices of each block, padded with the last frame to a full block."""
    for start in range(0, count, size):
        yield np.minimum(np.arange(start, start + size), count - 1)
