"""What the paper does not give: for each constant, the range in which it is varied, and why.

The paper gives antennas, users and their positions, slots, eta, mu_1, mu_2, the mean workload and the path
loss. It says neither where the abscissae of Fig. 3 and 4 begin nor where they end, nor what becomes of frames
in which its problem (10), to serve all users, has no solution.
`battery_capacity` stays at its default, far above what the batteries hold.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scattermec.errors import InputError
from scattermec.scenario import Scenario


@dataclass(frozen=True)
class Range:
    """The range of a number that the paper does not give."""

    low: float
    high: float
    reason: str
    """why the range has these ends"""

    def at(self, part: float) -> float:
        """The value at a share of the range, on a logarithmic scale, rounded to four digits."""
        return float(f"{self.low * (self.high / self.low) ** part:.4g}")

    def share_of(self, value: float) -> float:
        """The share of the range at which `at` has a value; at the nearest end if it lies outside."""
        inside = min(max(value, self.low), self.high)
        return math.log(inside / self.low) / math.log(self.high / self.low)


@dataclass(frozen=True)
class Withheld(Range):
    """A constant that the paper does not give."""

    published: tuple[float, float]
    """span of published figures for such hardware, in the unit of the constant"""
    source: str
    """where these figures come from"""


_RECEIVERS = "low-power receiver chips (1 mW) to software-defined radios (1 W)"

WITHHELD = {
    "bandwidth": Withheld(
        1.0,
        20.0,
        "1 kHz can just carry 40 kbit per slot at an SNR of 120 dB; with 20 kHz, bandwidth no longer binds",
        (1.0, 1000.0),
        "ambient backscatter at 1 kbit/s (Liu et al., SIGCOMM 2013) to 1 Mbit/s (Parks et al., SIGCOMM 2014)",
    ),
    "noise_power": Withheld(
        1e-11,
        1e-8,
        "20 dB below to 10 dB above the default, since self-interference left after cancellation dominates",
        (1e-12, 1e-6),
        "1 W of carrier less 60 dB (isolation of RFID readers) to 110 dB of cancellation (Bharadia et al., "
        "SIGCOMM 2013)",
    ),
    "reflection_gain": Withheld(
        0.001,
        1.0,
        "up to total reflection; below 0.001 backscatter carries nothing in this geometry",
        (0.01, 1.0),
        "modulation losses of tags, 3 to 20 dB with the SNR gap of uncoded modulation",
    ),
    "circuit_power": Withheld(
        1e-5,
        0.3,
        "from a radio whose circuits cost next to nothing, which the paper's (4) has, to a real one",
        (0.02, 30.0),
        "wake-up radios and custom transmitters (tens of uW) to Bluetooth Low Energy (tens of mW)",
    ),
    "local_energy": Withheld(
        0.0005,
        0.05,
        "a factor of ten on either side of the default",
        (0.0001, 0.25),
        "10 to 1000 cycles per bit at 10 to 250 pJ per cycle, as microcontrollers have",
    ),
    "local_rate": Withheld(
        20.0,
        200.0,
        "half the mean workload per slot, to five times",
        (1.0, 5000.0),
        "1 to 50 MHz at 10 to 1000 cycles per bit",
    ),
    "active_receive_power": Withheld(
        0.0003, 0.2, "below to above the span of receiver chips", (0.001, 1.0), _RECEIVERS
    ),
    "passive_receive_power": Withheld(
        0.001,
        1.0,
        "as a share of active_receive_power, which the paper says is larger",
        (0.01, 1.0),
        "as a share of active_receive_power: an envelope detector, to the same receiver for both",
    ),
    "mec_energy": Withheld(
        1e-6,
        0.002,
        "a server that costs nothing beside the beams, to one that dominates",
        (1e-6, 0.001),
        "10 to 1000 cycles per bit at 0.1 to 1 nJ per cycle",
    ),
    "idle_power": Withheld(
        1e-4,
        0.05,
        "nearly 0, the letter of (7), to five times the default",
        (0.001, 10.0),
        "sleeping gateways to RFID readers",
    ),
    "initial_battery": Withheld(
        1e-4,
        0.2,
        "upper end at reset; from far too little for one kbit to enough for 40 kbit at the default",
        (0.001, 1.0),
        "capacitors of 1 to 100 uF at 1 to 5 V",
    ),
    "reliability_weight": Withheld(
        0.05,
        8.0,
        "the paper says sigma > 0: from a reward that hardly minds outages to one that hardly ever has any",
        (0.05, 8.0),
        "a design choice, not hardware",
    ),
}
"""``initial_battery`` is the upper end of the range of batteries at reset, whose lower end is a share of it;
``passive_receive_power`` is a share of ``active_receive_power``."""

LEAST_BATTERY = "least_battery"
"""The lower end of the batteries at reset, as a share of the upper end: a further coordinate."""

ENDS = {
    "ap_power_sweep.low": Range(0.02, 0.5, "17 dB to 3 dB below the scenario's own power"),
    "ap_power_sweep.high": Range(2.0, 10.0, "3 dB to 10 dB above the scenario's own power"),
    "mean_workload_sweep.low": Range(1.0, 20.0, "from a fortieth to half of the mean that the paper gives"),
    "mean_workload_sweep.high": Range(
        50.0, 80.0, "a quarter more than the mean that the paper gives, to twice that"
    ),
    "distance_sweep.low": Range(
        0.3, 0.8, "the nearest user at 1.3 m, where the path loss is 22 dB, to 3.4 m"
    ),
    "distance_sweep.high": Range(
        1.25, 4.0, "somewhat farther than the positions that the paper gives, to 28 m"
    ),
}
"""The lowest and the highest value on the abscissae of Fig. 3a, 3b and 4: readings of what the paper calls
low, small and far. Each sweep contains the scenario's own value."""

RANGES: dict[str, Range] = {**WITHHELD, **ENDS}
"""All declared ranges."""

PARTIAL_SERVICE = "partial_service"
"""A reading: where (10) has no solution, the best set of users is served (above one half), or nobody."""

COORDINATES = (*WITHHELD, LEAST_BATTERY, PARTIAL_SERVICE, *ENDS)
"""What a point of the unit cube stands for, in this order."""

_SWEEPS = tuple(dict.fromkeys(name.partition(".")[0] for name in ENDS))

CONSTANTS = (*WITHHELD, PARTIAL_SERVICE, *_SWEEPS)
"""The constants of a scenario that a point decides."""


def declared_ranges() -> dict[str, list[float] | list[bool]]:
    """The ends of every range, and the values of the reading, as they are kept in JSON files."""
    ends: dict[str, list[float] | list[bool]] = {
        name: [declared.low, declared.high] for name, declared in RANGES.items()
    }
    return {**ends, PARTIAL_SERVICE: [False, True]}


def scenario_at(parts: Sequence[float] | np.ndarray, base: Scenario) -> Scenario:
    """The scenario at a point of the unit cube, one share per coordinate; the rest is from ``base``."""
    shares = dict(zip(COORDINATES, map(float, parts), strict=True))
    numbers = {name: declared.at(shares[name]) for name, declared in RANGES.items()}
    values: dict[str, Any] = {name: numbers[name] for name in WITHHELD}
    upper = values["initial_battery"]
    values["initial_battery"] = (float(f"{upper * shares[LEAST_BATTERY]:.4g}"), upper)
    values["passive_receive_power"] = float(
        f"{values['passive_receive_power'] * values['active_receive_power']:.4g}"
    )
    values[PARTIAL_SERVICE] = shares[PARTIAL_SERVICE] > 0.5
    for name in _SWEEPS:
        values[name] = (numbers[f"{name}.low"], numbers[f"{name}.high"])
    return base.replace(**values)


def shares_at(scenario: Scenario) -> tuple[float, ...]:
    """The point of the unit cube for a scenario; what lies outside a range is moved to its nearest end.

    Raises InputError if a constant differs between users.
    """
    numbers = numbers_of(scenario)
    shares = {name: declared.share_of(numbers[name]) for name, declared in RANGES.items()}
    shares[PARTIAL_SERVICE] = 0.75 if scenario.partial_service else 0.25
    shares[LEAST_BATTERY] = _part(_battery(scenario)[0], _battery(scenario)[1])
    return tuple(shares[name] for name in COORDINATES)


def numbers_of(scenario: Scenario) -> dict[str, float]:
    """The numbers of a scenario that `RANGES` are about; InputError if a constant differs between users."""
    own = {name: scenario.per_user(name) for name in WITHHELD if name != "initial_battery"}
    several = {name: values for name, values in own.items() if len(set(values)) > 1}
    if several:
        raise InputError(
            f"{name}: {list(values)} is not allowed here; it must be one number for all users"
            for name, values in several.items()
        )
    numbers = {name: values[0] for name, values in own.items()}
    numbers["initial_battery"] = _battery(scenario)[1]
    numbers["passive_receive_power"] = _part(scenario.passive_receive_power, scenario.active_receive_power)
    for name in _SWEEPS:
        numbers[f"{name}.low"], numbers[f"{name}.high"] = getattr(scenario, name)
    return numbers


def _battery(scenario: Scenario) -> tuple[float, float]:
    ends = scenario.initial_battery
    return ends if isinstance(ends, tuple) else (ends, ends)


def _part(number: float, whole: float) -> float:
    return number / whole if whole else 0.0
