"""`scattermec sweep run`, `status`, `merge`, `table` and `plot`: many scenarios, on one machine or many."""

from pathlib import Path
from typing import Annotated

import typer

from scattermec import _processes
from scattermec._compilation import start_jax
from scattermec.cli import options
from scattermec.cli.checks import check_installed, check_output
from scattermec.cli.where import Where
from scattermec.errors import InputError

PICTURES = (".png", ".pdf", ".svg")

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of `scattermec sweep run --out`.")]


def sweep_run(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="The plan, in YAML or JSON.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the results.")],
    engine: options.Engine = "local",
    processes: options.Processes = None,
    address: options.Address = None,
    jobs: options.Jobs = 1000,
    time: options.Time = "01:00:00",
    memory: options.Memory = "2G",
    prologue: options.Prologue = "",
    launcher: options.Launcher = "",
    index: options.Index = None,
    optimise: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC",
            help="Search the ranges of the plan for the largest mean of this metric, by Optuna; needs the "
            "extra `search`.",
        ),
    ] = None,
    smallest: Annotated[
        bool, typer.Option("--smallest", help="With --optimise: search for the smallest mean.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Only say how much there is to compute, and how long it takes, from a sample."
        ),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Compute a job for every scenario, draw and seed of a plan, or what is missing of them.

    The plan says what varies: a grid of constants, points one by one, draws from ranges, and seeds. Scenarios
    of the same shapes are computed together, in one program. DIR gets one Parquet file for each such group,
    as they are done; pandas, polars and DuckDB can read DIR/results at any time.

    A sweep that was interrupted, even killed, goes on when the same command is given again, also with another
    engine. Results are the same on each, to the digit. Needs the extra `learning`.

    Examples:

        scattermec sweep run plan.yaml --out runs/sweep --dry-run
        scattermec sweep run plan.yaml --out runs/sweep
        scattermec sweep run plan.yaml --out runs/sweep --engine slurm --time 00:30:00
        scattermec sweep run plan.yaml --out runs/search --optimise reward
    """
    extras = {"ray": engine == "ray", "search": optimise is not None and not dry_run}
    check_installed("sweep", "learning", *(extra for extra, needed in extras.items() if needed))
    if optimise is not None and engine == "slurm":
        raise InputError(["engine: slurm is not allowed with --optimise; it must be local or ray"])
    array = options.slurm_settings(jobs, time, memory, prologue, launcher, index)
    where = Where(engine, address, processes, array, index)
    _processes.use_one_thread()
    from scattermec.experiments.sweep.plan import Plan

    chosen = Plan.load(plan)
    if chosen.job == "horizon":
        check_installed("horizon", "bench")
    start_jax()
    from scattermec.cli.jobs import sweep as job

    if dry_run:
        report = job.dry_run(chosen, out, processes, jobs if engine == "slurm" else None)
    elif index is not None:
        with _processes.leaving_on_signals():
            report = job.run_share(chosen, out, where)
    elif engine == "slurm":
        report = job.submit(chosen, out, where)
    elif optimise is not None:
        report = job.optimise(chosen, out, where, optimise, smallest=smallest, quiet=as_json)
    else:
        report = job.run(chosen, out, where, quiet=as_json)
    report.put_out(as_json=as_json)


def sweep_status(folder: Folder, as_json: options.Json = False) -> None:
    """Say how much of a sweep is done, and how long the rest takes at the present rate.

    Example:

        scattermec sweep status runs/sweep
    """
    from scattermec.cli.jobs.sweep import status

    check_installed("sweep", "learning")
    status(folder).put_out(as_json=as_json)


def sweep_merge(folder: Folder, as_json: options.Json = False) -> None:
    """Check all results of a sweep, and write them into one file, DIR/merged.parquet.

    Every task must be there once, with the hash of its scenario, settings and seed. Of an unfinished sweep,
    what is there is merged.

    Example:

        scattermec sweep merge runs/sweep
    """
    from scattermec.cli.jobs.sweep import merge

    check_installed("sweep", "learning")
    merge(folder, quiet=as_json).put_out(as_json=as_json)


def sweep_table(
    folder: Folder,
    quantities: Annotated[
        str, typer.Option("--show", metavar="LIST", help="What the job measures, separated by commas.")
    ],
    out: options.Out = None,
    as_json: options.Json = False,
) -> None:
    """Tabulate quantities of a sweep for each combination of its constants, from what is done.

    Where several tasks have the same constants, such as seeds, their mean is shown with its 95% interval.

    Example:

        scattermec sweep table runs/sweep --show reward,outage --out table.md
    """
    check_installed("sweep", "learning")
    check_output(out)
    names = [name.strip() for name in quantities.split(",")]
    from scattermec.cli.jobs.sweep import tabulate

    tabulate(folder, names).put_out(as_json=as_json, out=out)


def sweep_plot(
    folder: Folder,
    x: Annotated[str, typer.Option("--x", metavar="NAME", help="The constant on the horizontal axis.")],
    y: Annotated[str, typer.Option("--y", metavar="NAME", help="The quantity on the vertical axis.")],
    hue: Annotated[
        str | None, typer.Option(metavar="NAME", help="The constant or label that colours stand for.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A .png, .pdf or .svg file.  [default: DIR/Y-over-X.png]"),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Draw one quantity of a sweep over one of its constants, from what is done so far.

    Where several tasks have the same x and colour, such as seeds, their mean is drawn with its 95% interval.
    Needs the extra `figures`.

    Example:

        scattermec sweep plot runs/sweep --x ap_power --y energy_efficiency --hue num_antennas
    """
    check_installed("sweep", "learning", "figures")
    if out is not None and out.suffix not in PICTURES:
        raise InputError([f"{out}: its name must end in {', '.join(PICTURES[:-1])} or {PICTURES[-1]}"])
    from scattermec.cli.jobs.sweep import plot

    plot(folder, x, y, hue, out).put_out(as_json=as_json)
