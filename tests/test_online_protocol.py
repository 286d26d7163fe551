"""The messages and the state machines of the online devices, on a clock of the test's own."""

import json
import math
import os

import cbor2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from online_bus import Alternates, Bus, HalfAndHalf, ReportsHalf, Splits, ToyWorld
from scattermec.online import wire
from scattermec.online.protocol import (
    HERE,
    HOLD,
    PARTS,
    AccessPoint,
    ActorDevice,
    ChoosingAccessPoint,
    Deadlines,
    Memory,
    Phase,
    Radio,
    UserDevice,
)
from scattermec.online.wire import (
    Answer,
    Beaming,
    Estimate,
    Log,
    Measurement,
    Observation,
    Offer,
    Outcome,
    Play,
    Proposal,
    Refused,
    Report,
    Sounding,
)

N, M = 3, 2
DEADLINES = Deadlines(1.0)

numbers = st.floats(0, 1e12)
sequence = {"run": st.integers(0, 2**53 - 1), "frame": st.integers(0, 2**53 - 1)}
users = {"user": st.integers(0, 2**16 - 1)}
rows = st.lists(st.lists(st.floats(-1e12, 1e12), max_size=4), max_size=3)
flags = st.lists(st.booleans(), max_size=3)
messages = st.one_of(
    st.builds(Sounding, **sequence, channels=rows),
    st.builds(Observation, **sequence, **users, workload=numbers, battery=numbers, channel_gain=numbers),
    st.builds(Report, **sequence, **users, workload=numbers, battery=numbers),
    st.builds(Offer, **sequence, **users, t_passive=numbers, passive_rate=numbers, harvest=numbers),
    st.builds(Answer, **sequence, **users, **dict.fromkeys(PARTS, numbers)),
    st.builds(
        Proposal,
        **sequence,
        **users,
        channel=st.lists(st.floats(-1e12, 1e12), max_size=8),
        share=numbers,
        entry=st.lists(numbers, max_size=6),
        told=st.lists(numbers, max_size=3),
    ),
    st.builds(
        Estimate,
        **sequence,
        beams=rows,
        t_passive=st.lists(numbers, max_size=3),
        estimate=st.lists(st.lists(numbers, max_size=6), max_size=3),
    ),
    st.builds(Play, **sequence, beams=rows, t_passive=st.lists(numbers, max_size=3)),
    st.builds(Beaming, **sequence, beams=rows, t_passive=st.lists(numbers, max_size=3)),
    st.builds(
        Measurement,
        **sequence,
        **users,
        **{name: numbers for name in Measurement.model_fields if name not in ("run", "frame", "user")},
    ),
    st.builds(Outcome, **sequence, **users, served=st.booleans(), harvested=numbers, spent=numbers),
    st.builds(
        Log,
        **sequence,
        reward=numbers,
        optimum=st.none() | numbers,
        ap_energy=numbers,
        beaming=st.booleans(),
        answered=flags,
        served=flags,
        battery=st.lists(numbers, max_size=3),
        seconds=numbers,
    ),
)
REPORT = Report(run=5, frame=2, user=1, workload=40.0, battery=0.5)


# Messages


@given(messages)
def test_messages_come_through_to_the_digit_in_both_forms_and_within_their_limit(message):
    for form in ("cbor", "json"):
        payload = wire.encode(message, form)
        assert wire.decode(payload, len(payload)) == message
        assert len(payload) <= wire.most_bytes(3, 4)


def test_message_is_the_array_that_the_page_documents():
    # RFC 8949: array(7), 1, 2, 5, 2, 1, then two double-precision numbers.
    expected = bytes.fromhex("87 01 02 05 02 01 fb4044000000000000 fb3fe0000000000000")
    assert wire.encode(REPORT) == expected
    assert json.loads(wire.encode(REPORT, "json")) == {
        "version": 1,
        "kind": "report",
        "run": 5,
        "frame": 2,
        "user": 1,
        "workload": 40.0,
        "battery": 0.5,
    }


things = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
arrays = st.recursive(things, lambda inner: st.lists(inner, max_size=4), max_leaves=8)


@settings(max_examples=50)
@given(st.binary(max_size=64) | arrays.map(cbor2.dumps))
def test_any_bytes_are_a_message_or_refused_with_a_cause(payload):
    try:
        cause = None if isinstance(wire.decode(payload, 64), wire.Message) else "no message"
    except Refused as refused:
        cause = refused.cause
    assert cause in {None, *wire.CAUSES}


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ([1, 2, 5, 2, 1, math.nan, 0.5], "invalid"),
        ([1, 2, 5, 2, 1, math.inf, 0.5], "invalid"),
        ([1, 2, 5, 2, 1, -1.0, 0.5], "invalid"),
        ([1, 2, 5, 2, 1, 1e13, 0.5], "invalid"),
        ([1, 2, 5, 2, 1, "40", 0.5], "invalid"),
        ([1, 2, 5, 2, 1, True, 0.5], "invalid"),
        ([1, 2, 5, -1, 1, 40.0, 0.5], "invalid"),
        ([1, 2, 5, 2, 1, 40.0], "invalid"),
        ([1, 2, 5, 2, 1, 40.0, 0.5, 0.5], "invalid"),
        ([1, 99, 5, 2, 1, 40.0, 0.5], "invalid"),
        ([2, 2, 5, 2, 1, 40.0, 0.5], "version"),
        ([True, 2, 5, 2, 1, 40.0, 0.5], "version"),
        ([], "unreadable"),
        ({"kind": 2}, "unreadable"),
        ([1, 2, 5, 2, 1, "x" * 2000, 0.5], "oversized"),
    ],
)
def test_message_is_refused_for_its_cause(fields, cause):
    user = UserDevice(Splits(), 1, DEADLINES)
    assert user.receive("ap/user/1", cbor2.dumps(fields), 0.0) == []
    assert user.refused == {cause: 1}


# A frame without faults


def new_user(user, choosing):
    return (
        ActorDevice(ReportsHalf(), user, DEADLINES, M) if choosing else UserDevice(Splits(), user, DEADLINES)
    )


def system(world=None, frames=5, policy=None, choosing=False, **network):
    world = world or ToyWorld(N, M)
    radio = Radio(world, N, M, DEADLINES, run=1, frames=frames, wait=1.0)
    kind, usual = (ChoosingAccessPoint, Alternates) if choosing else (AccessPoint, HalfAndHalf)
    ap = kind(policy or usual(), N, M, DEADLINES)
    devices = [new_user(user, choosing) for user in range(N)]
    return world, radio, ap, devices, Bus(radio, ap, *devices, **network)


def test_a_frame_takes_five_messages_one_after_the_other_and_nobody_waits():
    world, radio, ap, devices, bus = system()
    bus.run_until(lambda: radio.done)
    frames = bus.logs()
    assert [log.frame for log in frames] == [0, 1, 2, 3, 4]
    # Observation, Report, Offer, Answer and Play, each after the delay of the network.
    assert [log.seconds for log in frames] == pytest.approx([5 * bus.delay] * 5)
    assert all(all(log.served) and all(log.answered) and log.beaming for log in frames)
    # The AP was given what the world showed, and the world what the policies decided.
    workload, battery, channels = ap.policy.asked[2]
    np.testing.assert_array_equal(workload, [10, 11, 12])
    np.testing.assert_array_equal(battery, 0.1 * np.arange(3))
    np.testing.assert_array_equal(channels, np.full((N, M), 3 + 3j))
    beams, t_passive, answers = world.played[2]
    np.testing.assert_array_equal(beams, np.full((N, M), 3 + 3j) / np.linalg.norm([3 + 3j] * M))
    np.testing.assert_array_equal(t_passive, 0.5)
    np.testing.assert_array_equal(answers[:, 4], 0.5 * 10.5)
    assert not any(device.refused for device in (radio, ap, *devices))


def test_nobody_is_shown_more_than_its_own_part():
    _, radio, _, devices, bus = system(frames=2)
    bus.run_until(lambda: radio.done)
    for device in devices:
        shown = [topic for topic, _ in bus.sent if topic in device.subscriptions]
        assert len(shown) == 3 * 2
    observed = [wire.decode(payload, 10**4) for topic, payload in bus.sent if topic == "radio/user/1"]
    assert {message.user for message in observed} == {1}


# Missed messages


def test_silent_user_is_held_then_counted_as_without_work_and_waited_for_no_more():
    world, radio, ap, _, bus = system(frames=12)
    bus.run_until(lambda: radio.number == (1, 2))
    bus.leave("user/2")
    bus.run_until(lambda: radio.done)
    given = [float(workload[2]) for workload, _, _ in ap.policy.asked]
    assert given == [12.0] * (2 + HOLD) + [0.0] * (10 - HOLD)  # its last report was that of frame 1
    late = [log.seconds > 0.1 for log in bus.logs()]
    assert late == [False] * 2 + [True] * HOLD + [False] * (10 - HOLD)
    assert all(log.served[:2] == [True, True] for log in bus.logs())
    assert all(t_passive[2] == 0.5 for _, t_passive, _ in world.played)  # its slot beams for the others


def test_user_without_an_offer_holds_the_last_and_then_does_what_its_battery_allows():
    user = UserDevice(Splits(), 1, DEADLINES)

    def frame(number):
        seen = Observation(run=1, frame=number, user=1, workload=20.0, battery=1.0, channel_gain=1.0)
        (report,) = user.receive("radio/user/1", wire.encode(seen), float(number))
        assert report == Report(run=1, frame=number, user=1, workload=20.0, battery=1.0)

    frame(0)
    offer = Offer(run=1, frame=0, user=1, t_passive=0.5, passive_rate=10.0, harvest=0.0)
    (answer,) = user.receive("ap/user/1", wire.encode(offer), 0.1)
    assert (answer.l_passive, answer.l_local) == (5.0, 15.0)
    for number in range(1, HOLD + 3):
        frame(number)
        assert user.due == number + DEADLINES.offer
        assert user.tick(number + 0.49) == []
        (answer,) = user.tick(number + 0.5)
        assert answer.l_passive == (5.0 if number <= HOLD else 0.0)
        assert user.tick(number + 0.6) == []
    # A late offer is not answered, but held.
    late = Offer(run=1, frame=HOLD + 2, user=1, t_passive=0.25, passive_rate=10.0, harvest=0.0)
    assert user.receive("ap/user/1", wire.encode(late), number + 0.7) == []
    frame(HOLD + 3)
    assert user.tick(HOLD + 4.0)[0].l_passive == 2.5
    assert user.refused == {"late": 1}


def test_without_the_ap_the_radio_plays_at_its_deadline_with_the_beams_off():
    world, radio, _, _, bus = system(frames=3)
    bus.silent.add("ap")
    bus.run_until(lambda: radio.done)
    assert [beams for beams, _, _ in world.played] == [None] * 3
    assert [log.seconds for log in bus.logs()] == pytest.approx([1.0] * 3)
    assert [log.answered for log in bus.logs()] == [[True] * 3] * 3


def test_ap_waits_for_an_answer_until_its_deadline_and_keeps_the_beam_of_that_slot():
    world, radio, ap, _, bus = system(frames=2)
    bus.run_until(lambda: ap.phase is Phase.ANSWERS)
    bus.leave("user/0")
    bus.run_until(lambda: radio.number == (1, 1))
    (log,) = bus.logs()
    assert log.seconds == pytest.approx(DEADLINES.answers, abs=0.01)
    assert log.answered == [False, True, True] == log.served
    assert world.played[0][1].tolist() == [0.5] * 3
    assert ap.counts["answers missed"] == 1


def test_decision_that_is_not_a_number_is_not_passed_on():
    class Diverged(HalfAndHalf):
        def decide(self, workload, battery, channels):
            beams, promise = super().decide(workload, battery, channels)
            return beams * np.nan, promise

    _, radio, ap, _, bus = system(frames=2, policy=Diverged())
    bus.run_until(lambda: radio.done)
    assert ap.counts["undecided"] == 2
    assert not any(log.beaming for log in bus.logs())


def test_ap_resumes_with_its_memory_and_refuses_what_it_has_seen():
    _, radio, ap, _, bus = system(frames=6)
    bus.run_until(lambda: radio.number == (1, 3))
    memory = Memory.model_validate_json(ap.memory.model_dump_json())
    bus.leave("ap")
    resumed = AccessPoint(HalfAndHalf(), N, M, DEADLINES, memory)
    bus.join(resumed)
    old = [payload for topic, payload in bus.sent if topic == "radio/ap"]
    resumed.receive("radio/ap", old[1], bus.now)
    resumed.receive(
        "user/1/report", wire.encode(Report(run=1, frame=0, user=1, workload=9.0, battery=9.0)), 0.0
    )
    assert resumed.refused["stale"] == 2
    bus.run_until(lambda: radio.done)
    assert all(log.beaming and all(log.served) for log in bus.logs()[4:])


def test_radio_begins_when_all_are_here_or_after_its_wait():
    radio = Radio(ToyWorld(N, M), N, M, DEADLINES, run=1, frames=1, wait=10.0)
    assert radio.tick(5.0) == []
    assert radio.due == 15.0
    names = ("ap", "user/0", "user/1")
    assert all(radio.receive(f"{name}/{HERE}", b"1", 6.0) == [] for name in names)
    assert radio.receive(f"ap/{HERE}", b"", 6.0) == []  # gone again
    assert radio.receive(f"user/2/{HERE}", b"1", 7.0) == []
    assert len(radio.receive(f"ap/{HERE}", b"1", 8.0)) == 1 + N
    waited = Radio(ToyWorld(N, M), N, M, DEADLINES, run=1, frames=1, wait=10.0)
    assert waited.tick(0.0) == []
    assert len(waited.tick(10.0)) == 1 + N


# Algorithm 1


def test_ap_lets_reports_or_its_estimate_be_played_and_a_silent_user_does_nothing():
    world, radio, ap, devices, bus = system(frames=4, choosing=True)
    bus.run_until(lambda: radio.number == (1, 2))
    bus.leave("user/2")
    bus.run_until(lambda: radio.done)
    assert ap.counts["reports played"] == ap.counts["estimates played"] == 2
    work = np.array([10.0, 11.0, 12.0])
    reports = np.array([[0, 0.75, kbit / 100, 0, kbit / 2, kbit / 2] for kbit in work])
    estimate = np.array([[0, 0.5, 0, 0, 0, kbit] for kbit in work])
    for frame, (expected, times) in enumerate(
        # Of the silent user its beam alone, as long as the AP estimates.
        [(reports, [0.75] * 3), (estimate, [0.5] * 3), (reports, [0.75, 0.75, 0.5]), (estimate, [0.5] * 3)]
    ):
        beams, t_passive, answers = world.played[frame]
        there = [True, True, frame < 2]
        np.testing.assert_array_equal(answers, expected * np.array(there)[:, None])
        np.testing.assert_array_equal(t_passive, times)
        assert beams is not None
    assert not any(device.refused for device in (radio, ap, *devices))


def test_user_holds_its_last_proposal_and_does_nothing_with_none_or_one_that_is_for_another_actor():
    user = ActorDevice(ReportsHalf(), 1, DEADLINES, M)
    said = []
    for number in range(HOLD + 4):
        seen = Observation(run=1, frame=number, user=1, workload=20.0, battery=1.0, channel_gain=1.0)
        user.receive("radio/user/1", wire.encode(seen), float(number))
        if number in (1, HOLD + 3):
            entry = [0.1] if number == 1 else [0.1, 0.2]
            told = Proposal(run=1, frame=number, user=1, channel=[1.0] * 4, share=0.5, entry=entry, told=[])
            said.append(user.receive("ap/user/1", wire.encode(told), number + 0.1))
        else:
            said.append(user.tick(number + 0.5))
    assert [[answer.l_local for answer in answers] for answers in said] == [
        [0.0],
        *[[10.0]] * (1 + HOLD),
        [0.0],
        [],
    ]
    assert user.counts["undecided"] == 1
    offer = Offer(run=1, frame=HOLD + 3, user=1, t_passive=0.5, passive_rate=10.0, harvest=0.0)
    assert user.receive("ap/user/1", wire.encode(offer), HOLD + 3.2) == []
    assert user.refused == {"foreign": 1}


# All of it at random


class Online(RuleBasedStateMachine):
    """The system while messages are lost, repeated and forged, and devices die and come back.

    User 2 is in the hands of an attacker, who also writes garbage and other people's messages to its topics,
    and repeats anything on any of them. Users 0 and 1 and their slots have to be as if it were not there.
    """

    @initialize(choosing=st.booleans())
    def start(self, choosing):
        self.choosing = choosing
        self.world, self.radio, self.ap, self.users, self.bus = system(frames=10**6, choosing=choosing)
        self.genuine = {}

    def advance(self, steps):
        for _ in range(steps):
            begun = len(self.bus.sent)
            self.bus.step()
            for topic, payload in self.bus.sent[begun:]:
                if topic.endswith("answer"):
                    answer = wire.decode(payload, 10**4)
                    self.genuine.setdefault((answer.user, answer.frame), answer)

    @rule(steps=st.integers(1, 25))
    def go_on(self, steps):
        self.advance(steps)

    @rule(times=st.integers(1, 3))
    def lose(self, times):
        for _ in range(min(times, len(self.bus.queue))):
            self.bus.queue.pop(0)
        self.bus.queue.sort()

    @precondition(lambda self: self.bus.sent)
    @rule(data=st.data())
    def replay(self, data):
        # What is old or repeated; first copies would make the attacker somebody else's mailman.
        index = data.draw(st.integers(0, len(self.bus.sent) - 1))
        self.bus.publish(*self.bus.sent[index])

    @rule(payload=st.binary(max_size=40), kind=st.sampled_from(["report", "answer"]))
    def write_garbage(self, payload, kind):
        self.bus.publish(f"user/2/{kind}", payload)

    @rule(payload=messages.map(wire.encode), kind=st.sampled_from(["report", "answer"]))
    def write_anything(self, payload, kind):
        self.bus.publish(f"user/2/{kind}", payload)

    @rule(user=st.integers(0, 2), workload=st.floats(0, 100), kind=st.sampled_from(["report", "answer"]))
    def pose(self, user, workload, kind):
        run, frame = self.radio.number
        if kind == "report":
            forged = Report(run=run, frame=max(frame, 0), user=user, workload=workload, battery=0.0)
        else:
            parts = dict.fromkeys(PARTS, workload)
            forged = Answer(run=run, frame=max(frame, 0), user=user, **parts)
        self.bus.publish(f"user/2/{kind}", wire.encode(forged))

    @rule(user=st.integers(0, 2))
    def restart_user(self, user):
        self.bus.devices.pop(f"user/{user}", None)
        self.users[user] = new_user(user, self.choosing)
        self.bus.join(self.users[user])

    @rule(user=st.integers(0, 2))
    def kill_user(self, user):
        if f"user/{user}" in self.bus.devices:
            self.bus.leave(f"user/{user}")

    @rule(remembers=st.booleans())
    def restart_ap(self, remembers):
        self.bus.devices.pop("ap", None)
        memory = Memory.model_validate_json(self.ap.memory.model_dump_json()) if remembers else None
        self.ap = type(self.ap)(self.ap.policy, N, M, DEADLINES, memory)
        self.bus.join(self.ap)

    @rule(seconds=st.floats(0, 3))
    def stall(self, seconds):
        self.bus.now += seconds

    @invariant()
    def frames_are_played_once_and_in_time(self):
        assert self.radio.counts["frames"] == len(self.world.played)
        assert len(self.world.played) in (self.radio.number[1], self.radio.number[1] + 1)
        assert self.radio.due < math.inf

    @invariant()
    def users_0_and_1_are_played_as_they_answered_or_as_the_ap_estimates_or_not_at_all(self):
        for frame, (_, _, answers) in enumerate(self.world.played[-3:], max(0, len(self.world.played) - 3)):
            for user in (0, 1):
                genuine = self.genuine.get((user, frame))
                expected = [[getattr(genuine, name) for name in PARTS]] if genuine else []
                if genuine and self.choosing and frame % 2:
                    expected += [[0, 0.5, 0, 0, 0, work] for work in (0.0, 10.0 + user)]
                assert not answers[user].any() or answers[user].tolist() in expected

    @invariant()
    def ap_decides_on_what_users_0_and_1_said(self):
        for workload, battery, channels in self.ap.policy.asked[-3:]:
            assert np.isfinite([*workload, *battery, *channels.view(float).ravel()]).all()
            for user in (0, 1):
                assert (workload[user], battery[user]) in ((0.0, 0.0), (10.0 + user, 0.1 * user))

    def teardown(self):
        if not hasattr(self, "bus"):
            return
        # Everybody comes back and the faults end: in the third frame all is well.
        for user in range(N):
            if f"user/{user}" not in self.bus.devices:
                self.restart_user(user)
        self.bus.run_until(lambda: self.radio.phase is Phase.PLAYED)
        played = len(self.world.played)
        self.bus.run_until(lambda: len(self.world.played) > played + 2, steps=10_000)
        beams, _, answers = self.world.played[played + 2]
        assert beams is not None
        assert (answers[:, 3:].sum(axis=1) >= [10, 11, 0]).all()


TestOnline = Online.TestCase
TestOnline.settings = settings(
    max_examples=int(os.environ.get("ONLINE_RUNS", "25")), stateful_step_count=40, deadline=None
)
