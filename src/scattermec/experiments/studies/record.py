"""Record of how the folder of a reproduction was made: commands, versions, and the time of each part.

Kept apart from the settings: these decide whether results can be continued, and computing times do not matter
for that.
"""

import contextlib
import json
import math
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scattermec._processes import usable_cores
from scattermec.errors import InputError
from scattermec.storage import replace_text
from scattermec.storage.texts import read_object
from scattermec.training.folder import versions

RECORD = "provenance.json"

LIBRARIES = ("jax", "jaxlib", "numpy", "equinox", "optax", "matplotlib")
"""Packages whose versions are kept, in addition to Python and this package."""


@dataclass
class Record:
    """Record of the making of a folder."""

    folder: Path
    commands: list[str] = field(default_factory=list)
    """each command that computed or asked for results in the folder, once, in order"""
    seconds: dict[str, float] = field(default_factory=dict)
    """computing time of each part, of all processes together, without reused results"""
    versions: dict[str, str] = field(default_factory=dict)
    """versions that computed the latest part"""
    machine: str = ""
    """machine that computed the latest part: type of processor and cores"""

    @classmethod
    def open(cls, folder: Path, *, overwrite: bool = False) -> "Record":
        """The record in the folder; empty if there is none. Raises InputError if it is damaged."""
        record, path = cls(folder), folder / RECORD
        if overwrite or not path.exists():
            return record
        data = read_object(path)
        try:
            record.commands = [str(command) for command in data["commands"]]
            record.seconds = {str(name): float(value) for name, value in data["seconds"].items()}
            record.versions = {str(name): str(value) for name, value in data["versions"].items()}
            record.machine = str(data["machine"])
            readable = all(map(math.isfinite, record.seconds.values()))
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
            readable = False
        if not readable:
            raise InputError([f"{path}: is damaged: it must hold commands, seconds, versions and machine"])
        return record

    def add_command(self, command: str) -> None:
        """Add a command line, unless it is there already."""
        if command and command not in self.commands:
            self.commands.append(command)
            self._save()

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time of the body to that of the part ``name``."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add_time(name, time.perf_counter() - started)

    def add_time(self, name: str, seconds: float) -> None:
        """Add computing time to that of the part ``name``."""
        self.seconds[name] = round(self.seconds.get(name, 0.0) + seconds, 2)
        self.versions, self.machine = versions(LIBRARIES), machine()
        self._save()

    def _save(self) -> None:
        data: dict[str, Any] = {
            "commands": self.commands,
            "seconds": self.seconds,
            "versions": self.versions,
            "machine": self.machine,
        }
        replace_text(self.folder / RECORD, json.dumps(data, indent=2) + "\n")


def machine() -> str:
    """Type of processor, operating system, and cores that this process may use."""
    cores = usable_cores()
    return f"{platform.system()} {platform.machine()}, {cores} core{'s' if cores > 1 else ''}"
