"""`scattermec report`: redraw the report of a reproduction from its data."""

import re
from pathlib import Path
from typing import Annotated

import typer

from scattermec._compilation import start_jax
from scattermec.cli.checks import check_installed, check_output, choices, hold_output
from scattermec.errors import InputError
from scattermec.experiments.studies import NAMES

INCHES = {"in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4, "pt": 1 / 72.27}
NARROWEST, WIDEST = 1.5, 20.0
"""Of a figure, in inches."""


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of `scattermec reproduce --out`.")],
    width: Annotated[
        str | None,
        typer.Option(
            metavar="WIDTH",
            help="Also draw each panel for a paper, this wide, e.g. 3.5in or 88mm: without title and "
            "caption, as PDF, and as PGF where a TeX engine is installed, in DIR/print.",
        ),
    ] = None,
    tables: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Print the tables of these studies and draw nothing: names as in `scattermec reproduce "
            "--figures`, separated by commas.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --tables, also write them to this .md or .tex (LaTeX) file."),
    ] = None,
) -> None:
    """Draw and judge again what a reproduction has computed, without computing anything.

    Writes every complete figure, the verdicts, and the pages index.html and index.md from the data in the
    folder; the data stay unchanged.

    Examples:

        scattermec report results/reproduce
        scattermec report results/reproduce --width 3.5in
        scattermec report results/reproduce --tables knowledge --out knowledge.md
    """
    if tables is not None and width is not None:
        raise InputError(["--tables: does not go with --width"])
    if tables is None and out is not None:
        raise InputError(["--out: goes with --tables only"])
    check_installed("report", "report", "figures", "learning")
    if tables is not None:
        wanted = choices("tables", tables, NAMES)
        check_output(out, (".md", ".tex"))
        start_jax()
        from scattermec.cli.output import Report
        from scattermec.experiments.studies.base import tables_of

        Report(data={}, tables=tables_of(folder, wanted)).put_out(as_json=False, out=out)
        return
    inches = None if width is None else _inches(width)
    if folder.is_dir():
        hold_output(folder, folder=True)
    start_jax()
    from scattermec.experiments.report import print_figures
    from scattermec.experiments.report.redraw import redraw

    drawn = redraw(folder)
    if inches is not None:
        files = print_figures.save(folder, inches)
        typer.echo(f"{len(files)} files drawn for a paper, in {folder / print_figures.FOLDER}")
    typer.echo(f"{len(drawn.files)} files drawn. Start from {folder / 'index.html'}")


def _inches(width: str) -> float:
    """A width such as ``3.5in`` or ``88mm`` in inches; raises InputError for anything else."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?) ?(in|cm|mm|pt)", width.strip())
    inches = float(match[1]) * INCHES[match[2]] if match else 0.0
    if not NARROWEST <= inches <= WIDEST:
        allowed = f"a number and in, cm, mm or pt, from {NARROWEST:g}in to {WIDEST:g}in"
        raise InputError([f"width: {width[:80]} is not allowed; it must be {allowed}"])
    return inches
