"""The value of the energy left in a battery for later frames: a concave, piecewise linear function.

P1 and P2 remain convex problems of one frame, but trade off energy spent against energy kept. The slopes are
given; `scattermec.price_net.battery` learns them.
"""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from scattermec._pytree import pytree
from scattermec.physics import Parameters


@pytree
class BatteryValue:
    """Value of each user's stored energy; the battery is divided into S equal parts, from empty to full."""

    slopes: Float[Array, "N S"]
    """value in each part, in J of the AP's energy per mJ; non-negative, and decreasing from part to part"""


def part_size(parameters: Parameters, value: BatteryValue) -> Float[Array, " N"]:
    """Size of each user's parts, in mJ."""
    return parameters.battery_capacity / value.slopes.shape[-1]


def worth(parameters: Parameters, value: BatteryValue, battery: Float[Array, " N"]) -> Float[Array, " N"]:
    """Value of each user's battery level (mJ), in J."""
    size = part_size(parameters, value)
    below = size[:, None] * jnp.arange(value.slopes.shape[-1])
    return jnp.sum(value.slopes * jnp.clip(battery[:, None] - below, 0, size[:, None]), axis=-1)


def slopes_at(parameters: Parameters, value: BatteryValue, battery: Float[Array, " N"]) -> Float[Array, " N"]:
    """Marginal value in J per mJ at each user's battery level (mJ): the slope of its part."""
    return jnp.take_along_axis(value.slopes, part_of(parameters, value, battery)[:, None], axis=-1)[:, 0]


def part_of(parameters: Parameters, value: BatteryValue, battery: Float[Array, " N"]) -> Array:
    """Index of the part that each user's battery level (mJ) is in, (N,) int."""
    parts = value.slopes.shape[-1]
    share = battery / parameters.battery_capacity
    return jnp.clip(jnp.floor(share * parts).astype(jnp.int32), 0, parts - 1)
