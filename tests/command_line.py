"""Running the command line within the tests' process."""

import contextlib
import fcntl

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


@contextlib.contextmanager
def held(lock):
    """A lock file held as by another process: what holds it is the open file."""
    with lock.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
