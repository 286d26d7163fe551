"""Contents of the folder of a reproduction, read and judged: everything that its report needs.

Tables come from the studies. Kinds of beams that the settings do not name (rows of data.csv, such as those of
learned policies) are judged and drawn like any other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scattermec.errors import InputError
from scattermec.experiments.claims.learning import LearningCurves, examine_learning
from scattermec.experiments.claims.optima import Finding, examine
from scattermec.experiments.measure.beams import BEAMS
from scattermec.experiments.measure.sweeps import COMPARED_BEAMS, SWEEPS, Measurement
from scattermec.experiments.measure.table import Table
from scattermec.experiments.report import figures
from scattermec.experiments.studies.base import every_study
from scattermec.experiments.studies.figure_2 import Figure2, read_curves
from scattermec.experiments.studies.frame import PlayedFrame, read_frames
from scattermec.experiments.studies.named import Verdicts, read_verdicts
from scattermec.experiments.studies.record import Record
from scattermec.experiments.studies.results import MANIFEST, Results, read_settings, scenario_of
from scattermec.scenario import Scenario


@dataclass(frozen=True)
class Contents:
    """Contents of the folder of a reproduction, read and judged."""

    folder: Path
    settings: Mapping[str, Any]
    scenario: Scenario
    measurements: Sequence[Measurement]
    curves: Sequence[LearningCurves]
    findings: Sequence[Finding]
    pictures: Sequence[figures.Picture]
    """the figures of sweeps whose points are complete"""
    frames: Sequence[PlayedFrame]
    """the same frame under each policy"""
    tables: Sequence[Table]
    record: Record
    named: Mapping[str, Verdicts]
    """verdicts in the other scenarios that come with the package"""


def read(folder: Path) -> Contents:
    """Everything in the folder, with the verdicts that follow from it.

    Raises InputError if the folder holds no results, or unreadable ones.
    """
    if not folder.is_dir():
        raise InputError([f"{folder}: there is no such folder"])
    if not (folder / MANIFEST).exists():
        raise InputError(
            [f"{folder}: holds no results: there is no {MANIFEST}; `scattermec reproduce` makes them"]
        )
    settings = read_settings(folder)
    results = Results.read(folder)
    curves = read_curves(folder)
    measurements = results.measurements()
    scenario = scenario_of(folder)
    frames = read_frames(folder, scenario)
    tables = [table for study in every_study() for table in study.tables(folder)]
    if not measurements and not curves and not frames and not tables:
        raise InputError(
            [
                f"{folder}: holds no results yet: no point of a figure is in it, "
                f"and no finished run in {Figure2.name}"
            ]
        )
    kinds = kinds_of_beams(settings, measurements)
    points = settings["points"]
    findings = examine_learning(curves) + [
        finding
        for kind in kinds
        for finding in examine(
            [row for row in measurements if row.beams == kind],
            [sweep.name for sweep in SWEEPS.values() if results.has(sweep, points[sweep.name], [kind])],
            kind,
        )
    ]
    return Contents(
        folder=folder,
        settings=settings,
        scenario=scenario,
        measurements=measurements,
        curves=curves,
        findings=findings,
        pictures=_drawable(settings, results, kinds),
        frames=frames,
        tables=tables,
        record=Record.open(folder),
        named=read_verdicts(folder),
    )


def kinds_of_beams(settings: Mapping[str, Any], measurements: Sequence[Measurement]) -> list[str]:
    """The kinds that the settings ask for, then any others that were measured."""
    others = dict.fromkeys(row.beams for row in measurements if row.beams not in BEAMS)
    return [*settings["beams"], *others]


def _drawable(settings: Mapping[str, Any], results: Results, kinds: Sequence[str]) -> list[figures.Picture]:
    """The figures whose points are complete."""
    pictures: list[figures.Picture] = []
    for sweep in SWEEPS.values():
        values = settings["points"][sweep.name]
        for name in sweep.figures:
            if name == "beams":
                complete = results.has(sweep, values, COMPARED_BEAMS)
                pictures += [figures.Picture(name)] if complete else []
            else:
                pictures += [
                    figures.Picture(name, kind) for kind in kinds if results.has(sweep, values, [kind])
                ]
    return pictures
