"""Studies that need no JAX, in a module that other processes can import."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scattermec.experiments.measure.table import Table
from scattermec.experiments.studies.base import FileStudy, Progress
from scattermec.experiments.studies.plan import Plan


@dataclasses.dataclass(frozen=True)
class Squares(FileStudy[int]):
    """Squares of numbers, the first ones until it is interrupted."""

    name = "squares"
    title = "squaring"

    numbers: tuple[int, ...]
    breaks_at: int | None = None

    @classmethod
    def of(cls, plan: Plan) -> "Squares":
        return cls((1, 2, 3))

    @property
    def items(self) -> tuple[int, ...]:
        return self.numbers

    def frames_of(self, item: int) -> int:
        return 10 * item

    def settings(self) -> dict[str, Any]:
        return {"numbers": list(self.numbers)}

    def compute(self, item: int, folder: Path, progress: Progress) -> int:
        if item == self.breaks_at:
            raise KeyboardInterrupt
        progress(5 * item)
        return item * item

    @classmethod
    def tabulate(cls, settings: Mapping[str, Any], found: Any) -> list[Table]:
        rows = tuple((item, str(math.isqrt(square))) for item, square in found.items())
        return [Table("Squares", "", ("number", "root"), rows)]


class Others(Squares):
    """The same under another name."""

    name = "others"
    title = "squaring others"
