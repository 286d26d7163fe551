"""DDPG over the whole joint action: one flat controller, to compare with the hierarchy.

`begin` and `advance` run on any environment of one agent with the interface of
`scattermec.environment.interface`; the rest applies them to offloading.
"""

from typing import Any

import jax
from jax import Array

from scattermec._pytree import pytree
from scattermec.agents import ddpg
from scattermec.agents.ddpg import Agent, Losses
from scattermec.agents.exploration import exploration_probability, explored_with
from scattermec.agents.networks import DTYPE
from scattermec.agents.replay import (
    Replay,
    blank_transition,
    new_replay,
    new_transition,
    remember,
)
from scattermec.agents.settings import Learning
from scattermec.environment import STATED_FORMS, ActionForm, Decision, EnvState
from scattermec.environment.flat import FlatOffloading
from scattermec.environment.interface import Environment, Step
from scattermec.learners.common import Record, Task, learned_reward, new_record
from scattermec.physics.channel import Key


@pytree
class State:
    """Everything that changes while learning."""

    agent: Agent
    replay: Replay
    environment: Any
    """the environment's state"""
    key: Key


def begin(learning: Learning, environment: Environment, key: Key) -> State:
    """Networks, an empty buffer and the start of an episode, in any environment of one agent."""
    key_agent, key_environment, key = jax.random.split(key, 3)
    state = environment.reset(key_environment)
    (action_size,) = environment.action_shape
    blank = blank_transition(environment.observe(state).size, action_size)
    return State(
        agent=ddpg.new_agent(key_agent, blank.observation.size, action_size, learning),
        replay=new_replay(blank, learning),
        environment=state,
        key=key,
    )


def advance(
    learning: Learning, environment: Environment, state: State, time: Array
) -> tuple[State, Step, Losses]:
    """One step in any environment of one agent: act, store the transition, learn."""
    key_explores, key_noise, key_environment, key_batch, key = jax.random.split(state.key, 5)
    observation = environment.observe(state.environment).astype(DTYPE)
    action = state.agent.actor(observation)
    epsilon = exploration_probability(learning, time)
    action = explored_with(learning, (key_explores, key_noise), action, epsilon)
    result = environment.step(key_environment, state.environment, action)
    reward = learned_reward(learning, result.reward)
    transition = new_transition(observation, action, reward, result.observation, result.terminated)
    replay = remember(state.replay, transition)
    agent, losses = ddpg.learn(learning, state.agent, replay, key_batch, time >= learning.batch_size)
    return State(agent=agent, replay=replay, environment=result.state, key=key), result, losses


def agent_names(num_users: int) -> tuple[str, ...]:
    """The only agent, the controller."""
    return ("controller",)


def initial(task: Task, key: Key) -> State:
    """Networks, an empty buffer and a first frame."""
    return begin(task.learning, _offloading(task), key)


def frame(task: Task, state: State, time: Array) -> tuple[State, Record]:
    """One frame of offloading."""
    following, result, losses = advance(task.learning, _offloading(task), state, time)
    losses = jax.tree.map(lambda loss: loss[None], losses)
    return following, new_record(result.info, state.environment.frame.workload, losses)


def act_jointly(task: Task, state: State, environment: EnvState, key: Key) -> Decision:
    """Greedy policy: the controller's beams and allocation."""
    offloading = _offloading(task)
    action = state.agent.actor(offloading.observe(environment).astype(DTYPE))
    return offloading.decide_jointly(environment, action)


MODES = {"joint": act_jointly}
FORMS: tuple[ActionForm, ...] = STATED_FORMS


def _offloading(task: Task) -> FlatOffloading:
    return FlatOffloading(
        parameters=task.learning_parameters,
        action_form=task.learning.action_form,
        ap_action=task.learning.ap_action,
        phase_reference=task.learning.phase_reference,
    )
