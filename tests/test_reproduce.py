"""The reproduction from command to files: what it computes, keeps, continues and refuses."""

import csv
import dataclasses
import itertools
import json
import shutil
from collections import defaultdict

import numpy as np
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from scattermec import _processes
from scattermec.cli.app import app
from scattermec.errors import InputError
from scattermec.experiments import reproduce
from scattermec.experiments.measure import limits, sweeps
from scattermec.experiments.measure.beams import beam_rule, solve_frames
from scattermec.experiments.measure.sweeps import (
    COMPARED_BEAMS,
    FIGURES,
    METRICS,
    SWEEPS,
    Measurement,
    measure_point,
    metrics_of,
)
from scattermec.experiments.measure.table import Table
from scattermec.experiments.report import captions, figures, markdown, redraw
from scattermec.experiments.report.contents import Contents, read
from scattermec.experiments.report.figures import Picture
from scattermec.experiments.studies import results
from scattermec.experiments.studies import sweeps as study
from scattermec.experiments.studies.plan import Plan
from scattermec.experiments.studies.record import Record
from scattermec.experiments.studies.results import Results
from scattermec.experiments.studies.sweeps import Sweeps
from scattermec.optimisation import (
    OPTIMAL,
    allocate_all_or_best,
    allocate_frames,
    batch,
    frame_rewards,
    optimise_all_or_best,
)
from scattermec.physics import parameters_of
from scattermec.scenario import Scenario

pytestmark = pytest.mark.usefixtures("quick_figures")

FRAMES = 30
POINTS = 2
SCENARIO = Scenario(local_rate=100.0, distance_sweep=(0.1, 0.2))
DISTANCE = {"schemes": ("hybrid", "active", "local")}
"""Near enough, and local computing fast enough, to serve everyone: the search for a scheme's best set takes
seconds to compile, and so does a scheme itself."""
ORIGINAL = dict(SWEEPS)


@pytest.fixture(scope="module", autouse=True)
def _few_points():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_processes, "usable_cores", lambda: 1)
        for name, sweep in ORIGINAL.items():
            changes = DISTANCE if name == "distance" else {}
            patch.setitem(SWEEPS, name, dataclasses.replace(sweep, quick_points=POINTS, **changes))
        yield


def run(folder, *options):
    return CliRunner().invoke(
        app,
        [
            "reproduce",
            "--out",
            str(folder),
            "--quick",
            "--frames",
            str(FRAMES),
            "--scenario",
            "default",
            "--set",
            "local_rate=100",
            "--set",
            "distance_sweep=[0.1, 0.2]",
            "--figures",
            "3a,3b,4a,4b,beams",  # Fig. 2 trains: tests/test_learning_figures.py
            *options,
        ],
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reproduction") / "results"
    result = run(folder)
    assert result.exit_code == 0, result.output
    return folder, result.output


@pytest.fixture(scope="module")
def rows(finished):
    with (finished[0] / "data.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def number(rows, swept, value, scheme, metric, beams="mrt"):
    wanted = (swept, scheme, metric, beams)
    (row,) = (
        r
        for r in rows
        if (r["swept"], r["scheme"], r["metric"], r["beams"]) == wanted and float(r["value"]) == value
    )
    return float(row["mean"])


def drawn_with_beams(parameters, seed=0, kind="mrt"):
    frames = sweeps.draw_frames(parameters, frames=FRAMES, seed=seed)
    return frames, beam_rule(kind)(sweeps.beams_key(seed), frames)


# What a run leaves behind


def test_every_file_is_there_and_nothing_else(finished):
    papers = itertools.product(("3a", "3b", "4a", "4b"), ("mrt", "optimal"))
    stems = ["overview", "figbeams", *(f"fig{name}-{beams}" for name, beams in papers)]
    pictures = {f"{stem}.{kind}" for stem in stems for kind in ("svg", "pdf", "png")}
    texts = {
        "run.json",
        "provenance.json",
        "scenario.yaml",
        "claims.md",
        "claims.json",
        "index.md",
        "index.html",
    }
    assert set(contents(finished[0])) == pictures | texts | {"data.csv", "data.parquet"}
    assert all(contents(finished[0]).values())


def test_pictures_are_of_their_kinds(finished):
    starts = {"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}
    for name, data in contents(finished[0]).items():
        start = starts.get(name.rpartition(".")[2], b"") if name.startswith("fig") else b""
        assert data.startswith(start)


def test_table_is_tidy(rows):
    assert list(rows[0]) == ["figures", *(field.name for field in dataclasses.fields(Measurement))]
    keys = [(r["swept"], r["value"], r["beams"], r["scheme"], r["metric"]) for r in rows]
    assert len(set(keys)) == len(keys)
    expected = {
        (sweep.name, str(value), beams, scheme, metric)
        for sweep in SWEEPS.values()
        for beams in (COMPARED_BEAMS if sweep.name == "distance" else ("mrt", "optimal"))
        for value in sweep.values(SCENARIO, quick=True)
        for scheme in sweep.schemes
        for metric in metrics_of(sweep, scheme)
    }
    assert set(keys) == expected
    for row in rows:
        mean, low, high = (float(row[name]) for name in ("mean", "low", "high"))
        assert low <= mean <= high
        assert row["frames"] == str(FRAMES)
        assert row["figures"] == {"ap_power": "3a", "mean_workload": "3b"}.get(row["swept"], "4a 4b beams")


def test_numbers_agree_with_one_another(rows):
    points = defaultdict(dict)
    for row in rows:
        key = row["swept"], row["value"], row["beams"], row["scheme"]
        points[key][row["metric"]] = float(row["mean"])
    for (*_, scheme), point in points.items():
        shares = point["active_share"] + point["passive_share"] + point["local_share"]
        assert shares == pytest.approx(1)
        assert point["energy_efficiency"] == pytest.approx(point["processed"] / point["ap_energy"])
        assert point["not_converged"] == 0
        assert -1e-9 < point["gap"] < 1e-5
        if scheme in ("active", "local"):
            assert point["passive_share"] == 0
        if scheme == "local":
            assert point["local_share"] == 1
            assert point["relative_energy"] == 1


def test_index_names_figures_command_and_settings(finished):
    text = (finished[0] / "index.md").read_text()
    for figure in ("beams", "3a-mrt", "3a-optimal", "4b-mrt", "4b-optimal"):
        assert f"fig{figure}.png" in text
    again = (
        f"scattermec reproduce --out {finished[0]} --figures 3a,3b,4a,4b,beams --quick --frames 30 --seed 0"
    )
    assert f"{again} --beams mrt,optimal" in text
    assert "| claim | the paper | MRT beams | optimal beams |" in text
    assert "independent frames" in text
    assert Scenario.load(finished[0] / "scenario.yaml") == SCENARIO


def test_terminal_shows_every_claim(finished):
    for name in ("3a-1", "3a-4", "3b-4", "4a-3", "4b-3"):
        assert name in finished[1]
    assert "MRT beams" in finished[1]
    assert "14 points computed" in finished[1]


def test_claims_are_judged_for_each_kind_of_beams(finished):
    kept = json.loads((finished[0] / "claims.json").read_text())
    assert kept["beams"] == ["mrt", "optimal"]
    judged = [(claim["name"], claim["beams"]) for claim in kept["claims"]]
    assert len(set(judged)) == len(judged)
    assert {name for name, beams in judged if beams == "mrt"} == {n for n, b in judged if b == "optimal"}
    text = (finished[0] / "claims.md").read_text()
    for name in ("3a-1", "4b-3"):
        section = text.partition(f"## {name}: ")[2].partition("\n## ")[0]
        for kind, label in (("mrt", "MRT"), ("optimal", "Optimal")):
            (verdict,) = (c["verdict"] for c in kept["claims"] if (c["name"], c["beams"]) == (name, kind))
            assert f"{label} beams: {verdict}.**" in section


# What is computed


def test_shares_and_efficiency_are_those_of_the_exact_allocation(rows):
    power = SWEEPS["ap_power"].values(SCENARIO, quick=True)[-1]
    parameters = sweeps.parameters_at(parameters_of(SCENARIO), "ap_power", power)
    frames, beams = drawn_with_beams(parameters)
    solution = allocate_frames(parameters, frames, beams, serve="all-or-best")
    assert (solution.status == OPTIMAL).all()

    total = float((frames.workload * solution.served).sum())
    assert total > 0.9 * float(frames.workload.sum())  # at full power nearly all can be served
    for part in ("active", "passive", "local"):
        mine = float(getattr(solution.allocation, f"l_{part}").sum()) / total
        assert number(rows, "ap_power", power, "hybrid", f"{part}_share") == pytest.approx(mine, abs=1e-7)
    efficiency = total / float(solution.energy.sum())
    assert number(rows, "ap_power", power, "hybrid", "energy_efficiency") == pytest.approx(efficiency)
    reward = float(frame_rewards(parameters, frames, solution).mean())
    assert number(rows, "ap_power", power, "hybrid", "reward") == pytest.approx(reward)


def test_frames_that_cannot_serve_everyone_serve_the_best_set():
    parameters = sweeps.parameters_at(parameters_of(SCENARIO), "ap_power", 0.25)
    frames, beams = drawn_with_beams(parameters)
    solution, status = allocate_all_or_best(parameters, frames, beams, scheme="hybrid")
    failed = np.flatnonzero(status != OPTIMAL)
    assert 1 < failed.size < FRAMES
    whole = allocate_frames(parameters, frames, beams, serve="all-or-best")
    assert (solution.served == whole.served).all()
    np.testing.assert_allclose(solution.energy, whole.energy, rtol=1e-9)
    for serve, where in (("all", status == OPTIMAL), ("best", status != OPTIMAL)):
        alone = allocate_frames(parameters, frames, beams, serve=serve)
        assert (solution.served == alone.served)[where].all()
        np.testing.assert_allclose(solution.energy[where], alone.energy[where], rtol=1e-9)
    served = np.asarray(solution.served)
    assert served[status == OPTIMAL].all()
    assert not served[failed].all(axis=1).any()


def test_no_scheme_costs_less_than_the_one_that_it_restricts():
    parameters = parameters_of(SCENARIO)
    frames, beams = drawn_with_beams(parameters, seed=5)
    solutions = [allocate_frames(parameters, frames, beams, scheme=s) for s in DISTANCE["schemes"]]
    status = np.array([np.asarray(solution.status) for solution in solutions])
    energy = np.array([np.asarray(solution.energy) for solution in solutions])
    together = (status == OPTIMAL).all(axis=0)
    assert together.sum() > 5
    assert (energy[0] <= energy[1] * (1 + 1e-6))[together].all()
    assert (energy[1] <= energy[2] * (1 + 1e-6))[together].all()


def test_kinds_of_beams_meet_the_same_frames(rows):
    near = SWEEPS["distance"].values(SCENARIO, quick=True)[0]
    parameters = sweeps.parameters_at(parameters_of(SCENARIO), "distance", near)
    frames = sweeps.draw_frames(parameters, frames=FRAMES, seed=0)
    work = float(frames.workload.sum())
    energies = {}
    for kind in COMPARED_BEAMS:
        solved = solve_frames(parameters, frames, kind, scheme="hybrid", key=sweeps.beams_key(0))
        assert (solved.status == OPTIMAL).all()  # so near that everyone can be served
        energies[kind] = np.asarray(solved.solution.energy)
        told = number(rows, "distance", near, "hybrid", "energy_efficiency", kind)
        assert told == pytest.approx(work / energies[kind].sum())
        each = np.asarray(frames.workload).sum(axis=1) / energies[kind]
        told = number(rows, "distance", near, "hybrid", "frame_efficiency", kind)
        assert told == pytest.approx(each.mean())
    bound = np.asarray(optimise_all_or_best(parameters, frames)[0].lower_bound)
    for kind in COMPARED_BEAMS:
        assert (energies[kind] >= bound * (1 - 1e-9)).all()
        told = number(rows, "distance", near, "hybrid", "energy_over_bound", kind)
        assert told == pytest.approx(energies[kind].sum() / bound.sum(), rel=1e-6)
        # With everyone served the limit is all the work over the least energy.
        limit = number(rows, "distance", near, "hybrid", "efficiency_limit", kind)
        assert limit == pytest.approx(work / bound.sum(), rel=1e-6)


def test_limit_is_the_best_choice_of_sets_on_few_frames():
    rng = np.random.default_rng(4)
    sets = limits.all_sets(2)
    assert sets.tolist() == [[False, False], [False, True], [True, False], [True, True]]
    tight = []
    for _ in range(40):
        workload = rng.uniform(1, 50, (4, 2))
        parts = rng.exponential(0.2, (4, 2))
        bounds = 0.03 + parts @ sets.T
        bounds[0, 3] = np.inf
        choices = np.array(list(itertools.product(range(4), repeat=4)))
        frames = np.arange(4)
        energy = bounds[frames, choices].sum(axis=1)
        work = (workload @ sets.T)[frames, choices].sum(axis=1)
        users = sets.sum(axis=1)[choices].sum(axis=1)
        for least in range(8):
            served = np.bincount(np.arange(least) % 4, minlength=4).astype(float)
            best = (work / energy)[users >= least].max()
            limit = limits.efficiency_limit(workload, bounds, served)
            assert limit.mean >= best * (1 - 1e-9)
            assert limit.low <= limit.mean <= limit.high
            tight.append(limit.mean / best)
    # Only the price of a user lies between: a choice between two sets of one frame.
    assert np.median(tight) < 1 + 1e-9
    assert max(tight) < 1.5


def test_limits_without_energy_or_bounds():
    workload, served = np.ones((3, 1)), np.ones(3)
    assert limits.efficiency_limit(workload, np.zeros((3, 2)), served) == (np.inf, np.inf, np.inf)
    nobody = limits.energy_over_bound(np.ones(3), np.ones((3, 2)), np.zeros(3, bool))
    assert np.isnan(nobody).all()
    assert limits.can_be_limited(parameters_of(SCENARIO))
    assert not limits.can_be_limited(parameters_of(Scenario(harvest_model="sigmoidal")))
    assert not limits.can_be_limited(parameters_of(Scenario(user_positions=[(1, k) for k in range(1, 8)])))


def test_a_curved_rectifier_has_no_limits_but_everything_else(tmp_path):
    options = ("--set", "harvest_model=sigmoidal", "--beams", "mrt", "--figures", "4b", "--frames", "2")
    result = run(tmp_path / "new", *options)
    assert result.exit_code == 0, result.output
    with (tmp_path / "new" / "data.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        limited = row["metric"] in sweeps.LIMIT_METRICS
        assert np.isnan(float(row["mean"])) == limited or row["metric"] == "relative_energy"
    assert (tmp_path / "new" / "fig4b-mrt.png").exists()


def test_all_points_meet_the_same_frames():
    parameters = parameters_of(SCENARIO)

    def drawn(swept, value, frames=FRAMES):
        return sweeps.draw_frames(sweeps.parameters_at(parameters, swept, value), frames=frames, seed=3)

    here, far, busy = drawn("distance", 1.0), drawn("distance", 2.0), drawn("mean_workload", 5.0)
    np.testing.assert_allclose(far.channels, here.channels / 2)
    np.testing.assert_array_equal(far.workload, here.workload)
    np.testing.assert_array_equal(busy.channels, here.channels)
    np.testing.assert_array_equal(busy.battery, here.battery)
    assert busy.workload.mean() < here.workload.mean()
    fewer = drawn("distance", 1.0, frames=2)
    np.testing.assert_array_equal(fewer.workload, here.workload[:2])


def test_workloads_keep_their_proportions_and_traces_are_scaled():
    parameters = parameters_of(Scenario(mean_workload=(10.0, 20.0, 60.0)))
    scaled = sweeps.parameters_at(parameters, "mean_workload", 15.0)
    np.testing.assert_allclose(scaled.mean_workload, [5, 10, 30])
    traced = dataclasses.replace(parameters, trace_workload=parameters.mean_workload[None] / 3)
    scaled = sweeps.parameters_at(traced, "mean_workload", 15.0)
    np.testing.assert_allclose(scaled.trace_workload, [[5, 10, 30]])
    idle = parameters_of(Scenario(mean_workload=0.0))
    np.testing.assert_allclose(sweeps.parameters_at(idle, "mean_workload", 15.0).mean_workload, 15)


def test_a_new_value_compiles_nothing(finished):
    solvers = (batch._solve_all, batch._solve_best, batch._optimise_all, limits._bounds)
    programs = (*solvers, sweeps.frames_of_key, sweeps._play)
    before = [program._cache_size() for program in programs]
    for name, value in (("ap_power", 0.3), ("mean_workload", 45.0), ("distance", 0.11)):
        measure_point(SCENARIO, SWEEPS[name], value, frames=FRAMES, seed=0, beams=["mrt", "optimal"])
    assert [program._cache_size() for program in programs] == before


# Continuing


def test_a_finished_run_is_not_computed_again(finished, monkeypatch):
    before = contents(finished[0])
    for drawer in (redraw.figures, redraw.frame_pictures, redraw.overview):  # drawing again is tested below
        monkeypatch.setattr(drawer, "save", lambda *_: [])
    result = run(finished[0])
    assert "0 points computed, 14 were there already" in result.output
    assert contents(finished[0]) == before


def test_an_interrupted_run_goes_on_and_ends_the_same(finished, tmp_path, monkeypatch):
    folder = tmp_path / "results"
    shutil.copytree(finished[0], folder)
    lines = (folder / "data.csv").read_text().splitlines(keepends=True)
    per_point = len(METRICS)
    # Point 1 is whole, and the second broke off in the middle of a line.
    (folder / "data.csv").write_text("".join(lines[: 1 + per_point + 3]) + lines[per_point + 4][:20])
    measured = []

    def recorded(scenario, sweep, value, *, beams, **options):
        measured.append((sweep.name, value, *beams))
        return measure_point(scenario, sweep, value, beams=beams, **options)

    monkeypatch.setattr(study, "measure_point", recorded)
    plan = Plan(SCENARIO, frames=FRAMES, quick=True, wanted=("3b", "3a"))
    result = reproduce.reproduce(plan, folder)
    assert (result.computed, result.reused) == (7, 1)
    assert measured == [
        ("ap_power", 0.25, "optimal"),
        ("ap_power", 4.0, "mrt", "optimal"),
        *(("mean_workload", v, "mrt", "optimal") for v in (5.0, 60.0)),
    ]
    rest = [line for line in lines if not line.startswith("4a")]
    assert (folder / "data.csv").read_text() == "".join(rest)
    for stem in ("fig3b-mrt", "fig3b-optimal"):
        assert (folder / f"{stem}.svg").read_bytes() == (finished[0] / f"{stem}.svg").read_bytes()
    findings = {(finding.name, finding.beams): finding.verdict for finding in result.findings}
    assert findings["4b-1", "mrt"] == findings["4b-1", "optimal"] == "not examined"
    assert "not examined" not in (findings["3a-1", "mrt"], findings["3b-1", "optimal"])


def test_another_configuration_is_refused(finished):
    before = contents(finished[0])
    result = run(finished[0], "--seed", "3", "--set", "ap_power=2", "--beams", "mrt")
    assert result.exit_code == 2
    assert "seed is 0 there and 3 here" in result.output
    assert "beams is ['mrt', 'optimal'] there and ['mrt'] here" in result.output
    assert "scenario.ap_power is 1.0 there and 2.0 here" in result.output
    assert "--overwrite" in result.output
    assert contents(finished[0]) == before


def test_overwriting_starts_anew(finished, tmp_path):
    folder = tmp_path / "results"
    shutil.copytree(finished[0], folder)
    options = ("--figures", "3a", "--beams", "mrt", "--seed", "3")
    result = run(folder, *options, "--overwrite", "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert (told["seed"], told["computed"], told["reused"]) == (3, 2, 0)
    assert {path.name for path in folder.glob("fig*")} == {f"fig3a-mrt.{k}" for k in ("svg", "pdf", "png")}
    assert {claim["verdict"] for claim in told["claims"] if claim["figure"] != "3a"} == {"not examined"}


@pytest.mark.parametrize("damage", ["manifest lost", "manifest broken"])
def test_a_folder_of_unknown_settings_is_refused(tmp_path, damage):
    Results.open(tmp_path, {"seed": 0})
    if damage == "manifest lost":
        (tmp_path / results.MANIFEST).unlink()
    else:
        (tmp_path / results.MANIFEST).write_text("{")
    with pytest.raises(InputError, match=results.MANIFEST):
        Results.open(tmp_path, {"seed": 0})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--figures", "3a,5c"], "5c is not known; choose from 2a, 2b, 3a, 3b, 4a, 4b, beams"),
        (["--beams", "mrt,wide"], "beams: wide is not known; choose from mrt, random, optimal"),
        (["--beams", ""], "beams: nothing is not known"),
        (["--figures", ","], "choose from"),
        (["--set", "ap_power=-1"], "ap_power"),
        (["--frames", "0"], "frames"),
    ],
)
def test_wrong_options_are_refused_before_any_work(tmp_path, options, message):
    result = run(tmp_path / "new", *options)
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "new").exists()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    result = run(path)
    assert result.exit_code == 2
    assert "is not a folder" in result.output


# Drawing again


def test_report_draws_the_same_again_and_leaves_the_data(finished, tmp_path):
    folder = tmp_path / "results"
    shutil.copytree(finished[0], folder)
    kept = {"data.csv", "data.parquet", "run.json", "provenance.json"}
    for path in folder.iterdir():
        if path.name not in kept:
            path.unlink()
    result = CliRunner().invoke(app, ["report", str(folder)])
    assert result.exit_code == 0, result.output
    before, after = contents(finished[0]), contents(folder)
    assert set(after) == set(before)
    # The pages name the folder in the command that draws it again.
    changed = {name for name in after if after[name] != before[name]}
    assert changed <= {"index.md", "index.html"}
    assert str(folder) in (folder / "index.md").read_text()


def test_report_refuses_a_folder_without_results(tmp_path):
    def refused(folder, message):
        result = CliRunner().invoke(app, ["report", str(folder)])
        assert (result.exit_code, message in result.output) == (2, True), result.output

    refused(tmp_path / "missing", "there is no such folder")
    refused(tmp_path, "holds no results: there is no run.json")
    (tmp_path / "run.json").write_text("{}")
    refused(tmp_path, "run.json: points: null is not allowed; it must be a dict")
    Results.open(tmp_path / "new", Plan(SCENARIO).settings())
    refused(tmp_path / "new", "holds no results yet")


def test_parquet_is_the_table_with_its_settings(finished, rows):
    table = pyarrow.parquet.read_table(finished[0] / "data.parquet")
    settings = json.loads(table.schema.metadata[b"scattermec.settings"])
    assert settings == json.loads((finished[0] / "run.json").read_text())
    for kept, row in zip(table.to_pylist(), rows, strict=True):
        for name, value in kept.items():
            np.testing.assert_equal(value, type(value)(row[name]))


def test_record_keeps_each_command_and_adds_up_times(tmp_path):
    record = Record.open(tmp_path)
    for command in ("one", "two", "one", ""):
        record.add_command(command)
    with record.part("sweep"):
        pass
    first = record.seconds["sweep"]
    with pytest.raises(KeyboardInterrupt), Record.open(tmp_path).part("sweep"):
        raise KeyboardInterrupt
    again = Record.open(tmp_path)
    assert again.commands == ["one", "two"]
    assert list(again.seconds) == ["sweep"]
    assert again.seconds["sweep"] >= first >= 0
    assert {"scattermec", "jax", "numpy"} < set(again.versions)
    kept = json.loads((tmp_path / "provenance.json").read_text())
    for damaged in ([], {}, kept | {"seconds": {"sweep": "long"}}, kept | {"commands": None}):
        (tmp_path / "provenance.json").write_text(json.dumps(damaged))
        with pytest.raises(InputError, match=r"provenance\.json: is damaged"):
            Record.open(tmp_path)
    assert Record.open(tmp_path, overwrite=True) == Record(tmp_path)
    (tmp_path / "provenance.json").unlink()
    assert Record.open(tmp_path) == Record(tmp_path)


def test_tables_are_shown_in_the_index(finished, monkeypatch):
    table = Table("What holds | where", "Read it so.", ("a", "b"), (("1", "2|3"),), "scattermec scenario")
    monkeypatch.setattr(Sweeps, "tables", lambda folder: [table])
    text = markdown.index_markdown(read(finished[0]))
    assert "### What holds | where\n\nRead it so.\n\n| a | b |\n|---|---|\n| 1 | 2\\|3 |" in text
    assert "Again:\n\n```\nscattermec scenario\n```" in text
    with pytest.raises(ValueError, match="a row of 1 cells under 2 columns"):
        dataclasses.replace(table, rows=(("1",),))


# Points and pictures


def test_points_are_in_range_and_include_the_default():
    for sweep in ORIGINAL.values():
        values = sweep.values(Scenario())
        assert (values[0], values[-1]) == getattr(Scenario(), f"{sweep.name}_sweep")
        assert list(values) == sorted(set(values))
    assert 1.0 in ORIGINAL["ap_power"].values(Scenario())
    assert 1.0 in ORIGINAL["distance"].values(Scenario())
    with pytest.raises(ValueError, match="not known"):
        sweeps.sweep_of("9z")


def test_figure_of_efficiency_shows_all_four_schemes():
    made_up = [
        Measurement("distance", value, scheme, "mrt", metric, "", 1 / value, 0.9 / value, 1.1 / value, 9, 0)
        for value in (0.5, 1.0, 2.0)
        for scheme in ("hybrid", "active", "passive", "local")
        for metric in ("frame_efficiency", "outage")
    ]
    # Other beams are not part of it.
    made_up += [dataclasses.replace(row, beams="optimal", mean=9.0, high=9.0) for row in made_up]
    figure = figures.draw(Picture("4b", "mrt"), made_up)
    for axes in figure.axes:
        assert len(axes.lines) == len(axes.collections) == 4
        assert "(" in axes.get_ylabel()
        assert max(max(line.get_ydata()) for line in axes.lines) < 900
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["Hybrid-offload", "Active-enabled", "MEC-disabled", "Passive-only"]


def test_figure_of_beams_shows_each_with_its_limit():
    heights = {"energy_efficiency": 1.0, "efficiency_limit": 2.0, "energy_over_bound": 3.0, "outage": 0.5}
    made_up = [
        Measurement("distance", value, "hybrid", kind, metric, "", height, height, height, 9, 0)
        for value in (0.5, 1.0, 2.0)
        for kind in COMPARED_BEAMS
        for metric, height in heights.items()
    ]
    figure = figures.draw(Picture("beams"), made_up)
    efficiency, energy, outage = figure.axes
    drawn = [
        sorted({float(np.max(line.get_ydata())) for line in axes.lines if len(line.get_ydata())})
        for axes in figure.axes
    ]
    assert drawn == [[1.0, 2.0], [1.0, 3.0], [50.0]]
    assert (len(efficiency.lines), len(energy.lines), len(outage.lines)) == (7, 4, 3)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[:3] == ["Optimal beams", "MRT beams", "Random beams"]
    assert "limit" in labels[3]


def test_every_figure_has_a_title_and_the_paper_s_reading(tmp_path):
    assert set(captions.TITLES) == {*captions.CAPTIONS, "beams"} == {*captions.LEARNING_FIGURES, *FIGURES}
    pictures = [Picture("3a", "mrt"), Picture("beams")]
    empty = Contents(
        tmp_path, Plan(SCENARIO).settings(), SCENARIO, [], [], [], pictures, [], [], Record(tmp_path), {}
    )
    text = markdown.index_markdown(empty)
    for words in (
        "Fig. 3 and 4",
        captions.CAPTIONS["3a"],
        *captions.COMPARISON,
        "figbeams.svg",
        "fig3a-mrt.pdf",
    ):
        assert words in text
