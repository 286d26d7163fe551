"""The loop of every training: chunk by chunk, so that it can be killed and resumed at any moment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scattermec._processes import asked_to_leave
from scattermec.errors import TrainingError, UnfinishedError
from scattermec.storage.atomic import writing
from scattermec.training import checkpoint
from scattermec.training.metrics import MetricsFile, Row

Report = Callable[[list[Row]], None]
"""Called with the new metric rows after each chunk."""


@dataclass(frozen=True)
class Training:
    """A training, its time counted in frames or steps, and the files that it writes."""

    example: Callable[[], Any]
    """returns shapes and types of a state"""
    initial: Callable[[], Any]
    """returns the state at time 0"""
    advance: Callable[[Any, int, int], tuple[Any, list[Row]]]
    """(state, its time, a later time) to (state at the later time, metrics); raises TrainingError"""
    seeds: tuple[int, ...]
    checkpoint: Path
    metrics: MetricsFile
    parts: Mapping[Path, Callable[[Any], Any]] = field(default_factory=dict)
    """files that hold a part of the state, for readers"""

    def run(self, until: int, *, chunk: int, save_every: int, report: Report) -> list[Row]:
        """Train from the checkpoint, or from the beginning; returns all metrics.

        Metrics are written before the checkpoint, and rows beyond the checkpoint are dropped on resuming, so
        both are the same however often the training was killed. Raises TrainingError if learning fails (the
        last checkpoint stays), InputError if a file on disk cannot be used, BusyError if another process
        trains the same, and UnfinishedError if a signal has asked the process to leave: after a chunk, with
        its checkpoint written, see `leaving_on_signals`.
        """
        metrics = self.metrics
        for path in (self.checkpoint, metrics.path):
            path.parent.mkdir(exist_ok=True)
        with writing(self.checkpoint):
            if self.checkpoint.exists():
                state, time = checkpoint.load(self.checkpoint, self.example(), self.seeds)
                metrics.take_up(time)
            else:
                state, time = self.initial(), 0
            while time < until:
                begin, time = time, min((time // chunk + 1) * chunk, until)
                try:
                    state, rows = self.advance(state, begin, time)
                except TrainingError:
                    if metrics.rows:
                        metrics.save()
                    raise
                metrics.rows += rows
                report(rows)
                leaves = asked_to_leave() and time < until
                if time // save_every > begin // save_every or time == until or leaves:
                    metrics.save()
                    for path, part in self.parts.items():
                        checkpoint.save(path, part(state), self.seeds, time)
                    checkpoint.save(self.checkpoint, state, self.seeds, time)
                if leaves:
                    raise UnfinishedError(f"{self.checkpoint}: frame {time} of {until}")
        return metrics.rows
