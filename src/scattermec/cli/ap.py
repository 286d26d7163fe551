"""`scattermec ap`: the access point as a program of its own."""

from pathlib import Path
from typing import Annotated

import typer

from scattermec._compilation import start_jax
from scattermec.cli import options
from scattermec.cli.checks import check_installed, check_output, hold_output
from scattermec.online.bundle import AP_ACTOR_PART, manifest_of


def ap(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="From `scattermec export`.")],
    deadline: options.Deadline = 1.0,
    state: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep the last state here, and go on with it after a restart."),
    ] = None,
    seconds: options.RunFor = None,
    form: options.Form = "cbor",
    lose: options.Lose = 0.0,
    connection: options.ConnectionFile = None,
    connect: options.ConnectionSettings = None,
    out: options.Out = None,
    as_json: options.Json = False,
) -> None:
    """Be the access point: decide beams in every frame, over a broker.

    In each frame it collects the users' reports, decides by the networks of the bundle, sends each user its
    message, collects the answers, and lets the radio play. At the end it prints what it has done and refused,
    and the latency of its decisions.

    It does not need JAX, unless the bundle is that of a run of h-maddpg-opt: then it estimates what the users
    will do by problem (10), and lets the radio play their reports or its estimate (lines 14 to 19 of
    Algorithm 1).

    Examples:

        scattermec ap bundle
        scattermec ap bundle --state ap.json --connection keys/ap.yaml
    """
    check_installed("ap", "online")
    if manifest_of(bundle).get("part") == AP_ACTOR_PART:
        check_installed("ap of a run of h-maddpg-opt", "learning")
        start_jax()
    check_output(out)
    if state is not None:
        hold_output(state)
    broker = options.load_connection(connection, connect)
    from scattermec.cli.jobs.online import run_ap

    report = run_ap(bundle, broker, deadline=deadline, state=state, seconds=seconds, form=form, lose=lose)
    report.put_out(as_json=as_json, out=out)
