"""Verdicts on frames at the edges: free, degenerate, blocked, hardly feasible."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from torture.reference import Answer, Constants, Frames, allocation_bound, beams_bound, links_of

from reference_beams import ReferenceBeams
from scattermec import Scenario
from scattermec.optimisation import (
    FEASIBLE,
    INFEASIBLE,
    OPTIMAL,
    SCHEMES,
    allocate_frames,
    frame_rewards,
    optimise_beams_frames,
    optimise_service_frames,
)
from scattermec.physics import Frame, maximum_ratio_beams, parameters

CASES = Path(__file__).parent / "cases"


def load(name: str) -> Frame:
    with np.load(CASES / name) as arrays:
        return Frame(**{key: jnp.asarray(arrays[key]) for key in ("channels", "workload", "battery")})


def draw(
    scenario: Scenario, count: int, seed: int, *, battery: float = 0.1, work: float | None = None
) -> Frame:
    """Rayleigh channels, Poisson work, uniform batteries up to ``battery`` mJ."""
    random = np.random.default_rng(seed)
    shape = (count, scenario.num_users, scenario.num_antennas)
    fading = (random.normal(size=shape) + 1j * random.normal(size=shape)) / np.sqrt(2)
    mean = np.asarray(parameters(scenario).mean_workload)
    workload = random.poisson(mean, shape[:2]).astype(float) if work is None else np.full(shape[:2], work)
    return Frame(
        channels=jnp.asarray(fading * np.asarray(parameters(scenario).path_gain)[:, None]),
        workload=jnp.asarray(workload),
        battery=jnp.asarray(random.uniform(0, battery, shape[:2])),
    )


def solve(scenario: Scenario, frames: Frame, scheme: str = "hybrid"):
    return allocate_frames(parameters(scenario), frames, jnp.zeros_like(frames.channels), scheme=scheme)


def test_work_that_batteries_pay_for_costs_nothing():
    scenario, frames = Scenario(idle_power=0), load("full_batteries.npz")
    for found in (
        solve(scenario, frames),
        optimise_beams_frames(parameters(scenario), frames).solution,
    ):
        assert found.status[0] == OPTIMAL
        assert found.energy[0] == 0
        assert found.accuracy[0] == 0


FREE = {"active_receive_power": 0.0, "passive_receive_power": 0.0, "mec_energy": 0.0, "idle_power": 0.0}


@pytest.mark.parametrize(
    ("changes", "battery", "work"),
    [
        ({"idle_power": 0.0}, 1.0, None),
        (FREE, 0.1, None),
        (FREE, 1.0, None),
        ({"ap_power": 1e3}, 0.1, None),
        ({"noise_power": 1e-3}, 0.1, None),
        ({"noise_power": 1e-14}, 0.1, None),
        ({"battery_capacity": 1e9}, 0.1, None),
        ({"battery_capacity": 1e9}, 1e9, None),
        ({}, 0.0, None),
        ({}, 0.1, 1e-3),
        ({"circuit_power": 0.0}, 0.1, None),
        ({"local_rate": 0.0}, 0.1, None),
        ({"slot_duration": 0.01, "bandwidth": 1000.0}, 0.1, None),
    ],
)
def test_every_frame_has_a_verdict(changes, battery, work):
    scenario = Scenario(**changes)
    frames = draw(scenario, 1024, seed=1, battery=battery, work=work)
    for scheme in SCHEMES:
        status = np.asarray(solve(scenario, frames, scheme).status)
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
        frames = draw(scenario, 512, seed, battery=scenario.battery_capacity * between(1e-4, 1))
        for scheme in SCHEMES:
            status = np.asarray(solve(scenario, frames, scheme).status)
            undecided += np.count_nonzero((status != OPTIMAL) & (status != INFEASIBLE))
    assert undecided <= 1  # of 24,576


def degenerate(kind: str, count: int, users: int = 3) -> np.ndarray:
    """Channels (count, users, M), before path loss, of one antenna or as many as users."""
    random = np.random.default_rng(3)
    antennas = 1 if kind == "one antenna" else users
    found = []
    for _ in range(count):
        h = random.normal(size=(users, antennas)) + 1j * random.normal(size=(users, antennas))
        norms = np.linalg.norm(h, axis=1, keepdims=True)
        rotation = np.linalg.qr(random.normal(size=(antennas, antennas)) + 0j)[0]
        found.append(
            {
                "orthogonal": norms * np.eye(users, antennas) + 0j,
                "rotated": norms * (np.eye(users, antennas) @ rotation),
                "nearly orthogonal": norms * np.eye(users, antennas) + 10 ** random.uniform(-9, -1) * h,
                "collinear": norms * h[:1] / norms[:1],
                "equal": np.repeat(h[:1], users, axis=0),
                "one antenna": h,
            }[kind]
        )
    return np.array(found) / np.sqrt(2)


@pytest.mark.parametrize(
    "kind", ["orthogonal", "rotated", "nearly orthogonal", "collinear", "equal", "one antenna"]
)
def test_beams_of_degenerate_channels_are_as_good_as_the_conic_solvers(kind):
    channels = degenerate(kind, 40)
    scenario = Scenario(num_antennas=channels.shape[-1])
    frames = draw(scenario, 40, seed=4)
    gains = np.asarray(parameters(scenario).path_gain)[:, None]
    frames = dataclasses.replace(frames, channels=jnp.asarray(channels * gains))
    energies = {}
    for scheme in ("hybrid", "active", "local"):
        found = optimise_beams_frames(parameters(scenario), frames, scheme=scheme)
        status = np.asarray(found.status)
        assert set(status) <= {OPTIMAL, INFEASIBLE}
        energies[scheme] = np.asarray(found.energy)
        reference = ReferenceBeams(3, channels.shape[-1], scheme)
        for k in range(3):
            data = (np.asarray(leaf[k]) for leaf in (frames.channels, frames.workload, frames.battery))
            verdict, energy = reference.solve(scenario, *data)
            assert verdict == status[k]
            if verdict == OPTIMAL:
                assert energies[scheme][k] == pytest.approx(energy, rel=1e-5)
    for restriction in ("active", "local"):
        assert np.all(energies["hybrid"] <= energies[restriction] * (1 + 1e-5))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_orthogonal_frame_is_solved(scheme):
    found = optimise_beams_frames(parameters(Scenario()), load("orthogonal_channels.npz"), scheme=scheme)
    assert found.status[0] in (OPTIMAL, INFEASIBLE)
    assert scheme != "hybrid" or found.status[0] == OPTIMAL


def test_an_optimum_is_never_called_one_without_a_certified_gap():
    for kind in ("orthogonal", "rotated"):
        scenario, channels = Scenario(), degenerate(kind, 128)
        frames = draw(scenario, 128, seed=5)
        gains = np.asarray(parameters(scenario).path_gain)[:, None]
        frames = dataclasses.replace(frames, channels=jnp.asarray(channels * gains))
        found = optimise_beams_frames(parameters(scenario), frames, scheme="passive")
        optimal = np.asarray(found.status) == OPTIMAL
        assert np.asarray(found.gap)[optimal].max() <= 1e-4
        unmet = np.asarray(found.status) == FEASIBLE
        assert np.all(np.isfinite(np.asarray(found.energy)[unmet]))


def answer_of(solution, prices) -> Answer:
    parts = {name: np.asarray(leaf) for name, leaf in vars(solution.allocation).items()}
    return Answer(
        status=np.asarray(solution.status),
        energy=np.asarray(solution.energy),
        lower_bound=np.asarray(solution.lower_bound),
        served=np.asarray(solution.served),
        **parts,
        price_workload=np.asarray(prices.workload),
        price_budget=np.asarray(prices.budget),
        price_capacity=np.asarray(prices.capacity),
    )


def rotated_orthogonal(frames: Frame, seed: int) -> Frame:
    """The same gains on channels that are orthogonal, but along no axis: rounding decides much."""
    random = np.random.default_rng(seed)
    normal = random.normal(size=(2, *frames.channels.shape))
    unitary = np.linalg.qr(normal[0] + 1j * normal[1])[0]
    gains = np.linalg.norm(frames.channels, axis=-1)
    return dataclasses.replace(frames, channels=jnp.asarray(gains[..., None] * unitary))


@pytest.mark.parametrize(
    "changes", [{}, {"noise_power": 1e-3}, {"ap_power": 1e3}, {"battery_capacity": 1e9}, "orthogonal"]
)
def test_published_prices_give_the_published_bound(changes):
    scenario = Scenario(**({} if changes == "orthogonal" else changes))
    frames = draw(scenario, 256, seed=6)
    frames = rotated_orthogonal(frames, seed=16) if changes == "orthogonal" else frames
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
    best = optimise_beams_frames(parameters(scenario), frames)
    optimal = np.asarray(best.status) == OPTIMAL
    bound = beams_bound(constants, given, answer_of(best.solution, best.prices), "hybrid")
    np.testing.assert_allclose(bound[optimal], np.asarray(best.lower_bound)[optimal], rtol=1e-8, atol=1e-9)


def test_published_prices_prove_infeasibility_for_all_beams():
    scenario, edge = Scenario(noise_power=1e-3), load("infeasible_noisy.npz")
    for frames in (edge, draw(scenario, 256, seed=6)):
        best = optimise_beams_frames(parameters(scenario), frames)
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
    constants = parameters(Scenario(**changes))
    frames = draw(Scenario(**changes), 1500, seed=7)
    data = (frames, jax.vmap(maximum_ratio_beams)(frames.channels))
    random = np.random.default_rng(8)

    def part(chosen):
        return jax.tree.map(lambda leaf: leaf[chosen], data)

    for answer in (
        lambda data: allocate_frames(constants, *data),
        lambda data: optimise_beams_frames(constants, data[0]),
    ):
        together = jax.tree.map(np.asarray, answer(data))
        for chosen in (*(random.permutation(1500) for _ in range(8)), [0], [510], [1499]):
            found = answer(part(np.asarray(chosen)))
            jax.tree.map(lambda a, b, c=chosen: np.testing.assert_array_equal(a[c], b), together, found)


def test_the_best_set_is_never_worse_than_everyone():
    edge = load("best_worse.npz")
    for scenario, frames in (
        (Scenario(), edge),
        (Scenario(), draw(Scenario(), 300, seed=9)),
        (Scenario(), draw(Scenario(mean_workload=1.0), 300, seed=10)),
    ):
        constants = parameters(scenario)
        everyone = solve(scenario, frames)
        best = allocate_frames(constants, frames, jnp.zeros_like(frames.channels), serve="best")
        assert np.all(frame_rewards(constants, frames, best) >= frame_rewards(constants, frames, everyone))
        free = optimise_beams_frames(constants, frames).solution
        service = optimise_service_frames(constants, frames)
        assert np.all(np.asarray(service.reward) >= frame_rewards(constants, frames, free))


def test_a_user_without_a_path_computes_from_its_battery_or_is_in_outage():
    scenario = Scenario()
    frames = draw(scenario, 4, seed=11)
    channels = frames.channels.at[:, 0].set(0)
    workload = frames.workload.at[:, 0].set(jnp.array([0.0, 20.0, 20.0, 60.0]))
    battery = jnp.full_like(frames.battery, 0.5).at[:, 0].set(jnp.array([0.0, 0.2, 0.01, 0.5]))
    frames = Frame(channels=channels, workload=workload, battery=battery)
    # No work; work that the battery pays for; a battery too small; more work than a slot's computing.
    expected = [OPTIMAL, OPTIMAL, INFEASIBLE, INFEASIBLE]
    assert list(np.asarray(solve(scenario, frames).status)) == expected
    found = optimise_beams_frames(parameters(scenario), frames)
    assert list(np.asarray(found.status)) == expected
    assert found.solution.allocation.l_local[1, 0] == pytest.approx(20)
    best = allocate_frames(parameters(scenario), frames, jnp.zeros_like(channels), serve="best")
    np.testing.assert_array_equal(np.asarray(best.served)[:, 0], [True, True, False, False])
