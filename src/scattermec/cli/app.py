"""The command line `scattermec`: its commands, and how what goes wrong is told, with which exit status."""

import errno
import sys
from collections.abc import Iterable
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from scattermec._version import __version__
from scattermec.cli.common import holding_outputs
from scattermec.cli.evaluate import evaluate
from scattermec.cli.horizon import horizon
from scattermec.cli.report import report
from scattermec.cli.reproduce import reproduce
from scattermec.cli.scenario import scenario
from scattermec.cli.simulate import simulate
from scattermec.cli.solve import solve
from scattermec.cli.train import train
from scattermec.errors import ScattermecError, one_line


class _Commands(TyperGroup):
    """Tells users what went wrong, one line per fault: the only place where errors become an exit status.

    2: something that was given is wrong; 1: something else ended the work, such as a full disk. What is not
    listed here is a mistake in the program, and keeps its traceback.
    """

    def invoke(self, ctx: Any) -> Any:
        try:
            with holding_outputs():
                return super().invoke(ctx)
        except ScattermecError as error:
            _leave(error.faults, error.exit_status)
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever was reading our output has stopped
                raise
            where = f"{error.filename}: " if error.filename else ""
            _leave([f"{where}{error.strerror or error}"], 1)
        except MemoryError:
            _leave(["out of memory"], 1)
        except RuntimeError as error:
            if not _is_of_jax(error):
                raise
            # Of a device, such as its memory being too small: the first line says what, others where.
            _leave([f"JAX: {str(error).splitlines()[0]}" if str(error) else "JAX: failed"], 1)


def _leave(faults: Iterable[str], exit_status: int) -> NoReturn:
    for fault in faults:
        typer.echo(one_line(fault), err=True)
    raise typer.Exit(exit_status) from None


def _is_of_jax(error: RuntimeError) -> bool:
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(error, jax.errors.JaxRuntimeError)


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
