"""Sweeps: scenarios in one program beside a process for each; a million trainings with a stub for each."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.processes import Worker
from benchmarks.results import Section
from benchmarks.sheets import Sheet
from benchmarks.startup import _run

ALONE = ("simulate", "--frames", "500")
PROJECTED = 10_000

PLAN = """\
job: simulate
options: {frames: 500}
draw:
  count: COUNT
  over:
    ap_power: {low: 0.25, high: 4, log: true}
    bandwidth: {low: 4, high: 16, log: true}
    mean_workload: {low: 20, high: 60}
"""

Tell = Callable[[str], None]


def compare_sweeps(section: Section, *, quick: bool, tell: Tell) -> None:
    """Processor time per scenario, alone and in sweeps of two sizes."""
    sheet = Sheet(
        "scenarios of 500 frames",
        {
            "command": ("command", ""),
            "scenarios": ("scenarios", ",d"),
            "processor": ("processor time, s", ",.1f"),
            "each": ("per scenario, s", ".3f"),
            "ratio": ("× a process each", ",.0f"),
            "projected": ("10,000 scenarios, min", ",.1f"),
        },
    )
    section.tables.append(sheet)
    rounds, counts = (1, (32,)) if quick else (3, (200, 1000))
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name), str(Path(name) / "cache")
        tell(f"scattermec {' '.join(ALONE)}: a process for each scenario")
        _run(ALONE, folder, cache)
        alone = min(_run((*ALONE, "--seed", str(seed)), folder, cache).processor for seed in range(rounds))
        sheet.rows.append(
            {
                "command": f"`{' '.join(ALONE)}`",
                "scenarios": 1,
                "processor": alone,
                "each": alone,
                "projected": alone * PROJECTED / 60,
            }
        )
        section.save()
        spent: dict[int, float] = {}
        for count in counts:
            tell(f"scattermec sweep run: {count} scenarios")
            (folder / "plan.yaml").write_text(PLAN.replace("COUNT", str(count)))
            command = ("sweep", "run", "plan.yaml", "--out", f"swept-{count}", "--processes", "1")
            with tempfile.TemporaryDirectory() as empty:
                spent[count] = _run(command, folder, empty).processor
            least = counts[0]
            slope = (spent[count] - spent[least]) / (count - least) if count > least else spent[count] / count
            sheet.rows.append(
                {
                    "command": "`sweep run`",
                    "scenarios": count,
                    "processor": spent[count],
                    "each": spent[count] / count,
                    "ratio": alone * count / spent[count],
                    "projected": (spent[count] + slope * (PROJECTED - count)) / 60,
                }
            )
            section.save()


def simulate_trainings(section: Section, tasks: int, *, tell: Tell) -> None:
    """Plan, groups, files and merge of many trainings, with a stub for the training itself."""
    sheet = Sheet(
        f"{tasks:,} trainings, simulated",
        {
            "stage": ("stage", ""),
            "seconds": ("elapsed, s", ",.1f"),
            "per_task": ("per task, µs", ",.0f"),
            "memory": ("memory, most, MiB", ",.0f"),
        },
    )
    section.tables.append(sheet)
    with tempfile.TemporaryDirectory() as folder:
        tell(f"{tasks:,} trainings with a stub")
        with Worker("sweeps_worker", {"folder": folder, "tasks": tasks}) as worker:
            while (answer := worker.answer()) is not None:
                if "stage" in answer:
                    sheet.rows.append(answer)
                else:
                    sheet.remarks.append(answer["remark"])
                section.save()
