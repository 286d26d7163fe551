"""A training run: started or resumed in a folder, its blocks of seeds trained by one process or several."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax

from scattermec._processes import run_in_processes, usable_cores
from scattermec.physics import parameters_of
from scattermec.storage.atomic import discard_partials
from scattermec.training.block import train_block
from scattermec.training.folder import begin_or_resume
from scattermec.training.metrics import Row
from scattermec.training.plan import OPTIMUM, Plan, RunFolder, prolong, request_of, run_of
from scattermec.training.program import optimal_reward

SAVE_EVERY = 2000
"""frames between checkpoints"""


class Progress(NamedTuple):
    """Progress of a run."""

    done: int
    """frames played, of all seeds together"""
    total: int
    rows: list[Row]
    """the latest metric rows of some seeds"""


class Outcome(NamedTuple):
    """Result of a call of `train`."""

    run: RunFolder
    played: int
    """frames played by this call, of all seeds together; 0 if the run was already finished"""
    notes: tuple[str, ...]
    """further lines for the user"""


def train(
    plan: Plan,
    path: Path,
    *,
    resume: bool = False,
    processes: int | None = None,
    save_every: int = SAVE_EVERY,
    command: str = "",
    report: Callable[[Progress], None] = lambda progress: None,
) -> Outcome:
    """Train ``plan`` in the folder ``path``. JAX must be in double precision.

    Args:
        plan: the plan; on resuming, more frames than before prolong the run.
        path: a new or empty folder, or with ``resume`` that of a run.
        resume: continue the run in the folder, if there is one.
        processes: number of processes that train side by side; by default one per block of seeds, at most one
            per core, and on a GPU one. Results do not depend on it.
        save_every: frames between checkpoints; they are written at the ends of chunks.
        command: kept with the run.
        report: called after every chunk.

    Raises InputError if the folder cannot be used or holds another run, BusyError if another process writes
    there, TrainingError if learning fails; earlier checkpoints stay.
    """

    def optimum() -> dict[str, float | None]:
        found = optimal_reward(parameters_of(plan.scenario))
        return {OPTIMUM: found if found == found else None}

    with begin_or_resume(
        path,
        plan.request,
        read=request_of,
        same=("algorithm", "seeds", "chunk"),
        resume=resume,
        command=command,
        more=optimum,
    ) as (kept, notes):
        run = prolong(run_of(path, kept), kept, plan.frames)
        return Outcome(run, _train(run, processes, save_every, report), notes)


def _train(run: RunFolder, processes: int | None, save_every: int, report: Callable[[Progress], None]) -> int:
    """Train all blocks to their end; returns the frames played."""
    plan = run.plan
    frames = {block: run.frames(seeds) for block, seeds in enumerate(plan.blocks)}
    open_blocks = [block for block, count in frames.items() if count < plan.frames]
    done = begun = sum(len(plan.blocks[block]) * count for block, count in frames.items())
    total = plan.frames * len(plan.seeds)
    reached = {seed: frames[block] for block, seeds in enumerate(plan.blocks) for seed in seeds}

    def tell(rows: list[Row]) -> None:
        nonlocal done
        for row in rows:
            seed, frame = int(row["seed"]), int(row["frame"])
            done += frame - reached[seed]
            reached[seed] = frame
        report(Progress(done, total, rows))

    if processes is None:
        processes = usable_cores() if jax.default_backend() == "cpu" else 1
    processes = min(processes, len(open_blocks))
    try:
        run_in_processes(partial(_train_block, run, save_every), open_blocks, tell, processes=processes)
    finally:
        if processes > 1:
            discard_partials(run.path)
    return done - begun


def _train_block(run: RunFolder, save_every: int, block: int, report: Callable[[list[Row]], None]) -> None:
    """Train block number ``block`` of a run."""
    train_block(run, run.plan.program(), run.plan.blocks[block], save_every=save_every, report=report)
