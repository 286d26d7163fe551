"""`scattermec calibrate`: constants under which the paper's claims hold."""

from pathlib import Path
from typing import Annotated

import typer

from scattermec import _processes
from scattermec._compilation import start_jax
from scattermec.cli import options
from scattermec.cli.checks import check_installed, check_output, hold_output
from scattermec.cli.where import Where
from scattermec.storage.atomic import check_own_folder


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
    start: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Also search from this scenario, as one that an earlier calibration found. Repeatable.",
        ),
    ] = None,
    known: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Also judge this scenario at the end, so that the result is not worse. Repeatable.",
        ),
    ] = None,
    seed: options.Seed = 0,
    engine: options.Engine = "local",
    processes: options.Processes = None,
    address: options.Address = None,
    jobs: options.Jobs = 1000,
    time: options.Time = "08:00:00",
    memory: options.Memory = "2G",
    prologue: options.Prologue = "",
    launcher: options.Launcher = "",
    index: options.Index = None,
    out: options.Out = None,
    scenario: options.ScenarioFile = None,
    settings: options.Settings = None,
    as_json: options.Json = False,
) -> None:
    """Search for the constants under which most of the paper's claims on Fig. 3 and 4 hold.

    The paper gives neither bandwidth nor noise nor most other constants, nor, in its text, where the sweeps
    of these figures end, nor what becomes of frames that cannot serve everyone. Each has a declared range.
    Scenarios are sampled evenly over these, then searched for (CMA-ES, from the best samples) by margins: how
    far the exact optima with MRT beams are from each condition of each claim. Every generation of a search
    has frames of its own. What looks best is checked on other frames, then searched around with more of them;
    the best are judged like a reproduction, with MRT and with optimal beams, on frames that no search has
    used. For pairs of claims not seen to hold together there are searches of their own.

    Tables show the claims in the scenario found and over the ranges, which claims exclude which, and the
    constants beside published figures. DIR gets the scenario found (scenario.yaml), every evaluated scenario
    (evaluated/*.csv), and the record (calibration.json). All cores are used; the full search takes about an
    hour on two. An interrupted calibration continues when the same command is given again, also with another
    engine. With Slurm or Ray, all machines must see DIR; each stage of the search is an array of its own, and
    the command waits for it.

    The scenario found by the shipped calibration is `--scenario paper` in all commands.

    Examples:

        scattermec calibrate --quick
        scattermec calibrate results/calibration --start scattermec-1/paper --known paper
        scattermec calibrate results/calibration --engine slurm
        scattermec calibrate --shipped --out tables.md
    """
    check_output(out)
    base = options.load_scenario(scenario, settings)
    given = {"--start": start or [], "--known": known or []}
    starts, judged = (tuple(options.load_scenario(path, None) for path in paths) for paths in given.values())
    array = options.slurm_settings(jobs, time, memory, prologue, launcher, index)
    if not shipped:
        check_installed("calibrate", "calibration", *(["ray"] if engine == "ray" else []))
        folder = folder or Path("runs") / ("calibration-quick" if quick else "calibration")
        check_own_folder(folder, "settings.json")
        folder.mkdir(parents=True, exist_ok=True)
        if index is None:
            hold_output(folder, folder=True)
    _processes.use_one_thread()
    start_jax()
    from scattermec.cli.jobs import calibrate as job

    where = Where(engine, address, processes, array, index)
    words = [word for option, paths in given.items() for path in paths for word in (option, str(path))]
    words += options.scenario_words(scenario, settings)
    if shipped:
        report = job.show()
    elif index is not None:
        with _processes.leaving_on_signals():
            job.run_share(folder or Path(), base, starts, judged, where, quick=quick, seed=seed)
        return
    else:
        report = job.run(
            folder or Path(), base, starts, judged, words, where, quick=quick, seed=seed, quiet=as_json
        )
    report.put_out(as_json=as_json, out=out)
