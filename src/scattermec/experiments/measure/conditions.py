"""Kinds of imperfect knowledge that policies are measured under, and their names in tables."""

import math
from typing import NamedTuple

from scattermec.physics.knowledge import Knowledge, knowledge


class Condition(NamedTuple):
    """What is not known; levels as in `Knowledge`, but the correlation of late channels and the bits."""

    csi_error: float = 0.0
    workload_error: float = 0.0
    correlation: float | None = None
    """of the channels that the AP sees, one frame late, to those of the frame; None: they are not late"""
    bits: int | None = None
    """of a promise; None: it is exact"""
    loss: float = 0.0

    @property
    def late(self) -> bool:
        """Whether the AP knows channels one frame late."""
        return self.correlation is not None

    @property
    def knowledge(self) -> Knowledge:
        """Its levels."""
        return knowledge(
            csi_error=self.csi_error,
            workload_error=self.workload_error,
            novelty=0.0 if self.correlation is None else math.sqrt(1 - self.correlation**2),
            step=0.0 if self.bits is None else 1 / (2**self.bits - 1),
            loss=self.loss,
        )


CONDITIONS = {
    "perfect": Condition(),
    "channels to 5%": Condition(csi_error=0.05),
    "channels to 10%": Condition(csi_error=0.1),
    "channels to 20%": Condition(csi_error=0.2),
    "workload to 20%": Condition(workload_error=0.2),
    "one frame late, correlation 0.99": Condition(correlation=0.99),
    "one frame late, correlation 0.9": Condition(correlation=0.9),
    "promises of 8 bits": Condition(bits=8),
    "promises of 4 bits": Condition(bits=4),
    "one message in ten lost": Condition(loss=0.1),
}

KNOWN_TO_AP = {name: one for name, one in CONDITIONS.items() if one.bits is None and not one.loss}
"""Those of what the AP knows, rather than of its messages."""
