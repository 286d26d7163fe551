"""P1 in the form that the solver and the certificates use: four variables per user, data of order one.

The variables are the active time t and the passive time b as fractions of the slot, the radiated energy e,
the local work c and, in the elastic form, the shortfall s. If a slot offers K beams, there is one b per beam;
b below stands for their sum where they count equally:

    minimise    cost_active t + cost_passive b - gain_local c + cost_shortfall s
    subject to  time      1 - t - b                                               >= 0
                work      active_rate t ln(1 + snr e/t) + passive_rate b + c + s  >= workload
                local     local_limit - c                                         >= 0
                budget    battery + (harvest b) - e - circuit t - local_energy c  >= 0
                capacity  capacity - e - circuit t - local_energy c               >= 0
                t, b, e, c, s                                                     >= 0.

If energy left in the battery has a value, the energy kept m and its worth u are additional variables. The
value is concave, so it is the least of as many planes as the battery has parts:

    minimise    ... - unit u
    subject to  worth     constant + slope m - u  >= 0  for every plane
                budget    ... - m  >= 0,    capacity    ... - m  >= 0,    m, u >= 0.

Plane s is the value of energy in part s of the battery, extended beyond it; u is in multiples of ``unit``,
and 1 larger, so that it stays positive.

All work that is not computed locally is offloaded, so the server's energy for the whole workload is charged
as a constant, and ``gain_local`` is refunded per unit of c <= l.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float

from scattermec._pytree import pytree
from scattermec.optimisation.battery_value import part_size
from scattermec.optimisation.problem import AllocationProblem
from scattermec.physics.energy import idle_energy

FLOOR = {"float64": 1e-15, "float32": 2e-6}
"""Smallest available energy, in scaled units: below the solver's resolution."""

LEAST_LINK = {"float64": 1e-11, "float32": 2e-5}
"""Active links that can carry less than this fraction of their user's work are ignored."""

WIDEST = 1e3
"""Largest available energy, in scaled units; the unit is chosen accordingly."""


LEAST_WORTH = 1e-6
"""Least unit, in scaled cost, of the value of energy that is kept in a battery."""


class Planes(NamedTuple):
    """The value of the energy kept in a battery: the least of S planes, in multiples of ``unit``, plus 1."""

    unit: Float[Array, " N"]
    """scaled cost: the value of the most that a battery can have"""
    constant: Float[Array, "N S"]
    slope: Float[Array, "N S"]
    size: Float[Array, " N"]
    """of a part, in scaled energy"""

    @property
    def gain(self) -> Float[Array, "N S"]:
        """Value of a unit of energy in each part, in scaled cost."""
        return self.unit[:, None] * self.slope


def planes_of_value(
    slopes: Float[Array, "N S"], scale: Float[Array, " N"], size: Float[Array, " N"], most: Float[Array, " N"]
) -> Planes:
    """One plane per part of a battery: ``scale`` times ``slopes`` is the value of a unit of energy there.

    ``most``, for the unit, is the largest energy that a battery can have.
    """
    below = size[:, None] * jnp.arange(slopes.shape[-1])
    reached = jnp.clip(most[:, None] - below, 0, size[:, None])
    unit = jnp.maximum(scale * jnp.sum(slopes * reached, axis=-1), LEAST_WORTH)
    per_unit = (scale / unit)[:, None]
    worth_below = size[:, None] * (jnp.cumsum(slopes, axis=-1) - slopes)
    return Planes(unit, 1 + per_unit * (worth_below - slopes * below), per_unit * slopes, size)


@pytree
class StandardForm:
    """The data of the problem above."""

    passive_rate: Float[Array, "N K"]
    active_rate: Float[Array, " N"]
    snr: Float[Array, " N"]
    workload: Float[Array, " N"]
    local_limit: Float[Array, " N"]
    battery: Float[Array, " N"]
    capacity: Float[Array, " N"]
    circuit: Float[Array, " N"]
    local_energy: Float[Array, " N"]
    harvest: Float[Array, "N N K"]
    cost_active: Float[Array, " N"]
    cost_passive: Float[Array, " N"]
    gain_local: Float[Array, " N"]
    cost_shortfall: Float[Array, " N"] | None
    """None for the rigid form"""
    planes: Planes | None = None
    """None if energy left in the battery has no value"""


@pytree
class Scales:
    """Units in which the problem's numbers are of order one."""

    work: Float[Array, " N"]
    """kbit"""
    energy: Float[Array, " N"]
    """mJ"""
    cost: Float[Array, ""]
    """J"""


def natural_scales(problem: AllocationProblem, needy: Bool[Array, " N"]) -> Scales:
    """Units that bring a frame's numbers to order one, per user by its work and available energy."""
    p, parameters = problem, problem.parameters
    slot = parameters.slot_duration
    work = jnp.where(needy, p.workload, 1)
    # Energy for computing all the work, or for sending it over the whole slot if that is less.
    computing = parameters.local_energy * work
    linked = p.active_bandwidth * p.active_snr > 0
    bandwidth, snr = jnp.where(linked, p.active_bandwidth, 1), jnp.where(linked, p.active_snr, 1)
    nats = jnp.minimum(jnp.log(2.0) * work / (bandwidth * slot), 50)
    sending = jnp.where(linked, slot * (jnp.expm1(nats) / snr + parameters.circuit_power), jnp.inf)
    most = most_energy(p)
    energy = jnp.clip(
        jnp.minimum(jnp.maximum(computing, slot / snr * linked), 100 * sending), most / WIDEST, most
    )
    energy = jnp.where(energy_counts(p, needy) & (energy > 0), energy, 1)
    cost = jnp.minimum(p.passive_power * jnp.max(slot), 1.0)
    return Scales(work=work, energy=energy, cost=cost)


def wanted(problem: AllocationProblem) -> Bool[Array, " N"]:
    """Users with work that must be processed."""
    return problem.served & (problem.workload > 0)


def in_need(problem: AllocationProblem) -> Bool[Array, " N"]:
    """Users for whom the solver has more to decide than the beam in their slots.

    Users without work are not in need; nor, if energy left has no value, are users whose battery suffices to
    compute all their work: that costs the AP nothing, and nothing else needs their energy.
    """
    p, parameters = problem, problem.parameters
    pays = (p.workload <= p.local_limit) & (parameters.local_energy * p.workload <= p.battery)
    return wanted(p) if p.battery_value is not None else wanted(p) & ~pays


def energy_counts(problem: AllocationProblem, needy: Bool[Array, " N"]) -> Bool[Array, " N"]:
    """Users whose energy matters."""
    return needy if problem.battery_value is None else jnp.ones_like(needy)


def most_energy(problem: AllocationProblem) -> Float[Array, " N"]:
    """Largest energy that each user can have, in mJ."""
    p, parameters = problem, problem.parameters
    return jnp.minimum(p.battery + p.most_harvest @ parameters.slot_duration, parameters.battery_capacity)


def can_transmit(problem: AllocationProblem) -> Bool[Array, " N"]:
    """Users whose active link can carry more of their work than the solver's resolution."""
    p = problem
    per_millijoule = p.active_bandwidth / jnp.log(2.0) * p.active_snr  # kbit, at a vanishing power
    most = per_millijoule * most_energy(p)
    return most > (0 if p.free_beams else LEAST_LINK[most.dtype.name]) * p.workload


def can_fill(problem: AllocationProblem) -> Bool[Array, " N"]:
    """Users whose battery can be filled, so that its capacity matters."""
    p, parameters = problem, problem.parameters
    return p.battery + p.most_harvest @ parameters.slot_duration >= parameters.battery_capacity


def fixed_energy(problem: AllocationProblem, needy: Bool[Array, " N"]) -> Float[Array, ""]:
    """Energy (7) in J that is not in the form's cost: the server's for all the work, and the idle energy."""
    p = problem
    work = jnp.where(needy, p.workload, 0)
    return jnp.sum(p.parameters.mec_energy * work) + idle_energy(p.parameters)


def standard_form(
    problem: AllocationProblem, scales: Scales, needy: Bool[Array, " N"], *, elastic: bool = False
) -> StandardForm:
    """State ``problem`` in the units of ``scales``.

    Users who are not `in_need` contribute only their slots. The solver needs an interior, so available
    energies are at least `FLOOR`, and a battery that cannot be filled has twice the capacity it can reach.
    """
    p, parameters = problem, problem.parameters
    slot, work, energy = parameters.slot_duration, scales.work, scales.energy
    one = jnp.ones_like(slot)
    floor = FLOOR[slot.dtype.name]
    counts, most = energy_counts(p, needy), most_energy(p) / energy
    transmits = needy & can_transmit(p)
    capacity = jnp.where(can_fill(p), parameters.battery_capacity / energy, 2 * most)
    limit = jnp.where(needy, jnp.minimum(p.local_limit, p.workload) / work, 1)
    capacity = jnp.where(counts, jnp.maximum(capacity, floor), 1)
    planes = None
    if p.battery_value is not None:
        size = jnp.maximum(part_size(parameters, p.battery_value) / energy, floor)
        planes = planes_of_value(p.battery_value.slopes, energy / scales.cost, size, capacity)
    return StandardForm(
        passive_rate=jnp.where(needy, slot / work, 0)[:, None] * p.passive_rate,
        active_rate=jnp.where(transmits, p.active_bandwidth / jnp.log(2.0) * slot / work, 0),
        snr=jnp.where(transmits, energy * p.active_snr / slot, 1),
        workload=jnp.where(needy, p.workload / work, 0),
        local_limit=jnp.maximum(limit, floor),
        battery=jnp.where(counts, jnp.maximum(p.battery / energy, floor), 1),
        capacity=capacity,
        circuit=parameters.circuit_power * slot / energy,
        local_energy=parameters.local_energy * work / energy,
        harvest=p.harvest_rate * slot[None, :, None] * jnp.where(counts, 1 / energy, 0)[:, None, None],
        cost_active=one * parameters.active_receive_power * slot / scales.cost,
        cost_passive=one * p.passive_power * slot / scales.cost,
        gain_local=jnp.where(needy, parameters.mec_energy * work / scales.cost, 0),
        cost_shortfall=(parameters.shortfall_price - parameters.mec_energy) * work / scales.cost
        if elastic
        else None,
        planes=planes,
    )
