"""All devices of a system as processes of this machine, and an observer who hears everything they send."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scattermec.errors import ComputationError
from scattermec.online import wire
from scattermec.online.connection import Connection
from scattermec.online.protocol import HERE
from scattermec.online.transport import MqttTransport

__all__ = ["ACCOUNTS", "Fleet", "Observer"]

MOST_BYTES = 2**20
"""The observer takes messages of any size that a scenario can have."""

PATIENCE = 120.0
"""s that a process has to start or end, on a busy machine"""


class Fleet:
    """The processes of a system, by the names of their devices; a context manager that leaves none behind."""

    def __init__(self, bundle: Path, connection: Connection, folder: Path, *, deadline: float) -> None:
        """Args:
        bundle: for the AP and all users.
        connection: a broker that lets everybody in.
        folder: for what the processes print, and for the AP's state.
        deadline: of a frame, in s.
        """
        self.bundle, self.folder, self.deadline = bundle, folder, deadline
        self.connection = folder / "connection.yaml"
        connection.save(self.connection)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()

    def start_ap(self, *options: str) -> None:
        """Start the AP, which keeps its state."""
        self._start("ap", "ap", str(self.bundle), "--state", str(self.folder / "ap-state.json"), *options)

    def start_user(self, index: int, *options: str, environment: dict[str, str] | None = None) -> None:
        """Start a user, with further variables of the environment."""
        command = ("user", str(self.bundle), "--index", str(index))
        self._start(f"user/{index}", *command, *options, environment=environment)

    def start_radio(self, *options: str) -> None:
        """Start the radio in the bundle's scenario."""
        self._start("radio", "radio", str(self.bundle), *options)

    def _start(self, name: str, *command: str, environment: dict[str, str] | None = None) -> None:
        own = ("--deadline", str(self.deadline), "--connection", str(self.connection), "--json")
        # One thread each: the processes share the cores of this machine.
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        with self._file(name, "json").open("wb") as printed, self._file(name, "log").open("ab") as told:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "scattermec", *command, *own],
                stdout=printed,
                stderr=told,
                env={**os.environ, **threads, **(environment or {})},
                start_new_session=True,
            )

    def _file(self, name: str, suffix: str) -> Path:
        return self.folder / f"{name.replace('/', '-')}.{suffix}"

    def told(self, name: str) -> str:
        """What a device has told on standard error, in all its lives."""
        return self._file(name, "log").read_text(encoding="utf-8", errors="replace")

    def kill(self, name: str) -> None:
        """End a device at once, without a word to anybody."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def pause(self, name: str) -> None:
        """Stop a device, which does not notice."""
        self.processes[name].send_signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let a paused device go on."""
        self.processes[name].send_signal(signal.SIGCONT)

    def check(self) -> None:
        """Raise ComputationError, with its last line, if a device has ended by itself with an error."""
        for name, process in self.processes.items():
            if process.poll():
                last = (self.told(name).strip().splitlines() or ["no message"])[-1]
                raise ComputationError(f"{name}: ended with status {process.returncode}: {last}")

    def end(self) -> dict[str, dict[str, Any]]:
        """Ask every device to end; returns their accounts by name."""
        for process in self.processes.values():
            process.terminate()
        accounts = {}
        for name, process in self.processes.items():
            process.wait(PATIENCE)
            with contextlib.suppress(ValueError):
                accounts[name] = json.loads(self._file(name, "json").read_text(encoding="utf-8"))
        self.processes.clear()
        return accounts


ACCOUNTS = ("radio/log", "+/status", "+/+/status", f"+/{HERE}", f"+/+/{HERE}")
"""What an observer needs to hear who is here, and how the frames end."""


class Observer:
    """Hears the messages of a network, where the broker lets it; an asynchronous context manager."""

    def __init__(
        self,
        connection: Connection,
        subscriptions: tuple[str, ...] = ("#",),
        *,
        most_logs: int | None = None,
    ) -> None:
        """Args:
        connection: the broker.
        subscriptions: topics to hear.
        most_logs: number of frames that are remembered, the last ones; all by default.
        """
        self._transport = MqttTransport(connection, "observer", subscriptions, lambda line: None)
        self._transport.pass_on_to(self._take)
        self._most_logs = most_logs
        self.logs: list[wire.Log] = []
        """frames that have been played"""
        self.accounts: dict[str, dict[str, Any]] = {}
        """the last account of each device by its name"""
        self.here: set[str] = set()
        """names of connected devices"""
        self.latest: dict[str, bytes] = {}
        """the last message on each topic"""
        self.heard: Callable[[str, bytes], None] = lambda topic, payload: None
        """called with each message"""

    async def __aenter__(self) -> "Observer":
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._transport.__aexit__(*error)

    def send(self, topic: str, payload: bytes) -> None:
        """Send anything, as an attacker would."""
        self._transport.send(topic, payload)

    async def until(self, condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
        """Wait; raises ComputationError if it takes too long."""
        since = time.monotonic()
        while not condition():
            if time.monotonic() - since > seconds:
                raise ComputationError(f"{what}: not within {seconds:.0f} s")
            await asyncio.sleep(0.01)

    async def frames(self, count: int) -> list[wire.Log]:
        """Wait for so many more frames, and return them."""
        begun = len(self.logs)
        await self.until(lambda: len(self.logs) >= begun + count, f"{count} more frames")
        return self.logs[begun : begun + count]

    def _take(self, topic: str, payload: bytes) -> None:
        name, _, last = topic.rpartition("/")
        if last == HERE:
            (self.here.add if payload else self.here.discard)(name)
        elif last == "status":
            with contextlib.suppress(ValueError):
                self.accounts[name] = json.loads(payload)
        elif topic == "radio/log":
            with contextlib.suppress(wire.Refused):
                message = wire.decode(payload, MOST_BYTES)
                if isinstance(message, wire.Log):
                    self.logs.append(message)
                    if self._most_logs is not None:
                        del self.logs[: -self._most_logs]
        else:
            self.latest[topic] = payload
        self.heard(topic, payload)
