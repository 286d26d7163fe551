"""The policies of an evaluation: fixed ones, and a training run's learner in each of its modes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from scattermec.agents.settings import learning
from scattermec.environment import Decision, EnvState
from scattermec.errors import InputError
from scattermec.experiments.measure.rollouts import Decide
from scattermec.learners import ALGORITHMS, Task
from scattermec.learners.fixed import BatchPolicy, fixed_policy
from scattermec.physics import Allocation, parameters_of
from scattermec.physics.channel import Key
from scattermec.physics.parameters import size_faults
from scattermec.price_net import Policy, registry
from scattermec.price_net.modes import decide_frames, modes_of
from scattermec.price_net.training import begin
from scattermec.scenario import Scenario
from scattermec.training import TrainedRun
from scattermec.training.metrics import read
from scattermec.training.program import first_states

LEARNED = ("reward", "outage", "user_reward", "ap_energy", "processed")
"""Metrics of a run that an evaluation reports."""

LAST_PART = 0.1
"""Share of the frames of a training run, at its end, that the results during learning are taken from."""


@dataclass(frozen=True)
class Contender:
    """A policy to evaluate."""

    policy: str
    decide: BatchPolicy
    """for S R frames, ordered by seed"""
    mode: str | None = None
    """mode of a learner; None for a policy that does not learn"""
    trained: int | None = None
    """number of frames it was trained on"""
    seeds: int = 1
    """S"""


def fixed_contenders(scenario: Scenario, names: Sequence[str]) -> list[Contender]:
    """The policies of those names; raises InputError as `fixed_policy` does."""
    parameters = parameters_of(scenario)
    return [Contender(name, fixed_policy(name, parameters)) for name in names]


def check_fit(run: TrainedRun, scenario: Scenario, name: str) -> None:
    """Raise InputError if the run ``name`` cannot act in ``scenario``: other numbers of users or antennas."""
    faults = size_faults(scenario, run.scenario, f"the run {name}, which was trained with")
    if faults:
        raise InputError(faults)


def learned_contenders(run: TrainedRun, scenario: Scenario) -> list[Contender]:
    """A run's learner in each of its modes, at frame 0 and as trained, to act in ``scenario``."""
    algorithm = ALGORITHMS[run.algorithm]
    # Settings that depend on the scenario take the values of the training scenario.
    settings = learning(run.config, run.scenario)
    task = Task(parameters=parameters_of(scenario), learning=settings)
    keys = jax.vmap(jax.random.key)(jnp.asarray(run.seeds, jnp.uint32))
    begin = Task(parameters=parameters_of(run.scenario), learning=settings)
    untrained = first_states(algorithm, begin, keys)
    return [
        Contender(
            run.algorithm,
            partial(_act, act, task, learners),
            mode=mode,
            trained=trained,
            seeds=len(run.seeds),
        )
        for trained, learners in ((0, untrained), (run.frames, run.states))
        for mode, act in algorithm.MODES.items()
    ]


def price_net_contenders(policy: Policy, scenario: Scenario) -> list[Contender]:
    """price-net in each of its modes, at frame 0 and as trained, to act in ``scenario``.

    Raises InputError if the scenario does not fit.
    """
    registry.check_fit(policy, scenario)
    parameters = parameters_of(scenario)
    untrained = begin(policy.config, policy.seed, 1, parameters_of(policy.scenario)).network
    return [
        Contender("price-net", partial(decide_frames, mode, network, parameters), mode=mode, trained=trained)
        for trained, network in ((0, untrained), (policy.frames, policy.network))
        for mode in modes_of(network)
    ]


def deciding(policy: BatchPolicy) -> Decide:
    """A policy in the form that `roll_out` needs, which adds nothing to the record of the frames."""

    def decide(key: Key, states: EnvState) -> tuple[Array, Allocation, Mapping[str, np.ndarray]]:
        decision = policy(key, states)
        return decision.beams, decision.allocation, {}

    return decide


@partial(jax.jit, static_argnums=0)
def _act(act: Callable[..., Decision], task: Task, states: Any, key: Key, environments: EnvState) -> Decision:
    """Each of S learners (leading axis of ``states``) in its own R of S R environments."""
    seeds = len(jax.tree.leaves(states)[0])
    by_seed = jax.tree.map(lambda leaf: leaf.reshape(seeds, -1, *leaf.shape[1:]), environments)
    keys = jax.random.split(key, by_seed.time.shape[1])
    for_frames = jax.vmap(act, in_axes=(None, None, 0, 0))
    decided = jax.vmap(for_frames, in_axes=(None, 0, 0, None))(task, states, by_seed, keys)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), decided)


def means_while_learning(run: TrainedRun, folder: Path) -> dict[str, np.ndarray]:
    """Means of a run's metrics over the last tenth of its frames, for each of its seeds (S,), by column.

    The metrics in ``folder`` are means over chunks of frames; a chunk counts if it ends in the last tenth.
    Raises InputError if a seed is missing, or metrics cannot be read.
    """
    rows: dict[int, list[dict[str, Any]]] = {seed: [] for seed in run.seeds}
    for path in sorted((folder / "metrics").glob("*.parquet")):
        for row in read(path, LEARNED):
            rows.setdefault(int(row["seed"]), []).append(row)
    means: dict[str, list[float]] = {name: [] for name in LEARNED}
    faults = []
    for seed in run.seeds:
        chunks = sorted((row for row in rows[seed] if row["frame"] > 0), key=lambda row: row["frame"])
        ends = np.array([row["frame"] for row in chunks])
        last = (ends > run.frames * (1 - LAST_PART)) & (ends <= run.frames)
        if not last.any():
            faults.append(f"{folder / 'metrics'}: has nothing of the last tenth of seed {seed}'s frames")
            continue
        lengths = np.diff(ends, prepend=0)[last]
        for name in LEARNED:
            values = np.array([row[name] for row in chunks], dtype=float)[last]
            means[name].append(float(values @ lengths / lengths.sum()))
    if faults:
        raise InputError(faults)
    return {name: np.array(values) for name, values in means.items()}
