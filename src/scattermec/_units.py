"""Numbers with units, such as "-90 dBm", converted to the unit of a constant by Pint."""

import functools
import re
from typing import Any

import numpy as np

__all__ = ["UnitError", "converted", "example", "rounded"]

_EXAMPLES = {
    "W": "30 dBm",
    "mW": "-10 dBm",
    "kHz": "2 MHz",
    "Hz": "0.5 GHz",
    "kbit": "5 kB",
    "kbit/s": "1 Mbit/s",
    "J/kbit": "5e-7 J/bit",
    "mJ/kbit": "5e-9 J/bit",
    "mJ": "0.1 J",
    "s": "100 ms",
    "m": "0.2 km",
    "dBm/Hz": "4e-21 W/Hz",
    "cycle/bit": "8000 cycle/byte",
    "": "-20 dB",
}
"""A number in another unit, by the unit of a constant; the unit "" stands for plain ratios."""

# Not Pint's own list: there a bit has no dimension, so that kHz would convert to kbit/s.
_DEFINITIONS = """
femto- = 1e-15 = f-
pico- = 1e-12 = p-
nano- = 1e-9 = n-
micro- = 1e-6 = µ- = μ- = u-
milli- = 1e-3 = m-
centi- = 1e-2 = c-
kilo- = 1e3 = k-
mega- = 1e6 = M-
giga- = 1e9 = G-
second = [time] = s
minute = 60 second = min
hour = 3600 second = h
meter = [length] = m = metre
joule = [energy] = J
watt = joule / second = W
watt_hour = watt * hour = Wh
hertz = 1 / second = Hz
bit = [information] = b
byte = 8 bit = B
bit_per_second = bit / second = bps
cycle = [cycle]
percent = 0.01 = %
decibel = 1; logbase: 10; logfactor: 10 = dB = dBi
decibelwatt = watt; logbase: 10; logfactor: 10 = dBW
decibelmilliwatt = 1e-3 watt; logbase: 10; logfactor: 10 = dBm
decibelmilliwatt_hertz = 1e-3 joule; logbase: 10; logfactor: 10 = dBmHz
"""

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"
_NAME = r"(?!dB)[^\W\d_]+(?:(?:\^|\*\*)-?\d)?"
_UNIT = rf"dBm/Hz|dB\w*|%|(?:1 ?/ ?)?{_NAME}(?:(?: ?[*/] ?| ){_NAME})*"
_QUANTITY = re.compile(rf"({_NUMBER}) ?({_UNIT})", re.IGNORECASE)
_LONGEST = 80


class UnitError(ValueError):
    """Why a unit cannot be used, in words."""


def example(unit: str) -> str:
    """A number with a unit, for a constant in ``unit``."""
    return _EXAMPLES.get(unit, f"1 {unit}")


def converted(text: str, unit: str) -> float | None:
    """The number in ``text`` such as "36 dBm" or "2 MHz", in ``unit``; None if it is no number with a unit.

    Raises UnitError for an unknown unit, and for one that does not convert to ``unit``.
    """
    found = _QUANTITY.fullmatch(text.strip()) if len(text) <= _LONGEST else None
    if found is None:
        return None
    number, given = float(found[1]), found[2]
    import pint

    registry = _registry()
    try:
        source, target = (registry.parse_units(name.replace("dBm/Hz", "dBmHz")) for name in (given, unit))
        with np.errstate(all="ignore"):  # the rules of the constants refuse what is not finite
            value = float(registry.Quantity(number, source).to(target).magnitude)
    except pint.UndefinedUnitError as error:
        raise UnitError(f"the unit {' and '.join(error.unit_names)} is not known") from None
    except (pint.PintError, ArithmeticError, ValueError):
        raise UnitError(f"{given} does not convert to {unit or 'a ratio'}") from None
    return number if source == target else rounded(value)


def rounded(value: float) -> float:
    """``value`` to 12 digits, so that -90 dBm is 1e-12 W and not 9.999999999999972e-13 W."""
    return float(f"{value:.12g}")


@functools.cache
def _registry() -> Any:
    import pint

    registry: Any = pint.UnitRegistry(None, autoconvert_offset_to_baseunit=True)
    for line in _DEFINITIONS.strip().splitlines():
        registry.define(line)
    return registry
