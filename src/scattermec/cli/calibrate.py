"""`scattermec calibrate`: constants under which the paper's claims hold."""

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from scattermec import _processes
from scattermec._compilation import start_jax
from scattermec.cli import options
from scattermec.cli.checks import check_installed, check_output, hold_output
from scattermec.storage.atomic import check_own_folder


class EngineName(StrEnum):
    """What computes."""

    LOCAL = "local"
    RAY = "ray"


def calibrate(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR",
            help="Folder of the search.  [default: runs/calibration, quick: runs/calibration-quick]",
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A toy size of two minutes: it shows the work, and finds little.")
    ] = False,
    shipped: Annotated[
        bool,
        typer.Option(
            "--shipped", help="Show what the calibration found that comes with the package; compute nothing."
        ),
    ] = False,
    seed: options.Seed = 0,
    engine: Annotated[
        EngineName,
        typer.Option(
            help="All cores of this machine; or Ray, whose machines must all see DIR. It needs the extra "
            "`ray`."
        ),
    ] = EngineName.LOCAL,
    address: options.Address = None,
    out: options.Out = None,
    scenario: options.ScenarioFile = None,
    settings: options.Settings = None,
    as_json: options.Json = False,
) -> None:
    """Search for the constants under which most of the paper's claims on Fig. 3 and 4 hold.

    The paper gives neither bandwidth nor noise nor most other constants. Each has a declared range. Scenarios
    are sampled evenly over these, then searched for (CMA-ES, from the best samples) by margins: how far the
    exact optima with MRT beams are from each condition of each claim. The best are searched around with more
    frames, and the best of these are judged like a reproduction, with MRT and with optimal beams, on frames
    that no search has used. For pairs of claims not seen to hold together there are searches of their own.

    Tables show the claims in the scenario found and over the ranges, which claims exclude which, and the
    constants beside published figures. DIR gets the scenario found (scenario.yaml), every evaluated scenario
    (evaluated/*.csv), and the record (calibration.json). An interrupted calibration continues when the same
    command is given again. All cores are used; the full search takes about an hour on two.

    The scenario found by the shipped calibration is `--scenario paper` in all commands.

    Examples:

        scattermec calibrate --quick
        scattermec calibrate results/calibration --seed 1
        scattermec calibrate --shipped --out tables.md
    """
    check_output(out)
    base = options.load_scenario(scenario, settings)
    if not shipped:
        check_installed("calibrate", "calibration", *(["ray"] if engine is EngineName.RAY else []))
        folder = folder or Path("runs") / ("calibration-quick" if quick else "calibration")
        check_own_folder(folder, "settings.json")
        folder.mkdir(parents=True, exist_ok=True)
        hold_output(folder, folder=True)
    _processes.use_one_thread()
    start_jax(lightly=True)
    from scattermec.cli.jobs.calibrate import run, show

    on_ray = engine is EngineName.RAY
    if shipped:
        report = show()
    else:
        work = partial(run, folder or Path(), base, quick=quick, seed=seed, quiet=as_json)
        report = work(on_ray=on_ray, address=address)
    report.put_out(as_json=as_json, out=out)
