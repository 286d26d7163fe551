"""`scattermec demo`: whole systems to watch."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from scattermec._compilation import start_jax
from scattermec.cli import options
from scattermec.cli.checks import check_installed, check_output
from scattermec.counts import MOST_FRAMES
from scattermec.errors import InputError

MOST_USERS = 64
"""Processes on one machine."""


def demo(
    system: Annotated[Literal["online"], typer.Argument(metavar="online", help="The only one there is.")],
    users: Annotated[int, options.count("N", MOST_USERS, "Number of users.")] = 3,
    frames: Annotated[int, options.count("K", MOST_FRAMES, "Frames to play.")] = 100,
    period: options.Period = 0.1,
    deadline: options.Deadline = 1.0,
    bundle: Annotated[
        Path | None,
        typer.Option(
            metavar="BUNDLE",
            help="From `scattermec export`; by default price-net is exported for 3 users, and "
            "price-net-varied for other numbers.",
        ),
    ] = None,
    compare: options.Compare = True,
    independent: options.Independent = False,
    seed: options.Seed = 0,
    out: options.Out = None,
    as_json: options.Json = False,
) -> None:
    """Run broker, radio, access point and users on this machine, and watch them.

    Each is a process of its own, and they talk over a Mosquitto that is started for them. A table shows what
    happens, frame by frame, and a summary follows. Needs mosquitto, and the extras `export` and `online`.

    Examples:

        scattermec demo online
        scattermec demo online --users 10 --frames 50 --period 0
    """
    check_installed("demo", "learning", "online", "export")
    from scattermec.online.broker import check_broker

    check_broker()
    if bundle is not None and not (bundle / "scenario.yaml").is_file():
        raise InputError([f"{bundle}: is no bundle; `scattermec export` makes one"])
    check_output(out)
    if bundle is None:
        start_jax()
    from scattermec.cli.jobs.demo import run

    report = run(
        bundle,
        users=users,
        frames=frames,
        period=period,
        deadline=deadline,
        compare=compare,
        independent=independent,
        seed=seed,
        quiet=as_json,
    )
    report.put_out(as_json=as_json, out=out)
