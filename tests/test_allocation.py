"""The exact allocation against a general-purpose conic solver, its certificates, and its limits."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from scattermec.physics import Frame, maximum_ratio_beams, parameters, run_frame
from scattermec.scenario import Scenario

POSITIONS = ((5, 5), (3, 3), (-2, 4), (4, -4), (-1, -3), (0, 6), (2, 1), (-5, 1), (1, -5), (-3, -3))


def scenario(users: int = 3, **changes) -> Scenario:
    return Scenario(user_positions=POSITIONS[:users], **changes)


def random_frames(s: Scenario, count: int, seed: int, battery=(0.0, 0.1), load=None) -> Frame:
    """Frames drawn with NumPy, so that they do not depend on the package's own channels."""
    rng = np.random.default_rng(seed)
    n, m = s.num_users, s.num_antennas
    gain = 0.1 / np.hypot(*np.array(s.user_positions).T)
    normal = rng.normal(size=(2, count, n, m)) / np.sqrt(2)
    return Frame(
        channels=jnp.asarray(gain[:, None] * (normal[0] + 1j * normal[1])),
        workload=jnp.asarray(rng.poisson(load or s.mean_workload, (count, n)), float),
        battery=jnp.asarray(rng.uniform(*battery, (count, n))),
    )


def random_beams(frames: Frame, seed: int):
    rng = np.random.default_rng(seed)
    raw = rng.normal(size=(2, *frames.channels.shape))
    beams = raw[0] + 1j * raw[1]
    return jnp.asarray(beams / np.linalg.norm(beams, axis=-1, keepdims=True))


def mrt(frames: Frame):
    return jax.vmap(maximum_ratio_beams)(frames.channels)


@cache
def solver(scheme="hybrid", elastic=False):
    return jax.jit(
        jax.vmap(partial(allocate, scheme=scheme, elastic=elastic), in_axes=(None, 0, 0)),
    )


def at(tree, k):
    return jax.tree.map(lambda leaf: np.asarray(leaf[k]), tree)


def compare(s: Scenario, frames: Frame, beams, solution, scheme="hybrid", elastic=False) -> int:
    """Every frame against the reference; returns how many the reference could not decide."""
    reference = ReferenceSolver(s.num_users, scheme, elastic)
    undecided = 0
    for k in range(len(frames.workload)):
        data = data_of(s, *at((frames.channels, frames.workload, frames.battery, beams), k))
        verdict, energy = reference.solve(data)
        status = int(solution.status[k])
        if verdict == UNDECIDED:
            undecided += 1
            assert status in (OPTIMAL, INFEASIBLE)
            continue
        if status != verdict:
            # Allowed only where the workload is within 1e-6 of what can be processed.
            around = {reference.solve(data, factor)[0] for factor in (1 - 1e-6, 1 + 1e-6)}
            assert around == {OPTIMAL, INFEASIBLE}, (k, status, verdict, around)
        elif verdict == OPTIMAL:
            mine = float(solution.energy[k] + np.sum(solution.shortfall[k]))
            assert mine == pytest.approx(energy, rel=1e-6), (k, mine, energy)
    return undecided


def check_residuals(s: Scenario, frames: Frame, beams, solution) -> None:
    """Constraints (1) to (3) and (9) in NumPy, each relative to its scale."""
    for k in np.flatnonzero(np.asarray(solution.status) == OPTIMAL):
        d = data_of(s, *at((frames.channels, frames.workload, frames.battery, beams), k))
        a = at(solution.allocation, k)
        parts = (a.t_active, a.t_passive, a.t_local, a.l_active, a.l_passive, a.l_local)
        assert all(np.all(part >= 0) for part in parts)
        work = np.maximum(d.workload, 1e-300)
        shortfall = np.asarray(solution.shortfall[k])
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


def test_thousand_frames_match_a_general_solver():
    cases = [
        # users, frames, battery, load, changes
        (3, 200, (0, 0.1), None, {}),
        (3, 100, (0, 0.002), 50, {}),
        (3, 60, (0, 0.1), 50, {"noise_power": 4e-9}),
        (3, 60, (0, 0.02), 45, {"causal_harvest": True}),
        (3, 60, (0, 0.1), 3, {"num_antennas": 1}),
        (1, 80, (0, 0.1), 30, {}),
        (1, 40, (0, 0.01), 60, {"local_rate": 20.0}),
        (2, 100, (0, 0.05), None, {"circuit_power": 0.1}),
        (2, 60, (0, 0.0), 40, {}),
        (6, 80, (0, 0.1), None, {"num_antennas": 4}),
        (6, 40, (0, 0.01), 55, {"num_antennas": 2}),
        (10, 80, (0, 0.1), None, {"num_antennas": 4}),
        (10, 40, (0, 0.001), 60, {"ap_power": 0.3}),
    ]
    total = undecided = infeasible = 0
    for index, (users, count, battery, load, changes) in enumerate(cases):
        s = scenario(users, **changes)
        frames = random_frames(s, count, index, battery, load)
        beams = random_beams(frames, index) if index % 3 == 2 else mrt(frames)
        solution = solver()(parameters(s), frames, beams)
        assert not any(np.isnan(leaf).any() for leaf in jax.tree.leaves(solution))
        assert np.all(np.asarray(solution.status) != UNDECIDED)
        undecided += compare(s, frames, beams, solution)
        check_residuals(s, frames, beams, solution)
        total += count
        infeasible += int((solution.status == INFEASIBLE).sum())
    assert total >= 1000
    assert undecided <= total // 100
    assert total // 10 < infeasible < total - total // 10


@pytest.mark.parametrize("scheme", SCHEMES)
def test_schemes_match_a_general_solver(scheme):
    s = scenario()
    frames = random_frames(s, 40, 5, load=30)
    beams = mrt(frames)
    solution = solver(scheme)(parameters(s), frames, beams)
    assert compare(s, frames, beams, solution, scheme) <= 1
    check_residuals(s, frames, beams, solution)


def test_elastic_form_matches_a_general_solver_and_is_always_feasible():
    s = scenario()
    frames = random_frames(s, 60, 6, battery=(0, 0.01), load=50)
    beams = mrt(frames)
    solution = solver("hybrid", True)(parameters(s), frames, beams)
    assert np.all(np.asarray(solution.status) == OPTIMAL)
    assert (solution.shortfall > 0).any()
    assert (solution.served == (solution.shortfall == 0)).all()
    assert compare(s, frames, beams, solution, elastic=True) <= 1
    check_residuals(s, frames, beams, solution)
    assert np.all(solution.prices.workload <= s.shortfall_price)


def test_verdict_close_to_the_edge_of_feasibility():
    """Bisect each frame's largest workload, then ask on both sides of it."""
    s, count = scenario(), 60
    frames = random_frames(s, count, 7, battery=(0, 0.02), load=45)
    beams = mrt(frames)
    p, reference = parameters(s), ReferenceSolver(3)

    def scaled(factor):
        return Frame(
            channels=frames.channels, workload=frames.workload * factor[:, None], battery=frames.battery
        )

    low, high = np.full(count, 0.02), np.full(count, 8.0)
    for _ in range(40):
        middle = (low + high) / 2
        feasible = np.asarray(solver()(p, scaled(middle), beams).status) == OPTIMAL
        low, high = np.where(feasible, middle, low), np.where(feasible, high, middle)
    for margin in (-1e-3, -1e-5, 1e-5, 1e-3):
        edge = scaled(low * (1 + margin))
        solution = solver()(p, edge, beams)
        assert np.all(np.asarray(solution.status) == (OPTIMAL if margin < 0 else INFEASIBLE))
        check_residuals(s, edge, beams, solution)
        for k in range(0, count, 6):
            data = data_of(s, *at((edge.channels, edge.workload, edge.battery, beams), k))
            assert reference.solve(data)[0] in (int(solution.status[k]), UNDECIDED)


def test_restricting_the_scheme_never_saves_energy():
    s = scenario(mean_workload=25)
    frames = random_frames(s, 200, 8)
    beams = mrt(frames)
    energy = {scheme: solver(scheme)(parameters(s), frames, beams).energy for scheme in SCHEMES}
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
    p = parameters(s)
    solution = allocate_frames(p, frames, beams, serve="all-or-best")
    outcome = jax.vmap(run_frame, (None, 0, 0, 0))(p, frames, beams, solution.allocation)
    np.testing.assert_array_equal(
        outcome.success | (frames.workload == 0), solution.served | (frames.workload == 0)
    )
    np.testing.assert_allclose(outcome.ap_energy, solution.energy, rtol=1e-12)
    np.testing.assert_allclose(outcome.ap_reward, frame_rewards(p, frames, solution), rtol=1e-9)


def test_single_precision_solutions_can_be_executed():
    s = scenario()
    frames = random_frames(s, 300, 10)
    beams = mrt(frames)
    p = parameters(s)
    exact = solver()(p, frames, beams)
    single = lambda tree: jax.tree.map(  # noqa: E731
        lambda leaf: leaf.astype({"f": np.float32, "c": np.complex64}.get(leaf.dtype.kind, leaf.dtype)), tree
    )
    rough = solver()(single(p), single(frames), single(beams))
    assert rough.energy.dtype == np.float32
    both = np.asarray((exact.status == OPTIMAL) & (rough.status == OPTIMAL))
    assert both.sum() >= 0.98 * np.sum(exact.status == OPTIMAL)
    assert not np.any((rough.status == OPTIMAL) & (exact.status == INFEASIBLE))
    np.testing.assert_allclose(rough.energy[both], exact.energy[both], rtol=5e-3)
    allocation = jax.tree.map(lambda leaf: leaf.astype(float), rough.allocation)
    played = jax.vmap(run_frame, (None, 0, 0, 0))(p, frames, beams, allocation)
    assert np.all(played.success[both])


def test_prices_are_derivatives_of_the_energy():
    s = scenario()
    frames = random_frames(s, 40, 11)
    beams = mrt(frames)
    p = parameters(s)
    solution = solver()(p, frames, beams)
    step = 1e-4

    def energy(workload=0.0, battery=0.0):
        moved = Frame(
            channels=frames.channels,
            workload=frames.workload.at[:, 0].add(workload),
            battery=frames.battery.at[:, 0].add(battery),
        )
        return np.asarray(solver()(p, moved, beams).energy)

    ok = np.asarray(solution.status) == OPTIMAL
    with np.errstate(invalid="ignore"):  # infinite where infeasible
        by_workload = (energy(workload=step) - energy(workload=-step)) / (2 * step)
        by_battery = (energy(battery=step / 100) - energy(battery=-step / 100)) / (2 * step / 100)
    ok &= np.isfinite(by_workload) & np.isfinite(by_battery)
    # The energy has kinks, where a price is one of many: nearly all frames are away from them.
    near = np.isclose(by_workload, solution.prices.workload[:, 0], rtol=1e-3, atol=1e-6)
    assert near[ok].mean() > 0.9
    near = np.isclose(by_battery, -solution.prices.budget[:, 0], rtol=1e-3, atol=1e-6)
    assert near[ok].mean() > 0.9
    assert ok.sum() > 20


@cache
def certificate():
    s = scenario()
    frames = random_frames(s, 400, 12, battery=(0, 0.05))
    beams = mrt(frames)
    p = parameters(s)
    problems = jax.vmap(lambda f, w: allocation_problem(p, f, w))(frames, beams)
    return frames, problems, solver()(p, frames, beams)


def test_bound_meets_the_energy_and_infeasibility_is_proved():
    _, problems, solution = certificate()
    ok = np.asarray(solution.status) == OPTIMAL
    bound = jax.vmap(lower_bound)(problems, solution.prices)
    np.testing.assert_allclose(bound[ok], solution.energy[ok], rtol=1e-6)
    margin = jax.vmap(infeasibility_margin)(problems, solution.prices)
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
    p = parameters(s)
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
    p = parameters(s)
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
    solution = allocate_frames(parameters(s), frames, frames.channels, serve="best")
    np.testing.assert_allclose(solution.energy, 0.03)
    assert not solution.served.any()
    alone = allocate_frames(parameters(s), frames, frames.channels, serve="all")
    assert np.all(np.isinf(alone.energy))
    assert np.all(alone.allocation.t_passive == 0)


def test_no_work_needs_no_energy():
    s = scenario()
    frames = random_frames(s, 3, 16)
    frames = Frame(channels=frames.channels, workload=0 * frames.workload, battery=0 * frames.battery)
    solution = solver()(parameters(s), frames, frames.channels)
    np.testing.assert_allclose(solution.energy, 0.03, rtol=1e-6)
    assert np.all(solution.served)


@settings(max_examples=40)
@given(
    st.lists(st.just(0.0) | st.floats(1, 500), min_size=3, max_size=3),
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
    st.floats(-3, 3),
    st.integers(0, 2**31 - 1),
)
def test_extreme_frames_never_give_nan_and_always_a_verdict(workload, battery, log_gain, seed):
    # Loads of a few bits on empty batteries are beyond this: optimal, but feasible only to about 1e-7.
    s = scenario()
    frames = random_frames(s, 1, seed)
    frames = Frame(
        channels=frames.channels * 10**log_gain, workload=jnp.array([workload]), battery=jnp.array([battery])
    )
    solution = solver()(parameters(s), frames, frames.channels)
    assert not any(np.isnan(leaf).any() for leaf in jax.tree.leaves(solution))
    assert int(solution.status[0]) in (OPTIMAL, INFEASIBLE)


def test_phase_of_a_channel_does_not_matter():
    s = scenario()
    frames = random_frames(s, 30, 17)
    phase = np.exp(1j * np.random.default_rng(0).uniform(0, 2 * np.pi, (30, 3, 1)))
    turned = Frame(channels=frames.channels * phase, workload=frames.workload, battery=frames.battery)
    beams = random_beams(frames, 18)
    p = parameters(s)
    np.testing.assert_allclose(
        solver()(p, turned, beams).energy, solver()(p, frames, beams).energy, rtol=1e-7
    )


def test_unknown_choices_are_refused(monkeypatch):
    s = scenario()
    frames = random_frames(s, 1, 0)
    # Run-time type checks, which only the tests switch on, would refuse these first.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="scheme: 'both' is not known; choose from hybrid"):
        allocate_frames(parameters(s), frames, frames.channels, scheme="both")
    with pytest.raises(ValueError, match="serve: 'some' is not known; choose from all"):
        allocate_frames(parameters(s), frames, frames.channels, serve="some")
