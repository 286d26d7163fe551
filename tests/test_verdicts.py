"""Verdicts on frames at the edges: free, degenerate, blocked, hardly feasible."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from torture.reference import Answer, Constants, Frames, allocation_bound, beams_bound, links_of

from bank import DEGENERATE, EDGES, at, degenerate_frames, kept_frames, mrt, random_frames
from reference_beams import reference_beams
from scattermec import Scenario
from scattermec.optimisation import (
    FEASIBLE,
    INFEASIBLE,
    NOT_CONVERGED,
    OPTIMAL,
    SCHEMES,
    allocate,
    allocate_frames,
    batch,
    frame_rewards,
    optimise_beams_frames,
    optimise_service_frames,
    service,
)
from scattermec.physics import Frame, maximum_ratio_beams, parameters_of


def solve(scenario: Scenario, frames: Frame, scheme: str = "hybrid"):
    return allocate_frames(parameters_of(scenario), frames, jnp.zeros_like(frames.channels), scheme=scheme)


def test_work_that_batteries_pay_for_costs_nothing():
    scenario, frames = Scenario(idle_power=0), kept_frames("full_batteries")
    for found in (
        solve(scenario, frames),
        optimise_beams_frames(parameters_of(scenario), frames).solution,
    ):
        assert found.status[0] == OPTIMAL
        assert found.energy[0] == 0
        assert found.accuracy[0] == 0


def test_needs_far_below_what_could_be_harvested_are_met():
    # The AP could bring a million times the energy that the only user with work needs.
    scenario = Scenario(
        ap_power=23.0,
        reflection_gain=0.19,
        harvest_efficiency=0.7,
        noise_power=9e-5,
        reference_loss=20.0,
        circuit_power=3.2e-3,
        local_energy=2.6e-4,
        local_rate=4.8,
        slot_duration=0.028,
        bandwidth=1.38,
        battery_capacity=12.0,
        idle_power=1.3e-3,
    )
    frames = random_frames(scenario, 1024, 3, (0.0, 0.0))
    work = np.zeros((1024, 3))
    work[:, 1] = np.logspace(-7, -1, 1024)
    frames = dataclasses.replace(frames, workload=jnp.asarray(work))
    found = {scheme: solve(scenario, frames, scheme) for scheme in ("local", "hybrid")}

    constants = Constants(scenario, 3)
    beams = np.asarray(mrt(frames))
    best_rate = links_of(constants, np.asarray(frames.channels), beams).harvest_rate[:, 1].max(axis=1)
    beaming = scenario.local_energy * work[:, 1] / best_rate
    power = scenario.ap_power + scenario.passive_receive_power
    computed = constants.idle_energy + power * beaming
    assert set(np.asarray(found["local"].status)) == set(np.asarray(found["hybrid"].status)) == {OPTIMAL}
    np.testing.assert_allclose(np.asarray(found["local"].energy), computed, atol=1e-9)
    assert np.all(np.asarray(found["hybrid"].energy) <= computed + 1e-9)
    assert np.all(np.asarray(found["hybrid"].served))


@pytest.mark.parametrize("name", EDGES)
def test_every_frame_has_a_verdict(name):
    frames, _ = EDGES[name].draw(1024, seed=1)
    for scheme in SCHEMES:
        status = np.asarray(solve(EDGES[name].scenario, frames, scheme).status)
        assert set(status) <= {OPTIMAL, INFEASIBLE}


def test_every_frame_has_a_verdict_in_random_scenarios():
    random = np.random.default_rng(2)

    def between(low: float, high: float) -> float:
        return float(10 ** random.uniform(np.log10(low), np.log10(high)))

    undecided = 0
    for seed in range(12):
        receiving = between(1e-4, 1)
        scenario = Scenario(
            ap_power=between(1e-2, 1e2),
            noise_power=between(1e-15, 1e-6),
            harvest_efficiency=between(1e-2, 1),
            reflection_gain=between(1e-4, 1),
            circuit_power=between(1e-5, 1),
            local_energy=between(1e-5, 1),
            local_rate=between(0.1, 1e4),
            battery_capacity=between(1e-3, 1e5),
            active_receive_power=receiving,
            passive_receive_power=receiving * between(0.01, 1),
            mec_energy=between(1e-7, 1e-2),
            idle_power=between(1e-5, 1),
            slot_duration=between(1e-2, 10),
            bandwidth=between(0.5, 1e3),
            mean_workload=between(0.1, 1e3),
            initial_battery=0.0,
        )
        battery = (0, scenario.battery_capacity * between(1e-4, 1))
        frames = random_frames(scenario, 512, seed, battery)
        for scheme in SCHEMES:
            status = np.asarray(solve(scenario, frames, scheme).status)
            undecided += np.count_nonzero((status != OPTIMAL) & (status != INFEASIBLE))
    assert undecided <= 1  # of 24,576


@pytest.mark.parametrize("kind", DEGENERATE)
def test_beams_of_degenerate_channels_are_as_good_as_the_conic_solvers(kind):
    scenario, frames = degenerate_frames(kind, 40, seed=4)
    energies = {}
    for scheme in ("hybrid", "active", "local"):
        found = optimise_beams_frames(parameters_of(scenario), frames, scheme=scheme)
        status = np.asarray(found.status)
        assert set(status) <= {OPTIMAL, INFEASIBLE}
        energies[scheme] = np.asarray(found.energy)
        reference = reference_beams(3, scenario.num_antennas, scheme)
        arrays = (frames.channels, frames.workload, frames.battery)
        verdicts, expected = zip(*(reference.solve(scenario, *at(arrays, k)) for k in range(3)), strict=True)
        assert verdicts == tuple(status[:3])
        np.testing.assert_allclose(energies[scheme][:3], expected, rtol=1e-5)  # both infinite if infeasible
    for restriction in ("active", "local"):
        assert np.all(energies["hybrid"] <= energies[restriction] * (1 + 1e-5))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_orthogonal_frame_is_solved(scheme):
    found = optimise_beams_frames(
        parameters_of(Scenario()), kept_frames("orthogonal_channels"), scheme=scheme
    )
    assert found.status[0] in (OPTIMAL, INFEASIBLE)
    assert scheme != "hybrid" or found.status[0] == OPTIMAL


def test_an_optimum_is_never_called_one_without_a_certified_gap():
    for kind in ("orthogonal", "rotated"):
        scenario, frames = degenerate_frames(kind, 128, seed=5)
        found = optimise_beams_frames(parameters_of(scenario), frames, scheme="passive")
        optimal = np.asarray(found.status) == OPTIMAL
        assert np.asarray(found.gap)[optimal].max() <= 1e-4
        unmet = np.asarray(found.status) == FEASIBLE
        assert np.all(np.isfinite(np.asarray(found.energy)[unmet]))


def answer_of(solution, prices) -> Answer:
    parts = {name: np.asarray(leaf) for name, leaf in vars(solution.allocation).items()}
    return Answer(
        status=np.asarray(solution.status),
        energy=np.asarray(solution.energy),
        value=np.asarray(solution.value),
        lower_bound=np.asarray(solution.lower_bound),
        served=np.asarray(solution.served),
        **parts,
        price_workload=np.asarray(prices.workload),
        price_budget=np.asarray(prices.budget),
        price_capacity=np.asarray(prices.capacity),
    )


@pytest.mark.parametrize(
    "changes", [{}, {"noise_power": 1e-3}, {"ap_power": 1e3}, {"battery_capacity": 1e9}, "rotated"]
)
def test_published_prices_give_the_published_bound(changes):
    if changes == "rotated":
        scenario, frames = degenerate_frames("rotated", 256, seed=6)
    else:
        scenario = Scenario(**changes)
        frames = random_frames(scenario, 256, seed=6)
    constants = Constants(scenario, 3)
    given = Frames(*(np.asarray(leaf) for leaf in (frames.channels, frames.workload, frames.battery)), None)
    beams = given.channels / np.linalg.norm(given.channels, axis=-1, keepdims=True)
    found = solve(scenario, frames)
    optimal = np.asarray(found.status) == OPTIMAL
    links = links_of(constants, given.channels, beams)
    bound = allocation_bound(constants, given, links, answer_of(found, found.prices), "hybrid")
    energy, bound = np.asarray(found.energy)[optimal], bound[optimal]
    gap = (energy - bound) / np.maximum(energy, 1e-3)
    np.testing.assert_allclose(gap, np.asarray(found.accuracy)[optimal], atol=1e-8)
    best = optimise_beams_frames(parameters_of(scenario), frames)
    optimal = np.asarray(best.status) == OPTIMAL
    bound = beams_bound(constants, given, answer_of(best.solution, best.prices), "hybrid")
    np.testing.assert_allclose(bound[optimal], np.asarray(best.lower_bound)[optimal], rtol=1e-8, atol=1e-9)


def test_published_prices_prove_infeasibility_for_all_beams():
    scenario, edge = Scenario(noise_power=1e-3), kept_frames("infeasible_noisy")
    for frames in (edge, random_frames(scenario, 256, seed=6)):
        best = optimise_beams_frames(parameters_of(scenario), frames)
        infeasible = np.asarray(best.status) == INFEASIBLE
        assert infeasible.any()
        given = Frames(
            *(np.asarray(leaf) for leaf in (frames.channels, frames.workload, frames.battery)), None
        )
        answer = answer_of(best.solution, best.prices)
        margin = beams_bound(Constants(scenario, 3), given, answer, "hybrid", proof=True)
        assert np.all(margin[infeasible] > 0)


@pytest.mark.parametrize("changes", [{}, {"causal_harvest": True}])
def test_a_frame_is_answered_alike_in_any_company(changes):
    parameters = parameters_of(Scenario(**changes))
    count = batch.BLOCKS * batch.BLOCK + 100  # more than one call of a program solves
    frames = random_frames(Scenario(**changes), count, seed=7)
    data = (frames, mrt(frames))
    random = np.random.default_rng(8)

    def part(chosen):
        return jax.device_put(jax.tree.map(lambda leaf: np.asarray(leaf)[chosen], data))

    for answer in (
        lambda data: allocate_frames(parameters, *data),
        lambda data: optimise_beams_frames(parameters, data[0]),
    ):
        together = jax.tree.map(np.asarray, answer(data))
        for chosen in (*(random.permutation(count) for _ in range(3)), [0], [510], [count - 1]):
            found = answer(part(np.asarray(chosen)))
            jax.tree.map(lambda a, b, c=chosen: np.testing.assert_array_equal(a[c], b), together, found)


def test_the_best_set_is_never_worse_than_everyone():
    edge = kept_frames("best_worse")
    for scenario, frames in (
        (Scenario(), edge),
        (Scenario(), random_frames(Scenario(), 300, seed=9)),
        (Scenario(), random_frames(Scenario(mean_workload=1.0), 300, seed=10)),
    ):
        parameters = parameters_of(scenario)
        everyone = solve(scenario, frames)
        best = allocate_frames(parameters, frames, jnp.zeros_like(frames.channels), serve="best")
        assert np.all(frame_rewards(parameters, frames, best) >= frame_rewards(parameters, frames, everyone))
        free = optimise_beams_frames(parameters, frames).solution
        service = optimise_service_frames(parameters, frames)
        assert np.all(np.asarray(service.reward) >= frame_rewards(parameters, frames, free))


@pytest.mark.parametrize(("share_of_bound", "status"), [(1.0, OPTIMAL), (0.0, FEASIBLE)])
def test_a_set_without_a_verdict_raises_doubt_only_if_it_could_be_best(monkeypatch, share_of_bound, status):
    parameters = parameters_of(Scenario())
    frame = jax.tree.map(lambda leaf: leaf[0], random_frames(Scenario(), 1, 7, (0.5, 1.0)))
    beams = maximum_ratio_beams(frame.channels)
    everyone = allocate(parameters, frame, beams)
    assert everyone.status == OPTIMAL
    solve_sets = service._solve_sets

    def without_a_verdict_for_one_user(*arguments, **settings):
        found = solve_sets(*arguments, **settings)
        return dataclasses.replace(
            found,
            status=found.status.at[-1].set(NOT_CONVERGED),
            lower_bound=found.lower_bound.at[-1].set(share_of_bound * everyone.energy),
        )

    monkeypatch.setattr(service, "_solve_sets", without_a_verdict_for_one_user)
    best = jax.jit(lambda *data: service.allocate_best_set(parameters, *data))(frame, beams)
    assert best.status == status
    np.testing.assert_allclose(best.energy, everyone.energy)


def test_a_user_without_a_path_computes_from_its_battery_or_is_in_outage():
    scenario = Scenario()
    frames = random_frames(scenario, 4, seed=11)
    channels = frames.channels.at[:, 0].set(0)
    workload = frames.workload.at[:, 0].set(jnp.array([0.0, 20.0, 20.0, 60.0]))
    battery = jnp.full_like(frames.battery, 0.5).at[:, 0].set(jnp.array([0.0, 0.2, 0.01, 0.5]))
    frames = Frame(channels=channels, workload=workload, battery=battery)
    # No work; work that the battery pays for; a battery too small; more work than a slot's computing.
    expected = [OPTIMAL, OPTIMAL, INFEASIBLE, INFEASIBLE]
    assert list(np.asarray(solve(scenario, frames).status)) == expected
    found = optimise_beams_frames(parameters_of(scenario), frames)
    assert list(np.asarray(found.status)) == expected
    assert found.solution.allocation.l_local[1, 0] == pytest.approx(20)
    best = allocate_frames(parameters_of(scenario), frames, jnp.zeros_like(channels), serve="best")
    np.testing.assert_array_equal(np.asarray(best.served)[:, 0], [True, True, False, False])
