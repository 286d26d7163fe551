"""Certificates for the broker and every device, and the access rules that keep each to its own topics.

Everybody is known by the common name of its certificate: `ap`, `radio`, `user-0` and so on, `observer`. Names
on topics have a slash instead of the hyphen.
"""

import datetime
import getpass
import ipaddress
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from scattermec.errors import InputError
from scattermec.online.connection import Connection
from scattermec.storage.atomic import replace_text

__all__ = ["DEVICES", "access_rules", "make_keys"]

DAYS = 3650
"""For how long certificates are valid."""

AUTHORITY, BROKER, OBSERVER = "authority", "broker", "observer"
DEVICES = ("ap", "radio", OBSERVER)
"""Names beside the users' `user-0`, `user-1` and so on."""

MOST_BYTES = 10**6
"""Largest message that the broker accepts."""


def make_keys(folder: Path, *, users: int, hosts: list[str], port: int, network: str) -> list[str]:
    """Write keys, certificates, `mosquitto.conf`, `access.acl`, and a connection `NAME.yaml` for each device.

    Args:
        folder: an empty or new one.
        users: number of users.
        hosts: names and addresses of the broker; devices use the first.
        port: its port.
        network: first level of all topics.

    Returns the devices' names. Raises InputError if there is something in the folder: keys are not replaced.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError([f"{folder}: has something in it; name another folder, since keys are not replaced"])
    folder.mkdir(parents=True, exist_ok=True)
    names = [*DEVICES, *(f"user-{user}" for user in range(users))]
    root = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate(AUTHORITY, root, AUTHORITY, root)
    _write_certificate(folder, AUTHORITY, authority)
    for name in (BROKER, *names):
        key = ec.generate_private_key(ec.SECP256R1())
        made = _certificate(name, key, AUTHORITY, root, hosts if name == BROKER else [])
        _write_certificate(folder, name, made)
        _write_key(folder / f"{name}.key", key)
    for name in names:
        Connection(
            host=hosts[0],
            port=port,
            network=network,
            ca=str(folder / f"{AUTHORITY}.crt"),
            certificate=str(folder / f"{name}.crt"),
            private_key=str(folder / f"{name}.key"),
        )  # its faults come before anything is used
        lines = (
            f"host: {hosts[0]}\nport: {port}\nnetwork: {network}\n"
            f"ca: {AUTHORITY}.crt\ncertificate: {name}.crt\nprivate_key: {name}.key\n"
        )
        replace_text(folder / f"{name}.yaml", lines)
    replace_text(folder / "access.acl", access_rules(users, network))
    replace_text(folder / "mosquitto.conf", configuration(port))
    return names


def access_rules(users: int, network: str) -> str:
    """Mosquitto's rules: who may write and read which topics; everything else is forbidden."""
    rules: dict[str, list[str]] = {
        "radio": ["write radio/#", "read ap/play", "read ap/here", "read user/+/answer", "read user/+/here"],
        "ap": ["write ap/#", "read radio/ap", "read user/+/report", "read user/+/answer"],
        OBSERVER: ["read #", "write observer/#"],
    }
    for user in range(users):
        rules[f"user-{user}"] = [f"write user/{user}/#", f"read radio/user/{user}", f"read ap/user/{user}"]
    parts = ["# Who may write and read what. A message on a topic is from the device that may write there."]
    for name, lines in rules.items():
        parts += ["", f"user {name}"]
        for line in lines:
            way, topic = line.split()
            parts.append(f"topic {way} {network}/{topic}")
    return "\n".join(parts) + "\n"


def configuration(port: int) -> str:
    """The broker's `mosquitto.conf`: TLS, a certificate from everybody, and the access rules."""
    return f"""\
# Start it in this folder: mosquitto -c mosquitto.conf
listener {port}
cafile {AUTHORITY}.crt
certfile {BROKER}.crt
keyfile {BROKER}.key
require_certificate true
use_identity_as_username true
# Nobody ends another's connection by taking its identifier.
use_username_as_clientid true
allow_anonymous false
acl_file access.acl
message_size_limit {MOST_BYTES}
set_tcp_nodelay true
# Started by root, the broker becomes this user, who has to be able to read the files above.
user {getpass.getuser()}
"""


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    signing: ec.EllipticCurvePrivateKey,
    hosts: list[str] | None = None,
) -> x509.Certificate:
    """A certificate of ``name``; with ``hosts``, even if there are none, not one of an authority."""
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A device's clock may be behind.
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=hosts is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False
        )
        .add_extension(_usage(authority=hosts is None), critical=True)
    )
    if hosts is not None:
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName(map(_host, hosts)), critical=False)
    return builder.sign(signing, hashes.SHA256())


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write_certificate(folder: Path, name: str, certificate: x509.Certificate) -> None:
    replace_text(folder / f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM).decode())


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    # Nobody else reads it, not even for a moment.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(text)
