"""The distribution of the truth given what is seen, for `csi_error`, `workload_error` and delay.

Before a frame is seen, a channel is Gaussian: h_i ~ CN(mean, variance I), around the line of sight; and if
the channel of the frame before is known, around what is left of it. The error of the observed channel has a
size relative to the true one, so the distribution given the observation is not Gaussian, but its density is
known. Users are independent of each other throughout.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Complex, Float, Int

from scattermec._jit import one_program
from scattermec._pytree import pytree
from scattermec.physics.channel import Key, channels_from_scatter, complex_normal
from scattermec.physics.frame import Frame
from scattermec.physics.links import channel_gain
from scattermec.physics.parameters import Parameters

PROPOSALS = 16
"""Proposals per sample of a channel, from which samples are drawn by their weights."""

WIDER = 1.5
"""Variance of the proposals, relative to the posterior's if the size of the error were known."""

OUTCOMES = 512
"""Workloads that are considered: all whole numbers near the mean, or evenly spaced ones for large means."""

SPREAD = 12.0
"""Standard deviations to both sides of the mean workload that they cover."""


@pytree
class ChannelPrior:
    """Gaussian distribution of the channels before they are observed."""

    mean: Complex[Array, "N M"]
    variance: Float[Array, " N"]
    """of each complex entry"""


def channel_prior(parameters: Parameters) -> ChannelPrior:
    """Distribution of the channels of any frame: Rician around the line of sight."""
    mean = channels_from_scatter(parameters, jnp.zeros_like(parameters.line_of_sight))
    return ChannelPrior(mean=mean, variance=parameters.path_gain**2 / (1 + parameters.rician_factor))


def channel_prior_after(parameters: Parameters, before: Complex[Array, "N M"]) -> ChannelPrior:
    """Distribution of a frame's channels if those of the frame before are known (Gauss-Markov process)."""
    usual, rho = channel_prior(parameters), parameters.correlation
    return ChannelPrior(mean=usual.mean + rho * (before - usual.mean), variance=usual.variance * (1 - rho**2))


@one_program("samples")
def sample_truth(
    key: Key, parameters: Parameters, seen: Frame, samples: int, prior: ChannelPrior | None = None
) -> Frame:
    """Frames that may be the true one, each as likely, given the frame as the AP sees it.

    Args:
        key: random key.
        parameters: the scenario's constants, ``csi_error`` and ``workload_error`` among them.
        seen: observed channels and workload (kbit, without backlog); the battery is known.
        samples: S.
        prior: distribution of the channels before they were observed; that of any frame by default.

    Returns frames with a leading axis S. Channels are drawn by weights from `PROPOSALS` times as many
    Gaussian proposals, workloads exactly.
    """
    key_channels, key_workload = jax.random.split(key)
    prior = channel_prior(parameters) if prior is None else prior
    channels = _sample_channels(key_channels, parameters, seen.channels, samples, prior)
    workload = _sample_workload(key_workload, parameters, seen.workload, samples)
    return Frame(channels=channels, workload=workload, battery=_repeated(seen.battery, samples))


@one_program("samples")
def sample_after(key: Key, parameters: Parameters, before: Frame, samples: int) -> Frame:
    """Frames (leading axis S) whose channels follow those of ``before``; workload and battery stay."""
    prior = channel_prior_after(parameters, before.channels)
    drawn = complex_normal(key, (samples, *prior.mean.shape), prior.variance.dtype)
    return Frame(
        channels=prior.mean + jnp.sqrt(prior.variance)[:, None] * drawn,
        workload=_repeated(before.workload, samples),
        battery=_repeated(before.battery, samples),
    )


def log_density_of_strength(
    parameters: Parameters,
    prior: ChannelPrior,
    directions: Complex[Array, "N M"],
    observed: Complex[Array, "N M"] | None,
    strength: Float[Array, " N"],
) -> Float[Array, " N"]:
    """Log density, up to a constant, of each ||h_i|| at ``strength`` > 0 if h_i / ||h_i|| is known.

    ``directions`` are unit vectors; ``observed`` are the observed channels, None if only the prior is known.
    """
    antennas = directions.shape[-1]
    channels = strength[:, None] * directions
    spread = channel_gain(channels - prior.mean) / prior.variance
    density = (2 * antennas - 1) * jnp.log(strength) - spread
    if observed is not None:
        density += _log_likelihood(parameters, observed, channels)
    return density


def workload_outcomes(
    parameters: Parameters, observed: Float[Array, " N"]
) -> tuple[Float[Array, "L N"], Float[Array, "L N"]]:
    """L possible workloads in kbit, and the log of their probabilities (up to a constant) given what is seen.

    An observed workload is the true one times 1 + `workload_error` times a standard normal number, at least
    0. Arrivals are Poisson or constant; ValueError if they come from a file.
    """
    if parameters.arrivals == "file":
        raise ValueError("arrivals: 'file' is not allowed; the distribution of a file's workloads is unknown")
    mean = parameters.mean_workload
    if parameters.arrivals == "constant":
        return mean[None], jnp.zeros_like(mean)[None]
    step = jnp.maximum(jnp.ceil(2 * SPREAD * jnp.sqrt(jnp.maximum(mean, 1)) / OUTCOMES), 1)
    first = jnp.floor(jnp.maximum(mean - SPREAD * jnp.sqrt(jnp.maximum(mean, 1)), 0))
    work = first + step * jnp.arange(OUTCOMES)[:, None]
    prior = jax.scipy.stats.poisson.logpmf(work, mean)
    error = parameters.workload_error
    exact = (work <= 0) | (error <= 0)
    spread = jnp.where(exact, 1, error * work)
    density = jax.scipy.stats.norm.logpdf(observed, work, spread)
    clipped = jax.scipy.stats.norm.logcdf(-1 / jnp.where(error > 0, error, 1))
    likely = jnp.where(observed > 0, density, clipped)
    likely = jnp.where(exact, jnp.where(jnp.abs(work - observed) < step / 2, 0, -jnp.inf), likely)
    return work, prior + likely


def _sample_channels(
    key: Key, parameters: Parameters, observed: Complex[Array, "N M"], samples: int, prior: ChannelPrior
) -> Complex[Array, "S N M"]:
    """Importance sampling from the posterior with the size of the error taken from the observation."""
    users, antennas = observed.shape
    variance = prior.variance
    error = jnp.maximum(parameters.csi_error, 1e-9) ** 2 * channel_gain(observed) / antennas
    part = variance / jnp.maximum(variance + error, jnp.finfo(variance.dtype).tiny)
    mean = prior.mean + part[:, None] * (observed - prior.mean)
    width = WIDER * part * error
    key_proposals, key_choice = jax.random.split(key)
    drawn = complex_normal(key_proposals, (PROPOSALS * samples, users, antennas), variance.dtype)
    proposals = mean + jnp.sqrt(width)[:, None] * drawn

    exact = dataclasses.replace(parameters, csi_error=jnp.maximum(parameters.csi_error, 1e-9))

    def weight(channels: Complex[Array, "N M"], drawn: Complex[Array, "N M"]) -> Float[Array, " N"]:
        density = _log_likelihood(exact, observed, channels)
        return density - channel_gain(channels - prior.mean) / variance + channel_gain(drawn)

    weights = jax.vmap(weight)(proposals, drawn)
    return jnp.take_along_axis(proposals, _choose(key_choice, weights, samples)[:, :, None], axis=0)


def _log_likelihood(
    parameters: Parameters, observed: Complex[Array, "N M"], channels: Complex[Array, "N M"]
) -> Float[Array, " N"]:
    """Log density of the observed channels, up to a constant; see `observed_channels`."""
    antennas = channels.shape[-1]
    error = parameters.csi_error**2 * channel_gain(channels) / antennas
    return -antennas * jnp.log(error) - channel_gain(observed - channels) / error


def _sample_workload(
    key: Key, parameters: Parameters, observed: Float[Array, " N"], samples: int
) -> Float[Array, "S N"]:
    if parameters.arrivals == "file":
        return _repeated(observed, samples)
    work, weights = workload_outcomes(parameters, observed)
    drawn = jnp.take_along_axis(work, _choose(key, weights, samples), axis=0)
    return jnp.where(parameters.workload_error > 0, drawn, observed)


def _choose(key: Key, log_weights: Float[Array, "L N"], samples: int) -> Int[Array, "S N"]:
    """For each user, the indices of S of its L alternatives, drawn with these log weights."""
    shares = jax.nn.softmax(log_weights, axis=0)
    # XLA's own cumulative sum takes quadratic time on a CPU.
    below = jax.lax.scan(lambda total, share: (total + share,) * 2, jnp.zeros_like(shares[0]), shares)[1]
    uniform = jax.random.uniform(key, (samples, log_weights.shape[1]), log_weights.dtype)
    found = jax.vmap(jnp.searchsorted, in_axes=1, out_axes=1)(below, uniform * below[-1])
    return jnp.minimum(found, len(log_weights) - 1)


def _repeated(values: Float[Array, " N"], samples: int) -> Float[Array, "S N"]:
    return jnp.broadcast_to(values, (samples, *values.shape))
