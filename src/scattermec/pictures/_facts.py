"""The numbers in a picture of a frame, in NumPy, computed once for all panels."""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from scattermec.physics import Allocation, Frame, Outcome, Parameters, beam_gains, unit_beams
from scattermec.physics.energy import harvest_rate, usable_harvest_rate
from scattermec.physics.frame import TOLERANCE
from scattermec.physics.links import channel_gain, passive_rate
from scattermec.physics.rewards import energy_efficiency

Placement = Literal["given", "mirrored", "spread"]
"""Origin of the users' positions: given by the caller; deduced, except for left and right; or spread out."""


@dataclass(frozen=True)
class FrameFacts:
    """One frame in numbers: per user (N,) unless stated; times in s, work in kbit, users' energies in mJ."""

    slot: np.ndarray
    start: np.ndarray
    """start of each slot"""
    time: dict[str, np.ndarray]
    """active, passive and local time"""
    work: dict[str, np.ndarray]
    """active, passive and local work"""
    workload: np.ndarray
    success: np.ndarray
    reasons: tuple[str, ...]
    """why a user is in outage; empty if it is served"""
    battery: np.ndarray
    harvest: np.ndarray
    """(N, N) energy that user j (row) harvests in slot i (column)"""
    usable: np.ndarray
    """(N, N) whether that energy counts in this frame (bool)"""
    spending: dict[str, np.ndarray]
    """transmit, circuit and local energy of schedules within budget; wasted: all energy of those beyond it"""
    left_over: np.ndarray
    overflow: np.ndarray
    demand: np.ndarray
    budget: np.ndarray
    capacity: np.ndarray
    beams: np.ndarray
    """(N, M) complex unit beams"""
    positions: np.ndarray
    """(N, 2) in m"""
    placement: Placement
    ap_energy: float
    efficiency: float
    reward: float

    @property
    def num_users(self) -> int:
        """N."""
        return len(self.slot)

    @property
    def duration(self) -> float:
        """Length of the frame in s."""
        return float(self.slot.sum())

    @property
    def reflects(self) -> np.ndarray:
        """Whether a user backscatters work on its beam, which otherwise only delivers energy (bool)."""
        return self.work["passive"] > 1e-6 * self.workload

    @property
    def unserved(self) -> np.ndarray:
        """Work that is not scheduled, in kbit."""
        return np.maximum(self.workload - sum(self.work.values()), 0)


def frame_facts(
    parameters: Parameters,
    frame: Frame,
    beams: ArrayLike,
    allocation: Allocation,
    outcome: Outcome,
    positions: ArrayLike | None,
) -> FrameFacts:
    """Gather the numbers that the panels draw."""
    derived = _derived(parameters, frame, jnp.asarray(beams), outcome)
    time = {mode: _numbers(getattr(allocation, f"t_{mode}")) for mode in ("active", "passive", "local")}
    slot = _numbers(parameters.slot_duration)
    place, placement = (
        _positions(parameters) if positions is None else (_given(positions, len(slot)), "given")
    )
    return FrameFacts(
        slot=slot,
        start=np.cumsum(slot) - slot,
        time=time,
        work={mode: _numbers(getattr(allocation, f"l_{mode}")) for mode in time},
        workload=_numbers(frame.workload),
        success=np.asarray(outcome.success, dtype=bool),
        reasons=_outage_reasons(parameters, frame, derived["passive_rate"], allocation, outcome),
        battery=_numbers(frame.battery),
        harvest=_numbers(derived["harvest_rate"]) * np.maximum(time["passive"], 0),
        usable=np.asarray(derived["usable"], dtype=bool),
        spending=_spending(parameters, allocation, outcome),
        left_over=_numbers(outcome.battery),
        overflow=_numbers(outcome.overflow),
        demand=_numbers(outcome.demand),
        budget=_numbers(outcome.budget),
        capacity=_numbers(parameters.battery_capacity),
        beams=np.asarray(derived["beams"]),
        positions=place,
        placement=placement,
        ap_energy=float(outcome.ap_energy),
        efficiency=float(derived["efficiency"]),
        reward=float(outcome.ap_reward),
    )


@jax.jit
def _derived(parameters: Parameters, frame: Frame, beams: Array, outcome: Outcome) -> dict[str, Array]:
    """Quantities that are not in the outcome; compiled as one, or the first picture would take seconds."""
    unit = unit_beams(beams, frame.channels)
    gains = beam_gains(frame.channels, unit)
    return {
        "beams": unit,
        "harvest_rate": harvest_rate(parameters, gains),
        "usable": usable_harvest_rate(parameters, 1 - jnp.eye(len(frame.workload))),
        "passive_rate": passive_rate(parameters, channel_gain(frame.channels), jnp.diagonal(gains)),
        "efficiency": energy_efficiency(frame.workload, outcome.success, outcome.ap_energy),
    }


def _numbers(values: ArrayLike) -> np.ndarray:
    return np.asarray(values, dtype=float)


def _spending(parameters: Parameters, allocation: Allocation, outcome: Outcome) -> dict[str, np.ndarray]:
    """The parts of the spent energy; a schedule beyond its budget wastes all of it, which is not divided."""
    spent = _numbers(outcome.spent)
    affordable = _numbers(outcome.demand) <= _numbers(outcome.budget) * (1 + TOLERANCE)
    circuit = np.where(affordable, _numbers(allocation.t_active) * _numbers(parameters.circuit_power), 0)
    local = np.where(affordable, _numbers(allocation.l_local) * _numbers(parameters.local_energy), 0)
    # The transmit energy is the rest, since the transmit power may be infinite.
    transmit = np.where(affordable, np.maximum(spent - circuit - local, 0), 0)
    rounding = 1e-6 * spent
    transmit = np.where(transmit > rounding, transmit, 0)
    wasted = np.where(affordable, 0, spent)
    return {"transmit": transmit, "circuit": circuit, "local": local, "wasted": wasted}


def _outage_reasons(
    parameters: Parameters, frame: Frame, passive_rate: Array, allocation: Allocation, outcome: Outcome
) -> tuple[str, ...]:
    """Per user, the first limit that its schedule violates, in a few words; empty if it is served."""
    names = ("t_active", "t_passive", "t_local", "l_active", "l_passive", "l_local")
    t_active, t_passive, t_local, l_active, l_passive, l_local = (
        _numbers(getattr(allocation, name)) for name in names
    )
    slot, served = _numbers(parameters.slot_duration), np.asarray(outcome.success)
    limits = (
        ("too little energy", _numbers(outcome.demand), _numbers(outcome.budget)),
        ("work left out", _numbers(frame.workload), l_active + l_passive + l_local),
        ("slot too short", t_active + t_passive, slot),
        ("passive too slow", l_passive, _numbers(passive_rate) * t_passive),
        ("local too slow", l_local, _numbers(parameters.local_rate) * t_local),
        ("local too long", t_local, slot),
    )

    def reason(user: int) -> str:
        if served[user]:
            return ""
        for words, left, right in limits:
            if not left[user] <= right[user] * (1 + TOLERANCE):
                return words
        return "not a valid schedule"

    return tuple(reason(user) for user in range(len(frame.workload)))


def _given(positions: ArrayLike, num_users: int) -> np.ndarray:
    place = _numbers(positions)
    if place.shape != (num_users, 2):
        raise ValueError(
            f"positions have shape {place.shape}; a frame of {num_users} users needs ({num_users}, 2)"
        )
    return place


def _positions(parameters: Parameters) -> tuple[np.ndarray, Placement]:
    """The users' positions, as far as the constants determine them, and their origin.

    The distance follows from the path gain, the bearing from the array's response, which does not
    distinguish left from right: users are drawn on the right, or on the left if another user is in the way.
    If the bearings are unknown, users are spread over a sector.
    """
    farther = _numbers(parameters.reference_gain) / _numbers(parameters.path_gain)
    distance = farther ** (2 / _numbers(parameters.path_loss_exponent))
    response = np.asarray(parameters.line_of_sight)
    users, antennas = response.shape
    sine = np.angle(response[:, 1]) / np.pi if antennas > 1 else np.zeros(users)
    # Frames whose channels come from elsewhere have no topology: all users then have the same position.
    known = antennas > 1 and (users == 1 or np.ptp(sine) > 1e-6 or np.ptp(distance) > 1e-6)
    bearing = np.arcsin(np.clip(sine, -1, 1)) if known else np.linspace(-1.1, 1.1, users + 2)[1:-1]
    place = distance[:, None] * np.stack([np.cos(bearing), np.sin(bearing)], axis=1)
    if not known:
        return place, "spread"
    for user in range(1, users):
        apart = np.linalg.norm(place[:user] - place[user], axis=1).min()
        if apart < 0.25 * distance.max():
            place[user, 0] *= -1
    return place, "mirrored"
