"""DDPG: one agent's networks, and one step of its critic and actor."""

import dataclasses
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import Bool, Float

from scattermec._pytree import pytree
from scattermec.agents.networks import DTYPE, Actor, Critic
from scattermec.agents.replay import Replay, Transition, recall
from scattermec.agents.settings import Learning
from scattermec.physics.channel import Key

Network = TypeVar("Network", Actor, Critic)

_ADAM = optax.scale_by_adam()


@pytree
class Agent:
    """An actor and a critic, their target networks, and the states of their optimisers."""

    actor: Actor
    critic: Critic
    target_actor: Actor
    target_critic: Critic
    actor_optimiser: optax.OptState
    critic_optimiser: optax.OptState


@pytree
class Losses:
    """Averages over an update's batch, per agent for a team of A agents."""

    critic: Float[Array, " *A"]
    """mean squared temporal difference"""
    value: Float[Array, " *A"]
    """mean estimated value of the stored actions"""


def new_agent(
    key: Key,
    observation_size: int,
    action_size: int,
    learning: Learning,
    *,
    critic_inputs: tuple[int, int] | None = None,
) -> Agent:
    """A new agent. ``critic_inputs``: observation and action size of its critic, if larger."""
    key_actor, key_critic = jax.random.split(key)
    actor = Actor(key_actor, observation_size, action_size, learning.actor_layers, learning.hidden_activation)
    critic = Critic(key_critic, *(critic_inputs or (observation_size, action_size)), learning.critic_width)
    return Agent(
        actor=actor,
        critic=critic,
        target_actor=actor,
        target_critic=critic,
        actor_optimiser=_ADAM.init(actor),
        critic_optimiser=_ADAM.init(critic),
    )


def learn(
    learning: Learning, agent: Agent, replay: Replay, key: Key, ready: Bool[Array, ""]
) -> tuple[Agent, Losses]:
    """Draw a batch and `update`, once ``ready``, which must not be batched (else this always updates)."""
    return update_when_ready(update, learning, agent, replay, key, ready)


def update_when_ready(
    update: Callable[[Agent, Transition, Learning], tuple[Agent, Losses]],
    learning: Learning,
    agent: Agent,
    replay: Replay,
    key: Key,
    ready: Bool[Array, ""],
) -> tuple[Agent, Losses]:
    """Like `learn`, with the given ``update`` of an agent, or of a team with a leading axis."""
    zero = jnp.zeros(agent.actor_optimiser.count.shape, DTYPE)
    return jax.lax.cond(
        ready,
        lambda: update(agent, recall(replay, key), learning),
        lambda: (agent, Losses(critic=zero, value=zero)),
    )


def update(agent: Agent, batch: Transition, learning: Learning) -> tuple[Agent, Losses]:
    """One step of the critic towards r + gamma Q'(s', mu'(s')), of the actor up Q, and of the targets."""
    next_action = jax.vmap(agent.target_actor)(batch.next_observation)
    next_value = jax.vmap(agent.target_critic)(batch.next_observation, next_action)
    target = bellman_target(batch.reward, batch.terminated, next_value, learning)
    agent, losses = improve_critic(agent, batch.observation, batch.action, target, batch.valid, learning)

    def value(actor: Actor) -> Float[Array, " B"]:
        return jax.vmap(agent.critic)(batch.observation, jax.vmap(actor)(batch.observation))

    return follow(improve_actor(agent, value, batch.valid, learning), learning), losses


def bellman_target(
    reward: Float[Array, "*B"],
    terminated: Float[Array, "*B"],
    next_value: Float[Array, "*B"],
    learning: Learning,
) -> Float[Array, "*B"]:
    """r + gamma Q', or r where the episode has terminated."""
    return reward + learning.discount * (1 - terminated) * next_value


def improve_critic(
    agent: Agent,
    observation: Float[Array, "B K"],
    action: Float[Array, "B D"],
    target: Float[Array, " B"],
    weight: Float[Array, " B"],
    learning: Learning,
) -> tuple[Agent, Losses]:
    """One step of Adam down the weighted mean squared temporal difference."""

    def loss(critic: Critic) -> tuple[Array, Losses]:
        value = jax.vmap(critic)(observation, action)
        error = _mean((value - target) ** 2, weight)
        return error, Losses(critic=error, value=_mean(value, weight))

    gradient, losses = jax.grad(loss, has_aux=True)(agent.critic)
    critic, optimiser = _adam_step(
        agent.critic, gradient, agent.critic_optimiser, learning.critic_learning_rate
    )
    return dataclasses.replace(agent, critic=critic, critic_optimiser=optimiser), losses


def improve_actor(
    agent: Agent,
    value: Callable[[Actor], Float[Array, " B"]],
    weight: Float[Array, " B"],
    learning: Learning,
) -> Agent:
    """One step of Adam up the weighted mean of ``value``, the critic's value of an actor."""
    gradient = jax.grad(lambda actor: -_mean(value(actor), weight))(agent.actor)
    actor, optimiser = _adam_step(agent.actor, gradient, agent.actor_optimiser, learning.actor_learning_rate)
    return dataclasses.replace(agent, actor=actor, actor_optimiser=optimiser)


def follow(agent: Agent, learning: Learning) -> Agent:
    """Move the targets towards the networks by the smoothing parameter."""
    smoothing = learning.smoothing

    def towards(target: Array, network: Array) -> Array:
        return target + smoothing * (network - target)

    return dataclasses.replace(
        agent,
        target_actor=jax.tree.map(towards, agent.target_actor, agent.actor),
        target_critic=jax.tree.map(towards, agent.target_critic, agent.critic),
    )


def _adam_step(
    network: Network, gradient: Network, optimiser: optax.OptState, learning_rate: Array
) -> tuple[Network, optax.OptState]:
    # The learning rate is applied here rather than inside optax, so that it may be traced and swept.
    step, optimiser = _ADAM.update(gradient, optimiser)
    return jax.tree.map(lambda leaf, change: leaf - learning_rate * change, network, step), optimiser


def _mean(values: Float[Array, " B"], weight: Float[Array, " B"]) -> Float[Array, ""]:
    return jnp.sum(values * weight) / jnp.maximum(jnp.sum(weight), 1)
