"""The environment beyond its arithmetic: conformance of the adapters, seeds, ends of episodes, views."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, seed_test

from bank import single
from scattermec import environment
from scattermec.environment.gymnasium_env import OffloadingEnv
from scattermec.environment.pettingzoo_env import env, parallel_env, raw_env
from scattermec.physics import Allocation, Parameters, parameters_of
from scattermec.scenario import Scenario, ScenarioError

ENVIRONMENT_ID = "scattermec/Offloading-v0"

N, M = 3, 3
LENGTH = 4

# Constant arrivals compile faster; the comparison with the reference has the others.
SCENARIO = Scenario(episode_length=LENGTH, csi_error=0.2, workload_error=0.1, arrivals="constant")
PARAMETERS = parameters_of(SCENARIO)

# Advice that PettingZoo gives whenever agents differ in kind, as an AP and users do.
different_agents = [
    pytest.mark.filterwarnings("ignore:We recommend agents to be named:UserWarning"),
    pytest.mark.filterwarnings("ignore:Agents have different observation space sizes:UserWarning"),
    pytest.mark.filterwarnings("ignore:Observations are different shapes:UserWarning"),
]


def marked(test: Any) -> Any:
    for mark in different_agents:
        test = mark(test)
    return test


# --- Conformance ---


def test_registered_environment_conforms() -> None:
    made = gymnasium.make(ENVIRONMENT_ID, render_mode="rgb_array", scenario=SCENARIO)
    assert isinstance(made.unwrapped, OffloadingEnv)
    check_env(made.unwrapped)
    made.close()


@marked
def test_turn_based_environment_conforms() -> None:
    api_test(env(scenario=SCENARIO), num_cycles=30)
    seed_test(lambda: env(scenario=SCENARIO), num_cycles=5)


def test_parallel_environment_conforms() -> None:
    parallel_api_test(parallel_env(scenario=SCENARIO), num_cycles=30)
    parallel_seed_test(lambda: parallel_env(scenario=SCENARIO), num_cycles=5)


@pytest.mark.parametrize("make", [OffloadingEnv, raw_env, parallel_env])
def test_pictures_before_and_after_a_frame(make: Any) -> None:
    made = make(scenario=SCENARIO, render_mode="rgb_array")
    made.reset(seed=0)
    before = made.render()
    assert before.dtype == np.uint8
    assert before.ndim == 3
    assert before.shape[2] == 3
    _play_frame(made)
    assert not np.array_equal(before, made.render())


def _play_frame(made: Any) -> None:
    if isinstance(made, OffloadingEnv):
        made.step(made.action_space.sample())
    elif hasattr(made, "agent_selection"):
        for agent in list(made.agents):
            made.step(made.action_space(agent).sample())
    else:
        made.step({agent: made.action_space(agent).sample() for agent in made.agents})


def test_without_gymnasium_the_core_works_and_the_adapters_say_what_to_install() -> None:
    program = """
import sys
sys.modules["gymnasium"] = None
import scattermec.environment
for name in ("gymnasium_env", "pettingzoo_env", "vector_env"):
    try:
        __import__(f"scattermec.environment.{name}")
    except ImportError as error:
        assert "pip install 'scattermec[environments]'" in str(error), error
    else:
        raise AssertionError(name)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    "program",
    [
        "import scattermec, gymnasium; gymnasium.spec('{0}')",
        "import gymnasium, scattermec; gymnasium.spec('{0}')",
        # Others look for it first.
        "import scattermec, importlib.util; importlib.util.find_spec('gymnasium'); "
        "import gymnasium.vector; gymnasium.spec('{0}')",
        "import gymnasium; gymnasium.make('scattermec:{0}')",
    ],
)
def test_gymnasium_knows_the_environment_whichever_is_imported_first(program: str) -> None:
    subprocess.run([sys.executable, "-c", program.format(ENVIRONMENT_ID)], check=True)


def test_importing_the_package_imports_neither_gymnasium_nor_jax() -> None:
    program = "import sys, scattermec; assert not {'gymnasium', 'jax', 'numpy'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_processes_may_be_forked_before_the_first_reset(tmp_path: Path) -> None:
    """With JAX running in the parent, forked workers would wait forever."""
    program = f"""
import warnings
import gymnasium, jax
from jax._src import xla_bridge
from scattermec import Scenario
from scattermec.environment import gymnasium_env, pettingzoo_env
warnings.simplefilter("error")
scenario = Scenario.load({str(tmp_path / "scenario.yaml")!r})
make = lambda: gymnasium_env.OffloadingEnv(scenario)
make(), pettingzoo_env.env(scenario=scenario), pettingzoo_env.parallel_env(scenario=scenario)
assert not xla_bridge.backends_are_initialized()
several = gymnasium.vector.AsyncVectorEnv([make, make], context="fork")
several.reset(seed=0, options=None)
seen, *_ = several.step(several.action_space.sample())
assert seen.shape == several.observation_space.shape
several.close()
"""
    SCENARIO.save(tmp_path / "scenario.yaml")
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


# --- Arguments ---


def test_scenario_can_be_a_file(tmp_path: Path) -> None:
    SCENARIO.save(tmp_path / "scenario.yaml")
    assert OffloadingEnv(tmp_path / "scenario.yaml").scenario == SCENARIO
    assert OffloadingEnv().scenario == Scenario()


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="action_form"):
        OffloadingEnv(action_form="free")
    with pytest.raises(ValueError, match="render_mode"):
        OffloadingEnv(render_mode="human")
    with pytest.raises(ScenarioError):
        OffloadingEnv("no/such/file.yaml")


def test_wrong_actions_are_refused() -> None:
    made = OffloadingEnv(SCENARIO)
    with pytest.raises(RuntimeError, match="reset"):
        made.step(np.zeros(made.action_space.shape, np.float32))
    made.reset(seed=0)
    with pytest.raises(ValueError, match="numbers where"):
        made.step(np.zeros(5, np.float32))
    with pytest.raises(ValueError, match="not finite"):
        made.step(np.full(made.action_space.shape, np.nan, np.float32))


def test_a_parallel_step_needs_a_running_episode_and_everybodys_action() -> None:
    made = parallel_env(scenario=SCENARIO)
    with pytest.raises(RuntimeError, match="call reset"):
        made.step({})
    made.reset(seed=0)
    with pytest.raises(ValueError, match="actions: those of ap, user_0, user_1, user_2 are missing"):
        made.step({})


def test_infos_have_the_same_entries_after_a_reset_as_after_a_step() -> None:
    def kinds(info: dict[str, Any]) -> Any:
        if any(isinstance(value, dict) for value in info.values()):
            return {name: kinds(value) for name, value in info.items()}
        return {name: (type(value), np.shape(value), np.asarray(value).dtype) for name, value in info.items()}

    single, turns, together = (
        OffloadingEnv(SCENARIO),
        raw_env(scenario=SCENARIO),
        parallel_env(scenario=SCENARIO),
    )
    _, first = single.reset(seed=0)
    np.testing.assert_array_equal(first["battery"], single.state.frame.battery)
    assert kinds(first) == kinds(single.step(single.action_space.sample())[-1])
    _, each = together.reset(seed=0)
    actions = {agent: together.action_space(agent).sample() for agent in together.agents}
    assert kinds(each) == kinds(together.step(actions)[-1])
    turns = raw_env(scenario=SCENARIO)
    turns.reset(seed=0)
    assert kinds(turns.infos) == kinds(each)


@pytest.mark.parametrize("form", environment.ACTION_FORMS)
def test_actions_are_as_long_as_their_form(form: environment.StatedForm) -> None:
    single, several = OffloadingEnv(SCENARIO, form), parallel_env(scenario=SCENARIO, action_form=form)
    per_user = environment.NUMBERS_PER_USER[form]
    assert single.action_space.shape == (2 * N * M + N * per_user,)
    assert several.action_space("ap").shape == (2 * N * M,)
    assert several.action_space("user_2").shape == (per_user,)


# --- Episodes ---


def test_episodes_are_truncated_and_never_terminated() -> None:
    made = OffloadingEnv(SCENARIO)
    made.reset(seed=0)
    ends = [made.step(made.action_space.sample())[2:4] for _ in range(LENGTH)]
    assert ends == [(False, False)] * (LENGTH - 1) + [(False, True)]


def test_one_seed_decides_a_run_of_episodes() -> None:
    for make in (lambda: OffloadingEnv(SCENARIO), lambda: parallel_env(scenario=SCENARIO)):
        runs = []
        for _ in range(2):
            made = make()
            states = [made.reset(seed=5), made.reset(), made.reset()]
            runs.append([seen["ap"] if isinstance(seen, dict) else seen for seen, _ in states])
        np.testing.assert_array_equal(runs[0], runs[1])
        assert not np.array_equal(runs[0][0], runs[0][1])
        assert not np.array_equal(runs[0][1], runs[0][2])


def test_info_reports_the_frame() -> None:
    made = OffloadingEnv(SCENARIO.replace(mean_workload=1.0, initial_battery=0.5))
    made.reset(seed=0)
    workload = np.asarray(made.state.frame.workload)
    _, reward, _, _, info = made.step(np.full(made.action_space.shape, 0.5, np.float32))
    assert info["success"].dtype == bool
    assert info["success"].any()
    share = info["active_share"], info["passive_share"], info["local_share"]
    assert sum(share) == pytest.approx(1)
    served = workload[info["success"]].sum()
    assert info["energy_efficiency"] == pytest.approx(served / info["ap_energy"])
    assert reward == pytest.approx(info["success"].mean() ** 4 * info["energy_efficiency"])
    assert made.render() is None


def test_users_in_turn_see_the_beam_just_sent_and_at_once_the_one_before() -> None:
    turns, parallel = raw_env(scenario=SCENARIO), parallel_env(scenario=SCENARIO)
    turns.reset(seed=1)
    first, _ = parallel.reset(seed=1)
    rng = np.random.default_rng(0)
    actions = {a: rng.random(turns.action_space(a).shape, np.float32) for a in turns.agents}
    # At first the beam before is maximum ratio transmission.
    assert turns.observe("user_0")[-1] == pytest.approx(1)
    np.testing.assert_array_equal(first["user_0"], turns.observe("user_0"))

    channels = np.asarray(turns.env_state.observed_channels)
    beams = np.asarray(environment.beams_from_action(jnp.asarray(actions["ap"], float), N, M))
    turns.step(actions["ap"])
    for i, user in enumerate(turns.possible_agents[1:]):
        gain = abs(np.vdot(channels[i], beams[i])) ** 2 / np.linalg.norm(channels[i]) ** 2
        assert turns.observe(user)[-1] == pytest.approx(gain, rel=1e-5)
        turns.step(actions[user])
    second, *_ = parallel.step(actions)
    for agent in turns.agents:
        np.testing.assert_array_equal(second[agent], turns.observe(agent))
    np.testing.assert_array_equal(turns.state(), second["ap"])
    assert turns.state() in turns.state_space


def test_all_numbers_at_half_mean_maximum_ratio_beams_along_what_the_ap_sees() -> None:
    made = OffloadingEnv(SCENARIO)
    made.reset(seed=0)
    seen = np.asarray(made.state.observed_channels)
    made.step(np.full(made.action_space.shape, 0.5, np.float32))
    expected = seen / np.linalg.norm(seen, axis=1, keepdims=True)
    np.testing.assert_allclose(made.state.beams, expected, rtol=1e-12)


def test_observations_are_finite_without_arrivals() -> None:
    params = parameters_of(SCENARIO.replace(mean_workload=0.0))
    state = reset_of(jax.random.key(0), params)
    assert np.isfinite(environment.ap_observation(params, state)).all()
    assert np.isfinite(environment.user_observations(params, state, state.beams)).all()


# --- Inside JAX ---


def rollout(key: jax.Array, params: Parameters, frames: int) -> Any:
    """Battery and outcome of a constant policy under scan, with resets; the states step by step."""

    def one_frame(state: environment.EnvState, key: jax.Array) -> Any:
        action = jnp.full((N, 4), 0.5, params.path_gain.dtype)
        allocation = environment.allocation_from_action("feasible", params, state.observed_workload, action)
        beams = jnp.zeros_like(state.beams)
        following, result, reached = environment.step_and_reset(key, state, beams, allocation, params)
        return following, (result, state, reached)

    start, *keys = jax.random.split(key, frames + 1)
    return jax.lax.scan(one_frame, environment.reset(start, params), jnp.stack(keys))


reset_of, step_of = jax.jit(environment.reset), jax.jit(environment.step)
rollout_of = jax.jit(rollout, static_argnums=2)


def test_scan_resets_after_truncation_and_hands_over_what_was_reached() -> None:
    _, (result, before, reached) = rollout_of(jax.random.key(0), PARAMETERS, 3 * LENGTH)
    np.testing.assert_array_equal(before.time, list(range(LENGTH)) * 3)
    np.testing.assert_array_equal(reached.time, list(range(1, LENGTH + 1)) * 3)
    np.testing.assert_array_equal(result.truncated, ([False] * (LENGTH - 1) + [True]) * 3)
    assert not result.terminated.any()
    # Within an episode the state reached is the one played next; across its end it is not.
    same = np.all(np.asarray(reached.frame.battery)[:-1] == np.asarray(before.frame.battery)[1:], axis=1)
    np.testing.assert_array_equal(same, ~np.asarray(result.truncated)[:-1])
    np.testing.assert_array_equal(reached.frame.battery, result.outcome.battery)
    np.testing.assert_array_equal(result.ap_reward, result.outcome.ap_reward)
    np.testing.assert_array_equal(result.user_reward, result.outcome.user_reward)


def test_seeds_and_constants_are_swept_by_vmap() -> None:
    starts = jax.random.split(jax.random.key(3), 4)
    keys = jax.random.split(jax.random.key(4), LENGTH)
    powers = jnp.array([0.5, 1.0, 2.0])

    def episode(start: jax.Array, power: jax.Array, reset: Any, step: Any, scan: Any) -> Any:
        params = dataclasses.replace(PARAMETERS, ap_power=power)

        def one_frame(state: environment.EnvState, key: jax.Array) -> Any:
            action = jnp.full((N, 4), 0.5)
            allocation = environment.allocation_from_action(
                "feasible", params, state.observed_workload, action
            )
            reached, result = step(key, state, jnp.zeros_like(state.beams), allocation, params)
            return reached, result.outcome

        return scan(one_frame, reset(start, params), keys)[1]

    def loop(one_frame: Any, state: environment.EnvState, keys: jax.Array) -> Any:
        outcomes = []
        for key in keys:
            state, outcome = one_frame(state, key)
            outcomes.append(outcome)
        return state, jax.tree.map(lambda *leaves: jnp.stack(leaves), *outcomes)

    def swept(start: jax.Array, power: jax.Array) -> Any:
        return episode(start, power, environment.reset, environment.step, jax.lax.scan)

    of_seeds = jax.vmap(swept, (0, None))
    outcome = jax.jit(jax.vmap(of_seeds, (None, 0)))(starts, powers)
    assert outcome.success.shape == (3, 4, LENGTH, N)
    alone = episode(starts[2], powers[2], reset_of, step_of, loop)
    for name, value in vars(alone).items():
        np.testing.assert_allclose(getattr(outcome, name)[2, 2], value, rtol=1e-10, atol=1e-14, err_msg=name)
    # The first frame harvests in proportion to the power.
    np.testing.assert_allclose(outcome.harvested[2, :, 0], 4 * outcome.harvested[0, :, 0], rtol=1e-10)


def test_single_precision_stays_single() -> None:
    last, (result, _, _) = rollout_of(jax.random.key(0), single(PARAMETERS), 2 * LENGTH)
    kinds = {leaf.dtype.name for leaf in jax.tree.leaves((last, result))}
    assert kinds == {"float32", "complex64", "int32", "bool"}


def test_step_scales_beams_and_reads_zero_as_maximum_ratio() -> None:
    state = reset_of(jax.random.key(0), PARAMETERS)
    beams = jnp.zeros((N, M), complex).at[0, 1].set(5j)
    zero = jnp.zeros(N)
    idle = Allocation(
        t_active=zero, t_passive=zero, t_local=zero, l_active=zero, l_passive=zero, l_local=zero
    )
    reached, _ = step_of(jax.random.key(1), state, beams, idle, PARAMETERS)
    seen = np.asarray(state.observed_channels)
    np.testing.assert_allclose(reached.beams[0], [0, 1j, 0], atol=1e-12)
    np.testing.assert_allclose(reached.beams[1], seen[1] / np.linalg.norm(seen[1]), rtol=1e-12)
    np.testing.assert_allclose(
        environment.own_beam_share(state.observed_channels, reached.beams)[1:], 1, rtol=1e-12
    )


def test_shares_trim_local_work_to_what_is_needed() -> None:
    five = jnp.full(N, 5.0)
    allocation = Allocation(
        t_active=five, t_passive=five, t_local=five, l_active=five, l_passive=2 * five, l_local=9 * five
    )
    served = jnp.array([True, False, True])
    shares = environment.work_shares(jnp.full(N, 20.0), allocation, served)
    np.testing.assert_allclose(shares, [0.25, 0.5, 0.25])
    np.testing.assert_array_equal(environment.work_shares(five, allocation, ~served & served), 0)
