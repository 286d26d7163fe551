"""`scattermec export`: a trained price-net for devices."""

from pathlib import Path
from typing import Annotated

import typer

from scattermec._compilation import start_jax
from scattermec.cli import options
from scattermec.cli.checks import check_installed, check_own_folder, check_policy
from scattermec.counts import MOST_FRAMES
from scattermec.online.bundle import MANIFEST
from scattermec.price_net import SHIPPED


def export(
    policy: options.PriceNet,
    out: Annotated[
        Path, typer.Option(metavar="BUNDLE", help="Folder to write; an older bundle is replaced.")
    ],
    int8: Annotated[
        bool, typer.Option("--int8", help="Hold the weights of the AP's networks in 8 bits.")
    ] = False,
    frames: Annotated[int, options.count("K", MOST_FRAMES, "Frames to compare on.")] = 500,
    seed: options.Seed = 0,
    scenario: options.ScenarioFile = None,
    settings: options.Settings = None,
    as_json: options.Json = False,
) -> None:
    """Write a trained price-net as a bundle that devices can run without JAX.

    The bundle has the networks of the access point (AP) as ONNX, and each user's part in Python and in C; the
    mode is decentralised. It is for one scenario, by default that of the training. At the end it is compared
    with the policy on independent frames.

    Examples:

        scattermec export price-net --out bundle
        scattermec export runs/price-net --out bundle --int8 --frames 10000 --json
    """
    check_installed("export", "learning", "online", "export")
    check_policy(policy)
    check_own_folder(out, MANIFEST)
    given = options.load_scenario(scenario, settings) if policy in SHIPPED or scenario else None
    start_jax(lightly=True)
    from scattermec.cli.jobs.export import run

    report = run(policy, given, settings or [], out, int8=int8, frames=frames, seed=seed, quiet=as_json)
    report.put_out(as_json=as_json)
