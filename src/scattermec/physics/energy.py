"""Energies: the AP's consumption (7), the users' harvest (8), and their demand and budget (9)."""

import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid
from jaxtyping import Float

from scattermec.physics.links import MILLIWATTS_PER_WATT
from scattermec.physics.parameters import Parameters


def ap_energy(
    parameters: Parameters,
    t_active: Float[Array, " N"],
    t_passive: Float[Array, " N"],
    l_active: Float[Array, " N"],
    l_passive: Float[Array, " N"],
) -> Float[Array, ""]:
    """Energy E_o of the AP and the edge server in J, equation (7) plus idle power over the frame."""
    p = parameters
    beaming = (p.ap_power + p.passive_receive_power) * t_passive
    receiving = p.active_receive_power * t_active
    computing = p.mec_energy * (l_active + l_passive)
    return jnp.sum(beaming + receiving + computing) + idle_energy(parameters)


def idle_energy(parameters: Parameters) -> Float[Array, ""]:
    """Static energy of the AP over one frame in J: idle power times the sum of the slots."""
    return parameters.idle_power * jnp.sum(parameters.slot_duration)


def rectified_power(parameters: Parameters, incident_power: Float[Array, "..."]) -> Float[Array, "..."]:
    """Direct-current power in mW from incident radio power in mW.

    Linear: eta times the incident power, as in equation (8). Sigmoidal: a logistic curve shifted to start at
    zero, with given saturation, steepness and turn-on (Boshkovska et al., IEEE Commun. Lett. 19(12), 2015).
    """
    p = parameters
    if p.harvest_model == "linear":
        return p.harvest_efficiency * incident_power
    at_zero = sigmoid(-p.rectifier_steepness * p.rectifier_turn_on)
    curve = sigmoid(p.rectifier_steepness * (incident_power - p.rectifier_turn_on))
    return p.rectifier_saturation * (curve - at_zero) / (1 - at_zero)


def harvest_rate(parameters: Parameters, beam_gains: Float[Array, "N N"]) -> Float[Array, "N N"]:
    """Harvested power in mW of user j (row) while the AP beams in slot i (column), the kernel of (8).

    The diagonal is zero: a user reflects in its own slot and harvests in the others.
    """
    incident = MILLIWATTS_PER_WATT * parameters.ap_power * beam_gains
    return rectified_power(parameters, incident) * (1 - jnp.eye(beam_gains.shape[0], dtype=beam_gains.dtype))


def usable_harvest_rate(parameters: Parameters, harvest_rate: Float[Array, "N N"]) -> Float[Array, "N N"]:
    """The part of `harvest_rate` that counts towards this frame's budget.

    In (8), all of it counts; with causal harvesting, only slots before the user's own.
    """
    return jnp.tril(harvest_rate, k=-1) if parameters.causal_harvest else harvest_rate


def harvested_energy(harvest_rate: Float[Array, "N N"], t_passive: Float[Array, " N"]) -> Float[Array, " N"]:
    """Energy E^h in mJ that each user harvests over the frame, equation (8)."""
    return harvest_rate @ t_passive


def energy_budget(
    parameters: Parameters, battery: Float[Array, " N"], harvested: Float[Array, " N"]
) -> Float[Array, " N"]:
    """Energy in mJ that a user may spend, the right-hand side of (9): min(E + E^h, E_max)."""
    return jnp.minimum(battery + harvested, parameters.battery_capacity)


def energy_demand(
    parameters: Parameters,
    transmit_power: Float[Array, " N"],
    t_active: Float[Array, " N"],
    l_local: Float[Array, " N"],
) -> Float[Array, " N"]:
    """Energy in mJ that a user's schedule needs, the left-hand side of (9): t_a (beta + p_o) + phi_c l_c.

    ``transmit_power`` is beta in mW and may be infinite; the demand is then infinite, never NaN.
    """
    finite = jnp.isfinite(transmit_power)
    active = t_active * (jnp.where(finite, transmit_power, 0) + parameters.circuit_power)
    return jnp.where(finite, active + parameters.local_energy * l_local, jnp.inf)
