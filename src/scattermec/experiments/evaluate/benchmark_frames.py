"""The frames of the benchmark set, drawn so that they never change, and the files they are in."""

from math import prod
from pathlib import Path

import jax
import numpy as np

from scattermec.errors import ComputationError
from scattermec.experiments.evaluate.benchmark_set import (
    FILES,
    FRAMES,
    FROZEN,
    NAME,
    RECORD,
    SCENARIOS,
    SUMS,
    digests,
)
from scattermec.physics import parameters_of
from scattermec.physics.channel import channels_from_scatter
from scattermec.scenario import Scenario
from scattermec.storage import ArrayWriter, replace_text
from scattermec.storage.texts import read_text

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
    scenario = Scenario.load(FROZEN / f"{name}.yaml")
    parameters = parameters_of(scenario)
    users, antennas = scenario.num_users, scenario.num_antennas

    def uniform(stream: int, *shape: int) -> np.ndarray:
        # A stream per array, so that fewer frames are the first ones of more.
        bits = np.random.PCG64([_SEED, list(SCENARIOS).index(name), stream])
        return (bits.random_raw(prod(shape)) >> np.uint64(11)).reshape(shape) * 2.0**-53

    shape = (frames, users, antennas)
    scatter = np.sqrt(-np.log1p(-uniform(0, *shape))) * np.exp(2j * np.pi * uniform(1, *shape))
    channels = jax.vmap(channels_from_scatter, in_axes=(None, 0))(parameters, scatter)
    low, high = np.asarray(parameters.initial_battery_low), np.asarray(parameters.initial_battery_high)
    return {
        "channels": np.asarray(channels),
        "workload": _poisson(np.asarray(parameters.mean_workload), uniform(2, frames, users)),
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
        text = read_text(FROZEN / f"{name}.yaml")
        replace_text(folder / name / FILES[0], text)
        drawn = draw_frames(name, frames)
        rows = {key: (array.shape[1:], array.dtype) for key, array in drawn.items()}
        with ArrayWriter(folder / name / FILES[1], frames, rows, {}) as writer:
            writer.append(drawn)
    sums = "".join(f"{line}\n" for line in digests(folder))
    if frames == FRAMES and sums != read_text(FROZEN / SUMS):
        raise ComputationError(f"{NAME}: the frames drawn here are not those of the set")
    replace_text(folder / SUMS, sums)
    replace_text(folder / RECORD, f'{{"name": "{NAME}", "frames": {frames}}}\n')
