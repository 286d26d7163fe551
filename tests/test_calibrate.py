"""The search for the paper's constants: margins as a reproduction measures them, resumption, the record."""

import dataclasses
import json
from functools import partial

import numpy as np
import pytest

import command_line
from bank import mrt
from scattermec import Scenario, _processes
from scattermec.cli.jobs import calibrate as job
from scattermec.cli.where import Where
from scattermec.engines import slurm
from scattermec.errors import ComputationError, InputError, UnfinishedError
from scattermec.experiments.calibrate import calibration, margins, search, tables
from scattermec.experiments.calibrate.calibration import QUICK, Calibration
from scattermec.experiments.calibrate.margins import Margins, estimate, measure
from scattermec.experiments.calibrate.search import ENOUGH, NAMES, Search, loss, read, run
from scattermec.experiments.claims import optima
from scattermec.experiments.claims.withheld import (
    COORDINATES,
    RANGES,
    WITHHELD,
    declared_ranges,
    scenario_at,
    shares_at,
)
from scattermec.experiments.measure.statistics import ratio_interval
from scattermec.experiments.measure.sweeps import SWEEPS, draw_frames, measure_frames, measure_point
from scattermec.optimisation import OPTIMAL, allocate_frames
from scattermec.physics import parameters_of

WEAK = Scenario(initial_battery=(0.0, 0.002), circuit_power=0.0001)
"""Some of its frames cannot serve everyone, so that the best sets are tried."""


@pytest.fixture
def few_points(monkeypatch) -> None:
    sweep = type(SWEEPS["ap_power"])
    monkeypatch.setattr(sweep, "count", lambda self, quick=False: 2)


@pytest.mark.parametrize("partial", [True, False])
def test_the_search_measures_what_a_reproduction_measures(partial, few_points, monkeypatch) -> None:
    weak = WEAK.replace(partial_service=partial)
    # Two schemes are enough to tell, and compile in half the time.
    sweep = dataclasses.replace(SWEEPS["distance"], schemes=("hybrid", "local"), figures=("4b",))
    monkeypatch.setattr(margins, "SWEEPS", {"distance": sweep})
    rows, served = measure(weak, frames=12, seed=3)
    found = {(row.swept, row.value, row.scheme, row.metric): row.mean for row in rows}
    expected = {
        (row.swept, row.value, row.scheme, row.metric): row.mean
        for value in sweep.values(weak)
        for row in measure_point(weak, sweep, value, frames=12, seed=3, beams=["mrt"])
    }
    assert 0 < served < 1
    assert {metric for *_, metric in found} == {*margins.METRICS, "relative_energy"}
    np.testing.assert_allclose(list(found.values()), [expected[key] for key in found], rtol=1e-7, atol=1e-9)


def test_nobody_is_served_where_not_everyone_can_be_if_the_scenario_says_so() -> None:
    parameters = parameters_of(WEAK.replace(partial_service=False))
    frames = draw_frames(parameters, frames=60, seed=3)
    found = measure_frames(parameters, frames=60, seed=3, beams="mrt", scheme="hybrid")
    everyone = allocate_frames(parameters, frames, mrt(frames))
    served, energy = np.asarray(everyone.status) == OPTIMAL, np.asarray(everyone.energy)
    assert 0 < served.mean() < 1
    idle = float(parameters.idle_power * parameters.slot_duration.sum())
    work = np.asarray(frames.workload).sum(axis=1)
    spent = np.where(served, energy, idle)
    assert found["outage"].mean == pytest.approx(1 - served.mean())
    assert found["processed"].mean == pytest.approx(np.mean(work * served))
    assert found["ap_energy"].mean == pytest.approx(spent.mean())
    assert found["frame_efficiency"].mean == pytest.approx(np.mean(work * served / spent))


def test_intervals_are_those_of_2000_frames() -> None:
    rng = np.random.default_rng(0)
    below = rng.uniform(1, 2, 2000)
    above = below * rng.uniform(0, 1, 2000)
    found, expected = estimate(above, below), ratio_interval(above, below)
    assert found.mean == pytest.approx(expected.mean)
    assert found.high - found.low == pytest.approx(expected.high - expected.low, rel=0.1)
    # A quarter of the frames tells what 2,000 such frames would.
    fewer = estimate(above[:500], below[:500])
    assert fewer.high - fewer.low == pytest.approx(expected.high - expected.low, rel=0.15)


def test_a_loss_is_least_where_every_claim_holds_and_prefers_few_failures() -> None:
    every = np.full(14, 0.3)
    assert loss(every) == 0 == loss(np.full(14, ENOUGH))
    one, two = every.copy(), every.copy()
    one[0], two[:2] = -0.4, -0.2
    assert 0 < loss(one) < loss(two)
    assert loss(one, (NAMES[0], NAMES[1])) == 0.4
    assert loss(one, (NAMES[1],)) == -0.3


def test_every_point_of_the_cube_is_a_valid_scenario() -> None:
    corners = np.random.default_rng(1).integers(0, 2, (64, len(COORDINATES)))
    for point in (*corners, *np.random.default_rng(2).random((64, len(COORDINATES)))):
        scenario = scenario_at(point, Scenario(ap_power=2.0))
        assert scenario.ap_power == 2.0
        assert scenario.harvest_efficiency == 0.6  # the paper gives it
    low = scenario_at(np.zeros(len(COORDINATES)), Scenario())
    assert (low.bandwidth, low.initial_battery[0]) == (WITHHELD["bandwidth"].low, 0.0)


def test_a_scenario_leads_back_to_its_point() -> None:
    for point in np.random.default_rng(3).random((32, len(COORDINATES))):
        scenario = scenario_at(point, Scenario())
        # But for the rounding of constants to four digits, and the reading that is one of two.
        back, reading = np.array(shares_at(scenario)), COORDINATES.index("partial_service")
        assert (back[reading] > 0.5) == (point[reading] > 0.5) == scenario.partial_service
        back[reading] = point[reading]
        np.testing.assert_allclose(back, point, atol=3e-4)
        assert scenario_at(shares_at(scenario), Scenario()) == scenario
    outside = shares_at(Scenario(bandwidth=1e4, initial_battery=0.0, passive_receive_power=0.0))
    assert all(0 <= share <= 1 for share in outside)
    assert outside[COORDINATES.index("bandwidth")] == 1
    with pytest.raises(InputError, match=r"local_rate: .* must be one number for all users"):
        shares_at(Scenario(local_rate=(1.0, 2.0, 3.0)))


def toy_margins(scenario, *, frames, seed, quick):
    """Made-up margins: all claims but one hold near the middle of the range of the noise."""
    away = abs(np.log10(scenario.noise_power) + 9.5)
    found = np.full(14, 0.5 - away)
    found[3] = -0.5
    return Margins(found, 1.0)


def toy_search(path, **changes) -> Search:
    usual = {"goal": NAMES, "start": (0.2,) * len(COORDINATES), "spread": 0.2, "population": 6}
    more = {"generations": 5, "frames": 1, "seed": 4}
    return Search(path=path, base=Scenario(), **usual | more | changes)


def test_a_search_improves_and_an_interrupted_one_continues_to_the_same_bytes(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(search, "margins", toy_margins)
    whole = toy_search(tmp_path / "whole.csv", generations=20)
    run(whole, lambda more: None)
    found = loss(read(whole.path).margins)
    assert np.median(found[-30:]) < 0.5 * np.median(found[:30])

    part = toy_search(tmp_path / "part.csv", generations=20)
    evaluated = []

    def stop(more: int) -> None:
        evaluated.append(more)
        if len(evaluated) == 45:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(part, stop)
    with part.path.open("a") as file:
        file.write("0.5,0.5")  # a torn line
    counted = []
    monkeypatch.setattr(search, "margins", lambda *a, **b: counted.append(1) or toy_margins(*a, **b))
    run(part, lambda more: None)
    assert len(counted) == 120 - 42  # whole generations are kept
    assert part.path.read_bytes() == whole.path.read_bytes()
    part.path.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(search, "asked_to_leave", lambda: len(counted) == 120 - 42 + 15)
        with pytest.raises(UnfinishedError, match="12 of 120 scenarios are evaluated"):
            run(part, lambda more: None)
    assert not part.done
    run(part, lambda more: None)
    assert part.done
    assert part.path.read_bytes() == whole.path.read_bytes()
    with pytest.raises(InputError, match="another search"):
        run(dataclasses.replace(part, seed=5), lambda more: None)
    part.path.write_text("no,table\n")
    with pytest.raises(InputError, match="is damaged"):
        run(part, lambda more: None)


EFFORT = dataclasses.replace(QUICK, samples=16, finalists=1, judged_frames=4)


def use_toys(patch) -> None:
    patch.setattr(search, "margins", toy_margins)
    patch.setattr(_processes, "usable_cores", lambda: 1)
    # What a reproduction measures has tests of its own; here every claim is left without data.
    patch.setattr(optima, "measure_point", lambda *point, **more: [])
    patch.setattr(type(SWEEPS["ap_power"]), "count", lambda self, quick=False: 2)


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory) -> tuple:
    """A calibration at toy size, with made-up margins."""
    folder = tmp_path_factory.mktemp("calibration")
    with pytest.MonkeyPatch.context() as patch:
        use_toys(patch)
        made = Calibration(folder, Scenario(), EFFORT, seed=1)
        told = []
        record = made.run(lambda *stage: told.append(stage))
        again = made.run(lambda *stage: None)
        with pytest.raises(InputError, match="other settings"):
            dataclasses.replace(made, seed=2).run(lambda *stage: None)
    return folder, record, again, told


def test_a_calibration_keeps_what_it_found_and_repeats_it(calibrated) -> None:
    folder, record, again, told = calibrated
    assert record == again == json.loads((folder / "calibration.json").read_text())
    stages = list(dict.fromkeys(stage for stage, _, _ in told))
    assert stages == [
        "Sampling",
        "Checking samples",
        "Searching",
        "Checking searches",
        "Polishing",
        "Checking the best",
        "Conflicts",
        "Judging",
    ]
    assert all(done == total for _, done, total in [told[-1]])
    winner = Scenario.load(folder / "scenario.yaml")
    assert winner == Scenario.model_validate(record["winner"]["scenario"])
    assert record["winner"]["holds"][record["winner"]["beams"]] == max(
        max(one["holds"].values()) for one in record["finalists"]
    )


def test_arrays_of_slurm_find_the_same_and_go_on_where_they_were(calibrated, tmp_path, monkeypatch) -> None:
    use_toys(monkeypatch)
    monkeypatch.setattr(job, "QUICK", EFFORT)
    here, how = tmp_path / "here", {"quick": True, "seed": 1}
    submitted = []

    def submit(command, folder, settings, tasks, *, wait):
        submitted.append(tasks)
        assert command[3:] == ["calibrate", str(here), "--quick", "--seed", "1", "--set", "ap_power=1"]
        jobs = slurm.number_of_jobs(settings, tasks)
        # The second array loses its last job.
        for index in range(jobs - (len(submitted) == 2)):
            array = slurm.Settings(jobs)
            job.run_share(here, Scenario(), (), (), Where("slurm", array=array, index=index), **how)
        return folder / slurm.SCRIPT, "7"

    monkeypatch.setattr(slurm, "submit", submit)
    here.mkdir()
    where = Where("slurm", array=slurm.Settings(jobs=3))
    run_all = partial(job.run, here, Scenario(), (), (), ["--set", "ap_power=1"], where, quiet=True, **how)
    with pytest.raises(ComputationError, match="tasks of job 7 are left"):
        run_all()
    report = run_all()
    assert report.data == calibrated[1]
    assert len(submitted) == 8 + 1  # a stage each, one of them twice
    for path in calibrated[0].rglob("*.*"):
        assert (here / path.relative_to(calibrated[0])).read_bytes() == path.read_bytes()


def test_a_known_scenario_that_is_better_is_the_winner(tmp_path, monkeypatch) -> None:
    use_toys(monkeypatch)
    known = scenario_at(shares_at(Scenario(noise_power=2e-9)), Scenario())

    def judged(scenario, beams, **how):
        verdict = "holds" if scenario == known else "does not hold"
        return [dataclasses.replace(finding, verdict=verdict) for finding in optima.examine([], [], beams)]

    monkeypatch.setattr(calibration, "examine_scenario", judged)
    made = Calibration(tmp_path, Scenario(), EFFORT, seed=1, known=(known,))
    record = made.run(lambda *stage: None)
    assert Scenario.model_validate(record["winner"]["scenario"]) == known
    assert record["winner"]["holds"] == {"mrt": 14, "optimal": 14}
    assert record["settings"]["known"] == [known.record()]
    with pytest.raises(InputError, match="other settings"):
        dataclasses.replace(made, known=()).run(lambda *stage: None)


def test_conflicts_are_searched_for_and_shown(calibrated) -> None:
    folder, record, _, _ = calibrated
    # The fourth claim never holds here, so it excludes every claim.
    hopeless = NAMES[3]
    assert record["most_at_once"] == 13
    assert record["most_with"][hopeless] == 0
    assert record["most_with"][NAMES[0]] == 13
    assert all(record["joint"][hopeless][name] == -0.5 for name in NAMES)
    assert record["joint"][NAMES[0]][NAMES[1]] > 0
    searched = sorted(path.name for path in (folder / "evaluated").glob("conflict-*"))
    assert len(searched) == 14
    claims, conflicts, constants = tables.tables(record)
    row = conflicts.rows[NAMES.index(NAMES[5])]
    assert row[1 + 3] == "✗ -0.50"
    assert not row[1 + 4].startswith("✗")
    assert len(claims.rows) == 15
    assert [row[0].strip("`") for row in constants.rows] == [*RANGES, "partial_service"]


def test_constants_outside_the_published_span_are_marked() -> None:
    record = json.loads(json.dumps(tables.shipped()))
    record["winner"]["scenario"]["circuit_power"] = WITHHELD["circuit_power"].published[0] / 4
    record["winner"]["scenario"]["bandwidth"] = WITHHELD["bandwidth"].published[1]
    shown = {row[0]: row[-1] for row in tables.constants_table(record, "").rows}
    assert shown["`circuit_power`"] == "4 times below"
    assert shown["`bandwidth`"] == "within"


def test_the_shipped_scenario_is_the_one_that_the_shipped_record_found() -> None:
    record = tables.shipped()
    assert Scenario.named("paper") == Scenario.model_validate(record["winner"]["scenario"])
    assert Scenario.named("default") == Scenario() == Scenario.find("default")
    assert Scenario.find("scattermec-1/default") == Scenario()
    assert Scenario.find("scattermec-1/crowd").num_users == 6
    with pytest.raises(InputError, match="scattermec-1/crowds"):
        Scenario.find("scattermec-1/crowds")
    assert record["settings"]["ranges"] == declared_ranges()
    with pytest.raises(InputError, match="choose from default, paper"):
        Scenario.named("papr")


def test_the_command_shows_the_shipped_calibration() -> None:
    assert json.loads(command_line.run("calibrate", "--shipped", "--json").stdout) == tables.shipped()


def test_the_command_refuses_a_folder_with_something_else_in_it(tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (fault,) = command_line.refused("calibrate", tmp_path, "--quick")
    assert "has something in it" in fault
    assert calibration.SETTINGS in fault
