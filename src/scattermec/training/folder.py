"""The folder of a training run: what is to be trained, where what is kept lies, and runs loaded from it.

run.json, scenario.yaml, training.yaml           what was asked for
checkpoints/seeds-0000-0003.npz                  state of each block of seeds
metrics/seeds-0000-0003.parquet                  what was seen of it
"""

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from scattermec._settings import FileSettings
from scattermec._version import __version__
from scattermec._yaml import show
from scattermec.agents.settings import TrainingConfig
from scattermec.counts import MOST_FRAMES, MOST_SEEDS
from scattermec.errors import InputError
from scattermec.learners import ALGORITHMS, new_task
from scattermec.scenario import Scenario
from scattermec.storage import replace_text
from scattermec.storage.texts import read_object
from scattermec.training import checkpoint
from scattermec.training.files import CONFIG, RUN, SCENARIO
from scattermec.training.program import Program

CHUNK = 250
"""Frames played between two looks at them: at its end metrics are taken and numbers checked."""

BLOCK = 4
"""Seeds trained side by side by one process. Fixed, so that results do not depend on how many there are."""

_PACKAGES = ("jax", "jaxlib", "equinox", "optax", "flashbax")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be trained."""

    algorithm: str
    scenario: Scenario
    config: TrainingConfig
    seeds: tuple[int, ...]
    frames: int
    """of each seed"""
    chunk: int = CHUNK
    """frames between two rows of metrics; a run's last chunk may be shorter"""

    def __post_init__(self) -> None:
        faults = []
        if self.algorithm not in ALGORITHMS:
            known = ", ".join(ALGORITHMS)
            faults.append(f"algorithm: {self.algorithm!r} is not known; choose from {known}")
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
        """The seeds, so many of them at a time."""
        return tuple(self.seeds[i : i + BLOCK] for i in range(0, len(self.seeds), BLOCK))

    def program(self) -> Program:
        """What is compiled for it."""
        return _program(self.algorithm, self.scenario, self.config, self.chunk)

    def next_stop(self, frame: int) -> int:
        """The end of the chunk after ``frame`` frames."""
        return min((frame // self.chunk + 1) * self.chunk, self.frames)


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """A run that is on disk."""

    path: Path
    plan: Plan
    optimum: float
    """mean optimum of the held-out frames in kbit/J, NaN if unknown"""

    def checkpoint(self, seeds: tuple[int, ...]) -> Path:
        """The file with a block's state."""
        return self.path / "checkpoints" / f"{_block_name(seeds)}.npz"

    def metrics(self, seeds: tuple[int, ...]) -> Path:
        """The file with a block's metrics."""
        return self.path / "metrics" / f"{_block_name(seeds)}.parquet"

    def frames(self, seeds: tuple[int, ...]) -> int:
        """Frames that a block's checkpoint has played; 0 without one."""
        return checkpoint.frame_of(self.checkpoint(seeds)) or 0


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """What a run has learned."""

    algorithm: str
    """name in `scattermec.learners.ALGORITHMS`"""
    scenario: Scenario
    config: TrainingConfig
    seeds: tuple[int, ...]
    frames: int
    """frames that each seed has played"""
    states: Any
    """the algorithm's state, with a leading axis (S,) of seeds on every leaf"""


def load_run(path: str | os.PathLike[str]) -> TrainedRun:
    """A run's final state. JAX must be in double precision, as it was while training.

    Raises InputError where the folder holds no run, or its seeds have not all been trained equally long.
    """
    run = read_folder(Path(path))
    plan = run.plan
    frames = {block: run.frames(block) for block in plan.blocks}
    if len(set(frames.values())) > 1 or 0 in frames.values():
        played = ", ".join(f"{_block_name(block)}: {count}" for block, count in frames.items())
        raise InputError([f"{path}: training is not finished (frames of {played}); go on with --resume"])
    program = plan.program()
    states = [
        checkpoint.load(run.checkpoint(seeds), program.example(len(seeds)), seeds)[0] for seeds in frames
    ]
    return TrainedRun(
        algorithm=plan.algorithm,
        scenario=plan.scenario,
        config=plan.config,
        seeds=plan.seeds,
        frames=frames[plan.blocks[0]],
        states=jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *states),
    )


def create_folder(path: Path, plan: Plan, optimum: float, command: str) -> RunFolder:
    """Make the folder of a new run; until its last file is there it counts as empty."""
    path.mkdir(parents=True, exist_ok=True)
    plan.scenario.save(path / SCENARIO)
    plan.config.save(path / CONFIG)
    replace_text(path / RUN, _record(plan, optimum, command))
    return RunFolder(path, plan, optimum)


def read_folder(path: Path) -> RunFolder:
    """The run in a folder; raises InputError where there is none that can be read."""
    file = path / RUN
    data = read_object(file)
    scenario, config = Scenario.load(path / SCENARIO), TrainingConfig.load(path / CONFIG)
    kinds = {"algorithm": str, "seeds": list, "frames": int, "chunk": int, "scenario_digest": str}
    kinds |= {"versions": dict}
    faults = [
        f"{file}: {name}: {show(data.get(name), 80)} is not allowed; it must be a {kind.__name__}"
        for name, kind in kinds.items()
        if type(data.get(name)) is not kind
    ]
    if not faults and not all(type(seed) is int for seed in data["seeds"]):
        faults.append(f"{file}: seeds: {show(data['seeds'], 80)} is not allowed; each must be an integer")
    if not faults and data["scenario_digest"] != digest(scenario):
        faults.append(f"{path / SCENARIO}: is not the scenario that was trained; its digest differs")
    if faults:
        raise InputError(faults)
    seeds = tuple(data["seeds"])
    try:
        plan = Plan(data["algorithm"], scenario, config, seeds, data["frames"], data["chunk"])
    except InputError as error:
        raise InputError(f"{file}: {fault}" for fault in error.faults) from None
    optimum = data.get("held_out_optimum")
    return RunFolder(path, plan, optimum if isinstance(optimum, float) else float("nan"))


def extend(run: RunFolder, plan: Plan) -> RunFolder:
    """The run with the frames of ``plan``, if these and nothing else differ.

    Raises InputError naming every other field that differs, or if more frames have been played already.
    """
    faults = list(_differences(run, plan))
    played = max(run.frames(block) for block in run.plan.blocks) if not faults else 0
    if plan.frames < played:
        faults.append(f"frames: {plan.frames} is not allowed with --resume; {run.path} has played {played}")
    if faults:
        raise InputError(faults)
    if plan.frames == run.plan.frames:
        return run
    data = read_object(run.path / RUN)
    replace_text(run.path / RUN, json.dumps({**data, "frames": plan.frames}, indent=2) + "\n")
    return dataclasses.replace(run, plan=plan)


def digest(scenario: Scenario) -> str:
    """Of all constants, and of the trace if there is one."""
    constants = json.dumps(scenario.model_dump(mode="json"), sort_keys=True)
    hashed = hashlib.sha256(constants.encode())
    if scenario.trace is not None:
        with contextlib.suppress(OSError):
            hashed.update(Path(scenario.trace).read_bytes())
    return hashed.hexdigest()


def versions(packages: Sequence[str] = _PACKAGES) -> dict[str, str]:
    """Of this package, Python and the packages: by default all that a result's digits depend on."""
    return {
        "scattermec": __version__,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
    }


def changed_versions(run: RunFolder) -> list[str]:
    """What is installed in another version than the run was started with, in words."""
    recorded = read_object(run.path / RUN)["versions"]
    return [f"{k} {recorded.get(k)} is now {v}" for k, v in versions().items() if recorded.get(k) != v]


@functools.lru_cache(maxsize=2)
def _program(algorithm: str, scenario: Scenario, config: TrainingConfig, chunk: int) -> Program:
    return Program(ALGORITHMS[algorithm], new_task(scenario, config), chunk)


def _record(plan: Plan, optimum: float, command: str) -> str:
    data = {
        "algorithm": plan.algorithm,
        "seeds": list(plan.seeds),
        "frames": plan.frames,
        "chunk": plan.chunk,
        "scenario_digest": digest(plan.scenario),
        "held_out_optimum": optimum if optimum == optimum else None,
        "versions": versions(),
        "command": command,
    }
    return json.dumps(data, indent=2) + "\n"


def _differences(run: RunFolder, plan: Plan) -> Iterator[str]:
    def line(name: str, given: Any, kept: Any) -> str:
        ours, theirs = (value if isinstance(value, str) else show(value, 80) for value in (given, kept))
        return f"{name}: {ours} is not allowed with --resume; {run.path} has {theirs}"

    for name in ("algorithm", "seeds", "chunk"):
        given, kept = getattr(plan, name), getattr(run.plan, name)
        if given != kept:
            yield line(name, given, kept)
    pairs: tuple[tuple[FileSettings, FileSettings], ...] = (
        (plan.scenario, run.plan.scenario),
        (plan.config, run.plan.config),
    )
    for ours, theirs in pairs:
        for name in type(ours).model_fields:
            if getattr(ours, name) != getattr(theirs, name):
                yield line(name, getattr(ours, name), getattr(theirs, name))


def _block_name(seeds: tuple[int, ...]) -> str:
    return f"seeds-{seeds[0]:04d}-{seeds[-1]:04d}"
