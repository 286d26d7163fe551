"""What was measured: one row a solver and batch size, saved as it comes; tables made of it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.sheets import LEARNING, Sheet
from benchmarks.timing import Timing
from reference_allocation import OPTIMAL, UNDECIDED
from scattermec.storage import replace_text

OURS = "scattermec"
PROBLEMS = {
    "allocation": "P1, allocation for given beams",
    "beams": "P2, beams and allocation",
}
READING = """\
P1 serves everyone, with beams for maximum ratio transmission. All on one core, in one process, on the same
frames, infeasible ones included; each number is from the best of several passes over all frames.
scattermec: the whole call, from frames to solutions, compiled beforehand; `scan` solves one frame a step
inside a compiled `lax.scan`. Clarabel and moreau: their `solve()` alone, on a solver built once; handing it
the next frame's numbers is not counted. CVXPY: the whole call on a problem canonicalised once, with
Clarabel behind it. "× peer": how many times as many frames a second scattermec solves as that peer does at
its best batch size (below 1: fewer). "Difference": the largest relative difference in energy from
scattermec's float64 solution over the frames that both call optimal. "Verdicts": frames that one calls
optimal and the other infeasible. "Undecided": frames on which the solver itself gives up."""


WORDS = ("solver", "", "counted")
"""Columns that do not hold numbers."""

BUSY = 0.9
"""Share of the core below which a measurement is called disturbed."""


@dataclass
class Answers:
    """Verdicts and energies of one solver on the first frames, (F,) each."""

    verdict: np.ndarray
    energy: np.ndarray
    """J, idle included"""

    @classmethod
    def of(cls, pairs: Sequence[tuple[int, float]]) -> "Answers":
        """From one (verdict, energy) a frame."""
        verdict, energy = zip(*pairs, strict=True)
        return cls(np.array(verdict), np.array(energy, float))

    def compare(self, other: "Answers") -> dict[str, float | int | None]:
        """How far two solvers agree on the frames that both have seen."""
        count = min(len(self.verdict), len(other.verdict))
        a, b = self.verdict[:count], other.verdict[:count]
        both = (a == OPTIMAL) & (b == OPTIMAL)
        decided = (a != UNDECIDED) & (b != UNDECIDED)
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
    """how many every solver gets"""
    infeasible_share: float | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    """solvers that could not be used, with the reason"""

    @property
    def title(self) -> str:
        """What it is."""
        text = f"{PROBLEMS[self.problem]}: N = {self.users}, M = {self.antennas}, {self.frames} frames"
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
        """One row: ``frames`` were solved in a pass, ``batch`` a call; compared with ``ours`` if given."""
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
            "undecided": int((answers.verdict == UNDECIDED).sum()),
        }
        self.rows.append(row | (answers.compare(ours) if ours is not None else {}))

    def rate_of(self, peer: str) -> float | None:
        """Frames per second of a peer at its best."""
        return max((row["frames_per_second"] for row in self.rows if row["solver"] == peer), default=None)

    @property
    def peers(self) -> list[str]:
        """Solvers measured beside ours."""
        return list(dict.fromkeys(row["solver"] for row in self.rows if row["solver"] != OURS))

    def ratios(self, row: dict[str, Any]) -> dict[str, float]:
        """Our frames per second over each peer's; empty for a peer's own row."""
        if row["solver"] != OURS:
            return {}
        return {peer: row["frames_per_second"] / rate for peer in self.peers if (rate := self.rate_of(peer))}

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Head and rows for people."""
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

    def remarks(self) -> list[str]:
        """One line for each solver left out, each note, and each row that shared its core."""
        lines = [f"{name}: not measured, {reason}" for name, reason in self.skipped.items()]
        lines += [f"{name}: {value:.3g}" for name, value in self.notes.items()]
        share = min((row["core_share"] for row in self.rows), default=1.0)
        if share < BUSY:
            lines.append(
                f"other processes ran on this core (a row had {share:.0%} of it): repeat on a quiet machine"
            )
        return lines


class Results:
    """All cases of a run, written to a JSON file after every row."""

    def __init__(self, path: Path | None, about: dict[str, Any]) -> None:
        self.path = path
        self.about = about | {"started": datetime.now(UTC).isoformat(timespec="seconds"), "finished": None}
        self.cases: list[Case] = []
        self.sheets: list[Sheet] = []
        """about learning"""

    def save(self) -> None:
        """Write what there is, in one piece."""
        if self.path is None:
            return
        cases = []
        for case in self.cases:
            rows = [row | {"ratio_to": case.ratios(row)} for row in case.rows]
            cases.append(asdict(case) | {"rows": rows})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        numbers = self.about | {"cases": cases, "learning": [sheet.as_json() for sheet in self.sheets]}
        replace_text(self.path, json.dumps(numbers, indent=1) + "\n")

    def finish(self) -> None:
        """Say in the file that the run is complete."""
        self.about["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
        self.save()

    def print(self, console: Console) -> None:
        """The tables on a terminal."""
        parts = [(case.title, *case.table(), case.remarks()) for case in self.cases]
        parts += [(sheet.title, *sheet.table(), sheet.remarks) for sheet in self.sheets]
        for title, head, lines, remarks in parts:
            table = Table(title=title, title_justify="left")
            for name in head:
                table.add_column(name, justify="left" if name in WORDS else "right")
            for line in lines:
                table.add_row(*line)
            console.print(table)
            for remark in remarks:
                console.print(f"  {remark}", highlight=False)
            console.print()

    def write_page(self, path: Path) -> None:
        """The same as a Markdown page."""
        machine, versions = self.about["machine"], self.about["versions"]
        core = machine["pinned_to_core"]
        known = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
        lines = [
            "# Benchmarks",
            "",
            "Made by `make bench`; this page by",
            "",
            f"    {self.about['command']}",
            "",
            f"on {machine['processor']}, {machine['system']}, "
            + ("one core" if core is not None else "not bound to one core")
            + f", {self.about['started'][:10]}, with Python {machine['python']}, {known}.",
        ]
        if self.cases:
            lines += ["", READING]
        for case in self.cases:
            lines += ["", f"## {case.title}", "", *_markdown(*case.table(), case.remarks())]
        if self.sheets:
            lines += ["", "## Learning", "", LEARNING]
        for sheet in self.sheets:
            title = sheet.title.removeprefix("Learning: ")
            title = title[0].upper() + title[1:]
            lines += ["", f"### {title}", "", *_markdown(*sheet.table(), sheet.remarks)]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def _markdown(head: list[str], rows: list[list[str]], remarks: list[str]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |"]
    lines.append("|" + "|".join("---" if name in WORDS else "---:" for name in head) + "|")
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return [*lines, "", *(f"- {remark}" for remark in remarks)]
