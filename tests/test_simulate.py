"""Rollouts under the optimal allocation: conservation, limits and seeds; and the intervals of the results."""

import jax
import numpy as np
import pytest

from bank import play, random_frames
from scattermec.experiments.measure.beams import BEAMS, beam_rule, solve_frames
from scattermec.experiments.measure.rollouts import QUANTITIES, WARM_UP, num_rollouts, simulate
from scattermec.experiments.measure.statistics import Estimate, mean_interval, ratio_interval
from scattermec.optimisation import OPTIMAL, batch
from scattermec.physics import parameters_of
from scattermec.scenario import Scenario

NUM_FRAMES = 80  # eight rollouts: the size at which the fallback is compiled, too


@pytest.fixture(scope="module")
def rolled():
    return simulate(Scenario(), scheme="hybrid", beams="mrt", num_frames=NUM_FRAMES, seed=1)


def test_rollouts_share_the_frames(rolled):
    assert rolled.num_rollouts == num_rollouts(NUM_FRAMES) == 8
    assert rolled.num_frames == NUM_FRAMES
    for name, array in rolled.frames.items():
        per_user = name not in ("ap_energy", "reward", "status")
        assert array.shape == ((8, 10, 3) if per_user else (8, 10))
        assert np.isfinite(array).all()


@pytest.mark.parametrize(
    ("frames", "rollouts"), [(1, 2), (99, 9), (2000, 50), (5000, 50), (20_000, 200), (10**6, 512)]
)
def test_number_of_rollouts(frames, rollouts):
    assert num_rollouts(frames) == rollouts


def test_battery_is_conserved_from_frame_to_frame(rolled):
    f = rolled.frames
    after = f["battery"] + f["harvested"] - f["spent"] - f["overflow"]
    np.testing.assert_allclose(f["battery"][:, 1:], after[:, :-1], rtol=0, atol=1e-12)
    assert (f["battery"] >= 0).all()
    assert (f["battery"] <= Scenario().battery_capacity).all()


def test_work_is_processed_in_full_or_not_at_all(rolled):
    f = rolled.frames
    processed = f["active"] + f["passive"] + f["local"]
    np.testing.assert_allclose(processed, np.where(f["success"], f["workload"], 0), rtol=1e-6)
    # What was not processed comes back, as far as the backlog's cap allows.
    carried = np.where(f["success"], 0, np.minimum(f["workload"], Scenario().backlog_cap))
    assert (f["workload"][:, 1:] >= carried[:, :-1]).all()


def test_everyone_is_served_where_that_is_possible(rolled):
    f = rolled.frames
    possible = f["status"] == OPTIMAL
    assert possible.any()
    assert not possible.all()
    assert f["success"][possible].all()
    assert not f["success"][~possible].all(axis=-1).any()
    assert (f["t_active"] + f["t_passive"] <= 1 + 1e-6).all()


def test_reward_is_that_of_the_equation(rolled):
    f = rolled.frames
    served = f["success"].mean(axis=-1)
    work = np.where(f["success"], f["workload"], 0).sum(axis=-1)
    np.testing.assert_allclose(f["reward"], served**4 * work / f["ap_energy"], rtol=1e-12)


def test_estimates_summarise_the_frames(rolled):
    f, estimates = rolled.frames, rolled.estimates
    assert list(estimates) == [quantity.name for quantity in QUANTITIES]
    work = np.where(f["success"], f["workload"], 0)
    assert estimates["energy_efficiency"].mean == pytest.approx(work.sum() / f["ap_energy"].sum())
    assert estimates["outage"].mean == pytest.approx(1 - f["success"].mean())
    assert estimates["reward"].mean == pytest.approx(f["reward"].mean())
    assert estimates["battery"].mean == pytest.approx(f["battery"].mean())
    assert estimates["active_share"].mean == pytest.approx(f["active"].sum() / work.sum(), rel=1e-6)
    shares = [estimates[f"{way}_share"].mean for way in ("active", "passive", "local")]
    assert sum(shares) == pytest.approx(1)
    for estimate in estimates.values():
        assert estimate.low < estimate.mean < estimate.high


def test_the_seed_decides_everything(rolled):
    again = simulate(Scenario(), scheme="hybrid", beams="mrt", num_frames=NUM_FRAMES, seed=1)
    assert again.estimates == rolled.estimates
    other = simulate(Scenario(), scheme="hybrid", beams="mrt", num_frames=NUM_FRAMES, seed=2)
    assert other.estimates["battery"] != rolled.estimates["battery"]


def test_beams_matter_and_progress_is_told(rolled):
    told = []
    result = simulate(
        Scenario(),
        scheme="hybrid",
        beams="random",
        num_frames=NUM_FRAMES,
        seed=1,
        progress=lambda done, total: told.append((done, total)),
    )
    assert result.estimates["t_passive"] != rolled.estimates["t_passive"]
    steps = WARM_UP + 10
    assert told == [(8 * (step + 1), 8 * steps) for step in range(steps)]


def test_errors_in_what_the_ap_sees_cause_outages(rolled):
    # The AP allocates for the workload that it sees, so about half of the users get too little at first.
    blurred = simulate(
        Scenario(workload_error=0.1), scheme="hybrid", beams="mrt", num_frames=NUM_FRAMES, seed=1
    )
    assert blurred.estimates["outage"].low > rolled.estimates["outage"].high
    assert blurred.estimates["outage"].mean > 0.4


def test_no_work_costs_the_idle_energy_alone():
    # The same shapes as before, so the same programs.
    scenario = Scenario(mean_workload=0)
    result = simulate(scenario, scheme="hybrid", beams="mrt", num_frames=NUM_FRAMES, seed=0)
    assert result.estimates["ap_energy"] == pytest.approx((0.03, 0.03, 0.03))
    for name in ("energy_efficiency", "reward", "outage", "active_share", "local_share", "t_passive"):
        assert result.estimates[name] == pytest.approx((0, 0, 0), abs=1e-6)


def test_frames_that_do_not_converge_are_counted_and_fall_back(monkeypatch, rolled):
    solve_all = batch._solve_all

    def failing(*args):
        solution = solve_all(*args)
        object.__setattr__(solution, "status", solution.status.at[:3].set(2))
        return solution

    monkeypatch.setattr(batch, "_solve_all", failing)
    result = simulate(Scenario(), scheme="hybrid", beams="mrt", num_frames=NUM_FRAMES, seed=1)
    assert result.not_converged >= 30
    # Everyone is still the best set in most frames.
    assert result.frames["success"][:3].mean() > 0.5


@pytest.fixture(scope="module")
def drawn():
    return random_frames(Scenario(), 8, load=35)


@pytest.mark.parametrize("name", BEAMS)
def test_solved_frames_succeed_at_the_energy_that_is_told(drawn, name):
    parameters = parameters_of(Scenario())
    solved = solve_frames(parameters, drawn, name, scheme="hybrid", key=jax.random.key(1))
    np.testing.assert_allclose(np.linalg.norm(solved.beams, axis=2), 1)
    played = play(parameters, drawn, solved.beams, solved.solution.allocation)
    np.testing.assert_array_equal(played.success, solved.solution.served)
    np.testing.assert_array_equal(played.success.all(axis=1), solved.status == OPTIMAL)
    np.testing.assert_allclose(played.ap_energy, solved.solution.energy)
    assert (solved.lower_bound <= solved.solution.energy * (1 + 1e-12)).all()


def test_no_beams_beat_optimal_ones(drawn):
    parameters = parameters_of(Scenario())
    mrt, random, optimal = (
        solve_frames(parameters, drawn, name, scheme="hybrid", key=jax.random.key(1)) for name in BEAMS
    )
    for other in (mrt, random):
        both = other.status == OPTIMAL
        assert both.any()
        assert (optimal.status[both] == OPTIMAL).all()
        assert (optimal.lower_bound[both] <= other.solution.energy[both] * (1 + 1e-9)).all()
        assert (optimal.solution.energy[both] < other.solution.energy[both] * (1 + 1e-5)).all()


def test_optimal_beams_serve_more_and_spend_less_in_the_long_run(rolled):
    result = simulate(Scenario(), scheme="hybrid", beams="optimal", num_frames=NUM_FRAMES, seed=1)
    assert result.frames["success"][result.frames["status"] == OPTIMAL].all()
    assert result.estimates["outage"].mean < rolled.estimates["outage"].mean
    assert result.estimates["energy_efficiency"].low > rolled.estimates["energy_efficiency"].mean


def test_optimal_beams_are_chosen_for_what_the_ap_sees():
    blurred = simulate(
        Scenario(csi_error=0.5), scheme="hybrid", beams="optimal", num_frames=NUM_FRAMES, seed=1
    )
    f = blurred.frames
    # What was thought to serve everyone often does not, on the true channels.
    assert 0.1 < f["success"][f["status"] == OPTIMAL].mean() < 0.9


def test_unknown_choices_are_refused(drawn):
    with pytest.raises(ValueError, match="beams: 'best' is not known; choose from mrt, random, optimal"):
        beam_rule("best")
    with pytest.raises(ValueError, match="'optimal' depend on the allocation"):
        beam_rule("optimal")
    curved = parameters_of(Scenario(harvest_model="sigmoidal"))
    with pytest.raises(ValueError, match="harvest_model"):
        solve_frames(curved, drawn, "optimal", scheme="hybrid", key=jax.random.key(0))
    with pytest.raises(ValueError, match="num_frames: 0"):
        simulate(Scenario(), scheme="hybrid", beams="mrt", num_frames=0, seed=0)


def test_interval_of_a_mean_is_the_normal_one_for_many_values():
    values = np.random.default_rng(0).normal(3, 2, 1000)
    estimate = mean_interval(values)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert estimate.mean == pytest.approx(values.mean())
    assert estimate.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert estimate.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_interval_of_a_mean_covers_it_as_often_as_it_says():
    rng = np.random.default_rng(1)
    intervals = [mean_interval(rng.exponential(size=50)) for _ in range(400)]
    covered = np.mean([estimate.low <= 1 <= estimate.high for estimate in intervals])
    assert 0.90 < covered < 0.97  # a little under 95% for few and skewed values


def test_interval_of_a_ratio_is_the_delta_methods_for_many_units():
    rng = np.random.default_rng(2)
    energy = rng.uniform(1, 2, 2000)
    work = 3 * energy + rng.normal(0, 0.3, 2000)
    estimate = ratio_interval(work, energy)
    ratio = work.sum() / energy.sum()
    half = 1.96 * np.std(work - ratio * energy) / energy.mean() / np.sqrt(2000)
    assert estimate.mean == pytest.approx(ratio)
    assert estimate.high - estimate.low == pytest.approx(2 * half, rel=0.1)


def test_degenerate_intervals_are_numbers():
    assert ratio_interval([0, 1], [0, 0]) == Estimate(0, 0, 0)
    assert mean_interval([0.1] * 7) == Estimate(*[pytest.approx(0.1)] * 3)
    assert mean_interval([5]) == Estimate(5, 5, 5)
    assert ratio_interval([1, 2, 3], [2, 4, 6]) == Estimate(0.5, 0.5, 0.5)
    assert mean_interval([1, 2, np.inf]) == Estimate(np.inf, 1, np.inf)
    for broken in ([], [1, np.nan], [[1, 2]]):
        with pytest.raises(ValueError, match=r"unit|numbers"):
            mean_interval(broken)
    for broken in ([1, -1], [1, np.inf], [1]):
        with pytest.raises(ValueError, match="denominators"):
            ratio_interval([1, 2], broken)


def test_large_samples_are_resampled_in_pieces():
    values = np.random.default_rng(3).uniform(size=30_000)
    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) != mean_interval(values, seed=2)
