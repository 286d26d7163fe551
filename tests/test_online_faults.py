"""The online programs as real processes over a real broker: they keep working, and lose no digit."""

import json
import subprocess
import sys

import pytest
from torture import online

from command_line import refused
from online_bus import Bus
from scattermec import Scenario
from scattermec.cli.jobs.radio import Tally
from scattermec.experiments.measure.world import SimulatedWorld
from scattermec.online import broker
from scattermec.online.broker import find_broker
from scattermec.online.bundle import load_ap, load_user, user_folder
from scattermec.online.export import export
from scattermec.online.protocol import AccessPoint, Deadlines, Radio, UserDevice
from scattermec.price_net import load

needs_broker = pytest.mark.skipif(find_broker() is None, reason="mosquitto is not installed")

TELLING = (online.killed, online.not_a_number, online.broker_killed, online.ap_killed)
"""The faults that are tried here; `python -m torture --only online` tries all."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "bundle"
    export(load("price-net"), Scenario(), folder, name="price-net")
    return folder


@needs_broker
def test_faults_disturb_nobody_else_and_what_returns_is_taken_back_within_two_frames(bundle):
    faults = tuple(fault for fault in online.FAULTS if fault.inject in TELLING)
    assert len(faults) == len(TELLING)
    outcome = online.run(online.Options(bundle, users=3, faults=faults, deadline=2.5))
    assert outcome.finished
    assert not outcome.details["Faults of the online system"]
    assert all(row.tried > 0 for row in outcome.rows)


@needs_broker
def test_demonstration_plays_to_the_last_bit_what_is_played_without_a_broker(bundle):
    """test_online_world.py compares the latter with the simulator."""
    frames, seed, scenario, deadlines = 12, 3, Scenario(), Deadlines(1.0)
    command = (
        f"demo online --bundle {bundle} --frames {frames} --seed {seed} --period 0 --deadline 20 --no-compare"
    )
    run = [sys.executable, "-m", "scattermec", *command.split(), "--json"]
    found = subprocess.run(run, capture_output=True, text=True, timeout=300, check=False)
    assert found.returncode == 0, found.stderr
    devices = json.loads(found.stdout)["devices"]
    assert set(devices) == {"radio", "ap", "user/0", "user/1", "user/2"}
    assert not any(device["refused"] for device in devices.values())

    world = SimulatedWorld(scenario, seed, compare=False)
    radio = Radio(world, 3, 3, deadlines, run=1, frames=frames, wait=1.0)
    users = [UserDevice(load_user(user_folder(bundle, user)), user, deadlines) for user in range(3)]
    bus = Bus(radio, AccessPoint(load_ap(bundle), 3, 3, deadlines), *users)
    bus.run_until(lambda: radio.done)
    expected = Tally(bus.logs()).summary(1.0)
    for quantity in ("frames", "reward", "outage", "ap_energy"):
        assert devices["radio"][quantity] == expected[quantity]


def test_without_a_broker_the_demonstration_says_what_to_install(monkeypatch):
    monkeypatch.setattr(broker, "find_broker", lambda: None)
    (line,) = refused("demo", "online")
    assert "mosquitto is not found; install it with `apt install mosquitto`" in line
