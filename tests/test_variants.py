"""Variants of the task: what the agents see, do and are paid, the same in every shell."""

import dataclasses
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from scattermec.environment import AP_ALONE, FlatOffloading, beams_from_prices, reset
from scattermec.environment.gymnasium_env import OffloadingEnv
from scattermec.environment.pettingzoo_env import parallel_env
from scattermec.optimisation import estimate_allocation
from scattermec.physics import Allocation, Frame, parameters_of, run_frame
from scattermec.physics.frame import shares_met
from scattermec.physics.rewards import partial_reward
from scattermec.scenario import Scenario

SCENARIO = Scenario(arrivals="constant", csi_error=0.1, reliability_weight=2.0)
PARAMETERS = parameters_of(SCENARIO)
N, M = 3, 3


@jax.jit
def answered(state: Any, prices: jax.Array) -> Any:
    """(11) of the beams of some prices and the allocation that P1 finds for what the AP sees."""
    seen = Frame(
        channels=state.observed_channels, workload=state.observed_workload, battery=state.frame.battery
    )
    beams = beams_from_prices(seen.channels, prices)
    allocation = estimate_allocation(PARAMETERS, seen, beams).allocation
    return run_frame(PARAMETERS, state.frame, beams, allocation)


def played(state: Any, prices: np.ndarray) -> Any:
    return answered(state, jnp.asarray(prices, float).reshape(N, N))


@pytest.fixture(scope="module")
def prices() -> np.ndarray:
    return np.random.default_rng(0).random(N * N, np.float32)


def test_where_the_ap_acts_alone_problem_10_answers(prices: np.ndarray) -> None:
    single = gymnasium.make("scattermec/AccessPoint-v0", scenario=SCENARIO).unwrapped
    check_env(single, skip_render_check=True)
    together = parallel_env(scenario=SCENARIO, **AP_ALONE)
    single.reset(seed=1)
    together.reset(seed=1)
    assert together.possible_agents == ["ap"]
    outcome = played(single.state, prices)
    assert outcome.success.any()
    _, reward, *_, info = single.step(prices)
    np.testing.assert_array_equal(info["success"], outcome.success)
    assert reward == pytest.approx(0.01 * float(outcome.ap_reward), rel=1e-6)
    _, rewards, *_ = together.step({"ap": prices})
    assert rewards == {"ap": reward}


def test_users_that_correct_nothing_follow_the_estimate(prices: np.ndarray) -> None:
    settings = {"ap_action": "prices", "action_form": "correction"}
    single, together = OffloadingEnv(SCENARIO, **settings), parallel_env(scenario=SCENARIO, **settings)
    assert single.action_space.shape == (N * N + 2 * N,)
    single.reset(seed=1)
    together.reset(seed=1)
    outcome = played(single.state, prices)
    _, reward, *_, info = single.step(np.append(prices, np.zeros(2 * N)))
    np.testing.assert_array_equal(info["success"], outcome.success)
    assert reward == pytest.approx(float(outcome.ap_reward), rel=3e-3)
    users = {f"user_{i}": np.zeros(2) for i in range(N)}
    assert together.step({"ap": prices, **users})[1]["ap"] == reward


def test_a_phase_reference_makes_each_users_first_channel_real_and_nothing_else(prices: np.ndarray) -> None:
    turned, as_is = (OffloadingEnv(SCENARIO, phase_reference=choice) for choice in (True, False))
    one, _ = turned.reset(seed=2)
    other, _ = as_is.reset(seed=2)
    np.testing.assert_array_equal(one[: 2 * N], other[: 2 * N])
    channels = [
        seen[2 * N : 2 * N + N * M].reshape(N, M) + 1j * seen[2 * N + N * M :].reshape(N, M)
        for seen in (one, other)
    ]
    np.testing.assert_allclose(channels[0][:, 0].imag, 0, atol=1e-6)
    assert (channels[0][:, 0].real > 0).all()
    for i in range(N):
        products = [np.outer(h[i], h[i].conj()) for h in channels]
        np.testing.assert_allclose(*products, rtol=1e-5, atol=1e-6)


def test_shares_met_are_ratios_of_what_there_is_to_what_is_needed() -> None:
    p = dataclasses.replace(PARAMETERS, local_rate=jnp.full(N, 50.0), local_energy=jnp.full(N, 0.01))
    battery = jnp.array([0.4, 0.1, 0.4])
    frame = Frame(channels=jnp.full((N, M), 0.02 + 0j), workload=jnp.full(N, 40.0), battery=battery)
    zero = jnp.zeros(N)
    # All compute: the first as it should, the second with a quarter of the energy, the third half of its
    # work, in a quarter of the time that this takes.
    work = jnp.array([40.0, 40.0, 20.0])
    time = jnp.array([0.8, 0.8, 0.1])
    allocation = Allocation(
        t_active=zero, t_passive=zero, t_local=time, l_active=zero, l_passive=zero, l_local=work
    )
    beams = jnp.full((N, M), M**-0.5 + 0j)

    @jax.jit
    def judged(allocation: Allocation) -> Any:
        outcome = run_frame(p, frame, beams, allocation)
        met = shares_met(p, frame, beams, allocation, outcome)
        return met, partial_reward(p, frame.workload, met, outcome.ap_energy)

    met, reward = judged(allocation)
    np.testing.assert_allclose(met, [1, 0.25, 0.5 * 0.25], rtol=1e-6)
    idle = float(p.idle_power * np.sum(p.slot_duration))
    assert float(reward) == pytest.approx((1.375 / 3) ** 2 * 40 * 1.375 / idle)
    # An infinite demand, for work in no time, is not met at all.
    met, reward = judged(dataclasses.replace(allocation, l_active=jnp.ones(N)))
    np.testing.assert_array_equal(met, 0)
    assert float(reward) == 0


def test_partial_reward_is_that_of_the_frame_where_all_succeed_and_denser_where_not() -> None:
    # As cheap to compute as it may be, so that some random actions serve everyone.
    parameters = parameters_of(SCENARIO.replace(mean_workload=4.0, initial_battery=0.5))
    flat = FlatOffloading(parameters=parameters)
    keys = jax.random.split(jax.random.key(0), 64)

    @jax.jit
    @jax.vmap
    def rewards(key: jax.Array) -> Any:
        state = reset(key, parameters)
        decision = flat.decide_jointly(state, jax.random.uniform(key, flat.action_shape))
        outcome = run_frame(parameters, state.frame, decision.beams, decision.allocation)
        dense = dataclasses.replace(flat, reward="partial", reward_scale=0.5)
        return (
            outcome.success,
            flat.ap_reward(state, decision, outcome),
            dense.ap_reward(state, decision, outcome),
        )

    success, usual, dense = map(np.asarray, rewards(keys))
    everyone = success.all(axis=1)
    assert 0 < everyone.sum() < len(keys)
    np.testing.assert_allclose(dense[everyone], 0.5 * usual[everyone], rtol=1e-12)
    assert (dense[~everyone] > 0.5 * usual[~everyone]).mean() > 0.9
    assert (dense > 0).all()


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"users": "none"}, "users: 'none' is not allowed; it must be one of act, estimate"),
        ({"ap_action": 3}, "ap_action: 3 is not allowed; it must be one of beams, prices"),
        ({"reward": "dense"}, "reward: 'dense' is not allowed; it must be one of efficiency, partial"),
        ({"reward_scale": 0}, "reward_scale: 0 is not allowed; it must be a number > 0"),
        ({"margin": 1.0}, "margin: 1.0 is not allowed; it must be a number >= 0 and < 1"),
        ({"phase": True}, "phase: is no setting; choose from action_form, ap_action, users"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], fault: str) -> None:
    for make in (OffloadingEnv, parallel_env):
        with pytest.raises(ValueError, match=fault):
            make(scenario=SCENARIO, **settings)
