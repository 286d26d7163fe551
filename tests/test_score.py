"""Scores of answers, and the benchmark set: against closed forms, GNU Octave, CVXPY and frozen checksums."""

import hashlib
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from bank import at, random_frames, scenario
from command_line import refused, run
from reference_beams import reference_beams
from scattermec.errors import InputError
from scattermec.experiments.evaluate.benchmark_frames import draw_frames, exact_frames, write_inputs
from scattermec.experiments.evaluate.benchmark_set import FRAMES as ALL_FRAMES
from scattermec.experiments.evaluate.benchmark_set import FROZEN, OPTIMA, SCENARIOS
from scattermec.physics.frame import CONSTRAINTS
from scattermec.scenario import Scenario
from scattermec.storage.answers import open_answer

ROOT = Path(__file__).parent.parent
OCTAVE = Path(__file__).parent / "cases" / "answer.mat"
FRAMES = 8
PARTS = ("t_active", "t_passive", "l_active", "l_passive", "l_local")


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


def load(path):
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


def score(folder, answer, *options, frames="frames.npz"):
    """The summary and the rows of every frame."""
    out = folder / "scored.npz"
    report = json.loads(run("score", folder / frames, answer, "--out", out, "--json", *options).stdout)
    return report, load(out)


# Answers


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    """Frames, some of which cannot be served, and the solutions of `solve` by whom they serve."""
    folder = tmp_path_factory.mktemp("solved")
    frames = random_frames(scenario(), FRAMES, seed=3, load=55)
    save(folder / "frames.npz", **{name: np.asarray(array) for name, array in vars(frames).items()})
    for serve in ("all", "best"):
        options = ("--beams", "optimal", "--serve", serve)
        run("solve", folder / "frames.npz", "--out", folder / f"{serve}.npz", *options)
    return folder


def test_solution_of_solve_is_optimal(solved):
    solution = load(solved / "all.npz")
    found = solution["status"] == 0
    assert found.any()
    assert not found.all()
    report, rows = score(solved, solved / "all.npz")
    np.testing.assert_array_equal(rows["success"].all(axis=1), found)
    np.testing.assert_array_equal(rows["servable"], found)
    np.testing.assert_allclose(rows["energy"][found], solution["energy"][found], rtol=1e-12)
    np.testing.assert_allclose(rows["reward"], solution["reward"], rtol=1e-12)
    assert np.all(rows["gap"][found] <= 1e-5)
    assert np.all(np.isinf(rows["gap"][~found]))
    np.testing.assert_array_equal(rows["lower_bound"], solution["lower_bound"])
    assert report["optimal"] == report["all_served"] == report["servable"] == found.sum()
    assert report["outage"] == pytest.approx(1 - rows["success"].mean())
    assert {name for name, part in report["constraints"].items() if part["failures"]} == {"workload"}


def test_best_set_cannot_be_beaten(solved):
    report, rows = score(solved, solved / "best.npz")
    assert report["share"] == pytest.approx(1, abs=1e-9)
    assert np.all(rows["reward_gap"] <= 1e-5)
    np.testing.assert_allclose(rows["reward_bound"], load(solved / "best.npz")["reward_bound"])


@pytest.mark.parametrize("beams", ["mrt", "given"])
def test_beams_that_an_answer_leaves_out(solved, tmp_path, beams):
    """Those of the frames, unless the answer says that it is for maximum ratio beams."""
    given = load(solved / "frames.npz") | {"beams": load(solved / "best.npz")["beams"]}
    save(tmp_path / "frames.npz", **given)
    out = tmp_path / "solution.npz"
    run("solve", tmp_path / "frames.npz", "--out", out, "--beams", beams)
    _, rows = score(tmp_path, out)
    np.testing.assert_allclose(rows["reward"], load(out)["reward"], rtol=1e-12)


def test_answer_of_octave_is_judged_as_octave_judged_it(tmp_path):
    octave = loadmat(OCTAVE)
    save(tmp_path / "frames.npz", **{name: octave[name] for name in ("channels", "workload", "battery")})
    report, rows = score(tmp_path, OCTAVE)
    np.testing.assert_array_equal(rows["success"], octave["success"])
    np.testing.assert_allclose(rows["energy"], octave["energy"][:, 0], rtol=1e-12)
    np.testing.assert_allclose(rows["excess_energy"], octave["missing_energy"], rtol=1e-9)
    np.testing.assert_allclose(rows["excess_workload"], octave["missing_work"], rtol=1e-9)
    assert report["outage_per_user"] == [0.5, 0, 0.5]
    # User 3 of frame 1 and user 1 of frame 2, as Octave counts.
    assert (report["constraints"]["energy"]["frame"], report["constraints"]["energy"]["user"]) == (0, 2)
    assert (report["constraints"]["workload"]["frame"], report["constraints"]["workload"]["user"]) == (1, 0)


def all_local(frames):
    """Frames of three users who have energy to compute everything, and the answer that they do."""
    random = np.random.default_rng(0)
    channels = random.normal(size=(2, frames, 3, 3))
    given = {
        "channels": 2e-2 * (channels[0] + 1j * channels[1]),
        "workload": np.full((frames, 3), 40.0),
        "battery": np.full((frames, 3), 0.5),
    }
    answer = {name: np.zeros((frames, 3)) for name in PARTS}
    return given, answer | {"l_local": given["workload"].copy(), "t_local": np.ones((frames, 3))}


BROKEN = {
    "slot": ({"t_active": 0.75, "t_passive": 0.5}, 0.25),
    "local_time": ({"t_local": 1.125}, 0.125),
    "computing": ({"t_local": 0.5}, 40 - 50 * 0.5),
    "reflection": ({"l_passive": 1.0, "l_local": 39.0}, 1.0),
    "workload": ({"l_local": 37.0}, 3.0),
    "energy": ({"battery": 0.125}, 40 * 0.005 - 0.125),
}
"""What breaks each constraint alone, and by how much."""


def test_what_is_broken_fails_by_its_amount_and_nothing_else_does(tmp_path):
    assert set(BROKEN) == set(CONSTRAINTS)
    frames, answer = all_local(len(BROKEN) + 1)
    for index, (changes, _) in enumerate(BROKEN.values()):
        for name, value in changes.items():
            ({**frames, **answer})[name][index, 0] = value
    # Work that is sent in no time needs infinite energy.
    answer["l_active"][-1, 0], answer["l_local"][-1, 0] = 1, 39
    save(tmp_path / "frames.npz", **frames)
    report, rows = score(tmp_path, save(tmp_path / "answer.npz", **answer))
    assert not rows["success"][:, 0].any()
    assert rows["success"][:, 1:].all()
    for name in CONSTRAINTS:
        expected = np.zeros((len(BROKEN) + 1, 3))
        expected[list(BROKEN).index(name), 0] = BROKEN[name][1]
        expected[-1, 0] = np.inf if name == "energy" else 0
        np.testing.assert_allclose(rows[f"excess_{name}"], expected, atol=1e-12)
    assert {name: part["failures"] for name, part in report["constraints"].items()} == {
        **dict.fromkeys(CONSTRAINTS, 1),
        "energy": 2,
    }


def test_tables_are_for_readers(tmp_path):
    frames, answer = all_local(2)
    answer["l_local"][1, 0] = 37
    save(tmp_path / "frames.npz", **frames)
    save(tmp_path / "answer.npz", **answer)
    printed = run(
        "score", tmp_path / "frames.npz", tmp_path / "answer.npz", "--out", tmp_path / "out.csv"
    ).stdout
    assert "Everyone served" in printed
    assert printed.split("Constraints that fail")[1].split()[-6:] == ["workload", "1", "3", "kbit", "1,", "0"]
    assert "largest_excess_workload,3.0" in (tmp_path / "out.csv").read_text()


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        (
            {"t_active": None, "l_local": np.zeros((2, 2)), "beams": np.ones((2, 3, 3), bool)},
            [
                "t_active: is missing; it must have shape (2, 3) (s)",
                "l_local: has shape (2, 2); it must be (2, 3)",
                "beams: has type bool; it must be complex",
            ],
        ),
        (
            {
                "t_active": np.array([[0, np.nan, 0], [0, np.inf, 0]]),
                "t_passive": np.array([[0, 0, 0], [0, 3.0, 0]]),
                "l_active": np.array([[0, 0, 0], [-0.5, 0, 0]]),
                "beams": np.stack([1j * np.eye(3), np.diag([2, 1, 0])]),
            },
            [
                "t_active: frame 0, user 1 is nan; it must be a finite number (s); so in 2 frames",
                "t_passive: frame 1, user 1 is 3; it must be at most the slot (s)",
                "l_active: frame 1, user 0 is -0.5; it must be >= 0 (kbit)",
                "beams: frame 1, user 0 has norm 2; "
                "it must be 1 within 0.001, or 0 for the beam along the channel",
            ],
        ),
    ],
)
def test_faults_of_an_answer_are_named_all_at_once(tmp_path, changes, lines):
    frames, answer = all_local(2)
    changed = {name: array for name, array in {**answer, **changes}.items() if array is not None}
    path = save(tmp_path / "answer.npz", **changed)
    save(tmp_path / "frames.npz", **frames)
    assert refused("score", tmp_path / "frames.npz", path) == [f"{path}: {line}" for line in lines]


def test_files_of_matlab(tmp_path):
    """Axes of length 1 at the end are dropped there, and rounding errors below 0 are none."""
    _, answer = all_local(3)
    answer["t_active"] -= 1e-9
    savemat(tmp_path / "answer.mat", answer | {"beams": np.exp(1j * answer["l_local"])})
    read = open_answer(tmp_path / "answer.mat", 3, 3, 1)
    read.check(np.ones(3))
    rows = read.rows(0, 2)
    assert rows["beams"].shape == (2, 3, 1)
    np.testing.assert_array_equal(rows["t_active"], 0)
    np.testing.assert_array_equal(rows["l_local"], 40)

    # Version 7.3 is HDF5, with axes reversed and pairs for complex numbers.
    new = tmp_path / "new.mat"
    with h5py.File(new, "w", userblock_size=512) as file:
        for name, array in (answer | {"beams": read.arrays["beams"][:, :, 0]}).items():
            file.create_dataset(name, data=array.T).attrs["MATLAB_class"] = np.bytes_("double")
    again = open_answer(new, 3, 3, 1)
    for name, array in read.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)

    broken = tmp_path / "broken.mat"
    broken.write_bytes((tmp_path / "answer.mat").read_bytes()[:200])
    for path, fault in (
        (broken, "t_active cannot be read: the file is damaged"),
        (tmp_path / "none.mat", "cannot be read: No such file or directory"),
    ):
        with pytest.raises(InputError) as error:
            open_answer(path, 3, 3, 1)
        assert error.value.faults == (f"{path}: {fault}",)


# The benchmark set


@pytest.fixture
def _small(monkeypatch):
    """The set without its largest scenario, whose programs take long to compile."""
    monkeypatch.delitem(SCENARIOS, "crowd")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set") / "set"
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(SCENARIOS, "crowd")
        run("benchmark-set", "--out", folder, "--frames", FRAMES)
    return folder


def test_frames_are_those_of_the_version_for_ever(tmp_path):
    """To the last bit, with a margin for what the last digits of functions are elsewhere."""
    frozen = (FROZEN / "SHA256SUMS").read_text()
    write_inputs(tmp_path, ALL_FRAMES)
    assert (tmp_path / "SHA256SUMS").read_text() == frozen
    for line in frozen.splitlines():
        digest, path = line.split()
        assert hashlib.sha256((tmp_path / path).read_bytes()).hexdigest() == digest
        assert line in (ROOT / "docs" / "benchmark-set.md").read_text()
    for name in SCENARIOS:
        for array in exact_frames(name, ALL_FRAMES).values():
            numbers = array.view(np.float64)
            rounded = numbers.astype(np.float32)
            above = np.where(numbers > rounded, np.inf, -np.inf).astype(np.float32)
            middle = (rounded + np.nextafter(rounded, above).astype(float)) / 2
            assert np.all(np.abs(numbers - middle) > 2e-14 * np.abs(numbers))


@pytest.mark.usefixtures("_small")
def test_set_is_equal_twice_and_begins_the_full_one(made, tmp_path):
    run("benchmark-set", "--out", tmp_path / "again", "--frames", FRAMES)
    files = [path.relative_to(made) for path in made.rglob("*") if path.is_file()]
    assert len(files) == 2 + 4 * len(SCENARIOS)
    for path in files:
        assert (made / path).read_bytes() == (tmp_path / "again" / path).read_bytes(), path
    for name in SCENARIOS:
        full = draw_frames(name, 20)
        for key, array in load(made / name / "frames.npz").items():
            np.testing.assert_array_equal(array, full[key][:FRAMES])


@pytest.mark.parametrize("name", list(SCENARIOS)[:-1])
def test_optima_are_those_of_a_conic_solver(made, name):
    chosen = Scenario.load(made / name / "scenario.yaml")
    frames, optimum = load(made / name / "frames.npz"), load(made / name / "optimum.npz")
    reference = reference_beams(chosen.num_users, chosen.num_antennas)
    for index in range(2):
        frame = at(frames, index)
        verdict, energy = reference.solve(chosen, frame["channels"], frame["workload"], frame["battery"])
        assert verdict == optimum["status"][index]
        np.testing.assert_allclose(optimum["lower_bound"][index], energy, rtol=2e-5)


@pytest.mark.usefixtures("_small")
def test_leaderboard(made, tmp_path):
    """Optimal answers have all of the best reward, and policies what their decisions earn."""
    for serve, file in OPTIMA.items():
        (tmp_path / serve).mkdir()
        for name in SCENARIOS:
            shutil.copy(made / name / file, tmp_path / serve / f"{name}.npz")
    arrays = load(tmp_path / "best" / "far.npz")
    savemat(tmp_path / "best" / "far.mat", {name: arrays[name] for name in (*PARTS, "beams")})
    (tmp_path / "best" / "far.npz").unlink()
    answers = (tmp_path / "best", tmp_path / "all", "best-set", "optimum")
    report = json.loads(run("score", made, *answers, "--json").stdout)
    best, everyone, policy, optimum = report["lines"]
    assert best["share"] == pytest.approx(1, abs=1e-9)
    assert policy["share"] == pytest.approx(1, abs=1e-6)
    # `solve` leaves frames in which not everyone can be served, the policy serves the best set there.
    assert everyone["share"] < optimum["share"] < 1
    far = best["scenarios"]["far"]
    served = load(made / "far" / "best-set.npz")["served"]
    assert far["outage"] == pytest.approx(1 - served.mean())
    shares = [part["share"] for part in optimum["scenarios"].values()]
    assert optimum["share"] == pytest.approx(np.mean(shares))


@pytest.mark.usefixtures("_small")
def test_faults_of_a_set_and_its_answers(made, tmp_path):
    (tmp_path / "answers").mkdir()
    lines = refused("score", made, tmp_path / "answers")
    assert len(lines) == len(SCENARIOS)
    assert lines[0].endswith("has no answers to default; it must have default.npz or default.mat")
    inputs = [made / "far" / name for name in ("frames.npz", "best-set.npz")]
    for path in inputs:
        assert refused("score", *inputs, "--out", path) == [f"{path}: is an input; name another file"]
    (line,) = refused("score", *inputs, "--out", "scored.mat")
    assert line == "scored.mat: its name must end in .json, .csv, .md, .tex or .npz"
    (line,) = refused("score", made, "mine")
    assert line == "mine: is neither a folder of answers nor a policy"
    (line,) = refused("score", made, "mrt", "--set", "ap_power=2")
    assert line.startswith(f"{made}: a benchmark set has its own constants")
    (line,) = refused("benchmark-set", "--out", made)
    assert line.startswith(f"{made}: must be a new folder")
    shutil.copytree(made, tmp_path / "set")
    changed = tmp_path / "set" / "far" / "scenario.yaml"
    changed.write_text(changed.read_text().replace("ap_power: 1.0", "ap_power: 9.0"))
    (line,) = refused("score", tmp_path / "set", "mrt")
    assert line == f"{changed}: is not the file of the set: its checksum differs"
