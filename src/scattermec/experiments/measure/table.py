"""A table for readers, and its Markdown and LaTeX forms."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A table with its heading, an explanation, and the command that recomputes it."""

    title: str
    note: str
    """explanation of the numbers, in whole sentences"""
    columns: tuple[str, ...]
    """headings, units included"""
    rows: tuple[tuple[str, ...], ...]
    """cells as shown, one per column"""
    command: str = ""
    """command lines that recompute the numbers, one per line; may be empty"""

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
    """Headings and rows alone; with ``numbers``, all columns except the first are right-aligned."""
    rule = "---:|" if numbers else "---|"
    return "\n".join([_line(columns), "|---|" + rule * (len(columns) - 1), *map(_line, rows)])


def _line(cells: Sequence[str]) -> str:
    # Escape a bar within a cell, unless it is escaped already.
    shown = (re.sub(r"(?<!\\)\|", r"\|", cell).replace("\n", "<br>") for cell in cells)
    return f"| {' | '.join(shown)} |"


def latex(table: Table) -> str:
    """A table as a `tabular` with the rules of booktabs, for LaTeX; its title is a comment above."""
    heading = [rf"{_latex_cells(table.columns)} \\", r"\midrule"] if any(table.columns) else []
    lines = [
        "% " + " ".join(table.title.split()),
        rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
        r"\toprule",
        *heading,
        *(rf"{_latex_cells(row)} \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines)


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: "\\" + character for character in "&%$#_{}"},
    # Otherwise arguments of the end of the line before.
    "[": "{[}",
    "*": "{*}",
    "|": r"\textbar{}",
    "<": r"$<$",
    ">": r"$>$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "✓": r"$\surd$",
    "✗": r"$\times$",
    "◐": r"$\circ$",
}
"""What stands for a character in LaTeX."""


def _latex_cells(cells: Sequence[str]) -> str:
    return " & ".join(map(_latex_cell, cells))


def _latex_cell(cell: str) -> str:
    plain = cell.replace(r"\|", "|")  # escaped for Markdown
    escaped = "".join(_LATEX.get(character, character) for character in plain)
    text = re.sub(r"`([^`]*)`", r"\\texttt{\1}", escaped).replace("\n", r" \\ ")
    return rf"\shortstack[l]{{{text}}}" if "\n" in cell else text
