"""The work of `scattermec radio`."""

import asyncio
import math
import time
from array import array
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from scattermec.cli.jobs.common import warn_of, warn_without_kernel
from scattermec.cli.jobs.online import report_of, teller
from scattermec.cli.output import Report, provenance
from scattermec.experiments.measure.table import Table
from scattermec.experiments.measure.world import SimulatedWorld
from scattermec.online.connection import Connection
from scattermec.online.protocol import Deadlines, Radio
from scattermec.online.running import Runner, percentiles, run_device
from scattermec.online.wire import Form, Log, Message
from scattermec.scenario import Scenario


def run_radio(
    scenario: Scenario,
    connection: Connection,
    *,
    frames: int,
    period: float,
    deadline: float,
    wait: float,
    compare: bool,
    independent: bool,
    seed: int,
    form: Form,
    lose: float,
) -> Report:
    """Play the frames."""
    warn_of(scenario)
    warn_without_kernel(compare)
    world = SimulatedWorld(scenario, seed, compare=compare, independent=independent)
    world.warm_up()
    device = Radio(
        world,
        scenario.num_users,
        scenario.num_antennas,
        Deadlines(deadline),
        run=time.time_ns() // 1_000_000,
        frames=frames,
        period=period,
        wait=wait,
    )
    tally = Tally()

    def sent(message: Message) -> None:
        if isinstance(message, Log):
            tally.add(message)

    begun = time.monotonic()
    runner = Runner(device, tell=teller("radio"), form=form, lose=lose, sent=sent)
    asyncio.run(run_device(runner, connection))
    found = tally.summary(time.monotonic() - begun)
    report = report_of(runner, {**found, "seed": seed, **provenance(scenario)})
    rows = tuple((name.replace("_", " "), _shown(value)) for name, value in found.items())
    title = f"{tally.frames:,} frames over a broker, seed {seed}"
    return replace(report, tables=[Table(title, "", ("", ""), rows), *report.tables])


class Tally:
    """What was achieved, in a few numbers per frame: a radio may play for days."""

    def __init__(self, logs: Iterable[Log] = ()) -> None:
        self.frames = self._served = self._users = 0
        self._reward = self._optimum = self._ap_energy = 0.0
        self._seconds = array("d")
        for log in logs:
            self.add(log)

    def add(self, log: Log) -> None:
        """One more frame."""
        self.frames += 1
        self._served += sum(log.served)
        self._users += len(log.served)
        self._reward += log.reward
        self._ap_energy += log.ap_energy
        self._optimum += math.nan if log.optimum is None else log.optimum
        self._seconds.append(log.seconds)

    def summary(self, seconds: float) -> dict[str, Any]:
        """The whole, of a run that took so long."""
        if not self.frames:
            return {"frames": 0}
        return {
            "frames": self.frames,
            "reward": self._reward / self.frames,
            "share_of_the_optimum": self._reward / self._optimum if self._optimum > 0 else None,
            "outage": 1 - self._served / self._users,
            "ap_energy": self._ap_energy / self.frames,
            "frames_per_second": self.frames / seconds,
            "frame_latency_ms": percentiles(self._seconds),
        }


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number:.3g}" for name, number in value.items())
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
