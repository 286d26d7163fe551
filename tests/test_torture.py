"""The torture suite: its judge agrees with other references and finds what is planted; a short form of it."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from torture import files, frames, kills, reference
from torture.frames import P1_GAP, Campaign, Options
from torture.reference import Answer, Constants, Frames
from torture.scenarios import CASES, MOST_WORK, MOST_WORTH, PROMISED, typical

from reference_allocation import ReferenceSolver, data_of
from reference_beams import reference_beams
from reference_frame import UserPlan, reference_frame
from scattermec.optimisation import BatteryValue
from scattermec.physics import parameters_of
from scattermec.scenario import Scenario

ROOT = Path(__file__).parent.parent
COUNT = 16

SHORT = (
    "idle_power 0, batteries that pay for all",
    "all AP costs 0, rich batteries",
    "one user with work",
    "little work",
    "much work",
    "ap_power 1e3",
    "valued batteries",
)
"""Scenarios of one size and scheme, so that few programs are compiled."""


def drawn(seed=0, count=COUNT, **constants):
    scenario = Scenario(**constants)
    return scenario, typical(np.random.default_rng(seed), count, 3, 3, scenario)


def answer_of(count=COUNT, **arrays):
    none = np.zeros((count, 3))
    fields = {field.name: none for field in dataclasses.fields(Answer)}
    fields |= {"status": np.zeros(count, np.int8)}
    fields |= dict.fromkeys(("energy", "value", "lower_bound"), none[:, 0])
    return Answer(**(fields | {"served": np.ones((count, 3), bool)} | arrays))


def test_what_is_promised_is_what_the_model_page_says():
    page = (ROOT / "docs" / "model.md").read_text().split("**What the solver promises.**")[1]
    table = page.split("|---|---|---|\n")[1].split("\n\n")[0]
    # In the scenario's units; a number without a unit is 0.
    units = {"W": 1, "kW": 1e3, "mW": 1e-3, "s": 1, "ms": 1e-3, "kHz": 1, "MHz": 1e3}
    units |= {"mJ": 1, "mJ/kbit": 1, "kbit": 1, "kbit/s": 1, "J": 1, "": 0}

    def number(cell, name):
        value, _, unit = cell.strip("$").replace("$ ", " ").replace("10^", "1e").partition(" ")
        # The scenario has circuit power in mW.
        factor = 1 if (name, unit) == ("circuit_power", "mW") else units[unit]
        return float(value.replace("{", "").replace("}", "")) * factor

    stated = {}
    for line in table.splitlines():
        name, *ends = (cell.strip() for cell in line.strip("|").split("|"))
        stated[name.strip("`")] = tuple(number(end, name.strip("`")) for end in ends)
    assert stated.pop("workload") == pytest.approx((0.0, MOST_WORK))
    assert stated.pop("value of a full battery") == pytest.approx((0.0, MOST_WORTH))
    assert stated == {name: pytest.approx(ends) for name, ends in PROMISED.items()}


def test_scenarios_called_within_range_are():
    for case in CASES:
        random = np.random.default_rng(0)
        within = []
        for _ in range(20):
            scenario = case.scenario(random)
            given = case.draw(random, 8, case.users, case.antennas, scenario)
            constants = {name: np.asarray(getattr(scenario, name)) for name in PROMISED}
            full = np.zeros(case.users)
            if case.slopes is not None:
                full = case.slopes(random, case.users, scenario).mean(axis=-1) * constants["battery_capacity"]
            within.append(
                given.workload.max() <= MOST_WORK
                and full.max() <= MOST_WORTH * (1 + 1e-12)
                and all(
                    (low <= constants[name]).all() and (constants[name] <= high).all()
                    for name, (low, high) in PROMISED.items()
                )
            )
        if case.within:
            assert all(within), case.name
        elif case.name != "gains above 0 dB":
            assert not all(within), case.name


@pytest.mark.parametrize(
    "constants",
    [
        {},
        {"causal_harvest": True, "residual_interference": 1e-9},
        {"harvest_model": "sigmoidal", "local_rate": (20.0, 50.0, 0.0)},
    ],
)
def test_the_judges_frame_is_that_of_the_loops(constants):
    scenario, given = drawn(**constants)
    random = np.random.default_rng(1)
    beams = random.standard_normal(given.channels.shape) + 1j * random.standard_normal(given.channels.shape)
    beams /= np.linalg.norm(beams, axis=-1, keepdims=True)
    names = ("t_active", "t_passive", "t_local", "l_active", "l_passive", "l_local")
    plan = {name: random.uniform(0, 0.5, (COUNT, 3)) for name in names}
    plan["t_local"][:], plan["l_local"][:] = 1, random.uniform(0, 20, (COUNT, 3))
    # Little work and much energy for some, so that they succeed.
    given.workload[::2] = 0.9 * (plan["l_active"] + plan["l_local"])[::2]
    given.battery[::2] = 0.9
    constants = Constants(scenario, 3)
    played = reference.play(
        constants, given, reference.links_of(constants, given.channels, beams), answer_of(**plan)
    )
    for k in range(COUNT):
        plans = [
            UserPlan(
                *(plan[name][k, j] for name in ("t_active", "t_passive", "t_local")),
                *(plan[name][k, j] for name in ("l_active", "l_passive", "l_local")),
            )
            for j in range(3)
        ]
        frame = (given.channels[k], given.workload[k], given.battery[k], beams[k])
        expected = reference_frame(scenario, *frame, plans)
        np.testing.assert_array_equal(played.success[k], expected["success"])
        assert played.energy[k] == pytest.approx(expected["ap_energy"], rel=1e-12)
        reward = reference.reward(constants, given.workload, played.success, played.energy)[k]
        assert reward == pytest.approx(expected["ap_reward"], rel=1e-12)
    assert 0.1 < played.success.mean() < 0.9


@pytest.fixture(scope="module")
def solved():
    """A setting of the defaults with the package's answers in it."""
    case = CASES[0]
    assert case.name == "defaults"
    scenario, given = drawn()
    ours = parameters_of(scenario, num_users=3, num_antennas=3)
    setting = frames._Setting(case, scenario, ours, Constants(scenario, 3), given, 0)
    answer = frames._answer(frames._allocate(setting, given, "hybrid"))
    found = frames._optimise(setting, given, "hybrid")
    return setting, answer, frames._answer(found.solution, found), np.asarray(found.beams)


def test_bounds_are_below_what_a_conic_solver_finds_and_meet_it_at_the_best_prices(solved):
    setting, answer, best, _ = solved
    c, given = setting.theirs, setting.frames
    beams = reference.unit_beams(given.beams, given.channels)
    links = reference.links_of(c, given.channels, beams)
    random = np.random.default_rng(2)
    names = ("price_workload", "price_budget", "price_capacity")
    off = {name: getattr(answer, name) * random.lognormal(0, 0.3, (COUNT, 3)) for name in names}
    elsewhere = dataclasses.replace(answer, **off)
    bounds = [reference.allocation_bound(c, given, links, a, "hybrid") for a in (answer, elsewhere)]
    beams_bounds = [
        reference.beams_bound(c, given, a, "hybrid") for a in (best, dataclasses.replace(best, **off))
    ]
    allocation, joint = ReferenceSolver(3), reference_beams(3, 3)
    compared = jointly = 0
    for k in range(COUNT):
        frame = (given.channels[k], given.workload[k], given.battery[k])
        if answer.status[k] == 0:
            verdict, energy = allocation.solve(data_of(setting.scenario, *frame, beams[k]))
            assert verdict == 0
            assert bounds[0][k] == pytest.approx(energy, rel=2e-6)
            assert bounds[1][k] <= energy * (1 + 1e-7)
            compared += 1
        if best.status[k] == 0 and k < 3:
            verdict, energy = joint.solve(setting.scenario, *frame)
            assert verdict == 0
            assert beams_bounds[0][k] == pytest.approx(energy, rel=2e-4)
            assert beams_bounds[1][k] <= energy * (1 + 1e-6)
            jointly += 1
    assert compared > COUNT / 3
    assert jointly


def counts(setting, answer, problem="P1", beams=None):
    campaign = Campaign(Options())
    given = setting.frames
    used = Frames(given.channels, given.workload, given.battery, given.beams if beams is None else beams)
    units = reference.unit_beams(used.beams, given.channels)
    links = reference.links_of(setting.theirs, given.channels, units)
    frames._judge(campaign, setting, problem, answer, "hybrid", used, links, [])
    return {name: n for name, n in campaign.bad.items() if n}


def test_the_judge_finds_what_is_planted(solved):
    setting, answer, best, beams = solved
    assert counts(setting, answer) == {}
    assert counts(setting, best, "P2", beams) == {}
    optimal = answer.status == 0
    many = int(optimal.sum())
    assert many > COUNT / 3
    changed = dataclasses.replace
    assert counts(setting, changed(answer, energy=answer.energy * (1 + 1e-5)))["p1 energy"] == many
    assert counts(setting, changed(answer, lower_bound=answer.lower_bound * 1.001))["p1 bound"] == many
    worse = counts(setting, changed(answer, price_workload=answer.price_workload * 0.99))
    assert worse["p1 gap"] == worse["p1 bound"] == many
    assert counts(setting, changed(answer, l_local=answer.l_local * 0.999))["p1 constraints"] == many
    # Called infeasible: the prices of an optimum prove nothing.
    assert counts(setting, changed(answer, status=np.ones_like(answer.status)))["p1 infeasible"] >= many
    assert P1_GAP < 1e-5


def test_the_judge_knows_what_energy_kept_is_worth():
    (case,) = (case for case in CASES if case.name == "valued batteries")
    scenario, given = drawn()
    slopes = case.slopes(np.random.default_rng(3), 3, scenario)
    ours = parameters_of(scenario, num_users=3, num_antennas=3)
    value = BatteryValue(slopes=jnp.asarray(slopes))
    setting = frames._Setting(case, scenario, ours, Constants(scenario, 3, slopes), given, 0, value)
    answer = frames._answer(frames._allocate(setting, given, "hybrid"))
    assert counts(setting, answer) == {}
    optimal = answer.status == 0
    many = int(optimal.sum())
    assert many > COUNT / 3
    changed = dataclasses.replace
    assert counts(setting, changed(answer, value=answer.value - 1e-5))["p1 energy"] == many
    assert counts(setting, changed(answer, lower_bound=answer.lower_bound - 1e-3))["p1 bound"] == many
    dearer = changed(setting, theirs=Constants(scenario, 3, 1.01 * slopes))
    assert counts(dearer, answer)["p1 energy"] == many
    beams = reference.unit_beams(given.beams, given.channels)
    links = reference.links_of(setting.theirs, given.channels, beams)
    bound = reference.allocation_bound(setting.theirs, given, links, answer, "hybrid")
    solver = ReferenceSolver(3, parts=slopes.shape[1])
    for k in np.flatnonzero(optimal)[:5]:
        data = data_of(scenario, given.channels[k], given.workload[k], given.battery[k], beams[k])
        verdict, least = solver.solve(data, slopes=slopes)
        assert verdict == 0
        assert bound[k] == pytest.approx(least, rel=2e-6, abs=1e-6)


def test_frames_in_short():
    outcome = frames.run(Options(batch=32, rounds=1, cases=SHORT))
    assert sum(row.tried for row in outcome.rows) > 1000
    assert [(row.what, row.bad, row.remark) for row in outcome.rows if row.bad] == []


# What a library says of a file beside its answer goes to standard error, as everywhere.
@pytest.mark.filterwarnings("default")
def test_files_in_short(tmp_path):
    kinds = ("scenario", "setting", "frames", "frames in a folder", "trace")
    outcome = files.run(files.Options(files=400, seconds=60, work=tmp_path, kinds=kinds))
    assert outcome.details["Faults of files"] == []
    assert all(row.tried == 80 for row in outcome.rows)


def test_a_kill_in_short(tmp_path, monkeypatch):
    monkeypatch.setattr(kills, "FRAMES", 1000)
    outcome = kills.run(kills.Options(kills=1, work=tmp_path, jobs=("solve",)))
    assert outcome.details["Faults after kills"] == []
    assert outcome.rows[0].tried == 1


def test_the_command_writes_its_table(tmp_path):
    saved, page = tmp_path / "numbers.json", tmp_path / "page.md"
    options = ["--only", "files", "--files", "20", "--kinds", "setting", "--out", str(tmp_path / "bad")]
    command = [sys.executable, "-m", "torture", *options, "--json", str(saved), "--docs", str(page)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    numbers = json.loads(saved.read_text())
    (row,) = numbers["campaigns"]["files"]["rows"]
    assert row["tried"] == 20
    assert done.returncode == int(row["bad"] > 0), done.stderr
    for text in (done.stdout, page.read_text()):
        assert "setting: neither success nor clean lines of faults" in text
