"""Training runs: killed at any moment and resumed to the same bits, refused where they must be, readable.

All runs have blocks of four seeds of one size of networks, so that few programs are compiled.
"""

import dataclasses
import importlib.util
import json
import os
import signal
import subprocess
import sys
from typing import get_args

import jax
import numpy as np
import pyarrow.dataset
import pytest

from command_line import held, refused, run
from scattermec import Scenario, __version__
from scattermec.agents.settings import PRESETS, TrainingConfig
from scattermec.cli import train as command
from scattermec.errors import BusyError, InputError, TrainingError
from scattermec.learners import ALGORITHMS, new_task
from scattermec.learners.common import Losses, Record
from scattermec.price_net.training import PriceNetConfig
from scattermec.storage import atomic
from scattermec.training import Plan, block, checkpoint, folder, load_run, train
from scattermec.training import run as run_module
from scattermec.training.metrics import read
from scattermec.training.program import Chunk, optimal_reward

SCENARIO = Scenario(user_positions=[[3, 3]], num_antennas=2, arrivals="constant", episode_length=30)
CONFIG = TrainingConfig(
    actor_layers=[8], critic_width=8, batch_size=4, buffer_size=32, action_form="feasible"
)
PLAN = Plan("ddpg", SCENARIO, CONFIG, seeds=(0, 1, 2, 3), frames=600)
OPTIMUM = 400.0


@pytest.fixture(scope="module", autouse=True)
def _known_optimum():
    """The optimum has tests of its own; here its solver would only have to be compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "optimal_reward", lambda parameters: OPTIMUM)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The uninterrupted run."""
    path = tmp_path_factory.mktemp("whole") / "run"
    seen = []
    outcome = train(PLAN, path, processes=1, save_every=1, report=seen.append)
    assert outcome.played == 4 * 600
    assert [progress.done for progress in seen] == [1000, 2000, 2400]
    assert {progress.total for progress in seen} == {2400}
    return path


def assert_same(path, expected, blocks=1):
    names = sorted(str(file.relative_to(expected)) for file in expected.glob("*/seeds-*"))
    assert [str(file.relative_to(path)) for file in sorted(path.glob("*/seeds-*"))] == names
    assert len(names) == 2 * blocks
    for name in names:
        if name.endswith(".npz"):
            with np.load(path / name) as ours, np.load(expected / name) as theirs:
                assert set(ours) == set(theirs)
                for leaf in theirs:
                    np.testing.assert_array_equal(ours[leaf], theirs[leaf], strict=True)
        else:
            np.testing.assert_equal(read(path / name), read(expected / name))


class Killed(BaseException):
    pass


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("write", [1, 2, 3, 4, 5])
def test_a_run_killed_around_any_write_goes_on_to_the_same_bits(tmp_path, monkeypatch, whole, when, write):
    # The writes are metrics, checkpoint, metrics, checkpoint and so on.
    count = 0

    def replace(source, target, really=os.replace):
        nonlocal count
        if not str(target).endswith((".npz", ".parquet")):
            return really(source, target)
        count += 1
        if count == write and when == "before":
            raise Killed
        really(source, target)
        if count == write:
            raise Killed
        return None

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "replace", replace)
        with pytest.raises(Killed):
            train(PLAN, tmp_path, processes=1, save_every=1)
    # What was not saved is played again, from another checkpoint perhaps.
    outcome = train(PLAN, tmp_path, resume=True, processes=1, save_every=300)
    checkpoints = write // 2 if when == "after" else (write - 1) // 2
    saved = [0, 250, 500][checkpoints]
    assert outcome.played == 4 * (600 - saved)
    assert_same(tmp_path, whole)


SUICIDE = """
import os, signal, sys
from pathlib import Path
import jax
import numpy as np

jax.config.update("jax_enable_x64", True)
from scattermec import Scenario
from scattermec.agents.settings import TrainingConfig
from scattermec.training import Plan, run, train

begun = []

def half(file, really=np.savez, **arrays):
    begun.append(file)
    really(file, **arrays)
    if len(begun) == 2:
        file.truncate(file.tell() // 2)
        os.kill(os.getpid(), signal.SIGKILL)

np.savez = half
run.optimal_reward = lambda parameters: 400.0
path = sys.argv[1]
scenario, config = Scenario.load(path + ".scenario"), TrainingConfig.load(path + ".config")
train(Plan("ddpg", scenario, config, seeds=(0, 1, 2, 3), frames=600), Path(path), save_every=1)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_process_killed_outright_leaves_what_goes_on_to_the_same_bits(tmp_path, whole):
    # It is killed when it has written new metrics, and half of the checkpoint that goes with them.
    path = tmp_path / "run"
    SCENARIO.save(f"{path}.scenario")
    CONFIG.save(f"{path}.config")
    killed = subprocess.run([sys.executable, "-c", SUICIDE, path], stderr=subprocess.PIPE, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert (path / "checkpoints" / ".seeds-0000-0003.npz.partial").exists()
    assert read(path / "metrics" / "seeds-0000-0003.parquet")[-1]["frame"] == 500
    assert checkpoint.frame_of(path / "checkpoints" / "seeds-0000-0003.npz") == 250
    assert train(PLAN, path, resume=True, processes=1).played == 4 * 350
    assert_same(path, whole)
    assert not list(path.glob("*/.*.partial"))


def test_two_processes_give_what_one_gives(tmp_path, whole):
    both = dataclasses.replace(PLAN, seeds=tuple(range(8)), frames=300)
    train(both, tmp_path / "one", processes=1)
    seen = []
    outcome = train(both, tmp_path / "two", processes=2, report=seen.append)
    assert outcome.played == seen[-1].done == 8 * 300
    assert_same(tmp_path / "two", tmp_path / "one", blocks=2)
    rows = pyarrow.dataset.dataset(tmp_path / "two" / "metrics").to_table().to_pylist()
    assert sorted({row["seed"] for row in rows}) == list(range(8))
    trained = load_run(tmp_path / "two")
    assert trained.seeds == tuple(range(8))
    name = "agent.actor.layers.0.weight"
    with np.load(tmp_path / "two" / "checkpoints" / "seeds-0004-0007.npz") as archive:
        np.testing.assert_array_equal(trained.states.agent.actor.layers[0].weight[4:], archive[name])


def test_a_run_is_prolonged_and_a_finished_one_left_alone(tmp_path, whole):
    shorter = dataclasses.replace(PLAN, frames=500)
    assert train(shorter, tmp_path, processes=1).played == 4 * 500
    assert train(shorter, tmp_path, processes=1, resume=True).played == 0
    assert load_run(tmp_path).frames == 500
    assert train(PLAN, tmp_path, processes=1, resume=True).played == 4 * 100
    assert_same(tmp_path, whole)
    assert json.loads((tmp_path / "run.json").read_text())["frames"] == 600
    with pytest.raises(InputError, match=r"frames: 500 is not allowed with --resume; .* has played 600"):
        train(shorter, tmp_path, resume=True)


def test_what_is_in_the_folder(whole):
    data = json.loads((whole / "run.json").read_text())
    assert (data["algorithm"], data["seeds"], data["frames"]) == ("ddpg", [0, 1, 2, 3], 600)
    assert data["versions"]["scattermec"] == __version__
    assert data["versions"]["jax"] == jax.__version__
    assert data["scenario_digest"] == folder.digest(SCENARIO) != folder.digest(SCENARIO.replace(ap_power=2))
    assert Scenario.load(whole / "scenario.yaml") == SCENARIO
    assert TrainingConfig.load(whole / "training.yaml") == CONFIG


def test_metrics_are_one_table_of_all_seeds(whole):
    table = pyarrow.dataset.dataset(whole / "metrics").to_table()
    rows = table.to_pylist()
    assert [(row["seed"], row["frame"]) for row in rows] == [
        (seed, frame) for frame in (250, 500, 600) for seed in range(4)
    ]
    learning = ["reward", "user_reward", "outage", "ap_energy", "processed", "estimate_chosen"]
    losses = ["critic_loss.controller", "value.controller"]
    greedy = ["reward.joint", "outage.joint", "share.joint"]
    assert table.column_names == ["seed", "frame", *learning, *losses, *greedy]
    for row in rows:
        assert 0 <= row["share.joint"] < 1
        assert row["share.joint"] == pytest.approx(row["reward.joint"] / OPTIMUM)
        assert 0 <= row["outage"] <= 1
        assert np.isnan(row["estimate_chosen"])
    notes = pyarrow.parquet.read_schema(whole / "metrics" / "seeds-0000-0003.parquet").metadata
    assert notes[b"scattermec.algorithm"] == b"ddpg"
    assert notes[b"scattermec.version"] == __version__.encode()
    assert notes[b"scattermec.scenario"] == folder.digest(SCENARIO).encode()


def test_a_trained_run_is_loaded_with_its_seeds_side_by_side(whole):
    trained = load_run(whole)
    assert (trained.algorithm, trained.scenario, trained.config) == ("ddpg", SCENARIO, CONFIG)
    assert (trained.seeds, trained.frames) == ((0, 1, 2, 3), 600)
    assert {len(leaf) for leaf in jax.tree.leaves(trained.states)} == {4}


def test_folders_without_a_finished_run_are_not_loaded(tmp_path, whole):
    with pytest.raises(InputError, match=r"run.json: cannot be read: No such file"):
        load_run(tmp_path)
    (tmp_path / "run").mkdir()
    for name in ("run.json", "scenario.yaml", "training.yaml"):
        (tmp_path / "run" / name).write_bytes((whole / name).read_bytes())
    with pytest.raises(InputError, match=r"not finished .*seeds-0000-0003: 0"):
        load_run(tmp_path / "run")
    for name, fault in (
        ("scenario.yaml", "ap_power: -2 is not allowed"),
        ("training.yaml", "batch_size: 0 is not allowed"),
    ):
        file = tmp_path / "run" / name
        file.write_text(fault.partition(" is")[0] + "\nnothing: 1\n")
        with pytest.raises(InputError) as caught:
            load_run(tmp_path / "run")
        assert len(caught.value.faults) == 2
        assert caught.value.faults[0].startswith(f"{file}: {fault}")
        assert caught.value.faults[1].startswith(f"{file}: nothing: unknown")
        file.write_bytes((whole / name).read_bytes())
    (tmp_path / "run" / "scenario.yaml").write_text("ap_power: 2")
    with pytest.raises(InputError, match=r"scenario.yaml: is not the scenario that was trained"):
        load_run(tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text('{"seeds": 3}')
    with pytest.raises(InputError, match=r"run.json: seeds: 3 is not allowed; it must be a list"):
        load_run(tmp_path / "run")


# Checkpoints

SEEDS = (3, 4)


@pytest.fixture
def state():
    return {
        "key": jax.random.split(jax.random.key(0), 2),
        "net": [np.arange(4.0).reshape(2, 2), np.array([1, 2], np.int32)],
    }


def test_checkpoints_give_back_what_was_saved(tmp_path, state):
    checkpoint.save(tmp_path / "c.npz", state, SEEDS, 7)
    assert os.listdir(tmp_path) == ["c.npz"]
    loaded, frame = checkpoint.load(tmp_path / "c.npz", jax.eval_shape(lambda: state), SEEDS)
    assert frame == 7 == checkpoint.frame_of(tmp_path / "c.npz")
    assert jax.tree.structure(loaded) == jax.tree.structure(state)
    assert loaded["key"].dtype == state["key"].dtype
    np.testing.assert_array_equal(jax.random.key_data(loaded["key"]), jax.random.key_data(state["key"]))
    for ours, theirs in zip(loaded["net"], state["net"], strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"net.1": None}, "net.1: is missing"),
        ({"other": np.zeros(2)}, "other: is unknown"),
        ({"net.0": np.zeros((2, 3))}, r"net.0: shape \(2, 3\) is not allowed; it must be \(2, 2\)"),
        ({"net.0": np.zeros((2, 2), np.float32)}, "net.0: type float32 is not allowed; it must be float64"),
        ({"key": np.zeros((2, 4), np.uint32)}, r"key: shape \(2, 4\) is not allowed; it must be \(2, 2\)"),
        ({"net.0": np.array([[print, 1]])}, "net.0 is not an .npy array, or is damaged"),
        ({"_seeds": np.array([3, 5])}, r"_seeds: \[3, 5\] is not allowed; it must be \[3, 4\]"),
        ({"_frame": None}, "cannot be read as a checkpoint"),
    ],
)
def test_checkpoints_that_do_not_fit_are_refused_by_name(tmp_path, state, changes, fault):
    path = tmp_path / "c.npz"
    checkpoint.save(path, state, SEEDS, 7)
    with np.load(path) as archive:
        arrays = {**archive, **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(InputError, match=fault) as error:
        checkpoint.load(path, state, SEEDS)
    assert len(error.value.faults) == 1


def test_broken_checkpoints_are_refused(tmp_path, state):
    path = tmp_path / "c.npz"
    with pytest.raises(InputError, match="no such checkpoint"):
        checkpoint.load(path, state, SEEDS)
    checkpoint.save(path, state, SEEDS, 7)
    good = path.read_bytes()
    for bad in (b"", b"nonsense", good[: len(good) // 2], good.replace(b"\x93NUMPY", b"\x93NUMPX")):
        path.write_bytes(bad)
        with pytest.raises(InputError, match=r"cannot be read as a checkpoint|or is damaged"):
            checkpoint.load(path, state, SEEDS)


# Learning that fails


def test_a_diverging_run_says_where_and_keeps_its_checkpoint(tmp_path, whole):
    wild = dataclasses.replace(PLAN, config=CONFIG.replace(critic_learning_rate=1e30))
    with pytest.raises(TrainingError) as error:
        train(wild, tmp_path, processes=1)
    assert str(error.value) == "ddpg: seed 0, agent controller, frame 5: critic loss is nan"


def chunk(**changes):
    frames = np.ones((10, 2))
    fields = dict.fromkeys(("reward", "user_reward", "outage", "ap_energy", "processed"), frames)
    losses = {name: np.ones((10, 2, 3)) for name in ("critic", "value")}
    for name in losses:
        losses[name] = changes.pop(name, losses[name])
    finite = changes.pop("finite", np.ones((2, 3), bool))
    record = Record(**{**fields, "estimate_chosen": frames * np.nan, **changes}, losses=Losses(**losses))
    return Chunk(record, finite)


def wrong(shape, **where):
    array = np.ones(shape)
    for place, value in where.values():
        array[place] = value
    return array


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, None),
        (
            {"critic": wrong((10, 2, 3), a=((4, 1, 2), np.nan), b=((6, 0, 0), np.nan))},
            "seed 8, agent user 2, frame 504: critic loss is nan",
        ),
        (
            {"value": wrong((10, 2, 3), a=((3, 0, 0), -2e9)), "reward": wrong((10, 2), a=((3, 1), np.inf))},
            "seed 7, agent ap, frame 503: value is -2e+09, beyond 1e+09: learning diverges",
        ),
        (
            {"value": wrong((10, 2, 3), a=((3, 0, 0), 2e9)), "reward": wrong((10, 2), a=((2, 1), np.inf))},
            "seed 8, frame 502: reward is inf",
        ),
        (
            {"finite": np.array([[True] * 3, [True, False, True]])},
            "seed 8, agent user 1, frame 509: parameters are not finite",
        ),
    ],
)
def test_the_first_fault_is_named(changes, fault):
    assert block.first_fault(chunk(**changes), (7, 8), ("ap", "user 1", "user 2"), 500) == fault


# The command

OPTIONS = ["--config", "paper", "--train", "actor_layers=[8]", "--train", "critic_width=8"]
OPTIONS += [
    "--train",
    "action_form=feasible",
    "--train",
    "batch_size=4",
    "--train",
    "buffer_size=32",
    "--seeds",
    "4",
    "--processes",
    "1",
]


@pytest.fixture
def arguments(tmp_path, monkeypatch):
    for name in ("XLA_FLAGS", "OMP_NUM_THREADS"):  # which the command sets
        monkeypatch.setenv(name, os.environ.get(name, ""))
    SCENARIO.save(tmp_path / "scenario.yaml")
    return ["train", "ddpg", *OPTIONS, "--scenario", tmp_path / "scenario.yaml"]


def test_the_command_trains_resumes_and_reports(tmp_path, whole, arguments):
    out = tmp_path / "run"
    few = run(*arguments, "--out", out, "--frames", "250", "--tensorboard").stdout
    for words in ("4 seeds of 250 frames", "joint", "share of the optimum", f"{out}: the run is finished"):
        assert words in few
    assert len(list((out / "tensorboard").glob("seed-000*/events*"))) == 4
    assert (refused(*arguments, "--out", out)) == [
        f"{out}: holds a training run; add --resume to go on, or name another folder"
    ]
    done = run(*arguments, "--out", out, "--resume").stdout
    assert f"{out}: the run was finished already" in done
    report = json.loads(run(*arguments, "--out", out, "--resume", "--frames", "600", "--json").stdout)
    assert (report["algorithm"], report["frames"], report["played"]) == ("ddpg", 600, 4 * 350)
    assert [row["seed"] for row in report["last"]] == [0, 1, 2, 3]
    assert TrainingConfig.from_yaml(json.dumps(report["config"])) == CONFIG


def test_the_command_resumes_nothing_but_the_same(whole, arguments):
    other = ["train", "ap-ddpg", *arguments[2:], "--resume", "--out", whole, "--set", "ap_power=2"]
    assert refused(*other, "--seeds", "3", "--train", "smoothing=0.2") == [
        f"algorithm: ap-ddpg is not allowed with --resume; {whole} has ddpg",
        f"seeds: [0, 1, 2] is not allowed with --resume; {whole} has [0, 1, 2, 3]",
        f"ap_power: 2.0 is not allowed with --resume; {whole} has 1.0",
        f"smoothing: 0.2 is not allowed with --resume; {whole} has 0.1",
    ]


def test_the_command_says_in_one_line_that_learning_failed(tmp_path, arguments):
    options = ["--train", "critic_learning_rate=1e30", "--frames", "250", "--out", tmp_path / "run"]
    failed = run(*arguments, *options, status=1)
    assert failed.stderr.splitlines() == ["ddpg: seed 0, agent controller, frame 5: critic loss is nan"]


def test_two_runs_in_one_folder_are_refused(tmp_path, whole):
    for name in ("run.json", "scenario.yaml", "training.yaml"):
        (tmp_path / name).write_bytes((whole / name).read_bytes())
    (tmp_path / "checkpoints").mkdir()
    with (
        held(tmp_path / "checkpoints" / ".seeds-0000-0003.npz.lock"),
        pytest.raises(BusyError, match=r"seeds-0000-0003\.npz: another process is writing there"),
    ):
        train(PLAN, tmp_path, resume=True, processes=1)


REFUSALS = """
import sys
from scattermec.cli.app import app

for arguments in (
    ["ddpg", "--out", "other"],
    ["ddpg", "--set", "ap_power=-1"],
    ["ddpg", "--config", "c.yaml"],
    ["ap"],
):
    try:
        app(["train", *arguments])
    except SystemExit as exit_:
        print(exit_.code, "jax" in sys.modules)
"""


def test_bad_input_is_refused_before_jax_is_imported(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    done = subprocess.run([sys.executable, "-c", REFUSALS], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.splitlines() == ["2 False"] * 4
    for fault in (
        "other: has something in it and is no training run; name another folder",
        "ap_power: -1 is not allowed; it must be",
        "config: c.yaml is none of paper, tuned, corrections, and no file",
        "'ap' is not one of",
    ):
        assert fault in done.stderr
    assert os.listdir(tmp_path) == ["other"]


def test_bad_configurations_and_missing_packages_are_refused(tmp_path, monkeypatch, arguments):
    (fault,) = refused(*arguments, "--out", tmp_path / "run", "--train", "batch_size=0")
    assert fault == "batch_size: 0 is not allowed; it must be >= 1 and <= 65536"
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "optax" else find(name))
    (fault,) = refused(*arguments, "--out", tmp_path / "run")
    assert fault == "learning: optax not installed; pip install 'scattermec[learning]'"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "config",
    [
        {"actor_layers": [5000]},
        {"actor_layers": [8] * 17},
        {"critic_width": 2**63},
        {"batch_size": 10**6, "buffer_size": 10**6},
        {"buffer_size": 10**20},
    ],
)
def test_configurations_that_fill_the_memory_are_refused(config):
    with pytest.raises(InputError, match=f"{next(iter(config))}: .* is not allowed; it must be .*[0-9]"):
        TrainingConfig(**config)


@pytest.mark.parametrize("config", [{"width": 10**9}, {"rounds": 65}, {"batch_size": 10**8}])
def test_configurations_of_price_net_have_maxima_too(config):
    with pytest.raises(InputError, match=f"{next(iter(config))}: .* it must be >= 1 and <= [0-9]"):
        PriceNetConfig(**config)


def test_the_command_knows_all_algorithms_and_presets():
    assert get_args(command.Algorithm) == tuple(ALGORITHMS)
    assert list(command.PRESETS) == list(PRESETS)


def test_bad_plans_are_refused():
    with pytest.raises(InputError) as error:
        Plan("sarsa", SCENARIO, CONFIG, seeds=(1, 1), frames=0)
    assert error.value.faults == (
        f"algorithm: 'sarsa' is not known; choose from {', '.join(ALGORITHMS)}",
        "seeds: [1, 1] is not allowed; it must be at least one, each once",
        "frames: 0 is not allowed; it must be >= 1 and <= 100000000",
    )


def test_the_optimum_is_unknown_where_beams_cannot_be_optimised():
    task = new_task(SCENARIO.replace(harvest_model="sigmoidal"), CONFIG)
    assert np.isnan(optimal_reward(task.parameters))
