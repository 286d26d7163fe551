"""The common part of the learners: their task, their decisions, and the record of a frame."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Complex, Float

from scattermec._pytree import pytree
from scattermec.agents.ddpg import Losses
from scattermec.agents.networks import DTYPE
from scattermec.agents.replay import Transition, new_transition
from scattermec.agents.settings import Learning, TrainingConfig, learning
from scattermec.environment import ActionForm, Decision, EnvState, StepResult, Variant, reset
from scattermec.optimisation import allocate_all_or_best, frame_rewards
from scattermec.optimisation.response import Broadcast
from scattermec.physics import Allocation, Outcome, Parameters, maximum_ratio_beams, parameters_of
from scattermec.physics.channel import Key
from scattermec.scenario import Scenario


@pytree
class Task:
    """A learning task: the scenario and the configuration."""

    parameters: Parameters
    learning: Learning

    @property
    def learning_parameters(self) -> Parameters:
        """The scenario's constants with the configuration's team share in the users' reward."""
        weight = self.learning.team_weight.astype(self.parameters.team_weight.dtype)
        return dataclasses.replace(self.parameters, team_weight=weight)

    @property
    def variant(self) -> Variant:
        """What the agents see and what their numbers mean."""
        h = self.learning
        return Variant(
            parameters=self.parameters,
            action_form=h.action_form,
            ap_action=h.ap_action,
            phase_reference=h.phase_reference,
        )

    @property
    def ap_learning(self) -> Learning:
        """The configuration with the AP's own discount."""
        return dataclasses.replace(self.learning, discount=self.learning.ap_discount)


@pytree
class Record:
    """Metrics of a frame while learning."""

    reward: Float[Array, ""]
    """(11) in kbit/J"""
    user_reward: Float[Array, ""]
    """mean of (12) over users, with the configuration's team share"""
    outage: Float[Array, ""]
    """share of users in outage"""
    ap_energy: Float[Array, ""]
    """J"""
    processed: Float[Array, ""]
    """kbit"""
    estimate_chosen: Float[Array, ""]
    """1 if the AP preferred its estimate to the users' reports; NaN if it has no such choice"""
    losses: Losses
    """losses of each learning agent"""


def new_record(
    outcome: Outcome, workload: Float[Array, " N"], losses: Losses, estimate_chosen: Array | float = jnp.nan
) -> Record:
    """The record of a played frame."""
    return Record(
        reward=outcome.ap_reward,
        user_reward=jnp.mean(outcome.user_reward),
        outage=1 - jnp.mean(outcome.success.astype(workload.dtype)),
        ap_energy=outcome.ap_energy,
        processed=jnp.sum(jnp.where(outcome.success, workload, 0)),
        estimate_chosen=jnp.asarray(estimate_chosen, workload.dtype),
        losses=losses,
    )


def see_as_ap(task: Task, state: EnvState) -> Float[Array, " K"]:
    """The AP's observation, as input to its networks."""
    return task.variant.see_as_ap(state).astype(DTYPE)


def see_as_users(task: Task, state: EnvState, beams: Complex[Array, "N M"]) -> Float[Array, "N K"]:
    """The users' observations, as input to their networks."""
    return task.variant.see_as_users(state, beams).astype(DTYPE)


def beams_of(task: Task, state: EnvState, action: Float[Array, " D"]) -> Complex[Array, "N M"]:
    """The AP's action as beams, for the channels that it sees, in the precision of the physics."""
    return task.variant.beams(state, action)


def ap_numbers(task: Task) -> int:
    """Length of the AP's action."""
    return task.variant.ap_numbers


def ap_transition(
    task: Task,
    observation: Float[Array, " K"],
    action: Float[Array, " D"],
    result: StepResult,
    next_observation: Float[Array, " K"],
) -> Transition:
    """The AP's transition of a frame, with its reward (11), scaled and up to the configured limit."""
    reward = learned_reward(task.learning, result.ap_reward)
    return new_transition(observation, action, reward, next_observation, result.terminated)


def learned_reward(learning: Learning, reward: Float[Array, ""]) -> Float[Array, ""]:
    """A reward as a controller learns it: scaled, and up to the configured limit."""
    return jnp.minimum(learning.reward_scale * reward.astype(DTYPE), learning.reward_limit)


def users_rewards(task: Task, result: StepResult) -> Float[Array, " N"]:
    """The users' rewards for learning: (12), with the team's share in the configured form."""
    rewards = result.user_reward
    h, outcome = task.learning, result.outcome
    if h.team_reward == "success":
        return rewards
    if h.team_reward == "energy":
        # The energy of a frame in which the usual work has an efficiency of 1 / reward_scale.
        usual = h.reward_scale * jnp.sum(task.parameters.mean_workload)
        return rewards - h.team_weight * outcome.ap_energy / usual
    success = jnp.mean(outcome.success.astype(rewards.dtype))
    return rewards + h.team_weight * (h.reward_scale * result.ap_reward - success)


def ap_and_users(num_users: int) -> tuple[str, ...]:
    """Names of the agents of a hierarchy: the AP, then the users."""
    return ("ap", *(f"user {i + 1}" for i in range(num_users)))


def all_losses(ap: Losses, users: Losses) -> Losses:
    """Losses of a hierarchy (1 + N,), in the order of `ap_and_users`."""
    return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), ap, users)


def user_numbers(task: Task) -> int:
    """Length of a user's action."""
    return task.variant.user_numbers


def allocation_of(
    task: Task,
    state: EnvState,
    actions: Float[Array, "N D"],
    beams: Complex[Array, "N M"],
    told: Broadcast | None = None,
) -> Allocation:
    """The users' actions as an allocation of their workload as they see it.

    Corrections need the beams, and correct what the users were ``told``, if anything.
    """
    return task.variant.allocation(state, beams, actions, told)


@runtime_checkable
class Algorithm(Protocol):
    """A learner: a module of pure functions, each for one seed; batch them with vmap."""

    @property
    def MODES(self) -> Mapping[str, Callable[..., Decision]]:  # noqa: N802
        """Greedy policies of the trained learner, by name; the first is its own.

        Functions of task, state, the environment's state and a key.
        """
        ...

    @property
    def FORMS(self) -> tuple[ActionForm, ...]:  # noqa: N802
        """The forms of users' actions that it can learn."""
        ...

    def agent_names(self, num_users: int, /) -> tuple[str, ...]:
        """Names of the A learning agents, in the order of `Record.losses`."""
        ...

    def initial(self, task: Task, key: Key, /) -> Any:
        """Networks, buffers and a first frame."""
        ...

    def frame(self, task: Task, state: Any, time: Array, /) -> tuple[Any, Record]:
        """One frame: act, play, learn. ``time`` counts frames from 0 and must not be batched."""
        ...


USUAL_FRAMES = 256
LEARNED_REWARD = 3.0
"""Mean of the scaled reward of MRT beams where the configuration has no scale."""


def new_task(scenario: Scenario, config: TrainingConfig) -> Task:
    """The task of a scenario and a configuration."""
    parameters = parameters_of(scenario)
    scale = LEARNED_REWARD / usual_reward(parameters) if config.reward_scale is None else config.reward_scale
    return Task(parameters=parameters, learning=learning(config, scenario, scale))


def usual_reward(parameters: Parameters) -> float:
    """Mean reward (11) in kbit/J of MRT beams with the exact allocation, over `USUAL_FRAMES` first frames."""
    keys = jax.random.split(jax.random.key(0), USUAL_FRAMES)
    frames = jax.jit(jax.vmap(reset, in_axes=(0, None)))(keys, parameters).frame
    beams = maximum_ratio_beams(frames.channels)
    solution, _ = allocate_all_or_best(parameters, frames, beams)
    mean = float(jnp.mean(frame_rewards(parameters, frames, solution)))
    return mean if np.isfinite(mean) and mean > 0 else LEARNED_REWARD
