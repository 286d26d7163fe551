"""Exploration: the probability with which an agent deviates from its policy, and its noise."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from scattermec.agents.networks import DTYPE
from scattermec.agents.settings import Learning
from scattermec.physics.channel import Key


def exploration_probability(learning: Learning, frame: Array) -> Float[Array, ""]:
    """Epsilon at a frame: constant, or decreasing linearly to its floor."""
    h = learning
    elapsed = jnp.where(h.exploration_decay > 0, frame / jnp.maximum(h.exploration_decay, 1), 0)
    left = jnp.maximum(1 - elapsed, 0)
    return h.exploration_floor + (h.exploration_probability - h.exploration_floor) * left


def explored(learning: Learning, key: Key, action: Float[Array, "*S"]) -> Float[Array, "*S"]:
    """An action near ``action`` (Gaussian noise, clipped to [0, 1]), or a uniformly random one."""
    if learning.exploration == "uniform":
        return jax.random.uniform(key, action.shape, DTYPE)
    noise = learning.exploration_noise * jax.random.normal(key, action.shape, DTYPE)
    return jnp.clip(action + noise, 0, 1)


def explored_with(
    learning: Learning, keys: tuple[Key, Key], action: Float[Array, " D"], epsilon: Float[Array, ""]
) -> Float[Array, " D"]:
    """One agent explores around its action with probability ``epsilon``; keys for the draw and the noise."""
    explores = jax.random.bernoulli(keys[0], epsilon)
    return jnp.where(explores, explored(learning, keys[1], action), action)


def explored_each(
    learning: Learning, key: Key, actions: Float[Array, "A D"], epsilon: Float[Array, ""]
) -> Float[Array, "A D"]:
    """Each agent explores around its action with probability ``epsilon``, independently of the others."""
    key_whether, key_noise = jax.random.split(key)
    explores = jax.random.bernoulli(key_whether, epsilon, actions.shape[:1])
    return jnp.where(explores[:, None], explored(learning, key_noise, actions), actions)
