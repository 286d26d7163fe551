"""The AP of Algorithm 1 among devices: its estimate by problem (10), and the choice. Needs JAX.

Its networks are those of the bundle; the model and problem (10) are those that it was trained with, in
`scattermec.learners.h_maddpg_opt`. What it imagines of the next frame is drawn anew in every frame.
"""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from scattermec.agents.networks import DTYPE
from scattermec.agents.settings import TrainingConfig
from scattermec.environment import EnvState, draw_next
from scattermec.learners.common import Task, new_task, see_as_ap
from scattermec.learners.h_maddpg_opt import Message, estimate_and_distribute, outlook
from scattermec.online import bundle
from scattermec.online.actor import ApActor, prefers_reports
from scattermec.online.protocol import PARTS, Proposed
from scattermec.physics import Allocation, Frame, channel
from scattermec.scenario import Scenario

__all__ = ["EstimatingAp", "load_estimating_ap"]


class EstimatingAp:
    """The AP of Algorithm 1; a `scattermec.online.protocol.ChoosingPolicy`."""

    def __init__(
        self, scenario: Scenario, config: TrainingConfig, networks: ApActor, *, seed: int = 0
    ) -> None:
        """Args:
        scenario: the constants.
        config: of the training.
        networks: its own.
        seed: of what it imagines.
        """
        self.scenario = scenario
        scaled = config.replace(reward_scale=networks.reward_scale)
        self._task, self._networks, self._key = new_task(scenario, scaled), networks, jax.random.key(seed)
        self._frame, self._beams, self._estimate = 0, jnp.zeros(()), np.zeros(0)
        self._state: EnvState | None = None

    def warm_up(self) -> None:
        """Compile all that a frame needs, so that the first one is as fast as the others."""
        p = self._task.parameters
        nothing = np.zeros(p.num_users)
        self.propose(0, nothing, nothing, np.ones((p.num_users, p.num_antennas), complex))
        self.prefers(np.zeros((p.num_users, len(PARTS))))

    def propose(
        self, frame: int, workload: np.ndarray, battery: np.ndarray, channels: np.ndarray
    ) -> Proposed:
        """Lines 3 to 5, for the number of the frame, and workload, battery (N,) and channels (N, M)."""
        task = self._task
        state, seen = _observed(task, workload, battery, channels)
        action = self._networks.actor(np.asarray(seen))
        message = _proposed(task, state, jnp.asarray(action, DTYPE))
        estimate = np.stack([getattr(message.estimate, part) for part in PARTS], axis=1)
        self._frame, self._state, self._beams, self._estimate = frame, state, message.beams, estimate
        # The rest of what users see is their own part of the state.
        told = message.told
        shares, entries = np.split(
            np.asarray(message.seen_by_users, float)[:, 2 + 2 * channels.shape[1] :], [1], 1
        )
        return Proposed(
            beams=np.asarray(message.beams),
            estimate=estimate,
            shares=shares[:, 0],
            entries=entries,
            told=np.zeros((len(estimate), 0))
            if told is None
            else np.stack([told.t_passive, told.passive_rate, told.harvest], axis=1),
        )

    def prefers(self, reports: np.ndarray) -> bool:
        """Lines 15 and 16: whether reports (N, 6) promise more than the estimate of the last proposal."""
        key = jax.random.fold_in(self._key, self._frame)
        compared = np.stack([reports, self._estimate])
        rewards, following = _outlooks(self._task, self._state, self._beams, compared, key)
        pairs = zip(rewards.tolist(), np.asarray(following), strict=True)
        y, y_star = (self._networks.target(reward, seen) for reward, seen in pairs)
        return prefers_reports(y, y_star)


def load_estimating_ap(path: str | os.PathLike[str]) -> EstimatingAp:
    """The AP in the bundle of a run of Algorithm 1; raises InputError as `bundle.load_ap` does."""
    folder, networks = Path(path), bundle.load_ap_actor(path)
    scenario, config = Scenario.load(folder / bundle.SCENARIO), TrainingConfig.load(folder / bundle.TRAINING)
    return EstimatingAp(scenario, config, networks)


@jax.jit
def _observed(task: Task, workload: Array, battery: Array, channels: Array) -> tuple[EnvState, Array]:
    """The state of the model as the AP sees it, and its observation."""
    state = EnvState(
        frame=Frame(channels=channels, workload=workload, battery=battery),
        observed_channels=channels,
        observed_workload=workload,
        beams=jnp.zeros_like(channels),
        scatter=channel.scatter_of(task.parameters, channels),
        time=jnp.zeros((), jnp.int32),
        trace_start=jnp.zeros((), jnp.int32),
    )
    return state, see_as_ap(task, state)


@jax.jit
def _proposed(task: Task, state: EnvState, action: Array) -> Message:
    return estimate_and_distribute(task, state, action)


@jax.jit
def _outlooks(
    task: Task, state: EnvState, beams: Array, allocations: Array, key: Array
) -> tuple[Array, Array]:
    """Rewards (2,) and next observations (2, K) of two allocations (2, N, 6), with the same imagined draw."""
    draws = draw_next(key, state, task.parameters)
    two = Allocation(**dict(zip(PARTS, jnp.moveaxis(allocations, 2, 0), strict=True)))
    return jax.vmap(outlook, in_axes=(None, None, None, 0, None))(task, state, beams, two, draws)
