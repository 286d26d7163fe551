"""The work of `scattermec radio`."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from scattermec.cli.jobs.common import warn_of, warn_without_kernel
from scattermec.cli.jobs.online import report_of, share_of, teller
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
    logs: list[Log] = []

    def sent(message: Message) -> None:
        if isinstance(message, Log):
            logs.append(message)

    begun = time.monotonic()
    runner = Runner(device, tell=teller("radio"), form=form, lose=lose, sent=sent)
    asyncio.run(run_device(runner, connection))
    found = summary(logs, time.monotonic() - begun)
    report = report_of(runner, {**found, "seed": seed, **provenance(scenario)})
    rows = tuple((name.replace("_", " "), _shown(value)) for name, value in found.items())
    title = f"{len(logs):,} frames over a broker, seed {seed}"
    return replace(report, tables=[Table(title, "", ("", ""), rows), *report.tables])


def summary(logs: Sequence[Log], seconds: float) -> dict[str, Any]:
    """What was achieved in the frames of these logs."""
    if not logs:
        return {"frames": 0}
    served = [flag for log in logs for flag in log.served]
    latency = percentiles(log.seconds for log in logs)
    return {
        "frames": len(logs),
        "reward": sum(log.reward for log in logs) / len(logs),
        "share_of_the_optimum": share_of(logs),
        "outage": 1 - sum(served) / len(served),
        "ap_energy": sum(log.ap_energy for log in logs) / len(logs),
        "frames_per_second": len(logs) / seconds,
        "frame_latency_ms": latency,
    }


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number:.3g}" for name, number in value.items())
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
