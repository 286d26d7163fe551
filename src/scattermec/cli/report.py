"""`scattermec report`: the report of a reproduction drawn again from its data."""

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from scattermec._compilation import start_jax
from scattermec.cli.common import hold_output
from scattermec.errors import InputError

PACKAGES = {
    "jinja2": "report",
    "plotly": "report",
    "matplotlib": "figures",
    "pyarrow": "learning",
    "equinox": "learning",
    "flashbax": "learning",
    "optax": "learning",
}
"""What reading and drawing results needs, and the extra that brings it."""


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of `scattermec reproduce --out`.")],
) -> None:
    """Draw and judge again what a reproduction has computed, without computing anything.

    Writes every figure that is complete, the verdicts, and the pages index.html and index.md from the data in
    the folder, which stay as they are.

    Example:

        scattermec report results/reproduce
    """
    check_extras("report")
    if folder.is_dir():
        hold_output(folder, folder=True)
    start_jax(lightly=True)
    from scattermec.experiments.report.redraw import redraw

    drawn = redraw(folder)
    typer.echo(f"{len(drawn.files)} files drawn. Start from {folder / 'index.html'}")


def check_extras(command: str) -> None:
    """Raise InputError naming what to install if something that the report needs is missing."""
    missing = [extra for name, extra in PACKAGES.items() if importlib.util.find_spec(name) is None]
    if missing:
        extras = ",".join(dict.fromkeys(missing))
        raise InputError([f"{command}: needs more packages: pip install 'scattermec[{extras}]'"])
