"""The best beam of a slot for given prices, and its value per second: D_i of the certificate.

With energy of price a_j at user j and reflected work of price c, the value of a beam w is

    sum over j of a_j |h_j^H w|^2 + c ln(1 + q |h_i^H w|^2)  per second.

Its maximum over unit beams, and over density matrices, is the minimum over x of

    x + c ln(q c F(x)) - c + 1 / (q F(x)),    F(x) = h_i^H (x - A)^-1 h_i,    A = sum over j of a_j h_j h_j^H,

over x above A's largest eigenvalue: x is the largest eigenvalue of A + h_i h_i^H / F(x). Every such x gives a
bound. The best beam is the principal eigenvector of that matrix, (x - A)^-1 h_i.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Complex, Float

BISECTIONS = 56


def best_beams(
    channels: Complex[Array, "N M"],
    energy_worth: Float[Array, "N N"],
    work_worth: Float[Array, " N"],
    reflected_snr: Float[Array, " N"],
) -> tuple[Complex[Array, "N M"], Float[Array, " N"]]:
    """Best unit beam of each slot, (N, M), and its value in J/s, (N,), never below the true maximum.

    Args:
        channels: channels of all users.
        energy_worth: a in J/s, for slot i (row) and user j (column).
        work_worth: c in J/s.
        reflected_snr: q, the signal-to-noise ratio of backscatter for a beam gain of 1.
    """
    A = jnp.einsum("ij,ja,jb->iab", energy_worth, channels, channels.conj())
    eigenvalues, vectors = jnp.linalg.eigh(A)
    return jax.vmap(_best_beam)(channels, eigenvalues, vectors, work_worth, reflected_snr)


def principal_vectors(matrices: Complex[Array, "N M M"]) -> Complex[Array, "N M"]:
    """Unit eigenvector of the largest eigenvalue of each Hermitian matrix."""
    return jnp.linalg.eigh(matrices)[1][..., -1]


def _best_beam(
    channel: Complex[Array, " M"],
    eigenvalues: Float[Array, " M"],
    vectors: Complex[Array, "M M"],
    c: Float[Array, ""],
    q: Float[Array, ""],
) -> tuple[Complex[Array, " M"], Float[Array, ""]]:
    own = vectors.conj().T @ channel
    weight = jnp.real(own) ** 2 + jnp.imag(own) ** 2
    below = eigenvalues[-1] - eigenvalues
    reflects = (c > 0) & (q > 0) & (jnp.sum(weight) > 0)
    c, q = jnp.where(reflects, c, 1), jnp.where(reflects, q, 1)

    def distance(y: Float[Array, ""]) -> Float[Array, ""]:
        # Decreases from positive to negative; zero where the beam's own gain is the intended one.
        parts = weight / (y + below)
        F = jnp.sum(parts)
        return c * F - 1 / q - F**2 / jnp.sum(parts / (y + below))

    highest = jnp.where(reflects, c * q * jnp.sum(weight), 1)

    def halve(_: int | Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        # Bisect the logarithm: y is tiny if the channel is almost orthogonal to the principal eigenvector.
        low, high = ends
        middle = (low + high) / 2
        right = distance(highest * jnp.exp(middle)) > 0
        return jnp.where(right, middle, low), jnp.where(right, high, middle)

    least = 2 * jnp.log(jnp.finfo(highest.dtype).eps) + 0 * highest
    _, end = jax.lax.fori_loop(0, BISECTIONS, halve, (least, 0 * highest), unroll=8)
    y = highest * jnp.exp(end)
    F = jnp.sum(weight / (y + below))
    F = jnp.where(reflects, F, 1)
    # If the channel is orthogonal to the principal eigenvector, reflection may have no price at all.
    F = jnp.maximum(F, 1 / (q * c))
    worth = eigenvalues[-1] + y + c * jnp.log(q * c * F) - c + 1 / (q * F)
    beam = vectors @ (own / (y + below))
    beam = _completed(beam, channel, vectors[:, -1], jnp.maximum(c * F - 1 / q, 0))
    return jnp.where(reflects, beam, vectors[:, -1]), jnp.where(reflects, worth, eigenvalues[-1])


def _completed(
    beam: Complex[Array, " M"],
    channel: Complex[Array, " M"],
    principal: Complex[Array, " M"],
    intended: Float[Array, ""],
) -> Complex[Array, " M"]:
    """Unit beam along ``beam`` whose own gain is at most ``intended``.

    If the channel is almost orthogonal to the principal eigenvectors, rounding removes their component from
    the beam. It is restored here, with all power that the intended gain does not need.
    """
    squared = jnp.sum(jnp.real(beam) ** 2 + jnp.imag(beam) ** 2)
    beam = beam / jnp.sqrt(jnp.where(squared > 0, squared, 1))
    gain = jnp.abs(jnp.vdot(channel, beam)) ** 2
    above = gain > intended * (1 + 1e-9)
    part = jnp.where(above, intended / jnp.where(above, gain, 1), 1)
    mixed = jnp.sqrt(part) * beam + jnp.sqrt(1 - part) * principal
    return mixed / jnp.sqrt(jnp.maximum(jnp.sum(jnp.abs(mixed) ** 2), jnp.finfo(gain.dtype).tiny))
