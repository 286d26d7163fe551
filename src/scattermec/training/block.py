"""Training of one block of seeds, chunk by chunk, so that it can be killed at any moment and resumed."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from scattermec._version import __version__
from scattermec.errors import TrainingError
from scattermec.storage.atomic import writing
from scattermec.training import checkpoint
from scattermec.training.folder import RunFolder, digest
from scattermec.training.metrics import MetricsFile, Row
from scattermec.training.program import Chunk, Greedy, Program

DIVERGED = 1e9
"""Learning is given up if a value or a critic's loss, in the unit of the scaled reward, is beyond this."""

Report = Callable[[list[Row]], None]
"""Is told the new rows of metrics of a block, one a seed, after each chunk."""


def train_block(
    run: RunFolder, program: Program, seeds: tuple[int, ...], *, save_every: int, report: Report
) -> None:
    """Train a block from its checkpoint, or from its beginning, to the plan's number of frames.

    Metrics are written before the checkpoint and those beyond it dropped on resuming, so that both are the
    same however often it was killed. Raises TrainingError where learning cannot go on, with the checkpoint
    before kept; InputError where what is on disk cannot be used, BusyError where another process is training
    the block.
    """
    plan, file = run.plan, run.checkpoint(seeds)
    file.parent.mkdir(exist_ok=True)
    run.metrics(seeds).parent.mkdir(exist_ok=True)
    with writing(file):
        notes = {"version": __version__, "algorithm": plan.algorithm, "scenario": digest(plan.scenario)}
        metrics = MetricsFile(run.metrics(seeds), notes)
        if file.exists():
            state, frame = checkpoint.load(file, program.example(len(seeds)), seeds)
            metrics.take_up(frame)
        else:
            state, frame = program.initial(seeds), 0
        agents = program.algorithm.agent_names(plan.scenario.num_users)
        while frame < plan.frames:
            begin, frame = frame, plan.next_stop(frame)
            state, chunk = program.advance(state, begin, frame)
            fault = first_fault(chunk, seeds, agents, begin)
            if fault:
                if metrics.rows:
                    metrics.save()
                raise TrainingError(f"{plan.algorithm}: {fault}")
            rows = _rows(chunk, program.greedy(state), seeds, agents, frame, run.optimum)
            metrics.rows += rows
            report(rows)
            if frame // save_every > begin // save_every or frame == plan.frames:
                metrics.save()
                checkpoint.save(file, state, seeds, frame)


def first_fault(chunk: Chunk, seeds: tuple[int, ...], agents: tuple[str, ...], begin: int) -> str | None:
    """What shows that learning has failed, with its seed, agent and frame (counted from 0); None if nothing.

    ``begin`` is the chunk's first frame. The first frame counts, and in it what agents have before what is
    seen of the frame.
    """
    record = chunk.record
    found: list[tuple[int, str]] = []
    for quantity, values in (("critic loss", record.losses.critic), ("value", record.losses.value)):
        bad = ~(np.abs(values) <= DIVERGED)
        if bad.any():
            at = tuple(np.argwhere(bad)[0])
            where = f"seed {seeds[at[1]]}, agent {agents[at[2]]}, frame {begin + at[0]}"
            found.append((at[0], f"{where}: {quantity} {_is(values[at])}"))
    for name in ("reward", "user_reward", "outage", "ap_energy", "processed"):
        bad = ~np.isfinite(getattr(record, name))
        if bad.any():
            at = tuple(np.argwhere(bad)[0])
            where = f"seed {seeds[at[1]]}, frame {begin + at[0]}"
            found.append((at[0], f"{where}: {name.replace('_', ' ')} {_is(getattr(record, name)[at])}"))
    if found:
        return min(found, key=lambda fault: fault[0])[1]
    if not chunk.finite.all():
        seed, agent = np.argwhere(~chunk.finite)[0]
        last = begin + len(record.reward) - 1
        return f"seed {seeds[seed]}, agent {agents[agent]}, frame {last}: parameters are not finite"
    return None


def _is(value: Any) -> str:
    """A wrong number in words."""
    if not np.isfinite(value):
        return f"is {value}"
    return f"is {value:.2g}, beyond {DIVERGED:g}: learning diverges"


def _rows(
    chunk: Chunk,
    greedy: dict[str, Greedy],
    seeds: tuple[int, ...],
    agents: tuple[str, ...],
    frame: int,
    optimum: float,
) -> list[Row]:
    record, rows = chunk.record, []
    for index, seed in enumerate(seeds):
        row: Row = {"seed": seed, "frame": frame}
        for field in dataclasses.fields(record):
            if field.name != "losses":
                row[field.name] = float(np.mean(getattr(record, field.name)[:, index]))
        for name, losses in (("critic_loss", record.losses.critic), ("value", record.losses.value)):
            means = np.asarray(losses, np.float64)[:, index].mean(axis=0).tolist()
            row |= {f"{name}.{agent}": mean for agent, mean in zip(agents, means, strict=True)}
        for mode, worth in greedy.items():
            reward = float(worth.reward[index])
            row[f"reward.{mode}"] = reward
            row[f"outage.{mode}"] = float(worth.outage[index])
            row[f"share.{mode}"] = reward / optimum if optimum else float("nan")
        rows.append(row)
    return rows
