"""Results: one row per solver and batch size, saved immediately; and the tables made from them.

The file of numbers has one section per kind of measurement, each with a description of its machine; the page
is made from that file. So a run that measures one kind leaves the other sections unchanged.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.sheets import (
    DEVICES,
    GPU,
    LEARNING,
    PENDULUM,
    REWARDS,
    SEEDS,
    STARTUP,
    SWEEPS,
    TRAINERS,
    Sheet,
)
from benchmarks.timing import Timing
from scattermec.optimisation import INFEASIBLE, OPTIMAL
from scattermec.storage import replace_text

OURS = "scattermec"
READING = """\
P1 serves everyone, with beams for maximum ratio transmission. All on one core, in one process, on the same
frames, infeasible ones included; each number is from the best of several passes over all frames.
scattermec: the whole call, from frames to solutions, compiled beforehand; `scan` solves one frame a step
inside a compiled `lax.scan`. Clarabel and moreau: their `solve()` alone, on a solver built once; handing it
the next frame's numbers is not counted. CVXPY: the whole call on a problem canonicalised once, with
Clarabel behind it. "× peer": how many times as many frames a second scattermec solves as that peer does at
its best batch size (below 1: fewer). "Difference": the largest relative difference in energy from
scattermec's float64 solution over the frames that both call optimal. "Verdicts": frames that one calls
optimal and the other infeasible. "Undecided": frames that the solver itself calls neither."""

INTRODUCTION = """\
`make bench` measures all but GPUs and makes this page, from the numbers in
[benchmarks.json](benchmarks.json). `python -m benchmarks --only NAME --docs docs/benchmarks.md` renews one
section of both: `allocation` (P1), `beams` (P2), `learning`, `pendulum`, `trainers`, `rewards`, `startup`,
`sweeps`, `devices`, `gpu` or `seeds`. What another machine has saved by `--only NAME --json FILE` is taken
over by `--add FILE --docs docs/benchmarks.md`, with `--label TEXT` beside what is there already. Each section
begins with the command, commit, date and machine that its numbers are from."""

SECTIONS = {
    "allocation": ("P1, allocation for given beams", READING),
    "beams": ("P2, beams and allocation", "Everyone is served. The columns are those of P1."),
    "learning": ("Learning: speed", LEARNING),
    "pendulum": ("Learning: DDPG on Pendulum-v1", PENDULUM),
    "trainers": ("Trainers of others", TRAINERS),
    "rewards": ("Trainers of others with a denser reward", REWARDS),
    "startup": ("Commands that have little to do", STARTUP),
    "sweeps": ("Sweeps", SWEEPS),
    "devices": ("price-net on devices", DEVICES),
    "gpu": ("P1 and P2 on a GPU", GPU),
    "seeds": ("Seeds side by side on a GPU", SEEDS),
}
"""Title and explanation by name, in the order of the page.

A section added with a label is called "name, label" and follows the section of that name.
"""

WORDS = ("solver", "", "counted", "problem", "command", "stage")
"""Columns that do not contain numbers."""

BUSY = 0.9
"""A measurement counts as disturbed if its share of the core is below this."""


@dataclass
class Answers:
    """Verdicts and energies of one solver on the first frames, (F,) each."""

    verdict: np.ndarray
    energy: np.ndarray
    """J, idle included"""

    @property
    def decided(self) -> np.ndarray:
        """Which frames are called optimal or infeasible."""
        return np.isin(self.verdict, (OPTIMAL, INFEASIBLE))

    @classmethod
    def of(cls, pairs: Sequence[tuple[int, float]]) -> "Answers":
        """From one pair (verdict, energy) per frame."""
        verdict, energy = zip(*pairs, strict=True)
        return cls(np.array(verdict), np.array(energy, float))

    @classmethod
    def of_solutions(cls, solutions: Sequence[Any]) -> "Answers":
        """From scattermec's solutions, one per call."""
        return cls(
            verdict=np.concatenate([np.asarray(solution.status) for solution in solutions]),
            energy=np.concatenate([np.asarray(solution.energy, float) for solution in solutions]),
        )

    def compare(self, other: "Answers") -> dict[str, float | int | None]:
        """Agreement of two solvers on the frames that both have solved."""
        count = min(len(self.verdict), len(other.verdict))
        a, b = self.verdict[:count], other.verdict[:count]
        both = (a == OPTIMAL) & (b == OPTIMAL)
        decided = self.decided[:count] & other.decided[:count]
        difference = np.abs(self.energy[:count][both] / other.energy[:count][both] - 1)
        return {
            "compared_frames": int(both.sum()),
            "worst_energy_difference": float(difference.max()) if both.any() else None,
            "verdicts_that_differ": int((decided & (a != b)).sum()),
        }


@dataclass
class Case:
    """One problem at one size."""

    problem: str
    users: int
    antennas: int
    frames: int
    """number of frames that every solver gets"""
    infeasible_share: float | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    """solvers that could not be used, with the reason"""

    @property
    def title(self) -> str:
        """Heading of the case."""
        text = f"N = {self.users}, M = {self.antennas}, {self.frames} frames"
        if self.infeasible_share is not None:
            text += f", {self.infeasible_share:.1%} infeasible"
        return text

    def add(
        self,
        solver: str,
        batch: int,
        frames: int,
        timing: Timing,
        answers: Answers,
        ours: Answers | None,
        *,
        precision: str = "float64",
        scan: bool = False,
    ) -> None:
        """Add a row: ``frames`` solved per pass, ``batch`` per call; compared with ``ours`` if given."""
        row: dict[str, Any] = {
            "solver": solver,
            "precision": precision,
            "batch": batch,
            "scan": scan,
            "frames": frames,
            "passes": timing.passes,
            "core_share": timing.core_share,
            "frames_per_second": frames / timing.best,
            "frames_per_second_median": frames / timing.median,
            "frames_per_second_with_loading": frames / (timing.best + timing.loading),
            "microseconds_per_frame": 1e6 * timing.best / frames,
            "undecided": int((~answers.decided).sum()),
        }
        self.rows.append(row | (answers.compare(ours) if ours is not None else {}))

    def rate_of(self, peer: str) -> float | None:
        """Highest rate of a peer in frames per second."""
        return max((row["frames_per_second"] for row in self.rows if row["solver"] == peer), default=None)

    @property
    def peers(self) -> list[str]:
        """Solvers measured in addition to ours."""
        return list(dict.fromkeys(row["solver"] for row in self.rows if row["solver"] != OURS))

    def ratios(self, row: dict[str, Any]) -> dict[str, float]:
        """Our rate over each peer's; empty for a peer's own row."""
        if row["solver"] != OURS:
            return {}
        return {peer: row["frames_per_second"] / rate for peer in self.peers if (rate := self.rate_of(peer))}

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Head and rows for readers."""
        head = ["solver", "frames a call", "frames/s", "µs/frame", *(f"× {peer}" for peer in self.peers)]
        head += ["difference", "verdicts", "undecided"]
        lines = []
        for row in self.rows:
            name = row["solver"] + (" float32" if row["precision"] == "float32" else "")
            ratios = self.ratios(row)
            difference = row.get("worst_energy_difference")
            differ = row.get("verdicts_that_differ")
            lines.append(
                [
                    name,
                    "1 (scan)" if row["scan"] else str(row["batch"]),
                    f"{row['frames_per_second']:,.0f}",
                    f"{row['microseconds_per_frame']:,.1f}",
                    *(f"{ratios[peer]:.2f}" if peer in ratios else "" for peer in self.peers),
                    "" if difference is None else f"{difference:.0e}",
                    "" if differ is None else str(differ),
                    str(row["undecided"]),
                ]
            )
        return head, lines

    def as_json(self) -> dict[str, Any]:
        """All data, with the ratios."""
        return asdict(self) | {"rows": [row | {"ratio_to": self.ratios(row)} for row in self.rows]}

    @property
    def remarks(self) -> list[str]:
        """One line per solver left out, per note, and per row that shared its core."""
        lines = [f"{name}: not measured, {reason}" for name, reason in self.skipped.items()]
        lines += [f"{name}: {value:.3g}" for name, value in self.notes.items()]
        share = min((row.get("core_share", 1.0) for row in self.rows), default=1.0)
        if share < BUSY:
            lines.append(
                f"other processes ran on this core (a row had {share:.0%} of it): repeat on a quiet machine"
            )
        return lines


@dataclass
class Section:
    """One kind of measurement, with a description of its machine."""

    name: str
    about: dict[str, Any]
    save: Callable[[], None]
    """to be called after every new result"""
    tables: list[Case | Sheet] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Heading of the section."""
        name, comma, label = self.name.partition(", ")
        return SECTIONS[name][0] + comma + label

    @property
    def reading(self) -> str:
        """How to read the section."""
        name, _, label = self.name.partition(", ")
        return "Read as above." if label else SECTIONS[name][1]

    def as_json(self) -> dict[str, Any]:
        """All data."""
        return {"about": self.about, "tables": [table.as_json() for table in self.tables]}

    def origin(self) -> str:
        """Commit, date, machine and settings of the numbers, on one line."""
        about, machine = self.about, self.about["machine"]
        packages = dict(about["versions"])
        commit = packages.pop("commit", None) or "unknown"
        known = [f"{name} {version}" for name, version in packages.items() if version]
        bound = "not bound to one core" if machine["pinned_to_core"] is None else "one core"
        parts = [
            f"`{about['command']}`",
            f"commit {commit}",
            about["started"][:10] + ("" if about["finished"] else " (not finished)"),
            f"{machine['processor']}, {machine['system']}, {bound}",
            *([about["solver"]] if "solver" in about else []),
            f"Python {machine['python']}, {', '.join(known)}",
        ]
        return "; ".join(parts) + "."


class Results:
    """All sections, written to a JSON file after every row; sections that are not measured again stay."""

    def __init__(self, path: Path | None, about: dict[str, Any]) -> None:
        self.path = path
        self.about = about
        self.sections: dict[str, Section] = {}
        self.measured: list[Section] = []
        """sections of this run"""
        if path is not None and path.exists():
            self.add(path)

    def add(self, path: Path, label: str | None = None) -> list[str]:
        """Take over the sections of another file, replacing those of the same name and label.

        Returns the names in that file. Raises ValueError if it is not a file of results.
        """
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            found = None
        if not isinstance(found, dict) or not {_kind(name) for name in found} <= set(SECTIONS):
            raise ValueError(
                f"{path}: is not a file of benchmarks; its sections must be {', '.join(SECTIONS)}"
            )
        for name, data in found.items():
            tables = [_table(table) for table in data["tables"]]
            name = name if label is None else f"{_kind(name)}, {label}"
            self.sections[name] = Section(name, data["about"], self.save, tables)
        return list(found)

    def start(self, name: str) -> Section:
        """An empty section, replacing the one of that name."""
        about = self.about | {"started": _now(), "finished": None}
        self.sections[name] = Section(name, about, self.save)
        self.measured.append(self.sections[name])
        return self.sections[name]

    def resume(self, name: str) -> Section:
        """The section of that name, to add to; it goes on saying where it is from. Raises ValueError."""
        if name not in self.sections:
            raise ValueError(f"{self.path or 'no file'}: has no section {name} to add to")
        self.measured.append(self.sections[name])
        return self.sections[name]

    def source(self) -> str:
        """Command, commit and date of this run, for what it adds to a section of another."""
        commit = self.about["versions"]["commit"] or "unknown"
        return f"by `{self.about['command']}`, commit {commit}, {_now()[:10]}"

    def finish(self, section: Section) -> None:
        """Record in the file that the section is complete."""
        section.about["finished"] = _now()
        self.save()

    def save(self) -> None:
        """Write all sections atomically."""
        if self.path is None:
            return
        numbers = {section.name: section.as_json() for section in self.in_order()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(self.path, json.dumps(numbers, indent=1) + "\n")

    def in_order(self) -> list[Section]:
        """The sections in the order of the page."""
        order = list(SECTIONS)
        return sorted(
            self.sections.values(),
            key=lambda section: (order.index(_kind(section.name)), section.name != _kind(section.name)),
        )

    def print(self, console: Console) -> None:
        """Print this run's measurements on a terminal."""
        for section in self.measured:
            for part in section.tables:
                head, lines = part.table()
                title = f"{section.title}: {part.title}"
                if not lines:
                    console.print(title, highlight=False)
                table = Table(title=title, title_justify="left")
                for name in head:
                    table.add_column(name, justify="left" if name in WORDS else "right")
                for line in lines:
                    table.add_row(*line)
                if lines:
                    console.print(table)
                for remark in part.remarks:
                    console.print(f"  {remark}", highlight=False)
                console.print()

    def page(self) -> str:
        """All sections as a Markdown page."""
        lines = ["# Benchmarks", "", INTRODUCTION]
        for section in self.in_order():
            lines += ["", f"## {section.title}", "", section.origin(), "", section.reading]
            for part in section.tables:
                title = part.title[0].upper() + part.title[1:]
                lines += ["", f"### {title}", "", *_markdown(*part.table(), part.remarks)]
        return "\n".join(lines).rstrip() + "\n"


def _kind(name: str) -> str:
    """A section's name without its label."""
    return name.split(", ", 1)[0]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _table(data: dict[str, Any]) -> Case | Sheet:
    """The inverse of `as_json`."""
    return Case(**data) if "problem" in data else Sheet(**data)


def _markdown(head: list[str], rows: list[list[str]], remarks: list[str]) -> list[str]:
    lines = []
    if rows:
        lines = ["| " + " | ".join(head) + " |"]
        lines.append("|" + "|".join("---" if name in WORDS else "---:" for name in head) + "|")
        lines += ["| " + " | ".join(row) + " |" for row in rows]
        lines += [""] if remarks else []
    return [*lines, *(f"- {remark}" for remark in remarks)]
