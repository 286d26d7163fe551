"""One frame: the outcome of the AP's beams and the users' allocations on the given channels."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Complex, Float

from scattermec._jit import one_program
from scattermec._pytree import pytree
from scattermec.physics import energy, links, rewards
from scattermec.physics.parameters import Parameters

TOLERANCE = 1e-6
"""Relative tolerance of the constraints."""

CONSTRAINTS = {
    "slot": "s",
    "local_time": "s",
    "computing": "kbit",
    "reflection": "kbit",
    "workload": "kbit",
    "energy": "mJ",
}
"""The constraints on a user, with their units; `constraint_sides` says what each one compares."""


@pytree
class Frame:
    """The state at the start of a frame."""

    channels: Complex[Array, "N M"]
    """channels h"""
    workload: Float[Array, " N"]
    """work l to process in kbit, backlog included"""
    battery: Float[Array, " N"]
    """stored energy E in mJ"""


@pytree
class Allocation:
    """How each user divides its slot and its workload: times in s, work in kbit."""

    t_active: Float[Array, " N"]
    t_passive: Float[Array, " N"]
    t_local: Float[Array, " N"]
    l_active: Float[Array, " N"]
    l_passive: Float[Array, " N"]
    l_local: Float[Array, " N"]


@pytree
class Outcome:
    """The results of a frame."""

    success: Bool[Array, " N"]
    """x: whether the user's workload was processed within its slot"""
    ap_energy: Float[Array, ""]
    """E_o in J, idle included"""
    transmit_power: Float[Array, " N"]
    """beta in mW"""
    harvested: Float[Array, " N"]
    """E^h in mJ"""
    demand: Float[Array, " N"]
    """energy that the schedule needs, in mJ (possibly infinite)"""
    budget: Float[Array, " N"]
    """energy that the user may spend, in mJ"""
    spent: Float[Array, " N"]
    """energy that the user spends, in mJ"""
    overflow: Float[Array, " N"]
    """harvest lost to a full battery, in mJ"""
    battery: Float[Array, " N"]
    """stored energy at the end, in mJ"""
    backlog: Float[Array, " N"]
    """work carried to the next frame, in kbit"""
    ap_reward: Float[Array, ""]
    """equation (11), kbit/J"""
    user_reward: Float[Array, " N"]
    """equation (12)"""


@one_program()
def run_frame(
    parameters: Parameters, frame: Frame, beams: Complex[Array, "N M"], allocation: Allocation
) -> Outcome:
    """Play one frame: equations (4), (6) to (9), (11) and (12) in order.

    Args:
        parameters: the scenario's constants.
        frame: channels, workload and battery at the start.
        beams: the AP's beams; scaled to unit norm here, a zero beam means maximum ratio transmission.
        allocation: the users' times and work.
    """
    gain = links.channel_gain(frame.channels)
    gains = links.beam_gains(frame.channels, links.unit_beams(beams, frame.channels))
    harvest_rate = energy.harvest_rate(parameters, gains)
    usable_rate = energy.usable_harvest_rate(parameters, harvest_rate)

    harvested = energy.harvested_energy(harvest_rate, allocation.t_passive)
    usable = energy.harvested_energy(usable_rate, allocation.t_passive)
    budget = energy.energy_budget(parameters, frame.battery, usable)
    transmit_power = links.active_power(parameters, gain, allocation.l_active, allocation.t_active)
    demand = energy.energy_demand(parameters, transmit_power, allocation.t_active, allocation.l_local)
    rate = links.passive_rate(parameters, gain, jnp.diagonal(gains))
    success = is_processed(parameters, frame.workload, allocation, rate, demand, budget)

    spent = jnp.minimum(demand, budget)
    stored = jnp.minimum(frame.battery + harvested, parameters.battery_capacity)
    ap_energy = energy.ap_energy(
        parameters, allocation.t_active, allocation.t_passive, allocation.l_active, allocation.l_passive
    )
    offloaded = allocation.l_active + allocation.l_passive
    return Outcome(
        success=success,
        ap_energy=ap_energy,
        transmit_power=transmit_power,
        harvested=harvested,
        demand=demand,
        budget=budget,
        spent=spent,
        overflow=frame.battery + harvested - stored,
        battery=stored - spent,
        backlog=next_backlog(parameters, frame.workload, success),
        ap_reward=rewards.ap_reward(parameters, frame.workload, success, ap_energy),
        user_reward=rewards.user_reward(parameters, frame.workload, success, offloaded, allocation.t_passive),
    )


run_frames = jax.vmap(run_frame, in_axes=(None, 0, 0, 0))
"""`run_frame` for K frames, beams and allocations (leading axis)."""


def is_processed(
    parameters: Parameters,
    workload: Float[Array, " N"],
    allocation: Allocation,
    passive_rate: Float[Array, " N"],
    demand: Float[Array, " N"],
    budget: Float[Array, " N"],
) -> Bool[Array, " N"]:
    """Success x: constraints (1), (2), (3) and (9), each to a relative tolerance of 1e-6.

    ``passive_rate`` in kbit/s, ``demand`` and ``budget`` in mJ.
    """
    a = allocation
    parts = (a.t_active, a.t_passive, a.t_local, a.l_active, a.l_passive, a.l_local)
    sides = constraint_sides(parameters, workload, allocation, passive_rate, demand, budget)
    conditions = (*(_at_most(left, right) for left, right in sides.values()), *(part >= 0 for part in parts))
    return jnp.all(jnp.stack(conditions), axis=0)


def constraint_sides(
    parameters: Parameters,
    workload: Float[Array, " N"],
    allocation: Allocation,
    passive_rate: Float[Array, " N"],
    demand: Float[Array, " N"],
    budget: Float[Array, " N"],
) -> dict[str, tuple[Float[Array, " N"], Float[Array, " N"]]]:
    """Left and right side of (1), (2), (3) and (9), left <= right, by their names in `CONSTRAINTS`.

    Arguments as for `is_processed`. That no part is negative is not among them.
    """
    a = allocation
    return {
        "slot": (a.t_active + a.t_passive, parameters.slot_duration),
        "local_time": (a.t_local, parameters.slot_duration),
        "computing": (a.l_local, parameters.local_rate * a.t_local),
        "reflection": (a.l_passive, passive_rate * a.t_passive),
        "workload": (workload, a.l_active + a.l_passive + a.l_local),
        "energy": (demand, budget),
    }


def constraint_excess(
    parameters: Parameters,
    frame: Frame,
    beams: Complex[Array, "N M"],
    allocation: Allocation,
    outcome: Outcome,
) -> dict[str, Float[Array, " N"]]:
    """By how much each user exceeds each of `CONSTRAINTS`; 0 where it holds to the tolerance, never NaN.

    ``outcome`` is that of `run_frame` for the other arguments. The excess is infinite if no energy suffices.
    """
    unit = links.unit_beams(beams, frame.channels)
    sides = _sides_of_played(parameters, frame, unit, allocation, outcome)
    return {
        name: jnp.where(_at_most(left, right), 0, jnp.nan_to_num(left - right, nan=jnp.inf, posinf=jnp.inf))
        for name, (left, right) in sides.items()
    }


def _sides_of_played(
    parameters: Parameters,
    frame: Frame,
    beams: Complex[Array, "N M"],
    allocation: Allocation,
    outcome: Outcome,
) -> dict[str, tuple[Float[Array, " N"], Float[Array, " N"]]]:
    """`constraint_sides` of a played frame, for unit beams."""
    gain = links.channel_gain(frame.channels)
    own = jnp.diagonal(links.beam_gains(frame.channels, beams))
    rate = links.passive_rate(parameters, gain, own)
    return constraint_sides(parameters, frame.workload, allocation, rate, outcome.demand, outcome.budget)


def _at_most(left: Float[Array, " N"], right: Float[Array, " N"]) -> Bool[Array, " N"]:
    # Relative to the right-hand side only, so that more work never turns an outage into a success.
    return left <= right * (1 + TOLERANCE)


def shares_met(
    parameters: Parameters,
    frame: Frame,
    beams: Complex[Array, "N M"],
    allocation: Allocation,
    outcome: Outcome,
) -> Float[Array, " N"]:
    """How far each user of a played frame comes: 1 if it succeeds, else less.

    In an outage it is the product of what there is over what is needed, at most 1 each, for the constraints
    (1), (2), (3) and (9). ``beams`` are unit beams.
    """
    sides = _sides_of_played(parameters, frame, beams, allocation, outcome)
    shares = [_share(available, needed) for needed, available in sides.values()]
    return jnp.where(outcome.success, 1, jnp.prod(jnp.stack(shares), axis=0))


def _share(available: Float[Array, " N"], needed: Float[Array, " N"]) -> Float[Array, " N"]:
    enough = available >= needed
    return jnp.where(enough, 1, jnp.maximum(available, 0) / jnp.where(enough, 1, needed))


def processed_work(
    workload: Float[Array, " N"], allocation: Allocation, success: Bool[Array, " N"]
) -> Float[Array, "3 N"]:
    """Processed work per user in kbit (active, passive, local); zeros in an outage.

    Local work counts only as far as it is needed: a surplus costs the AP nothing and says nothing about the
    mode.
    """
    a = allocation
    needed = jnp.maximum(workload - a.l_active - a.l_passive, 0)
    parts = jnp.stack([a.l_active, a.l_passive, jnp.minimum(a.l_local, needed)])
    return jnp.where(success, parts, 0)


def next_backlog(
    parameters: Parameters, workload: Float[Array, " N"], success: Bool[Array, " N"]
) -> Float[Array, " N"]:
    """Work in kbit that a user in outage carries to its next frame, at most ``backlog_cap``."""
    return jnp.where(success, 0, jnp.minimum(workload, parameters.backlog_cap))
