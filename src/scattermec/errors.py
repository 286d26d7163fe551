"""Errors that users meet."""

from collections.abc import Iterable

__all__ = ["InputError", "ScenarioError"]


class InputError(ValueError):
    """Everything that is wrong with what a user gave, one line a fault in `faults`."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults: tuple[str, ...] = tuple(faults)
        super().__init__(self.faults)

    def __str__(self) -> str:
        return "\n".join(self.faults)


class ScenarioError(InputError):
    """Everything that is wrong with a scenario."""
