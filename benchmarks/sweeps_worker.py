"""A sweep of many trainings whose results are drawn at random, stage by stage, in a process of its own."""

import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.processes import Desk
from scattermec.engines import local
from scattermec.experiments.sweep import jobs
from scattermec.experiments.sweep.plan import Plan
from scattermec.experiments.sweep.running import Sweep
from scattermec.experiments.sweep.store import Store
from scattermec.experiments.sweep.tasks import Task, Tasks

SEEDS = 20


class Stub(Sweep):
    """Trainings without the training."""

    def rows(self, number: int) -> Iterator[tuple[Task, list[jobs.Row]]]:
        """Numbers drawn at random."""
        tasks, columns = self.store.tasks, jobs.columns_of(self.plan)
        for index in tasks.group(number):
            task = tasks.task(index)
            numbers = np.random.default_rng(index).random(len(columns.numbers)).tolist()
            yield task, [{"frame": 10_000, **dict(zip(columns.numbers, numbers, strict=True))}]


def main() -> None:
    """Answer with one row per stage."""
    desk = Desk()
    count, folder = desk.setup["tasks"], Path(desk.setup["folder"]) / "sweep"

    def stage(name: str, work: Callable[[], Any]) -> Any:
        begin = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - begin
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        row = {"stage": name, "seconds": seconds, "per_task": 1e6 * seconds / count, "memory": most}
        desk.answer(row)
        return result

    over = {
        "ap_power": {"low": 0.25, "high": 4, "log": True},
        "train.actor_learning_rate": {"low": 1e-5, "high": 1e-2, "log": True},
        "train.smoothing": {"low": 0.001, "high": 0.5, "log": True},
    }
    plan = Plan(
        job="train", draw={"count": -(-count // SEEDS), "over": over}, seeds=SEEDS, group=SEEDS
    ).self_contained()
    store = stage("read and check the plan", lambda: begin(folder, plan))
    stage(
        "number and hash every task", lambda: all(store.tasks.task(n).hash for n in range(len(store.tasks)))
    )
    left = store.left()
    done: list[None] = []
    stage(
        "compute (a stub) and keep every group",
        lambda: local.run(Stub(plan, folder), left, lambda n: done.append(None), processes=1),
    )
    stage("find what is done, as `sweep status` does", store.left)
    _, tasks, rows = stage("merge", lambda: store.merge(lambda done, total: None))
    assert tasks == rows == len(store.tasks)
    files = list(folder.glob("results/*/*.parquet"))
    size = sum(file.stat().st_size for file in files) / 1e6
    merged = (folder / "merged.parquet").stat().st_size / 1e6
    remark = f"{len(files):,} files of {size:,.0f} MB in all; merged {merged:,.0f} MB; {len(done):,} groups"
    desk.answer({"remark": remark})
    desk.answer(None)


def begin(folder: Path, plan: Plan) -> Store:
    """The folder of a checked plan."""
    Tasks(plan).check(1000)
    store = Store.begin(folder, plan, "")
    assert len(store.tasks)
    return store


if __name__ == "__main__":
    main()
