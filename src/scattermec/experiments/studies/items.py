"""The items of several studies as the tasks of an engine.

    parts/NAME-0000-....json   the finding of an item, and how long it took, until the studies have it
    parts/left.json            the tasks that a Slurm array shares

An item's file is written by whatever computes it, in a folder that all machines see. Only the process that
leads the reproduction adds findings to those of the studies, and removes the files.
"""

import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from scattermec._processes import end_without_parent
from scattermec.errors import InputError
from scattermec.experiments.studies.base import Study, damaged
from scattermec.experiments.studies.record import Record
from scattermec.storage.atomic import alone, replace_text, replacing
from scattermec.storage.texts import read_object

PARTS, LEFT = "parts", "left.json"

HASH_DIGITS = 16


class Items:
    """All items of some studies, numbered in their order; see `scattermec.engines.Work`."""

    def __init__(self, studies: Sequence[Study[Any, Any]], folder: Path) -> None:
        self.studies, self.folder = tuple(studies), folder.resolve()
        self.progress: Callable[[int, int], None] | None = None
        """called with the number of an item computed in this process, and its frames so far"""
        self._kept: list[Any] = []

    def __getstate__(self) -> dict[str, Any]:
        return {"studies": self.studies, "folder": self.folder, "progress": None, "_kept": []}

    @cached_property
    def pairs(self) -> list[tuple[Study[Any, Any], Any]]:
        """Each item with its study."""
        return [(study, item) for study in self.studies for item in study.items]

    @cached_property
    def paths(self) -> list[Path]:
        """File of each item, named by what its finding depends on."""
        return [
            self.parts / f"{study.name}-{index:04}-{_digest(study)}.json"
            for study in self.studies
            for index in range(len(study.items))
        ]

    @property
    def parts(self) -> Path:
        """Folder of the files."""
        return self.folder / PARTS

    def frames(self, number: int) -> int:
        """Frames trained and solved for an item."""
        study, item = self.pairs[number]
        return study.frames_of(item)

    def compute(self, number: int) -> bytes:
        """The content of an item's file. If another process on this disk computes it, waits for that."""
        (study, item), path = self.pairs[number], self.paths[number]

        def progress(frames: int) -> None:
            end_without_parent()
            if self.progress is not None:
                self.progress(number, frames)

        with alone(path):
            if path.exists():
                return path.read_bytes()
            begin = time.perf_counter()
            finding = study.compute(item, self.folder, progress)
            part = {"finding": finding, "seconds": time.perf_counter() - begin}
            return json.dumps(part).encode()

    def keep(self, number: int, content: bytes) -> None:
        """Write an item's file, unless it is there."""
        path = self.paths[number]
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            with replacing(path) as partial:
                partial.write_bytes(content)

    def open(self) -> None:
        """Open the studies' findings; raises InputError for those of other settings."""
        self._kept = [study.open(self.folder) for study in self.studies]

    def left(self) -> list[int]:
        """The items that are neither found nor in a file."""
        return [
            number for number, path in enumerate(self.paths) if not path.exists() and not self.found(number)
        ]

    def in_turns(self, numbers: Sequence[int]) -> list[int]:
        """The first item of every part, then the second of each, and so on.

        The items of a part share their programs. In their own order, several processes would compile the same
        ones at the same time.
        """
        before: Counter[str] = Counter()
        turns: dict[int, int] = {}
        for number in numbers:
            study, item = self.pairs[number]
            part = study.part(item)
            turns[number] = before[part]
            before[part] += 1
        return sorted(turns, key=turns.__getitem__)

    def found(self, number: int) -> bool:
        """Whether an item is among the findings."""
        study, item = self.pairs[number]
        return study.has(self._kept[self.studies.index(study)], item)

    def collect(self, record: Record) -> None:
        """Add what is in files to the findings of the studies, each study's in the order of its items."""
        begin = 0
        for study, kept in zip(self.studies, self._kept, strict=True):
            end = begin + len(study.items)
            for item, path in zip(study.items, self.paths[begin:end], strict=True):
                found = study.has(kept, item)
                if path.exists():
                    with damaged(path):
                        part = read_object(path)
                        if not found:
                            study.keep(kept, item, part["finding"])
                        record.add_time(study.part(item), float(part["seconds"]))
                    path.unlink()
                elif not found:
                    break
            begin = end

    def hand_out(self, numbers: Sequence[int]) -> None:
        """Keep which tasks the jobs of an array share."""
        self.parts.mkdir(exist_ok=True)
        digests = list(map(_digest, self.studies))
        replace_text(self.parts / LEFT, json.dumps({"studies": digests, "numbers": list(numbers)}) + "\n")

    def handed_out(self) -> list[int]:
        """These tasks, for a job; raises InputError if there are none, or those of other settings."""
        path = self.parts / LEFT
        if not path.exists():
            raise InputError([f"{path}: is missing: no array is under way; begin with --engine slurm"])
        found = read_object(path)
        if found.get("studies") != list(map(_digest, self.studies)):
            raise InputError([f"{path}: is of an array with other settings"])
        return [int(number) for number in found["numbers"]]

    def discard(self) -> None:
        """Remove all files of items."""
        shutil.rmtree(self.parts, ignore_errors=True)


def _digest(study: Study[Any, Any]) -> str:
    """Of all that a study's items and findings depend on."""
    text = f"{study!r} {json.dumps(study.settings(), sort_keys=True)}"
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_DIGITS]
