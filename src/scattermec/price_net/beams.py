"""Beams from prices, with the derivative that training needs: the best beam of a slot in P2 (docs/model.md).

The beam of slot i is the principal eigenvector of sum_j a_ij u_j u_j^H with u_j = h_j/||h_j||; prices of
channels that are not normalised are these times 1/||h_j||^2.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Complex, Float

from scattermec.optimisation.pricing import principal_vectors
from scattermec.physics import links

NEAREST = 1e-9
"""Eigenvalues whose relative distance to the largest one is below this count as equal to it."""


def beams_from_unit_prices(
    channels: Complex[Array, "N M"], prices: Float[Array, "N N"]
) -> Complex[Array, "N M"]:
    """Unit beams (N, M) for non-negative prices a, of slot i (row) and user j (column), for unit channels."""
    unit = links.unit_vectors(channels)
    return principal_vectors_smooth(jnp.einsum("ij,ja,jb->iab", prices, unit, unit.conj()))


@jax.custom_jvp
def principal_vectors_smooth(matrices: Complex[Array, "N M M"]) -> Complex[Array, "N M"]:
    """`principal_vectors`, with a derivative that is finite for any eigenvalues.

    First-order perturbation, dv = (lambda - A)^+ dA v, with the phase of v fixed; if the largest eigenvalue
    is not simple, the directions of its eigenspace are left out.
    """
    return principal_vectors(matrices)


@principal_vectors_smooth.defjvp
def _perturb(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (matrices,), (change,) = primals, tangents
    values, vectors = jnp.linalg.eigh(matrices)
    beams = vectors[..., -1]
    distance = values[..., -1:] - values
    apart = distance > NEAREST * values[..., -1:]
    inverse = jnp.where(apart, 1 / jnp.where(apart, distance, 1), 0)
    turned = jnp.einsum("iak,iab,ib->ik", vectors.conj(), change, beams) * inverse
    return beams, jnp.einsum("iak,ik->ia", vectors, turned)
