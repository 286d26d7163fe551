"""Properties of one frame that hold whatever the numbers: balances, invariances, limits, gradients."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bank import single
from scattermec.physics import (
    Allocation,
    Frame,
    Outcome,
    Parameters,
    links,
    parameters_of,
    rewards,
    run_frame,
)
from scattermec.physics import energy as energies
from scattermec.scenario import Scenario

N, M = 3, 2

VARIANTS = [
    parameters_of(
        Scenario(num_antennas=M, harvest_model=model, causal_harvest=causal, residual_interference=rest)
    )
    for model, causal, rest in (("linear", False, 0.0), ("sigmoidal", True, 1e-10))
]
PARAMETERS = VARIANTS[0]

play = jax.jit(run_frame)
play_batch = jax.jit(jax.vmap(run_frame, (None, 0, 0, 0)))


class Case(NamedTuple):
    """Arguments of `run_frame`."""

    parameters: Parameters
    frame: Frame
    beams: jax.Array
    allocation: Allocation


def of(low: float, high: float) -> st.SearchStrategy[float]:
    # Numbers near the smallest that exist fall below it when scaled.
    values = st.floats(low, high, allow_subnormal=False).map(lambda x: x if abs(x) > 1e-100 else 0.0)
    return st.sampled_from([float(low), float(high)]) | values


@st.composite
def cases(draw: Any) -> Case:
    """Frames of all sorts: edges of every range, zero beams, overfull schedules."""
    params = draw(st.sampled_from(VARIANTS))
    parts = draw(arrays(float, (2, N, M), elements=of(-2, 2)))
    parts[0, :, 0] = np.where(abs(parts[0, :, 0]) < 0.1, 0.1, parts[0, :, 0])  # no channel is zero
    channels = np.asarray(params.path_gain)[:, None] * (parts[0] + 1j * parts[1])
    beams = draw(arrays(float, (2, N, M), elements=of(-1, 1)))
    workload = draw(arrays(float, N, elements=of(0, 100)))
    battery = draw(arrays(float, N, elements=of(0, 1)))
    times = draw(arrays(float, (3, N), elements=of(0, 1)))
    work = draw(arrays(float, (3, N), elements=of(0, 1))) * workload
    return Case(
        params,
        Frame(channels=jnp.asarray(channels), workload=jnp.asarray(workload), battery=jnp.asarray(battery)),
        jnp.asarray(beams[0] + 1j * beams[1]),
        allocation_of(*times, *work),
    )


def allocation_of(*rows: Any) -> Allocation:
    names = [field.name for field in dataclasses.fields(Allocation)]
    return Allocation(**dict(zip(names, map(jnp.asarray, rows), strict=True)))


def random_cases(count: int) -> Case:
    """A batch of ordinary frames in which users both succeed and fail."""
    rng = np.random.default_rng(0)
    parts = rng.standard_normal((2, count, N, M)) / np.sqrt(2)
    channels = np.asarray(PARAMETERS.path_gain)[:, None] * (parts[0] + 1j * parts[1])
    workload = rng.uniform(0, 20, (count, N))
    used = rng.uniform(0.5, 1, (count, N))
    active = rng.uniform(0, 0.5, (count, N))
    share = rng.dirichlet((1, 2, 4), (count, N)) * workload[..., None]
    beams = rng.standard_normal((2, count, N, M))
    local = share[..., 2] / 50 * 1.01
    return Case(
        PARAMETERS,
        Frame(
            channels=jnp.asarray(channels),
            workload=jnp.asarray(workload),
            battery=jnp.asarray(rng.uniform(0, 0.1, (count, N))),
        ),
        jnp.asarray(beams[0] + 1j * beams[1]),
        allocation_of(used * active, used * (1 - active), local, *np.moveaxis(share * 1.01, -1, 0)),
    )


def assert_equal_outcomes(left: Outcome, right: Outcome, **factors: float) -> None:
    """Outcomes are the same up to rounding, the named fields up to a factor."""
    for name, value in vars(left).items():
        wanted = np.asarray(getattr(right, name)) * factors.get(name, 1)
        np.testing.assert_allclose(value, wanted, rtol=1e-9, atol=1e-12 * factors.get(name, 1), err_msg=name)


def scaled(thing: Any, factor: float, *names: str) -> Any:
    return dataclasses.replace(thing, **{name: getattr(thing, name) * factor for name in names})


@given(cases())
def test_energy_is_conserved(case: Case) -> None:
    out = play(*case)
    change = np.asarray(out.battery) - np.asarray(case.frame.battery)
    np.testing.assert_allclose(change, out.harvested - out.spent - out.overflow, atol=1e-12)
    assert np.all(out.spent <= out.budget)
    assert np.all(out.spent <= out.demand)
    assert np.all(out.budget <= case.parameters.battery_capacity)
    assert np.all((out.battery >= -1e-15) & (out.battery <= case.parameters.battery_capacity))
    assert np.all(out.overflow >= 0)


@given(cases())
def test_outcome_and_rewards_are_sensible(case: Case) -> None:
    out = play(*case)
    for name, value in vars(out).items():
        assert not np.isnan(value).any(), name
        assert np.all(np.asarray(value) >= -1e-15), name
        assert np.isfinite(value).all() or name in ("transmit_power", "demand"), name
    efficiency = rewards.energy_efficiency(case.frame.workload, out.success, out.ap_energy)
    assert out.ap_reward <= efficiency
    assert np.all(out.user_reward <= out.success)
    assert np.all(out.backlog[~out.success] == np.minimum(case.frame.workload, 80)[~out.success])
    assert np.all(out.backlog[out.success] == 0)
    assert out.ap_energy >= energies.idle_energy(case.parameters)


@given(cases(), arrays(float, N, elements=of(0, 1)))
def test_less_work_never_causes_an_outage(case: Case, part: np.ndarray) -> None:
    less = dataclasses.replace(case.frame, workload=case.frame.workload * part)
    served, more_served = play(*case).success, play(*case._replace(frame=less)).success
    assert np.all(more_served >= served)


@given(cases(), arrays(float, N, elements=of(0, 1)))
def test_more_battery_never_causes_an_outage(case: Case, extra: np.ndarray) -> None:
    more = dataclasses.replace(case.frame, battery=jnp.minimum(case.frame.battery + extra, 1))
    assert np.all(play(*case._replace(frame=more)).success >= play(*case).success)


def test_both_outcomes_are_common_among_the_random_frames() -> None:
    case = random_cases(300)
    success = play_batch(*case).success
    assert 0.1 < np.mean(success) < 0.9


# --- Invariances ---


@given(cases(), arrays(float, (2, N), elements=of(0, 6)))
def test_phases_of_channels_and_beams_do_not_matter(case: Case, phases: np.ndarray) -> None:
    turn = np.exp(1j * phases)[:, :, None]
    frame = dataclasses.replace(case.frame, channels=case.frame.channels * turn[0])
    # A zero beam follows the channel by itself.
    assert_equal_outcomes(play(case.parameters, frame, case.beams * turn[1], case.allocation), play(*case))


@given(cases(), st.floats(1e-3, 1e3))
def test_length_of_a_beam_does_not_matter(case: Case, factor: float) -> None:
    assert_equal_outcomes(play(*case._replace(beams=case.beams * factor)), play(*case))


POWERS = (
    "ap_power",
    "noise_power",
    "circuit_power",
    "active_receive_power",
    "passive_receive_power",
    "idle_power",
    "rectifier_saturation",
    "rectifier_turn_on",
)

# Powers of two, so that no rounding moves a schedule across a limit.
factors = st.sampled_from([2.0**-4, 0.5, 4.0, 2.0**7])


@given(cases(), factors)
def test_unit_of_time_does_not_matter(case: Case, c: float) -> None:
    params = scaled(case.parameters, c, "slot_duration", "rectifier_steepness")
    params = scaled(params, 1 / c, "bandwidth", "local_rate", *POWERS)
    allocation = scaled(case.allocation, c, "t_active", "t_passive", "t_local")
    out = play(params, case.frame, case.beams, allocation)
    assert_equal_outcomes(out, play(*case), transmit_power=1 / c)


@given(cases(), factors)
def test_unit_of_energy_does_not_matter(case: Case, c: float) -> None:
    params = scaled(case.parameters, c, "local_energy", "battery_capacity", "mec_energy", *POWERS)
    params = scaled(params, 1 / c, "rectifier_steepness")
    out = play(params, scaled(case.frame, c, "battery"), case.beams, case.allocation)
    stored = ("ap_energy", "harvested", "demand", "budget", "spent", "overflow", "battery", "transmit_power")
    assert_equal_outcomes(out, play(*case), ap_reward=1 / c, **dict.fromkeys(stored, c))


@given(cases(), factors)
def test_unit_of_work_does_not_matter(case: Case, c: float) -> None:
    params = scaled(case.parameters, c, "bandwidth", "local_rate", "backlog_cap")
    params = scaled(params, 1 / c, "local_energy", "mec_energy")
    allocation = scaled(case.allocation, c, "l_active", "l_passive", "l_local")
    out = play(params, scaled(case.frame, c, "workload"), case.beams, allocation)
    assert_equal_outcomes(out, play(*case), ap_reward=c, backlog=c)


def test_order_of_users_does_not_matter() -> None:
    order = jnp.array([2, 0, 1])
    case = jax.tree.map(lambda leaf: leaf[0], random_cases(1)._replace(parameters=None))
    turned = jax.tree.map(lambda leaf: leaf[order], case)
    per_user = {f: getattr(PARAMETERS, f)[order] for f in ("slot_duration", "battery_capacity", "local_rate")}
    left = play(*turned._replace(parameters=dataclasses.replace(PARAMETERS, **per_user)))
    right = play(*case._replace(parameters=PARAMETERS))
    for name, value in vars(left).items():
        wanted = getattr(right, name)
        np.testing.assert_allclose(value, wanted[order] if wanted.ndim else wanted, rtol=1e-12, err_msg=name)


# --- Precision and edges ---


def test_single_precision_agrees_with_double() -> None:
    case = random_cases(300)
    double, half = play_batch(*case), play_batch(*single(case))
    assert np.mean(double.success != half.success) < 0.01
    for name in ("ap_energy", "transmit_power", "harvested", "demand", "budget", "spent", "battery"):
        wanted, value = getattr(double, name), getattr(half, name)
        assert value.dtype == jnp.float32
        within = wanted < 1e20  # beyond, single precision may say infinity
        assert np.all(value[~within] > 1e19)
        np.testing.assert_allclose(value[within], wanted[within], rtol=2e-4, atol=1e-6, err_msg=name)
    same = np.all(double.success == half.success, axis=1)
    np.testing.assert_allclose(half.ap_reward[same], double.ap_reward[same], rtol=1e-5)
    np.testing.assert_allclose(half.user_reward[same], double.user_reward[same], rtol=1e-4, atol=1e-6)


@given(cases(), st.sampled_from([0.0, 1e-30, 1e-12]))
@settings(max_examples=50)
def test_single_precision_is_never_nan(case: Case, tiny: float) -> None:
    short = scaled(case.allocation, tiny, "t_active", "t_passive")
    for allocation in (case.allocation, short):
        out = play(*single(case._replace(allocation=allocation)))
        assert not any(np.isnan(value).any() for value in vars(out).values())


def test_work_in_no_time_is_an_outage() -> None:
    zero, one = jnp.zeros(N), jnp.ones(N)
    case = jax.tree.map(lambda leaf: leaf[0], random_cases(1)._replace(parameters=None))
    frame = dataclasses.replace(case.frame, workload=one)
    out = play(PARAMETERS, frame, case.beams, allocation_of(zero, zero, zero, one, zero, zero))
    assert np.isinf(out.transmit_power).all()
    assert np.isinf(out.demand).all()
    assert not out.success.any()
    np.testing.assert_array_equal(out.spent, frame.battery)
    assert out.ap_reward == 0


def test_a_blocked_user_is_an_outage_and_no_more() -> None:
    case = jax.tree.map(lambda leaf: leaf[0], random_cases(1)._replace(parameters=None))
    channels = case.frame.channels.at[0].set(0)
    frame = dataclasses.replace(case.frame, channels=channels, workload=jnp.full(N, 1.0))
    some = jnp.full(N, 0.4)
    out = play(PARAMETERS, frame, jnp.zeros((N, M), complex), allocation_of(*[some] * 6))
    assert not any(np.isnan(value).any() for value in vars(out).values())
    assert not out.success[0]
    assert out.harvested[0] == 0
    assert np.all(out.harvested[1:] > 0)


def test_without_work_everyone_is_served_for_nothing() -> None:
    zero = jnp.zeros(N)
    case = jax.tree.map(lambda leaf: leaf[0], random_cases(1)._replace(parameters=None))
    frame = dataclasses.replace(case.frame, workload=zero)
    passive = jnp.full(N, 0.5)
    out = play(PARAMETERS, frame, case.beams, allocation_of(zero, passive, zero, zero, zero, zero))
    assert out.success.all()
    assert out.ap_reward == 0
    np.testing.assert_allclose(out.user_reward, 1 - 0.4 * 0.5)  # the ratio of (12) counts as 0


def test_without_idle_power_free_service_is_worth_infinitely_much() -> None:
    letter = dataclasses.replace(PARAMETERS, idle_power=jnp.asarray(0.0))
    zero, ten = jnp.zeros(N), jnp.full(N, 10.0)
    case = jax.tree.map(lambda leaf: leaf[0], random_cases(1)._replace(parameters=None))
    frame = dataclasses.replace(case.frame, workload=ten, battery=jnp.full(N, 0.5))
    local = allocation_of(zero, zero, jnp.ones(N), zero, zero, ten)
    assert play(letter, frame, case.beams, local).ap_reward == np.inf
    # The share served decides nothing once anyone is: a fraction of infinity.
    partly = dataclasses.replace(frame, battery=jnp.array([0.5, 0.0, 0.0]))
    assert play(letter, partly, case.beams, local).ap_reward == np.inf
    nobody = dataclasses.replace(frame, battery=zero)
    out = play(letter, nobody, case.beams, local)
    assert out.ap_energy == 0
    assert out.ap_reward == 0


@pytest.mark.parametrize("slack", [1e-9, 1e-3])
def test_limits_hold_to_their_tolerance(slack: float) -> None:
    zero, one = jnp.zeros(1), jnp.ones(1)
    params = parameters_of(Scenario(user_positions=((5.0, 5.0),), num_antennas=1))
    frame = Frame(channels=jnp.full((1, 1), 0.02 + 0j), workload=50 * one, battery=one)
    for over in ("t_local", "l_local"):
        exact = allocation_of(zero, zero, one, zero, zero, 50 * one)
        out = play(params, frame, jnp.zeros((1, 1), complex), scaled(exact, 1 + slack, over))
        longer_than_slot_or_rate = slack > 1e-6
        assert bool(out.success[0]) is not longer_than_slot_or_rate


# --- Equations by hand ---


def test_rates_by_hand() -> None:
    one = jnp.ones(1)
    # (4): 1 mW over 1000 sigma2 / ||h||^2 = 1/3 mW is a signal-to-noise ratio of 3, two bits per hertz.
    gain = 3e-6 * one
    np.testing.assert_allclose(links.active_rate(PARAMETERS, gain, one), 16.0)
    np.testing.assert_allclose(links.active_power(PARAMETERS, gain, 16 * one, one), 1.0)
    # (6): 1 W * 0.01 * 2e-3 * 7.5e-4 / 1e-9 = 15, four bits per hertz.
    three = jnp.full(N, 1.0)
    np.testing.assert_allclose(links.passive_rate(PARAMETERS, 2e-3 * three, 7.5e-4 * three), 32.0)
    # Residual self-interference of 4e-9 of 1 W leaves a fifth of that ratio: 3.
    leaky = dataclasses.replace(PARAMETERS, residual_interference=jnp.asarray(4e-9))
    np.testing.assert_allclose(links.passive_rate(leaky, 2e-3 * three, 7.5e-4 * three), 16.0)


@given(of(1e-6, 1e-1), of(1e-3, 50), of(1e-3, 1))
def test_active_power_inverts_active_rate(gain: float, work: float, time: float) -> None:
    # At most a hundred bits per hertz, which needs 10^30 times the noise.
    gains, works, times = (jnp.array([x], float) for x in (gain, min(work, 800 * time), time))
    power = links.active_power(PARAMETERS, gains, works, times)
    np.testing.assert_allclose(links.active_rate(PARAMETERS, gains, power) * times, works, rtol=1e-9)


def test_rectifier_starts_at_zero_rises_and_saturates() -> None:
    sigmoidal = VARIANTS[1]
    power = jnp.linspace(0, 20, 2001)
    harvested = np.asarray(energies.rectified_power(sigmoidal, power))
    assert harvested[0] == 0
    assert np.all(np.diff(harvested) >= 0)
    assert np.all(np.diff(harvested)[:400] > 0)
    np.testing.assert_allclose(harvested[-1], sigmoidal.rectifier_saturation, rtol=1e-6)
    np.testing.assert_allclose(energies.rectified_power(PARAMETERS, power), 0.6 * power)


def test_causal_harvest_counts_for_the_budget_only_before_the_own_slot() -> None:
    case = jax.tree.map(lambda leaf: leaf[0], random_cases(1)._replace(parameters=None))
    causal = dataclasses.replace(PARAMETERS, causal_harvest=True)
    early, letter = play(*case._replace(parameters=causal)), play(*case._replace(parameters=PARAMETERS))
    np.testing.assert_array_equal(early.harvested, letter.harvested)
    np.testing.assert_allclose(early.budget[0], case.frame.battery[0])
    np.testing.assert_allclose(early.budget[-1], letter.budget[-1])


# --- Gradients ---


def smooth_outputs(case: Case) -> jax.Array:
    out = run_frame(*case)
    return jnp.stack([out.ap_energy, *out.harvested, *out.demand, *out.transmit_power])


@pytest.mark.parametrize("params", VARIANTS)
def test_derivatives_agree_with_differences(params: Parameters) -> None:
    base = jax.tree.map(lambda leaf: leaf[0], random_cases(1)._replace(parameters=None))
    rng = np.random.default_rng(1)
    direction = jax.tree.map(lambda leaf: leaf * rng.uniform(-1, 1, leaf.shape), base)

    @jax.jit
    def along(step: jax.Array) -> jax.Array:
        moved = jax.tree.map(lambda leaf, way: leaf + step * way, base, direction)
        power = dataclasses.replace(params, ap_power=params.ap_power * (1 + step))
        return smooth_outputs(moved._replace(parameters=power))

    derivative = jax.jit(jax.jacfwd(along))(0.0)
    difference = (along(1e-6) - along(-1e-6)) / 2e-6
    np.testing.assert_allclose(derivative, difference, rtol=1e-6, atol=1e-9)


def test_gradients_are_finite_at_idle_and_empty_users() -> None:
    zero = jnp.zeros(N)
    case = jax.tree.map(lambda leaf: leaf[0], random_cases(1)._replace(parameters=None))
    idle = allocation_of(zero, zero, zero, zero, zero, zero)

    def total(frame: Frame, allocation: Allocation, params: Parameters, beams: jax.Array) -> jax.Array:
        out = run_frame(params, frame, beams + 0j, allocation)
        return sum(jnp.sum(value) for name, value in vars(out).items() if name not in ("success", "backlog"))

    empty = dataclasses.replace(case.frame, workload=zero)
    gradients = jax.jit(jax.grad(total, argnums=(0, 1, 2, 3)))(empty, idle, PARAMETERS, jnp.zeros((N, M)))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


def test_a_user_without_a_path_can_only_compute():
    p = parameters_of(Scenario())
    frame = Frame(
        channels=jnp.full((3, 3), 1e-3 + 0j).at[1].set(0),
        workload=jnp.array([0.0, 10.0, 0.0]),
        battery=jnp.full(3, 0.1),
    )
    zero = jnp.zeros(3)
    work = jnp.array([0.0, 10.0, 0.0])
    beams = jnp.zeros((3, 3), complex)
    for name, served in {"local": True, "active": False, "passive": False}.items():
        times = {f"t_{mode}": zero for mode in ("active", "passive", "local")} | {f"t_{name}": zero + 1}
        parts = {f"l_{mode}": zero for mode in ("active", "passive", "local")} | {f"l_{name}": work}
        outcome = run_frame(p, frame, beams, Allocation(**times, **parts))
        assert bool(outcome.success[1]) == served
        assert not any(np.isnan(leaf).any() for leaf in jax.tree.leaves(outcome))
        if name == "active":
            assert np.isinf(outcome.transmit_power[1])
