"""The users' part of price-net on a device: this file, `user.json` and NumPy are all that it needs.

    user = load("user.json")
    message = Message(t_passive=0.2, passive_rate=60.0, harvest=0.1)  # from the access point (AP)
    answer = user.respond(message, workload=40.0, battery=0.05, channel_gain=1e-3)

As a program, `python user.py user.json` reads one JSON object per line, with the three numbers of a message and
the three others, and prints the answer to each.

A user reflects while its beam is on, computes locally as much as its energy allows, and sends the rest in the
least time; docs/price-net.md has the rule. Units are s, kbit, kHz and mJ; powers are in mW, those of the AP in
W. All functions are elementwise over users, so an AP computes all answers with the same code.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Numbers = Any
"""A number, or an array of one number per user."""


class Constants(NamedTuple):
    """What a user knows of the scenario, and of the method."""

    slot_duration: Numbers
    circuit_power: Numbers
    local_energy: Numbers
    local_rate: Numbers
    battery_capacity: Numbers
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
    """The AP's message to each user about the frame."""

    t_passive: Numbers
    """s: time of its beam"""
    passive_rate: Numbers
    """kbit/s of its reflection during that time"""
    harvest: Numbers
    """mJ that it will harvest"""


class Answer(NamedTuple):
    """A user's allocation in s and kbit, and the work in kbit that its energy does not suffice for."""

    t_active: Numbers
    t_passive: Numbers
    t_local: Numbers
    l_active: Numbers
    l_passive: Numbers
    l_local: Numbers
    shortfall: Numbers


class Rates(NamedTuple):
    """A user's own active rates in kbit/s."""

    preferred: Numbers
    """of least cost to the AP"""
    thrifty: Numbers
    """of least energy per kbit; sending saves energy only if it is below the first"""
    fastest: Numbers
    """of least energy if time cannot grow"""


class _Task(NamedTuple):
    """A user's work after reflection, and its energy, time and rates."""

    budget: Numbers
    """mJ that it may spend"""
    l_passive: Numbers
    """kbit that it reflects"""
    left: Numbers
    """kbit left to send or compute"""
    least: Numbers
    """kbit that it must send because its processor is too slow"""
    longest: Numbers
    """s available for sending"""
    rates: Rates
    saves: Numbers
    """whether sending needs less energy than computing"""


class User:
    """One user."""

    def __init__(self, constants: Constants) -> None:
        self.constants = constants

    def respond(self, message: Message, workload: float, battery: float, channel_gain: float) -> Answer:
        """The user's allocation for a message, from its own data alone.

        Args:
            message: the AP's; times outside the slot and negative numbers count as the nearest possible value.
            workload: kbit.
            battery: mJ.
            channel_gain: ||h||^2.

        Raises ValueError for a number that is not finite, and for a negative one of the user's own.
        """
        own = {"workload": workload, "battery": battery, "channel_gain": channel_gain}
        for name, number in (message._asdict() | own).items():
            if not np.isfinite(number):
                raise ValueError(f"{name}: {number} is not allowed; it must be finite")
        for name, number in own.items():
            if number < 0:
                raise ValueError(f"{name}: {number} is not allowed; it must be >= 0")
        return Answer(*map(float, respond(self.constants, channel_gain, workload, battery, message)))


def load(path: str | os.PathLike[str]) -> User:
    """The user whose constants are in a file `user.json`; raises ValueError for any other file."""
    with open(path, encoding="utf-8") as file:
        return User(Constants(**numbers_of(json.load(file), Constants._fields)))


def numbers_of(found: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """``found`` if it is an object of JSON with one finite number per name; else raises ValueError."""
    if not isinstance(found, dict) or set(found) != set(names):
        raise ValueError(f"it must hold exactly {', '.join(names)}")
    for name, number in found.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not np.isfinite(number):
            raise ValueError(f"{name}: {number!r} is not allowed; it must be a finite number")
    return found


def respond(
    constants: Constants, channel_gain: Numbers, workload: Numbers, battery: Numbers, message: Message
) -> Answer:
    """Each user's answer; arguments as for `User.respond`, one number per user."""
    c = constants
    task = _task(c, workload, battery, message, active_rates(c, channel_gain))

    def needed(effort: Numbers) -> Numbers:
        return _needed(c, channel_gain, task, effort)

    effort = _least_effort(c, needed, task)
    t_active, l_active = _plan(task, effort)
    t_active = np.where(l_active > 0, t_active, 0)
    l_local = task.left - l_active
    processor = c.local_rate * c.slot_duration
    lacking = np.where(effort < c.most_effort, 0, needed(effort) - task.budget)
    # A user that cannot finish leaves its slot to its beam: the outcome is an outage either way.
    finishes = (lacking <= 1e-9 * task.budget) & (l_local <= processor * (1 + 1e-9))
    t_local = np.minimum(l_local / np.where(c.local_rate > 0, c.local_rate, 1), c.slot_duration)
    return Answer(
        t_active=np.where(finishes, t_active, 0),
        t_passive=np.clip(message.t_passive, 0, c.slot_duration),
        t_local=np.where(finishes, t_local, 0),
        l_active=np.where(finishes, l_active, 0),
        l_passive=np.where(finishes, task.l_passive, 0),
        l_local=np.where(finishes, np.minimum(l_local, processor), 0),
        shortfall=np.where(finishes, 0, np.clip(lacking / c.local_energy, 0, task.left)),
    )


def energy_lacking(
    constants: Constants,
    channel_gain: Numbers,
    workload: Numbers,
    battery: Numbers,
    message: Message,
    rates: Rates,
) -> Numbers:
    """Energy in mJ that each user lacks to finish, at best; ``rates`` are those of `active_rates`."""
    task = _task(constants, workload, battery, message, rates)
    need = _needed(constants, channel_gain, task, constants.most_effort)
    idle = _needed(constants, channel_gain, task, 0.0)
    return np.where(task.least <= 0, np.minimum(need, idle), need) - task.budget


def active_rates(constants: Constants, channel_gain: Numbers) -> Rates:
    """A user's active rates; `scattermec.optimisation.response` has their conditions."""
    c = constants
    snr = _active_snr(c, channel_gain)
    per_nat = c.bandwidth / np.log(2)
    circuit = c.circuit_power * snr
    worth = c.local_energy * snr * per_nat

    def spared(y: Numbers) -> Numbers:
        return np.expm1(y) + circuit - y * np.exp(y)

    def gained(y: Numbers) -> Numbers:
        return c.active_receive_power * (worth - np.exp(y)) + c.mec_energy * per_nat * spared(y)

    def last_positive(condition: Callable[[Numbers], Numbers]) -> Numbers:
        above = np.zeros_like(circuit), np.full_like(circuit, c.largest_exponent)
        return halved(lambda y: condition(y) > 0, *above, c.bisections)[0]

    preferred, thrifty = last_positive(gained), last_positive(spared)
    fastest = np.maximum(np.log(np.maximum(worth, 1)), preferred)
    return Rates(preferred * per_nat, thrifty * per_nat, fastest * per_nat)


def halved(
    lower: Callable[[Numbers], Numbers], low: Numbers, high: Numbers, times: int
) -> tuple[Numbers, Numbers]:
    """Both ends of an interval after bisection; ``lower`` is true of numbers below the solution."""
    for _ in range(times):
        middle = (low + high) / 2
        above = lower(middle)
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return low, high


def _task(c: Constants, workload: Numbers, battery: Numbers, message: Message, rates: Rates) -> _Task:
    t_passive = np.clip(message.t_passive, 0, c.slot_duration)
    budget = np.minimum(battery + np.maximum(message.harvest, 0), c.battery_capacity) * (1 - c.margin)
    processor = c.local_rate * c.slot_duration
    most_local = np.minimum(budget / c.local_energy, processor)
    most_passive = np.minimum(np.maximum(message.passive_rate, 0) * t_passive, workload)
    l_passive = np.clip(workload - most_local, 0, most_passive)
    left = workload - l_passive
    least = np.maximum(left - processor, 0)
    saves = rates.preferred > rates.thrifty
    longest = np.where(saves, left, least) / np.where(rates.thrifty > 0, rates.thrifty, 1)
    return _Task(
        budget=budget,
        l_passive=l_passive,
        left=left,
        least=least,
        longest=np.minimum(longest, c.slot_duration - t_passive),
        rates=rates,
        saves=saves,
    )


def _plan(task: _Task, effort: Numbers) -> tuple[Numbers, Numbers]:
    """Time and work to send: an effort up to 1 adds time at the preferred rate, up to 2 a higher rate."""
    time = np.minimum(effort, 1) * task.longest
    preferred, _, fastest = task.rates
    rate = preferred + np.maximum(effort - 1, 0) * (fastest - preferred)
    return time, np.where(task.saves, np.clip(rate * time, task.least, task.left), task.least)


def _needed(c: Constants, channel_gain: Numbers, task: _Task, effort: Numbers) -> Numbers:
    """Energy in mJ that a user's work needs at an effort."""
    time, work = _plan(task, effort)
    return _radiated(c, channel_gain, work, time) + c.circuit_power * time + c.local_energy * (task.left - work)


def _radiated(c: Constants, channel_gain: Numbers, work: Numbers, time: Numbers) -> Numbers:
    """Energy in mJ to send ``work`` in ``time``, finite (if huge) for the shortest times."""
    some = (time > 0) & (work > 0)
    nats = np.log(2) * work / (c.bandwidth * np.where(some, time, 1))
    energy = time * np.expm1(np.minimum(nats, c.largest_exponent)) / _active_snr(c, channel_gain)
    never = (time <= 0) & (work > 0)
    return np.where(some, energy, np.where(never, np.finfo(float).max, 0))


def _active_snr(c: Constants, channel_gain: Numbers) -> Numbers:
    """Signal-to-noise ratio at the AP per mW, positive even for a blocked channel."""
    return np.maximum(np.asarray(channel_gain, float) / (1000 * c.noise_power), np.finfo(float).tiny)


def _least_effort(c: Constants, needed: Callable[[Numbers], Numbers], task: _Task) -> Numbers:
    """The least effort whose energy is within the budget; the most if there is none."""
    zero = np.zeros_like(task.budget)
    found = halved(lambda effort: needed(effort) > task.budget, zero, zero + c.most_effort, c.bisections)[1]
    return np.where((task.least <= 0) & (needed(zero) <= task.budget), 0, found)


def main() -> None:
    """Answer each line of standard input."""
    user = load(sys.argv[1])
    for line in sys.stdin:
        numbers = json.loads(line)
        message = Message(*(numbers.pop(name) for name in Message._fields))
        print(json.dumps(user.respond(message, **numbers)._asdict()), flush=True)


if __name__ == "__main__":
    main()
