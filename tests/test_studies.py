"""What the reproduction adds to the paper's figures: learned beams, other constants, imperfect knowledge."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import trim_mean
from typer.testing import CliRunner

from bank import mrt
from scattermec import Scenario
from scattermec.cli.app import app
from scattermec.errors import InputError
from scattermec.experiments.claims.withheld import RANGES, numbers_of
from scattermec.experiments.measure.statistics import interquartile_mean
from scattermec.experiments.measure.sweeps import (
    SWEEPS,
    draw_frames,
    measure_chosen,
    measure_point,
    parameters_at,
)
from scattermec.experiments.measure.table import markdown
from scattermec.experiments.studies import ASKED_BY, learned
from scattermec.experiments.studies.base import every_study, studies_of
from scattermec.experiments.studies.figure_2 import PRESETS, SETTINGS, Figure2, train_command
from scattermec.experiments.studies.knowledge import Case, Knowledge
from scattermec.experiments.studies.learned import measure_learned
from scattermec.experiments.studies.plan import Plan, Training
from scattermec.experiments.studies.price_nets import PriceNets
from scattermec.experiments.studies.ranges import Ranges
from scattermec.experiments.studies.record import Record
from scattermec.experiments.studies.robustness import Robustness
from scattermec.optimisation import optimise_service_frames
from scattermec.physics import parameters_of
from study_work import Squares

SCENARIO = Scenario()


def test_interquartile_mean_leaves_a_quarter_out_at_either_end() -> None:
    values = np.array([100.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -50.0])
    found = interquartile_mean(values)
    assert found.mean == pytest.approx(np.mean([2, 3, 4, 5])) == pytest.approx(trim_mean(values, 0.25))
    assert found.low < found.mean < found.high
    assert interquartile_mean([7.0]) == (7.0, 7.0, 7.0)


def test_beams_chosen_by_policies_are_measured_as_beams_by_name() -> None:
    sweep, value = SWEEPS["ap_power"], 0.5
    parameters = parameters_at(parameters_of(SCENARIO), sweep.name, value)
    frames = draw_frames(parameters, frames=8, seed=3)
    along = mrt(frames)
    rows = measure_chosen(
        parameters, sweep, value, frames=frames, kind="copy", seed=3, beams=jnp.stack([along, along])
    )
    expected = measure_point(SCENARIO, sweep, value, frames=8, seed=3, beams=["mrt"])
    assert [row.metric for row in rows] == [row.metric for row in expected]
    np.testing.assert_allclose([row.mean for row in rows], [row.mean for row in expected], rtol=1e-9)
    assert all(row.low == row.high == pytest.approx(row.mean) for row in rows)
    assert {(row.beams, row.frames) for row in rows} == {("copy", 16)}


def test_learned_beams_of_a_point_come_with_every_metric(monkeypatch) -> None:
    small = PRESETS["tuned"].model_copy(
        update={"actor_layers": (8,), "critic_width": 8, "batch_size": 4, "buffer_size": 16}
    )
    monkeypatch.setattr(learned.TrainingConfig, "preset", lambda name: small)
    told = []
    rows = measure_learned(
        SCENARIO, SWEEPS["ap_power"], 2.0, Training(2, 10), frames=6, seed=0, progress=told.append
    )
    assert told == [20]
    means = {row.metric: row.mean for row in rows}
    shares = means["active_share"] + means["passive_share"] + means["local_share"]
    assert shares == pytest.approx(1)
    # The same frames with the best set of users and optimal beams: no learned beams have more reward.
    parameters = parameters_at(parameters_of(SCENARIO), "ap_power", 2.0)
    frames = draw_frames(parameters, frames=6, seed=0)
    best = optimise_service_frames(parameters, frames)
    assert 0 < means["reward"] <= float(np.mean(np.asarray(best.reward))) * (1 + 1e-6)


def test_samples_cover_every_range_evenly_and_are_valid_scenarios() -> None:
    sampled = Ranges(SCENARIO, scenarios=10, seed=2).sampled()
    assert sampled == Ranges(SCENARIO, scenarios=10, seed=2).sampled()
    numbers = [numbers_of(scenario) for scenario in sampled]
    for name, declared in RANGES.items():
        values = np.array([each[name] for each in numbers])
        parts = np.log(values / declared.low) / np.log(declared.high / declared.low)
        # One in each tenth, but for rounding to four digits.
        np.testing.assert_allclose(np.sort(parts), np.arange(10) / 10 + 0.05, atol=0.0502)


def test_ranges_go_on_where_they_were_interrupted(tmp_path, monkeypatch) -> None:
    for name, sweep in SWEEPS.items():
        monkeypatch.setattr(type(sweep), "count", lambda self, quick=False: 2)
        assert len(SWEEPS[name].values(SCENARIO)) == 2
    plan = Ranges(SCENARIO, ("mrt",), scenarios=3, frames=4, trained=0)
    told: list[int] = []
    plan.run(tmp_path, Record(tmp_path), told.append)
    assert told == [plan.total * part // 3 for part in (1, 2, 3)]
    assert plan.is_finished(tmp_path)
    file = tmp_path / "ranges.json"
    whole = file.read_text()
    cut = json.loads(whole)
    cut["found"] = cut["found"][:1]
    file.write_text(json.dumps(cut))
    assert not plan.is_finished(tmp_path)
    plan.run(tmp_path, Record(tmp_path), lambda done: None)
    assert file.read_text() == whole

    (table,) = Ranges.tables(tmp_path)
    holds = [one["exact"]["mrt"]["4b-1"] for one in cut["found"]]
    assert len(table.rows) == 14
    assert holds[0] in ("holds", "holds in part", "does not hold")
    other = Ranges(SCENARIO, ("mrt",), scenarios=3, frames=5, trained=0)
    with pytest.raises(InputError, match="other settings"):
        other.run(tmp_path, Record(tmp_path), lambda done: None)
    file.write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        Ranges.tables(tmp_path)


def test_each_case_has_one_error_and_the_first_has_none() -> None:
    plan = Knowledge(Scenario(csi_error=0.5, ap_power=2.0))
    first, *rest = plan.items
    assert first.of(plan.scenario) == Scenario(ap_power=2.0)
    assert Case("csi_error", 0.1).of(plan.scenario) == Scenario(ap_power=2.0, csi_error=0.1)
    assert len({case.name for case in plan.items}) == len(plan.items) == 1 + 2 * 4
    assert all(case.error in (0.05, 0.1, 0.2, 0.3) for case in rest)


def test_tables_of_imperfect_knowledge_show_what_was_found(tmp_path) -> None:
    plan = Knowledge(SCENARIO, quick=True)
    numbers = {"of_optimum": [0.5, 0.4, 0.6], "outage": [0.1, 0.1, 0.1], "energy_efficiency": [1.0, 1.0, 1.0]}
    found = {"exact": {"mrt": numbers}, "csi_error-0.2": {"mrt": numbers}}
    assert Knowledge.tables(tmp_path) == []
    (tmp_path / "knowledge.json").write_text(json.dumps({"settings": plan.settings(), "found": found}))
    assert not plan.is_finished(tmp_path)
    channels, workloads = Knowledge.tables(tmp_path)
    assert channels.columns == ("policy", "csi_error 0%", "csi_error 20%")
    assert workloads.columns == ("policy", "workload_error 0%")
    assert channels.rows[0][1:] == ("50.0% (40.0% to 60.0%); outage 10.0%",) * 2
    with pytest.raises(InputError, match="other settings"):
        Knowledge(SCENARIO, seeds=3).is_finished(tmp_path)
    # The command `report` prints them alone.
    out = tmp_path / "tables.md"
    shown = CliRunner().invoke(
        app, ["report", str(tmp_path), "--tables", "ranges,knowledge", "--out", str(out)]
    )
    assert shown.exit_code == 0, shown.output
    assert (
        out.read_text()
        == "\n\n".join(markdown(table, numbers=True) for table in (channels, workloads)) + "\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["knowledge.json", "tables.md"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tables", "ranges"], "holds no table of ranges"),
        (["--tables", "figure"], "tables: figure is not known; choose from 2a, 2b"),
        (["--tables", "ranges", "--width", "3.5in"], "--tables: does not go with --width"),
        (["--tables", "ranges", "--out", "tables.csv"], "its name must end in .md or .tex"),
        (["--out", "tables.md"], "--out: goes with --tables only"),
    ],
)
def test_tables_alone_are_refused_with_a_reason(words, said, tmp_path) -> None:
    refused = CliRunner().invoke(app, ["report", str(tmp_path), *words])
    assert (refused.exit_code, said in refused.output) == (2, True), refused.output


def test_table_of_robustness_shows_what_was_found(tmp_path) -> None:
    plan = Robustness(quick=True)
    assert plan.items == ("perfect", "channels to 20%")
    found = {"perfect": [["optimum", "obey", [0.5, 0.4, 0.6], 0.1]]}
    (tmp_path / "robustness.json").write_text(json.dumps({"settings": plan.settings(), "found": found}))
    assert not plan.is_finished(tmp_path)
    (table,) = Robustness.tables(tmp_path)
    assert table.rows[0][:3] == ("perfect", "50.0% (40.0% to 60.0%); outage 10.0%", "-")
    assert set(table.rows[1][1:]) == {"-"}


def test_complete_covers_every_learner_setting_and_form() -> None:
    plan = Figure2(SCENARIO, presets=tuple(SETTINGS), learners=("h-maddpg-opt", "ap-ddpg"))
    assert ("h-maddpg-opt", "paper-feasible") in plan.items
    assert ("ap-ddpg", "paper-feasible") not in plan.items
    assert SETTINGS["paper-feasible"].action_form == PRESETS["tuned"].action_form == "feasible"
    command = train_command("h-maddpg", "tuned-paper", 3, 500)
    assert command.startswith("scattermec train h-maddpg --config tuned --train action_form=paper --seeds 3")


# What all studies have in common


def test_a_study_goes_on_with_what_is_missing(tmp_path) -> None:
    told: list[int] = []
    record, numbers = Record(tmp_path), (3, 1, 2)
    with pytest.raises(KeyboardInterrupt):
        Squares(numbers, breaks_at=1).run(tmp_path, record, told.append)
    assert told == [15, 30]
    assert not Squares(numbers).is_finished(tmp_path)
    told.clear()
    # What has been found is not computed again: 3 would end this run, too.
    study = Squares(numbers, breaks_at=3)
    study.run(tmp_path, record, told.append)
    assert told == [30, 35, 40, 50, 60]
    assert told[-1] == study.total
    assert study.is_finished(tmp_path)
    assert list(record.seconds) == ["squaring"]
    (table,) = Squares.tables(tmp_path)
    assert table.rows == (("3", "3"), ("1", "1"), ("2", "2"))


def test_a_study_refuses_findings_of_other_settings_and_damaged_ones(tmp_path) -> None:
    Squares((1, 2)).run(tmp_path, Record(tmp_path), lambda done: None)
    other = Squares((1, 3))
    with pytest.raises(InputError, match=r"squares.json: was made with other settings"):
        other.is_finished(tmp_path)
    with pytest.raises(InputError, match=r"squares.json: was made with other settings"):
        other.run(tmp_path, Record(tmp_path), lambda done: None)
    file = tmp_path / "squares.json"
    for found in (None, [1, 4], 3):
        file.write_text(json.dumps({"settings": {"numbers": [1, 2]}, "found": found}))
        with pytest.raises(InputError, match=r"squares.json: is damaged"):
            Squares((1, 2)).is_finished(tmp_path)
    file.write_text(json.dumps({"settings": {}, "found": {"1": "one"}}))
    with pytest.raises(InputError, match=r"squares.json: is damaged"):
        Squares.tables(tmp_path)
    Squares.discard(tmp_path)
    assert Squares.tables(tmp_path) == []


def test_only_runs_of_a_study_that_trains_are_discarded(tmp_path) -> None:
    for name in ("price-net", "robustness", "runs", "mine"):
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}.json").touch()
    for study in every_study():
        study.discard(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"robustness", "mine", "runs.json", "mine.json"}


def test_a_plan_asks_for_studies_by_name() -> None:
    kinds = every_study()
    assert [kind.__module__.rpartition(".")[2] for kind in kinds] == list(ASKED_BY)
    assert len({kind.name for kind in kinds}) == len(kinds)
    plan = Plan(SCENARIO, seeds=3, training_frames=70)
    assert [type(study) for study in studies_of(plan)] == kinds
    assert [type(study) for study in studies_of(dataclasses.replace(plan, quick=True))] == [
        kind for kind in kinds if kind is not PriceNets
    ]
    two, *others = studies_of(dataclasses.replace(plan, wanted=("2b",)))
    assert (two, others) == (Figure2(SCENARIO, 3, 70), [PriceNets(SCENARIO, 3, 70)])
    (sweeps,) = studies_of(dataclasses.replace(plan, wanted=("3a", "beams"), beams=("mrt",)))
    assert {sweep.name for sweep, _ in sweeps.items} == {"ap_power", "distance"}
    points, frames = 13, plan.frames
    assert sweeps.total == points * frames + points * 4 * 3 * frames
