"""MADDPG: a team of agents, each with its own actor and a critic that sees all agents.

An `Agent` here has a leading axis (A,) of agents on every leaf.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float

from scattermec.agents.ddpg import (
    Agent,
    Losses,
    bellman_target,
    follow,
    improve_actor,
    improve_critic,
    new_agent,
    update_when_ready,
)
from scattermec.agents.networks import Actor
from scattermec.agents.replay import Replay, Transition
from scattermec.agents.settings import Learning
from scattermec.physics.channel import Key


def new_team(
    key: Key,
    num_agents: int,
    observation_size: int,
    action_size: int,
    learning: Learning,
) -> Agent:
    """New agents whose critics see the observations and actions of all."""

    def one(key: Key) -> Agent:
        return new_agent(
            key,
            observation_size,
            action_size,
            learning,
            critic_inputs=(num_agents * observation_size, num_agents * action_size),
        )

    return jax.vmap(one)(jax.random.split(key, num_agents))


def act(actors: Actor, observations: Float[Array, "A K"]) -> Float[Array, "A D"]:
    """Each agent's action for its own observation."""
    return jax.vmap(lambda actor, observation: actor(observation))(actors, observations)


def learn(
    learning: Learning, team: Agent, replay: Replay, key: Key, ready: Bool[Array, ""]
) -> tuple[Agent, Losses]:
    """Draw a batch of joint transitions and `update`, once ``ready``; see `ddpg.learn`."""
    return update_when_ready(update, learning, team, replay, key, ready)


def update(team: Agent, batch: Transition, learning: Learning) -> tuple[Agent, Losses]:
    """One step of every critic, actor and target on the same batch of joint transitions.

    ``batch`` holds observations (B, A, K), actions (B, A, D) and rewards (B, A). An actor is evaluated with
    the stored actions of the others. Returns losses (A,).
    """
    size, num_agents = batch.reward.shape
    everyone = batch.observation.reshape(size, -1)
    everyone_next = batch.next_observation.reshape(size, -1)
    next_actions = jax.vmap(act, in_axes=(None, 0))(team.target_actor, batch.next_observation)
    next_actions = next_actions.reshape(size, -1)

    def update_one(index: Array, agent: Agent, reward: Float[Array, " B"]) -> tuple[Agent, Losses]:
        next_value = jax.vmap(agent.target_critic)(everyone_next, next_actions)
        target = bellman_target(reward, batch.terminated, next_value, learning)
        actions = batch.action.reshape(size, -1)
        agent, losses = improve_critic(agent, everyone, actions, target, batch.valid, learning)
        own = jnp.arange(num_agents) == index

        def value(actor: Actor) -> Float[Array, " B"]:
            mine = jax.vmap(actor)(jnp.take(batch.observation, index, axis=1))
            joint = jnp.where(own[:, None], mine[:, None, :], batch.action)
            return jax.vmap(agent.critic)(everyone, joint.reshape(size, -1))

        return follow(improve_actor(agent, value, batch.valid, learning), learning), losses

    return jax.vmap(update_one, in_axes=(0, 0, 1))(jnp.arange(num_agents), team, batch.reward)
