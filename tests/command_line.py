"""Running the command line within the tests' process."""

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
