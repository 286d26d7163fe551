"""What lies in the folder of a reproduction, read and judged: all that its report is made of.

To add something: keep its numbers as a file in the folder while computing (`reproduce.reproduce`), and read
them here. Tables have a place of their own, `tables.collect`. Kinds of beams that the settings do not know
(rows of data.csv, such as those of learned policies) are judged and drawn like any other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scattermec.errors import InputError
from scattermec.experiments import figures, frame_pictures, price_nets, tables
from scattermec.experiments.beams import BEAMS
from scattermec.experiments.claims import Finding, examine
from scattermec.experiments.frame_pictures import PlayedFrame
from scattermec.experiments.learning import RUNS, LearningCurves, examine_learning
from scattermec.experiments.record import Record
from scattermec.experiments.results import MANIFEST, Results, read_settings
from scattermec.experiments.sweeps import COMPARED_BEAMS, SWEEPS, Measurement
from scattermec.experiments.tables import Table
from scattermec.scenario import Scenario


@dataclass(frozen=True)
class Contents:
    """What the folder of a reproduction holds, read and judged."""

    folder: Path
    settings: Mapping[str, Any]
    scenario: Scenario
    measurements: Sequence[Measurement]
    curves: Sequence[LearningCurves]
    findings: Sequence[Finding]
    pictures: Sequence[figures.Picture]
    """the figures of sweeps for which every point is there"""
    frames: Sequence[PlayedFrame]
    """the same frame under each policy"""
    tables: Sequence[Table]
    record: Record


def read(folder: Path) -> Contents:
    """Everything in the folder, with the verdicts that follow from it.

    Raises InputError where the folder holds no results, or some that cannot be read.
    """
    if not folder.is_dir():
        raise InputError([f"{folder}: there is no such folder"])
    if not (folder / MANIFEST).exists():
        raise InputError(
            [f"{folder}: holds no results: there is no {MANIFEST}; `scattermec reproduce` makes them"]
        )
    settings = read_settings(folder)
    results = Results.read(folder)
    curves = price_nets.read_figure_curves(folder)
    measurements = results.measurements()
    try:
        scenario = Scenario(**settings["scenario"])
    except InputError as error:
        raise InputError(f"{folder / MANIFEST}: scenario: {fault}" for fault in error.faults) from None
    frames = frame_pictures.read_frames(folder, scenario)
    if not measurements and not curves and not frames:
        raise InputError(
            [f"{folder}: holds no results yet: no point of a figure is in it, and no finished run in {RUNS}"]
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
    shown = [frame_pictures.table(frames, folder, scenario)] if frames else []
    return Contents(
        folder=folder,
        settings=settings,
        scenario=scenario,
        measurements=measurements,
        curves=curves,
        findings=findings,
        pictures=_drawable(settings, results, kinds),
        frames=frames,
        tables=[*shown, *tables.collect(folder)],
        record=Record.open(folder),
    )


def kinds_of_beams(settings: Mapping[str, Any], measurements: Sequence[Measurement]) -> list[str]:
    """Those that the settings ask for, then whatever else was measured that is no mere kind of beams."""
    others = dict.fromkeys(row.beams for row in measurements if row.beams not in BEAMS)
    return [*settings["beams"], *others]


def _drawable(settings: Mapping[str, Any], results: Results, kinds: Sequence[str]) -> list[figures.Picture]:
    """The figures for which every point is there."""
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
