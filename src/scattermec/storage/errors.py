"""Errors that users meet with their files."""

from collections.abc import Iterable

__all__ = ["InputError"]


class InputError(ValueError):
    """Everything that is wrong with given files, one line a fault in `faults`."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults: tuple[str, ...] = tuple(faults)
        super().__init__(self.faults)

    def __str__(self) -> str:
        return "\n".join(self.faults)
