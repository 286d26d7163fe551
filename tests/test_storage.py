"""Frames read and solutions written as streams: faults by name, any layout, bounded memory, no half files."""

import tracemalloc
import zipfile

import numpy as np
import pytest

from scattermec.storage import ArrayWriter, InputError, open_arrays, open_frames

CAPACITY = np.ones(3)


def make_frames(num_frames=20, users=3, antennas=2, beams=False, seed=0):
    rng = np.random.default_rng(seed)

    def vectors():
        shape = (num_frames, users, antennas)
        return rng.normal(size=shape) + 1j * rng.normal(size=shape)

    frames = {
        "channels": vectors(),
        "workload": rng.uniform(0, 80, (num_frames, users)),
        "battery": rng.uniform(0, 0.1, (num_frames, users)),
    }
    if beams:
        directions = vectors()
        frames["beams"] = directions / np.linalg.norm(directions, axis=2, keepdims=True)
    return frames


def save(path, frames, layout):
    if layout == "folder":
        path.mkdir()
        for name, array in frames.items():
            np.save(path / f"{name}.npy", array)
        return path
    path = path.with_suffix(".npz")
    (np.savez_compressed if layout == "deflated" else np.savez)(path, **frames)
    return path


def refused(path, capacity=CAPACITY):
    with pytest.raises(InputError) as caught:
        open_frames(path).check(capacity)
    return caught.value.faults


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("layout", ["stored", "deflated", "folder"])
def test_chunks_are_the_frames_in_order(tmp_path, layout, order):
    frames = make_frames(beams=True)
    given = {name: np.asarray(array, order=order) for name, array in frames.items()}
    file = open_frames(save(tmp_path / "frames", given, layout))
    assert (file.num_frames, file.num_users, file.num_antennas, file.has_beams) == (20, 3, 2, True)
    for size in (1, 7, 20, 100):
        chunks = list(file.chunks(size))
        assert [chunk.start for chunk in chunks] == list(range(0, 20, size))
        for name, array in frames.items():
            np.testing.assert_array_equal(np.concatenate([getattr(chunk, name) for chunk in chunks]), array)


def test_numbers_of_any_kind_become_double_precision(tmp_path):
    frames = make_frames()
    given = {
        "channels": frames["channels"].astype(">c8"),
        "workload": frames["workload"].astype(np.uint8),
        "battery": frames["battery"].astype(np.float16),
    }
    (chunk,) = open_frames(save(tmp_path / "frames", given, "stored")).chunks(20)
    assert chunk.channels.dtype == np.complex128
    assert chunk.workload.dtype == chunk.battery.dtype == np.float64
    assert chunk.beams is None
    for name, array in given.items():
        np.testing.assert_array_equal(getattr(chunk, name), array)


def test_what_else_is_in_the_file_is_left_alone(tmp_path):
    path = tmp_path / "frames.npz"
    np.savez(path, **make_frames(), notes=np.array(["a", None], dtype=object))
    assert open_frames(path).check(CAPACITY).overfull == 0


def test_batteries_above_their_capacity_are_counted(tmp_path):
    frames = make_frames()
    frames["battery"][3, 1] = frames["battery"][5, 0] = 1.5
    path = save(tmp_path / "frames", frames, "stored")
    assert open_frames(path).check(CAPACITY).overfull == 2
    assert open_frames(path).check(np.array([2, 1, 1.0])).overfull == 1


BROKEN_VALUES = [
    ("workload", (4, 1), np.nan, "workload: frame 4, user 1 is nan; it must be a finite number (kbit)"),
    ("workload", (4, 1), -1.0, "workload: frame 4, user 1 is -1.0; it must be >= 0 (kbit)"),
    ("battery", (4, 1), np.inf, "battery: frame 4, user 1 is inf; it must be a finite number (mJ)"),
    ("battery", (4, 1), -0.5, "battery: frame 4, user 1 is -0.5; it must be >= 0 (mJ)"),
    (
        "channels",
        (4, 1, 0),
        complex(0, np.nan),
        "channels: frame 4, user 1, antenna 0 is nanj; it must be a finite number",
    ),
    (
        "channels",
        (4, 1),
        1e200,
        "channels: frame 4, user 1 has norm inf; it and its square must be finite",
    ),
    ("beams", (4, 1), 0, "beams: frame 4, user 1 has norm 0; it must be 1 within 0.001"),
    ("beams", (4, 1, 1), np.inf, "beams: frame 4, user 1, antenna 1 is (inf+0j); it must be a finite number"),
]


@pytest.mark.parametrize(("name", "place", "value", "fault"), BROKEN_VALUES)
def test_a_broken_number_is_named(tmp_path, name, place, value, fault):
    frames = make_frames(beams=True)
    frames[name][place] = value
    assert refused(save(tmp_path / "frames", frames, "stored")) == (fault,)


def test_all_faults_are_found_wherever_they_are(tmp_path):
    frames = make_frames(40_000, antennas=1)
    frames["battery"][39_999, 2] = -1
    frames["workload"][20_000:20_010, 0] = -2
    assert refused(save(tmp_path / "frames", frames, "deflated")) == (
        "workload: frame 20000, user 0 is -2.0; it must be >= 0 (kbit); so in 10 frames",
        "battery: frame 39999, user 2 is -1.0; it must be >= 0 (mJ)",
    )


@pytest.mark.parametrize(("norm", "fine"), [(1.0009, True), (0.9991, True), (1.0011, False), (0.99, False)])
def test_beams_are_of_norm_one_within_a_thousandth(tmp_path, norm, fine):
    frames = make_frames(beams=True)
    frames["beams"][2, 0] *= norm
    path = save(tmp_path / "frames", frames, "stored")
    if fine:
        assert open_frames(path).check(CAPACITY).overfull == 0
    else:
        expected = f"beams: frame 2, user 0 has norm {norm:.6g}; it must be 1 within 0.001"
        assert refused(path) == (expected,)


def without(name):
    return lambda frames: frames.pop(name)


def put(name, make):
    return lambda frames: frames.update({name: make(frames[name])})


BROKEN_ARRAYS = [
    (without("channels"), ["channels: is missing; {path} has battery, beams, workload"]),
    (without("battery"), ["battery: is missing; {path} has beams, channels, workload"]),
    (put("channels", np.real), ["channels: has type float64; it must be complex"]),
    (put("beams", np.real), ["beams: has type float64; it must be complex"]),
    (put("workload", lambda a: a + 0j), ["workload: has type complex128; it must be real"]),
    (put("battery", lambda a: a.astype(str)), ["battery: has type <U32; it must be real"]),
    (put("battery", lambda a: a > 0), ["battery: has type bool; it must be real"]),
    (
        put("battery", lambda a: a[:-1]),
        ["battery: has shape (19, 3); it must be (20, 3), as channels has shape (20, 3, 2)"],
    ),
    (
        put("beams", lambda a: a[..., :1]),
        ["beams: has shape (20, 3, 1); it must be (20, 3, 2), as channels has shape (20, 3, 2)"],
    ),
    (put("workload", lambda a: a[:, 0]), ["workload: has shape (20,); it must be (K, N), none of them 0"]),
    (
        put("channels", lambda a: a[:0]),
        ["channels: has shape (0, 3, 2); it must be (K, N, M), none of them 0"],
    ),
]


@pytest.mark.parametrize("layout", ["stored", "folder"])
@pytest.mark.parametrize(("spoil", "faults"), BROKEN_ARRAYS)
def test_arrays_that_do_not_fit_are_named(tmp_path, layout, spoil, faults):
    frames = dict(sorted(make_frames(beams=True).items()))
    spoil(frames)
    path = save(tmp_path / "frames", frames, layout)
    assert refused(path) == tuple(fault.format(path=path) for fault in faults)


def test_objects_are_never_unpickled(tmp_path):
    frames = make_frames() | {"battery": np.array([[object()]])}
    for layout in ("stored", "folder"):
        (fault,) = refused(save(tmp_path / "frames", frames, layout))
        assert fault.endswith(("battery is not an .npy array, or is damaged", "not an .npy array"))


def test_files_that_are_no_frames(tmp_path):
    text = tmp_path / "text.npz"
    text.write_text("hello")
    assert refused(text) == (f"{text}: not an .npz file, nor a folder of .npy files",)
    missing = tmp_path / "missing.npz"
    assert refused(missing) == (f"{missing}: cannot be read: No such file or directory",)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert refused(empty)[0] == f"channels: is missing; {empty} has no array"
    assert len(refused(empty)) == 3


def test_damaged_files(tmp_path):
    whole = save(tmp_path / "whole", make_frames(), "stored").read_bytes()
    damaged = tmp_path / "damaged.npz"
    middle = whole.index(b"workload.npy") + 400
    damaged.write_bytes(whole[:middle] + b"\xff" * 8 + whole[middle + 8 :])
    assert refused(damaged) == (f"{damaged}: workload is not an .npy array, or is damaged",)

    save(tmp_path / "cut", make_frames(), "folder")
    cut = tmp_path / "cut" / "battery.npy"
    cut.write_bytes(cut.read_bytes()[:-8])
    assert refused(tmp_path / "cut") == (f"{cut}: not an .npy array",)


@pytest.mark.parametrize("layout", ["stored", "deflated", "folder"])
def test_reading_needs_little_memory_however_many_frames(tmp_path, layout):
    frames = make_frames(200_000, antennas=1)  # 19 MB
    path = save(tmp_path / "frames", frames, layout)
    del frames
    tracemalloc.start()
    file = open_frames(path)
    assert sum(len(chunk.workload) for chunk in file.chunks(1000)) == 200_000
    assert file.check(CAPACITY).overfull == 0
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8e6


ROWS = {"energy": ((), np.dtype("f8")), "served": ((3,), np.dtype("?"))}


def write(path, chunks=(4, 5, 1), num_rows=10):
    rng = np.random.default_rng(1)
    energy, served = rng.normal(size=10), rng.uniform(size=(10, 3)) > 0.5
    with ArrayWriter(path, num_rows, ROWS, {"version": "0.1", "note": "µ\n"}) as writer:
        start = 0
        for size in chunks:
            part = slice(start, start + size)
            writer.append({"energy": energy[part], "served": served[part]})
            start += size
    return {"energy": energy, "served": served, "version": "0.1", "note": "µ\n"}


def test_written_file_is_an_ordinary_npz(tmp_path):
    path = tmp_path / "out.npz"
    path.write_text("what was there before")
    written = write(path)
    with np.load(path, allow_pickle=False) as archive:
        assert set(archive) == set(written)
        for name, array in written.items():
            np.testing.assert_array_equal(archive[name], array)
    assert zipfile.ZipFile(path).testzip() is None
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("exists", [False, True])
def test_written_folder(tmp_path, exists):
    path = tmp_path / "out"
    if exists:
        path.mkdir()
    written = write(path)
    assert set(open_arrays(path).names) == set(written)
    for name, array in written.items():
        np.testing.assert_array_equal(np.load(path / f"{name}.npy"), array)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["out.npz", "out"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interrupted_work_leaves_nothing(tmp_path, name, error):
    def interrupted():
        with ArrayWriter(tmp_path / name, 10, ROWS, {}) as writer:
            writer.append({"energy": np.zeros(2), "served": np.zeros((2, 3), bool)})
            raise error

    with pytest.raises(error):
        interrupted()
    assert not list(tmp_path.iterdir())


def test_rows_that_are_missing_or_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ValueError, match="9 rows were written of 10"):
        write(tmp_path / "out.npz", chunks=(4, 5))
    for rows in (
        {"energy": np.zeros(2), "served": np.zeros((3, 3))},
        {"energy": np.zeros(2), "served": np.zeros((2, 2))},
    ):
        with pytest.raises(ValueError, match="rows"), ArrayWriter(tmp_path / "o.npz", 9, ROWS, {}) as writer:
            writer.append(rows)
    assert not list(tmp_path.iterdir())


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").touch()
    for name, fault in {
        "nowhere/out.npz": f"cannot be written: there is no folder {tmp_path / 'nowhere'}",
        "folder.npz": "cannot be written: it is a folder",
        "file": "is a file; end the name in .npz or .mat to write a file, or name a new folder",
        "full": "is a folder with something in it; name a new one",
    }.items():
        with pytest.raises(InputError) as caught:
            ArrayWriter(tmp_path / name, 10, ROWS, {})
        assert caught.value.faults == (f"{tmp_path / name}: {fault}",)
