"""`scattermec reproduce`: the paper's figures, and whether its claims hold."""

from pathlib import Path
from typing import Annotated

import typer

from scattermec import _processes
from scattermec._compilation import start_jax
from scattermec.cli import options
from scattermec.cli.checks import check_installed, check_rectifier, choices, hold_output
from scattermec.cli.where import Where
from scattermec.counts import MOST_FRAMES, MOST_SEEDS
from scattermec.errors import InputError
from scattermec.experiments.studies import NAMES

KINDS = ("mrt", "random", "optimal")
"""Kinds of beams."""

FIGURES = ",".join(NAMES)
BEAMS = "mrt,optimal"


def reproduce(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for figures, data and verdicts.")],
    figures: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Figures of the paper, separated by commas, and further studies: beams compares "
            "MRT, random and optimal beams; frame draws one frame under each; learned is Fig. 3 and 4 with "
            "learned beams; named judges the claims in the other scenarios that come with the "
            "package, ranges for other constants; knowledge compares policies "
            "that know channels or workloads imperfectly.",
        ),
    ] = FIGURES,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer points, seeds and frames; the same pages.")
    ] = False,
    complete: Annotated[
        bool,
        typer.Option(
            "--complete",
            help="Fig. 2 for every learner, preset and form of the users' actions, not only the paper's "
            "learners.",
        ),
    ] = False,
    frames: Annotated[
        int | None, options.count("K", MOST_FRAMES, "Frames per point.  [default: 2000, quick: 256]")
    ] = None,
    seed: options.Seed = 0,
    beams: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Kinds of beams for which the paper's figures are drawn and its claims judged, separated by "
            "commas: mrt, random, optimal.",
        ),
    ] = BEAMS,
    scenario: options.ScenarioFile = None,
    settings: options.Settings = None,
    engine: options.Engine = "local",
    processes: options.Processes = None,
    address: options.Address = None,
    jobs: options.Jobs = 1000,
    time: options.Time = "08:00:00",
    memory: options.Memory = "4G",
    prologue: options.Prologue = "",
    launcher: options.Launcher = "",
    index: options.Index = None,
    seeds: Annotated[
        int | None, options.count("N", MOST_SEEDS, "Seeds of a training run.  [default: 20, quick: 4]")
    ] = None,
    training_frames: Annotated[
        int | None, options.count("K", MOST_FRAMES, "Frames each seed trains.  [default: 10000, quick: 2000]")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start anew, discarding the results in the folder.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Draw the paper's figures, and judge each of its claims.

    The scenario is `paper` unless another is given. Fig. 2 comes from training runs of its two learners, in
    the presets of `scattermec train` (with --quick without `tuned`); the runs stay in the folder. Fig. 3 and
    4 come from exact optima: each is drawn for every kind of beams, and for beams that an access point
    learned at every point (ap-ddpg). A further figure compares beams: efficiency and outage with MRT, random
    and optimal beams, beside certified limits for all beams. Tables say how often each claim holds for other
    values of the constants that the paper does not give, and how good estimate and learning are when channels
    or workloads are known with errors.

    Every point there averages independent frames, the same for all points, schemes and beams: a battery
    drawn from the scenario's initial_battery, new work, everyone served where that is possible, else the
    set of users with the highest reward. The folder gets each figure as SVG, PDF and PNG, the data as a tidy
    table, the verdicts, and the report: index.html, one page that needs no network, and index.md.

    Optimal beams need harvest_model: linear; for another rectifier choose --beams mrt, and --figures without
    beams and knowledge.

    An interrupted run continues when the same command is given again, also with another engine. Results are
    the same on each, to the digit. With Slurm or Ray, all machines must see DIR; the command waits for the
    jobs, then draws.

    Examples:

        scattermec reproduce --out results --quick
        scattermec reproduce --out results --complete --engine slurm --jobs 100
        scattermec reproduce --out learning --figures 2a,2b --seeds 8
        scattermec reproduce --out weak --figures 3a,4b --beams mrt --set ap_power=0.5 --seed 7
    """
    chosen = options.load_scenario(scenario or Path("paper"), settings)
    wanted = choices("figures", figures, NAMES)
    kinds = choices("beams", beams, KINDS)
    # These include optimal beams.
    optimal = "optimal" in kinds or bool({"beams", "knowledge"} & set(wanted))
    check_rectifier(chosen, optimal)
    if out.exists() and not out.is_dir():
        raise InputError([f"{out}: is not a folder"])
    on_ray = ["ray"] if engine == "ray" else []
    check_installed("reproduce", "report", "figures", "learning", *on_ray)
    array = options.slurm_settings(jobs, time, memory, prologue, launcher, index)
    out.mkdir(parents=True, exist_ok=True)
    if index is None:
        hold_output(out, folder=True)
    # As in `train`, so that the report's `train` commands give the same digits.
    _processes.use_one_thread()
    start_jax()
    from scattermec.cli.jobs import reproduce as job

    plan = job.Plan(
        scenario=chosen,
        frames=frames or (job.QUICK_FRAMES if quick else job.FRAMES),
        seed=seed,
        beams=tuple(kinds),
        quick=quick,
        wanted=tuple(wanted),
        complete=complete,
        seeds=seeds,
        training_frames=training_frames,
    )
    where = Where(engine, address, processes, array, index)
    if index is not None:
        with _processes.leaving_on_signals():
            job.run_share(plan, out, where)
        return
    words = options.scenario_words(scenario or Path("paper"), settings)
    report = job.run(plan, out, words, where, overwrite=overwrite, optimal_beams=optimal, quiet=as_json)
    report.put_out(as_json=as_json)
