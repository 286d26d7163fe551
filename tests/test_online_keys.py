"""With the keys and access rules of `scattermec keys`, each device reads and writes its own topics alone."""

import asyncio
import stat
import subprocess

import pytest

from scattermec.errors import InputError
from scattermec.online.broker import Broker, find_broker, free_port
from scattermec.online.connection import Connection
from scattermec.online.keys import DEVICES, make_keys
from scattermec.online.transport import MqttTransport

needs_broker = pytest.mark.skipif(find_broker() is None, reason="mosquitto is not installed")


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "keys"
    port = free_port()
    names = make_keys(folder, users=3, hosts=["localhost", "127.0.0.1"], port=port, network="net")
    assert names == [*DEVICES, "user-0", "user-1", "user-2"]
    return folder, port


def connection(keys, name):
    return Connection.load(keys[0] / f"{name}.yaml")


def test_certificates_are_of_the_authority_and_its_key_is_not_kept(keys):
    folder, _ = keys
    for path in folder.glob("*.crt"):
        purpose = {"broker": "sslserver", "authority": "any"}.get(path.stem, "sslclient")
        command = [
            "openssl",
            "verify",
            "-x509_strict",
            "-purpose",
            purpose,
            "-CAfile",
            folder / "authority.crt",
            path,
        ]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 0, path
    assert not (folder / "authority.key").exists()
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.glob("*.key")} == {0o600}


def test_keys_are_not_replaced(keys):
    with pytest.raises(InputError, match="has something in it"):
        make_keys(keys[0], users=1, hosts=["localhost"], port=1, network="net")


@needs_broker
def test_each_device_reads_and_writes_its_own_topics_alone(keys):
    folder, port = keys
    own = {
        "ap": ["ap/play", "ap/user/0", "ap/user/1"],
        "radio": ["radio/ap", "radio/user/0", "radio/user/1", "radio/log"],
        "user-0": ["user/0/report", "user/0/answer"],
        "user-1": ["user/1/report", "user/1/answer"],
    }
    readable = {
        "ap": {"radio/ap", *own["user-0"], *own["user-1"]},
        "radio": {"ap/play", "user/0/answer", "user/1/answer"},
        "user-0": {"radio/user/0", "ap/user/0"},
        "user-1": {"radio/user/1", "ap/user/1"},
    }
    everything = sorted({topic for topics in own.values() for topic in topics})
    writers = {topic: name.encode() for name, topics in own.items() for topic in topics}
    expected = {name: {(topic, writers[topic]) for topic in topics} for name, topics in readable.items()}

    async def talk():
        heard = {name: set() for name in own}
        connected = []
        transports = {
            name: MqttTransport(
                connection(keys, name), name.replace("-", "/"), ("#", "+/user/+"), connected.append
            )
            for name in own
        }
        for name, transport in transports.items():
            transport.pass_on_to(lambda *message, heard=heard[name]: heard.add(message))
        async with transports["ap"], transports["radio"], transports["user-0"], transports["user-1"]:
            async with asyncio.timeout(20):
                while len(connected) < len(own):
                    await asyncio.sleep(0.01)
            for name, transport in transports.items():
                for topic in everything:
                    transport.send(topic, name.encode())
            async with asyncio.timeout(20):
                while not all(expected[name] <= heard[name] for name in own):
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)  # for what should not come
        return heard

    with Broker(folder / "mosquitto.conf", port=port):
        heard = asyncio.run(talk())
    for name, messages in heard.items():
        # What it may read arrives from its writer alone; nothing else arrives, whatever it subscribes to.
        assert {message for message in messages if not message[0].endswith("/here")} == expected[name]


@needs_broker
def test_nobody_without_a_certificate_gets_in(keys):
    folder, port = keys
    stranger = Connection(port=port, ca=str(folder / "authority.crt"))
    told, heard = [], []

    async def knock():
        transport = MqttTransport(stranger, "user/0", ("#",), told.append)
        transport.pass_on_to(lambda *message: heard.append(message))
        async with transport, asyncio.timeout(60):
            while not any("certificate required" in line for line in told):
                await asyncio.sleep(0.01)

    with Broker(folder / "mosquitto.conf", port=port):
        asyncio.run(knock())
    assert not heard
    assert not any(line.startswith("connected") for line in told)
