"""The messages between the access point (AP), the users and the radio: fields, topics, and bytes.

A message is one CBOR array, [version, number of its kind, its fields in order]; or, for people, one JSON
object with the same content by name. Both are understood everywhere. Numbers are double precision in both, so
nothing is rounded on the way.

Every message carries the run (the time in ms at which the radio began, so that a later run has a larger
number) and the number of the frame. Together they are its sequence number: each sender sends one message of
each kind per frame, so what is older is stale, and a second one is a replay.
"""

import json
from typing import Annotated, ClassVar, Literal

import cbor2
from pydantic import BaseModel, ConfigDict, Field, ValidationError

__all__ = [
    "CAUSES",
    "VERSION",
    "Answer",
    "Beaming",
    "Estimate",
    "Log",
    "Measurement",
    "Message",
    "Observation",
    "Offer",
    "Outcome",
    "Play",
    "Proposal",
    "Refused",
    "Report",
    "Sounding",
    "decode",
    "encode",
    "most_bytes",
    "topic_of",
]

VERSION = 1
"""Version of the messages; a message of another version is refused."""

CAUSES = {
    "oversized": "more bytes than any message has",
    "unreadable": "neither CBOR nor JSON",
    "version": "another version of the messages",
    "invalid": "not the fields of its kind: NaN, infinite, negative or too large a number, or another shape",
    "foreign": "on a topic other than its sender's",
    "stale": "of an earlier frame or run",
    "replayed": "a second message of its kind in a frame",
    "ahead": "of a frame that has not begun here",
    "late": "after the deadline of its phase",
}
"""Why messages are refused."""

Form = Literal["cbor", "json"]

Count = Annotated[int, Field(ge=0, lt=2**53)]
Index = Annotated[int, Field(ge=0, lt=2**16)]
Amount = Annotated[float, Field(ge=0, le=1e12)]
"""Time, work or energy."""
Part = Annotated[float, Field(ge=-1e12, le=1e12)]
"""Real or imaginary part."""
Rows = list[list[Part]]
"""One row per user: real and imaginary parts of its numbers by turns."""


class Refused(Exception):  # noqa: N818
    """A message that is not accepted; ``cause`` is one of `CAUSES`."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class Message(BaseModel):
    """What all messages have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    topic: ClassVar[str]
    """topic below the name of the network; ``{user}`` stands for the user's index"""

    run: Count
    """ms: when the radio began"""
    frame: Count
    """frames before this one"""

    @property
    def number(self) -> tuple[int, int]:
        """The sequence number."""
        return self.run, self.frame


class Sounding(Message):
    """Radio to AP, at the start of a frame: the channels as the AP sees them."""

    topic = "radio/ap"
    channels: Rows
    """(N, 2M)"""


class Observation(Message):
    """Radio to a user, at the start of a frame: what this user sees of it."""

    topic = "radio/user/{user}"
    user: Index
    workload: Amount
    """kbit"""
    battery: Amount
    """mJ"""
    channel_gain: Amount
    """||h||^2"""


class Report(Message):
    """User to AP: its workload and battery."""

    topic = "user/{user}/report"
    user: Index
    workload: Amount
    """kbit"""
    battery: Amount
    """mJ"""


class Offer(Message):
    """AP to a user: what its slot will bring."""

    topic = "ap/user/{user}"
    user: Index
    t_passive: Amount
    """s: time of its beam"""
    passive_rate: Amount
    """kbit/s of its reflection during that time"""
    harvest: Amount
    """mJ that it will harvest from the others' beams"""


class Answer(Message):
    """User to AP and radio: how it divides its slot and its work."""

    topic = "user/{user}/answer"
    user: Index
    t_active: Amount
    """s, like the next two"""
    t_passive: Amount
    t_local: Amount
    l_active: Amount
    """kbit, like the next two"""
    l_passive: Amount
    l_local: Amount


class Play(Message):
    """AP to radio: its beams, and for how long each is on; the slots begin."""

    topic = "ap/play"
    beams: Rows
    """(N, 2M)"""
    t_passive: list[Amount]
    """s"""


class Proposal(Message):
    """AP to a user of Algorithm 1: what its actor needs beside its own workload and battery (line 5)."""

    topic = "ap/user/{user}"
    user: Index
    channel: list[Part]
    """(2M,) its channel: real and imaginary parts by turns"""
    share: Amount
    """gain of its beam as a share of the largest possible"""
    entry: list[Amount]
    """its entry of the AP's estimate, as numbers in [0, 1]"""
    told: list[Amount]
    """the three numbers of an Offer, if it corrects them; else none"""


class Estimate(Play):
    """AP to radio, in place of Play: what the users execute instead of their answers (line 18)."""

    topic = "ap/play"
    estimate: list[list[Amount]]
    """(N, 6) in the order of an Answer"""


class Beaming(Play):
    """AP to radio, in place of Play, if users repair: the slots begin before they have answered."""

    topic = "ap/play"


class Measurement(Message):
    """Radio to a user that repairs, when its own slot comes: what it knows by then."""

    topic = "radio/user/{user}"
    user: Index
    workload: Amount
    """kbit"""
    channel_gain: Amount
    """||h||^2"""
    t_passive: Amount
    """s: time of its beam"""
    passive_rate: Amount
    """kbit/s of its reflection during that time"""
    harvest: Amount
    """mJ harvested in the slots before its own"""


class Outcome(Message):
    """Radio to a user, at the end of a frame: how its slot ended."""

    topic = "radio/user/{user}"
    user: Index
    served: bool
    harvested: Amount
    """mJ"""
    spent: Amount
    """mJ"""


class Log(Message):
    """Radio to observers, who are no part of the system: the whole frame."""

    topic = "radio/log"
    reward: Amount
    """kbit/J, equation (11)"""
    optimum: Amount | None
    """kbit/J of the optimum in the same frame, if it was computed"""
    ap_energy: Amount
    """J"""
    beaming: bool
    """whether the AP's beams arrived in time"""
    answered: list[bool]
    """of each user: whether its answer did"""
    served: list[bool]
    battery: list[Amount]
    """mJ at the end"""
    seconds: Amount
    """from the start of the frame to its slots"""


KINDS: tuple[type[Message], ...] = (
    *(Sounding, Observation, Report, Offer, Answer, Play, Outcome, Log),
    *(Proposal, Estimate, Beaming, Measurement),
)
"""All kinds of messages; the place in this list is the number on the wire."""

_NUMBERS = {kind: number for number, kind in enumerate(KINDS)}
_FIELDS = {kind: tuple(kind.model_fields) for kind in KINDS}
_NAMES = {kind.__name__.lower(): kind for kind in KINDS}
_BROKEN = (cbor2.CBORError, ValueError, OverflowError, RecursionError)
"""What the two decoders raise for bytes that are not theirs."""


def most_bytes(users: int = 0, antennas: int = 0) -> int:
    """The largest message, in either form, that has numbers of ``users`` users with ``antennas`` antennas."""
    return 1024 + 64 * antennas + 64 * users * (antennas + 4)


def topic_of(message: Message) -> str:
    """The only topic on which a message is valid; it begins with the name of its sender."""
    return message.topic.format(user=getattr(message, "user", ""))


def encode(message: Message, form: Form = "cbor") -> bytes:
    """The bytes of a message."""
    if form == "json":
        named = {"version": VERSION, "kind": type(message).__name__.lower(), **message.model_dump()}
        return json.dumps(named, allow_nan=False).encode()
    fields = [getattr(message, name) for name in _FIELDS[type(message)]]
    return cbor2.dumps([VERSION, _NUMBERS[type(message)], *fields])


def decode(payload: bytes, most: int) -> Message:
    """The message in at most ``most`` bytes; raises Refused with the cause for anything else."""
    if len(payload) > most:
        raise Refused("oversized")
    version, kind, fields = _opened(payload)
    if type(version) is not int or version != VERSION:
        raise Refused("version")
    if kind is None:
        raise Refused("invalid")
    try:
        return kind.model_validate(fields)
    except ValidationError:
        raise Refused("invalid") from None


def _opened(payload: bytes) -> tuple[object, type[Message] | None, object]:
    """Version, kind (None if unknown) and fields; raises Refused."""
    try:
        # No message in CBOR begins with a brace: they are arrays.
        if payload.startswith(b"{"):
            named = json.loads(payload)
            kind = _NAMES.get(str(named.pop("kind", "")))
            return named.pop("version", None), kind, named
        content = cbor2.loads(payload, max_depth=4, allow_indefinite=False)
    except _BROKEN:
        raise Refused("unreadable") from None
    if not isinstance(content, list) or len(content) < 2:
        raise Refused("unreadable")
    version, number, *values = content
    kind = KINDS[number] if type(number) is int and 0 <= number < len(KINDS) else None
    if kind is None or len(values) != len(_FIELDS[kind]):
        return version, None, None
    return version, kind, dict(zip(_FIELDS[kind], values, strict=True))
