"""A table that the report shows."""

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


def markdown(table: Table) -> str:
    """A table as a section of a Markdown page."""
    lines = [_line(table.columns), "|" + "---|" * len(table.columns), *(_line(row) for row in table.rows)]
    parts = [f"### {table.title}", table.note, "\n".join(lines)]
    if table.command:
        parts.append(f"Again:\n\n```\n{table.command}\n```")
    return "\n\n".join(part for part in parts if part)


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
