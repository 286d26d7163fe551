"""Gymnasium's Pendulum-v1 as pure functions, with the interface of `scattermec.environment.interface`."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from scattermec._pytree import pytree
from scattermec.environment.interface import Step
from scattermec.physics.channel import Key

STEPS = 200
"""per episode"""
START = (jnp.pi, 1.0)
"""Episodes start uniformly within these limits: rad, rad/s"""

_SPEED, _TORQUE, _TIME, _GRAVITY, _MASS, _LENGTH = 8.0, 2.0, 0.05, 10.0, 1.0, 1.0


@pytree
class Swing:
    """The state of an episode."""

    angle: Array
    """() rad, 0 upright"""
    speed: Array
    """() rad/s"""
    steps: Array
    """() taken so far"""


@pytree
class Pendulum:
    """A pendulum to be swung up and held upright. One action in [0, 1]: the torque, from -2 to 2 N m."""

    @property
    def action_shape(self) -> tuple[int]:
        """One number."""
        return (1,)

    def reset(self, key: Key) -> Swing:
        """Start at any angle, turning slowly."""
        angle, speed = jax.random.uniform(key, (2,), minval=-1, maxval=1) * jnp.array(START)
        return self.start(angle, speed)

    def start(self, angle: Array, speed: Array) -> Swing:
        """Start an episode at a given position."""
        return Swing(angle=angle, speed=speed, steps=jnp.zeros((), jnp.int32))

    def observe(self, state: Swing) -> Float[Array, "3"]:
        """Its direction and angular speed."""
        return jnp.stack([jnp.cos(state.angle), jnp.sin(state.angle), state.speed])

    def step(self, key: Key, state: Swing, action: Float[Array, "1"]) -> Step:
        """Turn for one time step. Episodes are only ever truncated: nothing terminates."""
        torque = _TORQUE * (2 * action[0].astype(state.angle.dtype) - 1)
        off = (state.angle + jnp.pi) % (2 * jnp.pi) - jnp.pi
        cost = off**2 + 0.1 * state.speed**2 + 0.001 * torque**2
        pull = 3 * _GRAVITY / (2 * _LENGTH) * jnp.sin(state.angle) + 3 / (_MASS * _LENGTH**2) * torque
        speed = jnp.clip(state.speed + pull * _TIME, -_SPEED, _SPEED)
        reached = Swing(angle=state.angle + speed * _TIME, speed=speed, steps=state.steps + 1)
        over = reached.steps >= STEPS
        following = jax.tree.map(lambda new, old: jnp.where(over, new, old), self.reset(key), reached)
        return Step(
            state=following, observation=self.observe(reached), reward=-cost, terminated=jnp.zeros((), bool)
        )
