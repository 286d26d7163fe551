"""The adapters for trainers in JAX: the interfaces that gymnax 1.0 and JaxMARL document, and their trainers.

gymnax, rejax and JaxMARL are not needed for the former; the latter are skipped where they are missing.
"""

import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from benchmarks import jaxmarl_ippo
from benchmarks.trainers import HIERARCHY

from scattermec.environment import AP_ALONE, FlatOffloading, reset, user_observations
from scattermec.environment.gymnax_env import GymnaxOffloading
from scattermec.environment.jaxmarl_env import JaxMarlOffloading
from scattermec.environment.pettingzoo_env import parallel_env
from scattermec.experiments.evaluate.foreign import contender_from_agents
from scattermec.physics import parameters_of
from scattermec.scenario import Scenario

LENGTH = 3
SCENARIO = Scenario(episode_length=LENGTH, arrivals="constant", mean_workload=4.0, initial_battery=0.5)
PARAMETERS = parameters_of(SCENARIO)
MARL = JaxMarlOffloading(SCENARIO)
step_of = jax.jit(FlatOffloading.step)


def test_gymnax_plays_episodes_as_its_interface_says() -> None:
    made = GymnaxOffloading(SCENARIO)
    params = made.default_params
    space, actions = made.observation_space(params), made.action_space(params)
    assert space.shape == (24,)
    assert actions.shape == (made.num_actions,) == (30,)
    assert float(params.max_steps_in_episode) == LENGTH
    key = jax.random.key(0)
    seen, state = made.reset(key, params)
    assert (seen.shape, seen.dtype) == (space.shape, jnp.float32)
    assert space.contains(seen)
    assert not space.contains(seen.at[0].set(-1))
    np.testing.assert_array_equal(seen, made.get_obs(state, params))
    ends = []
    for time in range(2 * LENGTH):
        before = state
        action = actions.sample(jax.random.key(time))
        assert actions.contains(action)
        seen, state, reward, terminated, truncated, info = made.step(key, before, action, params)
        flat = step_of(params, key, before, action)
        assert reward.dtype == seen.dtype == jnp.float32
        assert float(reward) == pytest.approx(float(flat.info.ap_reward), rel=1e-5)
        assert bool(truncated) == bool(info["truncated"])
        assert not terminated
        assert not made.is_terminated(state, params)
        # After an end the observation is that of a new episode, and the last one is handed over.
        np.testing.assert_array_equal(seen, made.get_obs(state, params))
        assert np.array_equal(seen, info["final_observation"]) == (not truncated)
        np.testing.assert_allclose(info["final_observation"], flat.observation, rtol=1e-6)
        np.testing.assert_array_equal(info["success"], flat.info.success)
        assert int(state.time) == (0 if truncated else int(before.time) + 1)
        ends.append(bool(truncated))
    assert ends == [False, False, True] * 2


def test_gymnax_steps_have_five_values_on_request_and_params_may_be_batched() -> None:
    made = GymnaxOffloading(SCENARIO, old_step=True)
    params = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), made.default_params)
    keys, actions = jax.random.split(jax.random.key(0), 2), jnp.zeros((2, made.num_actions))
    _, states = jax.eval_shape(jax.vmap(made.reset), keys, params)
    step = jax.eval_shape(jax.vmap(made.step), keys, states, actions, params)
    seen, following, reward, done, _ = step
    assert (seen.shape, reward.shape, done.shape) == ((2, 24), (2,), (2,))
    assert (reward.dtype, done.dtype) == (jnp.float32, bool)
    assert jax.tree.map(jnp.shape, following) == jax.tree.map(jnp.shape, states)


def test_jaxmarl_plays_episodes_as_its_interface_says() -> None:
    made, other = MARL, parallel_env(scenario=SCENARIO)
    assert made.agents == other.possible_agents
    assert made.agent_classes == {"ap": ["ap"], "users": ["user_0", "user_1", "user_2"]}
    key = jax.random.key(0)
    seen, state = made.reset(key)
    assert seen.keys() == {*made.agents, "world_state"}
    assert seen["world_state"].shape == (made.world_state_size(),)
    for i, agent in enumerate(made.agents):
        own = other.observation_space(agent).shape[0]
        row = np.asarray(seen[agent])
        assert made.observation_space(agent).shape == row.shape == (24 + 4,)
        assert row.dtype == np.float32
        np.testing.assert_array_equal(row[own:24], 0)
        np.testing.assert_array_equal(row[24:], np.eye(4)[i])
    np.testing.assert_allclose(seen["ap"][:24], seen["world_state"])
    own = user_observations(PARAMETERS, state, state.beams)
    np.testing.assert_allclose(seen["user_1"][: own.shape[1]], own[1], rtol=1e-6)

    rng = np.random.default_rng(0)
    actions = {
        agent: jnp.asarray(rng.random(made.action_space(agent).shape), jnp.float32) for agent in made.agents
    }
    some = made.get_avail_actions(state)
    assert [int(some[agent].sum()) for agent in made.agents] == [18, 4, 4, 4]
    padded = {agent: jnp.where(some[agent], action, 0.9) for agent, action in actions.items()}
    for time in range(LENGTH):
        seen, following, rewards, dones, infos = made.step(key, state, actions)
        unpadded = made.step(key, state, padded)
        assert rewards == unpadded[2]
        over = time == LENGTH - 1
        assert dones == dict.fromkeys([*made.agents, "__all__"], over)
        assert infos["truncated"].tolist() == [over] * 4
        assert all(leaf.shape == (4,) for leaf in infos.values())
        last, state = state, following
        assert int(state.time) == (0 if over else time + 1)
        np.testing.assert_array_equal(seen["ap"], made.get_obs(state)["ap"])
    # The end of an episode as it is, and with a start of one's own.
    reached = made.step_env(key, last, actions)[1]
    assert int(reached.time) == LENGTH
    following = made.step(key, last, actions, reached)[1]
    np.testing.assert_array_equal(following.frame.battery, reached.frame.battery)


def test_jaxmarl_and_pettingzoo_play_the_same_frame() -> None:
    made, other = MARL, parallel_env(scenario=SCENARIO)
    other.reset(seed=3)
    actions = {agent: other.action_space(agent).sample() for agent in other.agents}
    longest = made.action_space("ap").shape[0]
    padded = {agent: jnp.pad(jnp.asarray(a), (0, longest - a.size)) for agent, a in actions.items()}
    _, _, rewards, *_ = made.step(jax.random.key(0), other.env_state, padded)
    _, expected, *_ = other.step(actions)
    for agent in made.agents:
        assert float(rewards[agent]) == pytest.approx(expected[agent], rel=1e-4, abs=1e-6)


def test_the_ap_may_be_the_only_agent_of_jaxmarl() -> None:
    made = JaxMarlOffloading(SCENARIO, **AP_ALONE)
    assert made.agents == ["ap"]
    assert made.action_space("ap").shape == (9,)
    assert made.observation_space("ap").shape == (25,)


def test_jaxmarls_tests_of_an_environment_hold_for_it() -> None:
    # As in its tests/test_envs_implement_base_api.py, except that nothing inherits from JaxMARL's classes.
    for made in (MARL, JaxMarlOffloading(SCENARIO, symmetric=True, team=True)):
        for spaces, space_of in (
            (made.observation_spaces, made.observation_space),
            (made.action_spaces, made.action_space),
        ):
            assert list(spaces) == made.agents
            assert all(spaces[agent] == space_of(agent) for agent in spaces)
        seen, state = made.reset(jax.random.PRNGKey(0))
        assert all(space.contains(seen[agent]) for agent, space in made.observation_spaces.items())
        actions = {agent: made.action_space(agent).sample(jax.random.PRNGKey(1)) for agent in made.agents}
        assert all(space.contains(actions[agent]) for agent, space in made.action_spaces.items())
        seen, _, rewards, dones, infos = made.step(jax.random.PRNGKey(2), state, actions)
        assert all(space.contains(seen[agent]) for agent, space in made.observation_spaces.items())
        assert all(isinstance(part, dict) for part in (rewards, dones, infos))
        assert "__all__" in dones


def test_jaxmarls_actions_may_lie_around_zero_and_everyone_may_be_paid_alike() -> None:
    made = JaxMarlOffloading(SCENARIO, symmetric=True, team=True)
    space = made.action_space("user_0")
    assert (space.low, space.high) == (-1, 1)
    _, state = MARL.reset(jax.random.key(0))
    key, rng = jax.random.key(1), np.random.default_rng(0)
    numbers = {agent: jnp.asarray(rng.random(18), jnp.float32) for agent in MARL.agents}
    around = {agent: 2 * action - 1 for agent, action in numbers.items()}
    _, reached, paid, *_ = made.step(key, state, around)
    _, expected, each, *_ = MARL.step(key, state, numbers)
    np.testing.assert_allclose(reached.frame.battery, expected.frame.battery, rtol=1e-5)
    assert float(each["ap"]) != float(each["user_0"])
    for agent in made.agents:
        assert float(paid[agent]) == pytest.approx(float(each["ap"]), rel=1e-5)


def test_a_policy_of_jaxmarls_plays_the_agents_own_observations_and_actions() -> None:
    made, other = JaxMarlOffloading(SCENARIO, symmetric=True), parallel_env(scenario=SCENARIO)
    first, _ = other.reset(seed=3)
    seen = made.get_obs(other.env_state)
    padded = made.padded({agent: np.stack([row, row]) for agent, row in first.items()})
    for agent in made.agents:
        assert padded[agent].shape == (2, *made.observation_space(agent).shape)
        np.testing.assert_allclose(padded[agent][1], seen[agent], rtol=1e-6)
    actions = {agent: jnp.linspace(-2, 2, 36).reshape(2, 18) for agent in made.agents}
    own = made.own_actions(actions)
    for agent in made.agents:
        size = other.action_space(agent).shape[0]
        expected = np.clip((np.linspace(-2, 2, 36).reshape(2, 18)[:, :size] + 1) / 2, 0, 1)
        np.testing.assert_allclose(own[agent], expected, atol=1e-6)


@pytest.mark.parametrize("make", [GymnaxOffloading, JaxMarlOffloading])
def test_wrong_settings_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="users: 'x' is not allowed"):
        make(SCENARIO, users="x")


# --- Trainers of others, where they are installed ---


def test_rejax_trains_on_it() -> None:
    rejax = pytest.importorskip("rejax", reason="an optional trainer")
    made = GymnaxOffloading(SCENARIO, old_step=True, **AP_ALONE)
    ppo = rejax.PPO.create(
        env=made,
        eval_freq=1024,
        total_timesteps=2048,
        num_envs=16,
        num_steps=64,
        num_epochs=2,
        num_minibatches=4,
        skip_initial_evaluation=True,
    ).replace(eval_callback=lambda ppo, state, key: ())
    state, _ = jax.jit(ppo.train)(jax.random.PRNGKey(0))
    assert int(state.global_step) == 2048
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.actor_ts.params))


def test_jaxmarls_ippo_trains_on_it() -> None:
    for name in ("jaxmarl", "distrax", "hydra"):
        pytest.importorskip(name, reason="optional trainers")
    script = os.environ.get("JAXMARL_IPPO")
    if script is None:
        pytest.skip("JAXMARL_IPPO does not name JaxMARL's script, see docs/how-to/trainers.md")
    act = jaxmarl_ippo.train(Path(script), HIERARCHY, 0, 2048, 16)
    contender = contender_from_agents("IPPO", act, **HIERARCHY)
    states = jax.vmap(lambda key: reset(key, parameters_of(Scenario())))(
        jax.random.split(jax.random.key(0), 2)
    )
    decision = contender.decide(jax.random.key(0), states)
    np.testing.assert_allclose(np.linalg.norm(decision.beams, axis=-1), 1, rtol=1e-5)


def test_jaxmarls_wrapper_logs_its_episodes() -> None:
    baselines = pytest.importorskip("jaxmarl.wrappers.baselines", reason="optional trainers")
    made = baselines.LogWrapper(MARL)
    key = jax.random.key(0)
    _, state = made.reset(key)
    actions = {agent: jnp.zeros(made.action_space(agent).shape) for agent in made.agents}
    for _ in range(LENGTH):
        _, state, _, _, info = made.step(key, state, actions)
    assert info["returned_episode"].all()
    np.testing.assert_array_equal(info["returned_episode_lengths"], LENGTH)
