"""Sweeps: plans, their tasks and groups, the data set, and the engines, whose processes are killed."""

import itertools
import pickle
import subprocess
import sys
from collections import Counter
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas
import pyarrow.parquet
import pytest

from command_line import refused, run, stand_in_for_slurm
from scattermec import _processes
from scattermec.agents.settings import Learning, TrainingConfig
from scattermec.engines import Listed, local, slurm
from scattermec.errors import InputError, UnfinishedError
from scattermec.experiments.calibrate.margins import Margins
from scattermec.experiments.claims.optima import CLAIMS
from scattermec.experiments.evaluate import foresight
from scattermec.experiments.evaluate.evaluation import evaluate
from scattermec.experiments.evaluate.policies import fixed_contenders
from scattermec.experiments.measure.rollouts import simulate
from scattermec.experiments.measure.statistics import Estimate, mean_interval
from scattermec.experiments.measure.sweeps import measure_frames
from scattermec.experiments.sweep import jobs, search
from scattermec.experiments.sweep.plan import SHAPES, TRAINING_SHAPES, Plan
from scattermec.experiments.sweep.plotting import lines_of
from scattermec.experiments.sweep.running import Sweep, fields_of
from scattermec.experiments.sweep.store import Store
from scattermec.experiments.sweep.tabulating import combinations, table_of
from scattermec.experiments.sweep.tasks import Tasks
from scattermec.physics import Parameters, parameters_of
from scattermec.scenario import Scenario
from sweep_work import Dying

TOY = {"num_antennas": 2, "user_positions": [[3, 3]], "arrivals": "constant", "episode_length": 20}
SMALL = {"job": "solve", "options": {"frames": 4}, "constants": TOY}
NETWORKS = {
    "train.actor_layers": [8],
    "train.critic_width": 8,
    "train.batch_size": 4,
    "train.buffer_size": 32,
}


# Plans


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("job: solv", ["job: solv is not allowed; it must be simulate, solve"]),
        ("options: {fames: 3}", ["options.fames: unknown; did you mean frames?"]),
        ("options: {frames: 0}", ["options.frames: 0 is not allowed"]),
        ("scenario: nowhere", ["nowhere: cannot be read"]),
        ("constants: {ap_power: -1}", ["ap_power: -1 is not allowed; it must be > 0 (W)"]),
        ("grid: {ap_pwer: [1]}", ["grid.ap_pwer: ap_pwer: unknown; did you mean ap_power?"]),
        ("grid: {ap_power: []}", ["grid.ap_power: [] is not allowed; it must be a list of values"]),
        ("grid: {num_antennas: {low: 1, high: 3}}", ["grid.num_antennas: cannot be a range"]),
        ("grid: {ap_power: {low: 3, high: 2}}", ["low < high"]),
        ("grid: {idle_power: {low: 0, high: 2, log: true}}", ["low > 0 for log"]),
        ("points: [{train.batch_size: 4}]", ["points[0]: train.batch_size: is only for the job train"]),
        ("draw: {count: 3}", ["draw.over: is missing"]),
        ("draw: {how: sobol, over: {}}", ["draw.how: sobol is not allowed"]),
        ("{grid: {ap_power: [1]}, points: [{ap_power: 2}]}", ["ap_power: varies twice"]),
        ("seeds: [1, 1]", ["seeds: [1, 1] is not allowed; it must be at least one, each once"]),
        ("{job: train, constants: {train.smoothing: 2}}", ["smoothing: 2 is not allowed"]),
        ("grid: {ap_power: [.nan], bandwidth: [x]}", ["grid.ap_power", "grid.bandwidth"]),
    ],
)
def test_faults_of_a_plan_are_named_together(text, faults):
    with pytest.raises(InputError) as caught:
        Plan.from_yaml(text)
    assert len(caught.value.faults) == len(faults)
    for line, fault in zip(caught.value.faults, faults, strict=True):
        assert fault in line


def test_tasks_that_are_too_many_or_go_together_badly_are_refused_before_any_work(tmp_path):
    with pytest.raises(InputError, match="tasks are not allowed"):
        Tasks(Plan.from_yaml("{draw: {count: 9000000, over: {ap_power: {low: 1, high: 2}}}, seeds: 1000}"))
    plan = tmp_path / "plan.yaml"
    plan.write_text("grid: {passive_receive_power: [0.01, 0.05]}")
    (line,) = refused("sweep", "run", plan, "--out", tmp_path / "out")
    assert line.startswith("task 1 (passive_receive_power 0.05): passive_receive_power: 0.05 is not allowed")
    assert not (tmp_path / "out").exists()
    plan = plan_of(options={"beams": "optimal"}, grid={"harvest_model": ["linear", "sigmoidal"]})
    with pytest.raises(InputError, match="harvest_model: sigmoidal is not allowed with optimal beams"):
        Tasks(plan).check(10)


def test_a_loaded_plan_means_the_same_without_its_files(tmp_path):
    (tmp_path / "mine.yaml").write_text("ap_power: 2 W\nrectifier: {saturation: 3}\n")
    (tmp_path / "training.yaml").write_text("batch_size: 8\n")
    (tmp_path / "plan.yaml").write_text(
        "{job: train, scenario: mine.yaml, options: {config: training.yaml}, constants: {mean_workload: 30}, "
        "grid: {ap_power: [1 W, 2]}}"
    )
    plan = Plan.load(tmp_path / "plan.yaml")
    for path in tmp_path.iterdir():
        path.unlink()
    kept = Plan.from_yaml(plan.to_yaml())
    assert (kept.digest, kept.base) == (plan.digest, plan.base)
    assert kept.base == Scenario(ap_power=2.0, rectifier={"saturation": 3.0}, mean_workload=30.0)
    assert kept.base_config == TrainingConfig(batch_size=8)
    assert kept.axes[0].values == (1.0, 2.0)


# Tasks


def plan_of(**settings):
    return Plan(**settings).self_contained()


def test_numbers_stand_for_every_combination_once_and_groups_for_shapes():
    plan = plan_of(
        grid={"ap_power": [1, 2, 3], "num_antennas": [2, 3], "fading": ["rayleigh"]},
        points=[{"bandwidth": 4}, {"bandwidth": 5, "harvest_model": "sigmoidal"}],
        draw={"count": 5, "over": {"idle_power": {"low": 0.1, "high": 0.2}}},
        seeds=[4, 7],
        group=4,
    )
    tasks = Tasks(plan)
    found = [tasks.task(number) for number in range(len(tasks))]
    assert len({task.hash for task in found}) == len(found) == 3 * 2 * 2 * 5 * 2
    names = ("ap_power", "num_antennas", "bandwidth")
    combinations = Counter((*(task.changes[name] for name in names), task.seed) for task in found)
    assert combinations == dict.fromkeys(itertools.product((1, 2, 3), (2, 3), (4, 5), (4, 7)), 5)
    groups = [tasks.group(number) for number in range(tasks.groups)]
    assert [number for group in groups for number in group] == list(range(len(tasks)))
    for group in groups:
        kinds = {(found[n].changes["num_antennas"], "harvest_model" in found[n].changes) for n in group}
        assert len(group) <= 4
        assert len(kinds) == 1
    assert tasks.compilations == 4


def test_seeds_that_train_together_share_their_scenario():
    tasks = Tasks(plan_of(job="train", grid={"ap_power": [1, 2, 3]}, seeds=6))
    groups = [[tasks.task(number) for number in tasks.group(group)] for group in range(tasks.groups)]
    assert [len(group) for group in groups] == [4, 2] * 3
    assert all(len({task.changes["ap_power"] for task in group}) == 1 for group in groups)


def test_a_hash_is_that_of_the_scenario_not_of_the_way_it_is_written():
    ways = (
        plan_of(grid={"ap_power": ["1000 mW", 2]}, seeds=[3]),
        plan_of(points=[{"ap_power": 1, "rectifier.saturation": 1}], seeds=[2, 3]),
        plan_of(constants={"ap_power": 1}, grid={"bandwidth": [8]}, seeds=[3]),
    )
    first, second, third = (Tasks(plan) for plan in ways)
    assert first.task(0).hash == second.task(1).hash == third.task(0).hash
    assert second.task(0).hash != second.task(1).hash
    assert Tasks(plan_of(options={"frames": 7}, seeds=[3])).task(0).hash != first.task(0).hash


@pytest.mark.parametrize("how", ["latin-hypercube", "random"])
def test_draws_are_within_their_ranges_and_a_hypercube_fills_each_evenly(how):
    over = {"bandwidth": {"low": 1, "high": 16, "log": True}, "idle_power": {"low": 0.5, "high": 1}}
    tasks = Tasks(plan_of(draw={"how": how, "count": 8, "seed": 1, "over": over}))
    drawn = np.array([list(tasks.task(number).changes.values()) for number in range(8)])
    unit = np.stack([np.log2(drawn[:, 0]) / 4, drawn[:, 1] * 2 - 1], axis=1)
    assert np.all((unit >= 0) & (unit <= 1))
    if how == "latin-hypercube":
        np.testing.assert_array_equal(np.sort(np.floor(unit * 8), axis=0), [[k, k] for k in range(8)])


def test_constants_that_change_programs_are_known():
    arrays = {field.name for field in fields(Parameters) if not field.metadata.get("static")}
    static = {field.name for field in fields(Parameters)} - arrays
    assert static | {"num_antennas", "user_positions", "trace"} == SHAPES
    trained = {f"train.{field.name}" for field in fields(Learning) if field.metadata.get("static")}
    assert trained == TRAINING_SHAPES


# Jobs


def rows_of(plan, folder):
    tasks = Tasks(plan)
    return [
        row
        for group in range(tasks.groups)
        for _, rows in jobs.run(tasks, tasks.group(group), folder / "work", tasks.group_size)
        for row in rows
    ]


@pytest.mark.parametrize(("job", "beams"), [("simulate", "random"), ("solve", "mrt")])
def test_stacked_scenarios_are_what_each_is_alone(job, beams, tmp_path):
    # Three in groups of two: the last group is padded. One cannot be.
    options = {"frames": 20, "beams": beams}
    plan = plan_of(
        job=job,
        options=options,
        constants=TOY,
        grid={"passive_receive_power": [0.01, 0.03, 0.05]},
        seeds=[5],
        group=2,
    )
    *good, bad = rows_of(plan, tmp_path)
    for row, power in zip(good, (0.01, 0.03), strict=True):
        scenario = Scenario(**TOY, passive_receive_power=power)
        settings = {"scheme": "hybrid", "beams": beams, "seed": 5}
        if job == "simulate":
            alone = simulate(scenario, num_frames=20, **settings).estimates
        else:
            alone = measure_frames(parameters_of(scenario), frames=20, **settings)
        for name, estimate in alone.items():
            found = [row[name], row[f"{name}_low"], row[f"{name}_high"]]
            np.testing.assert_allclose(found, estimate, rtol=1e-6, atol=1e-9, err_msg=name)
    assert "passive_receive_power" in bad["fault"]


def test_a_policy_is_evaluated_as_by_itself(tmp_path):
    # With this rectifier nothing is known to be optimal, which would take long to compile.
    constants = TOY | {"harvest_model": "sigmoidal"}
    plan = plan_of(
        job="evaluate",
        options={"frames": 4, "rollout_frames": 0},
        constants=constants,
        grid={"ap_power": [1, 2]},
    )
    found = rows_of(plan, tmp_path)
    assert [(row["regime"], row["policy"]) for row in found] == [("independent", "mrt")] * 2
    scenario = Scenario(**constants, ap_power=2.0)
    alone = evaluate(scenario, fixed_contenders(scenario, ["mrt"]), frames=4, rollout_frames=0, seed=0)
    assert found[1]["reward"] == alone.rows[0].estimates["reward"].mean
    unknown = plan.replace(options={"policy": "nobody", "frames": 4})
    assert "nobody" in rows_of(unknown, tmp_path)[0]["fault"]


def test_every_column_of_other_jobs_is_filled(tmp_path, monkeypatch):
    estimates = dict.fromkeys(("cost", "over_bound", "energy", "unserved", "outage"), Estimate(1.0, 0.5, 2.0))
    row = foresight.ForesightRow("mrt", None, **estimates, served_all=3, over_bound_there=None)
    found = foresight.Foresight(rows=(row,), gap=1e-6, main_beam=1.0)
    monkeypatch.setattr(foresight, "compare", lambda *a, **b: found)
    monkeypatch.setattr(foresight, "contenders", lambda *a: [])
    monkeypatch.setattr(jobs, "load", lambda name: None)
    monkeypatch.setattr(jobs, "margins", lambda *a, **b: Margins(np.arange(len(CLAIMS)), 0.5))
    for job in ("horizon", "claims"):
        plan = plan_of(job=job)
        (row,) = rows_of(plan, tmp_path)
        assert {field.name for field in fields_of(plan)} == set(row)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small training, and the bytes of its only group."""
    folder = tmp_path_factory.mktemp("trained")
    options = {"algorithm": "ap-ddpg", "config": "paper", "frames": 500, "curve": True}
    constants = (
        TOY | NETWORKS | {"harvest_model": "sigmoidal"}
    )  # without an optimum, which takes long to compile
    plan = plan_of(job="train", options=options, constants=constants, seeds=2)
    # As on a machine that does not see the sweep's folder, and does not make one.
    content = Sweep(plan, folder / "elsewhere").compute(0)
    assert not list(folder.iterdir())
    return plan, content


def test_a_training_that_is_asked_to_leave_goes_on_to_the_same_bytes(trained, tmp_path, monkeypatch):
    plan, whole = trained
    Store.begin(tmp_path, plan, "")
    sweep = Sweep(plan, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(_processes, "_asked", [10])
        with pytest.raises(UnfinishedError, match="frame 250 of 500"):
            sweep.compute(0)
    assert sweep.store.work(0).is_dir()
    played = []
    train_block = jobs.training_run.train_block
    monkeypatch.setattr(
        jobs.training_run,
        "train_block",
        lambda *a, report, **b: train_block(
            *a, report=lambda rows: [played.append(rows[0]["frame"]), report(rows)], **b
        ),
    )
    assert sweep.compute(0) == whole
    assert played == [500]
    assert not sweep.store.work(0).exists()


def test_a_training_has_its_learning_curve(trained):
    _, content = trained
    table = pyarrow.parquet.read_table(pyarrow.BufferReader(content)).to_pandas()
    assert list(zip(table["seed"], table["frame"], strict=True)) == [(0, 250), (0, 500), (1, 250), (1, 500)]
    assert np.isfinite(table["reward"]).all()
    assert set(table["fault"]) == {""}


# The search


class Searched:
    """Trials whose metric is the squared distance of two constants, in decades, from where it is least."""

    def __init__(self, store, dies_at=None):
        self.store, self.dies_at, self.computed = store, dies_at, []

    def run(self, work, numbers, report):
        for number in numbers:
            if len(self.computed) == self.dies_at:
                raise KeyboardInterrupt
            self.computed.append(number)
            work.keep(
                number, work.store.encode(work.store.schema(fields_of(work.plan)), self.rows(work, number))
            )

    def rows(self, work, number):
        for index in work.store.tasks.group(number):
            task = work.store.tasks.task(index)
            distances = [np.log10(task.changes["ap_power"] / 2), np.log10(task.changes["bandwidth"] / 5)]
            yield task, [{"ap_energy": float(np.square(distances).sum()) + 0.01 * task.seed}]


def searched_plan(count):
    over = {name: {"low": 0.1, "high": 100, "log": True} for name in ("ap_power", "bandwidth")}
    return search.plan_of(plan_of(job="solve", draw={"count": count, "over": over}, seeds=2), "ap_energy")


needs_optuna = pytest.mark.skipif(find_spec("optuna") is None, reason="needs the extra search")


@needs_optuna
def test_a_search_finds_the_least_and_goes_on_where_it_was_interrupted(tmp_path):
    plan = searched_plan(30)
    store = Store.begin(tmp_path, plan, "")
    settings = {"smallest": True, "together": 4, "report": lambda done, total: None}
    begun = Searched(store, dies_at=6)
    with pytest.raises(KeyboardInterrupt):
        search.search(store, "ap_energy", run=begun.run, **settings)
    store = Store.open(tmp_path)
    rest = Searched(store)
    found = search.search(store, "ap_energy", run=rest.run, **settings)
    assert sorted(begun.computed + rest.computed) == list(range(30))
    own = np.log10(1 / 2) ** 2 + np.log10(8 / 5) ** 2 + 0.005
    assert (found.trials, found.pruned, found.before) == (30, 0, pytest.approx(own))
    assert found.value < own
    path, tasks, _ = Store.open(tmp_path).merge(lambda done, total: None)
    table = pandas.read_parquet(path)
    assert tasks == 60
    best = table[table["task"] // 2 == found.best]
    assert (
        best["ap_energy"].mean()
        == pytest.approx(found.value)
        == table.groupby(table["task"] // 2)["ap_energy"].mean().min()
    )
    comparison = Tasks(Plan.load(found.comparison))
    assert len(comparison) == 40
    assert [comparison.task(n).changes for n in (0, 39)] == [{}, found.changes]


@needs_optuna
def test_a_training_that_falls_behind_is_pruned(tmp_path):
    over = {"ap_power": {"low": 1, "high": 2}}
    options = {"algorithm": "ap-ddpg", "frames": 1000}
    plan = search.plan_of(plan_of(job="train", options=options, draw={"count": 9, "over": over}), "reward")
    store = Store.begin(tmp_path, plan, "")
    reached = []

    def run_trials(work, numbers, report):
        for number in numbers:
            fault = ""
            try:
                for frame in (250, 500, 750, 1000):
                    rows = [{"seed": 0, "frame": frame, "reward": float(number < 6)}]
                    work._pruning(number)(SimpleNamespace(rows=rows))
            except jobs.PrunedError as error:
                fault = str(error)
            reached.append(frame)
            found = [(work.store.tasks.task(number), [{"reward": float(number < 6), "fault": fault}])]
            work.keep(number, work.store.encode(work.store.schema(fields_of(plan)), found))

    found = search.search(store, "reward", smallest=False, together=1, run=run_trials, report=lambda *_: None)
    assert reached == [1000] * 6 + [250] * 3
    assert found.pruned == 3


def test_what_cannot_be_searched_is_refused():
    with pytest.raises(InputError, match="must have draw") as caught:
        search.plan_of(plan_of(grid={"ap_power": [1]}), "luck")
    assert "optimise: luck is not measured; choose from not_converged, energy_efficiency" in str(caught.value)


# The data set, and the engines


@pytest.fixture(scope="module")
def plan():
    return plan_of(**SMALL, grid={"ap_power": [1, 2, 3, 4], "mean_workload": [10, 20]}, seeds=2, group=4)


@pytest.fixture(scope="module")
def reference(plan, tmp_path_factory):
    """A sweep on this machine, one of whose processes was killed."""
    folder, marks = tmp_path_factory.mktemp("sweep"), tmp_path_factory.mktemp("marks")
    store = Store.begin(folder, plan, "")
    reported = []
    local.run(Dying(plan, folder, marks, dies_at=(1,)), store.left(), reported.append, processes=2)
    assert sorted(reported) == [0, 1, 2, 3]
    assert len(list(marks.iterdir())) == 1
    return store


def content(store):
    return {path.name: path.read_bytes() for path in sorted(store.folder.glob("results/*/*.parquet"))}


def test_a_data_set_is_read_while_it_grows(reference, plan, tmp_path):
    store = Store.begin(tmp_path / "grows", plan, "")
    store.write(2, reference.path(2).read_bytes())
    found = pandas.read_parquet(store.folder / "results")
    assert list(found["task"]) == list(store.tasks.group(2))
    assert store.left() == [0, 1, 3]
    path, tasks, rows = store.merge(lambda done, total: None)
    assert (tasks, rows) == (4, 4)
    assert list(pandas.read_parquet(path)["task"]) == list(store.tasks.group(2))


def test_merged_results_hold_every_task_once_with_its_scenario(reference):
    path, tasks, rows = reference.merge(lambda done, total: None)
    table = pandas.read_parquet(path)
    assert tasks == rows == len(reference.tasks) == 16
    for number, row in enumerate(table.itertuples()):
        task = reference.tasks.task(number)
        assert (row.task, row.hash, row.seed) == (number, task.hash, task.seed)
        assert {"ap_power": row.ap_power, "mean_workload": row.mean_workload} == task.changes


@pytest.mark.parametrize("harm", ["of another group", "torn"])
def test_results_that_are_not_those_of_their_tasks_are_not_merged(harm, reference, plan, tmp_path):
    store = Store.begin(tmp_path, plan, "")
    whole = reference.path(0).read_bytes()
    store.write(1, whole if harm == "of another group" else whole[:-9])
    with pytest.raises(
        InputError, match="does not hold the tasks 4 to 7" if harm != "torn" else "not Parquet"
    ):
        store.merge(lambda done, total: None)


def test_a_folder_goes_on_with_its_own_plan_only(reference, plan, tmp_path):
    with pytest.raises(InputError, match=r"holds another plan \(seeds differ\)"):
        Store.begin(reference.folder, plan.replace(seeds=3), "")
    with pytest.raises(InputError, match="is not the folder of a sweep"):
        Store.open(tmp_path)
    (tmp_path / "something").touch()
    with pytest.raises(InputError, match="has something in it"):
        Store.begin(tmp_path, plan, "")
    with pytest.raises(InputError, match="something: is not a folder"):
        Store.begin(tmp_path / "something", plan, "")


def test_lines_are_means_over_what_shares_a_point(reference):
    (first, second), rows = lines_of(reference, "ap_power", "ap_energy", "mean_workload")
    assert (first.label, second.label, rows) == ("10", "20", 16)
    table = pandas.concat(pandas.read_parquet(path) for path in reference.folder.glob("results/*/*.parquet"))
    own = table[(table["mean_workload"] == 20) & (table["ap_power"] == 3)].sort_values("seed")
    assert (second.mean[2], second.low[2], second.high[2]) == mean_interval(own["ap_energy"])
    with pytest.raises(InputError, match="power: is not a column; choose from task"):
        lines_of(reference, "power", "ap_energy", None)
    with pytest.raises(InputError, match="hash: is a text"):
        lines_of(reference, "ap_power", "hash", None)


def test_a_table_has_a_row_for_each_combination_of_constants(reference):
    found = combinations(reference, ["ap_energy", "outage"])
    rows = pandas.read_parquet(reference.folder / "results").groupby(["ap_power", "mean_workload"])
    assert len(found) == len(rows) == 8
    for one in found:
        own = rows.get_group(tuple(one.constants.values()))
        assert one.tasks == len(own) == 2
        assert one.means["ap_energy"] == mean_interval(own.sort_values("seed")["ap_energy"])
    table = table_of(reference, ["ap_energy", "outage"], found)
    assert table.columns == ("ap_power", "mean_workload", "tasks", "ap_energy", "outage")
    assert [row[:3] for row in table.rows[:3]] == [("1", "10", "2"), ("1", "20", "2"), ("2", "10", "2")]
    with pytest.raises(InputError, match="fault: is a text; it must be a number"):
        combinations(reference, ["fault"])


def test_a_single_task_shows_its_own_interval(plan, tmp_path):
    store = Store.begin(tmp_path, plan.replace(seeds=1), "")
    local.run(Sweep(store.plan, tmp_path), store.left(), lambda number: None, processes=1)
    row = pandas.read_parquet(tmp_path / "results").iloc[0]
    first = combinations(store, ["ap_energy"])[0]
    ends = row["ap_energy"], row["ap_energy_low"], row["ap_energy_high"]
    assert (first.tasks, *first.means["ap_energy"]) == (1, *ends)


def test_jobs_of_an_array_share_all_tasks():
    for tasks, most in itertools.product((1, 2, 7, 1000, 1001), (1, 3, 1000)):
        jobs_asked = slurm.number_of_jobs(slurm.Settings(jobs=most), tasks)
        shares = [slurm.share(index, jobs_asked, tasks) for index in range(jobs_asked)]
        assert jobs_asked <= most
        assert all(map(len, shares))
        assert [number for share in shares for number in share] == list(range(tasks))


def square(number, report):
    report((number, number**2))


def test_a_list_of_tasks_is_work_for_any_engine():
    reported = []
    listed = Listed(square, [3, 5], reported.append)
    elsewhere = pickle.loads(pickle.dumps(listed))
    for number in (1, 0):
        listed.keep(number, elsewhere.compute(number))
    assert reported == [(5, 25), (3, 9)]


def test_slurm_gives_the_same_bytes_though_jobs_are_killed(reference, plan, tmp_path, monkeypatch):
    stand_in_for_slurm(tmp_path, monkeypatch, kept="results/part=0000/group-00000000.parquet")
    plan.save(tmp_path / "plan.yaml")
    out = tmp_path / "out"
    report = run("sweep", "run", tmp_path / "plan.yaml", "--out", out, "--engine", "slurm", "--jobs", 2)
    assert "Submitted as job 7." in report.stdout
    assert content(Store.open(out)) == content(reference)


@pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra ray")
def test_ray_gives_the_same_bytes_though_a_node_is_killed(reference, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, Path(__file__).parent / "sweep_on_ray.py", reference.folder, out]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert content(Store.open(out)) == content(reference)


def test_what_another_engine_began_is_finished_here(reference, plan, tmp_path, monkeypatch):
    store = Store.begin(tmp_path / "out", plan, "")
    store.write(1, reference.path(1).read_bytes())
    plan.save(tmp_path / "plan.yaml")
    monkeypatch.setattr(Sweep, "compute", lambda sweep, number: reference.path(number).read_bytes())
    report = run("sweep", "run", tmp_path / "plan.yaml", "--out", store.folder, "--processes", 1)
    assert "3 groups computed, 0 left" in report.stdout
    assert content(store) == content(reference)
