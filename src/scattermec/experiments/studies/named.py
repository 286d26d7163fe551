"""The claims in the scenarios that come with the package, beside the one that is reproduced."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from scattermec.experiments.claims.learning import examine_learning
from scattermec.experiments.claims.optima import examine_scenario
from scattermec.experiments.measure.beams import Beams
from scattermec.experiments.measure.sweeps import SWEEPS
from scattermec.experiments.studies.base import FileStudy, Progress, damaged, read
from scattermec.experiments.studies.figure_2 import Figure2, read_runs
from scattermec.experiments.studies.plan import Plan, Training
from scattermec.experiments.studies.record import Record
from scattermec.scenario import NAMED, Scenario

LEARNING = "learning"
"""Stands for the claims of Fig. 2, beside the kinds of beams of those of Fig. 3 and 4."""

Item = tuple[str, str]
"""The name of a scenario, and a kind of beams or `LEARNING`."""

Verdicts = dict[str, dict[str, str]]
"""By kind of beams or preset, then by claim."""


@dataclass(frozen=True)
class Named(FileStudy[Item]):
    """Verdicts in the other named scenarios."""

    name = "named"
    title = "named scenarios"
    trains = True

    names: tuple[str, ...]
    beams: tuple[Beams, ...]
    frames: int
    """per point"""
    quick: bool
    """fewer points, and no learners"""
    training: Training
    seed: int

    @classmethod
    def of(cls, plan: Plan) -> "Named":
        """Every named scenario other than the plan's own."""
        names = tuple(name for name in NAMED if name != plan.scenario.known_as)
        return cls(names, plan.beams, plan.frames, plan.quick, plan.training, plan.seed)

    @property
    def items(self) -> tuple[Item, ...]:
        """Each scenario with each kind of beams, and with the learners."""
        kinds = (*self.beams, *(() if self.quick else (LEARNING,)))
        return tuple((name, kind) for name in self.names for kind in kinds)

    def frames_of(self, item: Item) -> int:
        """Frames solved, or trained."""
        if item[1] == LEARNING:
            return self._runs(item[0]).total
        points = sum(sweep.count(self.quick) * len(sweep.schemes) for sweep in SWEEPS.values())
        return points * self.frames

    def settings(self) -> dict[str, Any]:
        """Everything that the verdicts depend on."""
        return {
            "scenarios": {name: Scenario.named(name).record() for name in self.names},
            "beams": list(self.beams),
            "frames": self.frames,
            "quick": self.quick,
            "training": [self.training.seeds, self.training.frames],
            "seed": self.seed,
        }

    def key(self, item: Item) -> str:
        """Name of an item in the file."""
        return " ".join(item)

    def compute(self, item: Item, folder: Path, progress: Progress) -> list[dict[str, Any]]:
        """The findings, as JSON."""
        name, kind = item
        if kind == LEARNING:
            path = folder / self.name / name
            path.mkdir(parents=True, exist_ok=True)
            self._runs(name).run(path, Record(path), progress)
            found = examine_learning(read_runs(path))
        else:
            found = examine_scenario(
                Scenario.named(name),
                cast(Beams, kind),
                frames=self.frames,
                seed=self.seed,
                quick=self.quick,
                progress=progress,
            )
        return [finding.to_json() for finding in found]

    def _runs(self, name: str) -> Figure2:
        return Figure2(Scenario.named(name), self.training.seeds, self.training.frames)


STUDY = Named


def read_verdicts(folder: Path) -> Mapping[str, Verdicts]:
    """Verdicts in the other named scenarios, by name; empty if a folder has none. InputError if damaged."""
    path = Named.file(folder)
    if not path.exists():
        return {}
    _, found = read(path)
    verdicts: dict[str, Verdicts] = {}
    with damaged(path):
        for key, findings in found.items():
            own = verdicts.setdefault(key.split()[0], {})
            for finding in findings:
                own.setdefault(str(finding["beams"]), {})[str(finding["name"])] = str(finding["verdict"])
    return verdicts
