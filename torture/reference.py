"""A second implementation of frame and certificate: NumPy, many frames at once, straight from the equations.

It uses nothing of the package except the scenario's numbers. Shapes: K frames, N users, M antennas; user by
slot matrices are [k, j, i], user j in slot i. Units as in the scenario: s, kbit, kHz, W, J, mW, mJ.
"""

from dataclasses import dataclass

import numpy as np

from scattermec.scenario import Scenario

TOLERANCE = 1e-6
"""Relative tolerance of every constraint."""

ROUNDING = 1e-15
"""Rounding error of the inner product of a channel and a beam, relative to their norms."""

SEARCH_STEPS = 40
"""Steps of a golden section search; they leave 4e-9 of the range, over which the value is flat."""

GOLDEN = (np.sqrt(5) - 1) / 2


@dataclass
class Frames:
    """K frames with given beams."""

    channels: np.ndarray
    """(K, N, M) complex"""
    workload: np.ndarray
    """(K, N) kbit"""
    battery: np.ndarray
    """(K, N) mJ"""
    beams: np.ndarray
    """(K, N, M) complex; a zero beam stands for the one along the user's own channel"""

    def __len__(self) -> int:
        return len(self.workload)

    def take(self, index: np.ndarray) -> "Frames":
        """Some of the frames, or all in another order."""
        return Frames(self.channels[index], self.workload[index], self.battery[index], self.beams[index])


@dataclass
class Answer:
    """A solver's answer to K frames: (K, N), or (K,) for one number per frame."""

    status: np.ndarray
    energy: np.ndarray
    """(K,) J"""
    value: np.ndarray
    """(K,) J: the energy less the value of the energy left in the batteries"""
    lower_bound: np.ndarray
    """(K,) J, of the value"""
    served: np.ndarray
    """bool: users to be served"""
    t_active: np.ndarray
    t_passive: np.ndarray
    t_local: np.ndarray
    l_active: np.ndarray
    l_passive: np.ndarray
    l_local: np.ndarray
    price_workload: np.ndarray
    """J/kbit"""
    price_budget: np.ndarray
    """J/mJ"""
    price_capacity: np.ndarray
    """J/mJ"""


class Constants:
    """A scenario's numbers for N users, per-user constants as (N,) arrays under the scenario's names."""

    def __init__(self, scenario: Scenario, users: int, slopes: np.ndarray | None = None) -> None:
        def each(value: object) -> np.ndarray:
            return np.broadcast_to(np.asarray(value, float), (users,))

        self.slot_duration = each(scenario.slot_duration)
        self.reflection_gain = each(scenario.reflection_gain)
        self.circuit_power = each(scenario.circuit_power)
        self.local_energy = each(scenario.local_energy)
        self.local_rate = each(scenario.local_rate)
        self.battery_capacity = each(scenario.battery_capacity)
        self.scenario = scenario
        self.slopes = np.zeros((users, 1)) if slopes is None else slopes
        """(N, S) J/mJ: value of the energy that is left in each part of a user's battery"""
        self.part_size = self.battery_capacity / self.slopes.shape[1]
        """(N,) mJ"""
        self.noise_with_interference = (
            scenario.noise_power + scenario.residual_interference * scenario.ap_power
        )
        """W: noise in backscatter reception"""
        self.idle_energy = scenario.idle_power * float(self.slot_duration.sum())
        """J"""
        users_by_slot = np.ones((users, users))
        self.may_harvest = np.tril(users_by_slot, -1) if scenario.causal_harvest else 1 - np.eye(users)
        """[j, i]: whether user j may harvest in slot i"""

    def worth(self, battery: np.ndarray) -> np.ndarray:
        """Value in J of the energy (..., N) in mJ that is left in the batteries, (...)."""
        size, parts = self.part_size, range(self.slopes.shape[1])
        return sum((self.slopes[:, s] * np.clip(battery - s * size, 0, size)).sum(axis=-1) for s in parts)

    def rectified(self, received: np.ndarray) -> np.ndarray:
        """Direct-current power in mW of received power in mW."""
        s = self.scenario
        if s.harvest_model == "linear":
            return s.harvest_efficiency * received
        r = s.rectifier

        def logistic(x: np.ndarray | float) -> np.ndarray:
            return 1 / (1 + np.exp(-r.steepness * (np.asarray(x) - r.turn_on)))

        return r.saturation * (logistic(received) - logistic(0)) / (1 - logistic(0))


def squared_norms(vectors: np.ndarray) -> np.ndarray:
    """Squared norms along the last axis."""
    return (vectors.real**2 + vectors.imag**2).sum(axis=-1)


def unit_beams(beams: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """Beams of norm 1; zero beams are replaced by the user's own channel direction, if it is not zero."""
    chosen = np.where(squared_norms(beams)[..., None] > 0, beams, channels)
    largest = np.abs(chosen).max(axis=-1, keepdims=True)
    scaled = chosen / np.where(largest > 0, largest, 1)
    norm = np.sqrt(squared_norms(scaled))[..., None]
    return scaled / np.where(norm > 0, norm, 1)


def beam_gains(channels: np.ndarray, beams: np.ndarray) -> np.ndarray:
    """|h_j^H w_i|^2 for user j and slot i."""
    return np.abs(np.einsum("kjm,kim->kji", channels.conj(), beams)) ** 2


@dataclass
class Links:
    """Rates that K frames with their beams allow."""

    channel_gain: np.ndarray
    """(K, N)"""
    passive_rate: np.ndarray
    """(K, N) kbit/s"""
    most_passive_rate: np.ndarray
    """(K, N) kbit/s: the same if rounding favours a beam that is orthogonal to the channel"""
    harvest_rate: np.ndarray
    """(K, N, N) mW that user j may harvest in slot i"""


def links_of(c: Constants, channels: np.ndarray, beams: np.ndarray) -> Links:
    """Rates of the frames; ``beams`` of norm 1, or zero."""
    s = c.scenario
    gain, gains = squared_norms(channels), beam_gains(channels, beams)
    own = np.einsum("kii->ki", gains)
    most = (np.sqrt(own) + ROUNDING * np.sqrt(gain)) ** 2
    snr = s.ap_power * c.reflection_gain * gain / c.noise_with_interference
    return Links(
        channel_gain=gain,
        passive_rate=s.bandwidth * np.log1p(snr * own) / np.log(2),
        most_passive_rate=s.bandwidth * np.log1p(snr * most) / np.log(2),
        harvest_rate=c.rectified(1000 * s.ap_power * gains) * c.may_harvest,
    )


@dataclass
class Played:
    """Outcome of K frames when their answers are executed."""

    success: np.ndarray
    """(K, N) whether the workload is processed and all constraints hold, each to `TOLERANCE`"""
    energy: np.ndarray
    """(K,) J"""
    value: np.ndarray
    """(K,) J: the same less the value of the energy left in the batteries"""


def play(c: Constants, frames: Frames, links: Links, answer: Answer) -> Played:
    """Equations (1) to (9) for each user of each frame."""
    s, a = c.scenario, answer
    with np.errstate(all="ignore"):
        growth = np.expm1(np.log(2) * a.l_active / (s.bandwidth * a.t_active))
        transmit_power = np.where(a.l_active > 0, 1000 * growth * s.noise_power / links.channel_gain, 0)
        demand = a.t_active * (transmit_power + c.circuit_power) + c.local_energy * a.l_local
        demand = np.where((a.l_active > 0) & (a.t_active == 0), np.inf, demand)
        harvested = np.einsum("kji,ki->kj", links.harvest_rate, a.t_passive)
        budget = np.minimum(frames.battery + harvested, c.battery_capacity)

        def within(left: np.ndarray, right: np.ndarray) -> np.ndarray:
            return left <= right * (1 + TOLERANCE)  # false for NaN

        parts = (a.t_active, a.t_passive, a.t_local, a.l_active, a.l_passive, a.l_local)
        success = (
            within(a.t_active + a.t_passive, c.slot_duration)
            & within(a.t_local, c.slot_duration)
            & within(a.l_local, c.local_rate * a.t_local)
            & within(a.l_passive, links.most_passive_rate * a.t_passive)
            & within(frames.workload, a.l_active + a.l_passive + a.l_local)
            & within(demand, budget)
            & np.all([part >= 0 for part in parts], axis=0)
        )
        energy = (s.ap_power + s.passive_receive_power) * a.t_passive + s.active_receive_power * a.t_active
        energy = energy + s.mec_energy * (a.l_active + a.l_passive)
        total = energy.sum(axis=1) + c.idle_energy
        return Played(success, total, total - c.worth(np.maximum(budget - demand, 0)))


def reward(c: Constants, workload: np.ndarray, served: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """Equation (11) in kbit/J, (K,)."""
    share = served.mean(axis=1)
    processed = (workload * served).sum(axis=1)
    with np.errstate(all="ignore"):
        efficiency = np.where(energy > 0, processed / energy, np.where(processed > 0, np.inf, 0))
    return np.where(share > 0, share**c.scenario.reliability_weight * efficiency, 0)


def allocation_bound(
    c: Constants, frames: Frames, links: Links, answer: Answer, scheme: str, *, proof: bool = False
) -> np.ndarray:
    """Lower bound (K,) in J on the value of every allocation with the given beams, from prices.

    With ``proof`` the AP's costs are zero, and the bound is given relative to the priced work: if it is
    positive, no allocation can serve all.
    """
    reflects = scheme in ("hybrid", "passive")
    offload = _offload_price(c, answer, proof)
    with np.errstate(all="ignore"):
        harvested = np.einsum("kj,kji->ki", answer.price_budget, links.harvest_rate)
        beam_worth = harvested + (offload * links.passive_rate if reflects else 0)
    return _bound(c, frames, links.channel_gain, answer, scheme, beam_worth, proof=proof)


def beams_bound(
    c: Constants, frames: Frames, answer: Answer, scheme: str, *, proof: bool = False
) -> np.ndarray:
    """The same for all beams: D_i of every slot by an independent search over largest eigenvalues."""
    s, h = c.scenario, frames.channels
    gain = squared_norms(h)
    reflects = scheme in ("hybrid", "passive")
    with np.errstate(all="ignore"):
        work = _offload_price(c, answer, proof) * s.bandwidth / np.log(2) * reflects
        snr = s.ap_power * c.reflection_gain * gain / c.noise_with_interference
        scale = 1000 * s.harvest_efficiency * s.ap_power
        weight = scale * np.einsum("kj,ji->kij", answer.price_budget, c.may_harvest)  # [k, slot, user]
        matrix = np.einsum("kij,kja,kjb->kiab", weight, h, h.conj())
        own = np.einsum("kia,kib->kiab", h, h.conj())
        beam_worth = _best_beam_worth(matrix, own, work, snr, gain)
    return _bound(c, frames, gain, answer, scheme, beam_worth, proof=proof)


def _offload_price(c: Constants, answer: Answer, proof: bool) -> np.ndarray:
    charged = 0.0 if proof else c.scenario.mec_energy
    return np.maximum(answer.price_workload - charged, 0)


def _best_beam_worth(
    matrix: np.ndarray, own: np.ndarray, work: np.ndarray, snr: np.ndarray, gain: np.ndarray
) -> np.ndarray:
    """D_i (K, N): the minimum over x of eigmax(A + c q x h h^H) - c ln x - c (1 - x).

    x = 1 / (1 + q s) of the formula in `s`; the function is convex in x, so a golden section search over
    ln x finds its minimum. Its value at any x bounds D_i from above.
    """

    def worth(log_x: np.ndarray) -> np.ndarray:
        x = np.exp(log_x)
        summed = matrix + (work * snr * x)[..., None, None] * own
        top = np.linalg.eigvalsh(np.where(np.isfinite(summed), summed, 0))[..., -1]
        top = np.where(np.isfinite(summed).all(axis=(-1, -2)), top, np.inf)
        return top - work * log_x - work * (1 - x)

    low, high = -np.log1p(snr * gain), np.zeros_like(snr)
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = worth(left), worth(right)
    for _ in range(SEARCH_STEPS):
        fell = at_left < at_right
        low, high = np.where(fell, low, left), np.where(fell, right, high)
        kept, kept_value = np.where(fell, left, right), np.where(fell, at_left, at_right)
        fresh = np.where(fell, high - GOLDEN * (high - low), low + GOLDEN * (high - low))
        value = worth(fresh)
        left, at_left = np.where(fell, fresh, kept), np.where(fell, value, kept_value)
        right, at_right = np.where(fell, kept, fresh), np.where(fell, kept_value, value)
    return np.minimum(np.minimum(at_left, at_right), np.minimum(worth(low), worth(high)))


def _bound(
    c: Constants,
    frames: Frames,
    gain: np.ndarray,
    answer: Answer,
    scheme: str,
    beam_worth: np.ndarray,
    *,
    proof: bool,
) -> np.ndarray:
    """Sum over users of mu l - tau T - lambda E - kappa E_max - rho min(f_c T, l), idle energy included;
    less, for each part of a battery, what the energy in it is worth beyond its price.
    """
    s, costs = c.scenario, 0.0 if proof else 1.0
    mu, budget, capacity = answer.price_workload, answer.price_budget, answer.price_capacity
    work = frames.workload
    with np.errstate(all="ignore"):
        energy_price = budget + capacity
        rho = np.maximum(mu - energy_price * c.local_energy, 0)
        active_worth = np.full(work.shape, -np.inf)
        if scheme in ("hybrid", "active"):
            rate = _offload_price(c, answer, proof) * s.bandwidth / np.log(2)
            snr = gain / (1000 * s.noise_power)
            power = np.where(
                (rate > 0) & (snr > 0), np.maximum(rate / energy_price - 1 / snr, 0), 0
            )  # infinite where energy is free
            carried = np.where(power > 0, rate * np.log1p(snr * power), 0)
            spent = np.where(energy_price > 0, energy_price * (power + c.circuit_power), 0)
            active_worth = carried - spent - costs * s.active_receive_power
            active_worth = np.where((rate > 0) & (snr > 0) & (energy_price == 0), np.inf, active_worth)
        passive_worth = beam_worth - costs * (s.ap_power + s.passive_receive_power)
        tau = np.maximum(np.maximum(active_worth, passive_worth), 0)
        battery = np.minimum(frames.battery, c.battery_capacity)
        terms = mu * work - tau * c.slot_duration - budget * battery - capacity * c.battery_capacity
        terms = terms - rho * np.minimum(c.local_rate * c.slot_duration, work)
        kept = np.maximum(costs * c.slopes - energy_price[..., None], 0)
        terms = terms - kept.sum(axis=-1) * c.part_size
        value = terms.sum(axis=1)
        priced = (mu * work).sum(axis=1)
        negative = (np.minimum(np.minimum(mu, budget), capacity) < 0).any(axis=1)
        value = np.where(np.isnan(value) | negative, -np.inf, value)
        if proof:
            return np.where(priced > 0, value / np.where(priced > 0, priced, 1), -1)
    return value + c.idle_energy
