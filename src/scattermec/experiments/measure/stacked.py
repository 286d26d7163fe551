"""Many scenarios in one program: their constants are stacked, and vmapped over.

Scenarios of one program have the same shapes and the same settings that change the code. Their frames are
those that `rollouts.simulate` and `sweeps.measure_frames` draw for each of them alone.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Complex

from scattermec._programs import kept_jit
from scattermec.environment import EnvState, as_seen
from scattermec.experiments.measure.beams import beam_rule
from scattermec.experiments.measure.rollouts import (
    WARM_UP,
    SimulationResult,
    first_keys,
    keys_of_step,
    num_rollouts,
    play_frames,
    reset_frames,
    summarise,
)
from scattermec.experiments.measure.statistics import Estimate
from scattermec.experiments.measure.sweeps import beams_key, estimates, frame_values, frames_of_key
from scattermec.optimisation import Scheme, allocate_everyone_or_best
from scattermec.physics import Frame, Parameters

StackedBeams = Literal["mrt", "random"]
"""Beams that do not depend on the allocation."""


def stack(parameters: Sequence[Parameters]) -> Parameters:
    """Constants of P scenarios as one pytree, with a leading axis (P,)."""
    stacked: Parameters = jax.tree.map(
        lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *parameters
    )
    return stacked


def simulate_stacked(
    parameters: Sequence[Parameters],
    seeds: Sequence[int],
    *,
    scheme: Scheme,
    beams: StackedBeams,
    num_frames: int,
) -> list[SimulationResult]:
    """`rollouts.simulate` for P scenarios, each with its seed."""
    rollouts = num_rollouts(num_frames)
    steps = WARM_UP + -(-num_frames // rollouts)
    frames = jax.device_get(
        _roll_out(scheme, beams, rollouts, steps, stack(parameters), np.asarray(seeds, np.uint32))
    )
    return [summarise({name: leaf[index] for name, leaf in frames.items()}) for index in range(len(seeds))]


def measure_stacked(
    parameters: Sequence[Parameters],
    seeds: Sequence[int],
    *,
    scheme: Scheme,
    beams: StackedBeams,
    frames: int,
) -> list[dict[str, Estimate]]:
    """`sweeps.measure_frames` for P scenarios, each with its seed."""
    found = _measure(scheme, beams, frames, stack(parameters), np.asarray(seeds, np.uint32))
    values = jax.device_get(found)
    return [estimates({name: leaf[index] for name, leaf in values.items()}) for index in range(len(seeds))]


def values_of(
    scheme: Scheme, parameters: Parameters, frame: Frame, beams: Complex[Array, "N M"]
) -> dict[str, Array]:
    """What a frame contributes to the metrics of sweeps, for use inside jit and vmap."""
    solution, status = allocate_everyone_or_best(parameters, frame, beams, scheme=scheme)
    return frame_values(parameters, frame, beams, solution, solution.lower_bound, status)


@partial(kept_jit, static_argnums=(0, 1, 2, 3))
def _roll_out(
    scheme: Scheme, beams: StackedBeams, rollouts: int, steps: int, parameters: Parameters, seeds: Array
) -> dict[str, Array]:
    """The counted frames of each scenario, (P, R, T) and (P, R, T, N)."""

    def play(parameters: Parameters, seed: Array) -> dict[str, Array]:
        key_reset, key_steps = first_keys(rollouts, 1, seed)

        def one_step(states: EnvState, time: Array) -> tuple[EnvState, dict[str, Array]]:
            key_decision, keys_next = keys_of_step(rollouts, 1, key_steps, time)
            seen = as_seen(states).frame
            chosen = beam_rule(beams)(key_decision, seen)
            allocate = partial(allocate_everyone_or_best, scheme=scheme)
            solution, status = jax.vmap(allocate, in_axes=(None, 0, 0))(parameters, seen, chosen)
            states, record = play_frames(keys_next, states, chosen, solution.allocation, parameters)
            return states, {**record, "status": status}

        _, records = jax.lax.scan(one_step, reset_frames(key_reset, parameters), jnp.arange(steps))
        return {name: jnp.swapaxes(leaf[WARM_UP:], 0, 1) for name, leaf in records.items()}

    return jax.vmap(play)(parameters, seeds)


@partial(kept_jit, static_argnums=(0, 1, 2))
def _measure(
    scheme: Scheme, beams: StackedBeams, frames: int, parameters: Parameters, seeds: Array
) -> dict[str, Array]:
    """What each frame of each scenario contributes, (P, K) by name."""

    def solve(parameters: Parameters, seed: Array) -> dict[str, Array]:
        drawn = frames_of_key(parameters, jax.random.key(seed), jnp.arange(frames))
        chosen = beam_rule(beams)(beams_key(seed), drawn)
        return jax.vmap(partial(values_of, scheme), in_axes=(None, 0, 0))(parameters, drawn, chosen)

    return jax.vmap(solve)(parameters, seeds)
