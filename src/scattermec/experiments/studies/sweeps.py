"""Fig. 3 and 4, and the comparison of beams: exact optima measured at each point of the sweeps."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scattermec.experiments.measure.beams import Beams
from scattermec.experiments.measure.sweeps import COMPARED_BEAMS, SWEEPS, Sweep, measure_point
from scattermec.experiments.studies.base import Progress, Study
from scattermec.experiments.studies.plan import Plan
from scattermec.experiments.studies.results import Point, Results, lines_of, measurements_of

SweepPoint = tuple[Sweep, float]
"""A sweep and a value of its constant."""


@dataclass(frozen=True)
class SweepStudy(Study[SweepPoint, Results]):
    """A study that measures points of the sweeps and adds them to the table of the folder."""

    plan: Plan

    @classmethod
    def of(cls, plan: Plan) -> "SweepStudy":
        """The study that the plan asks for."""
        return cls(plan)

    def settings(self) -> dict[str, Any]:
        """Everything that the measurements depend on."""
        return self.plan.settings()

    def open(self, folder: Path) -> Results:
        """The measurements in a folder; raises InputError if they were made with other settings."""
        return Results.open(folder, self.settings())

    def keep(self, kept: Results, item: SweepPoint, finding: str) -> None:
        """Add a point to the table."""
        kept.add(measurements_of(finding))

    def part(self, item: SweepPoint) -> str:
        """Every sweep is a part of its own."""
        return f"{self.title} of {item[0].name}"


class Sweeps(SweepStudy):
    """Measurements at every point of the sweeps that the wanted figures need."""

    name = "sweeps"
    title = "sweep"

    @property
    def items(self) -> tuple[SweepPoint, ...]:
        """The points of the sweeps, each with all kinds of beams, since these share frames and bounds."""
        return tuple(
            (sweep, value)
            for sweep in SWEEPS.values()
            if self._beams(sweep)
            for value in sweep.values(self.plan.scenario, self.plan.quick)
        )

    @property
    def points(self) -> set[Point]:
        """The same points, by kind of beams."""
        return {(sweep.name, value, kind) for sweep, value in self.items for kind in self._beams(sweep)}

    def _beams(self, sweep: Sweep) -> tuple[Beams, ...]:
        """Kinds of beams that the wanted figures of a sweep need."""
        kinds = (
            COMPARED_BEAMS if figure == "beams" else self.plan.beams
            for figure in sweep.figures
            if figure in self.plan.wanted
        )
        return tuple(dict.fromkeys(kind for needed in kinds for kind in needed))

    def frames_of(self, item: SweepPoint) -> int:
        """Frames solved, for every kind of beams and scheme."""
        sweep, _ = item
        return self.plan.frames * len(sweep.schemes) * len(self._beams(sweep))

    def has(self, kept: Results, item: SweepPoint) -> bool:
        """Whether the folder has a point for all its kinds of beams."""
        return not self._missing(kept, item)

    def compute(self, item: SweepPoint, folder: Path, progress: Progress) -> str:
        """Measure a point for the missing kinds of beams."""
        (sweep, value), missing = item, self._missing(Results.read(folder), item)
        done = self.frames_of(item) - self.plan.frames * len(sweep.schemes) * len(missing)

        def count(scheme: str) -> None:
            nonlocal done
            done += self.plan.frames
            progress(done)

        measured = measure_point(
            self.plan.scenario,
            sweep,
            value,
            frames=self.plan.frames,
            seed=self.plan.seed,
            beams=missing,
            on_scheme=count,
        )
        return lines_of(measured)

    def _missing(self, kept: Results, item: SweepPoint) -> list[Beams]:
        sweep, value = item
        return [kind for kind in self._beams(sweep) if (sweep.name, value, kind) not in kept.points]


STUDY = Sweeps
