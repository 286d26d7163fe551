"""The paper's figures computed and its claims judged, for `scattermec reproduce`."""

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import typer

from scattermec.cli.jobs.common import not_submitted, warn_of, warn_without_kernel
from scattermec.cli.output import Report, progress
from scattermec.cli.where import Where
from scattermec.engines import slurm
from scattermec.experiments.claims.optima import Finding
from scattermec.experiments.measure.table import Table
from scattermec.experiments.report.markdown import by_claim, decisive, kind_label, learned_and_exact
from scattermec.experiments.reproduce import Engine, reproduce
from scattermec.experiments.studies.base import studies_of
from scattermec.experiments.studies.items import Items
from scattermec.experiments.studies.plan import FRAMES, QUICK_FRAMES, Plan
from scattermec.storage.atomic import discard_partials

__all__ = ["FRAMES", "QUICK_FRAMES", "Plan", "run", "run_share"]

COLOURS = {"holds": "green", "holds in part": "yellow", "does not hold": "red", "not examined": "dim"}


def run(
    plan: Plan,
    out: Path,
    scenario_words: list[str],
    where: Where,
    *,
    overwrite: bool,
    optimal_beams: bool,
    quiet: bool,
) -> Report:
    """Compute, draw and judge in the folder ``out``; ``scenario_words`` are the scenario's options."""
    warn_of(plan.scenario)
    warn_without_kernel(optimal_beams)
    command = _command(plan, out, scenario_words)
    if where.engine == "slurm":
        engine: Engine = partial(_on_slurm, where, shlex.split(command)[1:])
    else:
        if where.processes is None and jax.default_backend() != "cpu":
            where = replace(where, processes=1)
        engine = partial(_in_processes, where)
    try:
        with progress("Computing", quiet=quiet) as update:
            result = reproduce(
                plan, out, overwrite=overwrite, command=command, engine=engine, progress=update
            )
    except slurm.NotSubmittedError as error:
        return not_submitted(error)
    again = f", {result.reused} were there already" if result.reused else ""
    return Report(
        data={
            **plan.settings(),
            "computed": result.computed,
            "reused": result.reused,
            "not_converged": result.not_converged,
            "gap": result.gap,
            "claims": [finding.to_json() for finding in result.findings],
            "files": [str(path) for path in result.files],
        },
        tables=list(_tables(plan, result.findings)),
        notes=[
            f"Frames without a verdict: up to {result.not_converged:.2%} of a point's frames.",
            f"{result.computed} points computed{again}. Start from {out / 'index.html'}",
            f"Summed over the frames of a point, energies are within {result.gap:.1e} of certified bounds.",
        ],
        colours=COLOURS,
    )


def run_share(plan: Plan, out: Path, where: Where) -> None:
    """Compute the share of a job."""
    items = Items(studies_of(plan), out)
    numbers = items.handed_out()
    own = [numbers[place] for place in where.share(len(numbers))]
    slurm.run(items, own, lambda number: typer.echo(f"{items.paths[number].stem} is done", err=True))


def _in_processes(where: Where, items: Items, numbers: Sequence[int], report: Callable[[int], None]) -> None:
    try:
        where.compute(items, items.in_turns(numbers), report)
    finally:
        discard_partials(items.folder)  # of processes that were ended


def _on_slurm(
    where: Where, words: list[str], items: Items, numbers: Sequence[int], report: Callable[[int], None]
) -> None:
    """Have an array of jobs compute items; each job is this command with `--index`."""
    if not numbers:
        return
    items.hand_out(numbers)
    command = [sys.executable, "-m", "scattermec", *words]
    slurm.complete(command, items.parts, where.array, len(numbers), lambda: len(items.left()))
    for number in numbers:
        report(number)


def _command(plan: Plan, out: Path, scenario_words: list[str]) -> str:
    """The command that computes the same again, with every default spelt out."""
    words = ["scattermec", "reproduce", "--out", str(out), "--figures", ",".join(plan.wanted)]
    words += ["--quick"] if plan.quick else []
    words += ["--complete"] if plan.complete else []
    words += ["--frames", str(plan.frames), "--seed", str(plan.seed), "--beams", ",".join(plan.beams)]
    words += [] if plan.seeds is None else ["--seeds", str(plan.seeds)]
    words += [] if plan.training_frames is None else ["--training-frames", str(plan.training_frames)]
    return shlex.join([*words, *scenario_words])


def _tables(plan: Plan, findings: Sequence[Finding]) -> Iterator[Table]:
    """One row per claim, one column per kind of beams; claims about learning have a table with presets."""
    titles = ("training runs", f"{plan.frames:,} independent frames per point")
    for title, part in zip(titles, learned_and_exact(findings), strict=True):
        groups = by_claim(part)
        if groups:
            columns = ("Claim", "The paper", *map(kind_label, groups[0]))
            rows = tuple((group[0].name, group[0].statement, *map(_verdict, group)) for group in groups)
            yield Table(f"The paper's claims ({title})", "", columns, rows)


def _verdict(finding: Finding) -> str:
    condition = decisive(finding)
    return (
        f"{finding.verdict}\n{f'{condition.statement}: {condition.measured}' if condition else finding.why}"
    )
