"""What energy left in a battery is worth to later frames: a concave function, piecewise linear.

With it P1 and P2 still are convex problems of one frame, which now weigh energy spent against energy kept.
Where its slopes come from is not their business; see `scattermec.price_net.battery`.
"""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from scattermec._pytree import pytree
from scattermec.physics import Parameters


@pytree
class BatteryValue:
    """Each user's battery from empty to full in S parts of one size."""

    slopes: Float[Array, "N S"]
    """J of the AP's energy that a mJ is worth in each part; not negative, and falling from part to part"""


def part_size(parameters: Parameters, value: BatteryValue) -> Float[Array, " N"]:
    """Size of each user's parts, in mJ."""
    return parameters.battery_capacity / value.slopes.shape[-1]


def worth(parameters: Parameters, value: BatteryValue, battery: Float[Array, " N"]) -> Float[Array, " N"]:
    """What each user's battery (mJ) is worth, in J."""
    size = part_size(parameters, value)
    below = size[:, None] * jnp.arange(value.slopes.shape[-1])
    return jnp.sum(value.slopes * jnp.clip(battery[:, None] - below, 0, size[:, None]), axis=-1)


def slopes_at(parameters: Parameters, value: BatteryValue, battery: Float[Array, " N"]) -> Float[Array, " N"]:
    """What a mJ more would be worth at each user's battery (mJ), in J: its part's slope."""
    return jnp.take_along_axis(value.slopes, part_of(parameters, value, battery)[:, None], axis=-1)[:, 0]


def part_of(parameters: Parameters, value: BatteryValue, battery: Float[Array, " N"]) -> Array:
    """Which part each user's battery (mJ) is in, (N,) int."""
    parts = value.slopes.shape[-1]
    share = battery / parameters.battery_capacity
    return jnp.clip(jnp.floor(share * parts).astype(jnp.int32), 0, parts - 1)
