"""A table that readers see, and how it is written in Markdown."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A table with its heading, what it says, and how to make it again."""

    title: str
    note: str
    """what the numbers are, and how to read them; whole sentences"""
    columns: tuple[str, ...]
    """headings, units included"""
    rows: tuple[tuple[str, ...], ...]
    """cells as shown, as many a row as there are columns"""
    command: str = ""
    """what to type for the same numbers again, a line a command; empty where there is none"""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title}: a row of {len(row)} cells under {len(self.columns)} columns")


def markdown(table: Table, *, numbers: bool = False) -> str:
    """A table as a section of a Markdown page."""
    parts = [f"### {table.title}", table.note, markdown_rows(table.columns, table.rows, numbers=numbers)]
    if table.command:
        parts.append(f"Again:\n\n```\n{table.command}\n```")
    return "\n\n".join(part for part in parts if part)


def markdown_rows(columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = False) -> str:
    """Headings and rows alone; with ``numbers``, all columns but the first are aligned to the right."""
    rule = "---:|" if numbers else "---|"
    return "\n".join([_line(columns), "|---|" + rule * (len(columns) - 1), *map(_line, rows)])


def _line(cells: Sequence[str]) -> str:
    # A bar within a cell is escaped, if it is not already.
    shown = (re.sub(r"(?<!\\)\|", r"\|", cell).replace("\n", "<br>") for cell in cells)
    return f"| {' | '.join(shown)} |"
