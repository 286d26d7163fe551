"""`scattermec radio`: the physical world as a program of its own."""

from pathlib import Path
from typing import Annotated

import typer

from scattermec._compilation import start_jax
from scattermec.cli import options
from scattermec.cli.checks import check_installed, check_output, check_rectifier
from scattermec.counts import MOST_FRAMES


def radio(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SCENARIO", help="default, paper, a file in YAML or JSON, or a bundle, for its scenario."
        ),
    ] = "default",
    frames: Annotated[int, options.count("K", MOST_FRAMES, "Frames to play.")] = 100,
    period: options.Period = 0.0,
    deadline: options.Deadline = 1.0,
    wait: Annotated[
        float,
        options.seconds("S", "Most s to wait for the access point and all users before the first frame."),
    ] = 60.0,
    compare: options.Compare = True,
    independent: options.Independent = False,
    seed: options.Seed = 0,
    settings: options.Settings = None,
    form: options.Form = "cbor",
    lose: options.Lose = 0.0,
    connection: options.ConnectionFile = None,
    connect: options.ConnectionSettings = None,
    out: options.Out = None,
    as_json: options.Json = False,
) -> None:
    """Be the physical world: show every device its part of each frame, and play what they decide.

    Frames are drawn as the simulator draws them, and played by the same code. Each user is shown its own
    workload, battery and channel gain, and the access point the channels. Batteries and backlogs carry over.
    At the end it prints what was achieved, next to the optimum of the same frames.

    Examples:

        scattermec radio default --frames 1000
        scattermec radio bundle --period 0.1 --connection keys/radio.yaml
        scattermec radio paper --set ap_power=2 --no-compare
    """
    check_installed("radio", "online")
    path = Path(source) / "scenario.yaml" if Path(source).is_dir() else Path(source)
    chosen = options.load_scenario(path, settings)
    check_rectifier(chosen, compare)
    check_output(out)
    broker = options.load_connection(connection, connect)
    start_jax()
    from scattermec.cli.jobs.radio import run_radio

    report = run_radio(
        chosen,
        broker,
        frames=frames,
        period=period,
        deadline=deadline,
        wait=wait,
        compare=compare,
        independent=independent,
        seed=seed,
        form=form,
        lose=lose,
    )
    report.put_out(as_json=as_json, out=out)
