"""Replay buffers: an agent's most recent transitions, sampled uniformly.

They use flashbax. A transition is stored as one row of numbers, so that adding one is a single write and
drawing a batch is a single gather.
"""

import functools
import math

import flashbax
import jax.numpy as jnp
from flashbax.buffers.trajectory_buffer import TrajectoryBuffer, TrajectoryBufferState
from jax import Array
from jaxtyping import Float

from scattermec._pytree import pytree, static
from scattermec.agents.networks import DTYPE
from scattermec.agents.settings import Learning
from scattermec.physics.channel import Key


@pytree
class Transition:
    """A transition of one agent, or of a team of A agents. Batches have a leading axis."""

    observation: Float[Array, "*A K"]
    action: Float[Array, "*A D"]
    """in [0, 1]"""
    reward: Float[Array, " *A"]
    next_observation: Float[Array, "*A K"]
    terminated: Float[Array, ""]
    """1 if the value ends here, else 0"""
    valid: Float[Array, ""]
    """0 for a transition that must not be learned from, else 1"""


@pytree
class Replay:
    """A buffer of transitions of one kind, and their layout."""

    rows: TrajectoryBufferState
    buffer: TrajectoryBuffer = static()
    shapes: tuple[tuple[int, ...], ...] = static()
    """shapes of a transition's parts, in order"""


_PARTS = ("observation", "action", "reward", "next_observation", "terminated", "valid")


def new_transition(
    observation: Array, action: Array, reward: Array, next_observation: Array, terminated: Array
) -> Transition:
    """A valid transition, in the networks' precision."""
    return Transition(
        observation=observation.astype(DTYPE),
        action=action,
        reward=reward.astype(DTYPE),
        next_observation=next_observation.astype(DTYPE),
        terminated=terminated.astype(DTYPE),
        valid=jnp.ones((), DTYPE),
    )


def blank_transition(observation_size: int, action_size: int, *, num_agents: int | None = None) -> Transition:
    """An invalid transition of one agent, or of a team: zeros."""
    team = () if num_agents is None else (num_agents,)
    observation = jnp.zeros((*team, observation_size), DTYPE)
    return Transition(
        observation=observation,
        action=jnp.zeros((*team, action_size), DTYPE),
        reward=jnp.zeros(team, DTYPE),
        next_observation=observation,
        terminated=jnp.zeros((), DTYPE),
        valid=jnp.zeros((), DTYPE),
    )


def new_replay(example: Transition, learning: Learning) -> Replay:
    """An empty buffer for transitions of the shapes of ``example``."""
    buffer = _make_buffer(learning.buffer_size, learning.batch_size)
    shapes = tuple(jnp.shape(getattr(example, part)) for part in _PARTS)
    return Replay(rows=buffer.init(_pack(example)), buffer=buffer, shapes=shapes)


@functools.cache
def _make_buffer(size: int, batch_size: int) -> TrajectoryBuffer:
    # Cached, since every buffer has new functions, which are part of its pytree structure: JAX would compile
    # again for every new buffer.
    return flashbax.make_item_buffer(max_length=size, min_length=1, sample_batch_size=batch_size)


def remember(replay: Replay, transition: Transition) -> Replay:
    """Add a transition, replacing the oldest one if the buffer is full."""
    return Replay(
        rows=replay.buffer.add(replay.rows, _pack(transition)), buffer=replay.buffer, shapes=replay.shapes
    )


def recall(replay: Replay, key: Key) -> Transition:
    """A batch (leading axis) drawn uniformly, with replacement. The buffer must not be empty."""
    rows = replay.buffer.sample(replay.rows, key).experience
    parts, start = {}, 0
    for name, shape in zip(_PARTS, replay.shapes, strict=True):
        size = math.prod(shape)
        parts[name] = rows[:, start : start + size].reshape(-1, *shape)
        start += size
    return Transition(**parts)


def _pack(transition: Transition) -> Float[Array, " L"]:
    return jnp.concatenate([jnp.ravel(getattr(transition, part)).astype(DTYPE) for part in _PARTS])
