"""The package's exceptions: faults of the input and of the computation, one line per fault.

The command line maps them to exit statuses in one place, `scattermec.cli.app`.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

__all__ = [
    "BusyError",
    "ComputationError",
    "InputError",
    "ScattermecError",
    "ScenarioError",
    "TrainingError",
    "UnfinishedError",
    "WorkerDiedError",
    "margin_fault",
    "one_line",
]


class ScattermecError(Exception):
    """Base class: `faults` has one line per fault, of printable characters only."""

    exit_status: ClassVar[int] = 1
    """exit status of a command that fails with this error"""

    def __init__(self, faults: Iterable[str] | str) -> None:
        lines = (faults,) if isinstance(faults, str) else faults
        self.faults: tuple[str, ...] = tuple(map(one_line, lines))
        super().__init__(self.faults)

    def __str__(self) -> str:
        return "\n".join(self.faults)


class InputError(ScattermecError, ValueError):
    """All faults of a user's input."""

    exit_status: ClassVar[int] = 2


class ScenarioError(InputError):
    """All faults of a scenario."""


class BusyError(InputError):
    """Another process is writing the same output."""


class ComputationError(ScattermecError, RuntimeError):
    """A computation that cannot continue, though its input is valid."""


class TrainingError(ComputationError):
    """Learning that cannot continue: numbers are not finite or exceed all bounds."""


class WorkerDiedError(ComputationError):
    """A process that shared the work ended without a word: it was killed, or ran out of memory."""


class UnfinishedError(ScattermecError):
    """A computation was asked to leave before its end; what it has done is kept, and can be continued."""

    exit_status: ClassVar[int] = 75  # EX_TEMPFAIL: try again later


def margin_fault(margin: Any) -> str | None:
    """What is wrong with a planner's margin, if anything; see `scattermec.physics.with_margin`."""
    if isinstance(margin, int | float) and 0 <= margin < 1:
        return None
    return f"margin: {margin!r} is not allowed; it must be a number >= 0 and < 1"


def one_line(text: str) -> str:
    """``text`` on one line: control characters, line ends and lone surrogates are escaped."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
