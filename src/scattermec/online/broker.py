"""A Mosquitto of one's own, for the demonstration and for tests."""

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from scattermec.errors import ComputationError, InputError

__all__ = ["Broker", "check_broker", "find_broker"]

MISSING = (
    "no MQTT broker is installed: mosquitto is not found; install it with `apt install mosquitto` (Debian, "
    "Ubuntu), `brew install mosquitto` (macOS) or from mosquitto.org"
)

PATIENCE = 10.0
"""s that a broker has to start"""


def find_broker() -> str | None:
    """The program, if it is installed."""
    # Debian's is where administrators' programs are, which is on the path of few users.
    return shutil.which(
        "mosquitto", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    )


def check_broker() -> str:
    """The program; raises InputError with advice if it is not installed."""
    found = find_broker()
    if found is None:
        raise InputError([MISSING])
    return found


class Broker:
    """A broker on this machine, as a context manager: for this machine alone, or with a configuration."""

    def __init__(self, configuration: Path | None = None, *, port: int | None = None) -> None:
        """Args:
        configuration: a mosquitto.conf, in whose folder the broker is started; by default anybody on this
            machine may connect.
        port: its port, if the configuration sets one; by default any free one.
        """
        self.program, self.port = check_broker(), port or free_port()
        self._configuration, self._folder = configuration, Path()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Broker":
        self._folder = Path(tempfile.mkdtemp(prefix="scattermec-broker-"))
        if self._configuration is None:
            self._configuration = self._folder / "mosquitto.conf"
            # As root, Mosquitto would change to a user who may not read this file.
            self._configuration.write_text(
                f"listener {self.port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n"
                f"user {getpass.getuser()}\n",
                encoding="utf-8",
            )
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def process(self) -> int | None:
        """Number of its process; None if it is not running."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it, again after `stop` on the same port; raises ComputationError if it does not come up."""
        assert self._configuration is not None  # entered
        log = self._folder / "log"
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [self.program, "-c", self._configuration.name],
                cwd=self._configuration.parent,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        since = time.monotonic()
        while time.monotonic() - since < PATIENCE and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        self.stop()
        raise ComputationError(f"mosquitto does not start: {log.read_text(errors='replace')[-500:].strip()}")

    def stop(self, *, kill: bool = False) -> None:
        """End it; with ``kill`` at once."""
        if self._process is not None:
            (self._process.kill if kill else self._process.terminate)()
            self._process.wait()
            self._process = None


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
