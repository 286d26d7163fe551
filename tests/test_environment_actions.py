"""Both forms of actions: ranges, round trips, and feasibility by construction."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bank import single
from scattermec.environment import (
    NUMBERS_PER_USER,
    STATED_FORMS,
    StatedForm,
    action_from_allocation,
    action_from_beams,
    allocation_from_action,
    ap_action_size,
    beams_from_action,
    beams_from_ap_action,
)
from scattermec.physics import Allocation, parameters_of
from scattermec.physics.frame import TOLERANCE
from scattermec.scenario import Scenario

N, M = 3, 2

PARAMETERS = parameters_of(
    Scenario(num_antennas=M, slot_duration=(0.5, 1.0, 2.0), local_rate=(50.0, 10.0, 0.0))
)

to_allocation = jax.jit(allocation_from_action, static_argnums=0)
to_action = jax.jit(action_from_allocation, static_argnums=0)
to_beams = jax.jit(partial(beams_from_action, num_users=N, num_antennas=M))

numbers = st.sampled_from([0.0, 0.5, 1.0, 1e-30]) | st.floats(0, 1, allow_subnormal=False)
# Work near the smallest number that exists falls below it when divided.
some_work = st.floats(0, 100).map(lambda x: x if x > 1e-30 else 0.0)
workloads = arrays(float, N, elements=st.sampled_from([0.0, 1.0, 3e5]) | some_work)


def rows(form: str) -> st.SearchStrategy[np.ndarray]:
    return arrays(float, (N, NUMBERS_PER_USER[form]), elements=numbers)


@given(arrays(float, 2 * N * M, elements=numbers))
def test_beams_are_unit_or_zero_and_round_trip(action: np.ndarray) -> None:
    beams = to_beams(jnp.asarray(action))
    norms = np.linalg.norm(beams, axis=1)
    zero = np.all(2 * action.reshape(2, N, M) - 1 == 0, axis=(0, 2))
    np.testing.assert_allclose(norms, np.where(zero, 0, 1), rtol=1e-12)
    again = to_beams(action_from_beams(beams))
    np.testing.assert_allclose(again, beams, atol=1e-12)


def test_beam_numbers_are_real_parts_then_imaginary_parts() -> None:
    action = np.full(2 * N * M, 0.5)
    action[[1, M, N * M + M, 2 * N * M - 1]] = 1
    beams = to_beams(jnp.asarray(action))
    np.testing.assert_allclose(beams, [[0, 1], [(1 + 1j) / np.sqrt(2), 0], [0, 1j]], atol=1e-12)


def random_channels() -> np.ndarray:
    rng = np.random.default_rng(7)
    return rng.normal(size=(N, M)) + 1j * rng.normal(size=(N, M))


def test_a_slots_beam_maximises_its_priced_gain_over_all_beams() -> None:
    channels, rng = random_channels(), np.random.default_rng(8)
    prices = rng.uniform(size=(N, N))
    beams = np.asarray(beams_from_ap_action("prices", jnp.array(channels), jnp.array(prices.ravel())))
    assert prices.size == ap_action_size(N, M, "prices")
    tried = rng.normal(size=(2000, M)) + 1j * rng.normal(size=(2000, M))
    tried /= np.linalg.norm(tried, axis=1, keepdims=True)
    for slot in range(N):
        best = prices[slot] @ np.abs(channels.conj() @ beams[slot]) ** 2
        assert np.linalg.norm(beams[slot]) == pytest.approx(1)
        assert best >= np.max(prices[slot] @ np.abs(channels.conj() @ tried.T) ** 2)


def test_the_price_of_one_user_alone_is_maximum_ratio_transmission() -> None:
    channels = random_channels()
    beams = np.asarray(beams_from_ap_action("prices", jnp.array(channels), jnp.eye(N).ravel()))
    gains = np.abs(np.sum(channels.conj() * beams, axis=1)) ** 2
    np.testing.assert_allclose(gains, np.linalg.norm(channels, axis=1) ** 2, rtol=1e-9)


def test_log_prices_are_prices_of_unit_channels() -> None:
    rng = np.random.default_rng(5)
    channels, numbers = random_channels(), rng.uniform(size=(N, N))
    beams = np.asarray(beams_from_ap_action("log_prices", jnp.array(channels), jnp.array(numbers.ravel())))
    assert numbers.size == ap_action_size(N, M, "log_prices")
    # From 1/e^3 to e^3; over ||h||^2 they are prices of the channels themselves.
    prices = np.exp(6 * numbers - 3) / np.sum(np.abs(channels) ** 2, axis=1)
    expected = np.asarray(beams_from_ap_action("prices", jnp.array(channels), jnp.array(prices.ravel())))
    np.testing.assert_allclose(np.abs(np.sum(beams.conj() * expected, axis=1)), 1, rtol=1e-12)
    dead = beams_from_ap_action("log_prices", jnp.zeros((N, M), complex), jnp.array(numbers.ravel()))
    assert np.isfinite(dead).all()


def test_beams_of_no_prices_are_finite() -> None:
    beams = beams_from_ap_action("prices", jnp.array(random_channels()), jnp.zeros(N * N))
    assert np.isfinite(np.asarray(beams)).all()


def test_gradient_of_the_zero_beam_is_finite() -> None:
    gradient = jax.grad(lambda a: jnp.sum(jnp.real(to_beams(a))))(jnp.full(2 * N * M, 0.5))
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("form", STATED_FORMS)
@given(data=st.data(), workload=workloads)
@settings(max_examples=60)
def test_allocation_survives_the_round_trip(
    form: StatedForm, data: st.DataObject, workload: np.ndarray
) -> None:
    action, work = jnp.asarray(data.draw(rows(form))), jnp.asarray(workload)
    allocation = to_allocation(form, PARAMETERS, work, action)
    back = to_action(form, PARAMETERS, work, allocation)
    assert np.all((back >= 0) & (back <= 1))
    again = to_allocation(form, PARAMETERS, work, back)
    for name, value in vars(allocation).items():
        scale = 2.0 if name.startswith("t_") else workload
        np.testing.assert_array_less(abs(getattr(again, name) - value), 1e-12 * scale + 1e-20, err_msg=name)


@pytest.mark.parametrize("form", STATED_FORMS)
def test_generic_action_survives_the_round_trip(form: StatedForm) -> None:
    rng = np.random.default_rng(0)
    params = dataclasses.replace(PARAMETERS, local_rate=jnp.array([50.0, 10.0, 30.0]))
    work = jnp.array([20.0, 40.0, 80.0])
    action = jnp.asarray(rng.uniform(0.01, 0.99, (N, NUMBERS_PER_USER[form])))
    allocation = to_allocation(form, params, work, action)
    np.testing.assert_allclose(to_action(form, params, work, allocation), action, rtol=1e-10)


def test_paper_form_scales_slot_and_workload() -> None:
    work = jnp.array([10.0, 20.0, 0.0])
    allocation = to_allocation("paper", PARAMETERS, work, jnp.full((N, 6), 0.25))
    for name, value in vars(allocation).items():
        whole = PARAMETERS.slot_duration if name.startswith("t_") else work
        np.testing.assert_allclose(value, 0.25 * whole, err_msg=name)


def test_an_allocation_beyond_the_limits_is_clipped() -> None:
    ten = jnp.full(N, 10.0)
    wild = Allocation(t_active=ten, t_passive=ten, t_local=ten, l_active=ten, l_passive=ten, l_local=ten)
    for form in STATED_FORMS:
        action = to_action(form, PARAMETERS, jnp.ones(N), wild)
        assert np.all((action >= 0) & (action <= 1))


@given(rows("feasible"), workloads)
@settings(max_examples=200)
def test_feasible_form_meets_slot_and_workload_in_single_precision(
    action: np.ndarray, workload: np.ndarray
) -> None:
    p = single(PARAMETERS)
    work = jnp.asarray(workload, jnp.float32)
    a = to_allocation("feasible", p, work, jnp.asarray(action, jnp.float32))
    assert all(part.dtype == jnp.float32 for part in vars(a).values())
    limit = 1 + TOLERANCE
    assert np.all(a.t_active + a.t_passive <= p.slot_duration * limit)
    assert np.all(a.t_local <= p.slot_duration * limit)
    assert np.all(a.l_local <= p.local_rate * a.t_local * limit + 1e-37)
    assert np.all(work <= (a.l_active + a.l_passive + a.l_local) * limit)
    assert all(np.all(part >= 0) for part in vars(a).values())


@pytest.mark.parametrize("form", STATED_FORMS)
def test_form_is_differentiable_at_its_corners(form: StatedForm) -> None:
    for corner in (0.0, 1.0):

        def total(action: jax.Array) -> jax.Array:
            allocation = allocation_from_action(form, PARAMETERS, jnp.array([0.0, 40.0, 40.0]), action)
            return sum(jnp.sum(part) for part in vars(allocation).values())

        gradient = jax.grad(total)(jnp.full((N, NUMBERS_PER_USER[form]), corner))
        assert np.isfinite(gradient).all()
