"""Poisson numbers by inversion: one uniform draw per number, and fast compilation."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, PRNGKeyArray, Shaped

SMALL_MEAN = 16.0
"""Below this mean, outcomes are tried from 0 upwards, else from the mode in both directions."""

LARGE_MEAN = 1e6
"""Above this mean, the quantile is computed from its expansion for large means, whose error in probability is
then below 1e-9; trying the outcomes one by one would take thousands of steps."""


def poisson(key: PRNGKeyArray | Shaped[Array, "2"], mean: Float[Array, "..."]) -> Float[Array, "..."]:
    """Poisson distributed numbers with any ``mean`` >= 0, as floats of its type.

    [0, 1) is divided into one interval per outcome, as long as its probability, in the order in which the
    outcomes are tried; a uniform number picks the outcome. `jax.random.poisson` takes seconds to compile,
    this a fraction of one.
    """
    uniform = jax.random.uniform(key, mean.shape, mean.dtype)
    large = mean > LARGE_MEAN
    return jnp.where(large, _from_expansion(uniform, mean), _by_search(uniform, jnp.where(large, 0, mean)))


def _by_search(uniform: Float[Array, "..."], mean: Float[Array, "..."]) -> Float[Array, "..."]:
    """Try the first outcome, then farther neighbours, until the total probability exceeds ``uniform``."""
    first = jnp.where(mean < SMALL_MEAN, 0, jnp.floor(mean))
    share = _probability_of_first(first, mean)
    least = jnp.finfo(mean.dtype).eps ** 2  # below this probability, any remainder is due to rounding

    # Carried: distance from the first outcome, uniform number less the probabilities so far (negative once
    # found), the probabilities at that distance above and below, and the outcome.
    Carried = tuple[Array, Array, Array, Array, Array]

    def searching(carried: Carried) -> Array:
        _, left, above, below, _ = carried
        return jnp.any((left >= 0) & (above + below > least))

    def try_next(carried: Carried) -> Carried:
        distance, left, above, below, outcome = carried
        distance = distance + 1
        above = above * mean / (first + distance)
        below = below * jnp.maximum(first - distance + 1, 0) / jnp.maximum(mean, SMALL_MEAN)
        found = jnp.where(left < above, first + distance, jnp.maximum(first - distance, 0))
        outcome = jnp.where(left >= 0, found, outcome)
        return distance, left - above - below, above, below, outcome

    begin = (jnp.zeros_like(mean), uniform - share, share, share, first)
    return jax.lax.while_loop(searching, try_next, begin)[4]


def _probability_of_first(first: Float[Array, "..."], mean: Float[Array, "..."]) -> Float[Array, "..."]:
    """Probability of the outcome ``first``: 0, or the mode if the mean is at least `SMALL_MEAN`.

    For the mode, Stirling's series for first! (error below 1e-13 there) in a form without cancellation:
    exp(-first log(first/mean) - mean + first - series) / sqrt(2 pi first).
    """
    n = jnp.maximum(first, SMALL_MEAN)
    excess = (jnp.maximum(mean, SMALL_MEAN) - n) / n
    series = (1 / 12 - (1 / 360 - (1 / 1260 - 1 / 1680 / n**2) / n**2) / n**2) / n
    at_mode = jnp.exp(n * (jnp.log1p(excess) - excess) - series) / jnp.sqrt(2 * jnp.pi * n)
    return jnp.where(first > 0, at_mode, jnp.exp(-mean))


def _from_expansion(uniform: Float[Array, "..."], mean: Float[Array, "..."]) -> Float[Array, "..."]:
    """The quantile by its expansion for large means; see Giles, ACM Trans. Math. Softw. 42 (2016)."""
    edge = jnp.finfo(mean.dtype).eps / 2  # keeps `normal` finite
    normal = jnp.sqrt(2.0) * jax.lax.erf_inv(jnp.clip(2 * uniform - 1, edge - 1, 1 - edge))
    root = jnp.sqrt(jnp.maximum(mean, 1))
    shift = 1 / 3 + normal**2 / 6 - (normal / 36 + normal**3 / 72) / root
    return jnp.maximum(jnp.floor(mean + root * normal + shift), 0)
