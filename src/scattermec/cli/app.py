"""The command line `scattermec`: its commands, and how what goes wrong is told."""

import errno
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from scattermec._version import __version__
from scattermec.cli.evaluate import evaluate
from scattermec.cli.horizon import horizon
from scattermec.cli.report import report
from scattermec.cli.reproduce import reproduce
from scattermec.cli.scenario import scenario
from scattermec.cli.simulate import simulate
from scattermec.cli.solve import solve
from scattermec.cli.train import train
from scattermec.errors import InputError


class _Commands(TyperGroup):
    """Tells users what is wrong with what they gave, one line a fault, with exit status 2."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except InputError as error:
            for fault in error.faults:
                typer.echo(fault, err=True)
            raise typer.Exit(2) from None
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever was reading our output has stopped
                raise
            where = f"{error.filename}: " if error.filename else ""
            typer.echo(f"{where}{error.strerror or error}", err=True)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(scenario)
app.command()(simulate)
app.command()(solve)
app.command()(evaluate)
app.command()(horizon)
app.command()(reproduce)
app.command()(report)
app.command()(train)


def _print_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"scattermec {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def scattermec(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Backscatter-aided, wireless-powered mobile edge computing: simulated, and optimised exactly.

    An access point beams energy to its users, who compute locally, offload by their own radio (active) or by
    backscatter (passive). Every command takes a scenario; `scattermec scenario` prints one, constant by
    constant.
    """
