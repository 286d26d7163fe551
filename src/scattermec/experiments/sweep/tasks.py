"""The tasks of a plan: numbered, grouped and hashed by arithmetic, so that none is kept in memory.

Tasks that differ in shapes or in the code that runs are in different blocks. A block is cut into groups of
equal size, which are computed, kept and lost as one; everything is fixed by the plan, nothing by the engine.
"""

import bisect
import hashlib
import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.stats import qmc

from scattermec._yaml import show
from scattermec.errors import InputError
from scattermec.experiments.sweep.plan import (
    MOST_TASKS,
    SHAPES,
    TRAIN,
    TRAINING_SHAPES,
    Axis,
    Plan,
    changed,
    training_part,
)
from scattermec.scenario import Scenario

HASH_DIGITS = 16

FRAMES_TOGETHER = 1 << 16
"""Frames that a group of stacked scenarios has at most."""

MOST_TOGETHER = 32
"""Scenarios of such a group."""

SEEDS_TOGETHER = 4
"""Seeds of a group that trains, unless the plan says otherwise: a block of `scattermec.training.plan`."""

IN_TURN = 8
"""Tasks of a group whose tasks are computed in turn."""


@dataclass(frozen=True)
class Task:
    """One task."""

    number: int
    changes: dict[str, Any]
    """constants that differ from those of the plan"""
    seed: int
    hash: str
    """of all that its result depends on: equal for equal tasks of any plan"""


@dataclass(frozen=True)
class Block:
    """Tasks with the same shapes and code."""

    fixed: dict[str, Any]
    """their values of what changes shapes or code"""
    listed: tuple[dict[str, Any], ...]
    """those of the plan's points that belong to them, the other constants"""
    tasks: int
    groups: int


class Tasks:
    """All tasks of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._numbers = [axis for axis in plan.axes if not _changes_shapes(axis)]
        self._drawn = plan.draw.count if plan.draw else 1
        self._seeds = plan.seed_list
        found = list(self._classes())
        sizes = [self._size(listed) for _, listed in found]
        if sum(sizes) > MOST_TASKS:
            raise InputError(
                [f"plan: {sum(sizes):,} tasks are not allowed; it must be at most {MOST_TASKS:,}"]
            )
        self.group_size = min(plan.group or _usual_group(plan), max(sizes))
        # Seeds that train side by side share their scenario.
        self._train = plan.job == "train"
        if self._train:
            self.group_size = min(self.group_size, len(self._seeds))
        self.blocks = [
            Block(fixed, listed, size, self._groups(size))
            for (fixed, listed), size in zip(found, sizes, strict=True)
        ]
        self._first_task = [0, *itertools.accumulate(block.tasks for block in self.blocks)]
        self.chosen: dict[int, dict[str, Any]] | None = None
        """constants of each scenario by its number, if they are searched for rather than drawn"""
        self._latest: tuple[tuple[int, int], dict[str, Any], Any] | None = None
        """the scenario asked for last, with what its seeds share"""
        self._first_group = [0, *itertools.accumulate(block.groups for block in self.blocks)]

    def __len__(self) -> int:
        return self._first_task[-1]

    @property
    def groups(self) -> int:
        """Number of groups."""
        return self._first_group[-1]

    def group(self, number: int) -> range:
        """Numbers of the tasks of a group."""
        block = bisect.bisect_right(self._first_group, number) - 1
        unit, place = divmod(number - self._first_group[block], self._groups_of_unit(block))
        length = self._unit(block)
        begin = self._first_task[block] + unit * length
        return range(begin, begin + length)[place * self.group_size : (place + 1) * self.group_size]

    def task(self, number: int) -> Task:
        """A task by its number."""
        place = bisect.bisect_right(self._first_task, number) - 1
        point, index = divmod(number - self._first_task[place], len(self._seeds))
        if self._latest is None or self._latest[0] != (place, point):
            changes = self._changes(place, point)
            self._latest = (place, point), changes, self._digest(changes)
        _, changes, digest = self._latest
        seed, own = self._seeds[index], digest.copy()
        own.update(str(seed).encode())
        return Task(number, changes, seed, own.hexdigest()[:HASH_DIGITS])

    def _changes(self, place: int, point: int) -> dict[str, Any]:
        """The constants of a scenario by its number in a block."""
        if self.chosen is not None:
            return dict(self.chosen[point])
        block = self.blocks[place]
        changes = dict(block.fixed)
        point, drawn = divmod(point, self._drawn)
        for axis in reversed(self._numbers):
            point, index = divmod(point, len(axis.values))
            changes[axis.name] = axis.values[index]
        changes |= block.listed[point]
        if self.plan.draw is not None:
            names = (name for name, *_ in self.plan.ranges)
            changes |= dict(zip(names, self._draws[drawn].tolist(), strict=True))
        return {name: changes[name] for name in self.plan.varied if name in changes}

    def scenario(self, task: Task) -> Scenario:
        """The scenario of a task; raises InputError if its constants do not go together."""
        own = {name: value for name, value in task.changes.items() if not name.startswith(TRAIN)}
        scenario = changed(self.plan.base, own)
        optimal = getattr(self.plan.chosen, "beams", None) == "optimal"
        if optimal and scenario.harvest_model != "linear":
            shown = f"harvest_model: {scenario.harvest_model} is not allowed with optimal beams"
            raise InputError([f"{shown}; it must be linear"])
        return scenario

    def config(self, task: Task) -> Any:
        """The training configuration of a task, for the job `train`."""
        return self.plan.base_config.replace(**training_part(task.changes))

    def value(self, task: Task, name: str) -> Any:
        """The task's value of a constant that the plan varies."""
        return task.changes[name] if name in task.changes else self.usual(name)

    def usual(self, name: str) -> Any:
        """The value of a constant where the plan does not vary it."""
        own, _, part = name.partition(".")
        if own == "train":
            return getattr(self.plan.base_config, part)
        value = getattr(self.plan.base, own)
        return getattr(value, part) if part else value

    def check(self, most: int) -> None:
        """Build the first ``most`` scenarios; raises InputError with the first that is faulty."""
        step = len(self._seeds)
        for number in range(0, min(most * step, len(self)), step):
            task = self.task(number)
            try:
                self.scenario(task)
                if self._train:
                    self.config(task)
            except InputError as error:
                where = ", ".join(f"{name} {show(value, 40)}" for name, value in task.changes.items())
                raise InputError(f"task {number} ({where}): {fault}" for fault in error.faults) from None

    @property
    def compilations(self) -> int:
        """Programs that each process compiles: one for each kind of shapes and code."""
        return len(self.blocks)

    @cached_property
    def _draws(self) -> np.ndarray:
        """Drawn values (count, constants): the only part of a plan that is kept for every scenario."""
        draw, ranges = self.plan.draw, self.plan.ranges
        assert draw is not None
        if draw.how == "random":
            unit = np.random.default_rng(draw.seed).random((draw.count, len(ranges)))
        else:
            unit = qmc.LatinHypercube(len(ranges), rng=draw.seed).random(draw.count)
        for column, (_, low, high, log) in zip(unit.T, ranges, strict=True):
            if log:
                column[:] = low * (high / low) ** column
            else:
                column[:] = low + (high - low) * column
            np.clip(column, low, high, out=column)
        return unit

    @cached_property
    def _constants(self) -> dict[str, Any]:
        """What every task's hash depends on."""
        plan = self.plan
        about = {"job": plan.job, "options": plan.chosen.model_dump(mode="json")}
        if self._train:
            about["training"] = plan.base_config.model_dump(mode="json")
        return about | {"scenario": plan.base.record()}

    def _digest(self, changes: dict[str, Any]) -> Any:
        """What a task's hash is made from, but for its seed."""
        content = dict(self._constants)
        scenario, training = dict(content["scenario"]), dict(content.get("training", {}))
        for name, value in changes.items():
            own, _, part = name.partition(".")
            if own == "train":
                training[part] = value
            elif part:
                scenario[own] = {**scenario[own], part: value}
            else:
                scenario[own] = value
        content |= {"scenario": scenario, "training": training}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode())

    def _classes(self) -> Sequence[tuple[dict[str, Any], tuple[dict[str, Any], ...]]]:
        """What is fixed in each block, and the plan's points that belong to it."""
        listed = self.plan.listed
        names = dict.fromkeys(name for point in listed for name in point)
        axes = [
            Axis(name, tuple(p.get(name, getattr(self.plan.base, name, None)) for p in listed))
            for name in names
        ]
        shaping = {axis.name for axis in axes if _changes_shapes(axis)}
        classes: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {}
        for point in listed:
            fixed = {name: value for name, value in point.items() if name in shaping}
            rest = {name: value for name, value in point.items() if name not in shaping}
            classes.setdefault(show(fixed), (fixed, []))[1].append(rest)
        fixed_axes = [axis for axis in self.plan.axes if _changes_shapes(axis)]
        return [
            (dict(zip((axis.name for axis in fixed_axes), values, strict=True)) | fixed, tuple(points))
            for values in itertools.product(*(axis.values for axis in fixed_axes))
            for fixed, points in classes.values()
        ]

    def _size(self, listed: Sequence[Any]) -> int:
        points = math.prod(len(axis.values) for axis in self._numbers) * len(listed) * self._drawn
        return points * len(self._seeds)

    def _groups(self, tasks: int) -> int:
        unit = len(self._seeds) if self._train else tasks
        return tasks // unit * math.ceil(unit / self.group_size)

    def _unit(self, block: int) -> int:
        """Length of the runs of tasks that groups do not cross."""
        return len(self._seeds) if self._train else self.blocks[block].tasks

    def _groups_of_unit(self, block: int) -> int:
        return math.ceil(self._unit(block) / self.group_size)


def _changes_shapes(axis: Axis) -> bool:
    """Whether the values of an axis need programs of their own."""
    if axis.name == "user_positions":
        return len({len(value) for value in axis.values}) > 1
    return axis.name in SHAPES | TRAINING_SHAPES


def _usual_group(plan: Plan) -> int:
    """Tasks of a group, by the memory and the parallel work that it needs."""
    options = plan.chosen
    if plan.job in ("simulate", "solve") and options.beams != "optimal":
        # Rollouts play frames that are not counted, too.
        frames = options.frames * (1 if plan.job == "solve" else 2)
        return max(1, min(MOST_TOGETHER, FRAMES_TOGETHER // frames))
    return SEEDS_TOGETHER if plan.job == "train" else IN_TURN
