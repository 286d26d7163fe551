"""A device over a transport: takes what arrives, keeps the deadlines, and measures."""

import asyncio
import json
import math
import os
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
        self._ended: asyncio.Future[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._told_at = self._end = math.inf
        self._cpu = time.process_time()
        self._told_of: set[str] = set()
        """causes of refusals that have been told of"""
        self._random = random.Random()

    def stop(self) -> None:
        """End the run; what has been measured remains."""
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    async def run(self, transport: Transport) -> None:
        """Run."""
        self._ended, self._transport = asyncio.get_running_loop().create_future(), transport
        self._told_at, self._cpu = time.monotonic(), time.process_time()
        self._end = self._told_at + self.seconds
        transport.pass_on_to(lambda topic, payload: self._guarded(self._take, topic, payload))
        self._guarded(self._wake)
        try:
            await self._ended
        finally:
            transport.pass_on_to(lambda topic, payload: None)
            if self._alarm is not None:
                self._alarm.cancel()
        self._send_account()

    def _guarded(self, step: Callable[..., None], *arguments: Any) -> None:
        """Take a step, unless the run has ended; it ends with what the step raises."""
        assert self._ended is not None  # running
        if self._ended.done():
            return
        try:
            step(*arguments)
            self._set_alarm()
        except Exception as error:
            self._ended.set_exception(error)

    def _take(self, topic: str, payload: bytes) -> None:
        """A message has arrived."""
        now = time.monotonic()
        if self._random.random() < self.lose:
            return
        self.bytes_in += len(payload)
        self.messages_in += 1
        messages = self.device.receive(topic, payload, now)
        if self.device.refused.keys() - self._told_of:
            self._tell_of_refusal(topic)
        self._send(self.device.arranged([*messages, *self.device.tick(now)]), now)

    def _wake(self) -> None:
        """Some time has passed."""
        now, self._alarm = time.monotonic(), None
        if now >= self._end:
            self.stop()
            return
        if now >= self._told_at + STATUS:
            self._told_at = now
            self._send_account()
        self._send(self.device.tick(now), now)

    def _set_alarm(self) -> None:
        """Wake up when something is due; an alarm that turns out to be too early costs little."""
        if self.device.done:
            self.stop()
            return
        due = min(self.device.due, self._end, self._told_at + STATUS)
        if self._alarm is not None:
            if self._alarm.when() <= due:
                return
            self._alarm.cancel()
        # The loop's clock is that of `time.monotonic`.
        self._alarm = asyncio.get_running_loop().call_at(due, self._guarded, self._wake)

    def _send(self, messages: list[wire.Message], since: float) -> None:
        for message in messages:
            payload = wire.encode(message, self.form)
            self.bytes_out += len(payload)
            self.messages_out += 1
            self._transport.send(wire.topic_of(message), payload)
            if self.sent is not None:
                self.sent(message)
        if messages:
            self.latencies.append(time.monotonic() - since)

    def _send_account(self) -> None:
        self._transport.send(f"{self.device.name}/status", json.dumps(self.account()).encode())

    def _tell_of_refusal(self, topic: str) -> None:
        for cause in self.device.refused.keys() - self._told_of:
            self._told_of.add(cause)
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
            "cpu_ms_per_frame": 1000 * (time.process_time() - self._cpu) / frames,
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
    found = 1000 * np.sort(np.fromiter(latencies, float))
    if not len(found):
        return None
    last = len(found) - 1
    p50, p99 = np.interp((0.5 * last, 0.99 * last), np.arange(len(found)), found).tolist()
    return {"p50": p50, "p99": p99}


def resident_memory(process: int | str = "self") -> float | None:
    """MiB of memory that a process occupies, by its number; None where the system does not say."""
    try:
        pages = Path(f"/proc/{process}/statm").read_text(encoding="utf-8").split()[1]
    except OSError:
        return None
    return int(pages) * os.sysconf("SC_PAGESIZE") / 2**20
