"""The folder of a reproduction: its settings, and its measurements as a tidy table that can be continued."""

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from scattermec._yaml import show
from scattermec.errors import InputError
from scattermec.experiments.measure.beams import BEAMS
from scattermec.experiments.measure.sweeps import SWEEPS, Measurement, Sweep, Swept, metrics_of
from scattermec.scenario import Scenario
from scattermec.storage.atomic import replace_text, replacing
from scattermec.storage.texts import read_object, read_text

DATA = "data.csv"
PARQUET = "data.parquet"
MANIFEST = "run.json"

_TYPES: dict[str, type] = {f.name: f.type for f in dataclasses.fields(Measurement)}  # type: ignore[misc]
COLUMNS = ("figures", *_TYPES)

Point = tuple[str, float, str]
"""A sweep's name, a value of its constant, and the kind of beams."""


@dataclass
class Results:
    """The measurements in a folder, point by point, each point complete or absent."""

    folder: Path
    points: dict[Point, list[Measurement]] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, settings: Mapping[str, Any], *, overwrite: bool = False) -> "Results":
        """Start in an empty folder, or continue one with the same settings; ``overwrite`` discards results.

        Raises InputError, naming the differences, if the folder has other settings.
        """
        folder.mkdir(parents=True, exist_ok=True)
        results = cls(folder)
        if not overwrite:
            results._check(settings)
            results._load()
        replace_text(folder / MANIFEST, json.dumps(settings, indent=2) + "\n")
        # Incomplete points of an interrupted run are dropped, so that rows can be appended.
        results.rewrite()
        return results

    @classmethod
    def read(cls, folder: Path) -> "Results":
        """Results in a folder, which is left unchanged."""
        results = cls(folder)
        results._load()
        return results

    def _check(self, settings: Mapping[str, Any]) -> None:
        path = self.folder / MANIFEST
        if not path.exists():
            if (self.folder / DATA).exists():
                raise InputError([f"{path}: is missing beside {DATA}, whose settings are then unknown"])
            return
        found = read_object(path)
        wanted = json.loads(json.dumps(settings))
        if found != wanted:
            raise InputError(
                [
                    f"{self.folder}: holds results of other settings; choose another folder, or --overwrite",
                    *(f"{self.folder}: {difference}" for difference in _differences(found, wanted)),
                ]
            )

    def _load(self) -> None:
        path = self.folder / DATA
        if not path.exists():
            return
        header, *lines = read_text(path).split("\n")
        if lines and header.split(",") != list(COLUMNS):
            raise InputError([f"{path}: line 1 must be {','.join(COLUMNS)}"])
        # After the last line's end there is nothing, or an incomplete line of an interrupted run.
        for number, line in enumerate(lines[:-1], start=2):
            measurement = _measurement(line)
            if measurement is None:
                raise InputError([f"{path}: line {number} is damaged"])
            self.points.setdefault(_point(measurement), []).append(measurement)
        self.points = {point: rows for point, rows in self.points.items() if _is_complete(point[0], rows)}

    def add(self, measurements: list[Measurement]) -> None:
        """Add one or more whole points, also to the file."""
        points: dict[Point, list[Measurement]] = {}
        for row in measurements:
            points.setdefault(_point(row), []).append(row)
        self.points |= points
        with (self.folder / DATA).open("a", encoding="utf-8", newline="") as file:
            file.write(lines_of(measurements))

    def rewrite(self) -> None:
        """Write the table in order, so that it does not depend on the order in which points came."""
        ordered = self._ordered()
        header = ",".join(COLUMNS) + "\n"
        replace_text(self.folder / DATA, header + "".join(lines_of(self.points[point]) for point in ordered))

    def export(self) -> None:
        """Write the table as Parquet too, with the settings in its metadata, under `scattermec.settings`."""
        import pyarrow
        import pyarrow.parquet

        rows = self.measurements()
        kinds = {str: pyarrow.string(), float: pyarrow.float64(), int: pyarrow.int64()}
        notes = {"scattermec.settings": (self.folder / MANIFEST).read_text(encoding="utf-8")}
        schema = pyarrow.schema([(name, kinds[kind]) for name, kind in _TYPES.items()], metadata=notes)
        columns = {name: [getattr(row, name) for row in rows] for name in _TYPES}
        with replacing(self.folder / PARQUET) as partial, partial.open("wb") as file:
            pyarrow.parquet.write_table(pyarrow.table(columns, schema=schema), file)

    def measurements(self) -> list[Measurement]:
        """All measurements, in order."""
        return [row for point in self._ordered() for row in self.points[point]]

    def _ordered(self) -> list[Point]:
        """The points by sweep, value and kind of beams, kinds unknown here last."""
        sweeps: list[str] = list(SWEEPS)
        kinds: list[str] = [*BEAMS, *sorted({kind for *_, kind in self.points} - {*BEAMS})]
        return sorted(self.points, key=lambda p: (sweeps.index(p[0]), p[1], kinds.index(p[2])))

    @property
    def files(self) -> tuple[Path, ...]:
        """The table in both formats, and the settings."""
        return self.folder / DATA, self.folder / PARQUET, self.folder / MANIFEST

    def has(self, sweep: Sweep, values: Iterable[float], beams: Iterable[str]) -> bool:
        """Whether all of these points are there for all of these kinds of beams."""
        kinds = list(beams)
        return all((sweep.name, value, kind) in self.points for value in values for kind in kinds)


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings under which the results of a folder were computed; raises InputError if it has none."""
    path = folder / MANIFEST
    settings = read_object(path)
    wanted = {"version": str, "regime": str, "points": dict, "frames": int, "seed": int, "beams": list}
    wanted["scenario"] = dict
    faults = [
        f"{path}: {name}: {show(settings.get(name), 80)} is not allowed; it must be a {kind.__name__}"
        for name, kind in wanted.items()
        if not isinstance(settings.get(name), kind)
    ]
    if not faults:
        points = settings["points"]
        faults = [f"{path}: points: {name} is missing" for name in SWEEPS if name not in points]
        faults += [
            f"{path}: points: {name}: {show(values, 80)} is not allowed; it must be a list of numbers"
            for name, values in points.items()
            if not isinstance(values, list) or not all(type(value) in (int, float) for value in values)
        ]
        faults += [
            f"{path}: beams: {show(kind, 80)} is not allowed; it must be one of {', '.join(BEAMS)}"
            for kind in settings["beams"]
            if kind not in BEAMS
        ]
    if faults:
        raise InputError(faults)
    return settings


def scenario_of(folder: Path) -> Scenario:
    """The scenario of a folder's results; raises InputError if it has no valid one."""
    settings = read_settings(folder)
    try:
        return Scenario(**settings["scenario"])
    except InputError as error:
        raise InputError(f"{folder / MANIFEST}: scenario: {fault}" for fault in error.faults) from None


def scenario_option(scenario: Scenario, folder: Path) -> list[str]:
    """``--scenario`` with the name of the scenario, or with the file in the report's folder."""
    return ["--scenario", scenario.known_as or str(folder / "scenario.yaml")]


def measurements_of(lines: str) -> list[Measurement]:
    """The measurements in lines of the table; raises InputError if one is damaged."""
    found = [_measurement(line) for line in lines.splitlines()]
    if None in found:
        raise InputError([f"{DATA}: a line is damaged"])
    return [row for row in found if row is not None]


def _measurement(line: str) -> Measurement | None:
    """The measurement in a line of the table; None if there is none."""
    try:
        (row,) = csv.reader([line], strict=True)
        cells = dict(zip(COLUMNS, row, strict=True))
        return Measurement(**{name: kind(cells[name]) for name, kind in _TYPES.items()})
    except (csv.Error, TypeError, ValueError):
        return None


def _point(row: Measurement) -> Point:
    return row.swept, row.value, row.beams


def _sweep(name: str) -> Sweep:
    return SWEEPS[cast(Swept, name)]


def _is_complete(swept: str, rows: list[Measurement]) -> bool:
    if swept not in SWEEPS:
        return False
    sweep = _sweep(swept)
    expected = {(scheme, metric) for scheme in sweep.schemes for metric in metrics_of(sweep, scheme)}
    return len(rows) == len(expected) and {(row.scheme, row.metric) for row in rows} == expected


def lines_of(measurements: Iterable[Measurement]) -> str:
    """Measurements as lines of the table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in measurements:
        writer.writerow([" ".join(_sweep(row.swept).figures), *dataclasses.astuple(row)])
    return text.getvalue()


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = "") -> list[str]:
    """One phrase per setting that differs, down to single constants."""
    lines = []
    for name in sorted({*found, *wanted}):
        there, here = found.get(name), wanted.get(name)
        if isinstance(there, dict) and isinstance(here, dict):
            lines += _differences(there, here, f"{prefix}{name}.")
        elif there != here:
            lines.append(f"{prefix}{name} is {there} there and {here} here")
    return lines
