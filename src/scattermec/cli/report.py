"""`scattermec report`: redraw the report of a reproduction from its data."""

from pathlib import Path
from typing import Annotated

import typer

from scattermec._compilation import start_jax
from scattermec.cli.checks import check_installed, hold_output


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of `scattermec reproduce --out`.")],
) -> None:
    """Draw and judge again what a reproduction has computed, without computing anything.

    Writes every complete figure, the verdicts, and the pages index.html and index.md from the data in the
    folder; the data stay unchanged.

    Example:

        scattermec report results/reproduce
    """
    check_installed("report", "report", "figures", "learning")
    if folder.is_dir():
        hold_output(folder, folder=True)
    start_jax(lightly=True)
    from scattermec.experiments.report.redraw import redraw

    drawn = redraw(folder)
    typer.echo(f"{len(drawn.files)} files drawn. Start from {folder / 'index.html'}")
