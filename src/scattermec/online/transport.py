"""The transport between devices: a protocol of three functions, and MQTT 5 behind it.

Messages are sent once and not repeated (quality of service 0), since a late one would be stale. A connection
that is lost is made again; until then nothing arrives, and what is sent is lost.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol, runtime_checkable

from paho.mqtt.client import CallbackAPIVersion, Client, MQTTMessage, MQTTv5

from scattermec.online.connection import Connection
from scattermec.online.protocol import HERE

__all__ = ["MqttTransport", "Transport"]

RETRY = 0.2
"""s between attempts to connect"""

PATIENCE = 5.0
"""s for the broker to accept a connection"""

KEEP_ALIVE = 60
"""s: a radio that computes for long must not be taken for dead"""

MOST_WAITING = 10_000
"""Messages that wait at most to be sent over a slow connection; more are lost."""

LAST_WORDS = 1.0
"""s to send what is left at the end"""

Take = Callable[[str, bytes], None]
"""Takes a message: its topic below the network's name, and its payload."""


@runtime_checkable
class Transport(Protocol):
    """Carries messages by topic."""

    def send(self, topic: str, payload: bytes) -> None:
        """Send a message, unless there is no connection."""
        ...

    def pass_on_to(self, take: Take) -> None:
        """Call ``take`` with each message from now on, within the event loop."""
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
        self._here = f"{self._prefix}{name}/{HERE}"
        self._pass_on: Take = lambda topic, payload: None
        self._link: _Link | None = None
        """while it is connected"""
        self._told: set[str] = set()
        """what has gone wrong since the last connection"""
        self._logger = logging.Logger("mqtt", logging.WARNING)
        self._logger.addHandler(_Teller(self._tell_once))
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "MqttTransport":
        self._task = asyncio.create_task(self._stay_connected())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None  # entered
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def send(self, topic: str, payload: bytes) -> None:
        """Send a message, unless there is no connection; nobody waits for the broker."""
        if self._link is not None:
            self._link.send(self._prefix + topic, payload)

    def pass_on_to(self, take: Take) -> None:
        """Call ``take`` with each message from now on, within the event loop."""
        self._pass_on = take

    async def _stay_connected(self) -> None:
        address = f"{self.connection.host}:{self.connection.port}"
        while True:
            try:
                async with self._connected() as link:
                    self._told.clear()
                    self.tell(f"connected to {address}")
                    raise ConnectionError(await link.lost)
            except OSError as error:
                self._tell_once(f"no connection to {address}: {error}; trying again")
            await asyncio.sleep(RETRY)

    def _tell_once(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self.tell(line)

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator["_Link"]:
        link = _Link(self._client(), self._take)
        async with link.open(self.connection.host, self.connection.port):
            for topic in self.subscriptions:
                link.client.subscribe(self._prefix + topic)
            link.send(self._here, b"1", retain=True)
            self._link = link
            try:
                yield link
            except asyncio.CancelledError:  # the end: not a loss, so the broker will not say that we are gone
                link.send(self._here, b"", retain=True)
                raise
            finally:
                self._link = None

    def _client(self) -> Client:
        given = self.connection
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{given.network}/{self.name}",
            protocol=MQTTv5,
            reconnect_on_failure=False,
        )
        client.enable_logger(self._logger)
        client.will_set(self._here, b"", retain=True)
        if given.username is not None:
            client.username_pw_set(given.username, given.password)
        if given.ca is not None:
            client.tls_set_context(_tls(given.ca, given))
        return client

    def _take(self, topic: str, payload: bytes) -> None:
        self._pass_on(topic.removeprefix(self._prefix), payload)


class _Link:
    """One connection of a client of paho-mqtt, which reads and writes within the event loop.

    What arrives is passed on at once, and what is sent is written at once if the network takes it: with 50
    devices on one machine, a task and some turns of the event loop per message would cost more than the
    message.
    """

    def __init__(self, client: Client, take: Take) -> None:
        self.client, self._pass_on = client, take
        self._loop = asyncio.get_running_loop()
        self._answered: asyncio.Future[str] = self._loop.create_future()
        """what the broker has said: nothing if it accepts, else why not"""
        self.lost: asyncio.Future[str] = self._loop.create_future()
        """why, once the connection is lost"""
        self._waiting = 0
        """messages given to the client since it last had nothing left to write"""
        self._arrived: list[tuple[str, bytes]] = []
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_disconnect = lambda client, data, flags, reason, properties: self._lose(str(reason))
        client.on_socket_close = lambda client, data, sock: self._leave_to_itself(sock)

    @contextlib.asynccontextmanager
    async def open(self, host: str, port: int) -> AsyncIterator[None]:
        """Connect; raises OSError, of which TimeoutError is one, if the broker does not accept."""
        await self._loop.run_in_executor(None, self.client.connect, host, port, KEEP_ALIVE)
        sock = self.client.socket()
        if not isinstance(sock, socket.socket):
            raise ConnectionError("closed at once")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop.add_reader(sock.fileno(), self._read)
        living = asyncio.create_task(self._stay_alive())
        try:
            async with asyncio.timeout(PATIENCE):
                refusal = await self._answered
            if refusal:
                raise ConnectionError(refusal)
            yield
        finally:
            living.cancel()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS):
                    while self._waiting and not self.lost.done():
                        await asyncio.sleep(0.01)
            self.client.disconnect()
            if sock.fileno() >= 0:
                self._leave_to_itself(sock)

    def send(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send, or lose, a message."""
        if self._waiting >= MOST_WAITING:
            return
        self.client.publish(topic, payload, retain=retain)
        self._waiting += 1
        self._see_what_is_left()

    def _see_what_is_left(self) -> None:
        """Write again when the network takes more, if there is more."""
        sock = self.client.socket()
        if sock is None:
            self._waiting = 0
        elif self.client.want_write():
            self._loop.add_writer(sock.fileno(), self._write)
        elif self._waiting:
            self._waiting = 0
            self._loop.remove_writer(sock.fileno())

    def _write(self) -> None:
        self.client.loop_write()
        self._see_what_is_left()

    def _read(self) -> None:
        try:
            self.client.loop_read()  # one packet; if there are more, the event loop calls again
            sock = self.client.socket()
            while isinstance(sock, ssl.SSLSocket) and sock.pending():  # decoded, so it knows nothing of it
                self.client.loop_read()
                sock = self.client.socket()
        except Exception as error:  # whatever is wrong with what it has read, the connection is of no use
            self._lose(str(error))
        # Only now, since a client writes nothing while it calls us.
        arrived, self._arrived = self._arrived, []
        for topic, payload in arrived:
            self._pass_on(topic, payload)

    async def _stay_alive(self) -> None:
        while not self.lost.done():
            self.client.loop_misc()
            await asyncio.sleep(KEEP_ALIVE / 10)

    def _on_connect(self, client: Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._lose(str(reason))
        elif not self._answered.done():
            self._answered.set_result("")

    def _on_message(self, client: Client, data: Any, message: MQTTMessage) -> None:
        self._arrived.append((message.topic, bytes(message.payload)))

    def _lose(self, reason: str) -> None:
        if not self._answered.done():
            self._answered.set_result(reason or "without a reason")
        if not self.lost.done():
            self.lost.set_result(reason)

    def _leave_to_itself(self, sock: Any) -> None:
        self._loop.remove_reader(sock.fileno())
        self._loop.remove_writer(sock.fileno())


def _tls(authority: str, given: Connection) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority)
    if given.certificate is not None:
        context.load_cert_chain(given.certificate, given.private_key)
    return context
