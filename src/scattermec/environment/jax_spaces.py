"""Spaces in JAX for gymnax's and JaxMARL's trainers, which read their attributes."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool

from scattermec.physics.channel import Key


@dataclass(frozen=True, eq=False)
class Box:
    """Vectors of float32 within bounds, with the interface of gymnax's and JaxMARL's space of that name."""

    low: float | np.ndarray
    high: float | np.ndarray
    shape: tuple[int, ...]
    dtype: Any = jnp.float32

    def sample(self, key: Key) -> Array:
        """A vector drawn uniformly."""
        return jax.random.uniform(key, self.shape, self.dtype, self.low, self.high)

    def contains(self, x: Array) -> Bool[Array, ""]:
        """Whether a vector is within the bounds."""
        return jnp.all((x >= self.low) & (x <= self.high))
