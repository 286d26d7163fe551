"""The users' part of H-MADDPG on its own: classic MADDPG in any environment of a team.

The environment has the interface of `scattermec.environment.interface`: observations (A, K), actions (A, D)
in [0, 1], rewards (A,).
"""

from typing import Any

import jax
from jax import Array

from scattermec._pytree import pytree
from scattermec.agents import maddpg
from scattermec.agents.ddpg import Agent, Losses
from scattermec.agents.exploration import exploration_probability, explored_each
from scattermec.agents.networks import DTYPE
from scattermec.agents.replay import (
    Replay,
    blank_transition,
    new_replay,
    new_transition,
    remember,
)
from scattermec.agents.settings import Learning
from scattermec.environment.interface import Environment, Step
from scattermec.physics.channel import Key


@pytree
class State:
    """Everything that changes while learning."""

    team: Agent
    """with a leading axis (A,)"""
    replay: Replay
    """joint transitions"""
    environment: Any
    """the environment's state"""
    key: Key


def begin(learning: Learning, environment: Environment, key: Key) -> State:
    """Networks, an empty buffer and the start of an episode."""
    key_team, key_environment, key = jax.random.split(key, 3)
    state = environment.reset(key_environment)
    num_agents, action_size = environment.action_shape
    observation_size = environment.observe(state).shape[1]
    return State(
        team=maddpg.new_team(key_team, num_agents, observation_size, action_size, learning),
        replay=new_replay(blank_transition(observation_size, action_size, num_agents=num_agents), learning),
        environment=state,
        key=key,
    )


def advance(
    learning: Learning, environment: Environment, state: State, time: Array
) -> tuple[State, Step, Losses]:
    """One step: every agent acts on its own observation, the joint transition is stored, everyone learns.

    ``time`` counts steps from 0 and must not be batched. Rewards are not scaled.
    """
    key_explore, key_environment, key_batch, key = jax.random.split(state.key, 4)
    observations = environment.observe(state.environment).astype(DTYPE)
    actions = maddpg.act(state.team.actor, observations)
    actions = explored_each(learning, key_explore, actions, exploration_probability(learning, time))
    result = environment.step(key_environment, state.environment, actions)
    transition = new_transition(observations, actions, result.reward, result.observation, result.terminated)
    replay = remember(state.replay, transition)
    team, losses = maddpg.learn(learning, state.team, replay, key_batch, time >= learning.batch_size)
    return State(team=team, replay=replay, environment=result.state, key=key), result, losses
