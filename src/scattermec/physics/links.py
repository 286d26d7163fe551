"""Rates and powers of the active and the passive link: equations (4) and (6)."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Complex, Float

from scattermec.physics.parameters import Parameters

MILLIWATTS_PER_WATT = 1000.0
"""The one conversion between the AP's units (W, J) and the users' (mW, mJ)."""


def channel_gain(channels: Complex[Array, "N M"]) -> Float[Array, " N"]:
    """Squared norm ||h_i||^2 of each user's channel."""
    return jnp.sum(jnp.real(channels) ** 2 + jnp.imag(channels) ** 2, axis=-1)


def maximum_ratio_beams(channels: Complex[Array, "N M"]) -> Complex[Array, "N M"]:
    """Maximum ratio transmission: the unit beam along each user's own channel, w_i = h_i / ||h_i||.

    Where a channel is zero (a blocked user), so is its beam.
    """
    return unit_vectors(channels)


def unit_beams(beams: Complex[Array, "N M"], channels: Complex[Array, "N M"]) -> Complex[Array, "N M"]:
    """Scale each beam to unit norm; a zero beam means maximum ratio transmission."""
    usable = channel_gain(beams)[:, None] > 0
    return jnp.where(usable, unit_vectors(beams), maximum_ratio_beams(channels))


def unit_vectors(vectors: Complex[Array, "N M"]) -> Complex[Array, "N M"]:
    """Scale each row to unit norm; a row of zeros stays, with finite gradients."""
    squared = channel_gain(vectors)[:, None]
    length = jnp.sqrt(jnp.where(squared > 0, squared, 1))
    # XLA would divide by a complex number.
    return jax.lax.complex(jnp.real(vectors) / length, jnp.imag(vectors) / length)


def beam_gains(channels: Complex[Array, "N M"], beams: Complex[Array, "N M"]) -> Float[Array, "N N"]:
    """Gains G[j, i] = |h_j^H w_i|^2 of the beam of slot i at user j."""
    # A sum of products: XLA takes three times as long for many small products of matrices.
    projection = jnp.sum(channels.conj()[:, None] * beams, axis=-1)
    return jnp.real(projection) ** 2 + jnp.imag(projection) ** 2


def reflected_snr(
    parameters: Parameters, channel_gain: Float[Array, " N"], own_beam_gain: Float[Array, " N"]
) -> Float[Array, " N"]:
    """Signal-to-noise ratio at the AP of each user's reflection in its own slot.

    ``own_beam_gain`` is G[i, i]. Residual self-interference adds to the noise.
    """
    p = parameters
    noise = p.noise_power + p.residual_interference * p.ap_power
    return p.ap_power * p.reflection_gain * channel_gain * own_beam_gain / noise


def passive_rate(
    parameters: Parameters, channel_gain: Float[Array, " N"], own_beam_gain: Float[Array, " N"]
) -> Float[Array, " N"]:
    """Backscatter rate r_b in kbit/s, equation (6) with noise power sigma2 per antenna."""
    snr = reflected_snr(parameters, channel_gain, own_beam_gain)
    return parameters.bandwidth * jnp.log1p(snr) / jnp.log(2.0)


def active_snr(parameters: Parameters, channel_gain: Float[Array, " N"]) -> Float[Array, " N"]:
    """Signal-to-noise ratio at the AP per mW of transmit power: ||h||^2 / (1000 sigma2)."""
    return channel_gain / (MILLIWATTS_PER_WATT * parameters.noise_power)


def active_rate(
    parameters: Parameters, channel_gain: Float[Array, " N"], transmit_power: Float[Array, " N"]
) -> Float[Array, " N"]:
    """Active rate r_a in kbit/s at transmit power beta in mW, equation (4)."""
    snr = transmit_power * active_snr(parameters, channel_gain)
    return parameters.bandwidth * jnp.log1p(snr) / jnp.log(2.0)


def active_power(
    parameters: Parameters,
    channel_gain: Float[Array, " N"],
    l_active: Float[Array, " N"],
    t_active: Float[Array, " N"],
) -> Float[Array, " N"]:
    """Transmit power beta in mW that carries ``l_active`` kbit in ``t_active`` s: equation (4) inverted.

    Zero without work; infinite for work in zero time or over a blocked channel; never NaN.
    """
    snr = active_snr(parameters, channel_gain)
    possible = (t_active > 0) & (snr > 0)
    rate = l_active / jnp.where(possible, t_active, 1)
    power = jnp.expm1(jnp.log(2.0) * rate / parameters.bandwidth) / jnp.where(possible, snr, 1)
    return jnp.where(l_active > 0, jnp.where(possible, power, jnp.inf), 0)
