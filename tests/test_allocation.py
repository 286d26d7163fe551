"""The exact allocation against a general-purpose conic solver, its certificates, and its limits."""

import dataclasses
from functools import cache

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bank import (
    COUNT,
    NEEDS_KERNEL,
    PROBLEMS,
    SOLVERS,
    assert_slope,
    at,
    mrt,
    p1,
    play,
    random_beams,
    random_frames,
    scenario,
    single,
)
from reference_allocation import INFEASIBLE, OPTIMAL, UNDECIDED, ReferenceSolver, data_of
from scattermec.optimisation import (
    SCHEMES,
    Prices,
    allocate,
    allocate_frames,
    allocation_problem,
    frame_rewards,
    infeasibility_margin,
    lower_bound,
    search_best_set,
)
from scattermec.physics import Frame, parameters_of
from scattermec.scenario import Scenario


@cache
def reference_solver(users: int, scheme: str, elastic: bool) -> ReferenceSolver:
    return ReferenceSolver(users, scheme, elastic)


@cache
def answers(name: str, scheme: str = "hybrid", elastic: bool = False):
    """What the general solver says of a problem's frames: (verdict, energy) each."""
    s = PROBLEMS[name].scenario
    frames, beams = PROBLEMS[name].draw()
    reference = reference_solver(s.num_users, scheme, elastic)
    arrays = (frames.channels, frames.workload, frames.battery, beams)
    return [reference.solve(data_of(s, *at(arrays, k))) for k in range(COUNT)]


def compare(name: str, solution, scheme: str = "hybrid", elastic: bool = False) -> None:
    """Every frame of a problem against the reference, which may leave some undecided."""
    s = PROBLEMS[name].scenario
    frames, beams = PROBLEMS[name].draw()
    reference = reference_solver(s.num_users, scheme, elastic)
    solution = jax.device_get(solution)
    status = solution.status
    assert set(status) <= {OPTIMAL, INFEASIBLE}
    assert not any(np.isnan(leaf).any() for leaf in jax.tree.leaves(solution))
    verdicts, energies = map(np.array, zip(*answers(name, scheme, elastic), strict=True))
    decided = verdicts != UNDECIDED
    assert decided.mean() > 0.9
    for k in np.flatnonzero(decided & (status != verdicts)):
        # Allowed only where the workload is within 1e-6 of what can be processed.
        data = data_of(s, *at((frames.channels, frames.workload, frames.battery, beams), k))
        around = {reference.solve(data, factor)[0] for factor in (1 - 1e-6, 1 + 1e-6)}
        assert around == {OPTIMAL, INFEASIBLE}, (k, status[k], verdicts[k], around)
    both = decided & (status == OPTIMAL) & (verdicts == OPTIMAL)
    mine = solution.energy + np.sum(solution.shortfall, axis=1)
    np.testing.assert_allclose(mine[both], energies[both], rtol=1e-6)
    check_residuals(s, frames, beams, solution)


def check_residuals(s: Scenario, frames: Frame, beams, solution) -> None:
    """Constraints (1) to (3) and (9) in NumPy, each relative to its scale."""
    for k in np.flatnonzero(solution.status == OPTIMAL):
        d = data_of(s, *at((frames.channels, frames.workload, frames.battery, beams), k))
        a = at(solution.allocation, k)
        parts = (a.t_active, a.t_passive, a.t_local, a.l_active, a.l_passive, a.l_local)
        assert all(np.all(part >= 0) for part in parts)
        work = np.maximum(d.workload, 1e-300)
        shortfall = solution.shortfall[k]
        assert np.all((a.t_active + a.t_passive - d.slot) / d.slot <= 1e-8)
        assert np.all((a.l_local - d.local_rate * d.slot) / work <= 1e-8)
        assert np.all((a.l_passive - d.passive_rate * a.t_passive) / work <= 1e-8)
        assert np.all((d.workload - shortfall - a.l_active - a.l_passive - a.l_local) / work <= 1e-8)
        rate = np.divide(a.l_active, a.t_active, out=np.zeros_like(a.t_active), where=a.t_active > 0)
        power = d.active_noise * np.expm1(np.log(2) * rate / d.bandwidth)
        demand = a.t_active * (power + d.circuit) + d.local_energy * a.l_local
        budget = np.minimum(d.battery + d.harvest @ a.t_passive, d.capacity)
        scale = np.maximum(budget, d.local_energy * d.workload)
        assert np.all(demand - budget <= 1e-8 * scale)
        np.testing.assert_allclose(solution.transmit_power[k], power, rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "solver"),
    [
        *(pytest.param(name, "kernel", marks=NEEDS_KERNEL) for name in PROBLEMS),
        # This one is compiled anew, slowly, for every number of users and antennas.
        *((name, "portable") for name, problem in PROBLEMS.items() if problem.users == 3),
        ("six users", "portable"),
    ],
)
def test_allocation_matches_a_general_solver(name, solver):
    frames, beams = PROBLEMS[name].draw()
    compare(name, p1(solver)(parameters_of(PROBLEMS[name].scenario), frames, beams))


def test_problems_of_the_bank_have_both_verdicts():
    verdicts = np.array([[verdict for verdict, _ in answers(name)] for name in PROBLEMS])
    assert verdicts.size >= 1000
    assert np.mean(verdicts == UNDECIDED) < 0.015
    for verdict in (OPTIMAL, INFEASIBLE):
        assert 0.1 < np.mean(verdicts == verdict) < 0.9


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("scheme", [scheme for scheme in SCHEMES if scheme != "hybrid"])
def test_schemes_match_a_general_solver(scheme, solver):
    name = "costly circuits"
    frames, beams = PROBLEMS[name].draw()
    solution = p1(solver, scheme)(parameters_of(PROBLEMS[name].scenario), frames, beams)
    assert {OPTIMAL, INFEASIBLE} == set(np.asarray(solution.status))
    compare(name, solution, scheme)


@pytest.mark.parametrize("solver", SOLVERS)
def test_elastic_form_matches_a_general_solver_and_is_always_feasible(solver):
    name = "little energy"
    s = PROBLEMS[name].scenario
    frames, beams = PROBLEMS[name].draw()
    solution = p1(solver, elastic=True)(parameters_of(s), frames, beams)
    assert np.all(np.asarray(solution.status) == OPTIMAL)
    assert (solution.shortfall > 0).any()
    assert (solution.served == (solution.shortfall == 0)).all()
    compare(name, solution, elastic=True)
    assert np.all(solution.prices.workload <= s.shortfall_price)


def test_verdict_close_to_the_edge_of_feasibility():
    """Bisect each frame's largest workload, then ask on both sides of it."""
    s, count = scenario(), COUNT
    frames = random_frames(s, count, 7, battery=(0, 0.02), load=45)
    beams = mrt(frames)
    p, reference = parameters_of(s), ReferenceSolver(3)

    def scaled(factor):
        return dataclasses.replace(frames, workload=frames.workload * factor[:, None])

    low, high = np.full(count, 0.02), np.full(count, 8.0)
    for _ in range(40):
        middle = (low + high) / 2
        feasible = np.asarray(p1()(p, scaled(middle), beams).status) == OPTIMAL
        low, high = np.where(feasible, middle, low), np.where(feasible, high, middle)
    for margin in (-1e-3, -1e-5, 1e-5, 1e-3):
        edge = scaled(low * (1 + margin))
        solution = p1()(p, edge, beams)
        assert np.all(np.asarray(solution.status) == (OPTIMAL if margin < 0 else INFEASIBLE))
        check_residuals(s, edge, beams, solution)
        for k in range(0, count, 8):
            data = data_of(s, *at((edge.channels, edge.workload, edge.battery, beams), k))
            assert reference.solve(data)[0] in (int(solution.status[k]), UNDECIDED)


def test_restricting_the_scheme_never_saves_energy():
    s = scenario(mean_workload=25)
    frames = random_frames(s, 200, 8)
    beams = mrt(frames)
    energy = {scheme: p1(scheme=scheme)(parameters_of(s), frames, beams).energy for scheme in SCHEMES}
    for tighter, wider in (
        ("active", "hybrid"),
        ("passive", "hybrid"),
        ("local", "active"),
        ("local", "passive"),
    ):
        assert np.all(energy[wider] <= energy[tighter] * (1 + 1e-7))
    assert np.isfinite(energy["local"]).sum() > 50


def test_what_is_allocated_succeeds_when_played():
    s = scenario()
    frames = random_frames(s, 300, 9)
    beams = random_beams(frames, 9)
    p = parameters_of(s)
    solution = allocate_frames(p, frames, beams, serve="all-or-best")
    outcome = play(p, frames, beams, solution.allocation)
    np.testing.assert_array_equal(
        outcome.success | (frames.workload == 0), solution.served | (frames.workload == 0)
    )
    np.testing.assert_allclose(outcome.ap_energy, solution.energy, rtol=1e-12)
    np.testing.assert_allclose(outcome.ap_reward, frame_rewards(p, frames, solution), rtol=1e-9)


def test_single_precision_solutions_can_be_executed():
    s = scenario()
    frames = random_frames(s, 300, 10)
    beams = mrt(frames)
    p = parameters_of(s)
    exact = p1()(p, frames, beams)
    rough = p1()(single(p), single(frames), single(beams))
    assert rough.energy.dtype == np.float32
    both = np.asarray((exact.status == OPTIMAL) & (rough.status == OPTIMAL))
    assert both.sum() >= 0.98 * np.sum(exact.status == OPTIMAL)
    assert not np.any((rough.status == OPTIMAL) & (exact.status == INFEASIBLE))
    np.testing.assert_allclose(rough.energy[both], exact.energy[both], rtol=5e-3)
    allocation = jax.tree.map(lambda leaf: leaf.astype(float), rough.allocation)
    played = play(p, frames, beams, allocation)
    assert np.all(played.success[both])


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", ["three users", "much power", "costly circuits"])
def test_prices_are_slopes_of_the_energy(name, solver):
    """The energy is convex in work and batteries: its secants enclose the prices, closely but at kinks."""
    frames, beams = PROBLEMS[name].draw(seed=1)
    parameters = parameters_of(PROBLEMS[name].scenario)
    frames = dataclasses.replace(frames, workload=frames.workload + 1, battery=frames.battery + 1e-3)
    here = p1(solver)(parameters, frames, beams)
    ok = np.asarray(here.status) == OPTIMAL
    assert ok.sum() > 20
    energy, bound = np.asarray(here.energy)[ok], np.asarray(here.lower_bound)[ok]
    error = np.maximum(energy - bound, 1e-9)
    for field, step, price in (
        ("workload", 1e-3, here.prices.workload),
        ("battery", 1e-5, -here.prices.budget),
    ):
        leaf = getattr(frames, field)
        moved = [dataclasses.replace(frames, **{field: leaf.at[:, 0].add(way * step)}) for way in (-1, 1)]
        before, after = (np.asarray(p1(solver)(parameters, other, beams).energy)[ok] for other in moved)
        assert_slope(np.asarray(price)[ok, 0], before, energy, after, step, error)
        with np.errstate(invalid="ignore"):
            close = np.abs(after - 2 * energy + before) <= 1e-3 * np.abs(after - before)
        assert np.mean(close) > 0.8


@cache
def certificate():
    s = scenario()
    frames = random_frames(s, 400, 12, battery=(0, 0.05))
    beams = mrt(frames)
    p = parameters_of(s)
    problems = jax.jit(jax.vmap(allocation_problem, (None, 0, 0)))(p, frames, beams)
    return frames, problems, p1()(p, frames, beams)


def test_bound_meets_the_energy_and_infeasibility_is_proved():
    _, problems, solution = certificate()
    ok = np.asarray(solution.status) == OPTIMAL
    bound, margin = _bounds(problems, solution.prices)
    np.testing.assert_allclose(bound[ok], solution.energy[ok], rtol=1e-6)
    assert np.all(margin[~ok] > 0)
    assert np.all(margin[ok] <= 0)
    assert 10 < (~ok).sum() < 390


@settings(max_examples=100)
@given(st.integers(0, 2**31 - 1), st.floats(-3, 3), st.floats(-3, 3))
def test_no_prices_bound_above_the_optimum_or_disprove_a_feasible_frame(seed, shift, spread):
    """Weak duality, for prices that have nothing to do with the optimal ones."""
    frames, problems, solution = certificate()
    rng = np.random.default_rng(seed)
    shape = frames.workload.shape
    around = [
        leaf * np.exp(shift + spread * rng.normal(size=shape)) for leaf in jax.tree.leaves(solution.prices)
    ]
    random = [np.exp(rng.normal(-3 + shift, 2, shape)) * (rng.random(shape) < 0.8) for _ in range(3)]
    ok = np.asarray(solution.status) == OPTIMAL
    for values in (around, random):
        prices = Prices(workload=values[0], budget=values[1], capacity=values[2])
        bound, margin = _bounds(problems, prices)
        assert np.all(bound[ok] <= solution.energy[ok] * (1 + 1e-7))
        assert np.all(margin[ok] <= 1e-9)


@jax.jit
def _bounds(problems, prices):
    return jax.vmap(lower_bound)(problems, prices), jax.vmap(infeasibility_margin)(problems, prices)


def test_best_set_against_every_set_by_the_general_solver():
    s, count = scenario(mean_workload=45), 12
    frames = random_frames(s, count, 13, battery=(0, 0.01))
    beams = mrt(frames)
    p = parameters_of(s)
    found = allocate_frames(p, frames, beams, serve="best")
    rewards = frame_rewards(p, frames, found)
    reference = ReferenceSolver(3)
    dropped = 0
    for k in range(count):
        data = data_of(s, *at((frames.channels, frames.workload, frames.battery, beams), k))
        work, best, undecided = data.workload.copy(), 0.0, False
        for bits in range(1, 8):
            served = np.array([bits >> i & 1 for i in range(3)], bool)
            data.workload = np.where(served, work, 0)
            verdict, energy = reference.solve(data)
            undecided |= verdict == UNDECIDED
            if verdict == OPTIMAL:
                best = max(best, served.mean() ** s.reliability_weight * data.workload.sum() / energy)
        assert rewards[k] >= best * (1 - 1e-6)
        assert undecided or rewards[k] == pytest.approx(best, rel=1e-6)
        dropped += int((~found.served[k]).sum())
    assert 0 < dropped < 3 * count


def test_search_beyond_enumeration_finds_the_best_set():
    """The search is run where every set can be tried, and has to reach nearly all of the exact reward."""
    s = scenario(4, mean_workload=50, num_antennas=2)
    frames = random_frames(s, 40, 14, battery=(0, 0.005))
    beams = random_beams(frames, 14)
    p = parameters_of(s)
    exact = allocate_frames(p, frames, beams, serve="best")

    def searched(frame, w):
        return allocate(p, frame, w, served=search_best_set(p, frame, w))

    found = jax.jit(jax.vmap(searched))(frames, beams)
    best, reached = frame_rewards(p, frames, exact), frame_rewards(p, frames, found)
    assert np.all(reached <= best * (1 + 1e-7))
    assert np.sum(reached) >= 0.99 * np.sum(best)
    assert np.mean(reached >= best * (1 - 1e-6)) >= 0.9
    assert 0.2 < exact.served.mean() < 0.95


def test_unserved_frame_costs_idle_energy_only():
    s = scenario(local_rate=0.0, mean_workload=5000)
    frames = random_frames(s, 4, 15, battery=(0, 0))
    solution = allocate_frames(parameters_of(s), frames, frames.channels, serve="best")
    np.testing.assert_allclose(solution.energy, 0.03)
    assert not solution.served.any()
    alone = allocate_frames(parameters_of(s), frames, frames.channels, serve="all")
    assert np.all(np.isinf(alone.energy))
    assert np.all(alone.allocation.t_passive == 0)


def test_no_work_needs_no_energy():
    s = scenario()
    frames = random_frames(s, seed=16)
    frames = dataclasses.replace(frames, workload=0 * frames.workload, battery=0 * frames.battery)
    solution = p1()(parameters_of(s), frames, frames.channels)
    np.testing.assert_allclose(solution.energy, 0.03, rtol=1e-6)
    assert np.all(solution.served)


@pytest.mark.parametrize("solver", SOLVERS)
@settings(max_examples=40)
@given(
    workload=st.lists(st.just(0.0) | st.floats(1, 500), min_size=3, max_size=3),
    battery=st.lists(st.floats(0, 1), min_size=3, max_size=3),
    log_gain=st.floats(-3, 3),
    seed=st.integers(0, 2**31 - 1),
)
def test_extreme_frames_never_give_nan_and_always_a_verdict(solver, workload, battery, log_gain, seed):
    # Loads of a few bits on empty batteries are beyond this: optimal, but feasible only to about 1e-7.
    s = scenario()
    one = Frame(
        channels=random_frames(s, 1, seed).channels * 10**log_gain,
        workload=jnp.array([workload]),
        battery=jnp.array([battery]),
    )
    frames = jax.tree.map(lambda leaf: np.repeat(leaf, COUNT, axis=0), one)  # of the usual program
    solution = p1(solver)(parameters_of(s), frames, frames.channels)
    assert not any(np.isnan(leaf).any() for leaf in jax.tree.leaves(solution))
    assert int(solution.status[0]) in (OPTIMAL, INFEASIBLE)


def test_phase_of_a_channel_does_not_matter():
    s = scenario()
    frames = random_frames(s, seed=17)
    phase = np.exp(1j * np.random.default_rng(0).uniform(0, 2 * np.pi, (COUNT, 3, 1)))
    turned = dataclasses.replace(frames, channels=frames.channels * phase)
    beams = random_beams(frames, 18)
    p = parameters_of(s)
    np.testing.assert_allclose(p1()(p, turned, beams).energy, p1()(p, frames, beams).energy, rtol=1e-7)


def test_unknown_choices_are_refused(monkeypatch):
    s = scenario()
    frames = random_frames(s, 1, 0)
    # Run-time type checks, which only the tests switch on, would refuse these first.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="scheme: 'both' is not known; choose from hybrid"):
        allocate_frames(parameters_of(s), frames, frames.channels, scheme="both")
    with pytest.raises(ValueError, match="serve: 'some' is not known; choose from all"):
        allocate_frames(parameters_of(s), frames, frames.channels, serve="some")
