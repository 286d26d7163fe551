"""Actor and critic networks of Table I, in single precision whatever the precision of the physics."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from scattermec.agents.settings import Activation
from scattermec.physics.channel import Key

DTYPE = jnp.float32

_APPLY = {"sigmoid": jax.nn.sigmoid, "relu": jax.nn.relu, "tanh": jnp.tanh}


class Actor(eqx.Module):
    """A deterministic policy: observation to an action in (0, 1), through a sigmoid."""

    layers: tuple[eqx.nn.Linear, ...]
    activation: Activation = eqx.field(static=True)

    def __init__(
        self,
        key: Key,
        observation_size: int,
        action_size: int,
        hidden: tuple[int, ...],
        activation: Activation,
    ) -> None:
        sizes = (observation_size, *hidden, action_size)
        keys = jax.random.split(key, len(sizes) - 1)
        self.layers = tuple(
            eqx.nn.Linear(before, after, dtype=DTYPE, key=k)
            for before, after, k in zip(sizes[:-1], sizes[1:], keys, strict=True)
        )
        self.activation = activation

    def __call__(self, observation: Float[Array, " K"]) -> Float[Array, " D"]:
        """The action for one observation."""
        x = observation
        for layer in self.layers[:-1]:
            x = _APPLY[self.activation](layer(x))
        return jax.nn.sigmoid(self.layers[-1](x))


class Critic(eqx.Module):
    """The value of an action: fc(state) + fc(action), relu, fc to one number."""

    state_layer: eqx.nn.Linear
    action_layer: eqx.nn.Linear
    output_layer: eqx.nn.Linear

    def __init__(self, key: Key, observation_size: int, action_size: int, width: int) -> None:
        keys = jax.random.split(key, 3)
        self.state_layer = eqx.nn.Linear(observation_size, width, dtype=DTYPE, key=keys[0])
        self.action_layer = eqx.nn.Linear(action_size, width, dtype=DTYPE, key=keys[1])
        self.output_layer = eqx.nn.Linear(width, "scalar", dtype=DTYPE, key=keys[2])

    def __call__(self, observation: Float[Array, " K"], action: Float[Array, " D"]) -> Float[Array, ""]:
        """The estimated discounted return of ``action`` after ``observation``."""
        hidden = jax.nn.relu(self.state_layer(observation) + self.action_layer(action))
        return self.output_layer(hidden)
