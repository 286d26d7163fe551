"""A sweep whose processes die: work for engines, in a module that other processes can import."""

import os
import signal
from pathlib import Path

from scattermec.experiments.sweep.running import Sweep


class Dying(Sweep):
    """Kills its own process when it is first given some of its groups."""

    def __init__(self, plan, folder, marks: Path, dies_at=()):
        super().__init__(plan, folder)
        self.marks, self.dies_at = marks, dies_at

    def __getstate__(self):
        return super().__getstate__() | {"marks": self.marks, "dies_at": self.dies_at}

    def compute(self, number):
        mark = self.marks / f"{number}"
        if number in self.dies_at and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().compute(number)
