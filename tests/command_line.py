"""Running the command line within the tests' process."""

import contextlib
import fcntl
import os
import stat
import sys
from pathlib import Path

from typer.testing import CliRunner

from scattermec.cli.app import app


def run(*arguments, status=0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == status, result.output
    return result


def refused(*arguments):
    result = run(*arguments, status=2)
    assert not result.stdout
    return result.stderr.splitlines()


def stand_in_for_slurm(folder, monkeypatch, kept):
    """Put `fake_sbatch.py` where `sbatch` would be; ``kept`` is the first file of job 0, as a pattern."""
    bin_folder, queue = folder / "bin", folder / "queue"
    bin_folder.mkdir()
    sbatch = f'exec {sys.executable} {Path(__file__).parent / "fake_sbatch.py"} "$@"'
    for name, line in (("sbatch", sbatch), ("scontrol", f'echo "$@" >> {queue}')):
        path = bin_folder / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{bin_folder}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_QUEUE", str(queue))
    monkeypatch.setenv("FAKE_KEPT", kept)


@contextlib.contextmanager
def held(lock):
    """A lock file held as by another process: what holds it is the open file."""
    with lock.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
