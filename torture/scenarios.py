"""The table of scenarios, from easy to absurd, and the drawing of their frames.

The solver must decide everything within `PROMISED`; beyond, it may end without a verdict, and such cases are
counted separately.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scattermec.scenario import Scenario
from torture.reference import Frames, unit_beams

PROMISED: dict[str, tuple[float, float]] = {
    "ap_power": (0.01, 1e3),
    "noise_power": (1e-15, 1e-3),
    "slot_duration": (0.01, 10.0),
    "bandwidth": (0.5, 1e3),
    "local_energy": (1e-5, 1.0),
    "local_rate": (0.0, 1e4),
    "circuit_power": (0.0, 1.0),
    "battery_capacity": (1e-3, 1e9),
}
"""Ranges of constants for which the documentation promises verdicts, in the scenario's units."""

MOST_WORK = 1e5
"""kbit: largest workload with promised verdicts"""

MOST_WORTH = 30.0
"""J: largest value of a full battery with promised verdicts"""

RANGES: dict[str, tuple[float, float]] = PROMISED | {
    "harvest_efficiency": (0.05, 1.0),
    "reflection_gain": (1e-3, 1.0),
    "active_receive_power": (0.01, 1.0),
    "passive_receive_power": (1e-3, 0.01),
    "idle_power": (1e-4, 1.0),
    "mec_energy": (1e-5, 1e-2),
}
"""Ranges of constants for the random scenarios; each may also be 0 where the scenario allows it."""

DECADES_ABOVE_ZERO = 4
"""Decades below the upper end that are drawn if a range begins at 0."""

DISTANCES = (1.0, 20.0)
"""m: distances of the users of random scenarios"""

LOADS = (0.05, 2.0)
"""Work in random scenarios, relative to what a user can compute within its slot."""

PER_USER = (
    "slot_duration",
    "reflection_gain",
    "circuit_power",
    "local_energy",
    "local_rate",
    "battery_capacity",
)

Random = np.random.Generator
Draw = Callable[[Random, int, int, int, Scenario], Frames]
"""(random, frames, users, antennas, scenario) to frames"""


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    name: str
    within: bool
    """whether the solver must decide all of its frames"""
    draw: Draw
    users: int = 3
    antennas: int = 3
    constants: dict[str, Any] | Callable[[Random, int], dict[str, Any]] = field(default_factory=dict)
    """differences from the default scenario, or a function that draws them for a batch, given the users"""
    slopes: Callable[[Random, int, Scenario], np.ndarray] | None = None
    """draws a batch's value of the energy left in the batteries, (N, S) in J/mJ"""
    schemes: tuple[str, ...] = ("hybrid",)
    beams_too: bool = True
    """whether P2 is tried too"""
    beams_every: int = 1
    """number of rounds per round in which P2 is tried"""

    def scenario(self, random: Random) -> Scenario:
        """The scenario of one batch."""
        chosen = self.constants(random, self.users) if callable(self.constants) else self.constants
        positions = [(3.0 + user % 5, 1.0 + user % 3) for user in range(self.users)]
        # Batteries at reset do not matter here, but must fit the capacity.
        own = {"user_positions": positions, "num_antennas": self.antennas, "initial_battery": 0.0}
        return Scenario(**(own | chosen))


def log_uniform(random: Random, low: float, high: float, size: Any = None) -> np.ndarray:
    """Log-uniform numbers."""
    return np.exp(random.uniform(np.log(low), np.log(high), size))


def _within(random: Random, name: str, decades: float = 0.0, size: Any = None) -> np.ndarray:
    """A constant within its range, or up to this many decades outside."""
    low, high = RANGES[name]
    low = low or high * 10.0**-DECADES_ABOVE_ZERO
    return log_uniform(random, low * 10.0**-decades, high * 10.0**decades, size)


def gaussian(random: Random, count: int, users: int, antennas: int) -> np.ndarray:
    """CN(0, 1) numbers (K, N, M)."""
    parts = random.standard_normal((2, count, users, antennas))
    return (parts[0] + 1j * parts[1]) / np.sqrt(2)


def at_distance(channels: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Channels with the path loss of 20 + 20 log10(d) dB."""
    return channels / (10 * distance[..., None])


def typical(random: Random, count: int, users: int, antennas: int, scenario: Scenario) -> Frames:
    """As in the default scenario: Rayleigh fading at 4 to 7 m, 40 kbit, batteries up to 0.1 mJ, MRT beams."""
    distance = random.uniform(4, 7.1, (count, users))
    channels = at_distance(gaussian(random, count, users, antennas), distance)
    workload = random.poisson(40.0, (count, users)).astype(float)
    battery = random.uniform(0, 0.1, (count, users))
    return Frames(channels, workload, battery, np.zeros_like(channels))


def _changed(base: Draw, change: Callable[[Random, Frames, Scenario], None]) -> Draw:
    def draw(random: Random, count: int, users: int, antennas: int, scenario: Scenario) -> Frames:
        frames = base(random, count, users, antennas, scenario)
        change(random, frames, scenario)
        return frames

    return draw


def _random_beams(random: Random, frames: Frames, scenario: Scenario) -> None:
    frames.beams[:] = unit_beams(gaussian(random, *frames.channels.shape), frames.channels)


def _idle_beams(random: Random, frames: Frames, scenario: Scenario) -> None:
    # Useless beams: orthogonal to the user's own channel, or to those of the others.
    count, users, _ = frames.channels.shape
    for user in range(users):
        own = np.arange(users) == user
        for half, avoided in ((slice(None, count // 2), own), (slice(count // 2, None), ~own)):
            _, _, rows = np.linalg.svd(frames.channels[half][:, avoided])
            frames.beams[half, user] = rows[:, -1].conj()
    _random_for_idle_users(random, frames)


def _random_for_idle_users(random: Random, frames: Frames) -> None:
    frames.workload[random.uniform(size=frames.workload.shape) < 0.2] = 0


def _full_batteries(random: Random, frames: Frames, scenario: Scenario) -> None:
    frames.battery[:] = np.broadcast_to(scenario.battery_capacity, frames.battery.shape)


def _rich_batteries(random: Random, frames: Frames, scenario: Scenario) -> None:
    frames.battery[:] = random.uniform(0.05, 1, frames.battery.shape)


def _zeros(random: Random, frames: Frames, scenario: Scenario) -> None:
    frames.workload[random.uniform(size=frames.workload.shape) < 0.3] = 0
    frames.battery[random.uniform(size=frames.battery.shape) < 0.3] = 0
    frames.channels[random.uniform(size=frames.workload.shape) < 0.3] = 0


def _empty(random: Random, frames: Frames, scenario: Scenario) -> None:
    frames.battery[:] = 0


def _blocked(random: Random, frames: Frames, scenario: Scenario) -> None:
    # One user has no path; in half of the frames it has no work, in the others its battery may suffice.
    user = random.integers(frames.workload.shape[1], size=len(frames))
    rows = np.arange(len(frames))
    frames.channels[rows, user] = 0
    frames.workload[rows, user] *= random.uniform(size=len(frames)) < 0.5
    frames.battery[rows, user] = random.uniform(0, 0.4, len(frames))


def _light(random: Random, frames: Frames, scenario: Scenario) -> None:
    frames.workload[:] = log_uniform(random, 1e-3, 5, frames.workload.shape)


def _heavy(random: Random, frames: Frames, scenario: Scenario) -> None:
    frames.workload[:] = random.uniform(30, 200, frames.workload.shape)


def _single_worker(random: Random, frames: Frames, scenario: Scenario) -> None:
    worker = random.integers(frames.workload.shape[1], size=(len(frames), 1))
    frames.workload *= np.arange(frames.workload.shape[1]) == worker


def _at_the_limit(random: Random, frames: Frames, scenario: Scenario) -> None:
    # As much work as a slot of computing can do, with a battery that just about suffices for it.
    shape = frames.workload.shape
    limit = np.broadcast_to(np.multiply(scenario.local_rate, scenario.slot_duration), shape)
    off = random.choice([0, 1e-12, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5], shape)
    frames.workload[:] = limit * (1 + off * random.choice([-1, 1], shape))
    frames.battery[:] = limit * np.asarray(scenario.local_energy)


def _structured(kind: str) -> Draw:
    """Channels in special positions relative to each other, at the typical distances."""

    def draw(random: Random, count: int, users: int, antennas: int, scenario: Scenario) -> Frames:
        frames = typical(random, count, users, antennas, scenario)
        norm = np.linalg.norm(frames.channels, axis=-1, keepdims=True)
        orthogonal = np.broadcast_to(np.eye(users, antennas), frames.channels.shape).astype(complex)
        if kind in ("rotated", "nearly orthogonal"):
            turn, _ = np.linalg.qr(gaussian(random, count, antennas, antennas))
            orthogonal = orthogonal @ turn
        if kind == "nearly orthogonal":
            size = log_uniform(random, 1e-10, 1e-1, (count, 1, 1))
            orthogonal = orthogonal + size * gaussian(random, count, users, antennas)
        direction = {
            "collinear": lambda: (
                np.repeat(gaussian(random, count, 1, antennas), users, axis=1)
                * np.exp(2j * np.pi * random.uniform(size=(count, users, 1)))
            ),
            "equal": lambda: np.repeat(gaussian(random, count, 1, antennas), users, axis=1),
        }.get(kind, lambda: orthogonal)()
        unit = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
        frames.channels[:] = unit * (norm[:, :1] if kind == "equal" else norm)
        return frames

    return draw


def _random_scenario(random: Random, users: int) -> dict[str, Any]:
    """Constants within `RANGES`, some per user, some 0."""
    drawn: dict[str, Any] = {}
    for name in RANGES:
        per_user = name in PER_USER and random.uniform() < 0.3
        value = _within(random, name, size=users if per_user else None)
        drawn[name] = tuple(map(float, value)) if per_user else float(value)
    for name in ("circuit_power", "local_rate", "idle_power", "mec_energy", "passive_receive_power"):
        if random.uniform() < 0.1:
            drawn[name] = 0.0
    if random.uniform() < 0.1:
        drawn["active_receive_power"] = drawn["passive_receive_power"]
    return drawn


def _per_user(random: Random, users: int) -> dict[str, Any]:
    default = Scenario()
    return {
        name: tuple(float(getattr(default, name)) * float(f) for f in log_uniform(random, 1 / 3, 3, users))
        for name in PER_USER
    }


def _anywhere(random: Random, count: int, users: int, antennas: int, scenario: Scenario) -> Frames:
    """Frames for a random scenario: users at any distance, work relative to what they can compute."""
    shape = (count, users)
    channels = at_distance(gaussian(random, count, users, antennas), log_uniform(random, *DISTANCES, shape))
    limit = np.broadcast_to(np.multiply(scenario.local_rate, scenario.slot_duration), shape)
    # A user without computing power has work too.
    limit = np.where(limit > 0, limit, np.exp(random.uniform(0, 5)))
    workload = np.minimum(limit * log_uniform(random, *LOADS, shape), MOST_WORK)
    battery = np.asarray(scenario.battery_capacity) * random.uniform(size=shape) ** 3
    return Frames(channels, workload, np.broadcast_to(battery, shape).copy(), np.zeros_like(channels))


def _absurd_scenario(random: Random, users: int) -> dict[str, Any]:
    """Constants up to three decades outside `RANGES`."""
    drawn: dict[str, Any] = {}
    for name in RANGES:
        value = float(_within(random, name, decades=3))
        drawn[name] = min(value, 1.0) if name in ("harvest_efficiency", "reflection_gain") else value
    drawn["passive_receive_power"] = min(drawn["passive_receive_power"], drawn["active_receive_power"])
    drawn["shortfall_price"] = max(1.0, 10 * drawn["mec_energy"])
    return drawn


def _eight_decades(random: Random, frames: Frames, scenario: Scenario) -> None:
    frames.channels *= log_uniform(random, 1e-3, 10, (*frames.workload.shape, 1))


def _tiny_channels(random: Random, frames: Frames, scenario: Scenario) -> None:
    frames.channels *= 1e-8 / np.linalg.norm(frames.channels, axis=-1, keepdims=True)
    # These channels carry nothing, so only batteries can supply energy.
    frames.battery[::2] = random.uniform(0.1, 0.5, frames.battery[::2].shape)


def _strong_channels(random: Random, frames: Frames, scenario: Scenario) -> None:
    frames.channels *= log_uniform(random, 10, 1e5, (len(frames), 1, 1))


def _wild_work(random: Random, frames: Frames, scenario: Scenario) -> None:
    frames.workload[:] = log_uniform(random, 1e-12, 1e5, frames.workload.shape)


def _values(parts: int, *, degenerate: bool = False) -> Callable[[Random, int, Scenario], np.ndarray]:
    """Values of energy that fall from part to part of a battery.

    If ``degenerate``, they are equal in all parts of some batteries, fall in few steps in others, and are 0
    in others.
    """

    def draw(random: Random, users: int, scenario: Scenario) -> np.ndarray:
        shares = -np.sort(-random.exponential(size=(users, parts)), axis=-1)
        if degenerate:
            kind = random.integers(4, size=(users, 1))
            shares = np.where(kind == 0, 0, np.where(kind == 1, 1, shares))
            shares = np.where(kind == 2, np.ceil(shares), shares)
        full = log_uniform(random, MOST_WORTH * 10.0**-DECADES_ABOVE_ZERO, MOST_WORTH, (users, 1))
        slopes = full / np.broadcast_to(scenario.battery_capacity, users)[:, None] * shares
        mean = shares.mean(axis=-1, keepdims=True)
        return slopes / np.where(mean > 0, mean, 1)

    return draw


ALL = ("hybrid", "active", "passive", "local")
FREE_AP = {
    "active_receive_power": 0.0,
    "passive_receive_power": 0.0,
    "mec_energy": 0.0,
    "idle_power": 0.0,
}

CASES: tuple[Case, ...] = (
    Case("defaults", True, typical, schemes=ALL),
    Case("random beams", True, _changed(typical, _random_beams), schemes=ALL),
    Case("idle beams", True, _changed(typical, _idle_beams), schemes=ALL, beams_too=False),
    Case("idle_power 0", True, typical, constants={"idle_power": 0.0}, schemes=ALL),
    Case(
        "idle_power 0, batteries that pay for all",
        True,
        _changed(typical, _rich_batteries),
        constants={"idle_power": 0.0},
    ),
    Case("full batteries", True, _changed(typical, _full_batteries), constants={"idle_power": 0.0}),
    Case("all AP costs 0", True, typical, constants=FREE_AP, schemes=ALL),
    Case("all AP costs 0, rich batteries", True, _changed(typical, _rich_batteries), constants=FREE_AP),
    Case("empty batteries", True, _changed(typical, _empty), schemes=ALL),
    Case("zeros everywhere", True, _changed(typical, _zeros), schemes=ALL),
    Case("blocked users", True, _changed(typical, _blocked), schemes=ALL),
    Case("one user with work", True, _changed(typical, _single_worker)),
    Case("little work", True, _changed(typical, _light)),
    Case("much work", True, _changed(typical, _heavy)),
    Case("per-user constants", True, typical, constants=_per_user, schemes=ALL),
    Case(
        "sigmoidal rectifier",
        True,
        typical,
        constants={"harvest_model": "sigmoidal"},
        beams_too=False,
    ),
    Case("causal harvest", True, typical, constants={"causal_harvest": True}),
    Case("residual interference", True, typical, constants={"residual_interference": 1e-9}),
    Case("valued batteries", True, typical, slopes=_values(16)),
    Case("valued batteries, degenerate", True, _changed(typical, _zeros), slopes=_values(5, degenerate=True)),
    Case("valued batteries, rich", True, _changed(typical, _rich_batteries), slopes=_values(16)),
    Case(
        "valued batteries, random scenarios",
        True,
        _anywhere,
        constants=_random_scenario,
        slopes=_values(16),
    ),
    Case("valued batteries, six users, four antennas", True, typical, 6, 4, slopes=_values(8)),
    Case("one user, one antenna", True, typical, users=1, antennas=1),
    Case("three users, one antenna", True, typical, users=3, antennas=1),
    Case("two users, eight antennas", True, typical, users=2, antennas=8),
    Case("six users, four antennas", True, typical, users=6, antennas=4),
    Case("sixteen users and antennas", True, typical, users=16, antennas=16, beams_every=5),
    Case("orthogonal channels", True, _structured("orthogonal"), schemes=ALL),
    Case("rotated orthogonal channels", True, _structured("rotated"), schemes=ALL),
    Case("nearly orthogonal channels", True, _structured("nearly orthogonal"), schemes=ALL),
    Case("collinear channels", True, _structured("collinear"), schemes=ALL),
    Case("equal channels", True, _structured("equal"), schemes=ALL),
    Case("random scenarios", True, _anywhere, constants=_random_scenario, schemes=ALL),
    Case("at the limit of the slot", True, _changed(typical, _at_the_limit)),
    Case("ap_power 1e3", True, typical, constants={"ap_power": 1e3}),
    Case("noise_power 1e-3", True, typical, constants={"noise_power": 1e-3}),
    Case("path gains over 8 decades", True, _changed(typical, _eight_decades)),
    Case("channels of 1e-8", True, _changed(typical, _tiny_channels)),
    Case("gains above 0 dB", False, _changed(typical, _strong_channels)),
    Case("battery_capacity 1e9", True, typical, constants={"battery_capacity": 1e9}),
    Case("work from 1e-12 to 1e5 kbit", True, _changed(typical, _wild_work)),
    Case("random scenarios, three decades beyond", False, _anywhere, constants=_absurd_scenario),
)
