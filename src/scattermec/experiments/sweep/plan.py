"""The plan of a sweep: a YAML file, its faults, and the axes that it spans. Nothing here imports JAX.

The learners' settings do: they are imported only for plans that train.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from scattermec._settings import FileSettings, Settings, constant
from scattermec._yaml import show
from scattermec.counts import MOST_SEED, MOST_SEEDS
from scattermec.errors import InputError
from scattermec.experiments.sweep.options import OPTIONS, Job, faults_of
from scattermec.scenario import Rectifier, Scenario

MOST_TASKS = 10**8
MOST_DRAWN = 10**7
MOST_GROUP = 4096

TRAIN = "train."
"""Before the names of training settings."""

SHAPES = frozenset(
    {"num_antennas", "user_positions", "fading", "arrivals", "harvest_model", "causal_harvest", "trace"}
)
"""Constants that change arrays' shapes or the code that runs; all others are only numbers."""

TRAINING_SHAPES = frozenset(
    f"{TRAIN}{name}"
    for name in (
        "actor_layers",
        "critic_width",
        "hidden_activation",
        "batch_size",
        "buffer_size",
        "exploration",
        "action_form",
        "ap_action",
        "team_reward",
        "phase_reference",
    )
)
"""The same for training settings."""

_JOBS = "simulate, solve, evaluate, train, horizon or claims"
_RANGE = "a list of values, or a mapping of low, high, points and log"
_EVENLY = "a mapping of constants to mappings of low, high and log"
_SEEDS = f">= 1 and <= {MOST_SEEDS}"
_NAMED = "a mapping of constants to values"


class Axis(NamedTuple):
    """A constant and its values, as scenarios keep them."""

    name: str
    values: tuple[Any, ...]


class Range(Settings):
    """A range of a constant; bounds may be texts with a unit."""

    low: Any = constant(0.0, "", "", "a number", "Least value")
    high: Any = constant(1.0, "", "", "a number", "Largest value")
    points: int = constant(5, "", "", ">= 2 and <= 100000", "Number of values, in a grid")
    log: bool = constant(False, "", "", "true or false", "Evenly in the logarithm:")


class Draw(Settings):
    """Scenarios drawn from ranges of constants."""

    how: Literal["latin-hypercube", "random"] = constant(
        "latin-hypercube", "", "", "latin-hypercube or random", "How scenarios are drawn:"
    )
    count: int = constant(100, "", "", f">= 1 and <= {MOST_DRAWN}", "Number of scenarios")
    seed: int = constant(0, "", "", f">= 0 and <= {MOST_SEED}", "Seed of the draw")
    over: dict[str, Any] = constant({}, "", "", _EVENLY, "Ranges of the constants")


class Plan(FileSettings):
    """What a sweep computes: a job for every combination of constants, draws and seeds.

    All faults are reported at once in an `InputError`, on construction too. A plan that was loaded holds its
    scenario and training configuration itself, so that it means the same wherever it is read.
    """

    _title: ClassVar = "a plan"
    _also_allowed: ClassVar = {int | tuple[int, ...]: "a list of seeds"}

    job: Job = constant(
        "simulate",
        "",
        "",
        "simulate, solve, evaluate, train, horizon or claims",
        "What is computed for each:",
    )
    options: dict[str, Any] = constant({}, "", "", "a mapping of options to values", "The job's options")
    scenario: str = constant("default", "", "", "a name or a file", "Source of all other constants")
    constants: dict[str, Any] = constant({}, "", "", _NAMED, "Constants changed for all")
    grid: dict[str, Any] = constant({}, "", "", f"a mapping of constants to {_RANGE}", "Every combination")
    points: tuple[dict[str, Any], ...] = constant(
        (), "", "", f"a list of {_NAMED}", "Combinations one by one"
    )
    draw: Draw | None = constant(None, "", "", "a mapping of how, count, seed and over", "Drawn scenarios")
    seeds: int | tuple[int, ...] = constant(1, "", "", _SEEDS, "Seeds 0, 1, ... or a list of them")
    group: int | None = constant(
        None, "", "", f">= 1 and <= {MOST_GROUP}, or null", "Tasks computed together; null: usual"
    )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Plan":
        """Read a YAML or JSON file; paths in it are relative to its folder."""
        return super().load(path).self_contained()

    def self_contained(self) -> "Plan":
        """The same plan with its scenario and its training configuration among `constants`."""
        usual = Scenario()
        changed = {name: value for name, value in self.base if value != getattr(usual, name)}
        constants: dict[str, Any] = Scenario(**changed).model_dump(include=set(changed), mode="json")
        options = dict(self.options)
        if self.job == "train":
            base = type(self.base_config)()
            differing = {n: value for n, value in self.base_config if value != getattr(base, n)}
            constants |= {f"{TRAIN}{name}": value for name, value in differing.items()}
            options["config"] = "paper"
        if os.path.isdir(str(options.get("policy", ""))):
            options["policy"] = os.path.abspath(options["policy"])
        return self.replace(scenario="default", constants=constants, options=options)

    @cached_property
    def chosen(self) -> Any:
        """The job's options, one of `OPTIONS`."""
        return OPTIONS[self.job](**self.options)

    @cached_property
    def base(self) -> Scenario:
        """The scenario that everything else changes."""
        own = {name: value for name, value in self.constants.items() if not name.startswith(TRAIN)}
        return changed(Scenario.find(self.scenario), own)

    @cached_property
    def base_config(self) -> Any:
        """The training configuration that everything else changes; only for the job `train`."""
        from scattermec.agents.settings import PRESETS, TrainingConfig

        name = self.chosen.config
        config = TrainingConfig.preset(name) if name in PRESETS else TrainingConfig.load(name)
        return config.replace(**training_part(self.constants))

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """The grid, axis by axis."""
        return tuple(Axis(name, self._values(name, given)) for name, given in self.grid.items())

    @cached_property
    def listed(self) -> tuple[dict[str, Any], ...]:
        """The `points`, with values as scenarios keep them; one without changes if there are none."""
        return tuple({n: self._one(n, v) for n, v in point.items()} for point in self.points) or ({},)

    @cached_property
    def ranges(self) -> tuple[tuple[str, float, float, bool], ...]:
        """Name, bounds and whether logarithmic, of each drawn constant."""
        over = {} if self.draw is None else self.draw.over
        return tuple((name, *self._bounds(name, given)) for name, given in over.items())

    @cached_property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds of each scenario."""
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds

    @cached_property
    def varied(self) -> tuple[str, ...]:
        """Names of all constants that differ among tasks, in the order of the plan."""
        listed = (name for point in self.points for name in point)
        return tuple(dict.fromkeys([*self.grid, *listed, *(name for name, *_ in self.ranges)]))

    def record(self) -> dict[str, Any]:
        """Everything that the results depend on, as JSON."""
        return self.model_dump(mode="json")

    @cached_property
    def digest(self) -> str:
        """Digest of `record`."""
        return hashlib.sha256(json.dumps(self.record(), sort_keys=True).encode()).hexdigest()

    def _one(self, name: str, value: Any) -> Any:
        """A value of a constant as it is kept; raises InputError if it is not allowed."""
        own, dot, part = name.partition(".")
        if dot and own == "rectifier":
            return Rectifier.one(part, value)
        if not name.startswith(TRAIN):
            return Scenario.one(name, value)
        if self.job != "train":
            raise InputError([f"{name[:80]}: is only for the job train"])
        return type(self.base_config).one(name.removeprefix(TRAIN), value)

    def _values(self, name: str, given: Any) -> tuple[Any, ...]:
        if isinstance(given, tuple) and given:
            return tuple(self._one(name, value) for value in given)
        if not isinstance(given, dict):
            raise InputError([f"{show(given, 80)} is not allowed; it must be {_RANGE}"])
        low, high, log = self._bounds(name, given)
        space = np.geomspace if log else np.linspace
        # Twelve digits, so that tables show what was meant.
        values = (float(f"{value:.12g}") for value in space(low, high, Range(**given).points))
        return tuple(self._one(name, value) for value in values)

    def _bounds(self, name: str, given: Any) -> tuple[float, float, bool]:
        """Bounds of a range; raises InputError unless it is one of a constant that is a number."""
        if not isinstance(given, dict):
            raise InputError([f"{show(given, 80)} is not allowed; it must be a mapping of low, high and log"])
        span = Range(**given)
        if name in SHAPES | TRAINING_SHAPES:
            raise InputError(["cannot be a range; list its values in the grid"])
        low, high = (self._one(name, value) for value in (span.low, span.high))
        if not (isinstance(low, float) and isinstance(high, float)):
            raise InputError(["cannot be a range; list its values in the grid"])
        if low >= high or (span.log and low <= 0):
            wanted = "low < high" + (", and low > 0 for log" if span.log else "")
            raise InputError([f"{show(given, 80)} is not allowed; it must have {wanted}"])
        return low, high, span.log

    def _cross_faults(self) -> Iterator[tuple[tuple[str, ...], str]]:
        options = list(faults_of(self.job, self.options))
        yield from ((("job", "options"), line) for line in options)
        bases = ("job", "options", "scenario", "constants")
        faults = list(_faults("", lambda: self.base))
        if self.job == "train" and not options:
            faults += _faults("", lambda: self.base_config)
        elif any(name.startswith(TRAIN) for name in self.constants):
            faults.append(f"constants: {TRAIN} is only for the job train")
        yield from ((bases, line) for line in faults)
        if options or faults:
            return
        for name, given in self.grid.items():
            for line in _faults(f"grid.{name}: ", lambda n=name, g=given: self._values(n, g)):  # type: ignore[misc]
                yield (*bases, "grid"), line
        for number, point in enumerate(self.points):
            for name, value in point.items():
                for line in _faults(f"points[{number}]: ", lambda n=name, v=value: self._one(n, v)):  # type: ignore[misc]
                    yield (*bases, "points"), line
        over = {} if self.draw is None else self.draw.over
        for name, given in over.items():
            for line in _faults(f"draw.over.{name}: ", lambda n=name, g=given: self._bounds(n, g)):  # type: ignore[misc]
                yield (*bases, "draw"), line
        if self.draw is not None and not over:
            yield ("draw",), f"draw.over: is missing; it must be {_EVENLY}"
        yield from self._double_faults(over)

    def _double_faults(self, over: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
        listed = {name for point in self.points for name in point}
        for name in (set(self.grid) & listed) | (set(self.grid) | listed) & set(over):
            yield (
                ("grid", "points", "draw"),
                f"{name}: varies twice; grid, points and draw each have their own",
            )
        seeds = self.seeds
        if isinstance(seeds, tuple) and (
            not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0 or max(seeds) > MOST_SEED
        ):
            wanted = f"at least one, each once, >= 0 and <= {MOST_SEED}"
            yield ("seeds",), f"seeds: {show(seeds, 80)} is not allowed; it must be {wanted}"

    @classmethod
    def _resolve(cls, data: dict[str, Any], folder: str | os.PathLike[str]) -> None:
        named = data.get("scenario")
        if isinstance(named, str) and (Path(folder) / named).is_file():
            data["scenario"] = os.path.join(folder, named)
        options = data.get("options")
        for name in ("config", "policy"):
            if isinstance(options, dict) and isinstance(options.get(name), str):
                path = Path(folder) / options[name]
                if path.exists():
                    options[name] = str(path)


def changed(scenario: Scenario, changes: dict[str, Any]) -> Scenario:
    """A scenario with constants changed, parts of `rectifier` among them; raises ScenarioError for faults."""
    data = dict(scenario)
    for name, value in changes.items():
        own, dot, part = name.partition(".")
        if dot and own == "rectifier":
            data[own] = {**dict(data[own]), part: value}
        else:
            data[name] = value
    return Scenario(**data)


def training_part(changes: dict[str, Any]) -> dict[str, Any]:
    """The training settings among some constants, by their own names."""
    return {n.removeprefix(TRAIN): value for n, value in changes.items() if n.startswith(TRAIN)}


def _faults(where: str, check: Callable[[], Any]) -> Iterator[str]:
    try:
        check()
    except InputError as error:
        yield from (f"{where}{fault}" for fault in error.faults)
