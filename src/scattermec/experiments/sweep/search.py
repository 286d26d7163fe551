"""The best constants of a plan's ranges, by Optuna: its trials are the groups of a sweep.

Needs the extra `search`. Trials are proposed in batches, two for each process, which any engine computes. The
study is a journal in the sweep's folder, so a search that was interrupted goes on. Trainings are pruned by
what they reach on the way.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scattermec._version import __version__
from scattermec.errors import InputError
from scattermec.experiments.sweep import jobs
from scattermec.experiments.sweep.plan import Plan
from scattermec.experiments.sweep.running import Sweep
from scattermec.experiments.sweep.store import Store
from scattermec.experiments.sweep.tasks import Task
from scattermec.storage.atomic import replace_text

JOURNAL, BEST = "search.log", "best.yaml"

WARM_UP = 0.2
"""Share of a training's frames before which nothing is pruned."""

UNPRUNED = 5
"""Trials before which nothing is pruned."""

FRESH_SEEDS = tuple(range(1000, 1020))
"""Seeds of the comparison of what was found with what was there before; no search uses them."""

Run = Callable[[Sweep, Sequence[int], Callable[[int], None]], None]
"""Computes groups of a sweep: an engine."""


class Found(NamedTuple):
    """Result of a search."""

    best: int
    """the trial"""
    value: float
    changes: dict[str, float]
    before: float | None
    """value of the plan's own constants, the first trial; None if they are not in the ranges"""
    trials: int
    pruned: int
    comparison: Path
    """a plan that compares both with fresh seeds"""


def plan_of(plan: Plan, metric: str) -> Plan:
    """The plan with a group for each trial; raises InputError if it cannot be searched for this metric."""
    faults = []
    if plan.draw is None or plan.grid or plan.points:
        faults.append("plan: must have draw, and neither grid nor points, to be optimised")
    names = jobs.names_of(jobs.columns_of(plan))
    if metric not in names:
        faults.append(f"optimise: {metric[:80]} is not measured; choose from {', '.join(names)}")
    if faults:
        raise InputError(faults)
    return plan.replace(group=len(plan.seed_list))


def search(
    store: Store, metric: str, *, smallest: bool, together: int, run: Run, report: Callable[[int, int], None]
) -> Found:
    """Run the trials that are missing: as many as the plan would draw.

    Args:
        store: the folder, of a plan by `plan_of`.
        metric: mean over seeds and rows that is sought.
        smallest: whether small is good.
        together: trials in a batch; results depend on it.
        run: computes groups.
        report: called with the number of trials that are done, and of all.
    """
    import optuna

    plan, draw = store.plan, store.plan.draw
    assert draw is not None
    study = _study(store.folder, smallest)
    if not study.trials:
        own = {name: store.tasks.usual(name) for name, *_ in plan.ranges}
        if all(low <= own[name] <= high for name, low, high, _ in plan.ranges):
            study.enqueue_trial(own)
    while True:
        done = [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]
        report(len(done), draw.count)
        study.sampler = _sampler(draw.seed + len(done))
        # Trials that an interrupted search had begun come first.
        batch = {t.number: t._trial_id for t in study.get_trials(states=(optuna.trial.TrialState.RUNNING,))}
        while len(batch) < min(together, draw.count - len(done)):
            trial = study.ask()
            for name, low, high, log in plan.ranges:
                trial.suggest_float(name, low, high, log=log)
            batch[trial.number] = trial._trial_id
        if not batch:
            return _found(store, study, smallest)
        changes = {trial.number: dict(trial.params) for trial in study.get_trials(deepcopy=False)}
        _write(store, changes)
        run(
            Trials(plan, store.folder, metric, smallest, batch),
            store.left(sorted(batch)),
            lambda number: None,
        )
        for number in sorted(batch):
            value = _value(store, number, metric)
            state = optuna.trial.TrialState.PRUNED if value is None else optuna.trial.TrialState.COMPLETE
            study.tell(number, value, state=state)


class Trials(Sweep):
    """Trials as groups; a training is pruned in the process that trains, if it sees the sweep's folder."""

    def __init__(self, plan: Plan, folder: Path, metric: str, smallest: bool, batch: dict[int, int]) -> None:
        super().__init__(plan, folder)
        self.metric, self.smallest, self.batch = metric, smallest, batch
        self.changes = self.store.tasks.chosen

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_store": None}

    @property
    def store(self) -> Store:
        """The folder's data set, with the constants of the trials."""
        store = super().store
        if store.tasks.chosen is None:
            store.tasks.chosen = self.changes
        return store

    def rows(self, number: int) -> Iterator[tuple[Task, list[jobs.Row]]]:
        """The rows of a trial."""
        tasks = self.store.tasks
        here = self.plan.job == "train" and (self.folder / JOURNAL).exists()
        report = self._pruning(number) if here else lambda progress: None
        return jobs.run(tasks, tasks.group(number), self.scratch(number), tasks.group_size, report)

    def _pruning(self, number: int) -> jobs.Progress:
        import optuna

        study = _study(self.folder, self.smallest)
        study.pruner = optuna.pruners.MedianPruner(UNPRUNED, int(WARM_UP * self.plan.chosen.frames))
        trial = optuna.trial.Trial(study, self.batch[number])
        latest: dict[int, float] = {}

        def report(progress: Any) -> None:
            latest.update({int(row["seed"]): row[self.metric] for row in progress.rows})
            frame = max(int(row["frame"]) for row in progress.rows)
            trial.report(float(np.mean(list(latest.values()))), frame)
            if frame < self.plan.chosen.frames and trial.should_prune():
                raise jobs.PrunedError(f"pruned at frame {frame}")

        return report


def _study(folder: Path, smallest: bool) -> Any:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(folder / JOURNAL))),
        study_name="sweep",
        direction="minimize" if smallest else "maximize",
        sampler=_sampler(0),
        load_if_exists=True,
    )


def _sampler(seed: int) -> Any:
    import optuna

    return optuna.samplers.TPESampler(seed=seed % 2**32, constant_liar=True)


def _write(store: Store, changes: dict[int, dict[str, float]]) -> None:
    """Keep the constants of all trials, for those who read the data set."""
    store.tasks.chosen = changes
    lines = [json.dumps(changes[number]) for number in range(len(changes))]
    replace_text(store.trials, "\n".join(lines) + "\n")


def _value(store: Store, trial: int, metric: str) -> float | None:
    """Mean of the metric; None if the trial was pruned or could not be computed."""
    table = store.read(trial)
    values = table[metric].to_numpy()
    if any(table["fault"].to_pylist()) or not np.isfinite(values).all():
        return None
    return float(values.mean())


def _found(store: Store, study: Any, smallest: bool) -> Found:
    trials = study.get_trials(deepcopy=False)
    whole = [trial for trial in trials if trial.value is not None and trial.state.name == "COMPLETE"]
    if not whole:
        raise InputError([f"{store.folder}: no trial has a result"])
    best = (min if smallest else max)(whole, key=lambda trial: trial.value)
    first = trials[0]
    own = first.value if first in whole and "fixed_params" in first.system_attrs else None
    comparison = store.folder / BEST
    points: tuple[dict[str, float], ...] = ({}, {name: float(value) for name, value in best.params.items()})
    plan = store.plan.replace(draw=None, points=points, seeds=FRESH_SEEDS, group=None)
    replace_text(
        comparison, f"# By scattermec {__version__}: as before, and trial {best.number}.\n" + plan.to_yaml()
    )
    pruned = sum(trial.state.name == "PRUNED" for trial in trials)
    return Found(best.number, best.value, points[1], own, len(trials), pruned, comparison)
