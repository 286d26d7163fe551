"""Every command and option that the documentation and `--help` name, run at toy size.

One table of command lines, `LINES`, gives both the runs and what counts as run: an option that is in no line
of the table fails a test, be it the program's or one that a page shows.
"""

import csv
import json
import math
import re
import shlex
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from command_line import run
from scattermec import Scenario, _processes
from scattermec.cli import app
from scattermec.cli.jobs import demo, export
from scattermec.engines import slurm
from scattermec.experiments.calibrate import calibration, search
from scattermec.experiments.calibrate.margins import Margins
from scattermec.experiments.evaluate import benchmark_set
from scattermec.experiments.evaluate.exported import LEARNED
from scattermec.experiments.measure import possible, sampled
from scattermec.experiments.measure.statistics import Estimate
from scattermec.experiments.measure.world import SimulatedWorld
from scattermec.experiments.studies.knowledge import Knowledge
from scattermec.online import broker
from scattermec.price_net import runs

ROOT = Path(__file__).parent.parent
COMMANDS = {name: app.Command(name).imported for name in app.COMMANDS}
PLACEHOLDERS = {"ALGORITHM": "h-maddpg-opt", "LEARNER": "h-maddpg", "PRESET": "paper", "K": "1"}
"""What stands for a value that has to be one of several, and one of these."""

TOY = {"num_antennas": 2, "user_positions": [[3, 3]], "arrivals": "constant", "episode_length": 20}
NETWORKS = ["actor_layers=[8]", "critic_width=8", "batch_size=4", "buffer_size=32"]
NUM_FRAMES = 4


ARRAY = (
    "--engine slurm --jobs 2 --time 00:10:00 --memory 1G --prologue 'module load python' "
    "--launcher 'apptainer exec image.sif'"
)


# What has to come out


def table_of(*words):
    def check(printed):
        for word in words:
            assert word in printed

    return check


def json_of(**expected):
    def check(printed):
        report = json.loads(printed)
        for name, value in expected.items():
            assert report[name] == value, name

    return check


def last_row(**expected):
    def check(printed):
        row = json.loads(printed)["rows"][-1]
        assert {name: row[name] for name in expected} == expected

    return check


def rows_of(name):
    return list(csv.DictReader(Path(name).read_text().splitlines()))


def set_in_scenario(printed):
    assert yaml.safe_load(printed) == yaml.safe_load(Path("toy.yaml").read_text()) | {"ap_power": 2.0}


def simulated(printed):
    report = json.loads(printed)
    assert (report["scheme"], report["beams"], report["seed"]) == ("active", "random", 3)
    assert report["scenario"]["ap_power"] == 2
    assert report["estimates"]["passive_share"]["mean"] in (0, None)
    assert json.loads(Path("simulated.json").read_text()) == report


def played(printed):
    report = json.loads(printed)
    assert (report["policy"], report["mode"], report["seed"]) == ("price-net", "decentralised", 2)
    (outage,) = (row for row in rows_of("played.csv") if row["quantity"] == "outage")
    assert float(outage["mean"]) == report["estimates"]["outage"]["mean"]


def solution(name):
    def check(printed):
        report = json.loads(printed)
        with np.load(name) as found:
            assert found["status"].shape == (NUM_FRAMES,)
            assert report["optimal"] == np.count_nonzero(found["status"] == 0)
            assert np.all(np.isfinite(found["energy"]) == np.isin(found["status"], (0, 3)))

    return check


def best_with_beams(printed):
    solution("best.npz")(printed)
    with np.load("best.npz") as found:
        served = found["served"].any(axis=1)
        norms = np.linalg.norm(found["beams"], axis=2)
        np.testing.assert_allclose(norms[served][found["served"][served]], 1)
        assert np.all(found["reward"] <= found["reward_bound"] * (1 + 1e-6))
        np.testing.assert_array_equal(found["l_passive"], 0)


def scored(printed):
    assert json.loads(printed)["share"] == pytest.approx(1, abs=1e-6)
    with np.load("set/far/best-set.npz") as answer, np.load("scored.npz") as found:
        np.testing.assert_allclose(found["reward"], answer["reward"])


def made_set(printed):
    assert set(json.loads(printed)["scenarios"]) == {
        path.parent.name for path in Path("set").glob("*/*.yaml")
    }


def leaderboard(printed):
    (line,) = json.loads(printed)["lines"]
    assert line["answers"] == "best-set"
    assert line["share"] == pytest.approx(1, abs=1e-6)
    assert "| best-set | 100.00 |" in Path("leaderboard.md").read_text()


def evaluated(printed):
    rows = json.loads(printed)["rows"]
    assert {row["regime"] for row in rows} >= {"independent", "rollout"}
    assert {"random", "mrt", "best-set"} <= {row["policy"] for row in rows}
    assert "## Independent frames: 4" in Path("evaluated.md").read_text()


def unseen(printed):
    report = json.loads(printed)
    (row,) = report["rows"]
    assert 2 <= len(row["scenario"]["user_positions"]) <= 10
    assert set(row["shares"]) == set(report["means"])
    shares = {row["mode"]: float(row["mean"]) for row in rows_of("unseen.csv") if row["quantity"] == "share"}
    assert shares == {mode: share for mode, (share, _, _) in row["shares"].items()}


def robust(printed):
    rows = json.loads(printed)["rows"]
    assert {row["mode"] for row in rows} == {"optimum", "announced", "decentralised"}
    for row in rows:
        share, low, high = row["share"]
        assert 0 <= low <= share <= high
    assert "| optimum |  |" in Path("broadcast.md").read_text()


def bounded(printed):
    rows = {
        (row["condition"], row["users"], row["quantity"]): row["mean"] for row in json.loads(printed)["rows"]
    }
    assert {
        name: float(row["mean"]) for row in rows_of("known.csv") for name in [tuple(row.values())[:3]]
    } == rows
    for condition, users, quantity in rows:
        if quantity == "limit":
            assert rows[condition, users, "limit"] <= rows[condition, users, "optimum"] * 1.1
            assert rows["perfect", users, "reward"] <= rows[condition, users, "optimum"]
    for plan in ("sampled optimum", "the better of both"):
        reward = rows["channels to 5%", "repair", f"{plan}: reward"]
        assert 0.7 < reward / rows["channels to 5%", "repair", "optimum"] < 1.1
    assert ("perfect", "repair", "sampled optimum: reward") not in rows


def forgiving(printed):
    rows = json.loads(printed)["rows"]
    assert {row["users"] for row in rows} == {"obey", "repair"}
    perfect = [row["share"] for row in rows if row["condition"] == "perfect"]
    assert max(mean for mean, _, _ in perfect) == pytest.approx(1)
    shares = [float(row["mean"]) for row in rows_of("robustness.csv") if row["quantity"] == "share"]
    assert shares == [row["share"][0] for row in rows]
    rewards = [float(row["mean"]) for row in rows_of("robustness.csv") if row["quantity"] == "rollout.reward"]
    assert rewards == [row["reward"][0] for row in json.loads(printed)["long_run"]]
    assert len(rewards) == 18  # users that obey use no promises, so these are not rounded for them
    limits = json.loads(printed)["limits"]
    assert limits["perfect"][0] == 0.9
    assert limits["promises of 8 bits"][0] == 1


def looked_ahead(printed):
    report = json.loads(printed)
    assert report["scenario"]["battery_capacity"] == 5
    clairvoyant = report["rows"][0]
    assert clairvoyant["policy"] == "clairvoyant"
    assert all(row["cost"]["mean"] >= clairvoyant["cost"]["mean"] * (1 - 1e-5) for row in report["rows"])
    costs = [row for row in rows_of("horizon.csv") if row["quantity"] == "cost"]
    assert [float(row["mean"]) for row in costs] == [row["cost"]["mean"] for row in report["rows"]]


def trained(printed):
    report = json.loads(printed)
    assert (report["seeds"], report["frames"], report["played"]) == ([2], 250, 250)
    assert report["config"]["actor_layers"] == [8]
    assert list(Path("runs/toy/tensorboard").iterdir())


def finished_already(printed):
    assert json.loads(printed)["played"] == 0


def trained_price_net(printed):
    report = json.loads(printed)
    assert (report["seed"], report["steps"], report["config"]["width"]) == (3, 2, 4)
    assert Path("runs/price-net/policy.npz").is_file()


def exported(printed):
    report = json.loads(printed)
    assert (report["mode"], report["int8"], report["frames"], report["seed"]) == (
        "decentralised",
        True,
        20,
        1,
    )
    assert report["scenario"]["ap_power"] == 1.5
    share, own = (report[name]["share"][0] for name in ("policy", "bundle"))
    assert 0.5 < share <= 1 + 1e-6
    assert abs(own - share) < 0.1
    assert Path("bundle/users/2/user.c").is_file()


def exported_actors(printed):
    report = json.loads(printed)
    assert (report["run"], report["of_seed"], report["frames"], report["seed"]) == ("runs/toy", 2, 4, 1)
    assert report["differences"] == dict.fromkeys(LEARNED, 1e-7)


def reproduced(printed):
    report = json.loads(printed)
    assert (report["seed"], report["reused"]) == (1, 0)
    assert report["computed"] > 0
    with Path("reproduced/data.csv").open(newline="") as file:
        assert {row["beams"] for row in csv.DictReader(file)} == {"mrt"}
    assert "fig3a" in Path("reproduced/index.html").read_text()


def printed_figures(printed):
    assert "files drawn for a paper" in printed
    names = {path.stem for path in Path("reproduced/print").glob("*.pdf")}
    assert names == {"fig3a-mrt-1", "fig3a-mrt-2"}


def tables_of_a_study(printed):
    assert "csi_error 0%" in printed
    assert "| MRT beams + P1 | 50.0% (40.0% to 60.0%); outage 10.0% |" in Path("tables.md").read_text()


def array_script(printed):
    report = json.loads(printed)
    assert (report["jobs"], report["groups"], report["job"]) == (2, 2, None)
    check_script("swept/array.sbatch")


def check_script(path, jobs=2):
    """Of the array that the options `ARRAY` ask for."""
    script = Path(path).read_text()
    for line in (f"--array=0-{jobs - 1}", "--time=00:10:00", "--mem=1G"):
        assert f"#SBATCH {line}\n" in script
    assert "\nmodule load python\n" in script
    assert "\napptainer exec image.sif " in script


def script_to_submit(path, jobs=2):
    def check(printed):
        report = json.loads(printed)
        assert (Path(report["script"]).resolve(), report["job"]) == (Path(path).resolve(), None)
        check_script(path, jobs)

    return check


def share_done(kept):
    def check(printed):
        assert not printed
        assert len(list(Path().glob(kept))) == 1

    return check


def calibrated(printed):
    record = json.loads(printed)
    assert record == json.loads(Path("calibrated/calibration.json").read_text())
    found = yaml.safe_load(Path("calibrated/scenario.yaml").read_text())
    assert found["ap_power"] == 2
    assert found["user_positions"] == TOY["user_positions"]
    pairs = {(row["claim"], row["other"]): float(row["joint_margin"]) for row in rows_of("calibrated.csv")}
    assert len(pairs) == 14 * 14
    assert all(pairs[a, b] == pairs[b, a] <= pairs[a, a] for a, b in pairs)


def checked(printed):
    report = json.loads(printed)
    assert report["looks_wrong"] == []
    gains = [float(row["gain_db"]) for row in rows_of("checked.csv")]
    assert gains == [user["gain_db"] for user in report["per_user"]]


def made_keys(printed):
    assert json.loads(printed)["devices"] == ["ap", "radio", "observer", "user-0"]
    assert yaml.safe_load(Path("keys/user-0.yaml").read_text())["host"] == "broker.example"
    assert "listener 18883" in Path("keys/mosquitto.conf").read_text()
    assert "topic write toy/user/0/#" in Path("keys/access.acl").read_text()


def alone(name, out):
    """Nobody answers: no broker can be reached."""

    def check(printed):
        report = json.loads(printed)
        assert (report["name"], report["counts"], report["refused"]) == (name, {}, {})
        assert rows_of(out)

    return check


def played_alone(printed):
    report = json.loads(printed)
    assert report["counts"] == {"frames": 2, "frames without the AP": 2, "answers missed": 2}
    assert (report["outage"], report["seed"], report["scenario"]["ap_power"]) == (1, 1, 2)
    assert report["share_of_the_optimum"] == 0
    assert "| outage | 1 |" in Path("radio.md").read_text()


def watched(printed):
    assert set(json.loads(printed)["devices"]) == {"radio", "ap", "user/0"}
    assert [row[""] for row in rows_of("demo.csv")] == [
        "radio",
        "AP",
        "a user (median)",
        "a user (largest)",
        "broker",
    ]


OFFLINE = "--deadline 0.02 --form json --lose 0.5 --connect host=localhost --connect port=9"

LINES = [
    ("--version", table_of("scattermec ")),
    ("scenario --scenario toy.yaml --set ap_power=2", set_in_scenario),
    ("scenario --json", json_of(num_antennas=3)),
    (
        "scenario --set 'bandwidth=2 MHz' --from-literature 'noise_density=-174 dBm/Hz' --json",
        json_of(bandwidth=2000, noise_power=7.96214341107e-15),
    ),
    (
        "simulate --scenario toy.yaml --scheme active --beams random --frames 4 --seed 3 --set ap_power=2 "
        "--margin 0.1 --out simulated.json --json",
        simulated,
    ),
    (
        "simulate-policy price-net --mode decentralised --frames 4 --seed 2 --set ap_power=1 "
        "--scenario default.yaml --out played.csv --json",
        played,
    ),
    ("solve frames.npz --out solution.npz --json", solution("solution.npz")),
    (
        "frames draw --out drawn.npz --frames 4 --seed 1 --scenario default.yaml --set ap_power=2 --json",
        json_of(frames=4, users=3, antennas=3, seed=1),
    ),
    (
        'frames convert measured.npz --out converted.npz --channels H --axes "K N M" --conjugate '
        "--workload workload --battery 0.05 --beams directions --scale battery=0.5 --scenario toy.yaml "
        "--set ap_power=2 --json",
        json_of(frames=4, users=1, antennas=2),
    ),
    (
        "frames check drawn.npz --out checked.csv --scenario default.yaml --set ap_power=2 --json",
        checked,
    ),
    (
        "solve drawn.npz --out best.npz --scheme active --serve best --beams optimal --set ap_power=2 "
        "--margin 0.1 --scenario default.yaml --json",
        best_with_beams,
    ),
    ("benchmark-set --out set --frames 2 --json", made_set),
    (
        "score set/far/frames.npz set/far/best-set.npz --out scored.npz --scenario set/far/scenario.yaml "
        "--set ap_power=1 --json",
        scored,
    ),
    ("score set best-set --out leaderboard.md --json", leaderboard),
    (
        "evaluate best-set --scenario default.yaml --set ap_power=2 --frames 4 --rollout-frames 4 --seed 1 "
        "--out evaluated.md --json",
        evaluated,
    ),
    # The first seed whose scenario has three users and three antennas: of this size programs are shared.
    ("evaluate-unseen price-net-varied --scenarios 1 --frames 4 --seed 60 --out unseen.csv --json", unseen),
    (
        "evaluate-broadcast price-net-varied --frames 4 --seed 1 --scenario toy.yaml --set ap_power=2 "
        "--out broadcast.md --json",
        robust,
    ),
    (
        "knowledge --scenario toy.yaml --set ap_power=2 --frames 4 --samples 8 --sampled 3 --seed 1 "
        "--out known.csv --json",
        bounded,
    ),
    (
        "evaluate-robustness optimum --frames 4 --limit-frames 2 --rollout-frames 2 --seed 1 "
        "--scenario toy.yaml --set ap_power=2 --out robustness.csv --json",
        forgiving,
    ),
    (
        "horizon price-net-varied --scenario toy.yaml --set battery_capacity=5 --frames 1 --episodes 2 "
        "--seed 1 --out horizon.csv --json",
        looked_ahead,
    ),
    (
        "train ap-ddpg --config paper --scenario toy.yaml --set ap_power=2 --first-seed 2 --seeds 1 "
        "--frames 250 --processes 1 --save-every 250 --tensorboard --out runs/toy --json {networks}",
        trained,
    ),
    (
        "train ap-ddpg --config toy-training.yaml --scenario toy.yaml --set ap_power=2 --first-seed 2 "
        "--out runs/toy --resume --json",
        finished_already,
    ),
    (
        "train-price-net --config toy-price-net.yaml --scenario toy.yaml --set ap_power=2 "
        "--train batch_size=4 --steps 2 --seed 3 --out runs/price-net --json",
        trained_price_net,
    ),
    (
        "train-price-net --train width=4 --train batch_size=4 --scenario toy.yaml --set ap_power=2 --seed 3 "
        "--out runs/price-net --resume --json",
        trained_price_net,
    ),
    (
        "export price-net --out bundle --int8 --frames 20 --seed 1 --scenario default.yaml "
        "--set ap_power=1.5 --json",
        exported,
    ),
    ("export runs/toy --out actors --of-seed 2 --frames 4 --seed 1 --json", exported_actors),
    ("keys keys --users 1 --host broker.example --port 18883 --network toy --json", made_keys),
    (
        f"ap bundle {OFFLINE} --connection keys/ap.yaml --state ap-state.json --seconds 0.1 --out ap.csv "
        "--json",
        alone("ap", "ap.csv"),
    ),
    (
        f"user bundle --index 0 {OFFLINE} --connection keys/user-0.yaml --seconds 0.1 --out user.csv --json",
        alone("user/0", "user.csv"),
    ),
    (
        f"radio toy.yaml {OFFLINE} --connection keys/radio.yaml --frames 2 --period 0.01 --wait 0 --compare "
        "--independent "
        "--seed 1 --set ap_power=2 --out radio.md --json",
        played_alone,
    ),
    (
        "radio toy.yaml --frames 1 --deadline 0.02 --wait 0 --no-compare --connect port=9",
        table_of("1 frames over a broker"),
    ),
    (
        "demo online --users 1 --frames 1 --period 0 --deadline 1 --bundle bundle --compare --independent "
        "--seed 1 "
        "--out demo.csv --json",
        watched,
    ),
    ("demo online --bundle bundle --no-compare", table_of("0 frames of 1 users")),
    (
        "sweep run toy-plan.yaml --out swept --dry-run --processes 1 --address auto "
        "--optimise reward --smallest --json",
        json_of(tasks=4, groups=2, programs=1, processes=1),
    ),
    (
        f"sweep run toy-plan.yaml --out swept {ARRAY} --json",
        array_script,
    ),
    ("sweep run toy-plan.yaml --out swept --index 0 --jobs 1 --json", json_of(tasks=4, computed=2, left=0)),
    ("sweep status swept --json", json_of(tasks_done=4, groups_done=2)),
    ("sweep merge swept --json", json_of(tasks_merged=4, rows=4)),
    ("sweep table swept --show ap_energy,outage --out swept.md", table_of("solve: means")),
    ("sweep table swept --show ap_energy --json", last_row(ap_power=2, mean_workload=10, tasks=1)),
    (
        "sweep plot swept --x ap_power --y ap_energy --hue mean_workload --out swept.svg --json",
        json_of(file="swept.svg", rows=4),
    ),
    (
        "reproduce --out arrayed --figures 3a --beams mrt --frames 8 --quick --scenario toy.yaml "
        f"{ARRAY} --json",
        script_to_submit("arrayed/parts/array.sbatch"),
    ),
    (
        "reproduce --out arrayed --figures 3a --beams mrt --frames 8 --quick --scenario toy.yaml --index 0 "
        "--jobs 7 --json",
        share_done("arrayed/parts/sweeps-0000-*.json"),
    ),
    (
        "reproduce --out reproduced --figures 3a --beams mrt --frames 8 --quick --complete --seed 1 "
        "--engine local --processes 1 --address auto "
        "--seeds 1 --training-frames 250 --overwrite --scenario toy.yaml --set ap_power=2 --json",
        reproduced,
    ),
    ("report reproduced --width 90mm", printed_figures),
    ("report known --tables knowledge --out tables.md", tables_of_a_study),
    (
        "calibrate searched --quick --scenario toy.yaml --start scattermec-1/paper --known default "
        f"{ARRAY} --json",
        script_to_submit("searched/array/array.sbatch", jobs=1),
    ),
    (
        "calibrate searched --quick --scenario toy.yaml --start scattermec-1/paper --known default "
        "--index 0 --jobs 1 --json",
        share_done("searched/evaluated/samples-*.csv"),
    ),
    (
        "calibrate calibrated --quick --seed 1 --scenario toy.yaml --set ap_power=2 --engine local "
        "--processes 1 --address auto --out calibrated.csv --json",
        calibrated,
    ),
    ("calibrate --shipped", table_of("Which claims exclude which", "4b-3", "bandwidth")),
]
LINES = [
    (line.replace("{networks}", " ".join(f"--train {setting}" for setting in NETWORKS)), check)
    for line, check in LINES
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("commands")
    (path / "toy.yaml").write_text(run("scenario", *settings(TOY)).stdout)
    networks = dict(setting.split("=") for setting in NETWORKS)
    (path / "toy-training.yaml").write_text("".join(f"{name}: {value}\n" for name, value in networks.items()))
    plan = {"job": "solve", "options": {"frames": 4}, "constants": TOY, "group": 2}
    plan |= {"grid": {"ap_power": [1, 2], "mean_workload": [5, 10]}}
    (path / "toy-plan.yaml").write_text(json.dumps(plan))
    (path / "toy-price-net.yaml").write_text("width: 4\n")
    (path / "default.yaml").write_text(run("scenario").stdout)
    numbers = {"of_optimum": [0.5, 0.4, 0.6], "outage": [0.1, 0.1, 0.1], "energy_efficiency": [1.0, 1.0, 1.0]}
    (path / "known").mkdir()
    kept = {"settings": Knowledge(Scenario()).settings(), "found": {"exact": {"mrt": numbers}}}
    (path / "known" / "knowledge.json").write_text(json.dumps(kept))
    random = np.random.default_rng(0)
    channels = random.normal(size=(2, NUM_FRAMES, 1, 2))
    np.savez(
        path / "frames.npz",
        channels=3e-2 * (channels[0] + 1j * channels[1]),
        workload=np.full((NUM_FRAMES, 1), 10.0),
        battery=np.full((NUM_FRAMES, 1), 0.05),
    )
    measured = 3e-2 * (channels[0] + 1j * channels[1])
    directions = measured / np.linalg.norm(measured, axis=2, keepdims=True)
    np.savez(path / "measured.npz", H=measured, directions=directions.conj(), workload=np.full((4, 1), 10.0))
    return path


def settings(constants):
    return [word for name, value in constants.items() for word in ("--set", f"{name}={json.dumps(value)}")]


class Accounts:
    """Devices that have done nothing."""

    def __init__(self, *_, **__):
        self.port = 1883

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def start_ap(self):
        pass

    def start_user(self, index):
        pass

    def start_radio(self, *options):
        pass

    def end(self):
        account = {"counts": {}, "refused": {}, "latency_ms": None, "memory_mib": None}
        account |= {"bytes_in_per_frame": 0, "bytes_out_per_frame": 0, "cpu_ms_per_frame": 0.0}
        found = {"frames": 0, "reward": 0, "outage": 0, "share_of_the_optimum": None, "frames_per_second": 0}
        found |= {"frame_latency_ms": {"p50": 1, "p99": 2}}
        return {"radio": account | found, "ap": account, "user/0": account}


class NobodyWatches:
    """In place of the live view."""

    def __init__(self, *_):
        self.early = {}

    async def run(self, *, quiet):
        pass

    def memory_of_the_broker(self):
        return math.nan


@pytest.fixture(autouse=True)
def _small_and_in_this_process(monkeypatch, folder):
    monkeypatch.chdir(folder)
    monkeypatch.delitem(benchmark_set.SCENARIOS, "crowd")
    monkeypatch.setattr(sampled, "CHOSEN_BY", 3)
    monkeypatch.setattr(sampled, "HELD_OUT", 3)
    monkeypatch.setattr(_processes, "usable_cores", lambda: 1)
    # Measuring margins is tested elsewhere; verdicts are computed here.
    monkeypatch.setattr(search, "margins", lambda *a, **b: Margins(np.full(14, 0.1), 1.0))
    monkeypatch.setattr(calibration, "JUDGED_BEAMS", ("mrt",))
    few = {
        "samples": 4,
        "population": 4,
        "generations": 1,
        "sample_frames": 4,
        "frames": 4,
        "checked": 2,
        "checked_frames": 4,
        "polished_generations": 1,
        "polished_frames": 4,
        "judged_frames": 4,
    }
    monkeypatch.setattr("scattermec.cli.jobs.calibrate.QUICK", replace(calibration.QUICK, **few))
    monkeypatch.setattr(possible, "limit", lambda *_, **__: Estimate(0.9, 0.8, 1.0))  # see test_possible.py
    monkeypatch.setattr(SimulatedWorld, "_best_reward", lambda world, frames: 2.0)  # compiling it takes long
    monkeypatch.setattr(slurm, "which", lambda name: None)  # whether or not there is Slurm here
    # The demonstration with real processes is in test_online_faults.py.
    monkeypatch.setattr(broker, "find_broker", lambda: "mosquitto")
    for name in ("Broker", "Fleet"):
        monkeypatch.setattr(demo, name, Accounts)
    monkeypatch.setattr(demo, "Watch", NobodyWatches)
    # So is the export of Algorithm 1, whose training takes long to compile, in test_export_run.py.
    learner = SimpleNamespace(algorithm="h-maddpg-opt", seeds=(2,), scenario=Scenario())
    monkeypatch.setattr(export, "load_run", lambda path: learner)
    monkeypatch.setattr(export, "compare_run", lambda *a, **b: dict.fromkeys(LEARNED, 1e-7))
    for name in ("check_exportable", "export_run"):
        monkeypatch.setattr(export.export_run, name, lambda *a, **b: None)
    for name, few in (("HELD_OUT", 8), ("EPISODES", 2), ("EPISODE", 12)):
        monkeypatch.setattr(runs, name, few)


@pytest.mark.parametrize(("line", "check"), LINES, ids=[line for line, _ in LINES])
def test_command(line, check):
    # In the order of the table: some lines go on with what another has left in the folder.
    check(run(*shlex.split(line)).stdout)


# Nothing is left out


def command_of(words):
    """The name of the command, which may be of two words, and what follows it."""
    length = 2 if " ".join(words[:2]) in COMMANDS else 1
    return " ".join(words[:length]), words[length:]


def options_of(line):
    """(command, option) of each option that a command line gives, and (command, "") for itself."""
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(line, comments=True)]
    words = words[: words.index(">")] if ">" in words else words
    name, arguments = command_of(words)
    if name not in COMMANDS:
        return {("", name)}
    # Parsed, not run: an option or a choice that does not exist ends here.
    needs_out = (
        "solve",
        "reproduce",
        "sweep run",
        "frames draw",
        "frames convert",
        "benchmark-set",
        "export",
    )
    needed = ["--out", "out"] if name in needs_out and "--out" not in arguments else []
    COMMANDS[name].make_context(name, [*arguments, *needed])
    given = {word.partition("=")[0] for word in arguments if word.startswith("--")}
    return {(name, ""), *((name, option) for option in given)}


RUN = set().union(*(options_of(line) for line, _ in LINES))


def documented_lines():
    """Command lines in blocks and inline code of the pages, and in the examples of `--help`."""
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        text = page.read_text()
        for line in re.findall(r"^(?: {4}|\$ )?scattermec ([a-z-].*)$", text, re.MULTILINE):
            yield page.name, line
        for line in re.findall(r"`scattermec ([a-z][^`]*)`", text):
            yield page.name, line
    for name, command in COMMANDS.items():
        for line in re.findall(r"^ *scattermec ([a-z].*)$", command.help or "", re.MULTILINE):
            yield f"{name} --help", line


def is_complete(line):
    """Whether all that a command needs is there; in running text a command may be named alone."""
    name, arguments = command_of(shlex.split(line, comments=True))
    return bool(arguments) or name in ("scenario", "simulate", "horizon", "knowledge")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_run(name):
    options = {option.opts[-1] for option in COMMANDS[name].params if option.opts[-1].startswith("--")}
    assert (name, "") in RUN
    assert not {option for option in options - {"--help"} if (name, option) not in RUN}


def test_every_documented_line_exists_and_its_options_are_run():
    lines = [(where, line) for where, line in documented_lines() if is_complete(line)]
    assert len(lines) > 50
    for where, line in lines:
        assert options_of(line) <= RUN, f"{where}: {line}"


@pytest.mark.parametrize("name", COMMANDS)
def test_list_of_commands_says_what_their_own_help_begins_with(name):
    first, _, _ = COMMANDS[name].help.partition("\n\n")
    assert " ".join(first.split()) == app.COMMANDS[name]
