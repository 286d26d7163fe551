"""`scattermec export`: a trained policy for devices."""

from pathlib import Path
from typing import Annotated

import typer

from scattermec._compilation import start_jax
from scattermec.cli import options
from scattermec.cli.checks import check_installed, is_price_net
from scattermec.counts import MOST_FRAMES, MOST_SEED
from scattermec.errors import InputError
from scattermec.online.bundle import MANIFEST
from scattermec.price_net import SHIPPED, unknown_policy
from scattermec.storage.atomic import check_own_folder


def export(
    policy: Annotated[
        str,
        typer.Argument(
            metavar="POLICY|RUN",
            help="price-net, price-net-varied or price-net-robust, as shipped; or the folder of a training "
            "run of price-net or h-maddpg-opt.",
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="BUNDLE", help="Folder to write; an older bundle is replaced.")
    ],
    int8: Annotated[
        bool, typer.Option("--int8", help="Hold the weights of price-net's networks in 8 bits.")
    ] = False,
    of_seed: Annotated[
        int | None,
        options.count(
            "S",
            MOST_SEED,
            "Seed of the run of h-maddpg-opt whose learner is exported; the first one.",
            least=0,
        ),
    ] = None,
    frames: Annotated[int, options.count("K", MOST_FRAMES, "Frames to compare on.")] = 500,
    seed: options.Seed = 0,
    scenario: options.ScenarioFile = None,
    settings: options.Settings = None,
    as_json: options.Json = False,
) -> None:
    """Write a trained policy as a bundle that devices can run without JAX.

    The bundle of price-net has the networks of the access point (AP) as ONNX, and each user's part in
    Python and in C; the mode is decentralised. It is for one scenario, by default that of the training. At
    the end it is compared with the policy on independent frames.

    With price-net-robust, or a run with knowledge=varied, the mode is repaired: the AP takes the scenario's
    csi_error and workload_error for what it does not know, and users decide when their own slots come.

    That of a run of h-maddpg-opt (Algorithm 1) has the AP's actor and its value as ONNX, and each user's
    actor as ONNX and in C. It is for the run's own scenario.

    Examples:

        scattermec export price-net --out bundle
        scattermec export price-net-robust --set csi_error=0.1 --out bundle
        scattermec export runs/price-net --out bundle --int8 --frames 10000 --json
        scattermec export runs/h-maddpg-opt-paper --out actors --of-seed 3
    """
    check_installed("export", "learning", "online", "export")
    of_price_net = is_price_net(policy)
    if not of_price_net:
        _check_run(policy, int8=int8, others=bool(scenario or settings))
    elif of_seed is not None:
        raise InputError(["--of-seed: is for runs of h-maddpg-opt; price-net has one seed"])
    check_own_folder(out, MANIFEST)
    given = options.load_scenario(scenario, settings) if policy in SHIPPED or scenario else None
    start_jax()
    from scattermec.cli.jobs.export import run, run_learner

    if of_price_net:
        report = run(policy, given, settings or [], out, int8=int8, frames=frames, seed=seed, quiet=as_json)
    else:
        report = run_learner(policy, out, of_seed=of_seed, frames=frames, seed=seed)
    report.put_out(as_json=as_json)


def _check_run(name: str, *, int8: bool, others: bool) -> None:
    if not Path(name).is_dir():
        raise unknown_policy(name)
    if int8 or others:
        raise InputError(
            ["--int8, --scenario, --set: are for price-net; other runs are exported as they were trained"]
        )
