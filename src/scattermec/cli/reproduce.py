"""`scattermec reproduce`: the paper's figures, and whether its claims are borne out."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scattermec._compilation import start_jax
from scattermec.cli.common import (
    Beams,
    JsonOption,
    ScenarioOption,
    SeedOption,
    SetOption,
    check_rectifier,
    hold_output,
    load_scenario,
    progress,
    to_json,
    warn_of,
    warn_without_kernel,
)
from scattermec.cli.report import check_extras
from scattermec.counts import MOST_FRAMES, MOST_SEEDS
from scattermec.errors import InputError
from scattermec.experiments.studies import NAMES

if TYPE_CHECKING:
    from scattermec.experiments.claims.optima import Finding
    from scattermec.experiments.reproduce import Reproduction
    from scattermec.experiments.studies.plan import Plan

FIGURES = ",".join(NAMES)
BEAMS = "mrt,optimal"


def reproduce(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for figures, data and verdicts.")],
    figures: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Which of the paper's figures, separated by commas, and of what it lacks: beams compares "
            "MRT, random and optimal beams; frame draws one frame under each; learned is Fig. 3 and 4 with "
            "learned beams; ranges judges the claims where constants are others; knowledge compares policies "
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
            help="Fig. 2 for every learner, preset and form of the users' actions, not the paper's learners "
            "alone.",
        ),
    ] = False,
    frames: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST_FRAMES, metavar="K", help="Frames a point.  [default: 2000, quick: 256]"
        ),
    ] = None,
    seed: SeedOption = 0,
    beams: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Kinds of beams for which the paper's figures are drawn and its claims judged, separated by "
            "commas: mrt, random, optimal.",
        ),
    ] = BEAMS,
    scenario: ScenarioOption = None,
    settings: SetOption = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST_SEEDS, metavar="N", help="Seeds of a training run.  [default: 20, quick: 4]"
        ),
    ] = None,
    training_frames: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_FRAMES,
            metavar="K",
            help="Frames each seed trains.  [default: 10000, quick: 2000]",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start anew, discarding the results in the folder.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Draw the paper's figures, and judge each of its claims.

    Fig. 2 comes from training runs of its two learners, in both presets of `scattermec train`; the runs stay
    in the folder. Fig. 3 and 4 come from exact optima: each is drawn for every kind of beams, and for beams
    that an access point learned at every point (ap-ddpg). A figure that the paper lacks shows what the beams
    are worth: efficiency and outage with MRT, random and optimal beams, beside certified limits of all beams.
    Tables tell how often each claim holds where the constants that the paper does not give are others, and
    what estimate and learning are worth under errors of what is known.

    Every point there averages independent frames, the same for all points, schemes and beams: a battery
    drawn from the scenario's initial_battery, fresh work, everyone served where that is possible, else the
    set of users with the highest reward. The folder gets each figure as SVG, PDF and PNG, the data as a tidy
    table, the verdicts, and the report: index.html, one page that needs no network, and index.md.

    Optimal beams need harvest_model: linear; for another choose --beams mrt, and --figures without
    beams and knowledge.

    An interrupted run goes on where it was when the same command is given again.

    Examples:

        scattermec reproduce --out results --quick
        scattermec reproduce --out learning --figures 2a,2b --seeds 8
        scattermec reproduce --out weak --figures 3a,4b --beams mrt --set ap_power=0.5 --seed 7
    """
    chosen = load_scenario(scenario, settings)
    wanted = _choices("figures", figures, NAMES)
    kinds = _choices("beams", beams, list(Beams))
    # These have optimal beams in them.
    optimal = "optimal" in kinds or bool({"beams", "knowledge"} & set(wanted))
    check_rectifier(chosen, optimal)
    if out.exists() and not out.is_dir():
        raise InputError([f"{out}: is not a folder"])
    check_extras("reproduce")
    out.mkdir(parents=True, exist_ok=True)
    hold_output(out, folder=True)
    from scattermec.training.workers import use_one_thread

    # As `train` does, so that its commands give the digits of the report.
    use_one_thread()
    start_jax(lightly=False)
    warn_of(chosen)
    warn_without_kernel(optimal)
    from scattermec.experiments import reproduce as experiment
    from scattermec.experiments.studies.plan import FRAMES, QUICK_FRAMES, Plan

    plan = Plan(
        scenario=chosen,
        frames=frames or (QUICK_FRAMES if quick else FRAMES),
        seed=seed,
        beams=tuple(kinds),
        quick=quick,
        wanted=tuple(wanted),
        complete=complete,
        seeds=seeds,
        training_frames=training_frames,
    )
    with progress("Computing", quiet=as_json) as update:
        result = experiment.reproduce(
            plan, out, overwrite=overwrite, command=_command(plan, out, scenario, settings), progress=update
        )
    if as_json:
        typer.echo(to_json(_report(plan, result)))
    else:
        _print(plan, result, out)


def _choices(option: str, text: str, known: Sequence[str]) -> list[Any]:
    """The names in a list separated by commas, in the order in which they are known."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        shown = ", ".join(unknown) or "nothing"
        raise InputError([f"{option}: {shown} is not known; choose from {', '.join(known)}"])
    return [str(name) for name in known if name in names]


def _command(plan: "Plan", out: Path, scenario: Path | None, settings: list[str] | None) -> str:
    """What to type for the same again, with every default spelt out."""
    words = ["scattermec", "reproduce", "--out", str(out), "--figures", ",".join(plan.wanted)]
    words += ["--quick"] if plan.quick else []
    words += ["--complete"] if plan.complete else []
    words += ["--frames", str(plan.frames), "--seed", str(plan.seed), "--beams", ",".join(plan.beams)]
    words += [] if plan.seeds is None else ["--seeds", str(plan.seeds)]
    words += [] if plan.training_frames is None else ["--training-frames", str(plan.training_frames)]
    words += [] if scenario is None else ["--scenario", str(scenario)]
    for setting in settings or []:
        words += ["--set", setting]
    return shlex.join(words)


def _report(plan: "Plan", result: "Reproduction") -> dict[str, Any]:
    return {
        **plan.settings(),
        "computed": result.computed,
        "reused": result.reused,
        "not_converged": result.not_converged,
        "gap": result.gap,
        "claims": [finding.to_json() for finding in result.findings],
        "files": [str(path) for path in result.files],
    }


def _print(plan: "Plan", result: "Reproduction", out: Path) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from scattermec.experiments.report.markdown import about_learning, by_claim, kind_label

    console = Console()
    learned = [finding for finding in result.findings if about_learning(finding)]
    exact = [finding for finding in result.findings if not about_learning(finding)]
    titles = ("training runs", f"{plan.frames:,} independent frames a point")
    for title, findings in zip(titles, (learned, exact), strict=True):
        groups = by_claim(findings)
        if not groups:
            continue
        title = f"The paper's claims ({title})"
        table = Table(
            title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_lines=True
        )
        table.add_column("Claim", no_wrap=True)
        table.add_column("The paper", ratio=2)
        for finding in groups[0]:
            table.add_column(kind_label(finding), ratio=3)
        for group in groups:
            cells = (f"{_verdict(finding)}\n[dim]{_measured(finding)}[/]" for finding in group)
            table.add_row(group[0].name, group[0].statement, *cells)
        console.print(table)
    typer.echo(f"Frames without a verdict: up to {result.not_converged:.2%} of a point's frames.")
    again = f", {result.reused} were there already" if result.reused else ""
    typer.echo(f"{result.computed} points computed{again}. Start from {out / 'index.html'}")
    typer.echo(
        f"Summed over the frames of a point, energies are within {result.gap:.1e} of certified bounds."
    )


def _verdict(finding: "Finding") -> str:
    colours = {"holds": "green", "holds in part": "yellow", "does not hold": "red", "not examined": "dim"}
    return f"[{colours[finding.verdict]}]{finding.verdict}[/]"


def _measured(finding: "Finding") -> str:
    from scattermec.experiments.report.markdown import decisive

    condition = decisive(finding)
    return f"{condition.statement}: {condition.measured}" if condition else finding.why
