"""Outputs: one writer at a time, nothing left behind by those that ended, and a full disk names the file."""

import errno
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from command_line import held, refused, run
from scattermec.errors import BusyError
from scattermec.storage import ArrayWriter, atomic, replace_text
from scattermec.storage.atomic import replacing, writing

ROWS = {"energy": ((), np.dtype("f8"))}


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.txt"
    replace_text(path, "one")

    def interrupted():
        with replacing(path) as partial:
            partial.write_text("tw")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "one"
    replace_text(path, "two\r\n")
    assert path.read_bytes() == b"two\r\n"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_locks_may_be_nested_and_are_removed(tmp_path):
    path = tmp_path / "a.txt"
    with writing(path), writing(path):
        replace_text(path, "one")
        assert (tmp_path / ".a.txt.lock").exists()
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_second_writer_is_refused(tmp_path):
    for lock, write in {
        ".a.txt.lock": lambda: replace_text(tmp_path / "a.txt", "two"),
        ".s.npz.lock": lambda: ArrayWriter(tmp_path / "s.npz", 1, ROWS, {}).__enter__(),
        ".s.lock": lambda: ArrayWriter(tmp_path / "s", 1, ROWS, {}).__enter__(),
    }.items():
        with held(tmp_path / lock), pytest.raises(BusyError, match="another process is writing there"):
            write()
        (tmp_path / lock).unlink()
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("lock", "arguments"),
    [
        (".o.json.lock", ("simulate", "--out", "o.json")),
        (".o.json.lock", ("evaluate", "mrt", "--out", "o.json")),
        (".o.json.lock", ("horizon", "--out", "o.json")),
        (".s.npz.lock", ("solve", "f.npz", "--out", "s.npz")),
        (".lock", ("reproduce", "--out", ".")),
        (".lock", ("report", ".")),
    ],
)
def test_commands_refuse_an_output_that_is_being_written(tmp_path, monkeypatch, lock, arguments):
    monkeypatch.chdir(tmp_path)
    np.savez("f.npz", channels=np.ones((1, 1, 1)) * 1e-3j, workload=np.ones((1, 1)), battery=np.ones((1, 1)))
    with held(tmp_path / lock):
        (line,) = refused(*arguments)
    assert line == f"{arguments[-1]}: another process is writing there; wait for its end"


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path):
    (tmp_path / ".s.npz.lock").touch()
    (tmp_path / ".s.npz.partial").mkdir()
    (tmp_path / ".s.npz.partial" / "energy.npy").touch()
    (tmp_path / ".a.txt.partial").touch()
    with ArrayWriter(tmp_path / "s.npz", 1, ROWS, {}) as writer:
        writer.append({"energy": np.ones(1)})
    replace_text(tmp_path / "a.txt", "")
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "s.npz"]


def test_a_full_disk_names_the_file_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    path = tmp_path / "s.npz"
    with pytest.raises(OSError, match="No space left") as caught, ArrayWriter(path, 1, ROWS, {}) as writer:
        writer.append({"energy": np.ones(1)})
    assert caught.value.filename == str(path)
    with pytest.raises(OSError, match="No space left") as caught:
        replace_text(tmp_path / "a.txt", "")
    assert caught.value.filename == str(tmp_path / "a.txt")
    assert not os.listdir(tmp_path)


def test_partial_files_of_ended_processes_are_discarded(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in (".a.partial", "deep/.b.npz.partial", "deep/.b.npz.lock", "deep/kept.npz"):
        (tmp_path / name).touch()
    atomic.discard_partials(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["deep"]
    assert os.listdir(tmp_path / "deep") == ["kept.npz"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_terminated_and_killed_work_leaves_nothing_for_long(tmp_path):
    rng = np.random.default_rng(0)
    channels = rng.normal(size=(300_000, 3, 1)) * (1e-2 + 1e-2j)
    numbers = rng.uniform(0, 0.1, (300_000, 3))
    np.savez(tmp_path / "frames.npz", channels=channels, workload=numbers, battery=numbers)
    command = [sys.executable, "-m", "scattermec", "solve", "frames.npz", "--out", "s.npz"]
    for number, status in ((signal.SIGKILL, -signal.SIGKILL), *[(signal.SIGTERM, 143)] * 2):
        begun = time.time_ns()
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 120
        # Of a killed one there is a folder already, whose files are made anew.
        while not any(f.stat().st_mtime_ns > begun for f in (tmp_path / ".s.npz.partial").glob("energy.npy")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(2 if number == signal.SIGTERM else 0)
        # On a busy machine it could come to its end before the second one begins.
        process.send_signal(signal.SIGSTOP)
        second = refused("solve", tmp_path / "frames.npz", "--out", tmp_path / "s.npz")
        assert second == [f"{tmp_path / 's.npz'}: another process is writing there; wait for its end"]
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (status, b"", b"")
    assert os.listdir(tmp_path) == ["frames.npz"]


def test_brackets_in_a_name_are_no_markup(tmp_path):
    path = tmp_path / "f.npz"
    np.savez(path, channels=np.ones((1, 1, 1)) * 1e-2j, workload=np.ones((1, 1)), battery=np.ones((1, 1)))
    assert "[bold]x[" in run("solve", path, "--out", tmp_path / "[bold]x[.npz").stdout.replace("\n", "")


def test_what_is_unfinished_can_be_abandoned(tmp_path):
    (tmp_path / "run").mkdir()
    with writing(tmp_path / "run", inside=True), replacing(tmp_path / "a.txt") as partial:
        for path in (partial, tmp_path / "run" / ".c.npz.partial"):
            path.touch()
        atomic.abandon()
        assert os.listdir(tmp_path) == ["run"]
        assert not os.listdir(tmp_path / "run")
        partial.touch()
