"""`scattermec user`: one user as a program of its own."""

from pathlib import Path
from typing import Annotated

import typer

from scattermec.cli import options
from scattermec.cli.checks import check_installed, check_output
from scattermec.counts import MOST_USERS


def user(
    bundle: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="From `scattermec export`, or a user's part of it.")
    ],
    index: Annotated[int, options.count("I", MOST_USERS - 1, "Which user; the first is 0.", least=0)],
    deadline: options.Deadline = 1.0,
    seconds: options.RunFor = None,
    form: options.Form = "cbor",
    lose: options.Lose = 0.0,
    connection: options.ConnectionFile = None,
    connect: options.ConnectionSettings = None,
    out: options.Out = None,
    as_json: options.Json = False,
) -> None:
    """Be one user: answer the access point in every frame, over a broker.

    In each frame it reports the workload and battery that it observes, and answers the access point's message
    with how it divides its slot and its work. Without a message in time it acts on the last one, or on its
    own battery alone. It does not need JAX.

    Examples:

        scattermec user bundle --index 0
        scattermec user bundle/users/2 --index 2 --connection keys/user-2.yaml
    """
    check_installed("user", "online")
    check_output(out)
    broker = options.load_connection(connection, connect)
    from scattermec.cli.jobs.online import run_user

    report = run_user(bundle, index, broker, deadline=deadline, seconds=seconds, form=form, lose=lose)
    report.put_out(as_json=as_json, out=out)
