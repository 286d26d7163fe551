"""`scattermec keys`: certificates and access rules."""

from pathlib import Path
from typing import Annotated

import typer

from scattermec.cli import options
from scattermec.cli.checks import check_installed
from scattermec.counts import MOST_USERS


def keys(
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder.")],
    users: Annotated[int, options.count("N", MOST_USERS, "Number of users.")] = 3,
    host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Name or address of the broker, by default localhost. Repeatable; devices use the first.",
        ),
    ] = None,
    port: Annotated[int, options.count("P", 65535, "The broker's port.")] = 8883,
    network: Annotated[str, typer.Option(metavar="NAME", help="First level of all topics.")] = "scattermec",
    as_json: options.Json = False,
) -> None:
    """Make certificates for all devices, and the broker's access rules.

    The folder gets an authority of its own, a certificate for the broker and for each device, mosquitto.conf
    and access.acl for the broker, and for each device a file for `--connection`. With them a user can neither
    read nor write another's topics. Give each device its own four files only: NAME.yaml, NAME.crt, NAME.key
    and authority.crt. The authority's own key is not kept.

    Examples:

        scattermec keys keys --users 3
        scattermec keys keys --users 50 --host broker.example --host 192.168.1.20
    """
    check_installed("keys", "online")
    from scattermec.cli.jobs.keys import run

    run(out, users=users, hosts=host or ["localhost"], port=port, network=network).put_out(as_json=as_json)
