"""Why frames cannot be served, and what in them looks like a wrong unit: pure functions of NumPy arrays."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from scattermec.scenario import Scenario

MOST_SNR_DB = 90.0
"""More than receivers resolve."""

MOST_LOAD = 10.0
"""A workload above this many times what bandwidth and slot carry at the frame's own SNR is far above it."""

TRAINED_POWER_W, TRAINED_USERS, TRAINED_WORKLOAD_KBIT = (0.25, 4.0), (2, 10), (40.0, 40.0)
"""Ranges in which price-net-varied was trained."""


def capacity(
    scenario: Scenario, channels: NDArray[np.complex128], battery: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Per frame and user (K, N): what its channel, battery and slot allow at the most.

    ``harvestable`` (mJ): with the AP beaming at the user alone for the whole of all slots. ``snr`` of active
    transmission with all stored and harvestable energy in the user's own slot. ``local`` and ``link`` (kbit):
    what the user can compute, by rate and energy, and what its link carries at that SNR.
    """
    users = channels.shape[1]

    def per_user(name: str) -> NDArray[np.float64]:
        return np.broadcast_to(np.asarray(getattr(scenario, name), float), (users,))

    gain = (channels.real**2 + channels.imag**2).sum(axis=2)
    slot = per_user("slot_duration")
    harvestable = 1e3 * scenario.harvest_efficiency * scenario.ap_power * gain * slot.sum()
    energy = np.minimum(battery, per_user("battery_capacity")) + harvestable
    snr = 1e-3 * energy / slot * gain / scenario.noise_power
    local = np.minimum(per_user("local_rate") * slot, energy / per_user("local_energy"))
    link = scenario.bandwidth * slot * np.log2(1 + snr)
    return {
        "gain": gain,
        "harvestable": harvestable,
        "energy": energy,
        "snr": snr,
        "local": local,
        "link": link,
    }


def infeasible_lines(
    scenario: Scenario,
    channels: NDArray[np.complex128],
    workload: NDArray[np.float64],
    battery: NDArray[np.float64],
) -> list[str]:
    """One line per user: medians over the frames, and what would have to change."""
    can = capacity(scenario, channels, battery)
    per_kbit = np.broadcast_to(np.asarray(scenario.local_energy, float), workload.shape[1:])
    needed = per_kbit * workload
    lines = []
    for user in range(workload.shape[1]):
        middle = {name: float(np.median(value[:, user])) for name, value in can.items()}
        work, need = float(np.median(workload[:, user])), float(np.median(needed[:, user]))
        stored = float(np.median(battery[:, user]))
        snr = 10 * np.log10(middle["snr"]) if middle["snr"] > 0 else -np.inf
        lines.append(
            f"user {user}: {work:.3g} kbit to do, {need:.3g} mJ to compute it; {stored:.3g} mJ stored, "
            f"at most {middle['harvestable']:.3g} mJ to harvest, SNR at most {snr:.0f} dB; "
            + _remedy(work, middle)
        )
    return lines


def _remedy(work: float, middle: dict[str, float]) -> str:
    most = middle["local"] + middle["link"]
    if middle["gain"] == 0:
        return "it has no path to the AP"
    if work > most:
        return (
            f"its work is {work / max(most, 1e-300):.3g} times what it can do: is it in kbit, the battery "
            "in mJ, the AP's power in W (not dBm)?"
        )
    return "it could be served alone, but shares slots and beams: less work, more power or longer slots"


def warnings_of(
    scenario: Scenario,
    channels: NDArray[np.complex128],
    workload: NDArray[np.float64],
    battery: NDArray[np.float64],
) -> list[str]:
    """One line for each kind of number that hardly any system has."""
    can = capacity(scenario, channels, battery)
    snr_db = 10 * np.log10(np.maximum(can["snr"], 1e-300))
    most = can["local"] + can["link"]
    found = []
    if (snr_db > MOST_SNR_DB).any():
        found.append(
            f"noise_power: {scenario.noise_power:g} W gives an SNR of up to {snr_db.max():.0f} dB; "
            f"receivers have {MOST_SNR_DB:.0f} dB at most"
        )
    if (np.median(workload, axis=0) > MOST_LOAD * np.median(most, axis=0)).any():
        found.append(
            f"workload: up to {workload.max():.3g} kbit, more than {MOST_LOAD:g} times what bandwidth, "
            "slot and energy carry; is it in kbit?"
        )
    return found


def outside_training(policy: str, scenario: Scenario) -> Iterator[str]:
    """One line for each constant of the scenario that lies outside what a shipped policy was trained on."""
    default = Scenario()
    varied = policy == "price-net-varied"
    powers = TRAINED_POWER_W if varied else (default.ap_power, default.ap_power)
    users = TRAINED_USERS if varied else (default.num_users, default.num_users)
    work = np.atleast_1d(np.asarray(scenario.mean_workload, float))
    checks = {
        "ap_power": (scenario.ap_power, scenario.ap_power, powers, "W"),
        "num_users": (scenario.num_users, scenario.num_users, users, ""),
        "mean_workload": (work.min(), work.max(), TRAINED_WORKLOAD_KBIT, "kbit"),
    }
    for name, (least, most, (low, high), unit) in checks.items():
        if least < low or most > high:
            shown = f"{least:g}" if least == most else f"{least:g} to {most:g}"
            trained = f"{low:g}" if low == high else f"{low:g} to {high:g}"
            yield f"{name}: {shown} {unit}".rstrip() + f" is outside what {policy} was trained on, {trained}"
