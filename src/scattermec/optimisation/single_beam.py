"""One beam in place of several that share a slot's time.

The relaxation of P2 may share a slot among several beams. Only their mean gain for each user matters, and a
single beam with these gains is as good: it reflects at least as much work, since the logarithm is concave. It
need not be a principal eigenvector (for orthogonal channels, that is only one of the several beams). For few
users such a beam always exists; for many there may be none.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Complex, Float

from scattermec.optimisation.shared import (
    BEAM_DAMPING,
    BEAM_RIDGE,
    BEAM_STARTS,
    BEAM_STEPS,
    BEAM_TURN,
    LONGEST_BEAM_STEP,
)
from scattermec.physics import links


def single_beam(
    channels: Complex[Array, "N M"],
    wanted: Float[Array, " N"],
    shares: Float[Array, " K"],
    columns: Complex[Array, "K M"],
    guess: Complex[Array, " M"],
) -> Complex[Array, " M"]:
    """The unit beam that best meets the wanted gains; ``guess`` if nothing better is found.

    Args:
        channels: channels of all users.
        wanted: gain |h^H w|^2 for each user; 0 if it does not matter.
        shares: time shares of the given beams.
        columns: the given beams.
        guess: the first starting point.
    """
    angles = BEAM_TURN * jnp.arange(BEAM_STARTS - 1)[:, None] * jnp.arange(len(shares))
    mixed = (jnp.sqrt(shares) * jnp.exp(1j * angles)) @ columns
    starts = links.unit_vectors(jnp.concatenate([guess[None], mixed]))
    found = links.unit_vectors(jax.vmap(lambda beam: _match_gains(channels, wanted, beam))(starts))
    candidates = jnp.concatenate([guess[None], found])
    return candidates[jnp.argmax(jax.vmap(lambda beam: _fulfilment(channels, wanted, beam))(candidates))]


def _fulfilment(
    channels: Complex[Array, "N M"], wanted: Float[Array, " N"], beam: Complex[Array, " M"]
) -> Float[Array, ""]:
    """Smallest ratio of the beam's gain to the wanted gain, over all users."""
    gains = jnp.abs(channels.conj() @ beam) ** 2
    worst = jnp.min(jnp.where(wanted > 0, gains / jnp.where(wanted > 0, wanted, 1), jnp.inf))
    return jnp.where(jnp.isfinite(jnp.sum(gains)), worst, -1)


def _match_gains(
    channels: Complex[Array, "N M"], wanted: Float[Array, " N"], beam: Complex[Array, " M"]
) -> Complex[Array, " M"]:
    """Gauss-Newton steps of least length towards a unit beam with the gains ``wanted``."""
    matters = jnp.concatenate([jnp.ones(1, bool), wanted > 0])
    goals = jnp.where(matters, jnp.concatenate([jnp.ones(1), wanted]), 1)

    def step(_: Array, beam: Complex[Array, " M"]) -> Complex[Array, " M"]:
        seen = channels.conj() @ beam
        values = jnp.concatenate([jnp.sum(jnp.abs(beam) ** 2)[None], jnp.abs(seen) ** 2])
        missing = jnp.where(matters, 1 - values / goals, 0)
        slopes = jnp.concatenate([beam[None], seen[:, None] * channels]) * (2 / goals)[:, None]
        slopes = jnp.where(matters[:, None], slopes, 0)
        matrix = jnp.real(slopes.conj() @ slopes.T)
        size, worst = jnp.diagonal(matrix), jnp.max(jnp.abs(missing))
        matrix += jnp.diag(BEAM_RIDGE * jnp.max(size) + BEAM_DAMPING * worst**2 * size + ~matters)
        change = jnp.linalg.solve(matrix, missing) @ slopes
        length = jnp.sqrt(jnp.sum(jnp.abs(change) ** 2))
        return beam + change * jnp.minimum(1, LONGEST_BEAM_STEP / jnp.maximum(length, 1e-300))

    return jax.lax.fori_loop(0, BEAM_STEPS, step, beam)
