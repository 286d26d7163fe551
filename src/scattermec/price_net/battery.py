"""Value of stored battery energy to later frames, learned from P1's prices along rollouts.

The derivative of a frame's least cost with respect to a user's battery is P1's price of its energy, (9). So
the worth of one more mJ left at a battery level is the discounted mean price of energy in frames that begin
at that level, measured along the policy's own rollouts. This is the Bellman equation for the marginal value,
with a table of S levels per user as the value function: there is no differentiation through time, and nothing
is bootstrapped except the prices.
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
"""Number of battery levels."""

RESTARTS = 0.05
"""Probability that a battery begins a frame at a random level, so that all levels are visited."""

RATE = 0.1
"""Initial step size, for a level that gets its share of the frames."""


@pytree
class Rollouts:
    """State of R rollouts, and the worth of battery energy learned so far."""

    battery: Float[Array, "R N"]
    """mJ at the start of the next frame"""
    worth: Float[Array, "N S"]
    """J/mJ, not yet made monotone"""


def begin(parameters: Parameters, count: int) -> Rollouts:
    """Empty batteries and zero worth."""
    users = parameters.num_users
    return Rollouts(battery=jnp.zeros((count, users)), worth=jnp.zeros((users, PARTS)))


def falling(worth: Float[Array, "N S"]) -> BatteryValue:
    """A concave value near ``worth``: mean of the highest falling slopes below it and the lowest above."""
    below = jax.lax.cummin(worth, axis=1)
    above = jax.lax.cummax(worth, axis=1, reverse=True)
    return BatteryValue(slopes=(below + above) / 2)


def restarted(key: Key, parameters: Parameters, battery: Float[Array, "R N"]) -> Float[Array, "R N"]:
    """Batteries, some of them reset to random levels."""
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
    """Worth of each level, updated with R frames whose prices of energy are ``energy_price`` (J/mJ)."""
    worth = rollouts.worth
    parts = worth.shape[1]
    value = BatteryValue(slopes=worth)
    level = jax.vmap(lambda battery: part_of(parameters, value, battery))(frames.battery)
    seen = (level[..., None] == jnp.arange(parts)) & solved[:, None, None]
    surplus = jnp.where(seen, discount * energy_price[..., None] - worth, 0)
    # Every frame has the same weight, so frequent levels move faster.
    share = rate * parts / len(level)
    frames_seen = jnp.sum(seen, axis=0)
    return worth + jnp.sum(surplus, axis=0) * jnp.minimum(share, 1 / jnp.maximum(frames_seen, 1))
