"""What each device does in a frame: the state machines of a user, the access point (AP) and the radio.

A frame, and what each waits for, with the deadline as a share of the frame's (`Deadlines`):

    radio  sends Sounding and Observations ...................... waits for Play (1)
    user   idle -> Observation, sends Report -> reported ......... waits for Offer (1/2)
           reported -> Offer or deadline, sends Answer -> answered
    AP     Sounding -> collecting reports ........................ waits for Reports (1/4)
           -> all are there or deadline, decides, sends Offers -> collecting answers (3/4)
           -> all are there or deadline, sends Play -> played
    radio  plays the slots, sends Outcomes, begins the next frame

What is missed is replaced by the last valid message of its kind, if that is at most `HOLD` frames old.
Otherwise a user without an offer does what its own battery allows, and the AP counts a user without a report
as one without work, in whose slot it may still beam for the others. Nobody waits for a user that has been
silent for longer.

With Algorithm 1 (`ActorDevice`, `ChoosingAccessPoint`) Proposals are in place of Offers, answers are the
users' reports of line 14, and the AP lets the radio play either these or its estimate.

If users repair (`RepairingUser`, `RepairingAccessPoint`), they decide when their slots come:

    AP     decides, sends Offers with promises, and Beaming
    radio  Beaming -> sends each user a Measurement .............. waits for Answers (1)
    user   reported -> Measurement, sends Answer -> answered
    radio  all are there or deadline, plays the slots

There is no input, output, thread or clock here: a device is given what arrives and the time in s on its own
clock, and returns what it sends. Nothing depends on the time of day, and messages carry none.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from pydantic import BaseModel, ValidationError

from scattermec.errors import InputError
from scattermec.online import wire
from scattermec.online.access_point import Messages
from scattermec.online.actor import Allocation
from scattermec.online.user import Answer as Response
from scattermec.online.user import Message as Promise
from scattermec.online.wire import (
    Answer,
    Beaming,
    Estimate,
    Log,
    Measurement,
    Message,
    Observation,
    Offer,
    Outcome,
    Play,
    Proposal,
    Refused,
    Report,
    Sounding,
)

__all__ = [
    "HERE",
    "HOLD",
    "PARTS",
    "AccessPoint",
    "ActorDevice",
    "ChoosingAccessPoint",
    "Deadlines",
    "Device",
    "Memory",
    "Phase",
    "Proposed",
    "Radio",
    "RepairingAccessPoint",
    "RepairingUser",
    "UserDevice",
]

HOLD = 3
"""Frames for which the last report of a user, and the last offer to it, stand in for missing ones."""

HERE = "here"
"""Last level of the retained topic that says whether a device is connected: empty if it is not."""

NOTHING = Promise(t_passive=0.0, passive_rate=0.0, harvest=0.0)
"""What a user expects of its slot if it knows nothing: it has its own battery alone."""

PARTS = tuple(name for name in Answer.model_fields if name[1] == "_")
"""The six numbers of an answer, in order."""


class Phase(StrEnum):
    """Where a device is in its frame; each has some of these."""

    IDLE = "idle"
    GATHERING = "gathering"
    REPORTED = "reported"
    ANSWERED = "answered"
    REPORTS = "collecting reports"
    ANSWERS = "collecting answers"
    PLAYING = "playing"
    PLAYED = "played"


@dataclass(frozen=True)
class Deadlines:
    """Deadlines of the phases in s, each after the start of the frame as its device sees it."""

    frame: float = 1.0
    """the whole"""

    @property
    def reports(self) -> float:
        """At the AP, for the users' reports."""
        return 0.25 * self.frame

    @property
    def offer(self) -> float:
        """At a user, for its offer."""
        return 0.5 * self.frame

    @property
    def answers(self) -> float:
        """At the AP, for the users' answers."""
        return 0.75 * self.frame


@runtime_checkable
class UserPolicy(Protocol):
    """A user's part of a policy."""

    def respond(self, message: Promise, workload: float, battery: float, channel_gain: float) -> Response:
        """The user's allocation."""
        ...


@runtime_checkable
class ApPolicy(Protocol):
    """The AP's part of a policy."""

    def decide(
        self, workload: np.ndarray, battery: np.ndarray, channels: np.ndarray
    ) -> tuple[np.ndarray, Messages]:
        """Unit beams (N, M) and messages to the users, for workload, battery (N,) and channels (N, M)."""
        ...


@runtime_checkable
class ActorPolicy(Protocol):
    """A user's part of Algorithm 1."""

    def report(
        self,
        workload: float,
        battery: float,
        channel: np.ndarray,
        share: float,
        entry: list[float],
        told: list[float],
    ) -> Allocation:
        """The user's allocation, line 14; raises InputError for a proposal that is not for its actor."""
        ...


class Proposed(NamedTuple):
    """The AP's decision in Algorithm 1, lines 3 to 5, and what it tells each user."""

    beams: np.ndarray
    """(N, M)"""
    estimate: np.ndarray
    """(N, 6) times in s and work in kbit, in the order of `PARTS`"""
    shares: np.ndarray
    """(N,) gain of each user's beam as a share of the largest possible"""
    entries: np.ndarray
    """(N, K) the estimate as numbers in [0, 1]"""
    told: np.ndarray
    """(N, 3) the numbers of an Offer that users correct, or (N, 0)"""


@runtime_checkable
class ChoosingPolicy(Protocol):
    """The AP's part of Algorithm 1."""

    def propose(
        self, frame: int, workload: np.ndarray, battery: np.ndarray, channels: np.ndarray
    ) -> Proposed:
        """Lines 3 to 5, for the number of the frame, and workload, battery (N,) and channels (N, M)."""
        ...

    def prefers(self, reports: np.ndarray) -> bool:
        """Lines 15 and 16: whether reports (N, 6) promise more than the estimate of the last proposal."""
        ...


@runtime_checkable
class RepairPolicy(Protocol):
    """The part of a user that repairs."""

    def repair(
        self, measured: Promise, promise: float, workload: float, battery: float, channel_gain: float
    ) -> Response:
        """The user's allocation, by what it has measured and what the AP has promised for later."""
        ...


class Sight(NamedTuple):
    """A frame as the devices see it."""

    channels: np.ndarray
    """(N, M)"""
    workload: np.ndarray
    """(N,) kbit"""
    battery: np.ndarray
    """(N,) mJ"""
    channel_gain: np.ndarray
    """(N,)"""


class Known(NamedTuple):
    """What each user knows when its own slot comes, (N,) each; the fields of a `Measurement`."""

    workload: np.ndarray
    channel_gain: np.ndarray
    t_passive: np.ndarray
    passive_rate: np.ndarray
    harvest: np.ndarray


class Played(NamedTuple):
    """The outcome of a frame; units as in `scattermec.online.wire.Log`."""

    reward: float
    optimum: float | None
    ap_energy: float
    served: Sequence[bool]
    harvested: Sequence[float]
    spent: Sequence[float]
    battery: Sequence[float]


@runtime_checkable
class World(Protocol):
    """The physical world, in the middle of a frame."""

    def observe(self) -> Sight:
        """The frame as the devices see it."""
        ...

    def measure(self, beams: np.ndarray, t_passive: np.ndarray) -> Known:
        """What users know in their slots if these beams are on for these times."""
        ...

    def play(self, beams: np.ndarray | None, t_passive: np.ndarray, answers: np.ndarray) -> Played:
        """Play the frame, and begin the next one.

        Args:
            beams: (N, M); None if the AP is silent, so that nothing is sent or received.
            t_passive: (N,) s for which each beam is on.
            answers: (N, 6) times in s and work in kbit, in the order of `scattermec.online.wire.Answer`;
                zeros for a silent user.
        """
        ...


class Device:
    """What the devices have in common: messages are checked and, if not accepted, counted by cause."""

    subscriptions: tuple[str, ...]
    """topics, as in MQTT"""
    name: str
    """of the device, with which its own topics begin"""
    phase = Phase.IDLE
    due = math.inf
    """time at which `tick` is to be called, at the latest"""
    done = False
    """whether there is nothing left to do"""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.number = (-1, -1)
        """run and number of the current frame"""
        self.refused: Counter[str] = Counter()
        """messages that were not accepted, by cause"""
        self.counts: Counter[str] = Counter()
        """what has happened"""

    def receive(self, topic: str, payload: bytes, now: float) -> list[Message]:
        """Take a message, if it is valid. Returns the messages to be sent."""
        try:
            message = wire.decode(payload, self.most_bytes)
            if wire.topic_of(message) != topic:
                raise Refused("foreign")
            return self.accept(message, now)
        except Refused as refused:
            self.refused[refused.cause] += 1
            return []

    def accept(self, message: Message, now: float) -> list[Message]:
        """Take a valid message; raises Refused if it is not one for this device, or not now."""
        raise NotImplementedError

    def tick(self, now: float) -> list[Message]:
        """Do what is due at this time, if anything. Returns the messages to be sent."""
        raise NotImplementedError

    def arranged(self, messages: list[Message]) -> list[Message]:
        """Messages to be sent at the same time, in the order in which they are sent."""
        return messages

    def check_next(self, message: Message) -> None:
        """Raise Refused unless ``message`` begins a frame after the current one."""
        if message.number <= self.number:
            raise Refused("replayed" if message.number == self.number else "stale")

    def check_current(self, message: Message) -> None:
        """Raise Refused unless ``message`` belongs to the current frame."""
        if message.number != self.number:
            raise Refused("stale" if message.number < self.number else "ahead")


class UserDevice(Device):
    """A user: reports what it observes, and answers the AP's offer."""

    offers: type[Offer | Proposal] = Offer
    """what it takes from the AP"""

    def __init__(self, policy: Any, index: int, deadlines: Deadlines, antennas: int = 0) -> None:
        """Args:
        policy: a `UserPolicy`, or what a subclass takes.
        index: of the user, from 0.
        deadlines: of the frame.
        antennas: M, if the AP's messages have the channel.
        """
        super().__init__(wire.most_bytes(antennas=antennas))
        self.policy, self.index, self.deadlines = policy, index, deadlines
        self.name = f"user/{index}"
        self.subscriptions = (f"radio/user/{index}", f"ap/user/{index}")
        self.observed: Observation | None = None
        self.offer: Any = None
        """the last valid one of ``offers``"""
        self.settled = self.number
        """frame of the last outcome"""

    def accept(self, message: Message, now: float) -> list[Message]:
        """An observation, an offer or an outcome for this user."""
        if getattr(message, "user", None) != self.index:
            raise Refused("foreign")
        if isinstance(message, Observation):
            self.check_next(message)
            self.number, self.observed = message.number, message
            self.phase, self.due = Phase.REPORTED, now + self.deadlines.offer
            return [self._report(message)]
        self.check_current(message)
        if isinstance(message, self.offers):
            return self._take_offer(message)
        if isinstance(message, Outcome):
            if self.settled == self.number:
                raise Refused("replayed")
            self.settled = self.number
            self.counts["served" if message.served else "in outage"] += 1
            return []
        raise Refused("foreign")

    def tick(self, now: float) -> list[Message]:
        """Answer without an offer, once that is overdue."""
        if self.phase is not Phase.REPORTED or now < self.due:
            return []
        held = self.offer
        if held is not None and held.run == self.number[0] and held.frame >= self.number[1] - HOLD:
            self.counts["offer missed, the last one held"] += 1
            return self._answer(held)
        self.counts["offer missed, alone"] += 1
        return self._answer(None)

    def _report(self, seen: Observation) -> Report:
        return Report(
            run=seen.run, frame=seen.frame, user=self.index, workload=seen.workload, battery=seen.battery
        )

    def _keep_offer(self, offer: Offer | Proposal) -> None:
        if self.offer is not None and self.offer.number == offer.number:
            raise Refused("replayed")
        self.offer = offer

    def _take_offer(self, offer: Offer | Proposal) -> list[Message]:
        self._keep_offer(offer)
        if self.phase is not Phase.REPORTED:
            raise Refused("late")  # but the last valid one from now on
        return self._answer(offer)

    def _answer(self, offer: Any) -> list[Message]:
        self.phase, self.due = Phase.ANSWERED, math.inf
        self.counts["frames"] += 1
        seen = self.observed
        assert seen is not None  # the phase before
        try:
            found = self._respond(offer, seen)
            parts = {name: getattr(found, name) for name in PARTS}
            return [Answer(run=seen.run, frame=seen.frame, user=self.index, **parts)]
        except (InputError, ValidationError):  # no NaN is passed on
            self.counts["undecided"] += 1
            return []

    def _respond(self, offer: Any, seen: Observation) -> Response | Allocation:
        """The user's allocation for the AP's offer; None if there is none."""
        promise = NOTHING if offer is None else Promise(offer.t_passive, offer.passive_rate, offer.harvest)
        found: Response = self.policy.respond(promise, seen.workload, seen.battery, seen.channel_gain)
        return found


class ActorDevice(UserDevice):
    """A user of Algorithm 1, with an `ActorPolicy`. Without a proposal, its actor has nothing to act on."""

    offers = Proposal

    def _respond(self, offer: Any, seen: Observation) -> Response | Allocation:
        if offer is None:
            return Allocation(*[0.0] * len(PARTS))
        channel = np.array(offer.channel, float)
        if len(channel) % 2:
            raise InputError(["channel: has half a number"])
        found: Allocation = self.policy.report(
            seen.workload, seen.battery, channel.view(complex), offer.share, offer.entry, offer.told
        )
        return found


class RepairingUser(UserDevice):
    """A user that decides when its slot comes, with a `RepairPolicy`.

    Without an offer it counts on nothing beyond what it has measured, and without a measurement on nothing
    but its own battery.
    """

    measured: Measurement | None = None
    """the last one"""

    def accept(self, message: Message, now: float) -> list[Message]:
        """A measurement, too."""
        if not isinstance(message, Measurement) or message.user != self.index:
            return super().accept(message, now)
        self.check_current(message)
        if self.measured is not None and self.measured.number == message.number:
            raise Refused("replayed")
        if self.phase is not Phase.REPORTED:
            raise Refused("late")
        self.measured = message
        return self._answer(self.offer)

    def tick(self, now: float) -> list[Message]:
        """Answer without a measurement, once that is overdue."""
        if self.phase is not Phase.REPORTED or now < self.due:
            return []
        self.counts["measurement missed, alone"] += 1
        return self._answer(None)

    def _take_offer(self, offer: Offer | Proposal) -> list[Message]:
        self._keep_offer(offer)
        return []  # its slot will come

    def _respond(self, offer: Any, seen: Observation) -> Response | Allocation:
        known = self.measured
        if known is None or known.number != self.number:
            return super()._respond(None, seen)
        heard = offer is not None and offer.number == self.number
        self.counts["offer missed"] += not heard
        told = Promise(known.t_passive, known.passive_rate, known.harvest)
        promise = offer.harvest if heard else 0.0
        found: Response = self.policy.repair(told, promise, known.workload, seen.battery, known.channel_gain)
        return found


class Memory(BaseModel):
    """What the AP keeps from one frame to the next, so that it can go on after a restart."""

    run: int = -1
    frame: int = -1
    reports: dict[int, Report] = {}
    """the last valid one of each user"""


class AccessPoint(Device):
    """The AP: collects reports, decides, collects answers, and lets the radio play."""

    name = "ap"
    subscriptions: tuple[str, ...] = ("radio/ap", "user/+/report", "user/+/answer")

    def __init__(
        self, policy: Any, users: int, antennas: int, deadlines: Deadlines, memory: Memory | None = None
    ) -> None:
        """Args:
        policy: an `ApPolicy`, or what a subclass takes.
        users: N.
        antennas: M.
        deadlines: of the frame.
        memory: of the AP before this one.
        """
        super().__init__(wire.most_bytes(users, antennas))
        self.policy, self.users, self.antennas, self.deadlines = policy, users, antennas, deadlines
        memory = memory or Memory()
        self.number = (memory.run, memory.frame)
        self.reports = {user: report for user, report in memory.reports.items() if 0 <= user < users}
        """the last valid one of each user"""
        self.since: int | None = None
        """the frame before the first one since the start or the last change of run"""
        self.reported: set[int] = set()
        """users whose reports of this frame are there, like the next"""
        self.answers: dict[int, Answer] = {}
        self.channels = np.zeros((users, antennas), complex)
        self.play: Play | None = None
        self.began = 0.0
        self.phase = Phase.PLAYED

    @property
    def memory(self) -> Memory:
        """What to give to the next AP."""
        return Memory(run=self.number[0], frame=self.number[1], reports=self.reports)

    def accept(self, message: Message, now: float) -> list[Message]:
        """A sounding, a report or an answer."""
        if isinstance(message, Sounding):
            return self._begin(message, now)
        if not isinstance(message, Report | Answer) or message.user >= self.users:
            raise Refused("foreign")
        self.check_current(message)
        if isinstance(message, Report):
            return self._take_report(message, now)
        if message.user in self.answers:
            raise Refused("replayed")
        if self.phase is Phase.PLAYED:
            raise Refused("late")
        self.answers[message.user] = message
        return self._play_if_all_answered(now)

    def tick(self, now: float) -> list[Message]:
        """Go on without those whose reports or answers are overdue."""
        if now < self.due:
            return []
        if self.phase is Phase.REPORTS:
            return self._decide(now)
        return self._play_if_all_answered(now)

    def _begin(self, sounding: Sounding, now: float) -> list[Message]:
        channels = _matrix(sounding.channels, (self.users, self.antennas))
        self.check_next(sounding)
        if sounding.run != self.number[0]:
            self.reports, self.since = {}, None
        if self.since is None:
            self.since = sounding.frame - 1
        self.number, self.channels, self.began = sounding.number, channels, now
        self.reported, self.answers, self.play = set(), {}, None
        self.phase, self.due = Phase.REPORTS, now + self.deadlines.reports
        return []

    def _take_report(self, report: Report, now: float) -> list[Message]:
        if report.user in self.reported:
            raise Refused("replayed")
        self.reported.add(report.user)
        self.reports[report.user] = report
        if self.phase is not Phase.REPORTS:
            raise Refused("late")  # but the last valid one from now on
        return [] if any(map(self._is_awaited, range(self.users))) else self._decide(now)

    def _is_awaited(self, user: int) -> bool:
        """Whether a user has not reported, but may yet: it has not been silent for long."""
        if user in self.reported:
            return False
        assert self.since is not None  # a frame has begun
        heard = max(self.since, self.reports[user].frame if user in self.reports else -1)
        return self.number[1] - heard <= HOLD

    def _decide(self, now: float) -> list[Message]:
        self.counts["frames"] += 1
        self.counts["reports missed"] += self.users - len(self.reported)
        workload, battery = np.zeros(self.users), np.zeros(self.users)
        for user, report in self.reports.items():
            if self.number[1] - report.frame <= HOLD:
                workload[user], battery[user] = report.workload, report.battery
        self.phase, self.due = Phase.ANSWERS, self.began + self.deadlines.answers
        try:
            offers, self.play = self._offers(workload, battery)
        except ValidationError:  # no NaN is passed on: everybody goes on as without an AP
            self.counts["undecided"] += 1
            self.phase, self.due = Phase.PLAYED, math.inf
            return []
        return [*offers, *self._play_if_all_answered(now)]

    def _offers(self, workload: np.ndarray, battery: np.ndarray) -> tuple[list[Message], Play]:
        """What it tells the users, and the radio once they have answered."""
        beams, promises = self.policy.decide(workload, battery, self.channels)
        run, frame = self.number
        columns = [np.asarray(part, float).tolist() for part in promises]
        offers: list[Message] = [
            Offer(run=run, frame=frame, user=user, t_passive=t_passive, passive_rate=rate, harvest=harvest)
            for user, (t_passive, rate, harvest) in enumerate(zip(*columns, strict=True))
        ]
        return offers, Play(run=run, frame=frame, beams=rows(beams), t_passive=columns[0])

    def _play_if_all_answered(self, now: float) -> list[Message]:
        missing = self.reported - self.answers.keys()
        if self.phase is not Phase.ANSWERS or (missing and now < self.due):
            return []
        assert self.play is not None  # decided
        self.counts["answers missed"] += len(missing)
        self.phase, self.due = Phase.PLAYED, math.inf
        return [self._chosen(self.play)]

    def _chosen(self, play: Play) -> Play:
        """What is played, now that all answers are there that will be."""
        return play


class ChoosingAccessPoint(AccessPoint):
    """The AP of Algorithm 1, with a `ChoosingPolicy`: it lets the answers be played, or its estimate."""

    proposed: Proposed
    """the last one"""

    def _offers(self, workload: np.ndarray, battery: np.ndarray) -> tuple[list[Message], Play]:
        run, frame = self.number
        self.proposed = made = self.policy.propose(frame, workload, battery, self.channels)
        offers: list[Message] = [
            Proposal(run=run, frame=frame, user=user, channel=channel, share=share, entry=entry, told=told)
            for user, (channel, share, entry, told) in enumerate(
                zip(
                    rows(self.channels),
                    *(part.tolist() for part in (made.shares, made.entries, made.told)),
                    strict=True,
                )
            )
        ]
        estimate = made.estimate.tolist()
        play = Estimate(
            run=run, frame=frame, beams=rows(made.beams), t_passive=_beam_times(estimate), estimate=estimate
        )
        return offers, play

    def _chosen(self, play: Play) -> Play:
        # Of a user whose answer is missing, both sides of the comparison have the estimate's part.
        answers = {user: answer_parts(answer) for user, answer in self.answers.items()}
        reports = [answers.get(user, part) for user, part in enumerate(self.proposed.estimate.tolist())]
        if not answers or not self.policy.prefers(np.array(reports)):
            self.counts["estimates played"] += 1
            return play
        self.counts["reports played"] += 1
        return Play(run=play.run, frame=play.frame, beams=play.beams, t_passive=_beam_times(reports))


def answer_parts(answer: Answer) -> list[float]:
    """The six numbers of an answer."""
    return [getattr(answer, part) for part in PARTS]


def _beam_times(allocations: list[list[float]]) -> list[float]:
    return [numbers[PARTS.index("t_passive")] for numbers in allocations]


class RepairingAccessPoint(AccessPoint):
    """The AP of users that repair: it beams as soon as it has decided, and waits for no answer."""

    subscriptions = ("radio/ap", "user/+/report")

    def _play_if_all_answered(self, now: float) -> list[Message]:
        assert self.play is not None  # decided
        self.phase, self.due = Phase.PLAYED, math.inf
        play = self.play
        return [Beaming(run=play.run, frame=play.frame, beams=play.beams, t_passive=play.t_passive)]


class Radio(Device):
    """The radio: shows everybody its part of the frame, and plays what they decide."""

    name = "radio"

    def __init__(
        self,
        world: World,
        users: int,
        antennas: int,
        deadlines: Deadlines,
        *,
        run: int,
        frames: int,
        period: float = 0.0,
        wait: float = 0.0,
    ) -> None:
        """Args:
        world: the physical world.
        users: N.
        antennas: M.
        deadlines: of the frame.
        run: ms, the time of this start.
        frames: frames to play.
        period: least s from the start of a frame to that of the next.
        wait: most s to wait for the AP and all users before the first frame.
        """
        super().__init__(wire.most_bytes(users, antennas))
        self.world, self.users, self.antennas, self.deadlines = world, users, antennas, deadlines
        self.frames, self.period, self.wait = frames, period, wait
        self.number = (run, -1)
        self.missing = {f"ap/{HERE}", *(f"user/{user}/{HERE}" for user in range(users))}
        """topics of those who have not come yet"""
        self.subscriptions = ("ap/play", "user/+/answer", f"ap/{HERE}", f"user/+/{HERE}")
        self.answers: dict[int, list[float]] = {}
        self.beaming: tuple[np.ndarray, np.ndarray] | None = None
        """the AP's beams and times, while users that repair have not all answered"""
        self.began = 0.0
        self.phase, self.due = Phase.GATHERING, -math.inf

    def receive(self, topic: str, payload: bytes, now: float) -> list[Message]:
        """Take a message, or the news that a device is here or gone."""
        if not topic.endswith(f"/{HERE}"):
            return super().receive(topic, payload, now)
        (self.missing.discard if payload else self.missing.add)(topic)
        return self.tick(now)

    def accept(self, message: Message, now: float) -> list[Message]:
        """The AP's decision, or a user's answer."""
        if not isinstance(message, Play | Answer):
            raise Refused("foreign")
        self.check_current(message)
        if self.phase is not Phase.PLAYING:
            raise Refused("late")
        if isinstance(message, Play):
            beams = _matrix(message.beams, (self.users, self.antennas))
            if len(message.t_passive) != self.users:
                raise Refused("invalid")
            self._take_estimate(message)
            if isinstance(message, Beaming):
                return self._measure(beams, np.array(message.t_passive), now)
            return self._play(beams, np.array(message.t_passive), now)
        if message.user >= self.users:
            raise Refused("foreign")
        if message.user in self.answers:
            raise Refused("replayed")
        self.answers[message.user] = answer_parts(message)
        return self._play_if_all_answered(now)

    def _take_estimate(self, message: Play) -> None:
        """Let users execute the AP's estimate, if it says so; one that has not answered does nothing."""
        if not isinstance(message, Estimate):
            return
        if [len(numbers) for numbers in message.estimate] != [len(PARTS)] * self.users:
            raise Refused("invalid")
        self.answers = {user: message.estimate[user] for user in self.answers}

    def tick(self, now: float) -> list[Message]:
        """Begin the next frame, or play this one without the AP if that is overdue."""
        if self.phase is Phase.GATHERING and self.due == -math.inf:
            self.due = now + self.wait
        if self.phase is Phase.GATHERING and not self.missing:
            self.due = now
        if now < self.due:
            return []
        if self.phase is Phase.PLAYING:
            if self.beaming is not None:
                return self._play(*self.beaming, now)
            self.counts["frames without the AP"] += 1
            return self._play(None, np.zeros(self.users), now)
        return self._begin(now)

    def arranged(self, messages: list[Message]) -> list[Message]:
        """By receiver: a user whose Observation follows its Outcome at once wakes up once for both."""
        return sorted(messages, key=wire.topic_of)

    def _measure(self, beams: np.ndarray, t_passive: np.ndarray, now: float) -> list[Message]:
        """The slots begin: let users that repair know what they measure."""
        if self.beaming is not None:
            raise Refused("replayed")
        self.beaming = beams, t_passive
        run, frame = self.number
        known = self.world.measure(beams, t_passive)
        columns = zip(*(part.tolist() for part in known), strict=True)
        measurements: list[Message] = [
            Measurement(run=run, frame=frame, user=user, **dict(zip(Known._fields, own, strict=True)))
            for user, own in enumerate(columns)
        ]
        return [*measurements, *self._play_if_all_answered(now)]

    def _play_if_all_answered(self, now: float) -> list[Message]:
        """Play if users repair, and all that are here have answered."""
        if self.beaming is None:
            return []
        here = {user for user in range(self.users) if f"user/{user}/{HERE}" not in self.missing}
        if here - self.answers.keys():
            return []
        return self._play(*self.beaming, now)

    def _begin(self, now: float) -> list[Message]:
        run, frame = self.number[0], self.number[1] + 1
        self.number, self.answers, self.began = (run, frame), {}, now
        self.beaming = None
        self.phase, self.due = Phase.PLAYING, now + self.deadlines.frame
        seen = self.world.observe()
        own = zip(seen.workload.tolist(), seen.battery.tolist(), seen.channel_gain.tolist(), strict=True)
        return [
            Sounding(run=run, frame=frame, channels=rows(seen.channels)),
            *(
                Observation(run=run, frame=frame, user=user, workload=work, battery=stored, channel_gain=gain)
                for user, (work, stored, gain) in enumerate(own)
            ),
        ]

    def _play(self, beams: np.ndarray | None, t_passive: np.ndarray, now: float) -> list[Message]:
        run, frame = self.number
        self.phase, self.due = Phase.PLAYED, max(now, self.began + self.period)
        self.counts["frames"] += 1
        self.counts["answers missed"] += self.users - len(self.answers)
        self.done = self.counts["frames"] >= self.frames
        if self.done:
            self.due = math.inf
        answers = np.zeros((self.users, len(PARTS)))
        for user, answer in self.answers.items():
            answers[user] = answer
        played = self.world.play(beams, t_passive, answers)
        outcomes = zip(played.served, played.harvested, played.spent, strict=True)
        return [
            *(
                Outcome(run=run, frame=frame, user=user, served=served, harvested=harvested, spent=spent)
                for user, (served, harvested, spent) in enumerate(outcomes)
            ),
            Log(
                run=run,
                frame=frame,
                reward=played.reward,
                optimum=played.optimum,
                ap_energy=played.ap_energy,
                beaming=beams is not None,
                answered=[user in self.answers for user in range(self.users)],
                served=list(played.served),
                battery=list(played.battery),
                seconds=now - self.began,
            ),
        ]


def rows(matrix: np.ndarray) -> list[list[float]]:
    """A complex matrix (N, M) as messages carry it, (N, 2M)."""
    found: list[list[float]] = np.ascontiguousarray(matrix, complex).view(float).tolist()
    return found


def _matrix(given: list[list[float]], shape: tuple[int, int]) -> np.ndarray:
    """The complex matrix of this shape in a message; raises Refused if it has another."""
    users, antennas = shape
    if len(given) != users or any(len(row) != 2 * antennas for row in given):
        raise Refused("invalid")
    return np.array(given, float).view(complex)
