"""The clairvoyant bound over a horizon, and what policies cost over it."""

import importlib
import json

import jax.numpy as jnp
import numpy as np
import pytest

from command_line import refused, run
from scattermec import Scenario, price_net
from scattermec.errors import InputError
from scattermec.experiments.evaluate import foresight
from scattermec.experiments.evaluate.policies import Contender, fixed_contenders
from scattermec.optimisation import INFEASIBLE, OPTIMAL, Prices, optimise_beams_frames
from scattermec.optimisation.horizon import Episode, bound_energy, certified_energy
from scattermec.physics import Frame, parameters_of

SCENARIO = Scenario(backlog_cap=0)
PARAMETERS = parameters_of(SCENARIO)


def episodes(count: int, frames: int, seed: int = 0) -> list[Episode]:
    mrt = fixed_contenders(SCENARIO, ["mrt"])[0]
    return foresight.play_episodes(PARAMETERS, mrt, frames=frames, episodes=count, seed=seed)[0]


@pytest.fixture(scope="module")
def short() -> list[Episode]:
    return episodes(4, 3)


# The bound


def test_bound_of_one_frame_is_the_optimum_of_that_frame() -> None:
    found = episodes(4, 1, seed=5)
    frames = Frame(
        channels=jnp.stack([episode.channels[0] for episode in found]),
        workload=jnp.stack([episode.workload[0] for episode in found]),
        battery=jnp.stack([episode.battery for episode in found]),
    )
    own = optimise_beams_frames(PARAMETERS, frames)
    status = np.asarray(own.status)
    assert set(status) == {OPTIMAL, INFEASIBLE}
    for episode, energy, possible in zip(found, own.energy, status == OPTIMAL, strict=True):
        rigid = bound_energy(SCENARIO, episode, elastic=False)
        elastic = bound_energy(SCENARIO, episode)
        assert abs(rigid.gap) < 1e-6
        assert abs(elastic.gap) < 1e-6
        assert rigid.value == pytest.approx(float(energy), rel=1e-6)
        assert rigid.bound == pytest.approx(float(energy), rel=1e-6)
        assert (elastic.bound == pytest.approx(rigid.bound, rel=1e-6)) == possible


def test_two_frames_lie_between_those_with_full_and_those_with_empty_batteries(short: list[Episode]) -> None:
    scenario = SCENARIO.with_settings(["battery_capacity=0.2", "initial_battery=0"])
    channels, workload, _ = short[0]
    full = np.full(3, 0.2)
    apart = [bound_energy(scenario, Episode(channels[k : k + 1], workload[k : k + 1], full)) for k in (0, 1)]
    together = bound_energy(scenario, Episode(channels[:2], workload[:2], full))
    nothing = bound_energy(scenario, Episode(channels[1:2], workload[1:2], np.zeros(3)))
    assert sum(part.bound for part in apart) <= together.bound * (1 + 1e-8)
    assert together.bound <= (apart[0].bound + nothing.bound) * (1 + 1e-8)


def test_elastic_bound_is_below_the_rigid_one_which_may_be_infinite(short: list[Episode]) -> None:
    channels, workload, battery = short[1]
    elastic = bound_energy(SCENARIO, short[1])
    assert elastic.bound <= bound_energy(SCENARIO, short[1], elastic=False).bound * (1 + 1e-8)
    too_much = Episode(channels, workload * 20, battery)
    assert bound_energy(SCENARIO, too_much, elastic=False).bound == np.inf
    left = bound_energy(SCENARIO, too_much)
    assert np.isfinite(left.bound)
    assert left.plan is not None
    assert np.asarray(left.plan.shortfall).sum() > 0.5 * too_much.workload.sum()


def test_more_energy_at_the_start_never_raises_the_bound(short: list[Episode]) -> None:
    channels, workload, _ = short[2]
    levels = [bound_energy(SCENARIO, Episode(channels, workload, np.full(3, e))) for e in (0, 0.1, 0.3, 0.9)]
    bounds = np.array([level.bound for level in levels])
    assert (np.diff(bounds) <= 1e-8 * bounds[:-1]).all()
    assert bounds[-1] < 0.9 * bounds[0]


def test_any_prices_give_a_bound_and_the_plan_keeps_its_balance(short: list[Episode]) -> None:
    episode = short[3]
    found = bound_energy(SCENARIO, episode)
    rng = np.random.default_rng(0)
    for size in (1e-3, 1e-2, 0.1, 1):
        drawn = (jnp.asarray(rng.uniform(0, size, (3, 3))) for _ in range(3))
        prices = Prices(**dict(zip(("workload", "budget", "capacity"), drawn, strict=True)))
        bound = certified_energy(PARAMETERS, *map(jnp.asarray, episode), prices)
        assert float(bound) <= found.value * (1 + 1e-8)
    plan = found.plan
    assert plan is not None
    before = np.concatenate([episode.battery[None], plan.battery[:-1]])
    spent = plan.radiated + 0.01 * plan.t_active + 0.005 * plan.l_local
    assert (plan.battery <= np.minimum(before + plan.harvested, 1) - spent + 1e-6).all()
    assert (np.asarray(plan.main_beam)[np.asarray(plan.t_passive) > 1e-4] > 1 - 1e-4).all()


# Policies over it


@pytest.fixture(scope="module")
def contenders() -> list[Contender]:
    # The optimum takes long to compile; price-net with P1 is within a thousandth of it.
    made = foresight.contenders(price_net.load("price-net"), SCENARIO)
    assert len(made) == 6
    return [each for each in made if (each.policy, each.mode) not in (("optimum", None), ("random", None))]


def test_no_policy_costs_less_than_the_bound_in_any_episode(
    contenders: list[Contender], short: list[Episode]
) -> None:
    bounds = np.array([bound_energy(SCENARIO, episode).bound for episode in short])
    for contender in contenders:
        met, played = foresight.play_episodes(PARAMETERS, contender, frames=3, episodes=4, seed=0)
        np.testing.assert_array_equal(met[0].channels, short[0].channels)
        np.testing.assert_array_equal(met[3].workload, short[3].workload)
        assert (played.cost(1.0) >= bounds * (1 - 1e-5)).all(), contender
    myopic = [foresight.play_frame_by_frame(SCENARIO, episode).cost(1.0)[0] for episode in short]
    assert (myopic >= bounds * (1 - 1e-6)).all()


def test_rows_say_what_policies_cost_over_the_bound(
    contenders: list[Contender], short: list[Episode]
) -> None:
    compared = foresight.compare(SCENARIO, contenders, frames=3, episodes=4, seed=0)
    policies = [(row.policy, row.mode) for row in compared.rows]
    modes = [("price-net", mode) for mode in ("p1", "announced", "decentralised")]
    assert policies == [("clairvoyant", None), ("frame-by-frame", None), *modes, ("mrt", None)]
    assert compared.gap < 1e-6
    assert compared.main_beam > 1 - 1e-4
    clairvoyant, myopic, with_p1 = compared.rows[:3]
    assert clairvoyant.over_bound.mean == pytest.approx(1, abs=1e-6)
    assert 1 < myopic.over_bound.mean <= with_p1.over_bound.mean
    for row in compared.rows:
        work = np.mean([episode.workload.sum() / 3 for episode in short])
        expected = row.energy.mean + row.unserved.mean * work
        assert row.cost.mean == pytest.approx(expected, rel=1e-9)
        assert (row.over_bound_there is None) == (row.served_all == 0)


# What is refused


def test_bad_input_is_refused(short: list[Episode]) -> None:
    for setting, name in (("causal_harvest=true", "causal_harvest"), ("harvest_model=sigmoidal", "harvest")):
        with pytest.raises(InputError, match=f"^{name}"):
            bound_energy(SCENARIO.with_settings([setting]), short[0])
    channels, workload, battery = short[0]
    with pytest.raises(InputError, match=r"workload: .*\nbattery"):
        bound_energy(SCENARIO, Episode(channels, workload[:2], -battery))
    with pytest.raises(InputError, match="contenders: none"):
        foresight.compare(SCENARIO, [], frames=0, episodes=1, seed=0)


def test_missing_solver_is_named(monkeypatch: pytest.MonkeyPatch, short: list[Episode]) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(InputError, match=r"cvxpy not installed; pip install 'scattermec\[bench\]'"):
        bound_energy(SCENARIO, short[0])


def test_command_prints_its_rows_and_refuses_what_does_not_fit(tmp_path, contenders, monkeypatch) -> None:
    monkeypatch.setattr(foresight, "contenders", lambda policy, scenario: contenders)
    out = tmp_path / "table.md"
    options = ("--frames", 1, "--episodes", 4, "--out", out)
    report = json.loads(run("horizon", *options, "--json").stdout)
    assert report["scenario"]["backlog_cap"] == 0
    assert [row["policy"] for row in report["rows"]][:2] == ["clairvoyant", "frame-by-frame"]
    assert report["rows"][0]["over_bound"]["mean"] == pytest.approx(1, abs=1e-6)
    assert "| frame-by-frame |" in out.read_text()
    assert refused("horizon", "elsewhere")[0].startswith("elsewhere: is neither one of price-net, ")
    assert refused("horizon", "--set", "backlog_cap=3")[0].startswith("backlog_cap: 3.0 is not allowed")
    monkeypatch.undo()
    assert refused("horizon", "--set", "causal_harvest=true")[0].startswith("causal_harvest: true")
