"""Inputs of the networks: ratios without units, so that one network serves many scenarios.

None depends on the phase of a user's channel: channels enter through their Gram matrix, as squared magnitudes
and as triple products, which no phase changes. All are equivariant to the order of users.
"""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Complex, Float

from scattermec._pytree import pytree
from scattermec.agents.networks import DTYPE
from scattermec.optimisation import BatteryValue
from scattermec.optimisation.battery_value import slopes_at
from scattermec.physics import Frame, Parameters, links
from scattermec.physics.energy import harvest_rate, idle_energy, usable_harvest_rate
from scattermec.physics.knowledge import Knowledge

LEAST_WORK = 1e-3
"""kbit: smaller workloads count as this where energies and rates are divided by the workload."""

LEAST_RATIO = 1e-6
"""Smaller ratios count as this before their logarithm is taken."""

NUM_USER_FEATURES = 16
NUM_WORTH_FEATURES = 3
"""Further features per user where the energy left in its battery has a value."""
NUM_KNOWLEDGE_FEATURES = 5
"""Further features per user of a network that is given what is not known."""
NUM_BEAM_PAIR_FEATURES = 1
NUM_TIME_USER_FEATURES = NUM_USER_FEATURES + 1
NUM_TIME_PAIR_FEATURES = 2


@pytree
class Features:
    """Inputs of an `EquivariantNetwork`."""

    users: Float[Array, "N F"]
    pairs: Float[Array, "N N P"]
    triples: Float[Array, "N N N"]
    """Re(u_i^H u_j u_j^H u_k u_k^H u_i) of the unit channels u"""


def beam_features(
    parameters: Parameters,
    frame: Frame,
    value: BatteryValue | None = None,
    knowledge: Knowledge | None = None,
) -> Features:
    """Features for the choice of beams: everything that P2 depends on, and what is not known if given."""
    users = _users(parameters, frame)
    if value is not None:
        users = jnp.concatenate([users, _worth(parameters, frame, value)], axis=1)
    users = _with_knowledge(users, knowledge)
    unit = links.unit_vectors(frame.channels)
    gram = unit.conj() @ unit.T
    magnitude = jnp.real(gram) ** 2 + jnp.imag(gram) ** 2
    return Features(
        users=users,
        pairs=magnitude[..., None].astype(DTYPE),
        triples=_triples(gram),
    )


def time_features(
    parameters: Parameters,
    frame: Frame,
    beams: Complex[Array, "N M"],
    knowledge: Knowledge | None = None,
) -> Features:
    """Features for the beams' times: P1's data, and rates and harvests with the chosen beams."""
    p = parameters
    gains = links.beam_gains(frame.channels, beams)
    rate = links.passive_rate(p, links.channel_gain(frame.channels), jnp.diagonal(gains))
    carried = _log(rate * p.slot_duration / _work(frame))
    harvest = usable_harvest_rate(p, harvest_rate(p, gains)) * p.slot_duration
    reach = harvest / _local_energy(p, frame)[:, None]
    users = jnp.concatenate([_users(p, frame), carried[:, None].astype(DTYPE)], axis=1)
    users = _with_knowledge(users, knowledge)
    pairs = jnp.stack([_log(reach), jnp.log1p(reach)], axis=-1)
    unit = links.unit_vectors(frame.channels)
    return Features(users=users, pairs=pairs.astype(DTYPE), triples=_triples(unit.conj() @ unit.T))


def _with_knowledge(users: Float[Array, "N F"], knowledge: Knowledge | None) -> Float[Array, "N G"]:
    """The features of users, followed by the levels of what is not known, of order one."""
    if knowledge is None:
        return users
    k = knowledge
    levels = [5 * k.csi_error, 5 * k.workload_error, 2 * k.novelty, 10 * k.step, 5 * k.loss]
    same = jnp.broadcast_to(jnp.stack(levels).astype(DTYPE), (len(users), NUM_KNOWLEDGE_FEATURES))
    return jnp.concatenate([users, same], axis=1)


def _users(parameters: Parameters, frame: Frame) -> Float[Array, "N F"]:
    """A user's means over its needs, (N, F); the unit of energy is that of computing all its work."""
    p, slot = parameters, parameters.slot_duration
    gain = links.channel_gain(frame.channels)
    work, need = _work(frame), _local_energy(p, frame)
    stored = frame.battery / need
    reflected = links.reflected_snr(p, gain, gain)
    beaming = p.ap_power + p.passive_receive_power
    harvest = links.MILLIWATTS_PER_WATT * p.harvest_efficiency * p.ap_power * gain * slot / need
    one = jnp.ones_like(gain)
    columns = [
        jnp.sqrt(jnp.minimum(stored, 100)),
        jnp.minimum(stored, 1.5),
        _log(harvest),
        _log(links.passive_rate(p, gain, gain) * slot / work),
        _log(reflected) / 10,
        _log(links.active_snr(p, gain) * need / slot) / 5,
        _log(p.bandwidth * slot / work),
        _log(work * 0.025),
        jnp.minimum(frame.workload, 1),
        _log(p.circuit_power * slot / need),
        _log(p.local_rate * slot / work),
        _log(p.battery_capacity / need),
        _log(p.active_receive_power / beaming) / 3 * one,
        _log(p.mec_energy * work / (beaming * slot)) / 3,
        _log(idle_energy(p) / (beaming * slot)) / 3,
        jnp.log(len(gain)) * one,
    ]
    return jnp.stack(columns, axis=1).astype(DTYPE)


def _worth(parameters: Parameters, frame: Frame, value: BatteryValue) -> Float[Array, "N 3"]:
    """Worth to later frames of the energy that each user's work needs, at three battery levels: that energy
    below the present level, the present level, and that energy above it.
    """
    p, need = parameters, _local_energy(parameters, frame)
    beaming = (p.ap_power + p.passive_receive_power) * p.slot_duration
    levels = [frame.battery - need, frame.battery, frame.battery + need]
    slopes = [slopes_at(p, value, jnp.clip(level, 0, p.battery_capacity)) for level in levels]
    return jnp.stack([_log(slope * need / beaming) for slope in slopes], axis=1).astype(DTYPE)


def _triples(gram: Complex[Array, "N N"]) -> Float[Array, "N N N"]:
    return jnp.real(jnp.einsum("ij,jk,ki->ijk", gram, gram, gram)).astype(DTYPE)


def _work(frame: Frame) -> Float[Array, " N"]:
    return jnp.maximum(frame.workload, LEAST_WORK)


def _local_energy(parameters: Parameters, frame: Frame) -> Float[Array, " N"]:
    """Energy in mJ that each user needs to compute all of its work locally."""
    return parameters.local_energy * _work(frame)


def _log(ratio: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.log(jnp.maximum(ratio, LEAST_RATIO))
