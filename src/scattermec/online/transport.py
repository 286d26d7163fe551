"""The transport between devices: a protocol of three functions, and MQTT 5 behind it.

Messages are sent once and not repeated (quality of service 0), since a late one would be stale. A connection
that is lost is made again; until then nothing arrives, and what is sent is lost.
"""

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol, runtime_checkable

import aiomqtt

from scattermec.online.connection import Connection
from scattermec.online.protocol import HERE

__all__ = ["MqttTransport", "Transport"]

RETRY = 0.2
"""s between attempts to connect"""

MOST_WAITING = 10_000
"""Messages that wait at most to be taken; more are lost."""

LAST_WORDS = 1.0
"""s to send what is left at the end"""

Arrival = tuple[str, bytes]
"""Topic below the network's name, and payload."""


@runtime_checkable
class Transport(Protocol):
    """Carries messages by topic."""

    def send(self, topic: str, payload: bytes) -> None:
        """Send a message, unless there is no connection."""
        ...

    async def receive(self, seconds: float) -> Arrival | None:
        """The next message, or None if there is none for so long."""
        ...


class _Teller(logging.Handler):
    """Passes on what a library logs."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(record.getMessage())


class MqttTransport:
    """A connection to a broker, as an asynchronous context manager.

    While it is connected, the retained topic NAME/here is not empty.
    """

    def __init__(
        self, connection: Connection, name: str, subscriptions: tuple[str, ...], tell: Callable[[str], None]
    ) -> None:
        """Args:
        connection: the broker.
        name: of the device.
        subscriptions: its topics, below the network's name.
        tell: called with a line when the connection is made or lost.
        """
        self.connection, self.name, self.subscriptions, self.tell = connection, name, subscriptions, tell
        self._prefix = f"{connection.network}/"
        self._arrived: asyncio.Queue[Arrival] = asyncio.Queue(MOST_WAITING)
        self._leaving: asyncio.Queue[Arrival] = asyncio.Queue(MOST_WAITING)
        self._is_connected = False
        self._told: set[str] = set()
        """what has gone wrong since the last connection"""
        self._logger = logging.Logger("mqtt", logging.WARNING)
        self._logger.addHandler(_Teller(self._tell_once))
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "MqttTransport":
        asyncio.get_running_loop().set_exception_handler(_without_closed_sockets)
        self._task = asyncio.create_task(self._stay_connected())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None  # entered
        if self._is_connected:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.join(), LAST_WORDS)
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def send(self, topic: str, payload: bytes) -> None:
        """Send a message, unless there is no connection; nobody waits for the broker."""
        if self._is_connected:
            with contextlib.suppress(asyncio.QueueFull):
                self._leaving.put_nowait((topic, payload))

    async def receive(self, seconds: float) -> Arrival | None:
        """The next message, or None if there is none for so long."""
        if not self._arrived.empty():
            return self._arrived.get_nowait()
        try:
            async with asyncio.timeout(max(seconds, 0)):
                return await self._arrived.get()
        except TimeoutError:
            return None

    async def _stay_connected(self) -> None:
        address = f"{self.connection.host}:{self.connection.port}"
        while True:
            try:
                async with self._connected() as client:
                    self._is_connected = True
                    self._told.clear()
                    self.tell(f"connected to {address}")
                    sending = asyncio.create_task(self._send_all(client))
                    try:
                        await self._take_all(client)
                    finally:
                        sending.cancel()
            except aiomqtt.MqttError as error:
                self._tell_once(f"no connection to {address}: {error}; trying again")
            finally:
                self._is_connected = False
            self._leaving = asyncio.Queue(MOST_WAITING)  # what has waited so long is stale
            await asyncio.sleep(RETRY)

    def _tell_once(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self.tell(line)

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[aiomqtt.Client]:
        given, here = self.connection, f"{self._prefix}{self.name}/{HERE}"
        client = aiomqtt.Client(
            given.host,
            given.port,
            username=given.username,
            password=given.password,
            identifier=f"{given.network}/{self.name}",
            protocol=aiomqtt.ProtocolVersion.V5,
            tls_context=_tls(given),
            will=aiomqtt.Will(here, b"", retain=True),
            logger=self._logger,
            timeout=5.0,
            keepalive=60,  # a radio that computes for long must not be taken for dead
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )
        async with client:
            for topic in self.subscriptions:
                await client.subscribe(self._prefix + topic)
            await client.publish(here, b"1", retain=True)
            try:
                yield client
            except asyncio.CancelledError:  # the end: not a loss, so the broker will not say that we are gone
                await client.publish(here, b"", retain=True)
                raise

    async def _take_all(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            if isinstance(message.payload, bytes):
                with contextlib.suppress(asyncio.QueueFull):
                    self._arrived.put_nowait(
                        (message.topic.value.removeprefix(self._prefix), message.payload)
                    )

    async def _send_all(self, client: aiomqtt.Client) -> None:
        while True:
            topic, payload = await self._leaving.get()
            with contextlib.suppress(aiomqtt.MqttError):
                await client.publish(self._prefix + topic, payload)
            self._leaving.task_done()


def _without_closed_sockets(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # aiomqtt asks to be told when its socket can be written to even if it has just been closed. That changes
    # nothing, and a lost connection is noticed elsewhere.
    error = context.get("exception")
    if not (isinstance(error, OSError) and error.errno == errno.EBADF):
        loop.default_exception_handler(context)


def _tls(given: Connection) -> ssl.SSLContext | None:
    if given.ca is None:
        return None
    context = ssl.create_default_context(cafile=given.ca)
    if given.certificate is not None:
        context.load_cert_chain(given.certificate, given.private_key)
    return context
