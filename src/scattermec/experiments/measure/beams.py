"""The AP's beams by name, with the allocation for them, from the frames as the AP sees them."""

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import jax
import numpy as np
from jax import Array
from jaxtyping import Complex

from scattermec._programs import kept_jit
from scattermec.optimisation import Scheme, Solution, allocate_all_or_best, optimise_all_or_best
from scattermec.physics import Frame, Parameters, maximum_ratio_beams
from scattermec.physics.channel import Key, complex_normal
from scattermec.physics.links import unit_vectors

Beams = Literal["mrt", "random", "optimal"]
BEAMS: tuple[Beams, ...] = get_args(Beams)
"""Choices of beams: along each user's own channel, drawn uniformly from the unit sphere, or optimised
together with the allocation."""

SimulatedBeams = Literal["mrt", "random", "optimal", "learned"]
"""These, and the beams of a shipped policy of price-net."""

BeamRule = Callable[[Key, Frame], Array]
"""(key, R frames as the AP sees them (leading axis)) to unit beams (R, N, M)."""


class SolvedFrames(NamedTuple):
    """The AP's decision for each of R frames."""

    beams: Array
    """(R, N, M) complex, unit norm"""
    solution: Solution
    """the optimal allocation for these beams: to everyone where that is possible, else to the set of users
    that maximises the reward (11)"""
    lower_bound: Array
    """(R,) J: no allocation to the same users needs less with these beams; if the beams are optimal, with any
    beams"""
    status: np.ndarray
    """(R,) status of serving everyone: ``OPTIMAL`` where everyone is served"""


def solve_frames(
    parameters: Parameters, frames: Frame, beams: str, *, scheme: Scheme, key: Key
) -> SolvedFrames:
    """Choose beams by name and allocate optimally for R frames (leading axis of ``frames``).

    Everyone is served where that is possible, else the best set of users; for optimal beams, "possible" means
    with any beams. Raises ValueError for an unknown name, and for optimal beams if the rectifier is not
    linear. Not for use inside jit. For "learned" beams the scenario must fit, see
    `scattermec.price_net.registry.check_fit`.
    """
    if beams == "optimal":
        found, status = optimise_all_or_best(parameters, frames, scheme=scheme)
        return SolvedFrames(found.beams, found.solution, found.lower_bound, status)
    chosen = _learned(parameters, frames) if beams == "learned" else beam_rule(beams)(key, frames)
    return allocate_for(parameters, frames, chosen, scheme=scheme)


def allocate_for(
    parameters: Parameters, frames: Frame, beams: Complex[Array, "R N M"], *, scheme: Scheme
) -> SolvedFrames:
    """Allocate optimally for given beams, otherwise like `solve_frames`."""
    solution, status = allocate_all_or_best(parameters, frames, beams, scheme=scheme)
    return SolvedFrames(beams, solution, solution.lower_bound, status)


def beam_rule(name: str) -> BeamRule:
    """The rule of that name, for beams that do not depend on the allocation; ValueError for other names."""
    if name not in BEAMS:
        raise ValueError(f"beams: {name!r} is not known; choose from {', '.join(BEAMS)}")
    if name not in _RULES:
        raise ValueError(f"beams: {name!r} depend on the allocation; there is no rule for the beams alone")
    return _RULES[name]


@kept_jit
def _mrt(key: Key, frames: Frame) -> Complex[Array, "R N M"]:
    return jax.vmap(maximum_ratio_beams)(frames.channels)


def _random(key: Key, frames: Frame) -> Complex[Array, "R N M"]:
    drawn = complex_normal(key, frames.channels.shape, frames.channels.real.dtype)
    return jax.vmap(unit_vectors)(drawn)


def _learned(parameters: Parameters, frames: Frame) -> Complex[Array, "R N M"]:
    # Imported here, since other beams do not need the learners' packages.
    from scattermec.price_net.modes import beams_frames
    from scattermec.price_net.registry import shipped_for

    policy = shipped_for(*frames.channels.shape[1:])
    return beams_frames(policy.network, parameters, frames)


_RULES: dict[str, BeamRule] = {"mrt": _mrt, "random": _random}
