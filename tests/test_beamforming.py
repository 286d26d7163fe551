"""Jointly optimal beams against a general conic solver, brute force, and their own certificate."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from benchmarks.frames import scenario as annulus
from hypothesis import given, settings
from hypothesis import strategies as st

from bank import (
    KERNEL,
    PROBLEMS,
    USUAL,
    at,
    mrt,
    p1,
    p2,
    play,
    random_beams,
    random_frames,
    scenario,
    single,
)
from reference_beams import reference_beams
from scattermec.optimisation import (
    INFEASIBLE,
    NOT_CONVERGED,
    OPTIMAL,
    allocate_frames,
    beamforming,
    best_beams,
    optimise_all_or_best,
    optimise_beams,
    optimise_beams_frames,
    optimise_service,
    optimise_service_frames,
)
from scattermec.physics import parameters_of
from scattermec.physics.rewards import ap_reward

FEW = 12
"""Frames of a problem here, since the general solver takes long."""


@cache
def answers(name, scheme="hybrid"):
    """A problem's frames, and what the general solver says of each: (verdict, energy)."""
    s = PROBLEMS[name].scenario
    frames, _ = PROBLEMS[name].draw(FEW, seed=1)
    reference = reference_beams(s.num_users, s.num_antennas, scheme, s.causal_harvest)
    arrays = (frames.channels, frames.workload, frames.battery)
    return frames, [reference.solve(s, *at(arrays, k)) for k in range(FEW)]


def compare(name, solver, scheme="hybrid"):
    frames, expected = answers(name, scheme)
    found = p2(solver, scheme)(parameters_of(PROBLEMS[name].scenario), frames)
    verdicts, energies = map(np.array, zip(*expected, strict=True))
    decided = np.isin(verdicts, (OPTIMAL, INFEASIBLE))
    assert decided.sum() >= 0.8 * FEW
    np.testing.assert_array_equal(np.asarray(found.status)[decided], verdicts[decided])
    assert NOT_CONVERGED not in np.asarray(found.status)
    both = verdicts == OPTIMAL
    assert both.any()
    lower, shared, energy = (
        np.asarray(leaf)[both] for leaf in (found.lower_bound, found.shared_energy, found.energy)
    )
    assert np.all(lower <= energies[both] * (1 + 1e-6))
    close = np.isclose(shared, energies[both], rtol=2e-6)
    assert close.mean() >= 0.8
    # Where the general solver stops a little too high, the bound says so.
    assert np.all(close | ((shared < energies[both]) & (shared <= lower * (1 + 2e-6))))
    assert np.all(energy >= shared * (1 - 1e-6))  # one beam a slot needs no less than several
    np.testing.assert_allclose(energy, energies[both], rtol=1e-4)


THREE = ("three users", "much power", "costly circuits")
"""Of one size, since the portable search takes long to compile."""


@pytest.mark.parametrize(
    ("name", "solver"),
    [
        *((name, USUAL) for name in (*THREE, "one user", "more antennas than users", "six users")),
        ("causal harvest", USUAL),
        *((name, "portable") for name in THREE if KERNEL),
    ],
)
def test_beams_match_a_general_solver(name, solver):
    compare(name, solver)


@pytest.mark.parametrize("scheme", ["active", "passive", "local"])
def test_schemes_match_a_general_solver(scheme):
    compare("costly circuits", USUAL, scheme)


@pytest.mark.parametrize(
    ("users", "count", "share", "changes"),
    [
        (3, 4000, 0.999, {}),
        (3, 1000, 0.99, {"ap_power": 4.0}),
        (3, 1000, 0.99, {"circuit_power": 0.15, "reflection_gain": 0.1}),
        (3, 1000, 0.99, {"mean_workload": 60}),
        (6, 300, 0.99, {"num_antennas": 4}),
        (3, 500, 0.99, {"num_antennas": 8}),
    ],
)
def test_gap_closes(users, count, share, changes):
    s = scenario(users, **changes)
    frames = random_frames(s, count if KERNEL else 40, seed=users + count)
    found = optimise_beams_frames(parameters_of(s), frames)
    status, gap = np.asarray(found.status), np.asarray(found.gap)
    feasible = status != INFEASIBLE
    assert np.mean(gap[feasible] <= 1e-4) >= share
    energy, bound = (
        np.asarray(found.energy)[status == OPTIMAL],
        np.asarray(found.lower_bound)[status == OPTIMAL],
    )
    assert np.all(bound <= energy * (1 + 1e-9))
    np.testing.assert_allclose(gap[status == OPTIMAL], (energy - bound) / energy, atol=1e-12)
    assert np.all(np.isinf(np.asarray(found.lower_bound)[status == INFEASIBLE]))


@settings(max_examples=15)
@given(
    seed=st.integers(0, 10**6),
    load=st.floats(1, 90),
    power=st.floats(0.2, 5),
    battery=st.floats(0, 0.2),
    antennas=st.sampled_from([1, 3, 4]),
)
def test_no_beams_and_allocation_undercut_the_bound(seed, load, power, battery, antennas):
    s = scenario(3, ap_power=power, num_antennas=antennas)
    parameters = parameters_of(s)
    frames = random_frames(s, 16, seed, battery=(0, battery), load=load)
    found = optimise_beams_frames(parameters, frames)
    bound = np.asarray(found.lower_bound)
    assert not np.isnan(bound).any()
    for beams in (mrt(frames), random_beams(frames, seed), random_beams(frames, seed + 1), found.beams):
        solved = p1()(parameters, frames, beams)
        feasible = np.asarray(solved.status) == OPTIMAL
        # Infeasible for all beams means infeasible for these.
        assert not np.any(feasible & (np.asarray(found.status) == INFEASIBLE))
        assert np.all(np.asarray(solved.energy)[feasible] >= bound[feasible] * (1 - 1e-8))
        # Any other feasible allocation needs more than the best one: beams on for longer.
        longer = jax.tree.map(np.asarray, solved.allocation)
        room = np.asarray(parameters.slot_duration) - longer.t_active - longer.t_passive
        more = np.random.default_rng(seed).uniform(size=room.shape) * np.maximum(room, 0)
        energy = np.asarray(solved.energy) + (power + s.passive_receive_power) * more.sum(axis=1)
        assert np.all(energy[feasible] >= bound[feasible] * (1 - 1e-8))


def test_beams_and_allocation_do_what_they_promise_when_played():
    s = scenario(3)
    frames = random_frames(s, 200, seed=77)
    found = optimise_beams_frames(parameters_of(s), frames)
    outcome = play(parameters_of(s), frames, found.beams, found.solution.allocation)
    optimal = np.asarray(found.status) == OPTIMAL
    assert optimal.sum() > 150
    assert np.all(np.asarray(outcome.success)[optimal])
    np.testing.assert_allclose(outcome.ap_energy[optimal], found.energy[optimal], rtol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(found.beams, axis=-1), 1, atol=1e-12)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    users=st.sampled_from([1, 2, 4]),
    antennas=st.sampled_from([1, 3, 5]),
    c=st.sampled_from([0.0, 1e-9, 1e-3, 1.0, 1e3]),
    q=st.sampled_from([0.0, 1e-6, 1.0, 1e2, 1e7]),
    some=st.booleans(),
)
def test_best_beam_is_worth_more_than_any_other(seed, users, antennas, c, q, some):
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=(2, users, antennas))
    channels = normal[0] + 1j * normal[1]
    prices = rng.uniform(size=(users, users)) * (rng.uniform(size=(users, users)) < (0.5 if some else 1))
    np.fill_diagonal(prices, 0)
    beams, worth = jax.jit(best_beams)(
        jnp.asarray(channels), jnp.asarray(prices), jnp.full(users, c), jnp.full(users, q)
    )

    def value(i, matrix):
        energy = sum(prices[i, j] * (h.conj() @ matrix @ h).real for j, h in enumerate(channels))
        return energy + c * np.log1p(q * max((channels[i].conj() @ matrix @ channels[i]).real, 0))

    for i in range(users):
        own = value(i, np.outer(beams[i], beams[i].conj()))
        assert np.linalg.norm(beams[i]) == pytest.approx(1)
        assert own == pytest.approx(float(worth[i]), rel=1e-6, abs=1e-9)
        for _ in range(40):
            root = rng.normal(size=(2, antennas, rng.integers(1, antennas + 1)))
            root = root[0] + 1j * root[1]
            matrix = root @ root.conj().T
            assert value(i, matrix / np.trace(matrix).real) <= float(worth[i]) * (1 + 1e-9) + 1e-9


def test_best_set_is_that_of_trying_all():
    s = scenario(3)
    parameters = parameters_of(s)
    frames = random_frames(s, 60, seed=3, battery=(0, 0.02), load=60)
    found = optimise_service_frames(parameters, frames)
    for_set = jax.jit(jax.vmap(lambda c, f, who: optimise_beams(c, f, served=who), in_axes=(None, 0, None)))
    best = np.zeros(60)
    for members in range(1, 8):
        served = jnp.array([bool(members & bit) for bit in (1, 2, 4)])
        each = for_set(parameters, frames, served)
        reward = jax.vmap(ap_reward, in_axes=(None, 0, 0, 0))(
            parameters, frames.workload, each.solution.served, each.energy
        )
        best = np.maximum(best, np.where(np.asarray(each.status) == OPTIMAL, reward, 0))
    np.testing.assert_allclose(found.reward, best, rtol=1e-5)
    assert np.all(np.asarray(found.reward_bound) >= best * (1 - 1e-9))
    np.testing.assert_allclose(found.reward_bound, found.reward, rtol=1e-4)
    assert np.any(np.asarray(found.sets_tried) > 1)
    assert np.any(~np.asarray(found.best.solution.served))


def test_searches_for_many_users_end():
    """With fewer beams per slot than users, some lose the beams that they need and never converge."""
    s = annulus(8, 6)
    frames = random_frames(s, 128, seed=24)
    found = p2()(parameters_of(s), frames)
    feasible = np.asarray(found.status) != INFEASIBLE
    assert np.count_nonzero(feasible) > 100
    assert np.all(np.asarray(found.rounds) < beamforming.MAX_ROUNDS)
    np.testing.assert_allclose(found.shared_energy[feasible], found.lower_bound[feasible], rtol=2e-6)


def test_nobody_is_served_where_nobody_can_be():
    s = scenario(2, local_rate=0.0, bandwidth=1e-3)
    frames = random_frames(s, 3, seed=0, battery=(0, 0))
    found = optimise_service_frames(parameters_of(s), frames)
    idle = s.idle_power * 2
    np.testing.assert_allclose(found.best.energy, idle)
    assert not np.any(found.best.solution.served)
    np.testing.assert_allclose(found.reward, 0)
    best, status = optimise_all_or_best(parameters_of(s), frames)
    assert np.all(status == INFEASIBLE)
    np.testing.assert_allclose(best.energy, idle)
    np.testing.assert_allclose(best.solution.value, idle)
    given = allocate_frames(parameters_of(s), frames, mrt(frames), serve="best")
    np.testing.assert_allclose(given.energy, idle)
    np.testing.assert_allclose(given.value, idle)


def test_many_users_get_a_set_without_a_certificate():
    s = scenario(7)
    frame = at(random_frames(s, 1, seed=2), 0)
    found = jax.jit(optimise_service)(parameters_of(s), frame)
    assert np.isinf(found.reward_bound)
    assert found.reward > 0


def test_single_precision():
    s = scenario(3)
    frames = random_frames(s, 100, seed=12)
    with jax.enable_x64(False):
        small = optimise_beams_frames(parameters_of(s), single(frames))
    double = optimise_beams_frames(parameters_of(s), frames)
    both = (np.asarray(small.status) == OPTIMAL) & (np.asarray(double.status) == OPTIMAL)
    assert both.sum() >= 85
    np.testing.assert_allclose(small.energy[both], double.energy[both], rtol=5e-3)


def test_non_linear_rectifier_is_refused_by_name():
    s = scenario(3, harvest_model="sigmoidal")
    frame = at(random_frames(s, 1, seed=0), 0)
    with pytest.raises(ValueError, match="harvest_model: 'sigmoidal'"):
        optimise_beams(parameters_of(s), frame)
