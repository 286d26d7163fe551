"""How a device finds its broker: address, names and credentials, in a file or on the command line."""

import os
from typing import Any, ClassVar

from scattermec._settings import FileSettings, constant

__all__ = ["Connection"]

_FILES = ("ca", "certificate", "private_key")


class Connection(FileSettings):
    """A broker, and what it wants to see."""

    _title: ClassVar[str] = "the connection"

    host: str = constant("localhost", "", "", "a host name or address", "Broker")
    port: int = constant(1883, "", "", ">= 1 and <= 65535", "Its port; 8883 is usual with TLS")
    network: str = constant("scattermec", "", "", "a name", "First level of all topics")
    username: str | None = constant(None, "", "", "a name", "User name, if the broker asks for one")
    password: str | None = constant(None, "", "", "a text", "Password")
    ca: str | None = constant(None, "", "", "a file", "Certificate of the authority of the broker: TLS")
    certificate: str | None = constant(None, "", "", "a file", "Certificate of this device")
    private_key: str | None = constant(None, "", "", "a file", "Private key of this device")

    @classmethod
    def _resolve(cls, data: dict[str, Any], folder: str | os.PathLike[str]) -> None:
        for name in _FILES:
            if isinstance(data.get(name), str):
                data[name] = os.path.join(folder, data[name])

    def _cross_faults(self) -> Any:
        if not self.network or set(self.network) & set("/+#"):
            yield (
                ("network",),
                f"network: {self.network!r} is not allowed; it must be a name without /, + and #",
            )
        if (self.certificate is None) != (self.private_key is None):
            yield ("certificate", "private_key"), "certificate, private_key: must be given both, or neither"
        if self.ca is None and self.certificate is not None:
            yield ("ca", "certificate"), "certificate: has no effect without ca, which asks for TLS"
        for name in _FILES:
            path = getattr(self, name)
            if path is not None and not os.path.isfile(path):
                yield (name,), f"{name}: there is no file {path}"
