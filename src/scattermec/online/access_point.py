"""The AP's part of price-net in NumPy: inputs of its networks, beams from prices, and the beams' times.

The JAX originals, with their reasons, are in `scattermec.price_net`: `features`, `beams` and `policy`; a test
compares both. Only the linear rectifier is known here.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from scattermec.online.user import Constants, Message, active_rates, energy_lacking, halved
from scattermec.scenario import Scenario

Array = np.ndarray


class Method(NamedTuple):
    """Numbers of the method that are no constants of the scenario, as in the bundle."""

    least_work: float
    """kbit: smaller workloads count as this in divisors"""
    least_ratio: float
    """smaller ratios count as this before their logarithm is taken"""
    most_shift: float
    """largest shift of the logits of the beams' times"""
    shift_bisections: int


class Inputs(NamedTuple):
    """Inputs of a network for N users, in single precision."""

    users: Array
    """(N, F)"""
    pairs: Array
    """(N, N, P)"""
    triples: Array
    """(N, N, N)"""


class Frame(NamedTuple):
    """A frame as the AP sees it, and what follows from its channels."""

    workload: Array
    """(N,) kbit"""
    battery: Array
    """(N,) mJ"""
    channels: Array
    """(N, M)"""
    gain: Array
    """(N,) ||h||^2"""
    unit: Array
    """(N, M) channels scaled to unit norm; a row of zeros stays"""


def frame_of(workload: Array, battery: Array, channels: Array) -> Frame:
    """The frame of these observations."""
    gain = np.sum(channels.real**2 + channels.imag**2, axis=-1)
    unit = channels / np.sqrt(np.where(gain > 0, gain, 1))[:, None]
    return Frame(workload, battery, channels, gain, unit)


def beam_inputs(scenario: Scenario, users: Constants, method: Method, frame: Frame) -> Inputs:
    """Inputs of the network of prices."""
    gram = frame.unit.conj() @ frame.unit.T
    magnitude = gram.real**2 + gram.imag**2
    return _inputs(_users(scenario, users, method, frame), magnitude[..., None], gram)


def time_inputs(scenario: Scenario, users: Constants, method: Method, frame: Frame, beams: Array) -> Inputs:
    """Inputs of the network of the beams' times, for the chosen beams."""
    rate, harvest = beam_rates(scenario, frame, beams)
    work = np.maximum(frame.workload, method.least_work)
    carried = _log(method, rate * users.slot_duration / work)
    reach = harvest * users.slot_duration / (users.local_energy * work)[:, None]
    pairs = np.stack([_log(method, reach), np.log1p(reach)], axis=-1)
    gram = frame.unit.conj() @ frame.unit.T
    own = _users(scenario, users, method, frame)
    return _inputs(np.concatenate([own, carried[:, None]], axis=1), pairs, gram)


def beams_of(frame: Frame, logits: Array) -> Array:
    """Unit beams (N, M): of each slot the principal eigenvector of the priced sum of channel outer products."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    prices = raised / raised.sum(axis=-1, keepdims=True)
    matrices = np.einsum("ij,ja,jb->iab", prices, frame.unit, frame.unit.conj())
    return np.linalg.eigh(matrices)[1][..., -1]


def beam_rates(scenario: Scenario, frame: Frame, beams: Array) -> tuple[Array, Array]:
    """Passive rates (N,) in kbit/s, and harvested power (N, N) in mW of user j (row) in slot i (column)."""
    s = scenario
    projection = frame.channels.conj() @ beams.T
    gains = projection.real**2 + projection.imag**2
    harvest = 1000 * s.harvest_efficiency * s.ap_power * gains * (1 - np.eye(len(gains)))
    return _passive_rate(s, frame.gain, np.diagonal(gains)), harvest


def messages_for(
    scenario: Scenario, users: Constants, method: Method, frame: Frame, beams: Array, logits: Array
) -> Message:
    """The message to each user: times of the beams as given by ``logits`` (N,), lengthened by a common shift
    of these where some user would else lack energy.
    """
    rates = active_rates(users, frame.gain)
    passive, harvest = beam_rates(scenario, frame, beams)

    def announced(shift: float | Array) -> Message:
        times = users.slot_duration / (1 + np.exp(-(logits + shift)))
        return Message(times, passive, harvest @ times)

    def short(shift: float | Array) -> Array:
        told = announced(shift)
        return np.max(energy_lacking(users, frame.gain, frame.workload, frame.battery, told, rates)) > 0

    return announced(_least_shift(short, method))


def _least_shift(short: Callable[[float | Array], Array], method: Method) -> float | Array:
    """The smallest shift at which no energy is lacking; 0 if there is none."""
    if not short(0.0) or short(method.most_shift):
        return 0.0
    return halved(short, 0.0, method.most_shift, method.shift_bisections)[1]


def _inputs(users: Array, pairs: Array, gram: Array) -> Inputs:
    triples = np.einsum("ij,jk,ki->ijk", gram, gram, gram).real
    return Inputs(*(part.astype(np.float32) for part in (users, pairs, triples)))


def _users(scenario: Scenario, users: Constants, method: Method, frame: Frame) -> Array:
    """A user's means over its needs, (N, F); the unit of energy is that of computing all its work."""
    s, slot, gain = scenario, users.slot_duration, frame.gain
    work = np.maximum(frame.workload, method.least_work)
    need = users.local_energy * work
    stored = frame.battery / need
    beaming = s.ap_power + s.passive_receive_power
    one = np.ones_like(gain)

    def log(ratio: Array | float) -> Array:
        return _log(method, ratio)

    columns = [
        np.sqrt(np.minimum(stored, 100)),
        np.minimum(stored, 1.5),
        log(1000 * s.harvest_efficiency * s.ap_power * gain * slot / need),
        log(_passive_rate(s, gain, gain) * slot / work),
        log(_reflected_snr(s, gain, gain)) / 10,
        log(gain / (1000 * s.noise_power) * need / slot) / 5,
        log(s.bandwidth * slot / work),
        log(work * 0.025),
        np.minimum(frame.workload, 1),
        log(users.circuit_power * slot / need),
        log(users.local_rate * slot / work),
        log(users.battery_capacity / need),
        log(s.active_receive_power / beaming) / 3 * one,
        log(s.mec_energy * work / (beaming * slot)) / 3,
        log(s.idle_power * np.sum(slot) / (beaming * slot)) / 3,
        np.log(len(gain)) * one,
    ]
    return np.stack(columns, axis=1)


def _passive_rate(s: Scenario, gain: Array, own_beam_gain: Array) -> Array:
    return s.bandwidth * np.log1p(_reflected_snr(s, gain, own_beam_gain)) / np.log(2)


def _reflected_snr(s: Scenario, gain: Array, own_beam_gain: Array) -> Array:
    noise = s.noise_power + s.residual_interference * s.ap_power
    reflected = s.ap_power * np.asarray(s.reflection_gain)
    return reflected * gain * own_beam_gain / noise


def _log(method: Method, ratio: Array | float) -> Array:
    return np.log(np.maximum(ratio, method.least_ratio))
