"""Rollouts under the optimal allocation: results of a scheme while battery and backlog carry over."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from scattermec._programs import kept_jit
from scattermec.environment import EnvState, reset, step
from scattermec.experiments.measure.beams import SimulatedBeams, solve_frames
from scattermec.experiments.measure.statistics import Estimate, ratio_interval
from scattermec.optimisation import INFEASIBLE, OPTIMAL, Scheme
from scattermec.physics import Allocation, Frame, Parameters, parameters_of, processed_work, with_margin
from scattermec.physics.channel import Key
from scattermec.scenario import Scenario

WARM_UP = 10
"""Frames of each rollout that are played but not counted: the battery starts from an arbitrary level."""

Decide = Callable[[Key, EnvState], tuple[Array, Allocation, Mapping[str, np.ndarray]]]
"""(key, R states (leading axis)) to beams (R, N, M), allocation, and further records of the frames."""


@dataclass(frozen=True)
class Quantity:
    """A measured quantity: its name, unit and meaning."""

    name: str
    unit: str
    description: str


QUANTITIES = (
    Quantity("energy_efficiency", "kbit/J", "Processed work per energy of the AP"),
    Quantity("reward", "kbit/J", "Reward of the AP"),
    Quantity("outage", "", "Outage"),
    Quantity("active_share", "", "Processed work, active offloading"),
    Quantity("passive_share", "", "Processed work, passive offloading"),
    Quantity("local_share", "", "Processed work, computed locally"),
    Quantity("t_active", "s", "Active time of a user"),
    Quantity("t_passive", "s", "Passive time of a user"),
    Quantity("battery", "mJ", "Battery at the start of a frame"),
    Quantity("ap_energy", "J", "Energy of the AP per frame"),
)
"""Keys of `SimulationResult.estimates`, in this order."""


@dataclass(frozen=True)
class SimulationResult:
    """Estimates, and the frames they come from."""

    estimates: dict[str, Estimate]
    """each of `QUANTITIES`, with its 95% interval over the rollouts"""
    frames: Mapping[str, np.ndarray]
    """The counted frames of R rollouts of T frames each.

    (R, T): ``ap_energy`` (J), ``reward`` (kbit/J), ``status`` (int8, of serving everyone). (R, T, N):
    ``workload`` (kbit, backlog included), ``success`` (bool), ``user_reward``, ``battery`` (mJ, at the
    start), ``harvested``, ``spent`` and ``overflow`` (mJ), ``t_active`` and ``t_passive`` (s), and the work
    that was processed in each way, ``active``, ``passive`` and ``local`` (kbit; all 0 in an outage).
    """
    not_converged: int
    """frames in which serving everyone was neither solved within its bound nor proved impossible"""

    @property
    def num_rollouts(self) -> int:
        """R."""
        return self.frames["ap_energy"].shape[0]

    @property
    def num_frames(self) -> int:
        """Counted frames, R T."""
        return self.frames["ap_energy"].size


def num_rollouts(num_frames: int) -> int:
    """Number of independent rollouts for ``num_frames``.

    Usually 50, which is enough to resample. Above 5000 frames there are more, of 100 frames each, up to 512;
    below 500 frames fewer, of 10 frames each, since every rollout costs its warm-up. At least 2.
    """
    return max(2, min(50, num_frames // 10), min(512, num_frames // 100))


def simulate(
    scenario: Scenario,
    *,
    scheme: Scheme,
    beams: SimulatedBeams,
    margin: float = 0.0,
    num_frames: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> SimulationResult:
    """Roll out independent environments that carry their batteries and backlogs, all at once.

    In every frame the AP allocates optimally for what it observes, to everyone where that is possible and
    else to the set of users that maximises (11); the frame is then played on the truth. Optimal beams are
    optimal for the current frame as the AP observes it, not over later frames.

    Args:
        scenario: the constants.
        scheme: which links may be used.
        beams: how the AP chooses its beams; optimal ones need a linear rectifier, learned ones a scenario
            like the one they were learned in.
        margin: how much less harvest and more noise the AP plans for, see `with_margin`.
        num_frames: frames to count, rounded up to the same number in each of `num_rollouts` rollouts.
        seed: seed of everything drawn; the same seed gives the same numbers.
        progress: called after every step with the number of frames played and the total, warm-up included.
    """
    parameters = parameters_of(scenario)
    cautious = with_margin(parameters, margin)

    def decide(key: Key, states: EnvState) -> tuple[Array, Allocation, Mapping[str, np.ndarray]]:
        seen = Frame(
            channels=states.observed_channels,
            workload=states.observed_workload,
            battery=states.frame.battery,
        )
        solved = solve_frames(cautious, seen, beams, scheme=scheme, key=key)
        return solved.beams, solved.solution.allocation, {"status": solved.status}

    return _simulate(parameters, decide, num_frames, seed, progress)


def simulate_policy(
    scenario: Scenario,
    decide: Decide,
    *,
    num_frames: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> SimulationResult:
    """`simulate` with a policy made for ``scenario``; frames have a ``status`` only if the policy adds it."""
    return _simulate(parameters_of(scenario), decide, num_frames, seed, progress)


def _simulate(
    parameters: Parameters,
    decide: Decide,
    num_frames: int,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> SimulationResult:
    if num_frames < 1:
        raise ValueError(f"num_frames: {num_frames} is not allowed; it must be >= 1")
    return summarise(roll_out(parameters, decide, num_frames=num_frames, seed=seed, progress=progress))


def summarise(frames: Mapping[str, np.ndarray]) -> SimulationResult:
    """The result of R rollouts, from their frames as in `SimulationResult.frames`."""
    measured = ratios(frames)
    estimates = {quantity.name: ratio_interval(*measured[quantity.name]) for quantity in QUANTITIES}
    # A status other than optimal or proved infeasible is no verdict: not converged, or bound not met.
    verdicts = np.isin(frames["status"], (OPTIMAL, INFEASIBLE)) if "status" in frames else np.ones(1, bool)
    not_converged = int(np.count_nonzero(~verdicts))
    return SimulationResult(estimates=estimates, frames=frames, not_converged=not_converged)


def roll_out(
    parameters: Parameters,
    decide: Decide,
    *,
    num_frames: int,
    seed: int,
    copies: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, np.ndarray]:
    """Play R = `num_rollouts` environments that carry their batteries and backlogs, in C copies, all at once.

    Copies have the same channels, arrivals and first batteries; decisions may differ between copies.

    Args:
        parameters: the scenario's constants.
        decide: the decision in the current frame, for C R states, copy by copy.
        num_frames: frames to count in each copy, rounded up to T in each rollout.
        seed: seed of everything drawn; draws do not depend on decisions.
        copies: C.
        progress: as for `simulate`.

    Returns the T counted frames of each rollout as in `SimulationResult.frames`, (C R, T) and (C R, T, N),
    and the records that ``decide`` adds.
    """
    rollouts = num_rollouts(num_frames)
    steps = WARM_UP + -(-num_frames // rollouts)
    key_reset, key_steps = first_keys(rollouts, copies, seed)
    states = reset_frames(key_reset, parameters)
    records: list[dict[str, np.ndarray]] = []
    for time in range(steps):
        key_decision, keys_next = keys_of_step(rollouts, copies, key_steps, time)
        beams, allocation, more = decide(key_decision, states)
        states, played = play_frames(keys_next, states, beams, allocation, parameters)
        if time >= WARM_UP:
            records.append({**jax.device_get(played), **more})
        if progress is not None:
            progress((time + 1) * rollouts * copies, steps * rollouts * copies)
    return {name: np.stack([record[name] for record in records], axis=1) for name in records[0]}


@partial(kept_jit, static_argnums=(0, 1))
def first_keys(rollouts: int, copies: int, seed: Array | int) -> tuple[Array, Key]:
    """Keys of the C R environments, the same in each copy, and the key from which all steps' keys come."""
    key_reset, key_steps = jax.random.split(jax.random.key(seed))
    return _keys_of(rollouts, copies, key_reset), key_steps


@partial(kept_jit, static_argnums=(0, 1))
def keys_of_step(rollouts: int, copies: int, key_steps: Key, time: Array | int) -> tuple[Key, Array]:
    """A step's key for decisions, and those of the C R environments' next frames."""
    key_decision, key_next = jax.random.split(jax.random.fold_in(key_steps, time))
    return key_decision, _keys_of(rollouts, copies, key_next)


def _keys_of(rollouts: int, copies: int, key: Key) -> Array:
    return jnp.tile(jax.random.split(key, rollouts), copies)


@kept_jit
def reset_frames(keys: Array, parameters: Parameters) -> EnvState:
    """The first frame of an episode for each of R keys."""
    return jax.vmap(reset, in_axes=(0, None))(keys, parameters)


@kept_jit
def play_frames(
    keys: Array, states: EnvState, beams: Array, allocation: Allocation, parameters: Parameters
) -> tuple[EnvState, dict[str, Array]]:
    """Play a frame of each of R states: the next states, and the record of the frames by name.

    The record is that of `SimulationResult.frames`, (R,) and (R, N), without ``status``.
    """
    play = jax.vmap(step, in_axes=(0, 0, 0, 0, None))
    following, result = play(keys, states, beams, allocation, parameters)
    outcome, workload = result.outcome, states.frame.workload
    processed = jax.vmap(processed_work)(workload, allocation, outcome.success)
    record = {
        "workload": workload,
        "success": outcome.success,
        "ap_energy": outcome.ap_energy,
        "reward": outcome.ap_reward,
        "user_reward": outcome.user_reward,
        "battery": states.frame.battery,
        "harvested": outcome.harvested,
        "spent": outcome.spent,
        "overflow": outcome.overflow,
        "t_active": allocation.t_active,
        "t_passive": allocation.t_passive,
        "active": processed[:, 0],
        "passive": processed[:, 1],
        "local": processed[:, 2],
    }
    return following, record


def ratios(frames: Mapping[str, np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each of `QUANTITIES`, and ``user_reward``, as numerators and denominators (R,) of R independent units.

    ``frames`` has the record of `play_frames`, with R as its first axis and any axes between it and the
    users'. Over all units a quantity is the sum of its numerators over the sum of its denominators: sums over
    frames for efficiency and shares, else means, with ones as denominators.
    """

    def total(name: str) -> np.ndarray:
        return frames[name].sum(axis=tuple(range(1, frames[name].ndim)))

    def average(name: str) -> np.ndarray:
        return frames[name].mean(axis=tuple(range(1, frames[name].ndim)))

    processed = np.where(frames["success"], frames["workload"], 0)
    parts = {name: total(name) for name in ("active", "passive", "local")}
    done = sum(parts.values(), np.zeros(len(processed)))
    averages = {name: average(name) for name in _AVERAGED} | {"outage": 1 - average("success")}
    return {
        "energy_efficiency": (processed.sum(axis=tuple(range(1, processed.ndim))), total("ap_energy")),
        **{f"{name}_share": (part, done) for name, part in parts.items()},
        **{name: (value, np.ones_like(value)) for name, value in averages.items()},
    }


_AVERAGED = ("reward", "user_reward", "t_active", "t_passive", "battery", "ap_energy")
