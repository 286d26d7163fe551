"""The random parts of the model: fading channels, arriving work, and observation errors in both."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Complex, Float, Int, PRNGKeyArray, Shaped

from scattermec.physics.arrivals import poisson
from scattermec.physics.links import channel_gain
from scattermec.physics.parameters import Parameters

Key = PRNGKeyArray | Shaped[Array, "2"]


def complex_normal(key: Key, shape: tuple[int, ...], dtype: jnp.dtype) -> Complex[Array, "..."]:
    """Circularly symmetric complex Gaussian numbers of unit variance; ``dtype`` is the real part's."""
    parts = jax.random.normal(key, (2, *shape), dtype) * jnp.sqrt(jnp.asarray(0.5, dtype))
    return jax.lax.complex(parts[0], parts[1])


def initial_scatter(key: Key, parameters: Parameters) -> Complex[Array, "N M"]:
    """Scattered component of the channels in the first frame, CN(0, I)."""
    return complex_normal(key, parameters.line_of_sight.shape, parameters.path_gain.dtype)


def next_scatter(
    parameters: Parameters, scatter: Complex[Array, "N M"], drawn: Complex[Array, "N M"]
) -> Complex[Array, "N M"]:
    """One step of the Gauss-Markov process with ``drawn`` from CN(0, I).

    Correlation 0 is block fading: frames are independent.
    """
    rho = parameters.correlation
    return rho * scatter + jnp.sqrt(1 - rho**2) * drawn


def channels_from_scatter(parameters: Parameters, scatter: Complex[Array, "N M"]) -> Complex[Array, "N M"]:
    """Channels h_i = 10^(-L_i/20) g_i, g_i Rician around the line of sight (Rayleigh where K = 0)."""
    k = parameters.rician_factor[..., None]
    small_scale = jnp.sqrt(k / (1 + k)) * parameters.line_of_sight + jnp.sqrt(1 / (1 + k)) * scatter
    return parameters.path_gain[:, None] * small_scale


def scatter_of(parameters: Parameters, channels: Complex[Array, "N M"]) -> Complex[Array, "N M"]:
    """Inverse of `channels_from_scatter`."""
    k = parameters.rician_factor[..., None]
    small_scale = channels / parameters.path_gain[:, None]
    return jnp.sqrt(1 + k) * small_scale - jnp.sqrt(k) * parameters.line_of_sight


def channels_at(
    parameters: Parameters, scatter: Complex[Array, "N M"], frame: Int[Array, ""]
) -> Complex[Array, "N M"]:
    """Channels of a frame: drawn, or read from the trace (which repeats)."""
    if parameters.fading == "file":
        assert parameters.trace_channels is not None
        return parameters.trace_channels[frame % parameters.trace_channels.shape[0]]
    return channels_from_scatter(parameters, scatter)


def arrivals_at(key: Key, parameters: Parameters, frame: Int[Array, ""]) -> Float[Array, " N"]:
    """New work of a frame in kbit: Poisson with the mean, the mean itself, or read from the trace."""
    mean = parameters.mean_workload
    if parameters.arrivals == "file":
        assert parameters.trace_workload is not None
        return parameters.trace_workload[frame % parameters.trace_workload.shape[0]]
    if parameters.arrivals == "constant":
        return mean
    return poisson(key, mean)


def initial_battery(key: Key, parameters: Parameters) -> Float[Array, " N"]:
    """Stored energy at reset in mJ, uniform between the scenario's two bounds."""
    low, high = parameters.initial_battery_low, parameters.initial_battery_high
    return low + (high - low) * jax.random.uniform(key, low.shape, low.dtype)


def trace_start(key: Key, parameters: Parameters) -> Int[Array, ""]:
    """First frame of an episode in the trace: random, so that episodes cover all of it; 0 without a trace."""
    for trace in (parameters.trace_channels, parameters.trace_workload):
        if trace is not None:
            return jax.random.randint(key, (), 0, trace.shape[0])
    return jnp.asarray(0)


def observed_channels(
    key: Key, parameters: Parameters, channels: Complex[Array, "N M"]
) -> Complex[Array, "N M"]:
    """Channels as the agents see them: a Gaussian error of relative root-mean-square size ``csi_error``."""
    rms = jnp.sqrt(channel_gain(channels) / channels.shape[1])[:, None]
    return channels + parameters.csi_error * rms * complex_normal(key, channels.shape, rms.dtype)


def observed_workload(key: Key, parameters: Parameters, workload: Float[Array, " N"]) -> Float[Array, " N"]:
    """Workload as the agents see it in kbit: Gaussian error of relative size ``workload_error``, >= 0."""
    noise = jax.random.normal(key, workload.shape, workload.dtype)
    return jnp.maximum(workload * (1 + parameters.workload_error * noise), 0)
