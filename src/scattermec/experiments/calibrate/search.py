"""One run of the covariance matrix adaptation (CMA-ES) over the withheld constants, and its file.

The file holds every scenario that a run has evaluated. An interrupted run is continued by replaying it: the
optimiser proposes the same points again and gets their kept margins, so nothing is solved twice.
"""

import csv
import io
import itertools
import math
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cmaes
import numpy as np
from scipy.stats import qmc

from scattermec._processes import asked_to_leave
from scattermec.errors import InputError, UnfinishedError
from scattermec.experiments.calibrate.margins import Margins, margins
from scattermec.experiments.claims.optima import CLAIMS
from scattermec.experiments.claims.withheld import COORDINATES, scenario_at
from scattermec.scenario import Scenario
from scattermec.storage.atomic import alone
from scattermec.storage.texts import read_text

ENOUGH = 0.02
"""Margin beyond which a claim is no longer improved."""

NAMES = tuple(claim.name for claim in CLAIMS)
COLUMNS = (*COORDINATES, *NAMES, "served")
"""Columns of a file: the point of the unit cube, margins, and the least share of frames served in full."""


@dataclass(frozen=True)
class Search:
    """One run: from a start, for a goal, on frames of its own."""

    path: Path
    """its file"""
    base: Scenario
    """source of all other constants"""
    goal: tuple[str, ...]
    """the claims that should hold together"""
    start: tuple[float, ...] | None
    """point of the unit cube; None to sample evenly (Sobol), or to evaluate ``points``, instead"""
    spread: float
    """initial standard deviation in the unit cube"""
    population: int
    generations: int
    frames: int
    """per point of a sweep; every generation has its own, so that no search can fit its frames"""
    seed: int
    """of frames and search"""
    quick: bool = False
    """whether the sweeps have fewer points"""
    points: tuple[tuple[float, ...], ...] = ()
    """points of the unit cube to evaluate, as one generation"""

    @property
    def total(self) -> int:
        """Scenarios to evaluate."""
        return self.population * self.generations

    @property
    def done(self) -> bool:
        """Whether its file holds all of them."""
        return self.path.exists() and len(read(self.path).points) >= self.total


@dataclass
class Evaluated:
    """Scenarios with their margins, one row each, in the order of evaluation."""

    points: np.ndarray = field(default_factory=lambda: np.zeros((0, len(COORDINATES))))
    """(R, 20) in the unit cube"""
    margins: np.ndarray = field(default_factory=lambda: np.zeros((0, len(NAMES))))
    """(R, 14) of the claims"""
    served: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """(R,)"""

    def __add__(self, other: "Evaluated") -> "Evaluated":
        parts = ((self.points, other.points), (self.margins, other.margins), (self.served, other.served))
        return Evaluated(*map(np.concatenate, parts))


def loss(found: np.ndarray, goal: Sequence[str] = NAMES) -> np.ndarray:
    """What a search minimises, for margins (..., 14): 0 if all claims of the goal hold.

    The square root makes one claim that fails by much cheaper than several that fail by a little each, so the
    search gives up what cannot be had. For a pair of claims it is the worse of the two that counts.
    """
    chosen = found[..., [NAMES.index(name) for name in goal]]
    if len(goal) <= 2:
        return np.asarray(-chosen.min(axis=-1))
    return np.asarray(np.sqrt(np.maximum(ENOUGH - chosen, 0)).sum(axis=-1))


def all_but_one(margins: np.ndarray) -> tuple[str, ...]:
    """The claims without the one that fails by most, for margins (14,)."""
    return tuple(name for index, name in enumerate(NAMES) if index != np.argmin(margins))


def run(search: Search, report: Callable[[int], None]) -> None:
    """Evaluate what is missing in the search's file; ``report`` is told of each evaluated scenario.

    Raises InputError if the file holds another search, and UnfinishedError when a signal asks this process to
    leave, see `scattermec._processes.asked_to_leave`.
    """
    with alone(search.path):
        _run(search, report)


def _run(search: Search, report: Callable[[int], None]) -> None:
    kept = read(search.path) if search.path.exists() else Evaluated()
    whole = len(kept.points) // search.population * search.population
    with search.path.open("a" if whole else "w", newline="", encoding="utf-8") as file:
        if whole:
            file.truncate(_end_of(search.path, whole))
        else:
            file.write(_line(COLUMNS))
        proposals = _proposals(search)
        margins_of: np.ndarray | None = None
        for start in range(0, search.total, search.population):
            points = proposals.send(margins_of)
            seed = _frames_seed(search.seed, start // search.population)
            if start < whole:
                rows = slice(start, start + search.population)
                if not np.array_equal(kept.points[rows], points):
                    raise InputError([f"{search.path}: holds another search; delete it to have it made anew"])
                margins_of = kept.margins[rows]
                report(search.population)
                continue
            found = []
            for point in points:
                if asked_to_leave():
                    raise UnfinishedError(f"{search.path}: {start} of {search.total} scenarios are evaluated")
                scenario = scenario_at(point, search.base)
                found.append(margins(scenario, frames=search.frames, seed=seed, quick=search.quick))
                report(1)
            # A generation at a time: what an interruption leaves can be replayed.
            file.write("".join(map(_row, points, found)))
            file.flush()
            margins_of = np.array([one.claims for one in found])


def _frames_seed(seed: int, generation: int) -> int:
    return int(np.random.SeedSequence((seed, generation)).generate_state(1)[0])


def _proposals(search: Search) -> Generator[np.ndarray, np.ndarray | None, None]:
    """The points of each generation, (population, 20); is sent the margins of the one before."""
    dimensions = len(COORDINATES)
    if search.points:
        yield np.array(search.points)
    if search.start is None:
        sobol = qmc.Sobol(dimensions, rng=search.seed)
        while True:
            yield sobol.random(search.population)
    optimiser = cmaes.CMA(
        np.array(search.start),
        search.spread,
        bounds=np.array([[0.0, 1.0]] * dimensions),
        population_size=search.population,
        seed=search.seed,
    )
    while True:
        points = np.array([optimiser.ask() for _ in range(search.population)])
        found = yield points
        assert found is not None
        optimiser.tell(list(zip(points, loss(found, search.goal), strict=True)))


def read(path: Path) -> Evaluated:
    """The scenarios in a search's file, without a torn last line; InputError for a damaged file."""
    text = read_text(path)
    if "\n" not in text:
        return Evaluated()
    rows = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1])))
    if tuple(rows[0]) != COLUMNS:
        raise _damaged(path)
    try:
        numbers = np.array([[float(cell) for cell in row] for row in rows[1:]]).reshape(-1, len(COLUMNS))
    except ValueError:
        raise _damaged(path) from None
    if not np.isfinite(numbers).all():
        raise _damaged(path)
    ends = np.cumsum([len(COORDINATES), len(NAMES)])
    points, found, served = np.split(numbers, ends, axis=1)
    return Evaluated(points, found, served[:, 0])


def centres(found: Evaluated, population: int, generations: int) -> np.ndarray:
    """Means (W, 20) of each so many successive generations of a search.

    A search samples evenly around where it is, so these are the way that it went. Single points that look
    best were often lucky in their frames; their mean was not.
    """
    block = population * generations
    whole = len(found.points) // block * block
    return found.points[:whole].reshape(-1, block, len(COORDINATES)).mean(axis=1)


def _damaged(path: Path) -> InputError:
    return InputError([f"{path}: is damaged; delete it to have it made anew"])


def _end_of(path: Path, rows: int) -> int:
    """Bytes of the heading and the first ``rows`` rows."""
    with path.open("rb") as file:
        return sum(map(len, itertools.islice(file, rows + 1)))


def _row(point: np.ndarray, found: Margins) -> str:
    return _line(map(repr, map(float, (*point, *found.claims, found.served))))


def _line(cells: Iterable[str]) -> str:
    return ",".join(cells) + "\n"


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Root mean square distance of two points of the unit cube, per coordinate."""
    return math.sqrt(np.mean((a - b) ** 2))
