"""The AP's part of price-net in NumPy: inputs of its networks, beams from prices, and the beams' times.

The JAX originals, with their reasons, are in `scattermec.price_net`: `features`, `beams` and `policy`; a test
compares both. Only the linear rectifier is known here. What users will lack is computed for all of them at
once, as `scattermec.online.user` does for one.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from scattermec.errors import InputError
from scattermec.online.user import Constants, Message, halved
from scattermec.scenario import Scenario

Array = np.ndarray

LARGEST_LOGIT = 700.0
"""Its exponential is finite."""


class Method(NamedTuple):
    """Numbers of the method that are no constants of the scenario."""

    least_work: float
    """kbit: smaller workloads count as this in divisors"""
    least_ratio: float
    """smaller ratios count as this before their logarithm is taken"""
    most_shift: float
    """largest shift of the logits of the beams' times"""
    shift_bisections: int


class Caution(NamedTuple):
    """What an AP that leaves slack takes for not known, and numbers of its method.

    The levels are those of `scattermec.physics.knowledge.Knowledge`.
    """

    csi_error: float
    workload_error: float
    novelty: float
    step: float
    loss: float
    first_slack: float
    first_discount: float
    """logits added to those of the slack and of the discount"""

    @property
    def inputs(self) -> Array:
        """Inputs of the networks, of order one."""
        c = self
        return np.array([5 * c.csi_error, 5 * c.workload_error, 2 * c.novelty, 10 * c.step, 5 * c.loss])

    def share(self, logits: Array) -> Array:
        """In [0, 1), and none if everything is known."""
        size = self.csi_error + self.workload_error + self.novelty
        return np.asarray(-np.expm1(-size * np.logaddexp(0, logits)))


class Messages(NamedTuple):
    """The messages to all users, (N,) each; the fields of `Message`."""

    t_passive: Array
    passive_rate: Array
    harvest: Array

    def to_user(self, index: int) -> Message:
        """The message to one user."""
        return Message(*(float(numbers[index]) for numbers in self))


class Links(NamedTuple):
    """What follows from all users' channels, (N,) each; the fields of `scattermec.online.user.Link`."""

    snr: Array
    preferred: Array
    thrifty: Array
    fastest: Array


class Inputs(NamedTuple):
    """Inputs of a network for N users, in single precision."""

    users: Array
    """(N, F)"""
    pairs: Array
    """(N, N, P)"""
    triples: Array
    """(N, N, N)"""


Network = Callable[[Inputs], Array]
"""From inputs to logits: (N, N) of the prices, (N,) of the beams' times."""


class Frame:
    """A frame as the AP sees it, and what follows from its channels."""

    def __init__(self, workload: Array, battery: Array, channels: Array) -> None:
        self.workload, self.battery, self.channels = workload, battery, channels
        self.gain = np.sum(channels.real**2 + channels.imag**2, axis=-1)
        """(N,) ||h||^2"""
        self.unit = channels / np.sqrt(np.where(self.gain > 0, self.gain, 1))[:, None]
        """(N, M) channels scaled to unit norm; a row of zeros stays"""
        self.gram = self.unit.conj() @ self.unit.T
        """(N, N)"""
        single = self.gram.astype(np.complex64)
        self.triples = (single[:, :, None] * single[None] * single.T[:, None]).real
        """(N, N, N) products of (i, j), (j, k) and (k, i), as the networks take them"""


class ApPolicy:
    """The AP: decides beams and messages in each frame."""

    def __init__(
        self,
        scenario: Scenario,
        users: Sequence[Constants],
        method: Method,
        prices: Network,
        times: Network,
        caution: Caution | None = None,
    ) -> None:
        self.scenario, self.caution = scenario, caution
        self._method, self._prices, self._times = method, prices, times
        self._constants: Any = Constants(*np.array(users, float).T)
        """of all users, (N,) each"""
        c = self._constants
        self._slot, self._local_energy, self._local_rate = c.slot_duration, c.local_energy, c.local_rate
        self._circuit, self._capacity = c.circuit_power, c.battery_capacity

    def decide(self, workload: Any, battery: Any, channels: Any) -> tuple[Array, Messages]:
        """Unit beams (N, M), and the messages to all users, in one frame.

        With ``caution`` a message promises what the user will harvest after its own slot, and no more.

        Args:
            workload: (N,) kbit, as the AP sees it.
            battery: (N,) mJ.
            channels: (N, M), complex.

        Raises InputError for other shapes, and for numbers that are negative or not finite.
        """
        frame = Frame(*self._checked(workload, battery, channels))
        beams = beams_from_logits(frame, self._prices(self.beam_inputs(frame)))
        numbers = self._times(self.time_inputs(frame, beams))
        if self.caution is None:
            return beams, self._messages(frame, beams, numbers, self._constants)
        slack, discount = (
            self.caution.share(numbers[:, k] + first)
            for k, first in ((1, self.caution.first_slack), (2, self.caution.first_discount))
        )
        kept = self._constants.margin
        careful = self._constants._replace(margin=kept + (1 - kept) * slack)
        told = self._messages(frame, beams, numbers[:, 0], careful)
        later = np.triu(self._beam_rates(frame, beams)[1]) @ told.t_passive
        return beams, told._replace(harvest=(1 - discount) * later)

    def harvest_before(self, channels: Array, beams: Array, t_passive: Array) -> Array:
        """mJ (N,) that each user harvests in the slots before its own."""
        nothing = np.zeros(len(channels))
        harvest = self._beam_rates(Frame(nothing, nothing, channels), beams)[1]
        return np.asarray(np.tril(harvest) @ t_passive)

    def beam_inputs(self, frame: Frame) -> Inputs:
        """Inputs of the network of prices."""
        magnitude = frame.gram.real**2 + frame.gram.imag**2
        return self._inputs(self._means_over_needs(frame), magnitude[..., None], frame)

    def time_inputs(self, frame: Frame, beams: Array) -> Inputs:
        """Inputs of the network of the beams' times, for the chosen beams."""
        rate, harvest = self._beam_rates(frame, beams)
        work = np.maximum(frame.workload, self._method.least_work)
        carried = self._log(rate * self._slot / work)
        reach = harvest * self._slot / (self._local_energy * work)[:, None]
        users = np.concatenate([self._means_over_needs(frame), carried[:, None]], axis=1)
        return self._inputs(users, np.stack([self._log(reach), np.log1p(reach)], axis=-1), frame)

    def _inputs(self, users: Array, pairs: Array, frame: Frame) -> Inputs:
        if self.caution is not None:
            levels = self.caution.inputs
            users = np.concatenate([users, np.broadcast_to(levels, (len(users), len(levels)))], axis=1)
        return Inputs(users.astype(np.float32), pairs.astype(np.float32), frame.triples)

    def _messages(self, frame: Frame, beams: Array, logits: Array, constants: Any) -> Messages:
        """Beams for as long as ``logits`` (N,) say; or longer, by a common shift of these, if some user would
        else lack energy, and then none does. ``constants`` are those of all users.
        """
        links = links_of(constants, frame.gain)
        rate, harvest = self._beam_rates(frame, beams)

        def announced(shift: float) -> Messages:
            # The sigmoid as XLA computes it: if a beam all but fills its slot, the last digit may count.
            times = self._slot / (1 + np.exp(np.minimum(-(logits + shift), LARGEST_LOGIT)))
            return Messages(times, rate, harvest @ times)

        def short(shift: float) -> bool:
            lacking = energies_lacking(constants, links, frame, announced(shift))
            return bool((lacking > 0).any())

        method = self._method
        helps = short(0.0) and not short(method.most_shift)
        return announced(halved(short, method.most_shift, method.shift_bisections)[1] if helps else 0.0)

    def _means_over_needs(self, frame: Frame) -> Array:
        """Inputs per user, (N, F); the unit of energy is that of computing all its work."""
        s, slot, gain, log = self.scenario, self._slot, frame.gain, self._log
        work = np.maximum(frame.workload, self._method.least_work)
        need = self._local_energy * work
        stored = frame.battery / need
        beaming = s.ap_power + s.passive_receive_power
        one = np.ones_like(gain)
        columns = [
            np.sqrt(np.minimum(stored, 100)),
            np.minimum(stored, 1.5),
            log(1000 * s.harvest_efficiency * s.ap_power * gain * slot / need),
            log(self._passive_rate(gain, gain) * slot / work),
            log(self._reflected_snr(gain, gain)) / 10,
            log(gain / (1000 * s.noise_power) * need / slot) / 5,
            log(s.bandwidth * slot / work),
            log(work * 0.025),
            np.minimum(frame.workload, 1),
            log(self._circuit * slot / need),
            log(self._local_rate * slot / work),
            log(self._capacity / need),
            log(s.active_receive_power / beaming) / 3 * one,
            log(s.mec_energy * work / (beaming * slot)) / 3,
            log(s.idle_power * np.sum(slot) / (beaming * slot)) / 3,
            np.log(len(gain)) * one,
        ]
        return np.stack(columns, axis=1)

    def _beam_rates(self, frame: Frame, beams: Array) -> tuple[Array, Array]:
        """Passive rates (N,) in kbit/s, and harvested power (N, N) in mW of user j (row), slot i."""
        s = self.scenario
        projection = frame.channels.conj() @ beams.T
        gains = projection.real**2 + projection.imag**2
        harvest = 1000 * s.harvest_efficiency * s.ap_power * gains * (1 - np.eye(len(gains)))
        return self._passive_rate(frame.gain, np.diagonal(gains)), harvest

    def _passive_rate(self, gain: Array, own_beam_gain: Array) -> Array:
        return self.scenario.bandwidth * np.log1p(self._reflected_snr(gain, own_beam_gain)) / np.log(2)

    def _reflected_snr(self, gain: Array, own_beam_gain: Array) -> Array:
        s = self.scenario
        noise = s.noise_power + s.residual_interference * s.ap_power
        return s.ap_power * np.asarray(s.reflection_gain) * gain * own_beam_gain / noise

    def _log(self, ratio: Array | float) -> Array:
        return np.asarray(np.log(np.maximum(ratio, self._method.least_ratio)))

    def _checked(self, workload: Any, battery: Any, channels: Any) -> tuple[Array, Array, Array]:
        users, antennas = self.scenario.num_users, self.scenario.num_antennas
        arrays = np.asarray(workload, float), np.asarray(battery, float), np.asarray(channels, complex)
        shapes = (users,), (users,), (users, antennas)
        faults = []
        for name, array, shape in zip(("workload", "battery", "channels"), arrays, shapes, strict=True):
            if array.shape != shape:
                faults.append(f"{name}: has shape {array.shape}; it must be {shape}")
            elif not np.isfinite(array).all():
                faults.append(f"{name}: has numbers that are not finite")
            elif name != "channels" and (array < 0).any():
                faults.append(f"{name}: has negative numbers; they must be >= 0")
        if faults:
            raise InputError(faults)
        return arrays


def beams_from_logits(frame: Frame, logits: Array) -> Array:
    """Unit beams (N, M), each the principal eigenvector of the slot's priced sum of outer products."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    prices = raised / raised.sum(axis=-1, keepdims=True)
    matrices = np.einsum("ij,ja,jb->iab", prices, frame.unit, frame.unit.conj())
    return np.linalg.eigh(matrices)[1][..., -1]


def links_of(c: Any, gain: Array) -> Links:
    """What follows from the channel gains (N,); ``c`` is `Constants` with an array (N,) in each field."""
    snr = np.maximum(gain / (1000 * c.noise_power), sys.float_info.min)
    per_nat = c.bandwidth / np.log(2)
    circuit, worth = c.circuit_power * snr, c.local_energy * snr * per_nat

    def spared(y: Array) -> Array:
        return np.asarray(np.expm1(y) + circuit - y * np.exp(y))

    def gained(y: Array) -> Array:
        return np.asarray(c.active_receive_power * (worth - np.exp(y)) + c.mec_energy * per_nat * spared(y))

    preferred, thrifty = _largest(gained, c), _largest(spared, c)
    fastest = np.maximum(np.log(np.maximum(worth, 1)), preferred)
    return Links(snr, preferred * per_nat, thrifty * per_nat, fastest * per_nat)


def _largest(positive: Callable[[Array], Array], c: Any) -> Array:
    """The largest numbers (N,) at which a function is positive, by bisection."""
    low, high = np.zeros_like(c.largest_exponent), c.largest_exponent
    for _ in range(int(c.bisections[0])):
        middle = (low + high) / 2
        is_below = positive(middle) > 0
        low, high = np.where(is_below, middle, low), np.where(is_below, high, middle)
    return low


def energies_lacking(c: Any, links: Links, frame: Frame, told: Messages) -> Array:
    """Energy (N,) in mJ that each user lacks to finish, at best; zero or negative if it can finish."""
    work = frame.workload
    budget = np.minimum(frame.battery + told.harvest, c.battery_capacity) * (1 - c.margin)
    processor = c.local_rate * c.slot_duration
    most_local = np.minimum(budget / c.local_energy, processor)
    passive = np.minimum(
        np.maximum(work - most_local, 0), np.minimum(told.passive_rate * told.t_passive, work)
    )
    left = work - passive
    least = np.maximum(left - processor, 0)
    saves = links.preferred > links.thrifty
    longest = np.where(saves, left, least) / np.where(links.thrifty > 0, links.thrifty, 1)
    longest = np.minimum(longest, c.slot_duration - told.t_passive)

    def needed(effort: Array) -> Array:
        time = np.minimum(effort, 1) * longest
        rate = links.preferred + np.maximum(effort - 1, 0) * (links.fastest - links.preferred)
        sent = np.where(saves, np.minimum(np.maximum(rate * time, least), left), least)
        nats = np.log(2) * sent / (c.bandwidth * np.where(time > 0, time, 1))
        sending = time * np.expm1(np.minimum(nats, c.largest_exponent)) / links.snr
        sending = np.where(time > 0, sending, sys.float_info.max)
        return c.circuit_power * time + c.local_energy * (left - sent) + np.where(sent > 0, sending, 0)

    need = needed(c.most_effort)
    return np.where(least <= 0, np.minimum(need, needed(np.zeros_like(need))), need) - budget
