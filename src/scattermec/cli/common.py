"""What the commands share: options, how results are printed, and progress.

Nothing here imports JAX, so that help and refusals are immediate.
"""

import importlib.util
import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from scattermec._version import __version__
from scattermec.counts import MOST_SEED
from scattermec.errors import InputError, one_line
from scattermec.price_net import SHIPPED
from scattermec.scenario import Scenario
from scattermec.storage.atomic import writing


class Scheme(StrEnum):
    """Which ways of processing may be used."""

    HYBRID = "hybrid"
    ACTIVE = "active"
    PASSIVE = "passive"
    LOCAL = "local"


class Beams(StrEnum):
    """How the AP chooses its beams."""

    MRT = "mrt"
    RANDOM = "random"
    OPTIMAL = "optimal"


ScenarioOption = Annotated[
    Path | None,
    typer.Option(
        "--scenario", metavar="FILE", help="Scenario in YAML or JSON; what it leaves out keeps its default."
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="Change one constant, e.g. --set ap_power=2. Repeatable."
    ),
]
SchemeOption = Annotated[
    Scheme,
    typer.Option(
        help="Both links, the active or the passive one alone, or local computing only. "
        "Every scheme may beam for energy."
    ),
]
SeedOption = Annotated[int, typer.Option(min=0, max=MOST_SEED, metavar="S", help="Seed of everything drawn.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table, and no progress.")]


def load_scenario(path: Path | None, settings: list[str] | None) -> Scenario:
    """The scenario that the options describe; raises ScenarioError with all its faults."""
    scenario = Scenario() if path is None else Scenario.load(path)
    return scenario.with_settings(settings) if settings else scenario


def warn_of(scenario: Scenario, policy: str = "") -> None:
    """Say on standard error what looks wrong in a scenario whose frames are to be drawn; starts JAX.

    So does a shipped ``policy`` that acts outside what it was trained on.
    """
    from scattermec.experiments.measure import diagnosis

    for line in diagnosis.warnings_of(diagnosis.sample_of(scenario)):
        warn(line)
    for line in diagnosis.outside_training(policy, scenario) if policy in SHIPPED else ():
        warn(line)


def warn(line: str) -> None:
    """Say on standard error what is allowed but worth knowing."""
    typer.echo(one_line(f"warning: {line}"), err=True)


def check_rectifier(scenario: Scenario, optimal_beams: bool) -> None:
    """Raise InputError where beams are to be optimised although the rectifier is not linear."""
    if optimal_beams and scenario.harvest_model != "linear":
        raise InputError(
            [
                f"harvest_model: {scenario.harvest_model!r} is not allowed with optimal beams; "
                "it must be 'linear', or choose other beams"
            ]
        )


def check_learning_installed(what: str) -> None:
    """Raise InputError naming what the extra `learning` would install, without importing any of it."""
    check_installed(what, "learning", ("equinox", "flashbax", "optax", "pyarrow"))


def check_installed(what: str, extra: str, packages: tuple[str, ...]) -> None:
    """Raise InputError naming which of the packages of an extra are missing, without importing any of it."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError([f"{what}: {', '.join(missing)} not installed; pip install 'scattermec[{extra}]'"])


def warn_without_kernel(optimal_beams: bool) -> None:
    """Say on standard error that optimal beams will take long, if the compiled kernel is missing."""
    from scattermec.optimisation import compiled

    if optimal_beams and not compiled.available():
        typer.echo(
            "Optimal beams without the compiled kernel take a hundred times as long, or more.", err=True
        )


def to_json(data: Any) -> str:
    """JSON text; infinities and the like, which JSON does not have, become null."""
    return json.dumps(_finite(data), indent=2, allow_nan=False)


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {name: _finite(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def provenance(scenario: Scenario) -> dict[str, Any]:
    """What every result is kept with: the version and all constants."""
    return {"version": __version__, "scenario": scenario.model_dump(mode="json")}


_outputs = ExitStack()


@contextmanager
def holding_outputs() -> Iterator[None]:
    """Until the body ends, keep other processes from writing what `hold_output` was called for in it."""
    with _outputs:
        yield


def hold_output(path: Path, *, folder: bool = False) -> None:
    """Be the only process that writes a file, or in a folder that exists, until the command ends.

    Raises BusyError where another process is at it.
    """
    _outputs.enter_context(writing(path, inside=folder))


def check_text_output(path: Path, suffixes: tuple[str, ...]) -> None:
    """Hold a text file as output; raises InputError where none of the ``suffixes`` can be put there."""
    if path.suffix not in suffixes:
        raise InputError([f"{path}: its name must end in {' or '.join(suffixes)}"])
    if path.is_dir() or not path.parent.is_dir():
        raise InputError([f"{path}: cannot be written: there is no folder {path.parent}"])
    hold_output(path)


@contextmanager
def progress(description: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, if that is a terminal; yields what is told (done, total)."""
    with described_progress(description, quiet=quiet) as update:
        yield lambda done, total: update(description, done, total)


@contextmanager
def described_progress(description: str, *, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """The same, told (description, done, total)."""
    if quiet or not sys.stderr.isatty():
        yield lambda description, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} frames"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=1)

        def update(description: str, done: int, total: int) -> None:
            bar.update(task, description=description, completed=done, total=total)

        yield update


def print_table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """A table on standard output, the first column to the left and the rest to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # As texts, in which brackets have no meaning.
    table = Table(
        title=Text(one_line(title)),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_header=any(columns),
    )
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)
