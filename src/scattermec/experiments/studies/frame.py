"""One frame under each policy: its solution, in a file that `scattermec solve` reads, and its outcome."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scattermec.errors import InputError
from scattermec.experiments.measure.beams import SolvedFrames, solve_frames
from scattermec.experiments.measure.sweeps import beams_key, draw_frames
from scattermec.experiments.measure.table import Table
from scattermec.experiments.studies.base import Progress, Study
from scattermec.experiments.studies.plan import Plan
from scattermec.experiments.studies.results import scenario_of, scenario_option
from scattermec.physics import Allocation, Frame, Outcome, parameters_of, run_frame
from scattermec.scenario import Scenario
from scattermec.storage.arrays import open_archive
from scattermec.storage.atomic import replacing

TITLES = {
    "mrt": "MRT beams, exact allocation (P1)",
    "random": "Random beams, exact allocation (P1)",
    "optimal": "Optimal beams and allocation",
}
"""The policies."""

TRIED = 16
"""Number of frames searched for one that every policy can serve."""

TRACE = 1e-9
"""s: shorter times count as 0."""

_WORK = ("t_active", "t_passive", "t_local", "l_active", "l_passive", "l_local")


@dataclass(frozen=True)
class PlayedFrame:
    """One frame under one policy."""

    policy: str
    frame: Frame
    beams: np.ndarray
    """(N, M) complex, unit norm"""
    allocation: Allocation
    outcome: Outcome
    lower_bound: float
    """J: no allocation to the same users needs less with these beams; if they are optimal, with any"""


@dataclass(frozen=True)
class Frames(Study[tuple[str, ...], Path]):
    """One frame, under all policies at once."""

    name = "frame"
    title = "frame under each policy"

    scenario: Scenario
    seed: int

    @classmethod
    def of(cls, plan: Plan) -> "Frames":
        """The study in the plan's scenario."""
        return cls(plan.scenario, plan.seed)

    @property
    def items(self) -> tuple[tuple[str, ...], ...]:
        """All policies as one item: the frame must be one that all of them can serve."""
        return (policies(self.scenario),)

    def frames_of(self, item: tuple[str, ...]) -> int:
        """Frames solved."""
        return TRIED * len(item)

    def settings(self) -> dict[str, Any]:
        """Everything that the frame depends on."""
        return {"seed": self.seed, "scenario": self.scenario.record()}

    def open(self, folder: Path) -> Path:
        """The folder; its settings are those of the sweeps."""
        return folder

    def has(self, kept: Path, item: tuple[str, ...]) -> bool:
        """Whether the folder has the frame under every policy."""
        return all(path(kept, policy).exists() for policy in item)

    def compute(self, item: tuple[str, ...], folder: Path, progress: Progress) -> None:
        """Solve the frame under each policy and keep it in files of its own."""
        keep_frame(self.scenario, self.seed, folder)

    @classmethod
    def tables(cls, folder: Path) -> list[Table]:
        """Results of each policy on the frame."""
        scenario = scenario_of(folder)
        frames = read_frames(folder, scenario)
        return [_table(frames, folder, scenario)] if frames else []

    @classmethod
    def discard(cls, folder: Path) -> None:
        """Remove the frame."""
        for policy in TITLES:
            path(folder, policy).unlink(missing_ok=True)


STUDY = Frames


def policies(scenario: Scenario) -> tuple[str, ...]:
    """The available policies: optimal beams need a linear rectifier."""
    linear = scenario.harvest_model == "linear"
    return tuple(name for name in TITLES if linear or name != "optimal")


def keep_frame(scenario: Scenario, seed: int, folder: Path) -> None:
    """Solve one frame under each policy and keep it in the folder.

    It is the first frame of the sweeps, with the scenario's own constants, in which every policy serves
    everyone; if there is none among the first `TRIED`, the very first.
    """
    parameters = parameters_of(scenario)
    frames = draw_frames(parameters, frames=TRIED, seed=seed)
    solved = {
        policy: solve_frames(parameters, frames, policy, scheme="hybrid", key=beams_key(seed))
        for policy in policies(scenario)
    }
    served = np.all([np.asarray(one.solution.served).all(axis=1) for one in solved.values()], axis=0)
    chosen = int(np.argmax(served))
    for policy, one in solved.items():
        with replacing(path(folder, policy)) as partial, partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **_arrays(frames, one, slice(chosen, chosen + 1)))


def _arrays(frames: Frame, solved: SolvedFrames, which: slice) -> dict[str, np.ndarray]:
    """Names, shapes and units of `scattermec solve`, with one frame."""
    arrays = {name: np.asarray(getattr(frames, name)) for name in ("channels", "workload", "battery")}
    arrays |= {"beams": np.asarray(solved.beams), "lower_bound": np.asarray(solved.lower_bound)}
    arrays |= {name: np.asarray(getattr(solved.solution.allocation, name)) for name in _WORK}
    return {name: array[which] for name, array in arrays.items()}


def read_frames(folder: Path, scenario: Scenario) -> list[PlayedFrame]:
    """The kept frames, played; empty if a policy is missing. Raises InputError for a damaged file."""
    if not all(path(folder, policy).exists() for policy in policies(scenario)):
        return []
    return [_read(path(folder, policy), policy, scenario) for policy in policies(scenario)]


def _read(file: Path, policy: str, scenario: Scenario) -> PlayedFrame:
    users, antennas = scenario.num_users, scenario.num_antennas
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("workload", "battery", *_WORK), (1, users))
    shapes |= {"channels": (1, users, antennas), "beams": (1, users, antennas), "lower_bound": (1,)}
    archive = open_archive(file)
    faults = [f"{file}: is damaged: {name} is missing" for name in shapes if name not in archive.names]
    if not faults:
        for name, header in archive.headers(list(shapes)).items():
            kind = "c" if name in ("channels", "beams") else "f"
            if header.shape != shapes[name] or header.dtype.kind != kind:
                found, wanted = f"{header.dtype} of shape {header.shape}", f"of shape {shapes[name]}"
                faults.append(f"{file}: is damaged: {name} is {found}; it must be {wanted}")
    if faults:
        raise InputError(faults)
    kept = {name: jnp.asarray(array[0]) for name, array in archive.load(list(shapes)).items()}
    frame = Frame(channels=kept["channels"], workload=kept["workload"], battery=kept["battery"])
    allocation = _without_traces(Allocation(**{name: kept[name] for name in _WORK}))
    beams, bound = np.asarray(kept["beams"]), float(kept["lower_bound"])
    outcome = jax.device_get(_PLAY(parameters_of(scenario), frame, beams, allocation))
    return PlayedFrame(policy, frame, beams, allocation, outcome, bound)


def _without_traces(allocation: Allocation) -> Allocation:
    """The allocation without a solver's approximate zeros: times far below all tolerances become 0."""
    changes = {}
    for mode in ("active", "passive", "local"):
        used = getattr(allocation, f"t_{mode}") >= TRACE
        for name in (f"t_{mode}", f"l_{mode}"):
            changes[name] = jnp.where(used, getattr(allocation, name), 0)
    return Allocation(**changes)


_PLAY: Callable[..., Outcome] = jax.jit(run_frame)


def _table(frames: Sequence[PlayedFrame], folder: Path, scenario: Scenario) -> Table:
    """Results of each policy on the frame."""
    rows = []
    for played in frames:
        outcome, frame = played.outcome, played.frame
        served = int(np.asarray(outcome.success).sum())
        rows.append(
            (
                TITLES[played.policy],
                f"{served} of {len(frame.workload)}",
                f"{float(outcome.ap_energy):.4g}",
                f"{played.lower_bound:.4g}",
                f"{float(outcome.ap_reward):.4g}",
            )
        )
    return Table(
        title="One frame under each policy",
        note="The same channels, work and batteries for each policy. The bound is certified: with the same "
        "beams no allocation to the same users takes less energy; in the last row, no beams either.",
        columns=("Policy", "Served", "Energy (J)", "Certified bound (J)", "Reward (11) (kbit/J)"),
        rows=tuple(rows),
        command="\n".join(command(played.policy, folder, scenario) for played in frames),
    )


def command(policy: str, folder: Path, scenario: Scenario) -> str:
    """The command that solves the frame again under a policy."""
    words = ["scattermec", "solve", str(path(folder, policy)), "--out", f"{stem(policy)}-again.npz"]
    words += ["--beams", "optimal"] if policy == "optimal" else []
    return shlex.join([*words, *scenario_option(scenario, folder)])


def stem(policy: str) -> str:
    """Name of a picture's files without the suffix."""
    return f"{Frames.name}-{policy}"


def path(folder: Path, policy: str) -> Path:
    """Path of the frame under a policy."""
    return folder / f"{stem(policy)}.npz"
