"""Errors that users meet."""

from collections.abc import Iterable

__all__ = ["ScenarioError"]


class ScenarioError(ValueError):
    """Everything that is wrong with a scenario, one line a fault in `faults`."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults: tuple[str, ...] = tuple(faults)
        super().__init__(self.faults)

    def __str__(self) -> str:
        return "\n".join(self.faults)
