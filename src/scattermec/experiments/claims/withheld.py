"""The constants that the paper does not give: for each, the range in which it is varied, and why.

The paper gives antennas, users and their positions, slots, eta, mu_1, mu_2, the mean workload and the path
loss.
`battery_capacity` stays at its default, far above what the batteries hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scattermec.scenario import Scenario


@dataclass(frozen=True)
class Withheld:
    """A constant that the paper does not give."""

    low: float
    high: float
    reason: str
    """why the range has these ends"""
    published: tuple[float, float]
    """span of published figures for such hardware, in the unit of the constant"""
    source: str
    """where these figures come from"""
    logarithmic: bool = True

    def at(self, part: float) -> float:
        """The value at a share of the range, rounded to four digits."""
        if self.logarithmic:
            value = self.low * (self.high / self.low) ** part
        else:
            value = self.low + (self.high - self.low) * part
        return float(f"{value:.4g}")


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
        1.0,
        8.0,
        "from a reward that pays for outages to one that hardly ever does",
        (1.0, 8.0),
        "a design choice, not hardware",
        logarithmic=False,
    ),
}
"""Declared before any scenario was solved in these ranges. ``initial_battery`` is the upper end of the range
of batteries at reset, whose lower end is a share of it; ``passive_receive_power`` is a share of
``active_receive_power``."""

LEAST_BATTERY = "least_battery"
"""The lower end of the batteries at reset, as a share of the upper end: a further coordinate."""

COORDINATES = (*WITHHELD, LEAST_BATTERY)
"""What a point of the unit cube stands for, in this order."""


def scenario_at(parts: Sequence[float] | np.ndarray, base: Scenario) -> Scenario:
    """The scenario at a point of the unit cube, one share per coordinate; the rest is from ``base``."""
    shares = dict(zip(COORDINATES, map(float, parts), strict=True))
    values: dict[str, Any] = {name: declared.at(shares[name]) for name, declared in WITHHELD.items()}
    upper = values["initial_battery"]
    values["initial_battery"] = (float(f"{upper * shares[LEAST_BATTERY]:.4g}"), upper)
    values["passive_receive_power"] = float(
        f"{values['passive_receive_power'] * values['active_receive_power']:.4g}"
    )
    return base.replace(**values)
