"""The benchmark set and its optima, for `scattermec benchmark-set`."""

import os
from pathlib import Path
from typing import Any

from scattermec.cli.jobs import solve
from scattermec.cli.output import Report
from scattermec.experiments.evaluate.benchmark_frames import write_inputs
from scattermec.experiments.evaluate.benchmark_set import FILES, NAME, OPTIMA, SCENARIOS
from scattermec.experiments.measure.table import Table
from scattermec.scenario import Scenario
from scattermec.storage import open_frames
from scattermec.storage.atomic import discard, partial_of

COLUMNS = (
    "scenario",
    "users, antennas",
    "everyone can be served, %",
    "energy of serving everyone, J",
    "best reward, kbit/J",
    "largest gap",
)


def run(out: Path, frames: int, *, quiet: bool) -> Report:
    """Make the set in the folder ``out``, which is complete or absent."""
    partial = partial_of(out)
    discard(partial)  # left by a killed writer
    try:
        partial.mkdir()
        write_inputs(partial, frames)
        found = {name: _solved(partial / name, quiet) for name in SCENARIOS}
        os.replace(partial, out)
    finally:
        discard(partial)
    rows = tuple(_row(name, summaries) for name, summaries in found.items())
    return Report(
        data={"name": NAME, "frames": frames, "scenarios": found},
        tables=[Table(f"{NAME}, {frames:,} frames per scenario", "", COLUMNS, rows)],
    )


def _solved(folder: Path, quiet: bool) -> dict[str, dict[str, Any]]:
    """Write the optima of a scenario; returns the summaries."""
    scenario, path = Scenario.load(folder / FILES[0]), folder / FILES[1]
    found = {}
    for serve, file in OPTIMA.items():
        how = {"scheme": "hybrid", "serve": serve, "beams": "optimal"}
        report = solve.run(open_frames(path), path, folder / file, scenario, how, margin=0.0, quiet=quiet)
        about = (*how, "margin", "frames_from", "out", "seconds", "frames_per_second", "version", "scenario")
        found[serve] = {name: value for name, value in report.data.items() if name not in about}
    return found


def _row(name: str, found: dict[str, dict[str, Any]]) -> tuple[str, ...]:
    everyone, best = found["all"], found["best"]
    energy = everyone["mean_energy"]
    return (
        name,
        f"{everyone['users']}, {everyone['antennas']}",
        f"{100 * everyone['feasible_share']:.4g}",
        "-" if energy is None else f"{energy:.5g}",
        f"{best['mean_reward']:.5g}",
        f"{max(part['largest_gap'] or 0 for part in found.values()):.1g}",
    )
