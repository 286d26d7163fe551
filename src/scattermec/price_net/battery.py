"""What energy in a battery is worth to later frames, learned from P1's prices along rollouts.

The derivative of a frame's least cost with respect to a user's battery is P1's price of its energy, (9). So,
frame by frame along the policy's own rollouts, the worth of a mJ that is left at a level is the mean price
that energy has in frames that begin at that level, discounted. That is the equation of Bellman for the
marginal value, with a table of S levels a user in place of the value function: nothing is differentiated
through time, and no value is bootstrapped but the prices.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float

from scattermec._pytree import pytree
from scattermec.optimisation import BatteryValue
from scattermec.optimisation.battery_value import part_of
from scattermec.physics import Frame, Parameters
from scattermec.physics.channel import Key

PARTS = 16
"""Levels of a battery."""

RESTARTS = 0.05
"""Chance of a battery to begin a frame at any level, so that all levels are seen."""

RATE = 0.1
"""By which part of its distance the worth of a level moves in a step, at first, if it gets its share of the
frames."""


@pytree
class Rollouts:
    """Where R rollouts are, and what their batteries have been worth so far."""

    battery: Float[Array, "R N"]
    """mJ at the start of the next frame"""
    worth: Float[Array, "N S"]
    """J/mJ, not yet made to fall"""


def begin(parameters: Parameters, count: int) -> Rollouts:
    """Empty batteries, worth nothing."""
    users = parameters.num_users
    return Rollouts(battery=jnp.zeros((count, users)), worth=jnp.zeros((users, PARTS)))


def falling(worth: Float[Array, "N S"]) -> BatteryValue:
    """A concave value near ``worth``: between the highest falling slopes below it and the lowest above."""
    below = jax.lax.cummin(worth, axis=1)
    above = jax.lax.cummax(worth, axis=1, reverse=True)
    return BatteryValue(slopes=(below + above) / 2)


def restarted(key: Key, parameters: Parameters, battery: Float[Array, "R N"]) -> Float[Array, "R N"]:
    """Some of the batteries at levels of their own."""
    which, level = jax.random.split(key)
    drawn = jax.random.uniform(level, battery.shape) * parameters.battery_capacity
    return jnp.where(jax.random.bernoulli(which, RESTARTS, battery.shape), drawn, battery)


def learn(
    rollouts: Rollouts,
    parameters: Parameters,
    frames: Frame,
    energy_price: Float[Array, "R N"],
    solved: Bool[Array, " R"],
    *,
    discount: float,
    rate: float | Array,
) -> Float[Array, "N S"]:
    """The worth of each level after R frames whose energy had the prices ``energy_price`` (J/mJ)."""
    worth = rollouts.worth
    parts = worth.shape[1]
    value = BatteryValue(slopes=worth)
    level = jax.vmap(lambda battery: part_of(parameters, value, battery))(frames.battery)
    seen = (level[..., None] == jnp.arange(parts)) & solved[:, None, None]
    surplus = jnp.where(seen, discount * energy_price[..., None] - worth, 0)
    # Every frame counts alike, so levels that are met more often move faster.
    share = rate * parts / len(level)
    frames_seen = jnp.sum(seen, axis=0)
    return worth + jnp.sum(surplus, axis=0) * jnp.minimum(share, 1 / jnp.maximum(frames_seen, 1))
