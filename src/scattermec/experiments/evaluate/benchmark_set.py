"""The benchmark set: named scenarios, frozen, with frames that are the same on every machine and for ever.

A set is a folder with a folder per scenario, each with `FILES` and `OPTIMA`. A change of the set needs a new
name, beside the old one.
"""

import hashlib
from collections.abc import Iterator
from math import prod
from pathlib import Path

import jax
import numpy as np

from scattermec.errors import ComputationError, InputError
from scattermec.physics import parameters
from scattermec.physics.channel import channels_from_scatter
from scattermec.scenario import Scenario
from scattermec.storage import ArrayWriter, replace_text
from scattermec.storage.texts import read_object, read_text

__all__ = [
    "FILES",
    "FRAMES",
    "NAME",
    "OPTIMA",
    "RECORD",
    "SCENARIOS",
    "SUMS",
    "draw_frames",
    "open_set",
    "write_inputs",
]

NAME = "scattermec-1"

SCENARIOS = {
    "default": "the package's default constants",
    "paper": "the constants under which most of the paper's claims hold",
    "far": "users at twice the distance: one frame in two cannot serve everyone",
    "empty": "empty batteries: all energy comes from beams of the same frame",
    "crowd": "six users share the beams of four antennas",
}
"""The scenarios, in their order, and what each adds."""

FRAMES = 2000
"""Frames of each scenario."""

FILES = ("scenario.yaml", "frames.npz")
"""The files of a scenario that every answer starts from; they never change, to the last bit."""

OPTIMA = {"all": "optimum.npz", "best": "best-set.npz"}
"""The files of a scenario with its optima, in the form that `scattermec solve` writes, by whom they serve."""

SUMS = "SHA256SUMS"
"""Checksums of `FILES` of all scenarios, in the form that `sha256sum --check` reads."""

RECORD = "set.json"
"""Name of the set and number of its frames; only a set has this file."""

_FROZEN = Path(__file__).parents[2] / "scenarios" / NAME
_SEED = 1


def draw_frames(name: str, frames: int) -> dict[str, np.ndarray]:
    """The first frames of a scenario: ``channels``, ``workload`` and ``battery``, as in a file of frames.

    NumPy promises that the raw numbers of a bit generator never change, unlike those of its distributions and
    of JAX. The last digits of a logarithm or cosine depend on the machine, so numbers are rounded to single
    precision. A test checks that none is so near to the middle of two that its rounding could differ.
    """
    exact = exact_frames(name, frames)
    return {
        "channels": exact["channels"].astype(np.complex64),
        "workload": exact["workload"].astype(np.float32),
        "battery": exact["battery"].astype(np.float32),
    }


def exact_frames(name: str, frames: int) -> dict[str, np.ndarray]:
    """The frames of `draw_frames` before they are rounded."""
    scenario = Scenario.load(_FROZEN / f"{name}.yaml")
    constants = parameters(scenario)
    users, antennas = scenario.num_users, scenario.num_antennas

    def uniform(stream: int, *shape: int) -> np.ndarray:
        # A stream per array, so that fewer frames are the first ones of more.
        bits = np.random.PCG64([_SEED, list(SCENARIOS).index(name), stream])
        return (bits.random_raw(prod(shape)) >> np.uint64(11)).reshape(shape) * 2.0**-53

    shape = (frames, users, antennas)
    scatter = np.sqrt(-np.log1p(-uniform(0, *shape))) * np.exp(2j * np.pi * uniform(1, *shape))
    channels = jax.vmap(channels_from_scatter, in_axes=(None, 0))(constants, scatter)
    low, high = np.asarray(constants.initial_battery_low), np.asarray(constants.initial_battery_high)
    return {
        "channels": np.asarray(channels),
        "workload": _poisson(np.asarray(constants.mean_workload), uniform(2, frames, users)),
        "battery": low + (high - low) * uniform(3, frames, users),
    }


def _poisson(mean: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Poisson numbers (K, N) of means (N,) below 100, by inversion."""
    ratios = mean / np.arange(1, 400)[:, None]
    at_most = np.exp(-mean) * (1 + np.cumsum(np.vstack([0 * mean, np.cumprod(ratios, axis=0)]), axis=0))
    return (uniform >= at_most[:, None, :]).sum(axis=0).astype(float)


def write_inputs(folder: Path, frames: int) -> None:
    """Write `FILES` of every scenario, `SUMS` and `RECORD` into a folder that exists.

    Raises ComputationError if the frames of a full set are not what they have always been.
    """
    for name in SCENARIOS:
        (folder / name).mkdir()
        text = read_text(_FROZEN / f"{name}.yaml")
        replace_text(folder / name / FILES[0], text)
        drawn = draw_frames(name, frames)
        rows = {key: (array.shape[1:], array.dtype) for key, array in drawn.items()}
        with ArrayWriter(folder / name / FILES[1], frames, rows, {}) as writer:
            writer.append(drawn)
    sums = "".join(f"{digest}  {path}\n" for path, digest in _digests(folder))
    if frames == FRAMES and sums != read_text(_FROZEN / SUMS):
        raise ComputationError(f"{NAME}: the frames drawn here are not those of the set")
    replace_text(folder / SUMS, sums)
    replace_text(folder / RECORD, f'{{"name": "{NAME}", "frames": {frames}}}\n')


def _digests(folder: Path) -> Iterator[tuple[str, str]]:
    """Each of `FILES` of every scenario, relative to the folder, with its checksum."""
    for name in SCENARIOS:
        for file in FILES:
            path = folder / name / file
            try:
                yield f"{name}/{file}", hashlib.sha256(path.read_bytes()).hexdigest()
            except OSError as error:
                raise InputError([f"{path}: cannot be read: {error.strerror}"]) from None


def open_set(folder: Path) -> int:
    """Check a set's folder, and return its number of frames; raises InputError if its files have changed."""
    record = read_object(folder / RECORD)
    if record.get("name") != NAME:
        raise InputError([f"{folder}: is the set {record.get('name')!r}; this version scores {NAME}"])
    frames = record.get("frames")
    if not isinstance(frames, int):
        raise InputError([f"{folder / RECORD}: is damaged: frames must be a number"])
    expected = read_text((_FROZEN if frames == FRAMES else folder) / SUMS).splitlines()
    faults = [
        f"{folder / path}: is not the file of the set: its checksum differs"
        for path, digest in _digests(folder)
        if f"{digest}  {path}" not in expected
    ]
    if faults:
        raise InputError(faults)
    return frames
