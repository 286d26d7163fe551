"""Why frames cannot be served, and which of their numbers look like a wrong unit: pure NumPy functions."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scattermec.physics.parameters import amplitude_gain
from scattermec.price_net import variety
from scattermec.scenario import Scenario

MOST_SNR_DB = 90.0
"""Higher SNRs are beyond what receivers resolve."""

MOST_LOAD = 10.0
"""A workload is far too high above this multiple of what bandwidth and slot carry at the frame's own SNR."""

PREFIX = 1000.0
"""Ratio of units that are easily confused: bits and kbit, J and mJ, W and mW."""

APART = 100.0
"""A wrong unit is suspected only if a number is off by at least this factor."""

LEAST_DBM = 10.0
"""A smaller power is not suspected to be in dBm."""

FAIR_SNR = 1e3
"""SNR that a link is typically designed for."""

TRACE_FRAMES = 2048
"""Frames of a trace that are examined."""


@dataclass(frozen=True)
class Sample:
    """K frames of N users and M antennas, and upper limits on what their users can do."""

    scenario: Scenario
    channels: NDArray[np.complex128]
    """(K, N, M)"""
    workload: NDArray[np.float64]
    """(K, N) kbit"""
    battery: NDArray[np.float64]
    """(K, N) mJ"""
    mean: bool = False
    """whether it represents all frames of the scenario by their means"""

    def per_user(self, name: str) -> NDArray[np.float64]:
        """A constant of the scenario, (N,)."""
        return np.broadcast_to(np.asarray(getattr(self.scenario, name), float), self.workload.shape[1:])

    @cached_property
    def gain(self) -> NDArray[np.float64]:
        """(K, N): of each user's channel."""
        return (self.channels.real**2 + self.channels.imag**2).sum(axis=2)

    @cached_property
    def harvestable(self) -> NDArray[np.float64]:
        """(K, N) mJ: if the AP beams at the user alone in all slots."""
        given = (
            self.scenario.harvest_efficiency * self.scenario.ap_power * self.per_user("slot_duration").sum()
        )
        return 1e3 * given * self.gain

    @cached_property
    def energy(self) -> NDArray[np.float64]:
        """(K, N) mJ: stored and harvestable."""
        return np.minimum(self.battery, self.per_user("battery_capacity")) + self.harvestable

    @cached_property
    def snr(self) -> NDArray[np.float64]:
        """(K, N): SNR of active transmission, with all energy in the user's own slot."""
        power = 1e-3 * self.energy / self.per_user("slot_duration")
        return power * self.gain / self.scenario.noise_power

    @property
    def snr_db(self) -> NDArray[np.float64]:
        """The same in dB; very low if it is 0."""
        return 10 * np.log10(np.maximum(self.snr, 1e-300))

    @property
    def carried(self) -> NDArray[np.float64]:
        """(K, N) kbit: limit by computing rate, bandwidth and slot with enough energy, at `FAIR_SNR`."""
        slot, snr = self.per_user("slot_duration"), np.maximum(self.snr, FAIR_SNR)
        return slot * (self.per_user("local_rate") + self.scenario.bandwidth * np.log2(1 + snr))

    @cached_property
    def most(self) -> NDArray[np.float64]:
        """(K, N) kbit: limit by computing, in rate and energy, plus what the link can carry."""
        slot = self.per_user("slot_duration")
        local = np.minimum(self.per_user("local_rate") * slot, self.energy / self.per_user("local_energy"))
        return local + self.scenario.bandwidth * slot * np.log2(1 + self.snr)

    @property
    def local_energy(self) -> NDArray[np.float64]:
        """(K, N) mJ: needed to compute all work locally."""
        return self.per_user("local_energy") * self.workload

    @property
    def strong(self) -> int:
        """Number of frames with a channel through which more would arrive than is sent."""
        return int((self.gain >= 1).any(axis=1).sum())


def sample_of(scenario: Scenario) -> Sample:
    """The scenario's trace, or one frame of mean gains, mean work and full batteries."""
    amplitude = amplitude_gain(scenario.path_loss)
    channels = np.repeat(amplitude[None, :, None], scenario.num_antennas, axis=2).astype(complex)
    work = np.broadcast_to(np.asarray(scenario.mean_workload, float), (1, scenario.num_users))
    trace_channels, trace_work = scenario.load_trace()
    if trace_channels is not None:
        channels = np.asarray(trace_channels[:TRACE_FRAMES], complex)
    if trace_work is not None:
        work = np.asarray(trace_work[:TRACE_FRAMES], float)
    frames = max(len(channels), len(work))
    channels = np.resize(channels, (frames, *channels.shape[1:]))
    work = np.resize(work, (frames, work.shape[1]))
    return Sample(scenario, channels, work, np.full(work.shape, np.inf), mean=trace_channels is None)


def infeasible_lines(sample: Sample) -> list[str]:
    """One line per user: medians over the frames, and what would have to change."""
    lines = []
    for user in range(sample.workload.shape[1]):

        def middle(values: NDArray[np.float64], user: int = user) -> float:
            return float(np.median(values[:, user]))

        snr = middle(sample.snr)
        snr_db = 10 * np.log10(snr) if snr > 0 else -np.inf
        lines.append(
            f"user {user}: {middle(sample.workload):.3g} kbit to do, {middle(sample.local_energy):.3g} mJ "
            f"to compute it; {middle(sample.battery):.3g} mJ stored, "
            f"at most {middle(sample.harvestable):.3g} mJ to harvest, SNR at most {snr_db:.0f} dB; "
            + _remedy(sample, user)
        )
    return lines


def _remedy(sample: Sample, user: int) -> str:
    work, most = (float(np.median(values[:, user])) for values in (sample.workload, sample.most))
    if np.median(sample.gain[:, user]) == 0:
        return "it has no path to the AP"
    if work <= most:
        return "it could be served alone, but shares slots and beams: less work, more power or longer slots"
    likely = list(wrong_units(sample, user))
    advice = likely[0] if len(likely) == 1 else "less work, more power or longer slots"
    return f"its work is {work / max(most, 1e-300):.3g} times what it can do: {advice}"


def wrong_units(sample: Sample, user: int) -> Iterator[str]:
    """Numbers that look wrong by `PREFIX`: absurd as they are, and the user is served with the right unit."""

    def served(changed: Sample) -> bool:
        return bool(np.median(changed.workload[:, user]) <= np.median(changed.most[:, user]))

    def middle(values: NDArray[np.float64]) -> float:
        return float(np.median(values[:, user]))

    scenario = sample.scenario
    less = replace(sample, workload=sample.workload / PREFIX)
    if middle(sample.workload) > APART * middle(sample.carried) and served(less):
        yield "the workload looks like bits, not kbit"
    capacity = tuple(float(value) * PREFIX for value in sample.per_user("battery_capacity"))
    roomy = scenario.model_copy(update={"battery_capacity": capacity})
    fuller = replace(sample, scenario=roomy, battery=sample.battery * PREFIX)
    stored = middle(sample.battery)
    if stored > 0 and middle(sample.local_energy) > APART * middle(sample.energy) and served(fuller):
        yield "the batteries look like J, not mJ"
    quieter = replace(
        sample, scenario=scenario.model_copy(update={"noise_power": scenario.noise_power / PREFIX})
    )
    if APART * middle(sample.snr) < 1 and served(quieter):
        yield "noise_power looks like mW, not W"


def warnings_of(sample: Sample, strong: int | None = None) -> list[str]:
    """One line per kind of number that hardly any system has.

    ``strong``: number of frames with a gain above 1, if more frames were examined than the sample has.
    """
    found = []
    strong = sample.strong if strong is None else strong
    if strong:
        frames = "on average" if sample.mean else f"in {strong} frames"
        found.append(f"channels: ||h||^2 >= 1 {frames}: more would arrive than is sent")
    if (sample.snr_db > MOST_SNR_DB).any():
        found.append(
            f"{_too_strong(sample)} gives an SNR of up to {sample.snr_db.max():.0f} dB; "
            f"receivers have {MOST_SNR_DB:.0f} dB at most"
        )
    if (np.median(sample.workload, axis=0) > MOST_LOAD * np.median(sample.most, axis=0)).any():
        found.append(
            f"workload: up to {sample.workload.max():.3g} kbit, more than {MOST_LOAD:g} times what "
            "bandwidth, slot and energy carry; is it in kbit?"
        )
    return found


def _too_strong(sample: Sample) -> str:
    """The constant that probably causes an SNR that no receiver has."""
    power = sample.scenario.ap_power
    in_watts = 10 ** (min(power, 1e3) / 10 - 3)
    weaker = replace(sample, scenario=sample.scenario.model_copy(update={"ap_power": in_watts}))
    if power >= LEAST_DBM and in_watts < power and weaker.snr_db.max() <= MOST_SNR_DB:
        return f"ap_power: {power:g} W (is it in dBm?)"
    return f"noise_power: {sample.scenario.noise_power:g} W"


def outside_training(policy: str, scenario: Scenario) -> Iterator[str]:
    """One line per constant of the scenario that lies outside the training range of a shipped policy."""

    def facts(of: Scenario) -> dict[str, tuple[float, float, str]]:
        """Smallest and largest value of each constant, and its unit."""
        work = np.atleast_1d(np.asarray(of.mean_workload, float))
        return {
            "ap_power": (of.ap_power, of.ap_power, " W"),
            "num_users": (of.num_users, of.num_users, ""),
            "num_antennas": (of.num_antennas, of.num_antennas, ""),
            "path_loss": (of.path_loss.min(), of.path_loss.max(), " dB"),
            "mean_workload": (work.min(), work.max(), " kbit"),
        }

    trained: dict[str, tuple[float, float, str]] = facts(Scenario())
    if policy == "price-net-varied":
        limits = np.multiply(variety.DISTANCES, variety.SCALES)
        near, far = Scenario(user_positions=tuple((float(distance), 0.0) for distance in limits)).path_loss
        trained |= {
            "ap_power": (*variety.POWERS, " W"),
            "num_users": (min(variety.USERS), max(variety.USERS), ""),
            "num_antennas": (1, variety.MOST_ANTENNAS, ""),
            "path_loss": (near, far, " dB"),
        }
    for name, (least, most, unit) in facts(scenario).items():
        low, high, _ = trained[name]
        if least < low or most > high:
            shown = f"{least:g}" if least == most else f"{least:.3g} to {most:.3g}"
            known = f"{low:g}" if low == high else f"{low:.3g} to {high:.3g}"
            yield f"{name}: {shown}{unit} is outside what {policy} was trained on, {known}{unit}"
