"""The command line `scattermec`: its commands, error messages and exit statuses.

A command's module is imported when the command is used, so help needs no slow imports.
"""

import errno
import functools
import importlib
import sys
from collections.abc import Iterable
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from scattermec._version import __version__
from scattermec.cli.held import outputs
from scattermec.errors import ScattermecError, one_line

COMMANDS = {
    "scenario": "Print a scenario: every constant of the model, with its meaning and unit.",
    "simulate": "Roll the system out under the optimal allocation, and tabulate what it achieves.",
    "simulate-policy": "Roll the system out under a policy of price-net, and tabulate what it achieves.",
    "solve": "Find the exact optimal allocation, and beams if wanted, for each of K frames of N users and M "
    "antennas.",
    "frames draw": "Draw independent frames of a scenario, and write them to a file.",
    "frames convert": "Convert channels of MATLAB, GNU Octave, HDF5, NumPy or CSV to a file of frames.",
    "frames check": "Tabulate what a file of frames holds, and what looks wrong with it.",
    "score": "Score anyone's beams and allocations against the certified optimum of their frames.",
    "benchmark-set": "Make the benchmark set scattermec-1: five scenarios of 2,000 frames each, with their "
    "certified optima.",
    "evaluate": "Tabulate what policies achieve, next to controls and to what is provably optimal.",
    "evaluate-robustness": "Tabulate what a policy achieves if knowledge is late, noisy, rounded or lost.",
    "evaluate-broadcast": "Tabulate what price-net achieves when its broadcast is rounded, late or lost.",
    "evaluate-unseen": "Tabulate what price-net achieves in scenarios that it has not seen.",
    "horizon": "Tabulate what policies cost over a bound that knows all frames of an episode in advance.",
    "knowledge": "Tabulate what is possible without knowing: a bound on every policy, and the best plan "
    "found.",
    "calibrate": "Search for the constants under which most of the paper's claims on Fig. 3 and 4 hold.",
    "sweep run": "Compute a job for every scenario, draw and seed of a plan, or what is missing of them.",
    "sweep status": "Say how much of a sweep is done, and how long the rest takes at the present rate.",
    "sweep merge": "Check all results of a sweep, and write them into one file, DIR/merged.parquet.",
    "sweep table": "Tabulate quantities of a sweep for each combination of its constants, from what is done.",
    "sweep plot": "Draw one quantity of a sweep over one of its constants, from what is done so far.",
    "train": "Train a learner, from scratch or from where it was interrupted.",
    "train-price-net": "Train price-net, from scratch or from where it was interrupted.",
    "export": "Write a trained policy as a bundle that devices can run without JAX.",
    "ap": "Be the access point: decide beams in every frame, over a broker.",
    "user": "Be one user: answer the access point in every frame, over a broker.",
    "radio": "Be the physical world: show every device its part of each frame, and play what they decide.",
    "keys": "Make certificates for all devices, and the broker's access rules.",
    "demo": "Run broker, radio, access point and users on this machine, and watch them.",
    "reproduce": "Draw the paper's figures, and judge each of its claims.",
    "report": "Draw and judge again what a reproduction has computed, without computing anything.",
}
"""The commands and the start of their help; each is a function of its name, in the file of its first word."""

GROUPS = {
    "frames": "Frames in files: draw them, convert those of other programs, check them.",
    "sweep": "Many scenarios, trainings and seeds: on one machine, a Slurm cluster, or Ray.",
}
"""First words that several commands share, and the start of their help."""


def function_of(name: str) -> Any:
    """The function of a command, imported on demand."""
    function = name.replace("-", "_").replace(" ", "_")
    module = importlib.import_module(f"scattermec.cli.{function.partition('_')[0]}")
    return getattr(module, function)


class Command(TyperCommand):
    """A command known by name, imported when used."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name.split()[-1], help=COMMANDS[name], rich_markup_mode="markdown")
        self._full_name = name

    @functools.cached_property
    def imported(self) -> Any:
        """The command with its options."""
        function = function_of(self._full_name)
        app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)
        app.command(self.name)(function)
        return get_command(app)

    def make_context(self, *arguments: Any, **more: Any) -> Any:
        """Parse the command's own arguments."""
        return self.imported.make_context(*arguments, **more)


def _tree() -> dict[str, TyperCommand | TyperGroup]:
    """The commands by their names; those of two words are in a group of the first."""
    groups = {
        first: TyperGroup(name=first, help=meaning, no_args_is_help=True, rich_markup_mode="markdown")
        for first, meaning in GROUPS.items()
    }
    found: dict[str, TyperCommand | TyperGroup] = {}
    for name in COMMANDS:
        first, _, second = name.partition(" ")
        if second:
            found[first] = groups[first]
            groups[first].commands[second] = Command(name)
        else:
            found[name] = Command(name)
    return found


class _Commands(TyperGroup):
    """Reports errors, one line per fault: the only place where errors become an exit status.

    2: invalid input; 1: something else ended the work, such as a full disk. Any error not listed here is a
    bug and keeps its traceback.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings | {"commands": _tree()})

    def invoke(self, ctx: Any) -> Any:
        """Run a command, then release what it holds."""
        try:
            with outputs:
                return super().invoke(ctx)
        except ScattermecError as error:
            _leave(error.faults, error.exit_status)
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader of our output has stopped
                raise
            where = f"{error.filename}: " if error.filename else ""
            _leave([f"{where}{error.strerror or error}"], 1)
        except MemoryError:
            _leave(["out of memory"], 1)
        except RuntimeError as error:
            if not _is_of_jax(error):
                raise
            # A device's error, such as too little memory; the first line describes it, the rest locates it.
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
