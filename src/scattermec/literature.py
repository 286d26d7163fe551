"""From the constants that papers give to those of a scenario: path loss, noise power, local computing.

Each formula is one function of numbers or NumPy arrays. `Literature` holds what a paper gives, and turns it
into constants of a `Scenario`, as `scattermec scenario --from-literature` does.
"""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from scattermec._settings import FileSettings, constant
from scattermec._units import rounded

__all__ = ["Literature", "local_energy", "local_rate", "noise_power", "path_loss_db"]

Numbers = float | int | NDArray[np.float64]


def path_loss_db(
    distance: NDArray[np.float64], exponent: float, reference_loss: float, antenna_gain: float
) -> NDArray[np.float64]:
    """Log-distance path loss L = L_0 - G + 10 alpha log10(d / 1 m) in dB, antenna gain included.

    The log-distance model, as in Rappaport, Wireless Communications, 2nd edition, Section 4.9.1.

    Args:
        distance: in m.
        exponent: path-loss exponent alpha.
        reference_loss: L_0 in dB, at 1 m between isotropic antennas.
        antenna_gain: G in dBi, of both antennas together.
    """
    return (reference_loss - antenna_gain) + 10 * exponent * np.log10(distance)


def noise_power(density: Numbers, bandwidth: Numbers, figure: Numbers = 0.0) -> Numbers:
    """Noise power in W: N_0 B F, as in Pozar, Microwave Engineering, 4th edition, Section 10.2.

    Thermal noise at 290 K has a density of -174 dBm/Hz.

    Args:
        density: N_0 in dBm/Hz.
        bandwidth: B in kHz.
        figure: noise figure F in dB.
    """
    return 10 ** ((density + figure) / 10 - 3) * (1e3 * bandwidth)


def local_energy(kappa: Numbers, frequency: Numbers, cycles_per_bit: Numbers) -> Numbers:
    """Energy of local computing in mJ/kbit: kappa f^2 J per cycle.

    From Mao et al., A Survey on Mobile Edge Computing, IEEE Commun. Surveys Tuts. 19(4), 2017, Section II.

    Args:
        kappa: effective switched capacitance in J s^2, as in kappa f^3 W.
        frequency: f of the processor in Hz.
        cycles_per_bit: cycles that a bit needs.
    """
    return 1e6 * (kappa * frequency**2 * cycles_per_bit)


def local_rate(frequency: Numbers, cycles_per_bit: Numbers) -> Numbers:
    """Rate of local computing in kbit/s: f over the cycles that a bit needs (the same survey).

    Args:
        frequency: f of the processor in Hz.
        cycles_per_bit: cycles that a bit needs.
    """
    return 1e-3 * (frequency / cycles_per_bit)


class Literature(FileSettings):
    """Constants as papers give them; those that a paper does not give are None."""

    _title: ClassVar = "constants of the literature"

    kappa: float | None = constant(None, "kappa", "J s^2", "> 0 and <= 1", "Effective switched capacitance")
    cpu_frequency: float | None = constant(None, "f", "Hz", "> 0 and <= 1e15", "Processor's frequency")
    cycles_per_bit: float | None = constant(
        None, "C", "cycle/bit", "> 0 and <= 1e15", "Cycles per bit computed"
    )
    noise_density: float | None = constant(None, "N_0", "dBm/Hz", ">= -300 and <= 0", "Noise density")
    noise_figure: float = constant(0.0, "F", "dB", ">= 0 and <= 100", "Receiver's noise figure")

    def constants(self, bandwidth: float) -> dict[str, float]:
        """The scenario's constants that follow, by name; ``bandwidth`` is in kHz."""
        found: dict[str, Numbers] = {}
        if self.cpu_frequency is not None and self.cycles_per_bit is not None:
            found["local_rate"] = local_rate(self.cpu_frequency, self.cycles_per_bit)
            if self.kappa is not None:
                found["local_energy"] = local_energy(self.kappa, self.cpu_frequency, self.cycles_per_bit)
        if self.noise_density is not None:
            found["noise_power"] = noise_power(self.noise_density, bandwidth, self.noise_figure)
        return {name: rounded(float(value)) for name, value in found.items()}

    def _cross_faults(self) -> Iterator[tuple[tuple[str, ...], str]]:
        needed: dict[str, tuple[str, ...]] = {
            "kappa": ("cpu_frequency", "cycles_per_bit"),
            "cpu_frequency": ("cycles_per_bit",),
            "cycles_per_bit": ("cpu_frequency",),
            "noise_figure": ("noise_density",),
        }
        for name, others in needed.items():
            missing = [other for other in others if getattr(self, other) is None]
            if getattr(self, name) and missing:
                yield (name, *others), f"{name}: has no effect without {' and '.join(missing)}"
