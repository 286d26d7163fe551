"""Frames to be solved, read from files and checked before any work is done on them."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scattermec.counts import MOST_ANTENNAS, MOST_USERS
from scattermec.errors import InputError
from scattermec.storage.arrays import ArrayFile, Header, open_arrays

__all__ = ["NORM_TOLERANCE", "FrameChunk", "FrameFile", "frames_of", "open_frames"]

NORM_TOLERANCE = 1e-3
"""Largest deviation of a beam's norm from 1."""

_AXES = {"channels": "KNM", "workload": "KN", "battery": "KN", "beams": "KNM"}
_OPTIONAL = ("beams",)
_COMPLEX = ("channels", "beams")


@dataclass(frozen=True)
class FrameChunk:
    """Consecutive frames, k of them, in double precision."""

    start: int
    """index of the first frame, from 0"""
    channels: NDArray[np.complex128]
    """(k, N, M)"""
    workload: NDArray[np.float64]
    """(k, N) kbit"""
    battery: NDArray[np.float64]
    """(k, N) mJ"""
    beams: NDArray[np.complex128] | None
    """(k, N, M), or None if the file has none"""


class Checked(NamedTuple):
    """Counts of values in a file of frames that are allowed but unusual."""

    overfull: int
    """batteries above their capacity, which count as full"""
    strong: int
    """frames in which a user's channel has ||h||^2 >= 1"""


@dataclass(frozen=True)
class FrameFile:
    """Frames in a file whose arrays have matching shapes; only `check` and `chunks` read their numbers."""

    arrays: ArrayFile
    num_frames: int
    num_users: int
    num_antennas: int
    has_beams: bool

    def chunks(self, size: int) -> Iterator[FrameChunk]:
        """The frames in order, ``size`` at a time (the last chunk may be shorter)."""
        names = [name for name in _AXES if self.has_beams or name != "beams"]
        streams = [self.arrays.rows(name, size) for name in names]
        start = 0
        for blocks in zip(*streams, strict=True):
            chunk = {
                name: block.astype(np.complex128 if name in _COMPLEX else np.float64)
                for name, block in zip(names, blocks, strict=True)
            }
            yield FrameChunk(start=start, **{"beams": None, **chunk})
            start += len(blocks[0])

    def check(
        self, battery_capacity: NDArray[np.float64], progress: Callable[[int], None] | None = None
    ) -> Checked:
        """Read all frames once; raises InputError with one line per kind of fault.

        Args:
            battery_capacity: (N,) E_max in mJ.
            progress: called with the number of frames read so far.

        Returns:
            Counts of values that are allowed but unusual.
        """
        faults: dict[str, _Fault] = {}
        overfull = strong = 0
        for chunk in self.chunks(_checked_at_once(self.num_users * self.num_antennas)):
            for rule, bad, describe in _violations(chunk):
                if bad.any():
                    fault = faults.setdefault(rule, _Fault(describe(_first(bad), chunk.start)))
                    fault.frames += int(bad.reshape(len(bad), -1).any(axis=1).sum())
            overfull += int(np.count_nonzero(chunk.battery > battery_capacity))
            strong += int(np.count_nonzero((_norm(chunk.channels) >= 1).any(axis=1)))
            if progress is not None:
                progress(chunk.start + len(chunk.workload))
        if faults:
            raise InputError(fault.line() for fault in faults.values())
        return Checked(overfull, strong)


def open_frames(path: str | os.PathLike[str]) -> FrameFile:
    """Open an ``.npz`` file, or a folder of ``.npy`` files, and check that its arrays have matching shapes.

    It must have ``channels`` (K, N, M) complex, ``workload`` (K, N) in kbit and ``battery`` (K, N) in mJ, and
    may have ``beams`` (K, N, M) complex; other arrays are ignored. Raises InputError with one line per fault.
    """
    return frames_of(open_arrays(path), os.fspath(path))


def frames_of(arrays: ArrayFile, where: str) -> FrameFile:
    """The same of arrays; ``where`` they are, for messages."""
    faults: list[str] = []
    headers: dict[str, Header] = {}
    for name, axes in _AXES.items():
        if name not in arrays.names:
            if name not in _OPTIONAL:
                found = ", ".join(arrays.names) or "no array"
                faults.append(f"{name}: is missing; {where} has {found}")
            continue
        try:
            header = arrays.header(name)
        except InputError as error:
            faults += error.faults
            continue
        wanted = "complex" if name in _COMPLEX else "real"
        shape = ", ".join(axes)
        if header.dtype.kind not in ("c" if name in _COMPLEX else "fiu"):
            faults.append(f"{name}: has type {header.dtype}; it must be {wanted}")
        if len(header.shape) != len(axes) or not all(header.shape):
            faults.append(f"{name}: has shape {header.shape}; it must be ({shape}), none of them 0")
        else:
            headers[name] = header
    faults += _misfits(headers)
    if faults:
        raise InputError(faults)
    frames, users, antennas = headers["channels"].shape
    for name, count, most in (("users", users, MOST_USERS), ("antennas", antennas, MOST_ANTENNAS)):
        if count > most:
            faults.append(f"channels: {count} {name} are not allowed; it must be at most {most}")
    if faults:
        raise InputError(faults)
    return FrameFile(
        arrays=arrays,
        num_frames=frames,
        num_users=users,
        num_antennas=antennas,
        has_beams="beams" in headers,
    )


def _misfits(headers: dict[str, Header]) -> Iterator[str]:
    """A line per array whose shape does not fit that of the channels."""
    if "channels" not in headers:
        return
    channels = headers["channels"].shape
    sizes = dict(zip("KNM", channels, strict=True))
    for name, header in headers.items():
        expected = tuple(sizes[axis] for axis in _AXES[name])
        if header.shape != expected:
            yield f"{name}: has shape {header.shape}; it must be {expected}, as channels has shape {channels}"


@dataclass
class _Fault:
    """A violated rule: the first place, and the number of frames."""

    first: str
    frames: int = 0

    def line(self) -> str:
        return self.first if self.frames == 1 else f"{self.first}; so in {self.frames} frames"


_Place = tuple[int, ...]


def _violations(
    chunk: FrameChunk,
) -> Iterator[tuple[str, NDArray[np.bool_], Callable[[_Place, int], str]]]:
    """Per rule: its name, where the chunk violates it (first axis: frames), and a message for a place."""

    def value(name: str, array: np.ndarray, requirement: str) -> Callable[[_Place, int], str]:
        return lambda at, start: f"{_where(name, at, start)} is {array[at]}; it must be {requirement}"

    def length(name: str, norm: np.ndarray, requirement: str) -> Callable[[_Place, int], str]:
        return lambda at, start: f"{_where(name, at, start)} has norm {norm[at]:.6g}; {requirement}"

    for name, unit in (("workload", "kbit"), ("battery", "mJ")):
        array = getattr(chunk, name)
        finite = np.isfinite(array)
        yield f"{name} finite", ~finite, value(name, array, f"a finite number ({unit})")
        yield f"{name} sign", finite & (array < 0), value(name, array, f">= 0 ({unit})")

    for name in _COMPLEX:
        vectors = getattr(chunk, name)
        if vectors is None:
            continue
        finite = np.isfinite(vectors)
        yield f"{name} finite", ~finite, value(name, vectors, "a finite number")
        norm = _norm(vectors)
        if name == "beams":
            allowed, requirement = np.abs(norm - 1) <= NORM_TOLERANCE, f"it must be 1 within {NORM_TOLERANCE}"
        else:
            # The model squares the norm. The channels of a blocked user are zero.
            allowed, requirement = np.isfinite(norm), "it and its square must be finite"
        yield f"{name} norm", finite.all(axis=2) & ~allowed, length(name, norm, requirement)


def _norm(vectors: NDArray[np.complex128]) -> NDArray[np.float64]:
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        return np.sqrt((vectors.real**2 + vectors.imag**2).sum(axis=2))


def _first(bad: NDArray[np.bool_]) -> _Place:
    return tuple(int(index) for index in np.unravel_index(int(bad.argmax()), bad.shape))


def _where(name: str, at: _Place, start: int) -> str:
    """A place in words; ``start`` is the index of the chunk's first frame."""
    axes = zip(("frame", "user", "antenna"), (at[0] + start, *at[1:]), strict=False)
    return f"{name}: " + ", ".join(f"{axis} {index}" for axis, index in axes)


def _checked_at_once(numbers_per_frame: int) -> int:
    """Frames per chunk: some thousands, fewer if they are large, so that a chunk has at most 16 MB."""
    return max(1, min(1 << 13, (1 << 20) // numbers_per_frame))
