"""What energy left in a battery is worth: P1 and P2 with that in the objective, and how it is learned."""

import dataclasses
import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bank import COUNT, SOLVERS, assert_slope, random_frames, single, solving_with
from command_line import refused, run
from reference_allocation import OPTIMAL as REFERENCE_OPTIMAL
from reference_allocation import UNDECIDED, ReferenceSolver, data_of
from scattermec import Scenario
from scattermec.errors import InputError
from scattermec.optimisation import (
    INFEASIBLE,
    OPTIMAL,
    BatteryValue,
    Solution,
    allocate,
    allocate_frames,
    optimise_beams,
)
from scattermec.optimisation.battery_value import slopes_at, worth
from scattermec.optimisation.standard_form import planes_of_value
from scattermec.physics import Frame, parameters_of, run_frame
from scattermec.physics.links import unit_vectors
from scattermec.price_net import battery, load, training
from scattermec.price_net.modes import MODES
from scattermec.price_net.training import PriceNetConfig

SCENARIO = Scenario()
PARAMETERS = parameters_of(SCENARIO)
PARTS = 5


FRAMES = random_frames(SCENARIO, COUNT, battery=(0, 1))
BEAMS = FRAMES.channels / jnp.linalg.norm(FRAMES.channels, axis=-1, keepdims=True)
SLOPES = jnp.asarray(-np.sort(-np.random.default_rng(8).uniform(0, 3, (COUNT, 3, PARTS)), axis=-1))
"""Falling, from 3 to 0 J/mJ."""


@partial(jax.jit, static_argnames="elastic")
def allocated(frames: Frame, beams: jax.Array, slopes: jax.Array | None, *, elastic: bool) -> Solution:
    def solve(frame: Frame, beams: jax.Array, slopes: jax.Array | None) -> Solution:
        value = None if slopes is None else BatteryValue(slopes=slopes)
        return allocate(PARAMETERS, frame, beams, elastic=elastic, battery_value=value)

    return jax.vmap(solve)(frames, beams, slopes)


# The problems


@pytest.mark.parametrize("elastic", [False, True])
def test_p1_with_a_battery_value_agrees_with_a_conic_solver(elastic: bool) -> None:
    found = allocated(FRAMES, BEAMS, SLOPES, elastic=elastic)
    reference, compared = ReferenceSolver(3, elastic=elastic, parts=PARTS), 0
    for k in range(COUNT):
        frame = FRAMES.channels, FRAMES.workload, FRAMES.battery, BEAMS
        data = data_of(SCENARIO, *(np.asarray(part[k]) for part in frame))
        verdict, value = reference.solve(data, slopes=np.asarray(SLOPES[k]))
        if verdict == UNDECIDED:
            continue
        assert int(found.status[k]) == (OPTIMAL if verdict == REFERENCE_OPTIMAL else INFEASIBLE)
        if verdict == REFERENCE_OPTIMAL:
            compared += 1
            assert float(found.value[k]) == pytest.approx(value, abs=1e-7)
            assert float(found.lower_bound[k]) == pytest.approx(value, abs=1e-7)
    assert compared > COUNT / 2


UNUSUAL = {
    "worthless": np.zeros((3, 8)),
    "linear": np.full((3, 8), 0.5),
    "one kink": np.full((3, 8), [1.0] * 4 + [0.0] * 4),
    "far apart": np.repeat([[900.0, 30.0], [2.0, 1.0], [1e-6, 1e-7]], 4, axis=1),
}
"""Slopes (J/mJ) of three users' batteries in eight parts."""


@pytest.mark.parametrize("solver", SOLVERS)
def test_unusual_battery_values_get_the_conic_solvers_answer(solver: str) -> None:
    count = 12
    frames, beams = jax.tree.map(lambda leaf: leaf[:count], (FRAMES, BEAMS))

    @jax.jit
    @jax.vmap
    def solve(frame: Frame, beams: jax.Array, slopes: jax.Array) -> Solution:
        return allocate(PARAMETERS, frame, beams, battery_value=BatteryValue(slopes=slopes))

    reference, compared = ReferenceSolver(3, parts=8), 0
    for slopes in UNUSUAL.values():
        with solving_with(solver):
            found = solve(frames, beams, jnp.broadcast_to(slopes, (count, *slopes.shape)))
        for k in range(count):
            frame = frames.channels, frames.workload, frames.battery, beams
            data = data_of(SCENARIO, *(np.asarray(part[k]) for part in frame))
            verdict, least = reference.solve(data, slopes=slopes)
            if verdict == UNDECIDED:
                continue
            assert int(found.status[k]) == (OPTIMAL if verdict == REFERENCE_OPTIMAL else INFEASIBLE)
            if verdict == REFERENCE_OPTIMAL:
                compared += 1
                assert float(found.value[k]) == pytest.approx(least, rel=1e-6, abs=1e-7)
    assert compared > 2 * count


def test_a_frame_with_battery_values_does_not_depend_on_those_before_it() -> None:
    """Not even on numbers that are none: nothing of a frame stays behind in the solver."""
    frames, beams, slopes = jax.tree.map(lambda leaf: leaf[:24], (FRAMES, BEAMS, SLOPES))
    expected = allocated(frames, beams, slopes, elastic=False)
    poisoned = allocated(frames, beams, slopes.at[:8].set(jnp.nan), elastic=False)
    np.testing.assert_array_equal(poisoned.value[8:], expected.value[8:])
    assert set(np.asarray(poisoned.status[8:]).tolist()) <= {OPTIMAL, INFEASIBLE}
    assert not np.isfinite(poisoned.value[:8]).any()


@settings(max_examples=50)
@given(
    arrays(float, (2, 6), elements=st.floats(0, 50)),
    arrays(float, 2, elements=st.floats(0.01, 5)),
    arrays(float, 2, elements=st.floats(0.1, 20)),
    arrays(float, 2, elements=st.floats(0.1, 10)),
    st.floats(0, 1),
)
def test_the_least_plane_is_the_value(
    slopes: np.ndarray, size: np.ndarray, capacity: np.ndarray, scale: np.ndarray, share: float
) -> None:
    slopes = -np.sort(-slopes, axis=-1)
    planes = planes_of_value(*map(jnp.asarray, (slopes, scale, size, capacity)))
    kept = share * 6 * size
    parts = np.clip(kept[:, None] - size[:, None] * np.arange(6), 0, size[:, None])
    least = np.min(np.asarray(planes.constant + planes.slope * kept[:, None]), axis=-1)
    np.testing.assert_allclose(
        np.asarray(planes.unit) * (least - 1), scale * (slopes * parts).sum(-1), rtol=1e-9, atol=1e-9
    )


def test_allocate_frames_takes_a_value_too() -> None:
    value = BatteryValue(slopes=SLOPES[0])
    found = allocate_frames(PARAMETERS, FRAMES, BEAMS, battery_value=value)
    expected = allocated(FRAMES, BEAMS, jnp.broadcast_to(SLOPES[0], SLOPES.shape), elastic=False)
    assert (np.asarray(found.status) == OPTIMAL).any()
    np.testing.assert_array_equal(found.status, expected.status)
    np.testing.assert_allclose(found.value, expected.value, rtol=1e-6)
    with pytest.raises(ValueError, match="serve: 'best' is not possible with a battery_value; choose all"):
        allocate_frames(PARAMETERS, FRAMES, BEAMS, serve="best", battery_value=value)


def test_the_kernel_solves_values_in_single_precision_as_in_double() -> None:
    by_kernel = jax.jit(
        jax.vmap(lambda p, *data: allocate(p, *data[:2], battery_value=data[2]), in_axes=(None, 0, 0, 0))
    )
    data = (PARAMETERS, FRAMES, BEAMS, BatteryValue(slopes=SLOPES))
    with solving_with("kernel"):
        exact, found = by_kernel(*data), by_kernel(*map(single, data))
    assert found.value.dtype == jnp.float32
    both = (np.asarray(found.status) == OPTIMAL) & (np.asarray(exact.status) == OPTIMAL)
    assert both.sum() > COUNT / 2
    np.testing.assert_allclose(found.value[both], exact.value[both], rtol=6e-3, atol=6e-3)
    # A gap that rounded data could not close would take all attempts.
    assert np.asarray(found.iterations)[both].max() <= np.asarray(exact.iterations)[both].max() + 5


def test_worthless_batteries_change_nothing() -> None:
    plain = allocated(FRAMES, BEAMS, None, elastic=True)
    worthless = allocated(FRAMES, BEAMS, 0 * SLOPES, elastic=True)
    np.testing.assert_allclose(worthless.value, plain.value, rtol=1e-6)


def test_value_is_energy_and_shortfall_less_what_the_frame_leaves_in_the_batteries() -> None:
    found = allocated(FRAMES, BEAMS, SLOPES, elastic=False)
    solved = np.asarray(found.status) == OPTIMAL
    play = jax.jit(jax.vmap(run_frame, in_axes=(None, 0, 0, 0)))
    outcome = play(PARAMETERS, FRAMES, BEAMS, found.allocation)
    of_frame = jax.vmap(lambda slopes, left: worth(PARAMETERS, BatteryValue(slopes=slopes), left))
    left = of_frame(SLOPES, outcome.battery)
    expected = np.asarray(outcome.ap_energy - left.sum(axis=1))
    assert solved.sum() > COUNT / 2
    assert np.asarray(outcome.success)[solved].all()
    np.testing.assert_allclose(np.asarray(found.value)[solved], expected[solved], rtol=1e-5, atol=1e-6)
    assert (np.asarray(outcome.battery) <= np.asarray(PARAMETERS.battery_capacity) + 1e-9).all()


def test_price_of_energy_is_the_slope_with_respect_to_the_battery() -> None:
    """The value is convex in the battery, whatever its kinks: where a part of the battery begins, say."""
    step = 1e-5
    found = allocated(FRAMES, BEAMS, SLOPES, elastic=True)
    levels = [FRAMES.battery.at[:, 0].add(way * step) for way in (-1, 1)]
    shifted = [dataclasses.replace(FRAMES, battery=level) for level in levels]
    before, after = (allocated(frames, BEAMS, SLOPES, elastic=True).value for frames in shifted)
    price = np.asarray(found.prices.budget[:, 0])
    error = np.maximum(np.asarray(found.value - found.lower_bound), 1e-9)
    assert_slope(-price, before, found.value, after, step, error)
    assert np.mean((after - 2 * found.value + before) / step < 1e-3) > 0.9  # close, but at kinks
    assert np.ptp(price) > 0.5


def test_optimal_beams_with_a_battery_value_meet_their_bound_and_others_do_not_undercut_it() -> None:
    frames, slopes = jax.tree.map(lambda leaf: leaf[:16], (FRAMES, SLOPES))

    @jax.jit
    @jax.vmap
    def solve(frame: Frame, slopes: jax.Array) -> tuple[jax.Array, ...]:
        best = optimise_beams(PARAMETERS, frame, battery_value=BatteryValue(slopes=slopes))
        return best.status, best.solution.value, best.lower_bound, best.gap

    status, value, bound, gap = map(np.asarray, solve(frames, slopes))
    assert (status == OPTIMAL).sum() > 12
    assert (gap[status == OPTIMAL] < 1e-5).all()
    for seed in range(4):
        shape = jax.random.normal(jax.random.key(seed), (2, *frames.channels.shape))
        others = allocated(frames, jax.vmap(unit_vectors)(shape[0] + 1j * shape[1]), slopes, elastic=False)
        assert (np.asarray(others.value) >= bound - 1e-7).all()
    plain = allocated(frames, BEAMS[:16], slopes, elastic=False)
    better = np.asarray(plain.value) - value
    assert (better[status == OPTIMAL] > -1e-7).all()
    assert better[np.isfinite(better)].max() > 0.01


# The worth of a battery, and how it is learned


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3))
@settings(max_examples=30)
def test_worth_is_the_integral_of_the_slopes(levels: list[float]) -> None:
    value = BatteryValue(slopes=SLOPES[0])
    found = np.asarray(worth(PARAMETERS, value, jnp.array(levels)))
    grid = (np.arange(20_000) + 0.5) / 20_000
    for user, level in enumerate(levels):
        each = np.asarray(SLOPES[0, user])[np.minimum((grid * PARTS).astype(int), PARTS - 1)]
        assert found[user] == pytest.approx(each[grid < level].sum() / 20_000, abs=2e-4)
    at = np.asarray(slopes_at(PARAMETERS, value, jnp.array(levels)))
    assert all(slope in np.asarray(SLOPES[0, user]) for user, slope in enumerate(at))


@given(arrays(float, (2, 6), elements=st.floats(0, 100, allow_subnormal=False)))
@settings(max_examples=60)
def test_slopes_fall_and_those_that_do_stay(table: np.ndarray) -> None:
    falling = np.asarray(battery.falling(jnp.array(table)).slopes)
    assert (np.diff(falling, axis=1) <= 0).all()
    assert (falling >= table.min(axis=1, keepdims=True)).all()
    assert (falling <= table.max(axis=1, keepdims=True)).all()
    again = np.asarray(battery.falling(jnp.array(falling)).slopes)
    np.testing.assert_allclose(again, falling, rtol=1e-12)


def test_worth_of_a_level_tends_to_the_mean_price_of_frames_that_begin_there() -> None:
    rng = np.random.default_rng(0)
    rollouts = battery.begin(PARAMETERS, 512)
    learn = jax.jit(battery.learn, static_argnames=("discount",))
    for _ in range(200):
        levels = rng.uniform(0, 1, (512, 3))
        prices = 3 - 2 * levels + rng.normal(0, 0.1, levels.shape)
        channels, workload = jnp.ones((512, 3, 2), complex), jnp.ones((512, 3))
        frames = Frame(channels=channels, workload=workload, battery=jnp.array(levels))
        solved = jnp.array(rng.uniform(size=512) < 0.9)
        table = learn(rollouts, PARAMETERS, frames, jnp.array(prices), solved, discount=0.5, rate=0.05)
        rollouts = dataclasses.replace(rollouts, worth=table)
    middles = (np.arange(battery.PARTS) + 0.5) / battery.PARTS
    expected = np.broadcast_to(0.5 * (3 - 2 * middles), rollouts.worth.shape)
    np.testing.assert_allclose(rollouts.worth, expected, atol=0.03)


def test_foresight_takes_less_energy_than_the_optimum_of_each_frame() -> None:
    """Shipped policies in the same rollouts; the last is within a percent of the optimum of each frame."""
    found = {}
    far = "price-net-foresight"
    for name, mode in ((far, "p1"), (far, "announced"), ("price-net", "p1")):
        network = load(name).network
        play = jax.jit(training.roll_out, static_argnames=("mode", "episodes", "frames"))
        done = play(MODES[mode], network, PARAMETERS, jax.random.key(4), episodes=16, frames=40)
        found[name, mode] = float(done.efficiency), float(done.outage)
    planned, answered = (found[far, mode] for mode in ("p1", "announced"))
    alone = found["price-net", "p1"]
    assert planned[0] > 1.5 * alone[0]
    assert planned[1] < alone[1]
    # What is announced suffices for what P1 planned.
    assert answered == pytest.approx(planned, rel=0.01, abs=1e-3)


# On the command line


def test_foresight_is_of_one_scenario() -> None:
    with pytest.raises(InputError, match=r"discount: 0\.9 is not allowed with scenarios: varied"):
        PriceNetConfig(discount=0.9, scenarios="varied")


def test_simulate_plays_the_shipped_policies() -> None:
    options = ("price-net-varied", "--frames", "20", "--set", "num_antennas=2")
    report = json.loads(run("simulate-policy", *options, "--json").stdout)
    assert (report["policy"], report["scenario"]["num_antennas"]) == ("price-net-varied", 2)
    assert 0 <= report["estimates"]["outage"]["mean"] < 0.5
    lines = refused("simulate-policy", "price-net", "--set", "num_antennas=2")
    assert lines[-1].startswith("num_antennas: 2 does not fit")
