"""The jobs of a sweep: what a group of tasks computes, and the columns of its rows.

Jobs whose tasks can be stacked compute them in one program; the others compute them in turn, with programs
that serve all tasks of the same shapes.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from scattermec.errors import ComputationError, InputError, TrainingError
from scattermec.experiments.calibrate.margins import margins
from scattermec.experiments.claims.optima import CLAIMS
from scattermec.experiments.evaluate import evaluation, foresight
from scattermec.experiments.evaluate.policies import (
    LEARNED,
    Contender,
    check_fit,
    fixed_contenders,
    learned_contenders,
    price_net_contenders,
)
from scattermec.experiments.measure.rollouts import QUANTITIES, SimulationResult, simulate
from scattermec.experiments.measure.stacked import measure_stacked, simulate_stacked
from scattermec.experiments.measure.statistics import Estimate
from scattermec.experiments.measure.sweeps import METRICS, measure_frames
from scattermec.experiments.sweep.plan import Plan
from scattermec.experiments.sweep.tasks import Task, Tasks
from scattermec.learners import ALGORITHMS
from scattermec.learners.fixed import FIXED
from scattermec.physics import Parameters, parameters_of
from scattermec.price_net import is_price_net, load
from scattermec.scenario import Scenario
from scattermec.training import load_run, metrics
from scattermec.training import plan as training_plan
from scattermec.training import run as training_run

Row = dict[str, Any]
"""Numbers and labels by column."""

Progress = Callable[[training_run.Progress], None]
"""Called during a training; may raise PrunedError."""


class PrunedError(ComputationError):
    """A training that is not worth its end."""


FAULT = "fault"
"""Column that says why a task has no numbers; empty if it has."""


@dataclass(frozen=True)
class Columns:
    """The columns of a job's rows, in their order."""

    labels: tuple[str, ...] = ()
    """of text"""
    counts: tuple[str, ...] = ()
    """of whole numbers"""
    numbers: tuple[str, ...] = ()
    estimates: tuple[str, ...] = ()
    """means; each has two more columns, the ends of its 95% interval: NAME_low and NAME_high"""


def columns_of(plan: Plan) -> Columns:
    """The columns of a plan's rows."""
    if plan.job == "simulate":
        return Columns(counts=("not_converged",), estimates=tuple(quantity.name for quantity in QUANTITIES))
    if plan.job == "solve":
        return Columns(estimates=tuple(METRICS))
    if plan.job == "evaluate":
        names = tuple(quantity.name for quantity in evaluation.QUANTITIES)
        return Columns(labels=("regime", "policy", "mode"), estimates=names)
    if plan.job == "horizon":
        names = ("cost", "over_bound", "energy", "unserved", "outage")
        return Columns(labels=("policy", "mode"), counts=("served_all",), numbers=("gap",), estimates=names)
    if plan.job == "claims":
        return Columns(numbers=(*(claim.name for claim in CLAIMS), "served"))
    learned = (*LEARNED, *metrics.columns_of(ALGORITHMS[plan.chosen.algorithm].MODES))
    return Columns(counts=("frame",), numbers=tuple(dict.fromkeys(learned)))


def run(
    tasks: Tasks,
    numbers: Sequence[int],
    folder: Path,
    size: int,
    report: Progress = lambda progress: None,
) -> Iterator[tuple[Task, list[Row]]]:
    """The rows of each task of a group, in their order.

    Tasks whose constants do not go together, or whose computation fails, have one row that says why.

    Args:
        tasks: all tasks.
        numbers: those of the group.
        folder: for the checkpoints of trainings.
        size: tasks of a full group; stacked groups are padded to it, so that all have the same program.
        report: called during trainings.
    """
    plan = tasks.plan
    group, scenarios, faults = [], [], {}
    for number in numbers:
        task = tasks.task(number)
        group.append(task)
        try:
            scenarios.append(tasks.scenario(task))
        except InputError as error:
            faults[number] = str(error)
    good = [task for task in group if task.number not in faults]
    if plan.job == "train":
        found = _train(tasks, good, scenarios, folder, faults, report)
    elif plan.job in ("simulate", "solve") and plan.chosen.beams != "optimal":
        found = _stacked(plan, good, scenarios, size)
    else:
        found = (
            _in_turn(plan, task, scenario, faults) for task, scenario in zip(good, scenarios, strict=True)
        )
    rows = dict(zip((task.number for task in good), found, strict=True))
    for task in group:
        yield task, rows.get(task.number) or [{FAULT: faults[task.number]}]


def _stacked(
    plan: Plan, group: Sequence[Task], scenarios: Sequence[Scenario], size: int
) -> Iterator[list[Row]]:
    """Tasks in one program."""
    if not group:
        return
    options = plan.chosen
    padding = size - len(group)
    parameters: list[Parameters] = [parameters_of(scenario) for scenario in scenarios]
    parameters += parameters[-1:] * padding
    seeds = [task.seed for task in group] + [group[-1].seed] * padding
    settings = {"scheme": options.scheme, "beams": options.beams}
    if plan.job == "simulate":
        results = simulate_stacked(parameters, seeds, num_frames=options.frames, **settings)
        yield from ([_simulated(result)] for result in results[: len(group)])
    else:
        found = measure_stacked(parameters, seeds, frames=options.frames, **settings)
        yield from ([_flat(estimates)] for estimates in found[: len(group)])


def _in_turn(plan: Plan, task: Task, scenario: Scenario, faults: dict[int, str]) -> list[Row]:
    """A task by itself."""
    try:
        return list(_ALONE[plan.job](plan.chosen, task, scenario))
    except (InputError, ComputationError) as error:
        faults[task.number] = str(error)
        return []


def _simulate(options: Any, task: Task, scenario: Scenario) -> Iterator[Row]:
    settings = {"scheme": options.scheme, "beams": options.beams}
    yield _simulated(simulate(scenario, num_frames=options.frames, seed=task.seed, **settings))


def _solve(options: Any, task: Task, scenario: Scenario) -> Iterator[Row]:
    parameters = parameters_of(scenario)
    yield _flat(
        measure_frames(
            parameters, frames=options.frames, seed=task.seed, beams=options.beams, scheme=options.scheme
        )
    )


def _evaluate(options: Any, task: Task, scenario: Scenario) -> Iterator[Row]:
    found = evaluation.evaluate(
        scenario,
        contenders_of(options.policy, scenario),
        frames=options.frames,
        rollout_frames=options.rollout_frames,
        seed=task.seed,
    )
    for row in found.rows:
        yield {"regime": row.regime, "policy": row.policy, "mode": row.mode, **_flat(row.estimates)}


def _horizon(options: Any, task: Task, scenario: Scenario) -> Iterator[Row]:
    # Without backlog, so that all policies have the same work; as by `scattermec horizon`.
    scenario = scenario.replace(backlog_cap=0.0)
    found = foresight.compare(
        scenario,
        foresight.contenders(load(options.policy), scenario),
        frames=options.frames,
        episodes=options.episodes,
        seed=task.seed,
    )
    for row in found.rows:
        estimates = {name: value for name, value in vars(row).items() if isinstance(value, Estimate)}
        labels = {"policy": row.policy, "mode": row.mode, "served_all": row.served_all, "gap": found.gap}
        yield {**labels, **_flat(estimates)}


def _claims(options: Any, task: Task, scenario: Scenario) -> Iterator[Row]:
    found = margins(scenario, frames=options.frames, seed=task.seed, quick=options.quick)
    yield {claim.name: float(m) for claim, m in zip(CLAIMS, found.claims, strict=True)} | {
        "served": found.served
    }


_ALONE: Mapping[str, Callable[[Any, Task, Scenario], Iterator[Row]]] = {
    "simulate": _simulate,
    "solve": _solve,
    "evaluate": _evaluate,
    "horizon": _horizon,
    "claims": _claims,
}


def contenders_of(name: str, scenario: Scenario) -> list[Contender]:
    """A policy that does not learn, price-net, or the learner of a training run, as trained, in each mode."""
    if name in FIXED:
        return fixed_contenders(scenario, [name])
    if is_price_net(name):
        learned = price_net_contenders(load(name), scenario)
    else:
        trained = load_run(Path(name))
        check_fit(trained, scenario, name)
        learned = learned_contenders(trained, scenario)
    return [contender for contender in learned if contender.trained]


def _train(
    tasks: Tasks,
    group: Sequence[Task],
    scenarios: Sequence[Scenario],
    folder: Path,
    faults: dict[int, str],
    report: Progress,
) -> Iterator[list[Row]]:
    """Tasks that differ in their seeds only, side by side; each alone if learning fails for one of them."""
    if not group:
        return
    plan = partial(new_training, tasks, group[0], scenarios[0])
    try:
        rows = train(plan([task.seed for task in group]), folder, report)
    except (InputError, PrunedError) as error:
        faults |= {task.number: str(error) for task in group}
        rows = {}
        shutil.rmtree(folder, ignore_errors=True)
    except TrainingError as error:
        rows = {}
        for task in group:
            try:
                if len(group) == 1:
                    raise error
                rows |= train(plan([task.seed]), folder.with_name(f"{folder.name}-{task.seed}"))
            except TrainingError as alone:
                faults[task.number] = str(alone)
    curve = tasks.plan.chosen.curve
    yield from (rows.get(task.seed, [])[None if curve else -1 :] for task in group)


def new_training(tasks: Tasks, task: Task, scenario: Scenario, seeds: Sequence[int]) -> training_plan.Plan:
    """The training of a task's scenario and settings with these seeds; raises InputError for faults."""
    options = tasks.plan.chosen
    config = tasks.config(task)
    return training_plan.Plan(options.algorithm, scenario, config, tuple(seeds), options.frames)


def train(
    plan: training_plan.Plan, folder: Path, report: Progress = lambda progress: None
) -> dict[int, list[Row]]:
    """Train in a folder that is removed at the end; returns the metrics of each seed.

    A training that was interrupted goes on from its checkpoint.
    """
    outcome = training_run.train(plan, folder, resume=True, processes=1, report=report)
    rows: dict[int, list[Row]] = {seed: [] for seed in plan.seeds}
    for seeds in plan.blocks:
        for row in metrics.read(outcome.run.metrics(seeds)):
            rows[int(row["seed"])].append(dict(row))
    shutil.rmtree(folder, ignore_errors=True)
    return rows


def _simulated(result: SimulationResult) -> Row:
    return {**_flat(result.estimates), "not_converged": result.not_converged}


def _flat(estimates: Mapping[str, Estimate]) -> Row:
    row: Row = {}
    for name, estimate in estimates.items():
        row |= {name: estimate.mean, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return row


def names_of(columns: Columns) -> Iterable[str]:
    """All columns of numbers that can be plotted or optimised."""
    return (*columns.counts, *columns.numbers, *columns.estimates)
