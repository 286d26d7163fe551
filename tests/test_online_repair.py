"""Online users that repair: what is played is what the simulator plays, and what is missed is replaced."""

from functools import partial

import jax
import numpy as np
import pytest

from online_bus import Bus, HalfAndHalf, Splits, ToyWorld
from scattermec import Scenario
from scattermec.experiments.evaluate.foresight import play_episodes
from scattermec.experiments.evaluate.policies import Contender
from scattermec.experiments.measure.world import SimulatedWorld
from scattermec.online import export
from scattermec.online.bundle import REPAIRED, load_ap, load_user, manifest_of, user_folder
from scattermec.online.protocol import Deadlines, Phase, Radio, RepairingAccessPoint, RepairingUser
from scattermec.physics import parameters_of
from scattermec.price_net import load
from scattermec.price_net.modes import decide_frames

DEADLINES = Deadlines(1.0)
FRAMES = 12
N, M = 3, 2


class Notes(Splits):
    """Notes what it has measured and what it was promised, and answers as always."""

    def __init__(self):
        self.told = []

    def repair(self, measured, promise, workload, battery, channel_gain):
        self.told.append((measured, promise, workload, battery, channel_gain))
        return self.respond(measured, workload, battery, channel_gain)


def system(frames=4, **network):
    radio = Radio(ToyWorld(N, M), N, M, DEADLINES, run=1, frames=frames, wait=1.0)
    ap = RepairingAccessPoint(HalfAndHalf(), N, M, DEADLINES)
    users = [RepairingUser(Notes(), index, DEADLINES) for index in range(N)]
    return Bus(radio, ap, *users, **network), radio, ap, users


def test_online_frames_are_those_of_the_simulator(tmp_path):
    scenario = Scenario(csi_error=0.1, workload_error=0.1)
    policy = load("price-net-robust")
    export.export(policy, scenario, tmp_path / "bundle", name="price-net-robust")
    for part in (tmp_path / "bundle", user_folder(tmp_path / "bundle", 1)):
        assert manifest_of(part)["mode"] == REPAIRED
    radio = Radio(SimulatedWorld(scenario, 7, compare=False), 3, 3, DEADLINES, run=1, frames=FRAMES, wait=1.0)
    ap = RepairingAccessPoint(load_ap(tmp_path / "bundle"), 3, 3, DEADLINES)
    users = [
        RepairingUser(load_user(user_folder(tmp_path / "bundle", index)), index, DEADLINES)
        for index in range(3)
    ]
    bus = Bus(radio, ap, *users)
    bus.run_until(lambda: radio.done)
    logs = bus.logs()
    decide = partial(decide_frames, REPAIRED, policy.network, parameters_of(scenario))
    played = play_episodes(
        parameters_of(scenario), Contender("repaired", decide), frames=FRAMES, episodes=1, seed=7
    )[1]
    np.testing.assert_allclose([log.ap_energy for log in logs], played.energy[0], rtol=1e-5)
    np.testing.assert_array_equal(np.logical_not([log.served for log in logs]), played.outage[0])
    assert np.mean([log.served for log in logs]) > 0


def test_users_decide_on_what_they_measure_and_frames_wait_for_no_deadline():
    bus, radio, ap, users = system()
    bus.run_until(lambda: radio.done)
    assert bus.now < 0.2
    for index, user in enumerate(users):
        measured, promise, workload, battery, gain = user.policy.told[-1]
        assert measured == (0.5, 10.5, index / 100)
        assert (promise, workload, battery, gain) == (0.5 / 1000, 10 + index, 0.1 * index, 1 + index)
    assert all(all(log.served) for log in bus.logs())
    assert not ap.refused
    assert not radio.refused


def test_user_without_an_offer_counts_on_no_promise():
    bus, radio, _, users = system(frames=1)
    lost = users[1]
    lost._take_offer = lambda offer: []
    bus.run_until(lambda: radio.done)
    assert [user.policy.told[0][1] for user in users] == [0.0005, 0.0, 0.0005]
    assert lost.counts["offer missed"] == 1


def test_without_the_ap_users_act_alone_and_the_radio_plays_at_its_deadline():
    bus, radio, _, users = system(frames=1)
    bus.silent.add("ap")
    bus.run_until(lambda: radio.done)
    assert all(user.counts["measurement missed, alone"] == 1 for user in users)
    assert radio.counts["frames without the AP"] == 1
    assert not any(bus.logs()[0].served)


def test_silent_user_costs_its_own_work_alone_and_a_gone_one_is_not_waited_for():
    bus, radio, *_ = system(frames=3)
    bus.silent.add("user/2")
    bus.run_until(lambda: radio.counts["frames"] == 1)
    assert bus.now > 1
    bus.silent.clear()
    bus.leave("user/2")
    began = bus.now
    bus.run_until(lambda: radio.done)
    assert bus.now - began < 0.6  # the AP alone waits for its report
    assert [log.served for log in bus.logs()] == [[True, True, False]] * 3


@pytest.mark.parametrize("kind", ["measurement", "beaming"])
def test_second_message_of_a_frame_is_refused(kind):
    bus, radio, _, users = system(frames=2)
    sent = set()

    def again():
        topic = "radio/user/0" if kind == "measurement" else "ap/play"
        for one, payload in list(bus.sent):
            if one == topic and payload not in sent:
                sent.add(payload)
                bus.publish(one, payload)
        return radio.done

    bus.run_until(again)
    device = users[0] if kind == "measurement" else radio
    assert device.refused
    assert not set(device.refused) - {"replayed", "stale", "late"}
    assert all(all(log.served) for log in bus.logs())
    assert users[0].phase is Phase.ANSWERED
    assert jax.config.read("jax_enable_x64")
