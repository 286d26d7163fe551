"""Compiled functions for a block of seeds: initial state, a chunk of frames, value of the greedy policies."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float

from scattermec._compilation import careful_options
from scattermec.agents.ddpg import Agent
from scattermec.environment import EnvState, reset, step
from scattermec.learners import Algorithm, Record, Task
from scattermec.optimisation import frame_rewards, optimise_all_or_best
from scattermec.physics import Frame, Parameters
from scattermec.physics.channel import Key

HELD_OUT_FRAMES = 64
_HELD_OUT_SEED = 2**32
"""one more than the largest seed of a run"""


class Chunk(NamedTuple):
    """Record of n frames of S seeds, in host memory."""

    record: Record
    """(n, S); its losses (n, S, A)"""
    finite: np.ndarray
    """(S, A) whether all parameters of an agent are finite at the end of the chunk"""


class Greedy(NamedTuple):
    """Results of one mode of acting on the held-out frames."""

    reward: Float[Array, " S"]
    """mean (11) in kbit/J"""
    outage: Float[Array, " S"]
    """share of users in outage"""


class Program:
    """An algorithm on a task, for any number of seeds S, the leading axis of every leaf of a state.

    Every seed has its own keys, so its result does not depend on other seeds. The number of seeds does shape
    the compiled program, though, and with it the last digits.
    """

    def __init__(self, algorithm: Algorithm, task: Task, chunk: int) -> None:
        self.algorithm, self.task, self.chunk = algorithm, task, chunk
        self._frames = _held_out(task.parameters)

    def example(self, seeds: Sequence[int]) -> Any:
        """Shapes and types of a state."""
        keys = jax.eval_shape(_keys, jax.ShapeDtypeStruct((len(seeds),), jnp.uint32))
        return jax.eval_shape(partial(_begin, self.algorithm), self.task, keys)

    def initial(self, seeds: Sequence[int]) -> Any:
        """The state before the first frame."""
        return first_states(self.algorithm, self.task, _keys(jnp.asarray(seeds, jnp.uint32)))

    def advance(self, state: Any, start: int, stop: int) -> tuple[Any, Chunk]:
        """Play and learn from frames ``start`` to ``stop``, at most `chunk`; ``state`` is donated."""
        state, record, finite = _advance(
            self.algorithm, self.chunk, self.task, state, np.int32(start), np.int32(stop)
        )
        record, finite = jax.device_get((record, finite))
        return state, Chunk(jax.tree.map(lambda rows: rows[: stop - start], record), finite)

    def greedy(self, state: Any) -> dict[str, Greedy]:
        """Results of each of the algorithm's modes on the held-out frames, by name."""
        return jax.device_get(_greedy(self.algorithm, self.task, state, *self._frames))


def optimal_reward(parameters: Parameters) -> float:
    """Mean certified optimum of (11) of the held-out frames in kbit/J; NaN if the rectifier is not linear."""
    if parameters.harvest_model != "linear":
        return float("nan")
    frames = held_out_frames(parameters)
    best, _ = optimise_all_or_best(parameters, frames)
    return float(np.mean(np.asarray(frame_rewards(parameters, frames, best.solution))))


def held_out_frames(parameters: Parameters) -> Frame:
    """Independent frames on which greedy policies are measured."""
    return _held_out(parameters)[0].frame


def _held_out(parameters: Parameters) -> tuple[EnvState, Array]:
    """First frames of independent episodes, and randomness for acting in each."""
    key_frames, key_acting = jax.random.split(jax.random.key(_HELD_OUT_SEED))
    frames = _resets(jax.random.split(key_frames, HELD_OUT_FRAMES), parameters)
    return frames, jax.random.split(key_acting, HELD_OUT_FRAMES)


_keys = jax.vmap(jax.random.key)
_resets = jax.jit(jax.vmap(reset, in_axes=(0, None)))


def _begin(algorithm: Algorithm, task: Task, keys: Array) -> Any:
    return _strong(jax.vmap(algorithm.initial, in_axes=(None, 0))(task, keys))


# Runs only once; optimising it would take the compiler longer than all the rest.
first_states = jax.jit(_begin, static_argnums=0, compiler_options={"xla_backend_optimization_level": 0})


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=3, compiler_options=careful_options())
def _advance(
    algorithm: Algorithm, chunk: int, task: Task, state: Any, start: Array, stop: Array
) -> tuple[Any, Record, Bool[Array, "S A"]]:
    # The frame counter is not batched: otherwise a condition on it would become a select of both branches.
    play = jax.vmap(algorithm.frame, in_axes=(None, 0, None))
    shapes = jax.eval_shape(play, task, state, start)[1]
    rows = jax.tree.map(lambda one: jnp.zeros((chunk, *one.shape), one.dtype), shapes)

    def body(time: Array, carry: tuple[Any, Record]) -> tuple[Any, Record]:
        state, rows = carry
        state, record = play(task, state, time)
        rows = jax.tree.map(lambda all_, one: all_.at[time - start].set(one), rows, record)
        return _strong(state), rows

    # The bounds are data, not part of the program, so a shorter last chunk needs no compilation of its own.
    state, rows = jax.lax.fori_loop(start, stop, body, (state, rows))
    return state, rows, _agents_finite(state)


@partial(jax.jit, static_argnums=0)
def _greedy(algorithm: Algorithm, task: Task, state: Any, frames: EnvState, keys: Array) -> dict[str, Greedy]:
    def play(mode: str, state: Any, frame: EnvState, key: Key) -> Greedy:
        key_act, key_step = jax.random.split(key)
        decision = algorithm.MODES[mode](task, state, frame, key_act)
        _, result = step(key_step, frame, decision.beams, decision.allocation, task.parameters)
        success = result.outcome.success.astype(result.ap_reward.dtype)
        return Greedy(reward=result.ap_reward, outage=1 - jnp.mean(success))

    def on_all(mode: str, state: Any) -> Greedy:
        each = jax.vmap(partial(play, mode), in_axes=(None, 0, 0))(state, frames, keys)
        return jax.tree.map(jnp.mean, each)

    return {mode: jax.vmap(partial(on_all, mode))(state) for mode in algorithm.MODES}


def _agents_finite(state: Any) -> Bool[Array, "S A"]:
    """Whether all numbers of each agent are finite, agents in the order of the algorithm's `agent_names`."""

    def finite(agents: Agent) -> Array:
        # One update count for a single agent, an axis of them for a team.
        axes = agents.actor_optimiser.count.ndim
        each = [
            jnp.all(jnp.isfinite(leaf), axis=tuple(range(axes, leaf.ndim)))
            for leaf in jax.tree.leaves(agents)
        ]
        return jnp.stack(each).all(axis=0).reshape(len(each[0]), -1)

    parts = (getattr(state, field.name) for field in dataclasses.fields(state))
    return jnp.concatenate([finite(part) for part in parts if isinstance(part, Agent)], axis=1)


def _strong(state: Any) -> Any:
    """The state without weak types, which a checkpoint would not keep."""

    def strong(leaf: Array) -> Array:
        is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return leaf if is_key else jax.lax.convert_element_type(leaf, leaf.dtype)

    return jax.tree.map(strong, state)
