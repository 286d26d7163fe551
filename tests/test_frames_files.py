"""`scattermec frames`, and what it reads: files of GNU Octave, MATLAB, HDF5, NumPy and CSV.

The files in cases/foreign are of GNU Octave 7.3 itself, and hold numbers with a formula (see `frames.m`
there). The one of MATLAB v7.3 is written by h5py in MATLAB's layout.
"""

import json
import shutil
from pathlib import Path

import h5py
import jax
import numpy as np
import pytest

from command_line import refused, run
from scattermec.channels import STREET_CANYON, from_axes
from scattermec.environment import reset
from scattermec.errors import InputError
from scattermec.physics import parameters_of
from scattermec.scenario import Scenario
from scattermec.storage.foreign import open_foreign

FOREIGN = Path(__file__).parent / "cases" / "foreign"
K, N, M = np.meshgrid(np.arange(1, 4), np.arange(1, 3), np.arange(1, 5), indexing="ij")
CHANNELS = 1e-3 * (M + 10 * N) * np.exp(1j * (M + K))
WORK = (10 * N + K)[:, :, 0]
"""The numbers of `frames.m`, with axes as in our files."""


def converted(tmp_path, *arguments):
    out = tmp_path / "out.npz"
    report = json.loads(run("frames", "convert", *arguments, "--out", out, "--json").stdout)
    with np.load(out) as file:
        return dict(file), report


@pytest.mark.parametrize("name", ["octave_v5.mat", "octave_v7.mat", "octave.h5", "matlab_v73.mat"])
def test_arrays_of_octave_and_matlab(name, tmp_path):
    options = ("--channels", "H", "--axes", "M N K", "--workload", "work", "--battery", "energy")
    arrays, report = converted(tmp_path, FOREIGN / name, *options)
    np.testing.assert_allclose(arrays["channels"], CHANNELS, rtol=1e-14)
    np.testing.assert_array_equal(arrays["workload"], WORK)
    np.testing.assert_array_equal(arrays["battery"], [[0.01, 0.02]] * 3)
    assert (report["frames"], report["users"], report["antennas"]) == (3, 2, 4)
    assert report["uses"] == ["scattermec solve", "fading: file", "arrivals: file"]


def test_only_complex_array_needs_no_name_and_may_be_conjugated(tmp_path):
    arrays, report = converted(tmp_path, FOREIGN / "octave_v7.mat", "--axes", "M,N,K", "--conjugate")
    np.testing.assert_allclose(arrays["channels"], CHANNELS.conj(), rtol=1e-14)
    assert set(arrays) == {"channels", "converted_from", "version"}
    assert report["uses"] == ["fading: file"]


def test_axes_that_octave_drops_are_there_again(tmp_path):
    arrays, _ = converted(tmp_path, FOREIGN / "octave_one_frame.mat", "--axes", "M N K")
    np.testing.assert_allclose(arrays["channels"], CHANNELS[:1], rtol=1e-14)


def test_csv_of_octave_in_any_order_of_lines(tmp_path):
    head, *lines = (FOREIGN / "octave.csv").read_text().splitlines()
    np.random.default_rng(0).shuffle(lines)
    path = tmp_path / "shuffled.csv"
    path.write_text("\n".join([head, *lines]))
    arrays, _ = converted(tmp_path, path, "--battery", "0.05")
    np.testing.assert_allclose(arrays["channels"], CHANNELS, rtol=1e-12)
    np.testing.assert_array_equal(arrays["workload"], WORK)
    np.testing.assert_array_equal(arrays["battery"], np.full((3, 2), 0.05))


def test_numpy_and_hdf5_with_pairs_of_i_and_q(tmp_path):
    pairs = np.stack([CHANNELS.real, CHANNELS.imag], axis=1)  # frame, IQ, user, antenna
    np.save(tmp_path / "pairs.npy", pairs[:, :, None])
    with h5py.File(tmp_path / "pairs.h5", "w") as file:
        file["sounder/run"] = pairs[:, :, None]
        file["sounder/gps"] = np.zeros(3)
    for path, name in ((tmp_path / "pairs.npy", "channels"), (tmp_path / "pairs.h5", "sounder/run")):
        arrays, _ = converted(tmp_path, path, "--channels", name, "--axes", "K IQ 1 N M")
        np.testing.assert_array_equal(arrays["channels"], CHANNELS)


def test_own_files_and_beams_are_converted_alike(tmp_path):
    beams = np.moveaxis(CHANNELS / np.linalg.norm(CHANNELS, axis=2, keepdims=True), 0, 2)
    np.savez(tmp_path / "own.npz", channels=np.moveaxis(CHANNELS, 0, 2), beams=beams, workload=WORK.T)
    arrays, report = converted(tmp_path, tmp_path / "own.npz", "--axes", "N M K")
    np.testing.assert_array_equal(arrays["channels"], CHANNELS)
    np.testing.assert_array_equal(arrays["beams"], np.moveaxis(beams, 2, 0))
    np.testing.assert_array_equal(arrays["workload"], WORK)
    assert report["looks_wrong"] == []
    arrays, report = converted(tmp_path, tmp_path / "own.npz", "--axes", "N M K", "--conjugate")
    np.testing.assert_array_equal(arrays["beams"], np.moveaxis(beams, 2, 0))
    assert [found["kind"] for found in report["looks_wrong"]] == ["conjugated"]


def test_units_are_converted(tmp_path):
    np.savez(
        tmp_path / "si.npz", channels=1e3 * CHANNELS, workload=1000 * WORK, battery=np.full((3, 2), 5e-5)
    )
    factors = ("--scale", "channels=0.001", "--scale", "workload=1e-3", "--scale", "battery=1000")
    arrays, report = converted(tmp_path, tmp_path / "si.npz", *factors)
    np.testing.assert_allclose(arrays["channels"], CHANNELS, rtol=1e-14)
    np.testing.assert_allclose(arrays["workload"], WORK, rtol=1e-14)
    np.testing.assert_allclose(arrays["battery"], 0.05, rtol=1e-14)
    assert report["looks_wrong"] == []


def test_folders_are_converted_and_checked_but_are_no_traces(tmp_path):
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "channels.npy", CHANNELS)
    np.save(tmp_path / "in" / "workload.npy", WORK)
    out = tmp_path / "out"
    run("frames", "convert", tmp_path / "in", "--out", out, "--battery", 0.05)
    np.testing.assert_array_equal(np.load(out / "channels.npy"), CHANNELS)
    assert json.loads(run("frames", "check", out, "--json").stdout)["uses"] == ["scattermec solve"]


def test_a_file_for_matlab_is_of_no_further_use_here(tmp_path):
    np.save(tmp_path / "channels.npy", CHANNELS)
    per_user = ("--workload", "40", "--battery", "0.05")
    out = tmp_path / "frames.mat"
    printed = run("frames", "convert", tmp_path / "channels.npy", "--out", out, *per_user, "--json")
    assert json.loads(printed.stdout)["uses"] == []
    assert run("solve", out, "--out", tmp_path / "s.npz", status=2).stderr


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("octave_v7.mat",), "axes: are missing; say in which order the program that wrote"),
        (
            ("octave_v7.mat", "--axes", "M N", "--channels", "label"),
            "label: is not in the file; it has H, work, energy",
        ),
        (("octave_v7.mat", "--axes", "M N"), "H: has shape (4, 2, 3), which does not fit the axes M N"),
        (("octave_v7.mat", "--axes", "M N 1"), "H: has shape (4, 2, 3), which does not fit the axes M N 1"),
        (("octave_v7.mat", "--axes", "M N X"), "axes: M N X is not allowed; it must be K, N, M, IQ or 1"),
        (("octave_v7.mat", "--axes", "M N N"), "axes: M N N is not allowed; it must be K, N, M, IQ or 1"),
        (("octave_v7.mat", "--axes", "M N K", "--workload", "H"), "H: has type complex128; it must be real"),
        (("octave_v7.mat", "--axes", "M N K", "--workload", "-3"), "workload: frame 0, user 0 is -3.0"),
        (("octave_decibels.mat", "--axes", "M N"), "H: has real numbers; they look like gains in dB"),
        (
            ("octave.h5", "--axes", "M N K", "--channels", "nothing"),
            "nothing: is not in the file; it has H, energy, work",
        ),
        (("octave.csv", "--axes", "M N K"), "axes: "),
        (
            ("octave.csv", "--scale", "beams=2"),
            "scale: beams=2 is not allowed; it must be channels, workload",
        ),
        (("octave.csv", "--scale", "workload=0"), "scale: workload=0 is not allowed; the factor must be"),
        (("octave.csv", "--scale", "workload"), "scale: workload is not allowed; the factor must be"),
        (("octave.csv", "--scale", "workload=1", "--scale", "workload=2"), "scale: workload is given twice"),
        (("octave.csv", "--scale", "battery=2"), "scale: battery: there is none"),
        (("frames.m",), "frames.m: must be .npz, .npy, .mat, .csv, HDF5, or a folder of .npy files"),
        (("none.mat",), "none.mat: cannot be read: No such file or directory"),
        (("none.csv",), "none.csv: cannot be read: No such file or directory"),
    ],
)
def test_faults_are_named_and_nothing_is_written(arguments, fault, tmp_path):
    name, *options = arguments
    (line,) = refused("frames", "convert", FOREIGN / name, "--out", tmp_path / "out.npz", *options)
    assert line.removeprefix(f"{FOREIGN}/").startswith(fault)
    assert list(tmp_path.iterdir()) == []


def test_work_in_another_order_than_the_channels(tmp_path):
    channels = np.full((4, 2, 3), 0.01 + 0.01j)
    np.savez(tmp_path / "in.npz", channels=channels, workload=np.full((2, 4), 40.0))
    (line,) = refused("frames", "convert", tmp_path / "in.npz", "--out", tmp_path / "out.npz")
    assert line == (
        "workload: has 2 frames and 4 users; the channels have 4 and 2; "
        "transpose it, since K and N must come in the order of --axes"
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "its first line must name the columns"),
        ("user,I\n0,1\n", "its first line must name the columns"),
        ("user,I,Q\n", "has no lines of numbers"),
        ("user,I,Q\n0,1,x\n", "is not a table of numbers"),
        ("user,I,Q\n0,1,2,3\n", "has 3 headings over 4 columns"),
        (
            "user,I,Q\n0,1,2\n0,1,2\n",
            "has 2 lines for 1 frames, 1 users, 1 antennas; it must be one for each",
        ),
        (
            "user,antenna,I,Q\n0,0,1,1\n0,1,1,1\n1,0,1,1\n1,0,1,1\n",
            "has no line for frame 0, user 1, antenna 1",
        ),
        ("antenna,I,Q,battery\n0,1,2,3\n1,1,2,4\n", "battery differs between antennas of the same user"),
    ],
)
def test_faults_of_csv(text, fault, tmp_path):
    path = tmp_path / "iq.csv"
    path.write_text(text)
    (line,) = refused("frames", "convert", path, "--out", tmp_path / "out.npz")
    assert line.startswith(f"{path}: {fault}")


def test_csv_of_a_spreadsheet(tmp_path):
    # A byte order mark, semicolons, quotes, other names and a column that is not ours.
    path = tmp_path / "iq.csv"
    path.write_bytes(b'\xef\xbb\xbf"N";"Re";"Im";"date"\r\n7;0.1;-0.2;3\r\n9;0.3;0.4;3\r\n')
    arrays, _ = converted(tmp_path, path)
    np.testing.assert_array_equal(arrays["channels"], [[[0.1 - 0.2j], [0.3 + 0.4j]]])


@pytest.mark.parametrize(
    "name", ["octave_v5.mat", "octave_v7.mat", "octave.h5", "matlab_v73.mat", "octave.csv"]
)
def test_damaged_files_are_faults_of_the_input(name, tmp_path):
    whole, random = (FOREIGN / name).read_bytes(), np.random.default_rng(0)
    path = tmp_path / name
    refusals = []
    for trial in range(40):
        damaged = bytearray(whole)
        if trial % 2:
            damaged = damaged[: random.integers(len(whole))]
        else:
            damaged[random.integers(len(whole))] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        try:
            for load in open_foreign(path).arrays.values():
                load()
        except InputError as error:
            refusals.append(str(error))
    assert len(refusals) > 10
    assert all(line.startswith(f"{path}: ") for line in refusals)


def test_pickles_are_not_opened(tmp_path):
    np.save(tmp_path / "pickle.npy", np.array([{}], object), allow_pickle=True)
    (line,) = refused("frames", "convert", tmp_path / "pickle.npy", "--out", tmp_path / "out.npz")
    assert line == f"{tmp_path / 'pickle.npy'}: not an .npy array"


def test_axes_agree_with_einsum():
    array = np.random.default_rng(0).normal(size=(2, 3, 4))
    for axes in ("KNM", "MNK", "NKM"):
        expected = np.einsum(f"{axes}->KNM", array)
        np.testing.assert_array_equal(from_axes(array, list(axes), "KNM"), expected)
    np.testing.assert_array_equal(from_axes(array[0], ["M", "N"], "KNM"), array[0].T[None])
    with pytest.raises(InputError, match="does not fit the axes K N"):
        from_axes(array, ["K", "N"], "KN")


# Drawing


def test_frames_are_those_of_resets_and_serve_as_a_trace(tmp_path):
    out = tmp_path / "drawn.npz"
    settings = ("--set", "num_antennas=2", "--set", "user_positions=[[3, 0], [0, 4]]")
    report = json.loads(
        run("frames", "draw", "--out", out, "--frames", 5, "--seed", 3, *settings, "--json").stdout
    )
    assert (report["frames"], report["users"], report["antennas"], report["seed"]) == (5, 2, 2, 3)
    scenario = Scenario(num_antennas=2, user_positions=[[3, 0], [0, 4]])
    keys, reset_once = jax.random.split(jax.random.key(3), 5), jax.jit(reset)
    with np.load(out) as drawn:
        for index, key in enumerate(keys):
            frame = reset_once(key, parameters_of(scenario)).frame
            for name in ("channels", "workload", "battery"):
                np.testing.assert_allclose(drawn[name][index], getattr(frame, name), rtol=1e-12)
        assert Scenario.from_yaml(str(drawn["scenario"])) == scenario
        traced = Scenario(**scenario.model_dump() | {"fading": "file", "arrivals": "file", "trace": str(out)})
        np.testing.assert_array_equal(traced.load_trace()[0], drawn["channels"])
    assert json.loads(run("frames", "check", out, *settings, "--json").stdout)["looks_wrong"] == []


# Checking


def looks_wrong(path, *options):
    report = json.loads(run("frames", "check", path, *options, "--json").stdout)
    return [(found["kind"], found["text"]) for found in report["looks_wrong"]]


@pytest.fixture
def usual():
    """Frames without faults, of users whose path losses differ."""
    random = np.random.default_rng(0)
    parts = random.normal(size=(2, 60, 3, 4)) / np.sqrt(2)
    gains = 10 ** (-np.array([28.0, 34.0, 42.0]) / 20)
    return {
        "channels": gains[:, None] * (parts[0] + 1j * parts[1]),
        "workload": random.uniform(20, 60, (60, 3)),
        "battery": random.uniform(0, 0.1, (60, 3)),
    }


def swapped(*axes):
    return lambda arrays: {
        **arrays,
        "channels": arrays["channels"].transpose(axes),
        **{
            name: np.resize(arrays[name], np.array(arrays["channels"].shape)[list(axes[:2])])
            for name in ("workload", "battery")
        },
    }


@pytest.mark.parametrize(
    ("kind", "words", "change"),
    [
        ("bits", "look", lambda arrays: {**arrays, "workload": 1000 * arrays["workload"]}),
        (
            "joules",
            "the batteries look like J",
            lambda arrays: {**arrays, "battery": arrays["battery"] / 1000},
        ),
        (
            "capacity",
            "far above battery_capacity",
            lambda arrays: {**arrays, "battery": 1e4 * arrays["battery"]},
        ),
        ("axes", "antennas and users look swapped", swapped(0, 2, 1)),
        ("axes", "frames and users look swapped", swapped(1, 0, 2)),
        (
            "decibels",
            "gains in dB",
            lambda arrays: {**arrays, "channels": 20 * np.log10(np.abs(arrays["channels"])) + 0j},
        ),
        ("phase", "without a phase", lambda arrays: {**arrays, "channels": np.abs(arrays["channels"]) + 0j}),
        (
            "snr",
            "powers instead of amplitudes",
            lambda arrays: {**arrays, "channels": arrays["channels"] ** 4},
        ),
        ("plausible", "more would arrive", lambda arrays: {**arrays, "channels": 100 * arrays["channels"]}),
    ],
)
def test_what_looks_wrong_is_named(kind, words, change, usual, tmp_path):
    np.savez(tmp_path / "usual.npz", **usual)
    assert looks_wrong(tmp_path / "usual.npz") == []
    np.savez(tmp_path / "changed.npz", **change(usual))
    found = looks_wrong(tmp_path / "changed.npz")
    assert found[0][0] == kind
    assert words in found[0][1]


def test_hundreds_of_antennas_in_few_frames_look_swapped(usual, tmp_path):
    many = np.resize(usual["channels"], (4, 3, 100))
    np.savez(tmp_path / "trace.npz", channels=many)
    (found,) = looks_wrong(tmp_path / "trace.npz")
    assert found[0] == "axes"
    assert "100 antennas in 4 frames" in found[1]


def test_real_channels_are_refused_with_what_they_look_like(usual, tmp_path):
    np.savez(tmp_path / "real.npz", channels=20 * np.log10(np.abs(usual["channels"])))
    (line,) = refused("frames", "check", tmp_path / "real.npz")
    assert line.startswith("channels: have real numbers; they look like gains in dB")
    np.savez(tmp_path / "real.npz", channels=usual["channels"].real)
    (line,) = refused("frames", "check", tmp_path / "real.npz")
    assert line.startswith("channels: have real numbers; they may be the real parts alone")


def test_table_has_units_and_medians(usual, tmp_path):
    np.savez(tmp_path / "usual.npz", **usual)
    printed = run("frames", "check", tmp_path / "usual.npz", "--out", tmp_path / "report.md").stdout
    assert "Nothing looks wrong." in printed
    page = (tmp_path / "report.md").read_text()
    gain = 10 * np.log10(np.sort((np.abs(usual["channels"]) ** 2).sum(axis=2), axis=0)[30])
    work = np.median(usual["workload"], axis=0)
    for user in range(3):
        assert f"| {user} | {gain[user]:.1f} |" in page or f"| {user} | {gain[user]:.1f}" in page
        assert f"| {work[user]:.4g} |" in page
    assert "| work (kbit) | battery (mJ) |" in page


def test_blocked_users_have_no_path(usual, tmp_path):
    usual["channels"][:, 1] = 0
    np.savez(tmp_path / "blocked.npz", channels=usual["channels"])
    printed = run("frames", "check", tmp_path / "blocked.npz").stdout
    assert "no path" in printed
    assert "workload and battery of the scenario" in printed


def test_numbers_that_solve_refuses_are_refused(usual, tmp_path):
    usual["workload"][3, 1] = np.nan
    np.savez(tmp_path / "nan.npz", **usual)
    assert refused("frames", "check", tmp_path / "nan.npz") == [
        "workload: frame 3, user 1 is nan; it must be a finite number (kbit)"
    ]


def test_sizes_are_those_of_the_file_and_it_is_said(usual, tmp_path):
    shutil.copy(STREET_CANYON, tmp_path / "trace.npz")
    said = "N = 3 users and M = 4 antennas as in trace.npz; {} of the scenario {} not used."
    for options, names, verb in (
        (("--set", "num_antennas=2"), "num_antennas", "is"),
        (
            ("--set", "num_antennas=2", "--set", "user_positions=[[1, 0]]"),
            "user_positions and num_antennas",
            "are",
        ),
    ):
        result = run("frames", "check", tmp_path / "trace.npz", *options)
        assert said.format(names, verb).replace("trace.npz", str(tmp_path / "trace.npz")) in result.stderr
    assert "not used" not in run("frames", "check", tmp_path / "trace.npz").stderr
    (line,) = refused(
        "frames",
        "check",
        tmp_path / "trace.npz",
        "--set",
        "user_positions=[[1, 0]]",
        "--set",
        "local_rate=[50]",
    )
    assert line.startswith("local_rate: 1 values are given for 3 users")
    (line,) = refused("scenario", "--set", "fading=file", "--set", f"trace={tmp_path / 'trace.npz'}")
    assert line == (
        "trace: channels has shape (200, 3, 4); it must be (frames, 3, 3) with frames >= 1, "
        "by user_positions and num_antennas"
    )
