"""The users' part of price-net on a device: this file, `user.json` and Python are all that it needs.

    user = load("user.json")
    message = Message(t_passive=0.2, passive_rate=60.0, harvest=0.1)  # from the access point (AP)
    answer = user.respond(message, workload=40.0, battery=0.05, channel_gain=1e-3)

As a program, `python user.py user.json` reads one JSON object per line, with the three numbers of a message
and the three others, and prints the answer to each.

A user reflects while its beam is on, computes locally as much as its energy allows, and sends the rest in the
least time. `scattermec.optimisation.response` is the same in JAX, with the reasons, as is `repair` beside it;
user.c is the same in C.
Units are s, kbit, kHz and mJ; powers are in mW, those of the AP in W.
"""

import json
import math
import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

JUST_ENOUGH = 1 + 1e-9
"""Factor that keeps a user which can just finish from lacking energy by rounding."""


class Constants(NamedTuple):
    """What a user knows of the scenario, and of the method."""

    slot_duration: float
    circuit_power: float
    local_energy: float
    local_rate: float
    battery_capacity: float
    bandwidth: float
    noise_power: float
    active_receive_power: float
    mec_energy: float
    margin: float
    """share of its energy that a user keeps"""
    most_effort: float
    largest_exponent: float
    """largest rate over bandwidth, in nats"""
    bisections: int


class Message(NamedTuple):
    """The AP's message to a user about the frame."""

    t_passive: float
    """s: time of its beam"""
    passive_rate: float
    """kbit/s of its reflection during that time"""
    harvest: float
    """mJ that it will harvest"""


class Answer(NamedTuple):
    """A user's allocation in s and kbit, and the work in kbit that its energy does not suffice for."""

    t_active: float
    t_passive: float
    t_local: float
    l_active: float
    l_passive: float
    l_local: float
    shortfall: float


class Link(NamedTuple):
    """What follows from a user's channel: signal-to-noise ratio per mW, and active rates in kbit/s."""

    snr: float
    preferred: float
    """of least cost to the AP"""
    thrifty: float
    """of least energy per kbit; sending saves energy only if it is below the first"""
    fastest: float
    """of least energy if time cannot grow"""


class Task(NamedTuple):
    """A user's work after reflection, and its energy and time."""

    link: Link
    budget: float
    """mJ that it may spend"""
    l_passive: float
    """kbit that it reflects"""
    t_passive: float
    """s that its beam is on"""
    left: float
    """kbit left to send or compute"""
    least: float
    """kbit that it must send because its processor is too slow"""
    longest: float
    """s available for sending"""


class User:
    """One user."""

    def __init__(self, constants: Constants) -> None:
        self.constants = constants

    def respond(self, message: Message, workload: float, battery: float, channel_gain: float) -> Answer:
        """The user's allocation for a message, from its own data alone.

        Args:
            message: the AP's; times outside the slot, and negative numbers, count as the nearest possible.
            workload: kbit.
            battery: mJ.
            channel_gain: ||h||^2.

        Raises ValueError for a number that is not finite, and for a negative one of the user's own.
        """
        own = {"workload": workload, "battery": battery, "channel_gain": channel_gain}
        check(message._asdict(), own)
        link = link_of(self.constants, float(channel_gain))
        task = task_of(self.constants, link, float(workload), float(battery), message)
        return answer_of(self.constants, task)

    def repair(
        self, measured: Message, promise: float, workload: float, battery: float, channel_gain: float
    ) -> Answer:
        """The user's allocation when its own slot comes, by what it has measured so far.

        It counts on the AP's promise, but never on less than it needs: giving up would be an outage anyway.
        So a user without a promise, or with one that is too small, finishes whenever it can.

        Args:
            measured: time of its beam, rate of its reflection, and what it has harvested before its slot.
            promise: mJ that it will harvest after its slot; 0 if the AP's message is lost.
            workload: kbit.
            battery: mJ.
            channel_gain: ||h||^2.

        Raises ValueError as `respond` does.
        """
        own = {"workload": workload, "battery": battery, "channel_gain": channel_gain}
        check(measured._asdict() | {"promise": promise}, own)
        c = self.constants
        task = task_of(c, link_of(c, float(channel_gain)), float(workload), float(battery), measured)
        least = max(lacking_of(c, task), 0.0) / (1 - c.margin) * JUST_ENOUGH
        # More than the battery holds is of no use; what cannot be finished may need an infinite amount.
        told = measured._replace(harvest=measured.harvest + min(max(promise, least), c.battery_capacity))
        return self.respond(told, workload, battery, channel_gain)


def load(path: str | os.PathLike[str]) -> User:
    """The user whose constants are in a file `user.json`; raises ValueError for any other file."""
    with open(path, encoding="utf-8") as file:
        return User(Constants(**numbers_of(json.load(file), Constants._fields)))


def check(told: dict[str, float], own: dict[str, float]) -> None:
    """Raise ValueError for a number that is not finite, and for a negative one of the user's own."""
    for name, number in (told | own).items():
        if not math.isfinite(number):
            raise ValueError(f"{name}: {number} is not allowed; it must be finite")
    for name, number in own.items():
        if number < 0:
            raise ValueError(f"{name}: {number} is not allowed; it must be >= 0")


def numbers_of(found: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """``found`` if it is an object of JSON with these names and finite numbers; else raises ValueError."""
    if not isinstance(found, dict) or set(found) != set(names):
        raise ValueError(f"it must hold exactly {', '.join(names)}")
    for name, number in found.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise ValueError(f"{name}: {number!r} is not allowed; it must be a finite number")
    return found


def link_of(c: Constants, channel_gain: float) -> Link:
    """What follows from the channel gain ||h||^2."""
    snr = max(
        channel_gain / (1000 * c.noise_power), sys.float_info.min
    )  # positive even for a blocked channel
    per_nat = c.bandwidth / math.log(2)
    circuit = c.circuit_power * snr
    worth = c.local_energy * snr * per_nat

    def spared(y: float) -> float:
        return math.expm1(y) + circuit - y * math.exp(y)

    def gained(y: float) -> float:
        return c.active_receive_power * (worth - math.exp(y)) + c.mec_energy * per_nat * spared(y)

    preferred = halved(lambda y: gained(y) > 0, c.largest_exponent, c.bisections)[0]
    thrifty = halved(lambda y: spared(y) > 0, c.largest_exponent, c.bisections)[0]
    fastest = max(math.log(max(worth, 1.0)), preferred)
    return Link(snr, preferred * per_nat, thrifty * per_nat, fastest * per_nat)


def task_of(
    c: Constants,
    link: Link,
    workload: float,
    battery: float,
    message: Message,
    allowance: float = math.inf,
) -> Task:
    """What a message leaves a user to do, and with what; it may spend ``allowance`` mJ at most."""
    t_passive = min(max(message.t_passive, 0.0), c.slot_duration)
    budget = min(battery + max(message.harvest, 0.0), c.battery_capacity) * (1 - c.margin)
    budget = min(budget, max(allowance, 0.0))
    processor = c.local_rate * c.slot_duration
    most_local = min(budget / c.local_energy, processor)
    most_passive = min(max(message.passive_rate, 0.0) * t_passive, workload)
    l_passive = min(max(workload - most_local, 0.0), most_passive)
    left = workload - l_passive
    least = max(left - processor, 0.0)
    longest = (left if link.preferred > link.thrifty else least) / (link.thrifty if link.thrifty > 0 else 1.0)
    return Task(link, budget, l_passive, t_passive, left, least, min(longest, c.slot_duration - t_passive))


def halved(lower: Callable[[float], Any], high: float, times: int) -> tuple[float, float]:
    """Both ends of the interval from 0 after bisection; ``lower`` is true of numbers below the solution."""
    low = 0.0
    for _ in range(int(times)):
        middle = (low + high) / 2
        low, high = (middle, high) if lower(middle) else (low, middle)
    return low, high


def lacking_of(c: Constants, task: Task) -> float:
    """Energy in mJ that a user lacks to finish, at best; zero or negative if it can finish."""
    need = _needed(c, task, c.most_effort)
    return (min(need, _needed(c, task, 0.0)) if task.least <= 0 else need) - task.budget


def answer_of(c: Constants, task: Task) -> Answer:
    """The answer of least effort whose energy is within the budget."""
    idle = task.least <= 0 and _needed(c, task, 0.0) <= task.budget
    effort = 0.0 if idle else _least_effort(c, task)
    t_active, l_active = _plan(task, effort)
    l_local, processor = task.left - l_active, c.local_rate * c.slot_duration
    lacking = _needed(c, task, effort) - task.budget if effort >= c.most_effort else 0.0
    if lacking > 1e-9 * task.budget or l_local > processor * (1 + 1e-9):
        # A user that cannot finish leaves its slot to its beam: the outcome is an outage either way.
        shortfall = min(max(lacking / c.local_energy, 0.0), task.left)
        return Answer(0.0, task.t_passive, 0.0, 0.0, 0.0, 0.0, shortfall)
    return Answer(
        t_active=t_active if l_active > 0 else 0.0,
        t_passive=task.t_passive,
        t_local=min(l_local / c.local_rate, c.slot_duration) if c.local_rate > 0 else 0.0,
        l_active=l_active,
        l_passive=task.l_passive,
        l_local=min(l_local, processor),
        shortfall=0.0,
    )


def _least_effort(c: Constants, task: Task) -> float:
    """The least effort whose energy is within the budget; the most if there is none."""
    return halved(lambda effort: _needed(c, task, effort) > task.budget, c.most_effort, c.bisections)[1]


def _plan(task: Task, effort: float) -> tuple[float, float]:
    """Time and work to send: an effort up to 1 adds time at the preferred rate, up to 2 a higher rate."""
    link, time = task.link, min(effort, 1.0) * task.longest
    if link.preferred <= link.thrifty:  # sending saves no energy
        return time, task.least
    rate = link.preferred + max(effort - 1, 0.0) * (link.fastest - link.preferred)
    return time, min(max(rate * time, task.least), task.left)


def _needed(c: Constants, task: Task, effort: float) -> float:
    """Energy in mJ that a user's work needs at an effort, finite (if huge) for the shortest times."""
    time, work = _plan(task, effort)
    rest = c.circuit_power * time + c.local_energy * (task.left - work)
    if work <= 0:
        return rest
    if time <= 0:
        return sys.float_info.max
    nats = math.log(2) * work / (c.bandwidth * time)
    return time * math.expm1(min(nats, c.largest_exponent)) / task.link.snr + rest


def main() -> None:
    """Answer each line of standard input."""
    user = load(sys.argv[1])
    for line in sys.stdin:
        numbers = json.loads(line)
        message = Message(*(numbers.pop(name) for name in Message._fields))
        print(json.dumps(user.respond(message, **numbers)._asdict()), flush=True)


if __name__ == "__main__":
    main()
