"""The benchmark set: named scenarios, frozen, whose frames are the same on every machine and for ever.

A set is a folder with a folder per scenario, each with `FILES` and `OPTIMA`. A change of the set needs a new
name, beside the old one. Without JAX.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from scattermec.errors import InputError
from scattermec.scenario import SHIPPED
from scattermec.storage.texts import read_object, read_text

NAME = "scattermec-1"

SCENARIOS = {
    "default": "the package's default constants",
    "paper": "constants from a first search for those under which the paper's claims hold",
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

FROZEN = SHIPPED / NAME
"""The scenarios of the set, and its checksums, as they come with the package."""


def digests(folder: Path) -> Iterator[str]:
    """The lines of `SUMS` for the files in a folder; raises InputError if one cannot be read."""
    for name in SCENARIOS:
        for file in FILES:
            path = folder / name / file
            try:
                yield f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}/{file}"
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
    expected = read_text((FROZEN if frames == FRAMES else folder) / SUMS).splitlines()
    changed = [line.split()[1] for line in digests(folder) if line not in expected]
    if changed:
        raise InputError(
            f"{folder / path}: is not the file of the set: its checksum differs" for path in changed
        )
    return frames
