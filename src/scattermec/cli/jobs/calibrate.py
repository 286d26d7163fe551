"""Constants under which the paper's claims hold, for `scattermec calibrate`."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from scattermec._processes import run_in_processes
from scattermec.cli.jobs.common import command_line, warn_without_kernel
from scattermec.cli.output import Report, described_progress
from scattermec.engines import ray
from scattermec.experiments.calibrate.calibration import FULL, QUICK, RECORD, WINNER, Calibration
from scattermec.experiments.calibrate.tables import shipped, tables
from scattermec.scenario import Scenario


def run(
    folder: Path,
    base: Scenario,
    *,
    quick: bool,
    seed: int,
    quiet: bool,
    on_ray: bool = False,
    address: str | None = None,
) -> Report:
    """Calibrate in a folder, or continue there."""
    warn_without_kernel(True)
    share = partial(ray.share, address=address) if on_ray else run_in_processes
    # With an absolute path, since workers of Ray have working folders of their own.
    calibration = Calibration(folder.absolute(), base, QUICK if quick else FULL, seed, share)
    with described_progress("Sampling", quiet=quiet, unit="scenarios") as update:
        record = calibration.run(update)
    found = f"The scenario found: {folder / WINNER}. The record: {folder / RECORD}."
    return _report(record, command_line(), [found])


def show() -> Report:
    """The calibration that comes with the package."""
    return _report(shipped(), "scattermec calibrate", ["The scenario found: --scenario paper."])


def _report(record: Mapping[str, Any], command: str, notes: list[str]) -> Report:
    return Report(data=record, tables=tables(record, command), values=_values(record), notes=notes)


def _values(record: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    yield ("claim", "other", "joint_margin")
    for first, others in record["joint"].items():
        for second, margin in others.items():
            yield (first, second, margin)
