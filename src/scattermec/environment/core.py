"""The environment as pure functions of JAX arrays: `reset`, `step`, and the agents' observations.

The frame is played with the true channels and workload; agents see them with the scenario's errors.
Everything runs under `jit`, `vmap` and `lax.scan`, in either precision.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Complex, Float, Int

from scattermec._jit import one_program
from scattermec._pytree import pytree
from scattermec.physics import (
    Allocation,
    Frame,
    Outcome,
    Parameters,
    beam_gains,
    channel,
    processed_work,
    run_frame,
    unit_beams,
)
from scattermec.physics.channel import Key
from scattermec.physics.links import channel_gain, maximum_ratio_beams


@pytree
class EnvState:
    """State of an episode at the start of a frame."""

    frame: Frame
    """true channels, workload with the backlog in kbit, and battery in mJ"""
    observed_channels: Complex[Array, "N M"]
    """channels as the agents see them"""
    observed_workload: Float[Array, " N"]
    """workload as the agents see it, in kbit"""
    beams: Complex[Array, "N M"]
    """unit beams of the previous frame; maximum ratio transmission after a reset"""
    scatter: Complex[Array, "N M"]
    """scattered component of the channels; the next frame's depends on it"""
    time: Int[Array, ""]
    """frames played since the reset"""
    trace_start: Int[Array, ""]
    """frame of the trace at which the episode started; 0 without a trace"""


@pytree
class Draws:
    """The random part of a frame, independent of any decision."""

    scatter: Complex[Array, "N M"]
    """CN(0, I): the new scattered component, or its innovation if frames are correlated"""
    arrivals: Float[Array, " N"]
    """new work in kbit"""
    channel_error: Key
    """key of the errors in the observed channels"""
    workload_error: Key
    """key of the errors in the observed workload"""


@pytree
class StepResult:
    """The results of a step, apart from the next state."""

    outcome: Outcome
    """the frame's outcome, rewards (11) and (12) included"""
    terminated: Bool[Array, ""]
    """always false: the task has no natural end, so values bootstrap past every episode"""
    truncated: Bool[Array, ""]
    """whether the episode has reached its length"""

    @property
    def ap_reward(self) -> Array:
        """() equation (11), kbit/J."""
        return self.outcome.ap_reward

    @property
    def user_reward(self) -> Array:
        """(N,) equation (12)."""
        return self.outcome.user_reward


@one_program()
def reset(key: Key, parameters: Parameters) -> EnvState:
    """Draw the first frame of an episode."""
    key_battery, key_scatter, key_trace, key_frame = jax.random.split(key, 4)
    scatter = channel.initial_scatter(key_scatter, parameters)
    trace_start = channel.trace_start(key_trace, parameters).astype(jnp.int32)
    return _begin_frame(
        parameters,
        _draw(key_frame, parameters, scatter, trace_start),
        scatter=scatter,
        battery=channel.initial_battery(key_battery, parameters),
        backlog=jnp.zeros_like(parameters.mean_workload),
        beams=None,
        time=jnp.zeros((), jnp.int32),
        trace_start=trace_start,
    )


@one_program()
def step(
    key: Key, state: EnvState, beams: Complex[Array, "N M"], allocation: Allocation, parameters: Parameters
) -> tuple[EnvState, StepResult]:
    """Play the frame and draw the next one. It never resets: see `step_and_reset`.

    Args:
        key: random key of the next frame.
        state: the frame to play.
        beams: the AP's beams; scaled to unit norm here, a zero beam means maximum ratio transmission along
            the channel that the AP sees.
        allocation: the users' times (s) and work (kbit).
        parameters: the scenario's constants.
    """
    return advance(state, beams, allocation, draw_next(key, state, parameters), parameters)


def draw_next(key: Key, state: EnvState, parameters: Parameters) -> Draws:
    """The random part of the frame after ``state``, independent of any decision."""
    key_scatter, key_frame = jax.random.split(key)
    time = state.trace_start + state.time + 1
    return _draw(key_frame, parameters, channel.initial_scatter(key_scatter, parameters), time)


def advance(
    state: EnvState,
    beams: Complex[Array, "N M"],
    allocation: Allocation,
    draws: Draws,
    parameters: Parameters,
) -> tuple[EnvState, StepResult]:
    """`step` with given draws, so that several actions can be compared on the same next frame."""
    beams = unit_beams(beams, state.observed_channels).astype(state.beams.dtype)
    outcome = run_frame(parameters, state.frame, beams, allocation)
    time = state.time + 1
    next_state = _begin_frame(
        parameters,
        draws,
        scatter=channel.next_scatter(parameters, state.scatter, draws.scatter),
        battery=outcome.battery,
        backlog=outcome.backlog,
        beams=beams,
        time=time,
        trace_start=state.trace_start,
    )
    truncated = time >= parameters.episode_length
    return next_state, StepResult(outcome=outcome, terminated=jnp.zeros_like(truncated), truncated=truncated)


def step_and_reset(
    key: Key, state: EnvState, beams: Complex[Array, "N M"], allocation: Allocation, parameters: Parameters
) -> tuple[EnvState, StepResult, EnvState]:
    """`step`, starting a new episode where the old one ends, for training inside `lax.scan`.

    Returns the state to continue from, the step's result, and the state that the step itself reached. The two
    states differ only after a truncation; the second holds the final observation, with which the value beyond
    the episode is estimated.
    """
    key_step, key_reset = jax.random.split(key)
    reached, result = step(key_step, state, beams, allocation, parameters)
    return reset_if_over(key_reset, reached, result, parameters), result, reached


def reset_if_over(key: Key, reached: EnvState, result: StepResult, parameters: Parameters) -> EnvState:
    """The state to continue from: ``reached``, or a new episode if the old one has ended."""
    over = result.terminated | result.truncated
    return jax.lax.cond(over, lambda: reset(key, parameters), lambda: reached)


def ap_observation(parameters: Parameters, state: EnvState) -> Float[Array, " K"]:
    """The AP's observation: K = 2N(1 + M) numbers of order one, user by user within each group.

    Workload over its mean (N), battery over its capacity (N), real (NM) and imaginary (NM) parts of the
    channels over the path gain.
    """
    workload, battery, channels = _normalised(parameters, state)
    return jnp.concatenate([workload, battery, jnp.real(channels).ravel(), jnp.imag(channels).ravel()])


def user_observations(
    parameters: Parameters, state: EnvState, beams: Complex[Array, "N M"]
) -> Float[Array, "N K"]:
    """The users' observations, K = 3 + 2M numbers each: the user's part of the state, and the AP's message.

    Own workload, battery and channel as in `ap_observation`, then the gain of its own beam over that of
    maximum ratio transmission, |h_i^H w_i|^2 / ||h_i||^2 in [0, 1].
    """
    workload, battery, channels = _normalised(parameters, state)
    gain = own_beam_share(state.observed_channels, beams)
    own = jnp.stack([workload, battery], axis=1)
    return jnp.concatenate([own, jnp.real(channels), jnp.imag(channels), gain[:, None]], axis=1)


def phase_referenced(state: EnvState) -> EnvState:
    """The same state with each user's observed channel rotated so that its first entry is real.

    Nothing in the model depends on the common phase of a user's channel, so observations need not contain it.
    """
    first = state.observed_channels[:, :1]
    size = jnp.abs(first)
    turn = jnp.where(size > 0, first.conj() / jnp.where(size > 0, size, 1), 1)
    return dataclasses.replace(state, observed_channels=state.observed_channels * turn)


def own_beam_share(channels: Complex[Array, "N M"], beams: Complex[Array, "N M"]) -> Float[Array, " N"]:
    """Gain of each user's own beam, relative to the largest gain of any unit beam, in [0, 1]."""
    most = channel_gain(channels)
    gain = jnp.diagonal(beam_gains(channels, unit_beams(beams, channels)))
    return jnp.clip(gain / jnp.where(most > 0, most, 1), 0, 1)


def work_shares(
    workload: Float[Array, " N"], allocation: Allocation, success: Bool[Array, " N"]
) -> Float[Array, "3"]:
    """Fractions (active, passive, local) of the `processed_work` of a frame; zeros if there is none."""
    totals = jnp.sum(processed_work(workload, allocation, success), axis=1)
    processed = jnp.sum(totals)
    return totals / jnp.where(processed > 0, processed, 1)


def _draw(key: Key, parameters: Parameters, scatter: Complex[Array, "N M"], frame: Array) -> Draws:
    key_arrivals, key_channels, key_workload = jax.random.split(key, 3)
    return Draws(
        scatter=scatter,
        arrivals=channel.arrivals_at(key_arrivals, parameters, frame),
        channel_error=key_channels,
        workload_error=key_workload,
    )


def _begin_frame(
    parameters: Parameters,
    draws: Draws,
    *,
    scatter: Complex[Array, "N M"],
    battery: Float[Array, " N"],
    backlog: Float[Array, " N"],
    beams: Complex[Array, "N M"] | None,
    time: Array,
    trace_start: Array,
) -> EnvState:
    channels = channel.channels_at(parameters, scatter, trace_start + time)
    workload = draws.arrivals + backlog
    observed = channel.observed_channels(draws.channel_error, parameters, channels)
    return EnvState(
        frame=Frame(channels=channels, workload=workload, battery=battery),
        observed_channels=observed,
        observed_workload=channel.observed_workload(draws.workload_error, parameters, workload),
        beams=maximum_ratio_beams(observed) if beams is None else beams,
        scatter=scatter,
        time=time,
        trace_start=trace_start,
    )


def _normalised(
    parameters: Parameters, state: EnvState
) -> tuple[Float[Array, " N"], Float[Array, " N"], Complex[Array, "N M"]]:
    def over(value: Array, scale: Array) -> Array:
        return value / jnp.where(scale > 0, scale, 1)

    return (
        over(state.observed_workload, parameters.mean_workload),
        over(state.frame.battery, parameters.battery_capacity),
        state.observed_channels / parameters.path_gain[:, None],
    )
