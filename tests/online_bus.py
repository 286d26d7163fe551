"""The online devices in one process, on a clock of their own, with policies that need nothing installed."""

import heapq
import itertools
import math
from random import Random

import numpy as np

from scattermec.errors import InputError
from scattermec.online import wire
from scattermec.online.access_point import Messages
from scattermec.online.actor import Allocation
from scattermec.online.protocol import HERE, Known, Played, Proposed, Sight
from scattermec.online.user import Answer


def matches(pattern, topic):
    levels, given = pattern.split("/"), topic.split("/")
    return len(levels) == len(given) and all(a in ("+", b) for a, b in zip(levels, given, strict=True))


class Bus:
    """Delivers what devices send, each message after ``delay`` s, and loses some."""

    def __init__(self, *devices, delay=0.001, lose=0.0, seed=0):
        self.now, self.delay, self.lose, self.random = 0.0, delay, lose, Random(seed)
        self.devices, self.queue, self.order = {}, [], itertools.count()
        self.sent = []
        """(topic, payload) of everything"""
        self.silent = set()
        """names of senders whose messages are lost"""
        for device in devices:
            self.join(device)

    def join(self, device):
        self.devices[device.name] = device
        self.publish(f"{device.name}/{HERE}", b"1", device.name)

    def leave(self, name):
        del self.devices[name]
        self.publish(f"{name}/{HERE}", b"", name)

    def publish(self, topic, payload, sender=""):
        self.sent.append((topic, payload))
        if sender not in self.silent and (topic.endswith(HERE) or self.random.random() >= self.lose):
            heapq.heappush(self.queue, (self.now + self.delay, next(self.order), topic, payload))

    def step(self):
        """The next event. Returns whether there was one."""
        due = min(self.devices.values(), key=lambda device: device.due, default=None)
        arrives = self.queue[0][0] if self.queue else math.inf
        if due is None or (arrives == math.inf and due.due == math.inf):
            return False
        if due.due < arrives:
            self.now = max(self.now, due.due)
            self._send(due, due.tick(self.now))
            return True
        self.now, _, topic, payload = heapq.heappop(self.queue)
        for device in list(self.devices.values()):
            if any(matches(pattern, topic) for pattern in device.subscriptions):
                self._send(device, device.receive(topic, payload, self.now))
        return True

    def run_until(self, condition, steps=100_000):
        for _ in range(steps):
            if condition():
                return
            assert self.step(), "nothing happens any more"
        raise AssertionError("too long")

    def _send(self, device, messages):
        for message in messages:
            self.publish(wire.topic_of(message), wire.encode(message), device.name)

    def logs(self):
        return [wire.decode(payload, 2**20) for topic, payload in self.sent if topic == "radio/log"]


class HalfAndHalf:
    """Beams along each user's own channel for half of each slot, of which a user is told."""

    def __init__(self, slot=1.0):
        self.slot = slot
        self.asked = []

    def decide(self, workload, battery, channels):
        self.asked.append((workload.copy(), battery.copy(), channels.copy()))
        norms = np.linalg.norm(channels, axis=1, keepdims=True)
        times = np.full(len(workload), self.slot / 2)
        return channels / np.where(norms > 0, norms, 1), Messages(times, 10 + times, times / 1000)


class Alternates(HalfAndHalf):
    """Algorithm 1 with beams as above, for half of each slot; it prefers the reports in every other frame."""

    def propose(self, frame, workload, battery, channels):
        self.frame = frame
        beams, told = self.decide(workload, battery, channels)
        estimate = np.zeros((len(workload), 6))
        estimate[:, 1], estimate[:, 5] = told.t_passive, workload
        shares = np.ones(len(workload))
        return Proposed(beams, estimate, shares, estimate[:, 5:] / 1000, estimate[:, :0])

    def prefers(self, reports):
        assert np.isfinite(reports).all()
        return self.frame % 2 == 0


class ReportsHalf:
    """Reports that it reflects half of its work and computes the rest, with its beam on for 3/4 of a slot."""

    def report(self, workload, battery, channel, share, entry, told):
        if len(entry) != 1:
            raise InputError(["entry: is not for this actor"])
        return Allocation(0.0, 0.75, workload / 100, 0.0, workload / 2, workload / 2)


class Splits:
    """Reflects what it can, and computes the rest."""

    def respond(self, message, workload, battery, channel_gain):
        passive = min(workload, message.t_passive * message.passive_rate)
        local = workload - passive
        return Answer(0.0, message.t_passive, local / 50, 0.0, passive, local, 0.0)


class ToyWorld:
    """Everyone has work of 10 + its index, and is served if its answer and the AP's beam are there."""

    def __init__(self, users, antennas):
        self.users, self.antennas, self.played = users, antennas, []

    def observe(self):
        users = np.arange(self.users, dtype=float)
        channels = np.ones((self.users, self.antennas)) * (1 + 1j) * (1 + len(self.played))
        return Sight(channels, 10 + users, 0.1 * users, 1 + users)

    def measure(self, beams, t_passive):
        users = np.arange(self.users, dtype=float)
        return Known(10 + users, 1 + users, t_passive, 10 + t_passive, users / 100)

    def play(self, beams, t_passive, answers):
        self.played.append((beams, t_passive, answers))
        work = answers[:, 3:].sum(axis=1)
        served = [bool(done >= 10 + user) and beams is not None for user, done in enumerate(work)]
        nothing = [0.0] * self.users
        return Played(float(sum(served)), None, 1.0, served, nothing, nothing, nothing)
