"""`scattermec reproduce`: the paper's figures, and whether its claims are borne out."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scattermec.cli.common import (
    Beams,
    BeamsOption,
    JsonOption,
    ScenarioOption,
    SeedOption,
    SetOption,
    load_scenario,
    progress,
    to_json,
    use_double_precision,
)
from scattermec.errors import InputError

if TYPE_CHECKING:
    from scattermec.experiments.claims import Finding
    from scattermec.experiments.reproduce import Plan, Reproduction

FIGURES = "3a,3b,4a,4b"


def reproduce(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for figures, data and verdicts.")],
    figures: Annotated[
        str, typer.Option(metavar="LIST", help="Which of the paper's figures, separated by commas.")
    ] = FIGURES,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer points, and fewer frames a point.")] = False,
    frames: Annotated[
        int | None,
        typer.Option(min=1, metavar="K", help="Frames a point.  [default: 2000, quick: 256]"),
    ] = None,
    seed: SeedOption = 0,
    beams: BeamsOption = Beams.MRT,
    scenario: ScenarioOption = None,
    settings: SetOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start anew, discarding the results in the folder.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Draw the paper's Fig. 3a, 3b, 4a and 4b from exact allocations, and judge each of its claims.

    Every point averages independent frames, which are the same for all points and schemes: a battery drawn
    from the scenario's initial_battery, fresh work, everyone served where that is possible, else the set of
    users with the highest reward. The folder gets each figure as SVG, PDF and PNG, the data as a tidy table,
    the verdicts, and an index.md to start from.

    An interrupted run goes on where it was when the same command is given again.

    Examples:

        scattermec reproduce --out results --quick
        scattermec reproduce --out weak --figures 3a,4b --set ap_power=0.5 --seed 7
    """
    chosen = load_scenario(scenario, settings)
    wanted = _figures(figures)
    if out.exists() and not out.is_dir():
        raise InputError([f"{out}: is not a folder"])
    use_double_precision()
    from scattermec.experiments import reproduce as experiment

    plan = experiment.Plan(
        scenario=chosen,
        frames=frames or (experiment.QUICK_FRAMES if quick else experiment.FRAMES),
        seed=seed,
        beams=beams.value,
        quick=quick,
    )
    with progress("Solving", quiet=as_json) as update:
        result = experiment.reproduce(
            plan,
            out,
            wanted=wanted,
            overwrite=overwrite,
            command=_command(plan, out, wanted, scenario, settings),
            progress=update,
        )
    if as_json:
        typer.echo(to_json(_report(plan, result)))
    else:
        _print(plan, result, out)


def _figures(text: str) -> list[str]:
    known = FIGURES.split(",")
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        shown = ", ".join(unknown) or "nothing"
        raise InputError([f"figures: {shown} is not known; choose from {', '.join(known)}"])
    return [name for name in known if name in names]


def _command(
    plan: "Plan", out: Path, wanted: list[str], scenario: Path | None, settings: list[str] | None
) -> str:
    """What to type for the same again, with every default spelt out."""
    words = ["scattermec", "reproduce", "--out", str(out), "--figures", ",".join(wanted)]
    words += ["--quick"] if plan.quick else []
    words += ["--frames", str(plan.frames), "--seed", str(plan.seed), "--beams", plan.beams]
    words += [] if scenario is None else ["--scenario", str(scenario)]
    for setting in settings or []:
        words += ["--set", setting]
    return shlex.join(words)


def _report(plan: "Plan", result: "Reproduction") -> dict[str, Any]:
    import dataclasses

    return {
        **plan.settings(),
        "computed": result.computed,
        "reused": result.reused,
        "not_converged": result.not_converged,
        "claims": [dataclasses.asdict(finding) for finding in result.findings],
        "files": [str(path) for path in result.files],
    }


def _print(plan: "Plan", result: "Reproduction", out: Path) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    title = f"The paper's claims ({plan.frames:,} independent frames a point, {plan.beams} beams)"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for column in ("Claim", "The paper", "Verdict", "Measured"):
        table.add_column(column)
    for finding in result.findings:
        table.add_row(finding.name, finding.statement, _verdict(finding), _measured(finding))
    console = Console()
    console.print(table)
    if result.not_converged:
        typer.echo(f"Not converged: up to {result.not_converged:.2%} of a point's frames.", err=True)
    again = f", {result.reused} were there already" if result.reused else ""
    typer.echo(f"{result.computed} points computed{again}. Start from {out / 'index.md'}")


def _verdict(finding: "Finding") -> str:
    colours = {"holds": "green", "holds in part": "yellow", "does not hold": "red", "not examined": "dim"}
    return f"[{colours[finding.verdict]}]{finding.verdict}[/]"


def _measured(finding: "Finding") -> str:
    """The numbers of the conditions that decide: those not met, or else the first."""
    open_ones = [condition for condition in finding.conditions if condition.judgement != "met"]
    decisive = open_ones[0] if open_ones else next(iter(finding.conditions), None)
    return f"{decisive.statement}: {decisive.measured}" if decisive else finding.why
