"""Results of the campaigns: one table, as text, JSON and Markdown."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

READING = """\
Each row is one thing that must not happen: how often it could have, and how often it did. Where some is
allowed, "bad" is what exceeds that, and the remark says how much there was. Every answer to a frame is played
again, and every bound computed again from its published prices, by a NumPy implementation that shares nothing
with the package (`torture/reference.py`).
Every bad case is saved with the command that shows it again."""


@dataclass
class Row:
    """One line of the table."""

    campaign: str
    what: str
    tried: int = 0
    bad: int = 0
    remark: str = ""


@dataclass
class Outcome:
    """Results of one campaign."""

    rows: list[Row] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    """more tables, each a list of rows {column: value}, by title"""
    saved: list[str] = field(default_factory=list)
    """files of bad cases"""
    finished: bool = True
    """whether everything planned was tried"""

    def as_json(self) -> dict[str, Any]:
        """All data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Outcome":
        """The inverse of `as_json`."""
        return cls(**(data | {"rows": [Row(**row) for row in data["rows"]]}))


def write_faults(out: Path | None, name: str, failures: list[dict[str, str]]) -> None:
    """Save failures as a text, if there are any and there is a folder for it."""
    if not failures or out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    lines = [", ".join(f"{title}: {value}" for title, value in failure.items()) for failure in failures]
    (out / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def print_table(rows: Iterable[Row], console: Console) -> None:
    """Print the table on a terminal."""
    table = Table(title="Tried and bad", title_justify="left")
    for name, side in (("campaign", "left"), ("what must not happen", "left"), ("tried", "right")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    table.add_column("bad", justify="right")
    table.add_column("remark")
    for row in rows:
        style = "bold red" if row.bad else None
        table.add_row(row.campaign, row.what, f"{row.tried:,}", f"{row.bad:,}", row.remark, style=style)
    console.print(table)


def markdown(about: dict[str, Any], outcomes: dict[str, Outcome]) -> str:
    """The page of the documentation."""
    known = ", ".join(f"{name} {version}" for name, version in about["versions"].items() if version)
    lines = [
        "# Torture",
        "",
        "Made by `make torture`; this page by",
        "",
        f"    {about['command']}",
        "",
        f"in {about['minutes']:.1f} minutes on {about['machine']['processor']}, "
        f"{about['machine']['system']}, {about['started'][:10]}, with Python "
        f"{about['machine']['python']}, {known}.",
        "",
        READING,
        "",
        "| campaign | what must not happen | tried | bad | remark |",
        "|---|---|---:|---:|---|",
    ]
    for outcome in outcomes.values():
        for row in outcome.rows:
            cells = (row.campaign, row.what, f"{row.tried:,}", f"{row.bad:,}", row.remark)
            lines.append("| " + " | ".join(map(_escaped, cells)) + " |")
    for outcome in outcomes.values():
        for title, rows in outcome.details.items():
            if not rows:
                continue
            head = list(rows[0])
            lines += ["", f"## {title}", "", "| " + " | ".join(head) + " |"]
            lines.append("|" + "|".join("---" if isinstance(rows[0][c], str) else "---:" for c in head) + "|")
            lines += ["| " + " | ".join(_shown(row[c]) for c in head) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def write_json(path: Path, about: dict[str, Any], outcomes: dict[str, Outcome]) -> None:
    """Save all data."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = about | {"campaigns": {name: outcome.as_json() for name, outcome in outcomes.items()}}
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else _escaped(str(value))
