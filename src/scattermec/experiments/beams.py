"""The AP's beams by name, chosen for what the AP sees of the frames."""

from collections.abc import Callable
from typing import Literal, get_args

import jax
from jax import Array
from jaxtyping import Complex

from scattermec.physics import Frame, Parameters, maximum_ratio_beams
from scattermec.physics.channel import Key, complex_normal
from scattermec.physics.links import unit_vectors

Beams = Literal["mrt", "random"]
BEAMS: tuple[Beams, ...] = get_args(Beams)
"""How beams are chosen: along each user's own channel, or drawn uniformly from the unit sphere."""

BeamRule = Callable[[Key, Parameters, Frame], Array]
"""Randomness, constants and R frames as the AP sees them (leading axis) to unit beams (R, N, M)."""


def beam_rule(name: str) -> BeamRule:
    """The rule of that name; raises ValueError for an unknown one."""
    if name not in _RULES:
        raise ValueError(f"beams: {name!r} is not known; choose from {', '.join(_RULES)}")
    return _RULES[name]


def _mrt(key: Key, parameters: Parameters, frames: Frame) -> Complex[Array, "R N M"]:
    return jax.vmap(maximum_ratio_beams)(frames.channels)


def _random(key: Key, parameters: Parameters, frames: Frame) -> Complex[Array, "R N M"]:
    drawn = complex_normal(key, frames.channels.shape, frames.channels.real.dtype)
    return jax.vmap(unit_vectors)(drawn)


_RULES: dict[str, BeamRule] = {"mrt": _mrt, "random": _random}
