"""Output: results to the console, JSON, CSV, Markdown and LaTeX; warnings and progress to standard error."""

import csv
import io
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as RichTable
from rich.text import Text

from scattermec._version import __version__
from scattermec.errors import one_line
from scattermec.experiments.measure.table import Table, latex, markdown
from scattermec.scenario import Scenario
from scattermec.storage.atomic import replace_text

LATEX_HEADER = r"% For a document with \usepackage{booktabs}; include it by \input."


@dataclass(frozen=True)
class Report:
    """Results of a command, in every output format."""

    data: Mapping[str, Any]
    """the JSON object"""
    tables: Sequence[Table] = ()
    """for readers: on the console, in Markdown and in LaTeX"""
    values: Iterable[Sequence[Any]] = ()
    """the lines of the CSV file, headings first"""
    heading: str = ""
    """above the tables"""
    notes: Sequence[str] = ()
    """below them, one line each"""
    colours: Mapping[str, str] = field(default_factory=dict)
    """of the first lines of cells, on the console; if there are any, the tables hold prose"""

    def text(self, form: str) -> str:
        """The results as a file of this form: .json, .csv, .md or .tex."""
        if form == ".json":
            return to_json(self.data) + "\n"
        if form == ".csv":
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(self.values)
            return text.getvalue()
        if form == ".tex":
            notes = "\n".join(f"% {one_line(note)}" for note in self.notes)
            return "\n\n".join(filter(None, (LATEX_HEADER, *map(latex, self.tables), notes))) + "\n"
        parts = (self.heading, *(markdown(table, numbers=True) for table in self.tables), *self.notes)
        return "\n\n".join(filter(None, parts)) + "\n"

    def put_out(self, *, as_json: bool, out: Path | None = None) -> None:
        """Write the file, if one is wanted, then print JSON or tables."""
        if out is not None:
            replace_text(out, self.text(out.suffix))
        if as_json:
            typer.echo(self.text(".json"), nl=False)
            return
        if self.heading:
            typer.echo(self.heading + "\n")
        for table in self.tables:
            Console().print(_for_console(table, self.colours))
        for note in self.notes:
            typer.echo(note)


def _for_console(table: Table, colours: Mapping[str, str]) -> RichTable:
    """First column left-aligned, numbers right-aligned; prose left-aligned, with rules between rows."""
    shown = RichTable(
        title=Text(one_line(table.title)),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_header=any(table.columns),
        show_lines=bool(colours),
    )
    for index, column in enumerate(table.columns):
        if not colours:
            shown.add_column(column, justify="right" if index else "left")
        elif index == 0:
            shown.add_column(column, no_wrap=True)
        else:
            shown.add_column(column, ratio=2 if index == 1 else 3)
    for row in table.rows:
        shown.add_row(*(_coloured(cell, colours) for cell in row))
    return shown


def _coloured(cell: str, colours: Mapping[str, str]) -> Text:
    # A Text, in which brackets are not markup.
    first, line_end, rest = cell.partition("\n")
    if first not in colours:
        return Text(cell)
    return Text.assemble((first, colours[first]), line_end, (rest, "dim"))


def to_json(data: Any) -> str:
    """JSON text; infinities and NaN, which JSON lacks, become null."""
    return json.dumps(_finite(data), indent=2, allow_nan=False)


def _finite(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {name: _finite(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def provenance(scenario: Scenario) -> dict[str, Any]:
    """Provenance kept with every result: the version and all constants."""
    return {"version": __version__, "scenario": scenario.model_dump(mode="json")}


def warn(line: str) -> None:
    """Print a warning on standard error."""
    typer.echo(one_line(f"warning: {line}"), err=True)


@contextmanager
def progress(description: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, if that is a terminal; called with (done, total)."""
    with described_progress(description, quiet=quiet) as update:
        yield lambda done, total: update(description, done, total)


@contextmanager
def described_progress(
    description: str, *, quiet: bool, unit: str = "frames"
) -> Iterator[Callable[[str, int, int], None]]:
    """The same, called with (description, done, total)."""
    if quiet or not sys.stderr.isatty():
        yield lambda description, done, total: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(f"{{task.completed:,.0f}} of {{task.total:,.0f}} {unit}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=1)

        def update(description: str, done: int, total: int) -> None:
            bar.update(task, description=description, completed=done, total=total)

        yield update
