"""The online programs as real processes over a real broker: they keep working, and play what the simulator plays."""

import json
import subprocess
import sys

import pytest

from command_line import refused
from scattermec import Scenario
from scattermec.experiments.evaluate.foresight import play_episodes
from scattermec.experiments.evaluate.policies import price_net_contenders
from scattermec.online import broker
from scattermec.online.broker import find_broker
from scattermec.online.export import export
from scattermec.physics import parameters
from scattermec.price_net import load
from torture import online

needs_broker = pytest.mark.skipif(find_broker() is None, reason="mosquitto is not installed")

TELLING = (online.killed, online.not_a_number, online.replayed, online.broker_killed, online.ap_killed)
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
    outcome = online.run(online.Options(bundle, users=3, faults=faults))
    assert outcome.finished
    assert not outcome.details["Faults of the online system"]
    assert all(row.tried > 0 for row in outcome.rows)


@needs_broker
def test_demonstration_plays_what_the_simulator_plays(bundle):
    frames, seed = 12, 3
    command = f"demo online --bundle {bundle} --frames {frames} --seed {seed} --period 0 --deadline 20 --json"
    run = [sys.executable, "-m", "scattermec", *command.split()]
    found = subprocess.run(run, capture_output=True, text=True, timeout=300, check=False)
    assert found.returncode == 0, found.stderr
    devices = json.loads(found.stdout)["devices"]
    assert set(devices) == {"radio", "ap", "user/0", "user/1", "user/2"}
    assert not any(device["refused"] for device in devices.values())
    # The simulator's policy has its networks in JAX, the online one in ONNX, in single precision both.
    (contender,) = (
        made for made in price_net_contenders(load("price-net"), Scenario()) if made.trained and made.mode == "decentralised"
    )
    constants = parameters(Scenario())
    _, played = play_episodes(constants, contender, frames=frames, episodes=1, seed=seed)
    radio = devices["radio"]
    assert radio["frames"] == frames
    assert radio["outage"] == pytest.approx(played.outage.mean(), abs=1e-12)
    assert radio["ap_energy"] == pytest.approx(played.energy.mean(), rel=1e-5)
    assert 0.9 < radio["share_of_the_optimum"] <= 1


def test_without_a_broker_the_demonstration_says_what_to_install(monkeypatch):
    monkeypatch.setattr(broker, "find_broker", lambda: None)
    (line,) = refused("demo", "online")
    assert "mosquitto is not found; install it with `apt install mosquitto`" in line
