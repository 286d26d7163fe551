"""Answers to frames, from any program: beams and allocations, read from files and checked before use."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scattermec.errors import InputError
from scattermec.storage.arrays import ArrayFile, open_arrays
from scattermec.storage.foreign import open_foreign
from scattermec.storage.frames import NORM_TOLERANCE

__all__ = ["ALLOCATED", "Answer", "open_answer"]

ALLOCATED = {"t_active": "s", "t_passive": "s", "l_active": "kbit", "l_passive": "kbit", "l_local": "kbit"}
"""Arrays (K, N) that every answer has, and their units."""

_OPTIONAL = {"t_local": "s", "beams": ""}

MOST_NEGATIVE = 1e-6
"""Numbers down to the negative of this are rounding errors, and count as 0."""


@dataclass(frozen=True)
class Answer:
    """An answer to K frames of N users and M antennas, whose arrays have the right shapes and types."""

    path: Path
    arrays: Mapping[str, np.ndarray]
    """(K, N): `ALLOCATED`, perhaps ``t_local``; (K, N, M): perhaps ``beams``, complex"""
    along_channels: bool
    """whether it says that its beams are those of maximum ratio transmission"""

    def check(self, slot: NDArray[np.float64]) -> None:
        """Raise InputError, one line per kind of fault, if numbers make no schedule.

        They must be finite, and negative by no more than rounding. The AP cannot beam for longer than a slot,
        ``slot`` (N,) in s. Beams have norm 1, or are zero, which means maximum ratio transmission.
        """
        faults = []
        for name, array in self.arrays.items():
            for bad, values, what, allowed in _violations(name, array, slot):
                if bad.any():
                    frame, user = (int(index) for index in np.argwhere(bad)[0])
                    number = int(bad.any(axis=1).sum())
                    more = f"; so in {number} frames" if number > 1 else ""
                    faults.append(
                        f"{self.path}: {name}: frame {frame}, user {user} {what} {values[frame, user]:.6g}; "
                        f"it must be {allowed}{more}"
                    )
        if faults:
            raise InputError(faults)

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """The arrays of some frames, without negative numbers."""
        return {
            name: array[start:stop] if name == "beams" else np.maximum(array[start:stop], 0)
            for name, array in self.arrays.items()
        }


def open_answer(path: str | os.PathLike[str], num_frames: int, num_users: int, num_antennas: int) -> Answer:
    """Read an answer from an ``.npz`` file, a folder of ``.npy`` files, or a ``.mat`` file.

    Trailing axes of length 1, which MATLAB and GNU Octave drop, are restored. Raises InputError with one line
    per array that is missing or has a wrong shape or type.
    """
    path = Path(path)
    wanted = (*ALLOCATED, *_OPTIONAL)
    if path.suffix == ".mat":
        stored = open_foreign(path).arrays
        found = {name: stored[name]() for name in wanted if name in stored}
        along_channels = False
    else:
        file = open_arrays(path)
        found = file.load([name for name in wanted if name in file.names])
        along_channels = _text(file, "beams_from") == "mrt"
    faults: list[str] = []
    arrays: dict[str, np.ndarray] = {}
    for name in wanted:
        shape = (num_frames, num_users, num_antennas)[: 3 if name == "beams" else 2]
        if name not in found:
            if name in ALLOCATED:
                faults.append(f"{path}: {name}: is missing; it must have shape {shape} ({ALLOCATED[name]})")
            continue
        array = found[name]
        array = array.reshape(array.shape + (1,) * (len(shape) - array.ndim))
        kinds, kind = ("cfiu", "complex") if name == "beams" else ("fiu", "real")
        if array.dtype.kind not in kinds:
            faults.append(f"{path}: {name}: has type {array.dtype}; it must be {kind}")
        elif array.shape != shape:
            faults.append(f"{path}: {name}: has shape {array.shape}; it must be {shape}")
        else:
            arrays[name] = array.astype(np.complex128 if name == "beams" else np.float64)
    if faults:
        raise InputError(faults)
    return Answer(path, arrays, along_channels)


def _text(file: ArrayFile, name: str) -> str:
    return str(file.load([name])[name]) if name in file.names else ""


def _violations(
    name: str, array: np.ndarray, slot: NDArray[np.float64]
) -> Iterator[tuple[NDArray[np.bool_], np.ndarray, str, str]]:
    """Per rule: where it is violated and the numbers (K, N), a verb for them, and what they must be."""
    if name == "beams":
        with np.errstate(over="ignore", invalid="ignore"):
            norm = np.linalg.norm(array, axis=2)
        wrong = (norm != 0) & ~(np.abs(norm - 1) <= NORM_TOLERANCE)
        yield wrong, norm, "has norm", f"1 within {NORM_TOLERANCE}, or 0 for the beam along the channel"
        return
    unit = (ALLOCATED | _OPTIONAL)[name]
    finite = np.isfinite(array)
    yield ~finite, array, "is", f"a finite number ({unit})"
    yield finite & (array < -MOST_NEGATIVE), array, "is", f">= 0 ({unit})"
    if name == "t_passive":
        yield finite & (array > slot * (1 + MOST_NEGATIVE)), array, "is", "at most the slot (s)"
