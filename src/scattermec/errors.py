"""Everything that can go wrong by a user's doing or a computer's: one hierarchy, told one line per fault.

The command line turns each of these into its exit status in one place, `scattermec.cli.app`.
"""

from collections.abc import Iterable
from typing import ClassVar

__all__ = [
    "BusyError",
    "ComputationError",
    "InputError",
    "ScattermecError",
    "ScenarioError",
    "TrainingError",
    "one_line",
]


class ScattermecError(Exception):
    """What is wrong, one line per fault in `faults`, each of printable characters only."""

    exit_status: ClassVar[int] = 1
    """of a command that ends with it"""

    def __init__(self, faults: Iterable[str] | str) -> None:
        lines = (faults,) if isinstance(faults, str) else faults
        self.faults: tuple[str, ...] = tuple(map(one_line, lines))
        super().__init__(self.faults)

    def __str__(self) -> str:
        return "\n".join(self.faults)


class InputError(ScattermecError, ValueError):
    """Everything that is wrong with what a user gave."""

    exit_status: ClassVar[int] = 2


class ScenarioError(InputError):
    """Everything that is wrong with a scenario."""


class BusyError(InputError):
    """Another process is writing the same output."""


class ComputationError(ScattermecError, RuntimeError):
    """A computation that cannot go on, though nothing is wrong with what was given."""


class TrainingError(ComputationError):
    """Learning that cannot go on: numbers that are not finite or beyond all bounds."""


def one_line(text: str) -> str:
    """``text`` with escapes for what does not print on one line: controls, line ends, lone surrogates."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
