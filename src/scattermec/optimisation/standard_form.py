"""P1 in the form that the solver and the certificates work on: four variables a user, data of order one.

The variables are the active time t and the passive time b in parts of the slot, the radiated energy e, the
local work c and, in the elastic form, the shortfall s. Where a slot offers K beams there is one b for each,
and b stands for their sum where they count alike:

    minimise    cost_active t + cost_passive b - gain_local c + cost_shortfall s
    subject to  time      1 - t - b                                               >= 0
                work      active_rate t ln(1 + snr e/t) + passive_rate b + c + s  >= workload
                local     local_limit - c                                         >= 0
                budget    battery + (harvest b) - e - circuit t - local_energy c  >= 0
                capacity  capacity - e - circuit t - local_energy c               >= 0
                t, b, e, c, s                                                     >= 0.

Where energy left in the battery has a value, there is the energy m left in each part of it besides, and

    minimise    ... - (gain_stored m)
    subject to  stored    part_size - m  >= 0
                budget    ... - (sum of m)  >= 0,    capacity    ... - (sum of m)  >= 0,    m >= 0.

Whatever is not computed locally is offloaded, so the server's energy is charged as a constant for all of the
workload, with ``gain_local`` back for each unit of c <= l.
"""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float

from scattermec._pytree import pytree
from scattermec.optimisation.battery_value import part_size
from scattermec.optimisation.problem import AllocationProblem
from scattermec.physics.energy import idle_energy

FLOOR = {"float64": 1e-12, "float32": 2e-6}
"""Least energy at hand, in scaled units: below what the solver resolves."""


@pytree
class StandardForm:
    """The data of the problem above: (N,) each, ``passive_rate`` (N, K) and ``harvest`` (N, N, K)."""

    passive_rate: Array
    active_rate: Array
    snr: Array
    workload: Array
    local_limit: Array
    battery: Array
    capacity: Array
    circuit: Array
    local_energy: Array
    harvest: Array
    cost_active: Array
    cost_passive: Array
    gain_local: Array
    cost_shortfall: Array | None
    """None for the rigid form"""
    gain_stored: Array | None = None
    """(N, S); None where energy left in the battery has no value"""
    part_size: Array | None = None
    """(N, S) likewise"""


@pytree
class Scales:
    """Units in which the problem's numbers are of order one; (N,) but for ``cost``."""

    work: Array
    """kbit"""
    energy: Array
    """mJ"""
    cost: Array
    """() J"""


def natural_scales(problem: AllocationProblem) -> Scales:
    """Scales that bring a frame's numbers to order one."""
    p, constants = problem, problem.parameters
    work = jnp.where(p.workload > 0, jnp.maximum(p.workload, 1e-6), 1)
    reached = p.active_snr > 0
    noise = jnp.where(reached, 1 / jnp.where(reached, p.active_snr, 1), 0)
    energy = jnp.maximum(constants.local_energy * work, noise * constants.slot_duration)
    energy = jnp.where(energy > 0, energy, 1)
    return Scales(work=work, energy=energy, cost=p.passive_power * jnp.max(constants.slot_duration))


def unit_scales(problem: AllocationProblem) -> Scales:
    """Scales that leave the units as they are: kbit, mJ and J."""
    one = jnp.ones_like(problem.workload)
    return Scales(work=one, energy=one, cost=jnp.ones((), one.dtype))


def wanted(problem: AllocationProblem) -> Bool[Array, " N"]:
    """Users with work that has to be processed."""
    return problem.served & (problem.workload > 0)


def fixed_energy(problem: AllocationProblem) -> Float[Array, ""]:
    """What the energy (7) has besides the form's cost, in J: the server's for all the work, and the idle."""
    p = problem
    served_work = jnp.where(wanted(p), p.workload, 0)
    return jnp.sum(p.parameters.mec_energy * served_work) + idle_energy(p.parameters)


def standard_form(problem: AllocationProblem, scales: Scales, *, elastic: bool = False) -> StandardForm:
    """State ``problem`` in the units of ``scales``.

    Users who are not served, or have no work, keep only their time to lend. The solver needs an interior, so
    energies at hand are at least `FLOOR`; who can never have that much cannot transmit.
    """
    p, constants = problem, problem.parameters
    slot, work, energy = constants.slot_duration, scales.work, scales.energy
    one = jnp.ones_like(slot)
    floor = FLOOR[slot.dtype.name]
    most = (p.battery + jnp.max(p.harvest_rate, axis=-1) @ slot) / energy
    has_work = wanted(p)
    limit = jnp.where(has_work, jnp.minimum(p.local_limit, p.workload) / work, 1)
    gain_stored = sizes = None
    if p.battery_value is not None:
        gain_stored = p.battery_value.slopes * energy[:, None] / scales.cost
        sizes = jnp.maximum(part_size(constants, p.battery_value) / energy, floor)
        sizes = jnp.broadcast_to(sizes[:, None], gain_stored.shape)
    return StandardForm(
        passive_rate=p.passive_rate * (slot / work)[:, None],
        active_rate=jnp.where(most > floor, p.active_bandwidth / jnp.log(2.0) * slot / work, 0),
        snr=energy * p.active_snr / slot,
        workload=jnp.where(has_work, p.workload / work, 0),
        local_limit=jnp.maximum(limit, floor),
        battery=jnp.maximum(p.battery / energy, floor),
        capacity=jnp.maximum(constants.battery_capacity / energy, floor),
        circuit=constants.circuit_power * slot / energy,
        local_energy=constants.local_energy * work / energy,
        harvest=p.harvest_rate * slot[None, :, None] / energy[:, None, None],
        cost_active=one * constants.active_receive_power * slot / scales.cost,
        cost_passive=one * p.passive_power * slot / scales.cost,
        gain_local=jnp.where(has_work, constants.mec_energy * work / scales.cost, 0),
        cost_shortfall=(constants.shortfall_price - constants.mec_energy) * work / scales.cost
        if elastic
        else None,
        gain_stored=gain_stored,
        part_size=sizes,
    )
