"""Training of one block of seeds side by side."""

import dataclasses
from functools import partial
from typing import Any

import numpy as np

from scattermec._version import __version__
from scattermec.errors import TrainingError
from scattermec.training.folder import digest
from scattermec.training.loop import Report, Training
from scattermec.training.metrics import MetricsFile, Row
from scattermec.training.plan import RunFolder
from scattermec.training.program import Chunk, Greedy, Program

DIVERGED = 1e9
"""Training stops if a value or a critic's loss, in units of the scaled reward, exceeds this."""


def train_block(
    run: RunFolder, program: Program, seeds: tuple[int, ...], *, save_every: int, report: Report
) -> None:
    """Train a block from its checkpoint to the plan's number of frames; raises the same as `Training.run`."""
    plan = run.plan
    agents = program.algorithm.agent_names(plan.scenario.num_users)

    def advance(state: Any, begin: int, end: int) -> tuple[Any, list[Row]]:
        state, chunk = program.advance(state, begin, end)
        fault = first_fault(chunk, seeds, agents, begin)
        if fault:
            raise TrainingError(f"{plan.algorithm}: {fault}")
        return state, _rows(chunk, program.greedy(state), seeds, agents, end, run.optimum)

    notes = {"version": __version__, "algorithm": plan.algorithm, "scenario": digest(plan.scenario)}
    metrics = MetricsFile(run.metrics(seeds), notes)
    begin = partial(program.example, seeds), partial(program.initial, seeds)
    training = Training(*begin, advance, seeds, run.checkpoint(seeds), metrics)
    training.run(plan.frames, chunk=plan.chunk, save_every=save_every, report=report)


def first_fault(chunk: Chunk, seeds: tuple[int, ...], agents: tuple[str, ...], begin: int) -> str | None:
    """Describe the first sign of failed learning by seed, agent and frame (counted from 0); None if none.

    ``begin`` is the chunk's first frame. The earliest frame is reported; within a frame, an agent's fault
    comes before a fault of the recorded frame.
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
    """Describe an invalid number in words."""
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
