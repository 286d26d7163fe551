"""Jointly optimal beams against a general conic solver, brute force, and their own certificate."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from benchmarks.frames import scenario as annulus
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_beams import ReferenceBeams
from scattermec.optimisation import (
    INFEASIBLE,
    NOT_CONVERGED,
    OPTIMAL,
    allocate_frames,
    beamforming,
    best_beams,
    compiled,
    optimise_all_or_best,
    optimise_beams,
    optimise_beams_frames,
    optimise_service,
    optimise_service_frames,
)
from scattermec.physics import Frame, parameters, run_frame
from scattermec.physics.rewards import ap_reward
from test_allocation import at, mrt, random_beams, random_frames, scenario
from test_allocation import solver as allocation_solver


@cache
def solver(scheme="hybrid"):
    return jax.jit(jax.vmap(partial(optimise_beams, scheme=scheme), in_axes=(None, 0)))


def frame_at(frames: Frame, k: int) -> Frame:
    return jax.tree.map(lambda leaf: leaf[k], frames)


@pytest.mark.parametrize(
    ("users", "count", "load", "changes"),
    [
        (3, 30, None, {}),
        (3, 15, 55, {"ap_power": 2.0}),
        (3, 10, 20, {"circuit_power": 0.15}),
        (3, 10, None, {"causal_harvest": True}),
        (6, 8, None, {"num_antennas": 4}),
        (2, 10, 50, {"num_antennas": 5}),
        (1, 10, 50, {}),
    ],
)
def test_relaxation_matches_a_general_solver(users, count, load, changes):
    s = scenario(users, **changes)
    frames = random_frames(s, count, seed=users, load=load)
    found = solver()(parameters(s), frames)
    reference = ReferenceBeams(users, s.num_antennas, causal=s.causal_harvest)
    decided = 0
    for k in range(count):
        status = int(found.status[k])
        assert status != NOT_CONVERGED
        verdict, energy = reference.solve(s, *at((frames.channels, frames.workload, frames.battery), k))
        if verdict not in (OPTIMAL, INFEASIBLE):
            continue
        assert status == verdict
        decided += 1
        if verdict == OPTIMAL:
            assert float(found.lower_bound[k]) <= energy * (1 + 1e-6)
            assert float(found.shared_energy[k]) == pytest.approx(energy, rel=2e-6)
            assert float(found.energy[k]) >= energy * (1 - 1e-6)
    assert decided >= 0.8 * count


@pytest.mark.parametrize("scheme", ["active", "passive", "local"])
def test_schemes_match_a_general_solver(scheme):
    s = scenario(3)
    frames = random_frames(s, 8, seed=20, load=25)
    found = solver(scheme)(parameters(s), frames)
    reference = ReferenceBeams(3, 3, scheme)
    for k in range(8):
        verdict, energy = reference.solve(s, *at((frames.channels, frames.workload, frames.battery), k))
        if verdict == OPTIMAL:
            assert int(found.status[k]) == OPTIMAL
            assert float(found.energy[k]) == pytest.approx(energy, rel=1e-5)


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
    frames = random_frames(s, count if compiled.available() else 40, seed=users + count)
    found = optimise_beams_frames(parameters(s), frames)
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
    constants = parameters(s)
    frames = random_frames(s, 16, seed, battery=(0, battery), load=load)
    found = optimise_beams_frames(constants, frames)
    bound = np.asarray(found.lower_bound)
    assert not np.isnan(bound).any()
    for beams in (mrt(frames), random_beams(frames, seed), random_beams(frames, seed + 1), found.beams):
        solved = allocation_solver()(constants, frames, beams)
        feasible = np.asarray(solved.status) == OPTIMAL
        # Infeasible for all beams means infeasible for these.
        assert not np.any(feasible & (np.asarray(found.status) == INFEASIBLE))
        assert np.all(np.asarray(solved.energy)[feasible] >= bound[feasible] * (1 - 1e-8))
        # Any other feasible allocation needs more than the best one: beams on for longer.
        longer = jax.tree.map(np.asarray, solved.allocation)
        room = np.asarray(constants.slot_duration) - longer.t_active - longer.t_passive
        more = np.random.default_rng(seed).uniform(size=room.shape) * np.maximum(room, 0)
        energy = np.asarray(solved.energy) + (power + s.passive_receive_power) * more.sum(axis=1)
        assert np.all(energy[feasible] >= bound[feasible] * (1 - 1e-8))


def test_beams_and_allocation_do_what_they_promise_when_played():
    s = scenario(3)
    frames = random_frames(s, 200, seed=77)
    found = optimise_beams_frames(parameters(s), frames)
    outcome = jax.vmap(run_frame, in_axes=(None, 0, 0, 0))(
        parameters(s), frames, found.beams, found.solution.allocation
    )
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
    constants = parameters(s)
    frames = random_frames(s, 60, seed=3, battery=(0, 0.02), load=60)
    found = optimise_service_frames(constants, frames)
    for_set = jax.jit(jax.vmap(lambda c, f, who: optimise_beams(c, f, served=who), in_axes=(None, 0, None)))
    best = np.zeros(60)
    for members in range(1, 8):
        served = jnp.array([bool(members & bit) for bit in (1, 2, 4)])
        each = for_set(constants, frames, served)
        reward = jax.vmap(ap_reward, in_axes=(None, 0, 0, 0))(
            constants, frames.workload, each.solution.served, each.energy
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
    found = solver()(parameters(s), frames)
    feasible = np.asarray(found.status) != INFEASIBLE
    assert np.count_nonzero(feasible) > 100
    assert np.all(np.asarray(found.rounds) < beamforming.MAX_ROUNDS)
    np.testing.assert_allclose(found.shared_energy[feasible], found.lower_bound[feasible], rtol=2e-6)


def test_nobody_is_served_where_nobody_can_be():
    s = scenario(2, local_rate=0.0, bandwidth=1e-3)
    frames = random_frames(s, 3, seed=0, battery=(0, 0))
    found = optimise_service_frames(parameters(s), frames)
    idle = s.idle_power * 2
    np.testing.assert_allclose(found.best.energy, idle)
    assert not np.any(found.best.solution.served)
    np.testing.assert_allclose(found.reward, 0)
    best, status = optimise_all_or_best(parameters(s), frames)
    assert np.all(status == INFEASIBLE)
    np.testing.assert_allclose(best.energy, idle)
    np.testing.assert_allclose(best.solution.value, idle)
    given = allocate_frames(parameters(s), frames, mrt(frames), serve="best")
    np.testing.assert_allclose(given.energy, idle)
    np.testing.assert_allclose(given.value, idle)


def test_many_users_get_a_set_without_a_certificate():
    s = scenario(7)
    frame = frame_at(random_frames(s, 1, seed=2), 0)
    found = jax.jit(optimise_service)(parameters(s), frame)
    assert np.isinf(found.reward_bound)
    assert found.reward > 0


@pytest.mark.skipif(not compiled.available(), reason="the compiled kernel was not built")
def test_portable_search_agrees_with_the_kernel(monkeypatch):
    s = scenario(3)
    frames = random_frames(s, 12, seed=6, load=45)
    fast = solver()(parameters(s), frames)
    monkeypatch.setattr(compiled, "available", lambda: False)
    slow = jax.jit(jax.vmap(lambda frame: optimise_beams(parameters(s), frame)))(frames)
    np.testing.assert_array_equal(fast.status, slow.status)
    optimal = np.asarray(fast.status) == OPTIMAL
    assert optimal.any()
    np.testing.assert_allclose(fast.energy[optimal], slow.energy[optimal], rtol=3e-6)
    np.testing.assert_allclose(fast.lower_bound[optimal], slow.lower_bound[optimal], rtol=3e-6)


def test_single_precision():
    s = scenario(3)
    frames = random_frames(s, 100, seed=12)
    single = jax.tree.map(
        lambda leaf: leaf.astype(jnp.complex64 if jnp.iscomplexobj(leaf) else jnp.float32), frames
    )
    with jax.enable_x64(False):
        small = optimise_beams_frames(parameters(s), single)
    double = optimise_beams_frames(parameters(s), frames)
    both = (np.asarray(small.status) == OPTIMAL) & (np.asarray(double.status) == OPTIMAL)
    assert both.sum() >= 85
    np.testing.assert_allclose(small.energy[both], double.energy[both], rtol=5e-3)


def test_non_linear_rectifier_is_refused_by_name():
    s = scenario(3, harvest_model="sigmoidal")
    frame = frame_at(random_frames(s, 1, seed=0), 0)
    with pytest.raises(ValueError, match="harvest_model: 'sigmoidal'"):
        optimise_beams(parameters(s), frame)
