"""The work of `scattermec keys`."""

from pathlib import Path

from scattermec.cli.output import Report
from scattermec.online.connection import Connection
from scattermec.online.keys import make_keys


def run(folder: Path, *, users: int, hosts: list[str], port: int, network: str) -> Report:
    """Make keys; raises InputError for a network that is no name, and for a folder that is not empty."""
    Connection(network=network)
    names = make_keys(folder, users=users, hosts=hosts, port=port, network=network)
    return Report(
        data={"folder": str(folder), "devices": names, "hosts": hosts, "port": port, "network": network},
        notes=[
            f"{folder}: keys for {', '.join(names)}, and the broker's",
            f"The broker:  cd {folder} && mosquitto -c mosquitto.conf",
            f"A device:    scattermec user BUNDLE --index 0 --connection {folder / 'user-0.yaml'}",
        ],
    )
