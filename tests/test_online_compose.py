"""docs/compose.yaml names programs, options, extras and files that exist."""

import shlex
import tomllib
from pathlib import Path

import typer
import yaml

from scattermec import Scenario
from scattermec.cli.app import app
from scattermec.online.keys import make_keys

ROOT = Path(__file__).parent.parent
SERVICES = yaml.safe_load((ROOT / "docs/compose.yaml").read_text())["services"]


def steps(service):
    """The commands of a service, one after the other, as lists of words."""
    words = shlex.split(service["command"])
    line = words[2] if words[:2] == ["sh", "-c"] else service["command"]
    return [shlex.split(step) for step in line.split("&&")]


def parsed(words):
    """What the command line makes of a program's words, without running it: its name and options."""
    assert words[0] == "scattermec"
    group = typer.main.get_command(app)
    command = group.get_command(typer.Context(group), words[1])
    assert command is not None, words
    return words[1], command.make_context(words[1], words[2:]).params


def test_every_service_starts_a_program_that_takes_its_options(tmp_path):
    keys = tmp_path / "keys"
    users = Scenario().num_users
    make_keys(keys, users=users, hosts=["broker"], port=8883, network="scattermec")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    indices = []
    for name, service in SERVICES.items():
        assert all(volume.split(":")[1] in ("/source", "/bundle", "/keys") for volume in service["volumes"])
        *prepare, last = steps(service)
        if name == "broker":
            assert last[0] == "mosquitto"
            assert (keys / last[last.index("-c") + 1]).is_file()
            continue
        assert service["depends_on"] == ["broker"]
        (install,) = (step[-1] for step in prepare if step[:2] == ["pip", "install"])
        assert set(install[install.index("[") + 1 : -1].split(",")) <= set(extras)
        program, options = parsed(last)
        assert name.partition("-")[0] == program
        connection = Path(options["connection"])
        assert connection.parent == Path("/keys")
        assert (keys / connection.name).is_file()
        assert connection.stem == name
        indices += [options["index"]] if program == "user" else []
    assert indices == list(range(users))
