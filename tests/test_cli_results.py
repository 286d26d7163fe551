"""What `simulate` and `solve` compute, against the package's functions and an independent frame.

All blocks have eight frames of three users, so that two programs are compiled for the whole file.
"""

import csv
import json
import os
import re

import jax
import numpy as np
import pytest

from bank import random_beams, random_frames
from command_line import refused, run
from reference_frame import UserPlan, reference_frame
from scattermec._version import __version__
from scattermec.cli.jobs import solve as module
from scattermec.optimisation import allocate_frames
from scattermec.physics import Frame, parameters_of
from scattermec.scenario import Scenario

FEW = ["--frames", "80", "--seed", "1"]


@pytest.fixture(scope="module")
def report():
    return json.loads(run("simulate", *FEW, "--set", "mean_workload=30", "--json").stdout)


def test_simulate_says_what_it_did(report):
    assert report["version"] == __version__
    assert Scenario.from_yaml(json.dumps(report["scenario"])) == Scenario(mean_workload=30)
    options = {key: report[key] for key in ("scheme", "beams", "seed", "frames", "rollouts", "warm_up")}
    expected = {"scheme": "hybrid", "beams": "mrt", "seed": 1, "frames": 80, "rollouts": 8, "warm_up": 10}
    assert options == expected
    assert report["not_converged"] >= 0


def test_simulate_measures_what_the_function_does(report):
    from scattermec.experiments.measure.rollouts import simulate

    result = simulate(Scenario(mean_workload=30), scheme="hybrid", beams="mrt", num_frames=80, seed=1)
    assert list(report["estimates"]) == list(result.estimates)
    for name, estimate in result.estimates.items():
        printed = report["estimates"][name]
        assert (printed["mean"], printed["low"], printed["high"]) == pytest.approx(tuple(estimate))
    assert report["estimates"]["energy_efficiency"]["unit"] == "kbit/J"


def test_simulate_prints_a_table_and_writes_files(tmp_path, report):
    arguments = ["simulate", *FEW, "--set", "mean_workload=30", "--out"]
    table = run(*arguments, tmp_path / "out.csv").stdout
    for words in ("Scheme hybrid", "80 frames of 8 rollouts, seed 1", "Outage", "95% interval", "kbit/J"):
        assert words in table
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert [row["quantity"] for row in rows] == list(report["estimates"])
    for row in rows:
        assert float(row["mean"]) == report["estimates"][row["quantity"]]["mean"]
    run(*arguments, tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == report
    assert sorted(os.listdir(tmp_path)) == ["out.csv", "out.json"]


def test_full_disk_is_one_line(monkeypatch, tmp_path):
    def full(self, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    result = run("simulate", *FEW, "--set", "mean_workload=30", "--out", tmp_path / "out.csv", status=1)
    assert result.stderr.splitlines()[-1] == f"{tmp_path / 'out.csv'}: No space left on device"


NUM_FRAMES = 21
TEXTS = ("scenario", "version", "scheme", "serve", "beams_from", "margin")


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(module, "FRAMES_AT_ONCE", 8)


@pytest.fixture(scope="module")
def frames():
    drawn = random_frames(Scenario(), NUM_FRAMES, seed=3, load=40)
    arrays = {name: np.asarray(leaf) for name, leaf in vars(drawn).items()}
    return arrays | {"beams": np.asarray(random_beams(drawn, seed=3))}


def along_the_channels(frames):
    return {name: array for name, array in frames.items() if name != "beams"}


def solve(folder, frames, *options, save=np.savez, out="solution.npz"):
    save(folder / "frames.npz", **frames)
    summary = json.loads(
        run("solve", folder / "frames.npz", "--out", folder / out, "--json", *options).stdout
    )
    with np.load(folder / "solution.npz", allow_pickle=False) as archive:
        return dict(archive), summary


@pytest.fixture(scope="module")
def solved(frames, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FRAMES_AT_ONCE", 8)
        folder = tmp_path_factory.mktemp("solved")
        return {
            serve: solve(folder, along_the_channels(frames), "--serve", serve) for serve in ("all", "best")
        }


def directly(frames, serve, **constants):
    """The same with `allocate_frames`, eight frames at a time."""
    scenario = Scenario(**constants)
    beams = frames["beams"] if "beams" in frames else 0 * frames["channels"]
    parts = []
    for start in range(0, NUM_FRAMES, 8):
        index = np.minimum(np.arange(start, start + 8), NUM_FRAMES - 1)
        frame = Frame(
            channels=jax.numpy.asarray(frames["channels"][index]),
            workload=jax.numpy.asarray(frames["workload"][index], float),
            battery=jax.numpy.asarray(frames["battery"][index]),
        )
        chosen = jax.numpy.asarray(beams[index])
        parts.append(allocate_frames(parameters_of(scenario), frame, chosen, serve=serve))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:NUM_FRAMES], *parts)


@pytest.mark.parametrize("serve", ["all", "best"])
def test_solution_is_that_of_the_function(frames, solved, serve):
    solution, _ = solved[serve]
    expected = directly(along_the_channels(frames), serve)
    for name in ("energy", "status", "accuracy", "served"):
        np.testing.assert_array_equal(solution[name], getattr(expected, name))
    for name in ("t_active", "t_passive", "l_active", "l_passive", "l_local"):
        np.testing.assert_array_equal(solution[name], getattr(expected.allocation, name))
    optimal = expected.status == 0
    for name in ("workload", "budget", "capacity"):
        prices = getattr(expected.prices, name)
        np.testing.assert_array_equal(solution[f"price_{name}"][optimal], prices[optimal])


@pytest.mark.parametrize("serve", ["all", "best"])
def test_solution_holds_in_an_independent_frame(frames, solved, serve):
    solution, _ = solved[serve]
    channels = frames["channels"]
    beams = channels / np.linalg.norm(channels, axis=2, keepdims=True)
    for k in np.flatnonzero(solution["status"] == 0):
        l_local = solution["l_local"][k]
        plans = [
            UserPlan(
                t_a=solution["t_active"][k, i],
                t_b=solution["t_passive"][k, i],
                t_c=l_local[i] / 50,
                l_a=solution["l_active"][k, i],
                l_b=solution["l_passive"][k, i],
                l_c=l_local[i],
            )
            for i in range(3)
        ]
        work, battery = frames["workload"][k], frames["battery"][k]
        outcome = reference_frame(Scenario(), channels[k], work, battery, beams[k], plans)
        np.testing.assert_array_equal(outcome["success"], solution["served"][k])
        assert outcome["ap_energy"] == pytest.approx(solution["energy"][k], rel=1e-12)
        assert outcome["ap_reward"] == pytest.approx(solution["reward"][k], rel=1e-12)


def test_arrays_have_the_promised_types_and_are_numbers(solved):
    for solution, _ in solved.values():
        assert {name: solution[name].dtype.str[1:] for name in solution} == {
            **dict.fromkeys((*module.PER_FRAME, *module.PER_USER), "f8"),
            "status": "i1",
            "served": "b1",
            **{name: solution[name].dtype.str[1:] for name in TEXTS},
        }
        for name in module.PER_FRAME:
            assert solution[name].shape == (NUM_FRAMES,)
        for name in module.PER_USER:
            assert solution[name].shape == (NUM_FRAMES, 3)
            assert np.isfinite(solution[name]).all()
            assert (solution[name] >= 0).all()
        assert not np.isnan(solution["energy"]).any()


def test_frames_that_cannot_serve_everyone_serve_nobody_under_all(solved):
    solution, summary = solved["all"]
    infeasible = solution["status"] == 1
    assert 0 < infeasible.sum() < NUM_FRAMES
    assert np.isinf(solution["energy"][infeasible]).all()
    assert (solution["accuracy"][infeasible] > 0).all()
    for name in ("reward", *module.PER_USER):
        assert not solution[name][infeasible].any()
    assert solution["served"][solution["status"] == 0].all()
    assert summary["infeasible"] == infeasible.sum()


def test_best_set_never_earns_less_than_everyone(solved):
    everyone, best = solved["all"][0], solved["best"][0]
    assert (best["status"] == 0).all()
    assert (best["reward"] >= everyone["reward"] * (1 - 1e-9)).all()
    assert (best["reward"] > everyone["reward"]).any()


def test_prices_are_the_energy_of_a_little_more(tmp_path, frames, solved):
    solution, _ = solved["all"]
    more = along_the_channels(frames)
    more["workload"] = more["workload"] + [1e-3, 0, 0]
    costlier, _ = solve(tmp_path, more)
    both = (solution["status"] == 0) & (costlier["status"] == 0)
    assert both.sum() > 5
    rise = (costlier["energy"][both] - solution["energy"][both]) / 1e-3
    # The energy is convex in the work: what it rises by lies between the prices before and after.
    error = 1e-3 * np.abs(rise) + 1e-6
    assert np.all(solution["price_workload"][both, 0] <= rise + error)
    assert np.all(rise <= costlier["price_workload"][both, 0] + error)


def test_what_it_was_made_with_is_kept_beside_the_solution(tmp_path, frames):
    solution, summary = solve(tmp_path, frames, "--serve", "best", "--set", "ap_power=2")
    assert Scenario.from_yaml(solution["scenario"].item()) == Scenario(ap_power=2)
    assert solution["version"] == summary["version"] == __version__
    assert [solution[name] for name in TEXTS[2:]] == ["hybrid", "best", "given", "0"]
    assert summary["beams"] == "given"
    expected = directly(frames, "best", ap_power=2)
    np.testing.assert_array_equal(solution["energy"], expected.energy)
    assert Scenario.from_yaml(json.dumps(summary["scenario"])) == Scenario(ap_power=2)


def test_summary_adds_up(solved):
    solution, summary = solved["all"]
    optimal = solution["status"] == 0
    assert summary["frames"] == NUM_FRAMES
    counted = ("optimal", "feasible", "infeasible", "not_converged")
    assert sum(summary[name] for name in counted) == NUM_FRAMES
    assert summary["feasible_share"] == pytest.approx(optimal.mean())
    assert summary["served_share"] == pytest.approx(solution["served"].mean())
    assert summary["mean_energy"] == pytest.approx(solution["energy"][optimal].mean())
    assert summary["mean_reward"] == pytest.approx(solution["reward"].mean())
    assert summary["frames_per_second"] == pytest.approx(NUM_FRAMES / summary["seconds"])


def test_frames_whose_bound_is_not_met_count_as_solved(tmp_path, monkeypatch, frames):
    found = module.solve_chunk

    def with_every_status(parameters, chunk, **options):
        rows = found(parameters, chunk, **options)
        rows["status"] = np.arange(len(rows["status"]), dtype=np.int8) % 4
        rows["energy"] = np.where(np.isin(rows["status"], (0, 3)), 1.0 + rows["status"], np.inf)
        return rows

    monkeypatch.setattr(module, "solve_chunk", with_every_status)
    few = {name: array[:8] for name, array in frames.items()}
    _, summary = solve(tmp_path, few)
    counted = [summary[name] for name in ("optimal", "infeasible", "not_converged", "feasible")]
    assert counted == [2, 2, 2, 2]
    assert summary["feasible_share"] == 0.5
    assert summary["mean_energy"] == pytest.approx(2.5)


@pytest.mark.parametrize("chunk", [7, 20, 21, 100])
@pytest.mark.parametrize("layout", ["deflated", "folder"])
def test_chunks_and_layouts_do_not_matter(tmp_path, monkeypatch, frames, solved, layout, chunk):
    taken = []

    def one_by_eight(parameters, part, **options):
        # Solved from the known solution, so that no chunk size needs a program of its own.
        taken.append(len(part.workload))
        begin, end = part.start, part.start + len(part.workload)
        for name, array in along_the_channels(frames).items():
            np.testing.assert_array_equal(getattr(part, name), array[begin:end])
        return {name: array[begin:end] for name, array in solved["all"][0].items() if array.ndim}

    monkeypatch.setattr(module, "solve_chunk", one_by_eight)
    monkeypatch.setattr(module, "FRAMES_AT_ONCE", chunk)
    given = along_the_channels(frames)
    if layout == "deflated":
        solution, _ = solve(tmp_path, given, save=np.savez_compressed)
    else:
        (tmp_path / "frames").mkdir()
        for name, array in given.items():
            np.save(tmp_path / "frames" / f"{name}.npy", array)
        run("solve", tmp_path / "frames", "--out", tmp_path / "out")
        solution = {file.stem: np.load(file) for file in (tmp_path / "out").iterdir()}
    assert max(taken) <= chunk
    assert max(taken) - min(taken) <= len(taken)
    assert set(solution) == set(solved["all"][0])
    for name, array in solved["all"][0].items():
        np.testing.assert_array_equal(solution[name], array)


def test_overfull_batteries_count_as_full(tmp_path, frames):
    given = frames | {"battery": np.where(np.arange(NUM_FRAMES)[:, None] == 4, 7.0, frames["battery"])}
    clipped, summary = solve(tmp_path, given)
    assert summary["clipped_batteries"] == 3
    full, _ = solve(tmp_path, given | {"battery": np.minimum(given["battery"], 1)})
    np.testing.assert_array_equal(clipped["energy"], full["energy"])


def test_beams_are_normalised(tmp_path, frames):
    exact, _ = solve(tmp_path, frames)
    longer, _ = solve(tmp_path, frames | {"beams": frames["beams"] * 1.0009})
    np.testing.assert_allclose(longer["energy"], exact["energy"], rtol=1e-6)


def test_beams_of_the_file_are_used_only_if_wanted(tmp_path, frames, solved):
    given, _ = solve(tmp_path, frames, "--beams", "given")
    np.testing.assert_array_equal(given["energy"], directly(frames, "all").energy)
    broken = frames | {"beams": 9 * frames["beams"]}
    along, _ = solve(tmp_path, broken, "--beams", "mrt")
    np.testing.assert_array_equal(along["energy"], solved["all"][0]["energy"])
    assert along["beams_from"] == "mrt"
    assert "beams" not in along


def test_beams_that_are_not_there_are_refused(tmp_path, frames):
    path = tmp_path / "frames.npz"
    np.savez(path, **along_the_channels(frames))
    (fault,) = refused("solve", path, "--out", tmp_path / "out.npz", "--beams", "given")
    assert fault == f"beams: {path} has none to be given; choose mrt or optimal"
    assert os.listdir(tmp_path) == ["frames.npz"]


# Beams optimised too

WITH_BEAMS = ["--beams", "optimal"]


@pytest.fixture(scope="module")
def optimised(frames, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FRAMES_AT_ONCE", 8)
        folder = tmp_path_factory.mktemp("optimised")
        # The random beams that the file has are not used.
        return {serve: solve(folder, frames, *WITH_BEAMS, "--serve", serve) for serve in ("all", "best")}


@pytest.mark.parametrize("serve", ["all", "best"])
def test_optimal_beams_and_allocation_hold_in_an_independent_frame(frames, optimised, serve):
    solution, _ = optimised[serve]
    np.testing.assert_allclose(np.linalg.norm(solution["beams"], axis=2), 1)
    for k in np.flatnonzero(solution["status"] == 0):
        plans = [
            UserPlan(
                t_a=solution["t_active"][k, i],
                t_b=solution["t_passive"][k, i],
                t_c=solution["l_local"][k, i] / 50,
                l_a=solution["l_active"][k, i],
                l_b=solution["l_passive"][k, i],
                l_c=solution["l_local"][k, i],
            )
            for i in range(3)
        ]
        work, battery = frames["workload"][k], frames["battery"][k]
        beams = solution["beams"][k]
        outcome = reference_frame(Scenario(), frames["channels"][k], work, battery, beams, plans)
        np.testing.assert_array_equal(outcome["success"], solution["served"][k])
        assert outcome["ap_energy"] == pytest.approx(solution["energy"][k], rel=1e-12)
        assert outcome["ap_reward"] == pytest.approx(solution["reward"][k], rel=1e-12)


@pytest.mark.parametrize("serve", ["all", "best"])
def test_the_gap_is_that_of_energy_and_bound(optimised, serve):
    solution, summary = optimised[serve]
    optimal = solution["status"] == 0
    energy, bound = solution["energy"][optimal], solution["lower_bound"][optimal]
    np.testing.assert_allclose(solution["gap"][optimal], (energy - bound) / energy, rtol=0, atol=1e-15)
    assert (bound > 0).all()
    assert (solution["gap"][optimal] >= -1e-12).all()
    assert (solution["gap"][optimal] < 1e-4).all()
    assert (summary["certified_gap"], summary["certified_share"]) == (1e-4, 1)
    assert summary["largest_gap"] == pytest.approx(solution["gap"][optimal].max())
    assert (summary["beams"], solution["beams_from"]) == ("optimal", "optimal")


def test_optimal_beams_need_no_more_energy_than_others(frames, solved, optimised):
    best, along = optimised["all"][0], solved["all"][0]
    drawn = directly(frames, "all")
    for other in (along["energy"], np.asarray(drawn.energy)):
        feasible = np.isfinite(other)
        assert feasible.any()
        assert (best["lower_bound"][feasible] <= other[feasible] * (1 + 1e-9)).all()
        assert (best["energy"][feasible] <= other[feasible] * (1 + 1e-5)).all()
    assert best["energy"].sum() < along["energy"].sum()


def test_what_no_beams_can_serve_is_proved(tmp_path, frames):
    # Hardly any power: what the batteries do not pay for cannot be done.
    solution, summary = solve(tmp_path, frames, *WITH_BEAMS, "--set", "ap_power=0.01")
    infeasible = solution["status"] == 1
    assert 0 < infeasible.sum() == summary["infeasible"]
    assert (solution["accuracy"][infeasible] > 0).all()
    assert not solution["gap"][infeasible].any()
    for name in ("energy", "lower_bound"):
        assert np.isinf(solution[name][infeasible]).all()
    for name in ("reward", *module.PER_USER):
        assert not solution[name][infeasible].any()
    others = (
        directly(frames, "all", ap_power=0.01),
        directly(along_the_channels(frames), "all", ap_power=0.01),
    )
    for other in others:
        assert (np.asarray(other.status)[infeasible] == 1).all()


def test_reward_of_the_best_set_meets_its_bound(solved, optimised):
    solution, _ = optimised["best"]
    assert (solution["status"] == 0).all()
    assert (solution["reward"] <= solution["reward_bound"] * (1 + 1e-12)).all()
    np.testing.assert_allclose(solution["reward"], solution["reward_bound"], rtol=1e-4)
    assert (solved["best"][0]["reward"] <= solution["reward_bound"] * (1 + 1e-9)).all()
    assert (optimised["all"][0]["reward"] <= solution["reward_bound"] * (1 + 1e-9)).all()
    assert "reward_bound" not in optimised["all"][0]


def test_optimal_beams_in_a_folder_and_a_table(tmp_path, frames, optimised):
    np.savez(tmp_path / "frames.npz", **frames)
    text = run("solve", tmp_path / "frames.npz", "--out", tmp_path / "out", *WITH_BEAMS).stdout
    for words in ("Gap to the bound of all beams at most 0.0001", "100.00%", "Largest gap"):
        assert words in text
    solution, _ = optimised["all"]
    written = {file.stem: np.load(file) for file in (tmp_path / "out").iterdir()}
    assert set(written) == set(solution)
    assert written["beams"].dtype == np.complex128
    for name, array in solution.items():
        np.testing.assert_array_equal(written[name], array)


def test_table_for_people_has_the_numbers_of_the_summary(tmp_path, frames, solved):
    np.savez(tmp_path / "frames.npz", **along_the_channels(frames))
    text = run("solve", tmp_path / "frames.npz", "--out", tmp_path / "solution.npz").stdout
    _, summary = solved["all"]
    for words, number in (
        ("Frames", NUM_FRAMES),
        ("Optimal", summary["optimal"]),
        ("Feasible, bound not met", summary["feasible"]),
        ("Infeasible", summary["infeasible"]),
        ("Not converged", summary["not_converged"]),
        ("Mean energy of the frames solved", f"{summary['mean_energy']:.6g}"),
        ("Mean reward", f"{summary['mean_reward']:.6g}"),
    ):
        assert re.search(rf"^\W*{words}\W+{number}\b", text, re.MULTILINE), words


def test_broken_input_is_refused_by_name_before_anything_is_written(tmp_path, frames):
    path, out = tmp_path / "frames.npz", tmp_path / "solution.npz"
    battery = frames["battery"].copy()
    battery[20, 2] = -1
    channels = frames["channels"].copy()
    channels[1, 0] = 1e200
    np.savez(path, **frames | {"battery": battery, "channels": channels})
    assert refused("solve", path, "--out", out) == [
        "battery: frame 20, user 2 is -1.0; it must be >= 0 (mJ)",
        "channels: frame 1, user 0 has norm inf; it and its square must be finite",
    ]
    np.savez(path, channels=channels)
    assert refused("solve", path, "--out", out) == [
        f"workload: is missing; {path} has channels",
        f"battery: is missing; {path} has channels",
    ]
    np.savez(path, **frames)
    assert refused("solve", path, "--out", path) == [f"{path}: is the input; name another file"]
    assert refused("solve", path, "--out", out, "--set", "local_rate=[50, 40]") == [
        "local_rate: mismatched lengths, 2 values for 3 users; it must be a number or one number per user"
    ]
    assert os.listdir(tmp_path) == ["frames.npz"]


def test_constants_per_user_must_match_the_frames(tmp_path, frames):
    path = tmp_path / "frames.npz"
    np.savez(path, **{name: array[:, :2] for name, array in frames.items()})
    options = ("--out", tmp_path / "out.npz", "--set", "local_rate=[50, 40, 30]")
    (fault,) = refused("solve", path, *options)
    assert fault == f"local_rate: 3 values are given for 2 users; give one, or one each; N is 2 as in {path}"
    assert os.listdir(tmp_path) == ["frames.npz"]
