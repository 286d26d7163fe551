"""A study: a part of a reproduction that is computed item by item, and kept so that it can be resumed.

To add one, write its module here with a subclass of `Study` called ``STUDY``, and name the module in
`scattermec.experiments.studies.ASKED_BY`. The command, the progress bar, the record of times and the report
follow.
"""

import contextlib
import importlib
import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from scattermec.errors import InputError
from scattermec.experiments.measure.table import Table
from scattermec.experiments.studies import ASKED_BY
from scattermec.experiments.studies.plan import Plan
from scattermec.experiments.studies.record import Record
from scattermec.storage import replace_text
from scattermec.storage.texts import read_object

Item = TypeVar("Item")
Kept = TypeVar("Kept")

Progress = Callable[[int], None]
"""Called with the number of frames trained and solved so far."""


class Study(ABC, Generic[Item, Kept]):
    """A computation, item by item; ``Kept`` is the type of its findings when read from a folder."""

    name: ClassVar[str]
    title: ClassVar[str]
    """its name in the record of times"""

    @classmethod
    @abstractmethod
    def of(cls, plan: Plan) -> "Study[Item, Kept] | None":
        """The study for a plan; None if it is impossible."""

    @property
    @abstractmethod
    def items(self) -> Sequence[Item]:
        """The items, in the order of computation."""

    @abstractmethod
    def frames_of(self, item: Item) -> int:
        """Frames trained and solved for an item."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Everything that the findings depend on; they are continued only under equal settings."""

    @abstractmethod
    def open(self, folder: Path) -> Kept:
        """The findings in a folder; raises InputError if they were made with other settings."""

    @abstractmethod
    def has(self, kept: Kept, item: Item) -> bool:
        """Whether an item has been found."""

    @abstractmethod
    def compute(self, item: Item, folder: Path, progress: Progress) -> Any:
        """Compute an item's finding, as JSON, in any process; ``folder`` is that of the reproduction.

        What is kept there in files of the item's own, such as a training run, is not in the finding.
        """

    def keep(self, kept: Kept, item: Item, finding: Any) -> None:
        """Add a finding to those in the folder, in the only process that does so."""

    def part(self, item: Item) -> str:
        """Name of the part that an item's time is added to."""
        return self.title

    @property
    def total(self) -> int:
        """Frames trained and solved for all items."""
        return sum(map(self.frames_of, self.items))

    def is_finished(self, folder: Path) -> bool:
        """Whether every item is in the folder; raises InputError for findings of other settings."""
        kept = self.open(folder)
        return all(self.has(kept, item) for item in self.items)

    def run(self, folder: Path, record: Record, progress: Progress) -> None:
        """Compute the missing items in the folder. Raises InputError for findings of other settings."""
        kept, done = self.open(folder), 0
        for item in self.items:
            if not self.has(kept, item):
                with record.part(self.part(item)):
                    found = self.compute(item, folder, lambda more, before=done: progress(before + more))  # type: ignore[misc]
                    self.keep(kept, item, found)
            done += self.frames_of(item)
            progress(done)

    @classmethod
    def tables(cls, folder: Path) -> list[Table]:
        """The report's tables of the findings in a folder; empty if there are none."""
        return []

    @classmethod
    def discard(cls, folder: Path) -> None:
        """Remove this study's own files from a folder."""


@dataclass
class Findings:
    """The findings of a study in a file of its own, together with their settings."""

    path: Path
    settings: Mapping[str, Any]
    found: Any
    """by item, as JSON"""

    def save(self) -> None:
        """Replace the file atomically, so that an interruption leaves the previous one."""
        replace_text(self.path, json.dumps({"settings": self.settings, "found": self.found}, indent=1) + "\n")


class FileStudy(Study[Item, Findings]):
    """A study whose findings are a file ``NAME.json``."""

    empty: ClassVar[type] = dict
    """type that holds the findings"""
    trains: ClassVar[bool] = False
    """whether it keeps training runs in a folder ``NAME``"""

    def key(self, item: Item) -> str:
        """The name of an item in the file."""
        return str(item)

    @classmethod
    def tabulate(cls, settings: Mapping[str, Any], found: Any) -> list[Table]:
        """The tables of a file's contents; any error caused by damaged contents may escape."""
        return []

    @classmethod
    def file(cls, folder: Path) -> Path:
        """Path of the findings in the folder of a reproduction."""
        return folder / f"{cls.name}.json"

    def open(self, folder: Path) -> Findings:
        """The findings in a folder; raises InputError if they were made with other settings."""
        path, settings = self.file(folder), self.settings()
        if not path.exists():
            return Findings(path, settings, self.empty())
        there, found = read(path)
        if there != json.loads(json.dumps(settings)):
            raise InputError([f"{path}: was made with other settings; choose another folder, or --overwrite"])
        if not isinstance(found, self.empty):
            raise _damaged(path)
        return Findings(path, settings, found)

    def has(self, kept: Findings, item: Item) -> bool:
        """Whether an item has been found."""
        return self.key(item) in kept.found

    def keep(self, kept: Findings, item: Item, finding: Any) -> None:
        """Add a finding to the file."""
        kept.found[self.key(item)] = finding
        kept.save()

    @classmethod
    def tables(cls, folder: Path) -> list[Table]:
        """The report's tables; raises InputError if the file is damaged."""
        path = cls.file(folder)
        if not path.exists():
            return []
        settings, found = read(path)
        with damaged(path):
            return cls.tabulate(settings, found)

    @classmethod
    def discard(cls, folder: Path) -> None:
        """Remove the file and the training runs."""
        cls.file(folder).unlink(missing_ok=True)
        if cls.trains:
            shutil.rmtree(folder / cls.name, ignore_errors=True)


def every_study() -> list[type[Study[Any, Any]]]:
    """The class of each study, in the order in which they run."""
    return list(map(_study, ASKED_BY))


def tables_of(folder: Path, wanted: Sequence[str]) -> list[Table]:
    """The tables of the studies that are asked for by these names (`scattermec.experiments.studies.NAMES`).

    Raises InputError if there are none in the folder.
    """
    asked = [module for module, names in ASKED_BY.items() if set(names) & set(wanted)]
    tables = [table for module in asked for table in _study(module).tables(folder)]
    if not tables:
        raise InputError([f"{folder}: holds no table of {', '.join(wanted)}"])
    return tables


def studies_of(plan: Plan) -> list[Study[Any, Any]]:
    """The studies that a plan asks for."""
    asked = [module for module, names in ASKED_BY.items() if set(names) & set(plan.wanted)]
    return [study for module in asked if (study := _study(module).of(plan)) is not None]


def _study(module: str) -> type[Study[Any, Any]]:
    # Imported only now, since every study imports this module.
    study: type[Study[Any, Any]] = importlib.import_module(f"scattermec.experiments.studies.{module}").STUDY
    return study


@contextlib.contextmanager
def damaged(path: Path) -> Iterator[None]:
    """Raise InputError, naming the file, if its contents are not as they should be."""
    try:
        yield
    except InputError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
        raise _damaged(path) from None


def read(path: Path) -> tuple[dict[str, Any], Any]:
    """Settings and findings of a study's file; raises InputError if it cannot be read."""
    data = read_object(path)
    with damaged(path):
        return dict(data["settings"]), data["found"]


def _damaged(path: Path) -> InputError:
    return InputError([f"{path}: is damaged; delete it to have it made anew"])
