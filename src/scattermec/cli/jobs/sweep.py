"""Sweeps, for `scattermec sweep`."""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import typer

from scattermec._processes import usable_cores
from scattermec.cli.jobs.common import command_line
from scattermec.cli.output import Report, described_progress
from scattermec.cli.where import Where
from scattermec.engines import slurm
from scattermec.experiments.measure.table import Table
from scattermec.experiments.sweep.plan import Plan
from scattermec.experiments.sweep.store import PLAN, RESULTS, Store
from scattermec.experiments.sweep.tasks import Tasks

CHECKED = 1000
"""Scenarios that are checked before anything is computed; later faults are in the results."""

TRIALS_EACH = 2
"""Trials per process that a search proposes at a time."""

NEWEST = 200
"""Files from which the rate of a sweep is taken."""


def run(plan: Plan, out: Path, where: Where, *, quiet: bool) -> Report:
    """Compute what is missing, here or on Ray."""
    store = _begin(plan, out)
    left = store.left()
    with described_progress("Sweeping", quiet=quiet, unit="tasks") as update:
        report = _counter(store.tasks, left, lambda done, total: update("Sweeping", done, total))
        where.compute(_sweep(store), left, report)
    return _finished(store, len(left))


def optimise(plan: Plan, out: Path, where: Where, metric: str, *, smallest: bool, quiet: bool) -> Report:
    """Search for the best constants, and write the plan that compares them with those before."""
    from scattermec.experiments.sweep import search

    plan = search.plan_of(plan, metric)
    store = _begin(plan, out)
    with described_progress("Searching", quiet=quiet, unit="trials") as update:
        found = search.search(
            store,
            metric,
            smallest=smallest,
            together=TRIALS_EACH * (where.processes or usable_cores()),
            run=where.compute,
            report=lambda done, total: update("Searching", done, total),
        )
    before = "-" if found.before is None else f"{found.before:.4g}"
    rows = (
        (metric, before, f"{found.value:.4g}"),
        *((name, f"{store.tasks.usual(name):.4g}", f"{new:.4g}") for name, new in found.changes.items()),
    )
    title = f"{found.trials:,} trials, {found.pruned:,} of them without a result"
    again = f"With 20 fresh seeds: scattermec sweep run {found.comparison} --out {out}-best"
    return Report(
        data={**found._asdict(), "comparison": str(found.comparison), "metric": metric},
        tables=[Table(title, "", ("", "before", f"trial {found.best}"), rows)],
        notes=[again],
    )


def run_share(plan: Plan, out: Path, where: Where) -> Report:
    """Compute what is missing of a job's share."""
    store = _begin(plan, out)
    left = store.left(where.share(store.tasks.groups))
    slurm.run(_sweep(store), left, lambda number: typer.echo(f"group {number} is done", err=True))
    return _finished(store, len(left))


def submit(plan: Plan, out: Path, where: Where) -> Report:
    """Write the script of an array, and submit it."""
    store = _begin(plan, out)
    command = [sys.executable, "-m", "scattermec", "sweep", "run", str((out / PLAN).resolve())]
    command += ["--out", str(out.resolve()), "--json"]
    path, job = slurm.submit(command, out, where.array, store.tasks.groups)
    jobs = slurm.number_of_jobs(where.array, store.tasks.groups)
    say = f"Submitted as job {job}." if job else slurm.not_submitted(path)
    data = {"script": str(path), "job": job, "jobs": jobs, "groups": store.tasks.groups}
    return Report(
        data=data, heading=f"{jobs:,} jobs: {path}\n{say}", notes=[f"scattermec sweep status {out}"]
    )


def dry_run(plan: Plan, out: Path, processes: int | None, jobs: int | None) -> Report:
    """Tasks, groups, compilations, and the time that they take, from the first group computed twice."""
    from scattermec.experiments.sweep.running import measure

    tasks = Tasks(plan)
    tasks.check(CHECKED)
    side_by_side = jobs or processes or usable_cores()
    folder = Path(tempfile.mkdtemp(prefix="scattermec-sweep-"))
    try:
        cost = measure(plan, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    seconds = cost.seconds(tasks, tasks.groups, side_by_side)
    data = {
        "tasks": len(tasks),
        "groups": tasks.groups,
        "tasks_per_group": tasks.group_size,
        "programs": tasks.compilations,
        "seconds_per_group": cost.group,
        "seconds_of_compilation": cost.first - cost.group,
        "processes": side_by_side,
        "seconds": seconds,
        "bytes": cost.bytes * tasks.groups,
    }
    rows = (
        ("tasks", f"{len(tasks):,}"),
        ("groups", f"{tasks.groups:,} of up to {tasks.group_size}"),
        ("programs, compiled by each process", f"{tasks.compilations:,}"),
        ("compilation, each", f"{cost.first - cost.group:.1f} s"),
        ("a group", f"{cost.group:.2f} s"),
        (f"all, in {side_by_side} processes", _duration(seconds)),
        ("results", f"{cost.bytes * tasks.groups / 1e6:,.1f} MB"),
    )
    return Report(data=data, tables=[Table(f"{plan.job}: {out}", "", ("", ""), rows)])


def status(folder: Path) -> Report:
    """How much is done."""
    store = Store.open(folder)
    done = store.done()
    tasks = sum(len(store.tasks.group(group)) for group in range(len(done)) if done[group])
    rate = _rate(store, done)
    left = (len(done) - sum(done)) / rate if rate else None
    data = {
        "job": store.plan.job,
        "tasks": len(store.tasks),
        "tasks_done": tasks,
        "groups": len(done),
        "groups_done": sum(done),
        "seconds_left": left,
    }
    rows = [
        ("tasks", f"{tasks:,} of {len(store.tasks):,}"),
        ("groups", f"{sum(done):,} of {len(done):,}"),
    ]
    if left and left > 0:
        rows.append(("left, at the present rate", _duration(left)))
    return Report(data=data, tables=[Table(f"{store.plan.job}: {folder}", "", ("", ""), tuple(rows))])


def merge(folder: Path, *, quiet: bool) -> Report:
    """Merge what is there."""
    store = Store.open(folder)
    with described_progress("Merging", quiet=quiet, unit="groups") as update:
        path, tasks, rows = store.merge(lambda done, total: update("Merging", done, total))
    data = {"file": str(path), "tasks": len(store.tasks), "tasks_merged": tasks, "rows": rows}
    missing = len(store.tasks) - tasks
    notes = [f"{missing:,} tasks are still missing."] if missing else []
    return Report(data=data, heading=f"{rows:,} rows of {tasks:,} tasks: {path}", notes=notes)


def tabulate(folder: Path, quantities: Sequence[str]) -> Report:
    """The means of quantities, for each combination of constants."""
    from scattermec.experiments.sweep.tabulating import combinations, table_of

    store = Store.open(folder)
    found = combinations(store, quantities)
    rows = [
        {
            **one.constants,
            "tasks": one.tasks,
            **{
                f"{name}{suffix}": value
                for name, estimate in one.means.items()
                for suffix, value in zip(("", "_low", "_high"), estimate, strict=True)
            },
        }
        for one in found
    ]
    lines = [tuple(rows[0]), *(tuple(row.values()) for row in rows)]
    return Report(data={"rows": rows}, tables=[table_of(store, quantities, found)], values=lines)


def plot(folder: Path, x: str, y: str, hue: str | None, out: Path | None) -> Report:
    """Draw what is there."""
    from scattermec.experiments.sweep.plotting import draw

    store = Store.open(folder)
    path = out or folder / f"{y}-over-{x}.png"
    rows, over = draw(store, x, y, hue, path)
    notes = [f"Means over {', '.join(over)} where several tasks share a point."] if over else []
    return Report(data={"file": str(path), "rows": rows}, heading=f"{rows:,} rows: {path}", notes=notes)


def _begin(plan: Plan, out: Path) -> Store:
    Tasks(plan).check(CHECKED)
    return Store.begin(out, plan, command_line())


def _sweep(store: Store) -> Any:
    # Imported here, since it imports all that any job needs.
    from scattermec.experiments.sweep.running import Sweep

    return Sweep(store.plan, store.folder)


def _counter(tasks: Tasks, left: Sequence[int], update: Callable[[int, int], None]) -> Callable[[int], None]:
    """Reports groups as tasks."""
    total = len(tasks)
    done = total - sum(len(tasks.group(number)) for number in left)
    update(done, total)

    def report(number: int) -> None:
        nonlocal done
        done += len(tasks.group(number))
        update(done, total)

    return report


def _finished(store: Store, computed: int) -> Report:
    left = len(store.left())
    data = {"tasks": len(store.tasks), "groups": store.tasks.groups, "computed": computed, "left": left}
    heading = f"{computed:,} groups computed, {left:,} left: {store.folder / RESULTS}"
    return Report(data=data, heading=heading)


def _rate(store: Store, done: bytearray) -> float | None:
    """Groups per second, from the times of the newest files."""
    times = sorted(store.path(group).stat().st_mtime for group in range(len(done)) if done[group])[-NEWEST:]
    if len(times) < 2 or sum(done) == len(done):
        return None
    return len(times) / max(time.time() - times[0], 1e-3)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
