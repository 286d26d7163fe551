"""What looks wrong with frames from elsewhere: units, axes, conjugation. Pure NumPy functions.

Nothing of it is certain: each rule asks for more than frames of sensible systems show by chance.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scattermec.experiments.measure.diagnosis import PREFIX, Sample, warnings_of, wrong_units

LEAST_DB = 10.0
"""Larger numbers are no amplitudes, and probably dB."""

LEAST_SPREAD_DB = 3.0
"""Differences of mean power along an axis, in dB, that could be differences between users."""

CLEARLY = 3.0
"""By which factor they exceed those along the axis of users, and chance."""

MANY_ANTENNAS = 64
"""More are suspected to be frames, if there are fewer frames than that."""

HARDLY_SENT_DB = -20.0
"""At lower SNRs hardly anything can be sent."""


class Suspicion(NamedTuple):
    """Something that looks wrong."""

    kind: str
    """a word for programs: bits, joules, decibels, phase, axes, conjugated, snr, plausible or capacity"""
    text: str


def suspicions(sample: Sample, beams: NDArray[np.complex128] | None, strong: int) -> list[Suspicion]:
    """What looks wrong with K frames.

    Args:
        sample: the frames.
        beams: (K, N, M) of the same frames, if the file has them.
        strong: number of frames in the whole file with a gain above 1.
    """
    found = [*_units(sample), *_axes(sample.channels), *_no_phase(sample.channels)]
    if beams is not None:
        found += _conjugated(sample.channels, beams)
    if not found:  # otherwise they follow from it
        found += [Suspicion("plausible", line) for line in warnings_of(sample, strong)]
        found += _weak(sample)
    return found


def user_rows(sample: Sample) -> Iterator[dict[str, float]]:
    """Per user, medians over the frames: ||h||^2 in dB with its 5% and 95% points, SNR, work and energy."""
    with np.errstate(divide="ignore"):
        gain_db = 10 * np.log10(sample.gain)
    for user in range(gain_db.shape[1]):
        low, middle, high = np.percentile(gain_db[:, user], (5, 50, 95), method="nearest")
        yield {
            "user": user,
            "gain_db": float(middle),
            "gain_db_low": float(low),
            "gain_db_high": float(high),
            "snr_db": float(np.median(sample.snr_db[:, user])),
            "workload": float(np.median(sample.workload[:, user])),
            "battery": float(np.median(sample.battery[:, user])),
            "harvestable": float(np.median(sample.harvestable[:, user])),
        }


def real_channels(channels: NDArray[np.floating]) -> str:
    """What channels without imaginary parts probably are."""
    if (np.abs(channels) >= LEAST_DB).any():
        return "they look like gains in dB; needed are complex amplitudes, 10^(dB/20) with a phase"
    if (channels >= 0).all():
        return "they look like amplitudes or powers without a phase; needed are complex amplitudes"
    return "they may be the real parts alone; needed are complex amplitudes"


def _units(sample: Sample) -> Iterator[Suspicion]:
    kinds = {"workload": "bits", "batteries": "joules", "noise_power": "noise"}
    users: dict[str, list[str]] = {}
    for user in range(sample.workload.shape[1]):
        for line in wrong_units(sample, user):
            users.setdefault(line, []).append(str(user))
    for line, whose in users.items():
        kind = next(kind for word, kind in kinds.items() if word in line)
        yield Suspicion(kind, f"{line} (users {', '.join(whose)})")
    capacity = sample.per_user("battery_capacity")
    fullest = (sample.battery / capacity).max()
    joules = "the batteries look like J, not mJ"
    if 0 < fullest <= 1 / PREFIX and joules not in users:
        yield Suspicion("joules", f"{joules}: none holds more than {fullest:.1g} of its capacity")
    if (np.median(sample.battery, axis=0) > PREFIX * capacity / 10).any():
        most = sample.battery.max()
        yield Suspicion("capacity", f"battery: up to {most:.3g} mJ, far above battery_capacity; is it in mJ?")


def _no_phase(channels: NDArray[np.complex128]) -> Iterator[Suspicion]:
    if not channels.imag.any():
        kind = "decibels" if (np.abs(channels.real) >= LEAST_DB).any() else "phase"
        yield Suspicion(kind, f"channels: have no imaginary part; {real_channels(channels.real)}")


def _axes(channels: NDArray[np.complex128]) -> Iterator[Suspicion]:
    """Users differ in path loss; antennas hardly do, and few frames do not, unless axes are swapped."""
    frames, users, antennas = channels.shape
    if antennas > max(MANY_ANTENNAS, frames):
        yield Suspicion(
            "axes",
            f"channels: {antennas} antennas in {frames} frames; the axes of antennas and frames look swapped "
            "(--axes)",
        )
    of_users, _ = _spread(channels, 1)
    # In many frames users may move.
    for name, axis in (("antennas", 2), ("frames", 0))[: 2 if frames < users else 1]:
        spread, chance = _spread(channels, axis)
        if spread > max(LEAST_SPREAD_DB, CLEARLY * (of_users + chance)):
            yield Suspicion(
                "axes",
                f"channels: the {name} differ in their mean power by {spread:.0f} dB, the users by "
                f"{of_users:.1f} dB; the axes of {name} and users look swapped (--axes)",
            )


def _spread(channels: NDArray[np.complex128], axis: int) -> tuple[float, float]:
    """Standard deviation in dB of the mean power along an axis, and what chance contributes to it."""
    power = channels.real**2 + channels.imag**2
    present = power > 0
    decibels = 10 * np.log10(np.where(present, power, 1.0))
    others = tuple(other for other in range(3) if other != axis)
    counts = present.sum(axis=others)
    if (counts == 0).any() or len(counts) == 1:
        return 0.0, 0.0
    means = decibels.sum(axis=others, where=present) / counts
    rest = decibels - np.expand_dims(means, others)
    return float(means.std()), float(rest.std(where=present) / np.sqrt(counts.mean()))


def _conjugated(channels: NDArray[np.complex128], beams: NDArray[np.complex128]) -> Iterator[Suspicion]:
    """Beams that serve their users well under y = h^T w and badly under y = h^H w."""
    norm = np.linalg.norm(channels, axis=2) * np.linalg.norm(beams, axis=2)
    used = norm > 0
    if not used.any():
        return

    def share(products: NDArray[np.complex128]) -> float:
        return float(np.mean((np.abs(products.sum(axis=2))[used] / norm[used]) ** 2))

    ours, other = share(channels.conj() * beams), share(channels * beams)
    if other > 0.5 and ours < 0.5 * other:
        yield Suspicion(
            "conjugated",
            f"beams: reach {ours:.0%} of their users' gains, but {other:.0%} under y = h^T w; conjugate the "
            "channels (--conjugate) or the beams",
        )


def _weak(sample: Sample) -> Iterator[Suspicion]:
    if (sample.snr_db < HARDLY_SENT_DB).all():
        yield Suspicion(
            "snr",
            f"channels: the SNR is at most {sample.snr_db.max():.0f} dB, with all energy in one slot; are "
            "they powers instead of amplitudes, or is noise_power of another bandwidth?",
        )
