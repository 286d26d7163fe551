"""What is played online is what the simulator plays, to the last bit, when no message is lost."""

import jax.numpy as jnp
import numpy as np

from online_bus import Bus, HalfAndHalf, Splits
from scattermec import Scenario
from scattermec.environment import Decision, as_seen
from scattermec.experiments.evaluate.foresight import play_episodes
from scattermec.experiments.evaluate.policies import Contender
from scattermec.experiments.measure.world import SimulatedWorld
from scattermec.online.protocol import PARTS, AccessPoint, Deadlines, Radio, UserDevice
from scattermec.physics import Allocation, links, parameters_of

SCENARIO = Scenario(
    user_positions=[[3, 3], [2, -2]],
    num_antennas=2,
    mean_workload=[20.0, 60.0],
    csi_error=0.1,
    workload_error=0.1,
)
FRAMES, SEED = 12, 7


def online(world, policy, users, **network):
    deadlines = Deadlines(1.0)
    radio = Radio(world, SCENARIO.num_users, SCENARIO.num_antennas, deadlines, run=1, frames=FRAMES, wait=1.0)
    ap = AccessPoint(policy, SCENARIO.num_users, SCENARIO.num_antennas, deadlines)
    devices = [UserDevice(user, index, deadlines) for index, user in enumerate(users)]
    bus = Bus(radio, ap, *devices, **network)
    bus.run_until(lambda: radio.done)
    return bus.logs()


def simulated(policy, users):
    """The same policy in the simulator, which knows nothing of messages."""

    def decide(key, states):
        frame = as_seen(states).frame
        workload, battery, channels = (
            np.asarray(part)[0] for part in (frame.workload, frame.battery, frame.channels)
        )
        gain = np.asarray(links.channel_gain(jnp.asarray(channels)))
        beams, told = policy.decide(workload, battery, channels)
        answers = [
            user.respond(told.to_user(index), *map(float, (workload[index], battery[index], gain[index])))
            for index, user in enumerate(users)
        ]
        parts = {name: jnp.array([[getattr(answer, name) for answer in answers]]) for name in PARTS}
        return Decision(beams=jnp.asarray(beams)[None], allocation=Allocation(**parts))

    return play_episodes(
        parameters_of(SCENARIO), Contender("told", decide), frames=FRAMES, episodes=1, seed=SEED
    )[1]


def test_online_frames_are_those_of_the_simulator_to_the_last_bit():
    policy, users = HalfAndHalf(), [Splits(), Splits()]
    logs = online(SimulatedWorld(SCENARIO, SEED, compare=False), policy, users)
    played = simulated(policy, users)
    served = [log.served for log in logs]
    np.testing.assert_array_equal([log.ap_energy for log in logs], played.energy[0])
    np.testing.assert_array_equal(np.logical_not(served), played.outage[0])
    assert 0 < np.mean(served) < 1


def test_silent_ap_costs_its_idle_power_alone_and_users_can_only_compute():
    world = SimulatedWorld(SCENARIO, SEED, compare=False)
    seen = world.observe()
    computes = {"t_local": 1.0, "l_local": 1e-3}
    sends = {"t_active": 1.0, "l_active": seen.workload[1] + 100}
    answers = np.array([[given.get(name, 0.0) for name in PARTS] for given in (computes, sends)])
    played = world.play(None, np.zeros(2), answers)
    assert played.ap_energy == 2 * SCENARIO.idle_power
    assert played.served == [False, False]
    assert played.harvested == [0, 0]
    np.testing.assert_allclose(played.spent, [SCENARIO.local_energy * 1e-3, 0])


def test_user_that_expected_a_shorter_beam_sends_in_the_rest_of_its_slot():
    world = SimulatedWorld(SCENARIO, SEED, compare=False)
    seen = world.observe()
    beams = seen.channels / np.linalg.norm(seen.channels, axis=1, keepdims=True)
    answer = [0.9, 0.1, 0.0, 1e-6, 0.0, 0.0]
    # Of its slot of 1 s the AP's beam takes 0.75, so a quarter is left for sending: 0.04 W of reception for
    # 0.25 s in each slot, 1.01 W for 0.75 s.
    played = world.play(beams, np.array([0.75, 0.75]), np.array([answer, answer]))
    s = SCENARIO
    expected = 2 * (
        0.75 * (s.ap_power + s.passive_receive_power) + 0.25 * s.active_receive_power + s.idle_power
    )
    assert abs(played.ap_energy - expected) < 1e-8


def test_independent_frames_begin_with_a_new_battery_and_no_backlog():
    world = SimulatedWorld(SCENARIO, SEED, compare=False, independent=True)
    low, high = SCENARIO.initial_battery
    seen = [world.observe()]
    for _ in range(3):
        world.play(None, np.zeros(2), np.zeros((2, len(PARTS))))  # nothing is done, so all work would be left
        seen.append(world.observe())
    assert all(((low <= sight.battery) & (sight.battery <= high)).all() for sight in seen)
    assert len({sight.battery[0] for sight in seen}) == len(seen)
    assert all(sight.workload[0] < 45 for sight in seen)  # 20 kbit on average, and no backlog
