"""The learners on environments that are not ours and whose values are known in closed form."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from scattermec import Scenario
from scattermec._pytree import pytree
from scattermec.agents.settings import Learning, TrainingConfig, learning
from scattermec.environment.interface import Step
from scattermec.learners import ddpg, maddpg


def config(**changes: object) -> Learning:
    settings = {
        "actor_layers": (16,),
        "critic_width": 32,
        "hidden_activation": "relu",
        "batch_size": 32,
        "actor_learning_rate": 3e-3,
        "critic_learning_rate": 3e-3,
        "exploration_probability": 1.0,
        "exploration_noise": 0.3,
        "smoothing": 0.05,
    }
    return learning(TrainingConfig(**(settings | changes)), Scenario())


@pytree
class ConstantReward:
    """One state, one step an episode or none that ends, always the same reward."""

    reward: Array
    terminates: Array
    action_shape = (1,)

    def reset(self, key: Array) -> Array:
        return jnp.zeros(())

    def observe(self, state: Array) -> Array:
        return jnp.ones(1)

    def step(self, key: Array, state: Array, action: Array) -> Step:
        return Step(
            state=state,
            observation=self.observe(state),
            reward=self.reward,
            terminated=self.terminates,
        )


@pytree
class MatchAction:
    """Reward 1 - (a - s)^2 for an observed s, drawn anew every step."""

    action_shape = (1,)

    def reset(self, key: Array) -> Array:
        return jax.random.uniform(key, (1,))

    def observe(self, state: Array) -> Array:
        return state

    def step(self, key: Array, state: Array, action: Array) -> Step:
        following = self.reset(key)
        return Step(
            state=following,
            observation=following,
            reward=1 - jnp.sum((action - state) ** 2),
            terminated=jnp.asarray(False),
        )


@pytree
class DelayedCredit:
    """Two steps: the first action decides the reward of the second; the second action means nothing."""

    action_shape = (1,)

    def reset(self, key: Array) -> Array:
        return jnp.zeros(2)

    def observe(self, state: Array) -> Array:
        return state

    def step(self, key: Array, state: Array, action: Array) -> Step:
        second = state[0] > 0
        reached = jnp.where(second, jnp.zeros(2), jnp.stack([jnp.ones(()), action[0].astype(float)]))
        return Step(
            state=reached, observation=reached, reward=jnp.where(second, state[1], 0), terminated=second
        )


@pytree
class QuadraticGame:
    """Two agents, r_i = 1 - (a_i - 0.3 - 0.5 a_j)^2: the only equilibrium is a_1 = a_2 = 0.6.

    Its best response slopes are 0.5 for both, so that each agent has to learn from what the other does.
    """

    action_shape = (2, 1)

    def reset(self, key: Array) -> Array:
        return jnp.zeros(())

    def observe(self, state: Array) -> Array:
        return jnp.ones((2, 1))

    def step(self, key: Array, state: Array, action: Array) -> Step:
        own = action[:, 0]
        reward = 1 - (own - 0.3 - 0.5 * own[::-1]) ** 2
        return Step(
            state=state, observation=self.observe(state), reward=reward, terminated=jnp.asarray(False)
        )


@partial(jax.jit, static_argnums=(0, 4))
def train(learner: object, learning: Learning, environment: object, key: Array, steps: int) -> object:
    state = learner.begin(learning, environment, key)

    def advance(state: object, time: Array) -> tuple[object, Array]:
        state, _, losses = learner.advance(learning, environment, state, time)
        return state, losses.critic

    return jax.lax.scan(advance, state, jnp.arange(steps))[0]


@pytest.mark.parametrize(
    ("discount", "terminates", "limit"),
    [(0.0, False, None), (0.5, False, None), (0.9, False, None), (0.9, True, None), (0.5, False, 0.6)],
)
def test_value_of_a_constant_reward(discount: float, terminates: bool, limit: float | None) -> None:
    environment = ConstantReward(reward=jnp.asarray(1.0), terminates=jnp.asarray(terminates))
    settings = config(discount=discount, reward_limit=limit)
    state = train(ddpg, settings, environment, jax.random.key(0), 2000)
    values = jax.vmap(state.agent.critic, in_axes=(None, 0))(
        jnp.ones(1, jnp.float32), jnp.linspace(0, 1, 5, dtype=jnp.float32)[:, None]
    )
    reward = limit or 1.0
    expected = reward if terminates else reward / (1 - discount)
    np.testing.assert_allclose(values, expected, rtol=0.03)


def test_actor_matches_what_it_sees() -> None:
    state = train(ddpg, config(discount=0.0), MatchAction(), jax.random.key(1), 4000)
    seen = jnp.linspace(0.1, 0.9, 9, dtype=jnp.float32)[:, None]
    np.testing.assert_allclose(jax.vmap(state.agent.actor)(seen), seen, atol=0.12)


def test_credit_reaches_back_one_step() -> None:
    state = train(ddpg, config(discount=0.5), DelayedCredit(), jax.random.key(2), 3000)
    start = jnp.zeros(2, jnp.float32)
    assert float(state.agent.actor(start)[0]) > 0.9
    for action in (0.2, 0.5, 0.8):
        value = state.agent.critic(start, jnp.array([action], jnp.float32))
        assert float(value) == pytest.approx(0.5 * action, abs=0.06)


def test_team_finds_the_equilibrium_of_a_quadratic_game() -> None:
    state = train(maddpg, config(discount=0.0), QuadraticGame(), jax.random.key(3), 4000)
    actions = jax.vmap(lambda actor: actor(jnp.ones(1, jnp.float32)))(state.team.actor)
    np.testing.assert_allclose(actions, 0.6, atol=0.05)


def test_critics_of_a_team_see_the_other_agent() -> None:
    state = train(maddpg, config(discount=0.0), QuadraticGame(), jax.random.key(4), 4000)
    seen = jnp.ones(2, jnp.float32)
    for mine, other in ((0.6, 0.9), (0.6, 0.3), (0.5, 0.6)):
        joint = jnp.array([mine, other], jnp.float32)
        critic = jax.tree.map(lambda leaf: leaf[0], state.team.critic)
        expected = 1 - (mine - 0.3 - 0.5 * other) ** 2
        assert float(critic(seen, joint)) == pytest.approx(expected, abs=0.06)


def test_a_sweep_of_hyperparameters_is_a_vmap() -> None:
    base = config(discount=0.0)
    rates = jnp.array([1e-3, 3e-3], jnp.float32)

    def one(rate: Array) -> Array:
        swept = dataclasses.replace(base, critic_learning_rate=rate)
        state = train(ddpg, swept, MatchAction(), jax.random.key(5), 200)
        return state.agent.critic.output_layer.weight

    together = jax.vmap(one)(rates)
    apart = jnp.stack([one(rate) for rate in rates])
    np.testing.assert_allclose(together, apart, rtol=1e-3, atol=1e-5)
    assert not np.allclose(together[0], together[1], atol=1e-3)
