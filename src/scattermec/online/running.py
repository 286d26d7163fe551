"""A device over a transport: takes what arrives, keeps the deadlines, and measures."""

import asyncio
import json
import math
import random
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from scattermec.online import wire
from scattermec.online.connection import Connection
from scattermec.online.protocol import Device
from scattermec.online.transport import MqttTransport, Transport

__all__ = ["Runner", "percentiles", "resident_memory", "run_device"]

STATUS = 1.0
"""s between two accounts of a device on its topic NAME/status, in JSON, for people"""

LATENCIES = 10_000
"""Decisions whose latency is kept, the last ones."""


class Runner:
    """Runs a device until it is done, its time is over, or `stop`."""

    def __init__(
        self,
        device: Device,
        *,
        tell: Callable[[str], None],
        form: wire.Form = "cbor",
        seconds: float = math.inf,
        lose: float = 0.0,
        sent: Callable[[wire.Message], None] | None = None,
    ) -> None:
        """Args:
        device: the device.
        tell: called with a line when a message is refused for the first time for its cause.
        form: of the messages that it sends.
        seconds: most s to run.
        lose: share of the arriving messages that are lost, for tests.
        sent: called with each message that has been sent.
        """
        self.device, self.tell, self.form = device, tell, form
        self.seconds, self.lose, self.sent = seconds, lose, sent
        self.latencies: deque[float] = deque(maxlen=LATENCIES)
        """s from the arrival of what the device has waited for until it has sent what follows"""
        self.bytes_in = self.bytes_out = self.messages_in = self.messages_out = 0
        self._stopped = False
        self._task: asyncio.Task[None] | None = None
        self._random = random.Random()

    def stop(self) -> None:
        """End the run; what has been measured remains."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()

    async def run(self, transport: Transport) -> None:
        """Run."""
        self._task = asyncio.create_task(self._run(transport))
        try:
            await self._task
        except asyncio.CancelledError:
            if not self._stopped:
                raise
        transport.send(f"{self.device.name}/status", json.dumps(self.account()).encode())

    async def _run(self, transport: Transport) -> None:
        begun = told = time.monotonic()
        while not self.device.done:
            now = time.monotonic()
            if now - begun >= self.seconds:
                break
            if now - told >= STATUS:
                told = now
                transport.send(f"{self.device.name}/status", json.dumps(self.account()).encode())
            until = min(self.device.due, begun + self.seconds, told + STATUS)
            self._take(transport, await transport.receive(until - now))

    def _take(self, transport: Transport, arrived: tuple[str, bytes] | None) -> None:
        begun = time.monotonic()
        messages: list[wire.Message] = []
        if arrived is not None and self._random.random() >= self.lose:
            topic, payload = arrived
            self.bytes_in += len(payload)
            self.messages_in += 1
            before = self.device.refused.copy()
            messages = self.device.receive(topic, payload, begun)
            self._tell_of_refusal(before, topic)
        messages += self.device.tick(begun)
        for message in messages:
            payload = wire.encode(message, self.form)
            self.bytes_out += len(payload)
            self.messages_out += 1
            transport.send(wire.topic_of(message), payload)
            if self.sent is not None:
                self.sent(message)
        if messages:
            self.latencies.append(time.monotonic() - begun)

    def _tell_of_refusal(self, before: Any, topic: str) -> None:
        for cause in self.device.refused - before:
            if before[cause] == 0:
                self.tell(
                    f"{cause} message refused on {topic}: {wire.CAUSES[cause]}; more of them are only counted"
                )

    def account(self) -> dict[str, Any]:
        """What the device has done so far."""
        device = self.device
        frames = max(device.counts["frames"], 1)
        return {
            "name": device.name,
            "frame": device.number[1],
            "phase": device.phase,
            "counts": dict(device.counts),
            "refused": dict(device.refused),
            "latency_ms": percentiles(self.latencies),
            "bytes_in_per_frame": self.bytes_in / frames,
            "bytes_out_per_frame": self.bytes_out / frames,
            "memory_mib": resident_memory(),
        }


async def run_device(runner: Runner, connection: Connection) -> None:
    """Run a device with a broker until it is done, or the process is asked to end (SIGINT, SIGTERM)."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, runner.stop)
    device = runner.device
    try:
        async with MqttTransport(connection, device.name, device.subscriptions, runner.tell) as transport:
            await runner.run(transport)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def percentiles(latencies: Iterable[float]) -> dict[str, float] | None:
    """Median and 99th percentile in ms; None if there is none."""
    found = np.fromiter(latencies, float)
    if not len(found):
        return None
    p50, p99 = np.percentile(1000 * found, (50, 99)).tolist()
    return {"p50": p50, "p99": p99}


def resident_memory(process: int | str = "self") -> float | None:
    """MiB of memory that a process occupies, by its number; None where the system does not say."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except OSError:
        return None
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024
