"""The calibration: samples, searches and conflicts; then verdicts on fresh frames.

Between its stages, what looks best is checked on other frames: what looks best is often what was lucky.
"""

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scattermec._processes import run_in_processes
from scattermec._version import __version__
from scattermec.errors import InputError
from scattermec.experiments.calibrate.search import (
    NAMES,
    Evaluated,
    Search,
    all_but_one,
    centres,
    distance,
    loss,
    read,
    run,
)
from scattermec.experiments.claims.optima import examine_scenario
from scattermec.experiments.claims.withheld import declared_ranges, scenario_at, shares_at
from scattermec.experiments.measure.beams import Beams
from scattermec.experiments.measure.sweeps import SWEEPS
from scattermec.scenario import Scenario
from scattermec.storage import replace_text
from scattermec.storage.texts import read_object

RECORD = "calibration.json"
WINNER = "scenario.yaml"
SETTINGS = "settings.json"
EVALUATED = "evaluated"
JUDGED_FOLDER = "judged"

FRESH = 1_000_003
"""Added to the seed for the final verdicts, whose frames no search has seen."""

JUDGED_BEAMS: tuple[Beams, ...] = ("mrt", "optimal")


@dataclass(frozen=True)
class Effort:
    """How much is computed."""

    samples: int
    """scenarios sampled evenly"""
    sample_frames: int
    """per point, for these"""
    checked: int
    """scenarios evaluated once more, on other frames, before the next stage starts from the best of them"""
    checked_frames: int
    searches: int
    """searches for all claims, each from a good sample"""
    generations: int
    """of each search"""
    population: int
    frames: int
    """per point, for these, and for the searches for pairs of claims"""
    polished: int
    """best scenarios that are searched around once more, with more frames"""
    polished_generations: int
    polished_frames: int
    conflict_generations: int
    """of the search for each pair of claims not yet seen to hold together"""
    finalists: int
    """best scenarios that are judged"""
    judged_frames: int
    """per point"""
    quick_points: bool = False
    """whether the sweeps have fewer points"""


FULL = Effort(
    samples=2048,
    sample_frames=48,
    checked=48,
    checked_frames=768,
    searches=3,
    generations=80,
    population=16,
    frames=192,
    polished=2,
    polished_generations=18,
    polished_frames=384,
    conflict_generations=10,
    finalists=2,
    judged_frames=2000,
)
QUICK = Effort(
    samples=64,
    sample_frames=16,
    checked=4,
    checked_frames=16,
    searches=2,
    generations=4,
    population=8,
    frames=16,
    polished=1,
    polished_generations=2,
    polished_frames=16,
    conflict_generations=1,
    finalists=1,
    judged_frames=64,
    quick_points=True,
)

BLOCK = 256
"""Samples per task."""

CHECKED_AT_ONCE = 8
"""Scenarios per task of a check."""

WINDOW = 5
"""Generations of a search whose mean is checked."""

SPREAD, NARROW = 0.2, 0.05
"""Initial standard deviation of searches from samples, and from what searches found, in the unit cube."""

APART = 0.05
"""Starts of searches are at least this far apart."""


class Judged(NamedTuple):
    """A scenario's findings on fresh frames, as JSON."""

    scenario: Scenario
    findings: dict[str, list[dict[str, Any]]]
    """by kind of beams"""

    def holding(self, beams: str) -> int:
        """Number of claims that hold."""
        return sum(finding["verdict"] == "holds" for finding in self.findings[beams])

    @property
    def best_beams(self) -> str:
        """The beams with which most claims hold."""
        return max(self.findings, key=self.holding)


@dataclass(frozen=True)
class Calibration:
    """The search for the constants that the paper does not give."""

    folder: Path
    base: Scenario
    """source of all other constants"""
    effort: Effort
    seed: int
    starts: tuple[Scenario, ...] = ()
    """scenarios from which there are searches, too"""
    known: tuple[Scenario, ...] = ()
    """scenarios that are judged, too, so that the winner is not worse"""
    share: Callable[..., None] = run_in_processes
    """how tasks are shared: `run_in_processes`, or a function like it"""

    def settings(self) -> dict[str, Any]:
        """Everything that the results depend on; they are continued only under equal settings."""
        return {
            "version": __version__,
            "effort": asdict(self.effort),
            "seed": self.seed,
            "ranges": declared_ranges(),
            "points": {sweep.name: sweep.count(self.effort.quick_points) for sweep in SWEEPS.values()},
            "scenario": self.base.record(),
        } | {
            name: [scenario.record() for scenario in given]
            for name, given in (("starts", self.starts), ("known", self.known))
            if given
        }

    def run(self, progress: Callable[[str, int, int], None]) -> dict[str, Any]:
        """Compute what is missing in the folder; returns the record, which is also kept there.

        ``progress`` is called with the stage, and the number of scenarios evaluated in it and in all. Raises
        InputError if the folder holds a calibration with other settings, or a given scenario has constants
        per user.
        """
        for scenario in (*self.starts, *self.known):
            shares_at(scenario)
        self._open()
        stage = partial(self._stage, progress=progress)
        samples = stage("Sampling", self._samples())
        best = np.argsort(loss(samples.margins))[: self.effort.checked]
        good = stage("Checking samples", self._checks("samples", samples.points[best]))
        searches = self._searches(good)
        searched = stage("Searching", searches)
        found = stage("Checking searches", self._checks("searches", self._ways(searches)))
        polishing = self._polishing(found)
        polished = stage("Polishing", polishing)
        final = stage("Checking the best", self._checks("best", self._ways(polishing)))
        everything = samples + good + searched + found + polished + final
        conflicts = stage("Conflicts", self._conflicts(everything))
        judged = [self.base, *self._finalists(found + final), *self.known]
        base, *finalists = self._judge(judged, progress)
        record = self._record(samples, everything + conflicts, base, finalists)
        replace_text(self.folder / RECORD, json.dumps(record, indent=1) + "\n")
        scenario = Scenario.model_validate(record["winner"]["scenario"])
        scenario.save(self.folder / WINNER)
        return record

    def _open(self) -> None:
        path, settings = self.folder / SETTINGS, json.loads(json.dumps(self.settings()))
        (self.folder / EVALUATED).mkdir(parents=True, exist_ok=True)
        if not path.exists():
            replace_text(path, json.dumps(settings, indent=1) + "\n")
        elif read_object(path) != settings:
            raise InputError([f"{path}: was made with other settings; choose another folder"])

    def _stage(
        self, stage: str, searches: Sequence[Search], progress: Callable[[str, int, int], None]
    ) -> Evaluated:
        """Run searches on all cores, and read all that they have evaluated."""
        done, total = 0, sum(search.total for search in searches)

        def report(more: int) -> None:
            nonlocal done
            done += more
            progress(stage, done, total)

        progress(stage, 0, total)
        self.share(run, searches, report)
        return sum((read(search.path) for search in searches), Evaluated())

    def _new(self, name: str, number: int, **more: Any) -> Search:
        effort = self.effort
        usual = {
            "goal": NAMES,
            "start": None,
            "spread": SPREAD,
            "population": effort.population,
            "generations": effort.generations,
            "frames": effort.frames,
            "quick": effort.quick_points,
        }
        path = self.folder / EVALUATED / f"{name}.csv"
        return Search(path=path, base=self.base, seed=self.seed + number, **usual | more)

    def _samples(self) -> list[Search]:
        block = min(BLOCK, self.effort.samples)
        return [
            self._new(
                f"samples-{number:03}",
                number,
                population=block,
                generations=1,
                frames=self.effort.sample_frames,
            )
            for number in range(self.effort.samples // block)
        ]

    def _checks(self, name: str, points: np.ndarray) -> list[Search]:
        """The evaluation of given points on frames of their own, the same for all."""
        blocks = [points[first : first + CHECKED_AT_ONCE] for first in range(0, len(points), CHECKED_AT_ONCE)]
        number = {"samples": 500, "searches": 501, "best": 502}[name]
        return [
            self._new(
                f"check-{name}-{index:03}",
                number,
                points=tuple(map(tuple, block.tolist())),
                population=len(block),
                generations=1,
                frames=self.effort.checked_frames,
            )
            for index, block in enumerate(blocks)
        ]

    def _searches(self, samples: Evaluated) -> list[Search]:
        given = [
            self._new(f"start-{number:03}", 1500 + number, start=shares_at(scenario), spread=NARROW)
            for number, scenario in enumerate(self.starts)
        ]
        rows = _apart(samples, loss(samples.margins), self.effort.searches, apart=APART)
        return [
            self._new(f"search-{number:03}", 1000 + number, start=tuple(samples.points[row]), spread=SPREAD)
            for number, row in enumerate(rows)
        ] + given

    def _polishing(self, found: Evaluated) -> list[Search]:
        """Searches for all claims but the one that fails by most where they start: it is given up there."""
        generations, frames = self.effort.polished_generations, self.effort.polished_frames
        more = {"spread": NARROW, "generations": generations, "frames": frames}
        rows = _apart(found, _but_one(found), self.effort.polished, apart=APART)
        return [
            self._new(
                f"polished-{number:03}",
                2500 + number,
                start=tuple(found.points[row]),
                goal=all_but_one(found.margins[row]),
                **more,
            )
            for number, row in enumerate(rows)
        ]

    def _ways(self, searches: Sequence[Search]) -> np.ndarray:
        """The points that searches went through; of long ones the last."""
        window = min(WINDOW, min(search.generations for search in searches))
        ways = [centres(read(search.path), search.population, window) for search in searches]
        last = max(1, self.effort.checked // len(ways))
        return np.concatenate([way[-last:] for way in ways])

    def _conflicts(self, found: Evaluated) -> list[Search]:
        """A search of its own for each claim and pair of claims that no scenario has satisfied yet."""
        searches = []
        goals = itertools.combinations_with_replacement(NAMES, 2)
        for number, (first, second) in enumerate(goals):
            goal = tuple(dict.fromkeys((first, second)))
            worse = loss(found.margins, goal)
            if worse.min() >= 0:
                start = tuple(found.points[np.argmin(worse)])
                more = {"goal": goal, "start": start, "generations": self.effort.conflict_generations}
                searches.append(self._new("conflict-" + "-".join(goal), 3000 + number, **more))
        return searches

    def _finalists(self, checked: Evaluated) -> list[Scenario]:
        best = _apart(checked, _but_one(checked), self.effort.finalists, apart=NARROW / 4)
        return [scenario_at(point, self.base) for point in checked.points[best]]

    def _judge(
        self, scenarios: Sequence[Scenario], progress: Callable[[str, int, int], None]
    ) -> list[Judged]:
        """Judge scenarios for each kind of beams as `reproduce` does, on frames that no search has used."""
        folder, seed = self.folder / JUDGED_FOLDER, self.seed + FRESH
        tasks = [
            _Judging(folder / f"{number}-{beams}.json", scenario, beams, self.effort, seed)
            for number, scenario in enumerate(scenarios)
            for beams in JUDGED_BEAMS
        ]
        done = 0

        def report(_: Any) -> None:
            nonlocal done
            done += 1
            progress("Judging", done, len(tasks))

        progress("Judging", 0, len(tasks))
        self.share(_judge, tasks, report)
        found = [read_object(task.path)["findings"] for task in tasks]
        kinds = len(JUDGED_BEAMS)
        return [
            Judged(scenario, dict(zip(JUDGED_BEAMS, found[number * kinds :], strict=False)))
            for number, scenario in enumerate(scenarios)
        ]

    def _record(
        self, samples: Evaluated, found: Evaluated, base: Judged, finalists: Sequence[Judged]
    ) -> dict[str, Any]:
        winner = max(finalists, key=lambda one: one.holding(one.best_beams))
        holds = found.margins > 0
        return {
            "settings": self.settings(),
            "evaluated": len(found.points),
            "samples": len(samples.points),
            "most_at_once": int(holds.sum(axis=1).max()),
            "most_with": {
                name: int(holds[holds[:, i]].sum(axis=1).max(initial=0)) for i, name in enumerate(NAMES)
            },
            "shares": {name: int((samples.margins[:, i] > 0).sum()) for i, name in enumerate(NAMES)},
            "joint": {first: {second: _joint(found, first, second) for second in NAMES} for first in NAMES},
            "base": _described(base),
            "finalists": [_described(one) for one in finalists],
            "winner": _described(winner) | {"findings": winner.findings[winner.best_beams]},
        }


def _but_one(found: Evaluated) -> np.ndarray:
    """The loss of each scenario without the claim that fails by most there."""
    return np.array([loss(margins, all_but_one(margins)) for margins in found.margins])


def _apart(found: Evaluated, losses: np.ndarray, count: int, *, apart: float) -> list[int]:
    """Rows of the best points that keep their distance from better ones; of equals, all claims count."""
    chosen: list[int] = []
    for row in map(int, np.lexsort((loss(found.margins), losses))):
        if all(distance(found.points[row], found.points[other]) >= apart for other in chosen):
            chosen.append(row)
        if len(chosen) == count:
            break
    return chosen


def _joint(found: Evaluated, first: str, second: str) -> float:
    """The best margin with which two claims hold together, over all evaluated scenarios."""
    pair = found.margins[:, [NAMES.index(first), NAMES.index(second)]]
    return round(float(pair.min(axis=1).max()), 4)


def _described(judged: Judged) -> dict[str, Any]:
    return {
        "scenario": judged.scenario.record(),
        "beams": judged.best_beams,
        "holds": {beams: judged.holding(beams) for beams in judged.findings},
        "verdicts": {
            beams: {finding["name"]: finding["verdict"] for finding in findings}
            for beams, findings in judged.findings.items()
        },
    }


@dataclass(frozen=True)
class _Judging:
    """The judgement of one scenario, kept in a file."""

    path: Path
    scenario: Scenario
    beams: Beams
    effort: Effort
    seed: int

    @property
    def done(self) -> bool:
        """Whether the file holds it."""
        return self.path.exists() and read_object(self.path).get("scenario") == self.scenario.record()


Task = Search | _Judging
"""What a process computes and keeps in a file."""


def _judge(task: _Judging, report: Callable[[None], None]) -> None:
    if not task.done:
        found = examine_scenario(
            task.scenario,
            task.beams,
            frames=task.effort.judged_frames,
            seed=task.seed,
            quick=task.effort.quick_points,
        )
        findings = [finding.to_json() for finding in found]
        task.path.parent.mkdir(exist_ok=True)
        content = {"scenario": task.scenario.record(), "findings": findings}
        replace_text(task.path, json.dumps(content, indent=1) + "\n")
    report(None)
