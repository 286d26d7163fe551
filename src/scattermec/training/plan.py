"""Runs of the learners, many seeds in a folder: plans, and loading runs from folders.

checkpoints/seeds-0000-0003.npz                  state of each block of seeds
metrics/seeds-0000-0003.parquet                  its metrics
"""

import dataclasses
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from scattermec._yaml import show
from scattermec.agents.settings import TrainingConfig
from scattermec.counts import MOST_FRAMES, MOST_SEEDS
from scattermec.errors import InputError
from scattermec.learners import ALGORITHMS, new_task
from scattermec.scenario import Scenario
from scattermec.training import checkpoint
from scattermec.training.folder import RUN, Request, digest, read_request, write_record
from scattermec.training.program import Program

CHUNK = 250
"""Frames per chunk; at its end metrics are taken and numbers checked."""

OPTIMUM = "held_out_optimum"
"""Entry of run.json with the mean optimum of the held-out frames."""

BLOCK = 4
"""Seeds that one process trains side by side. Fixed, so results do not depend on the number of seeds."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """Plan of a training run."""

    algorithm: str
    scenario: Scenario
    config: TrainingConfig
    seeds: tuple[int, ...]
    frames: int
    """per seed"""
    chunk: int = CHUNK
    """frames between two rows of metrics; a run's last chunk may be shorter"""

    def __post_init__(self) -> None:
        faults = []
        if self.algorithm not in ALGORITHMS:
            known = ", ".join(ALGORITHMS)
            faults.append(f"algorithm: {self.algorithm!r} is not known; choose from {known}")
        elif self.config.action_form not in ALGORITHMS[self.algorithm].FORMS:
            shown = f"action_form: {self.config.action_form} is not allowed for {self.algorithm}"
            faults.append(f"{shown}; it must be {' or '.join(ALGORITHMS[self.algorithm].FORMS)}")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            faults.append(f"seeds: {show(self.seeds, 80)} is not allowed; it must be at least one, each once")
        if not all(0 <= seed < 2**32 for seed in self.seeds):
            faults.append(f"seeds: {show(self.seeds, 80)} is not allowed; each must be >= 0 and < 2^32")
        for name in ("frames", "chunk"):
            if not 1 <= getattr(self, name) <= MOST_FRAMES:
                shown = show(getattr(self, name))
                faults.append(f"{name}: {shown} is not allowed; it must be >= 1 and <= {MOST_FRAMES}")
        if len(self.seeds) > MOST_SEEDS:
            faults.append(f"seeds: {len(self.seeds)} are not allowed; it must be at most {MOST_SEEDS}")
        if faults:
            raise InputError(faults)

    @property
    def blocks(self) -> tuple[tuple[int, ...], ...]:
        """The seeds, `BLOCK` at a time."""
        return tuple(self.seeds[i : i + BLOCK] for i in range(0, len(self.seeds), BLOCK))

    def program(self) -> Program:
        """The compiled functions for this plan."""
        return _program(self.algorithm, self.scenario, self.config, self.chunk)

    @property
    def request(self) -> Request[TrainingConfig]:
        """The request kept in the run's folder."""
        record: dict[str, Any] = {"algorithm": self.algorithm, "seeds": list(self.seeds)}
        record |= {"frames": self.frames, "chunk": self.chunk, "scenario_digest": digest(self.scenario)}
        return Request(self.scenario, self.config, record)


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """A run on disk."""

    path: Path
    plan: Plan
    optimum: float
    """mean optimum of the held-out frames in kbit/J, NaN if unknown"""

    def checkpoint(self, seeds: tuple[int, ...]) -> Path:
        """Path of a block's state."""
        return self.path / "checkpoints" / f"{_block_name(seeds)}.npz"

    def metrics(self, seeds: tuple[int, ...]) -> Path:
        """Path of a block's metrics."""
        return self.path / "metrics" / f"{_block_name(seeds)}.parquet"

    def frames(self, seeds: tuple[int, ...]) -> int:
        """Frames played at a block's checkpoint; 0 without one."""
        return checkpoint.frame_of(self.checkpoint(seeds)) or 0


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """A run's configuration and learned states."""

    algorithm: str
    """name in `scattermec.learners.ALGORITHMS`"""
    scenario: Scenario
    config: TrainingConfig
    seeds: tuple[int, ...]
    frames: int
    """frames played by each seed"""
    states: Any
    """the algorithm's state, with a leading axis (S,) of seeds on every leaf"""


def load_run(path: str | os.PathLike[str]) -> TrainedRun:
    """Load a run's final state. JAX must be in double precision, as it was during training.

    Raises InputError if the folder holds no run, or if its seeds have not all been trained equally long.
    """
    run = read_run(Path(path))
    plan = run.plan
    frames = {block: run.frames(block) for block in plan.blocks}
    if len(set(frames.values())) > 1 or 0 in frames.values():
        played = ", ".join(f"{_block_name(block)}: {count}" for block, count in frames.items())
        raise InputError([f"{path}: training is not finished (frames of {played}); go on with --resume"])
    program = plan.program()
    states = [checkpoint.load(run.checkpoint(seeds), program.example(seeds), seeds)[0] for seeds in frames]
    return TrainedRun(
        algorithm=plan.algorithm,
        scenario=plan.scenario,
        config=plan.config,
        seeds=plan.seeds,
        frames=frames[plan.blocks[0]],
        states=jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *states),
    )


def read_run(path: Path) -> RunFolder:
    """The run in a folder; raises InputError if there is none, or it is unreadable."""
    return run_of(path, request_of(path))


def request_of(path: Path) -> Request[TrainingConfig]:
    """The request of the run in a folder, not checked for being possible; raises the same as `read_run`."""
    kinds = {"seeds": list, "frames": int, "chunk": int}
    return read_request(path, ALGORITHMS, TrainingConfig, kinds)


def run_of(path: Path, kept: Request[TrainingConfig]) -> RunFolder:
    """The run with this request; raises InputError if it is impossible."""
    record, file = kept.record, path / RUN
    seeds, optimum = tuple(record["seeds"]), record.get(OPTIMUM)
    if not all(type(seed) is int for seed in seeds):
        raise InputError([f"{file}: seeds: {show(seeds, 80)} is not allowed; each must be an integer"])
    try:
        plan = Plan(record["algorithm"], kept.scenario, kept.config, seeds, record["frames"], record["chunk"])
    except InputError as error:
        raise InputError(f"{file}: {fault}" for fault in error.faults) from None
    return RunFolder(path, plan, optimum if isinstance(optimum, float) else float("nan"))


def prolong(run: RunFolder, kept: Request[TrainingConfig], frames: int) -> RunFolder:
    """The run with ``frames`` frames; raises InputError if more have been played already."""
    played = max(map(run.frames, run.plan.blocks))
    if frames < played:
        raise InputError([f"frames: {frames} is not allowed with --resume; {run.path} has played {played}"])
    if frames != run.plan.frames:
        write_record(run.path, {**kept.record, "frames": frames})
    return dataclasses.replace(run, plan=dataclasses.replace(run.plan, frames=frames))


@lru_cache(maxsize=2)
def _program(algorithm: str, scenario: Scenario, config: TrainingConfig, chunk: int) -> Program:
    return Program(ALGORITHMS[algorithm], new_task(scenario, config), chunk)


def _block_name(seeds: tuple[int, ...]) -> str:
    return f"seeds-{seeds[0]:04d}-{seeds[-1]:04d}"
