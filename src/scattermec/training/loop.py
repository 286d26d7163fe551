"""The loop of every training: chunk by chunk, so that it can be killed at any moment and resumed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scattermec.errors import TrainingError
from scattermec.storage.atomic import writing
from scattermec.training import checkpoint
from scattermec.training.metrics import MetricsFile, Row

Report = Callable[[list[Row]], None]
"""Called with the new rows of metrics after each chunk."""


@dataclass(frozen=True)
class Training:
    """What is trained, its time counted in frames or steps, and what is kept of it."""

    example: Callable[[], Any]
    """makes shapes and types of a state"""
    initial: Callable[[], Any]
    """makes the state at time 0"""
    advance: Callable[[Any, int, int], tuple[Any, list[Row]]]
    """from a state, its time and a later one to the state then, with metrics; raises TrainingError"""
    seeds: tuple[int, ...]
    checkpoint: Path
    metrics: MetricsFile
    parts: Mapping[Path, Callable[[Any], Any]] = field(default_factory=dict)
    """files of parts of the state, for readers"""

    def run(self, until: int, *, chunk: int, save_every: int, report: Report) -> list[Row]:
        """Train from the checkpoint, or from the beginning; returns all metrics.

        Metrics are written before the checkpoint and those beyond it dropped on resuming, so that both are
        the same however often it was killed. Raises TrainingError where learning cannot go on, with the
        checkpoint before kept; InputError where what is on disk cannot be used, BusyError where another
        process trains the same.
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
                if time // save_every > begin // save_every or time == until:
                    metrics.save()
                    for path, part in self.parts.items():
                        checkpoint.save(path, part(state), self.seeds, time)
                    checkpoint.save(self.checkpoint, state, self.seeds, time)
        return metrics.rows
