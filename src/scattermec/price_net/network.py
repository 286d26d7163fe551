"""A network from features of users and pairs of users to one number per pair, equivariant to users' order.

Each ordered pair (i, j) carries a vector. In every round a pair receives messages from the pairs that close a
triangle with it, from its reverse, and from the means over its row and column; all weights are shared, so
they serve any number of users.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from scattermec.agents.networks import DTYPE
from scattermec.physics.channel import Key
from scattermec.price_net.features import Features


class _Linear(eqx.Module):
    """An affine map of the last axis, for any leading axes."""

    weight: Array
    bias: Array

    def __init__(self, key: Key, inputs: int, outputs: int) -> None:
        layer = eqx.nn.Linear(inputs, outputs, dtype=DTYPE, key=key)
        self.weight = layer.weight
        assert layer.bias is not None
        self.bias = layer.bias

    def __call__(self, x: Float[Array, "... K"]) -> Float[Array, "... D"]:
        return x @ self.weight.T + self.bias


class _Round(eqx.Module):
    """One round of messages among pairs."""

    sides: _Linear
    triple: Array
    hidden: _Linear
    change: _Linear

    def __init__(self, key: Key, width: int) -> None:
        keys = jax.random.split(key, 4)
        self.sides = _Linear(keys[0], width, 2 * width)
        self.triple = jax.random.normal(keys[1], (width,), DTYPE)
        self.hidden = _Linear(keys[2], 5 * width, width)
        self.change = _Linear(keys[3], width, width)

    def __call__(self, z: Float[Array, "N N D"], triples: Float[Array, "N N N"]) -> Float[Array, "N N D"]:
        first, second = jnp.split(self.sides(z), 2, axis=-1)
        # Pair (i, j) receives from pairs (i, k) and (k, j) about the triangle i, j, k.
        through = first[:, None] + second.transpose(1, 0, 2)[None] + triples[..., None] * self.triple
        triangles = jnp.mean(jax.nn.silu(through), axis=2)
        row = jnp.broadcast_to(jnp.mean(z, axis=1, keepdims=True), z.shape)
        column = jnp.broadcast_to(jnp.mean(z, axis=0, keepdims=True), z.shape)
        heard = jnp.concatenate([z, triangles, z.transpose(1, 0, 2), row, column], axis=-1)
        return z + self.change(jax.nn.silu(self.hidden(heard)))


class EquivariantNetwork(eqx.Module):
    """Maps features of N users to O numbers per pair, in single precision whatever the physics uses."""

    enter: _Linear
    first: _Linear
    rounds: tuple[_Round, ...]
    leave: _Linear

    def __init__(
        self, key: Key, user_features: int, pair_features: int, width: int, rounds: int, outputs: int = 1
    ) -> None:
        keys = jax.random.split(key, 3 + rounds)
        self.enter = _Linear(keys[0], 2 * user_features + pair_features + 1, width)
        self.first = _Linear(keys[1], width, width)
        self.leave = _Linear(keys[2], width, outputs)
        self.rounds = tuple(_Round(k, width) for k in keys[3:])

    def with_weights_of(self, other: "EquivariantNetwork", user_features: int) -> "EquivariantNetwork":
        """This network with the weights of ``other``, which has the first ``user_features`` of its inputs.

        The weights of further features, and of further outputs, are 0. Width and rounds must be the same.
        """
        inputs = self.enter.weight.shape[1] - other.enter.weight.shape[1]
        more = jnp.zeros((len(other.enter.weight), inputs // 2), DTYPE)
        rows, columns, rest = jnp.split(other.enter.weight, [user_features, 2 * user_features], axis=1)
        outputs = len(self.leave.weight) - len(other.leave.weight)
        replaced = (
            jnp.concatenate([rows, more, columns, more, rest], axis=1),
            jnp.pad(other.leave.weight, [(0, outputs), (0, 0)]),
            jnp.pad(other.leave.bias, (0, outputs)),
        )
        return eqx.tree_at(lambda net: (net.enter.weight, net.leave.weight, net.leave.bias), other, replaced)

    def __call__(self, features: Features) -> Float[Array, "N N O"]:
        """The numbers of each ordered pair (i, j) of users."""
        users = features.users
        shape = (len(users), len(users), users.shape[1])
        own = jnp.eye(len(users), dtype=DTYPE)[..., None]
        rows, columns = jnp.broadcast_to(users[:, None], shape), jnp.broadcast_to(users[None], shape)
        z = jax.nn.silu(self.enter(jnp.concatenate([rows, columns, features.pairs, own], axis=-1)))
        z = z + jax.nn.silu(self.first(z))
        for exchange in self.rounds:
            z = exchange(z, features.triples)
        return self.leave(jax.nn.silu(z))
