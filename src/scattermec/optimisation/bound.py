"""The certificate of P1: a lower bound on the energy of every allocation, from any prices."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from scattermec._pytree import pytree
from scattermec.optimisation.battery_value import worth
from scattermec.optimisation.problem import AllocationProblem
from scattermec.optimisation.standard_form import (
    StandardForm,
    fixed_energy,
    standard_form,
    unit_scales,
    wanted,
)
from scattermec.physics.energy import idle_energy


@pytree
class Prices:
    """Lagrange multipliers of P1, all non-negative, (N,) each."""

    workload: Array
    """mu: J per kbit of more work, of constraint (3)"""
    budget: Array
    """lambda: J per mJ of energy at hand, of constraint (9)"""
    capacity: Array
    """kappa: J per mJ of battery capacity, of constraint (9)"""


def lower_bound(
    problem: AllocationProblem, prices: Prices, beam_worth: Float[Array, " N"] | None = None
) -> Float[Array, ""]:
    """Energy in J, idle included, that no allocation for these beams can undercut (weak duality).

    Holds for ANY non-negative prices, however they were found; equals the optimum at the optimal prices.
    With the ``beam_worth`` in J/s of the best beams at these prices it holds for all beams. Where energy left
    in the batteries has a value, that is credited: the bound is one of energy less the value.
    """
    p = problem.parameters
    form = standard_form(problem, unit_scales(problem))
    offload = jnp.where(wanted(problem), jnp.maximum(prices.workload - p.mec_energy, 0), 0)
    worth = None if beam_worth is None else beam_worth * p.slot_duration
    return fixed_energy(problem) + dual_function(
        form, offload, prices.budget, prices.capacity, beam_worth=worth
    )


def least_value(problem: AllocationProblem) -> Float[Array, ""]:
    """The bound without prices in J: the idle energy, less what full batteries are worth."""
    least = idle_energy(problem.parameters)
    if problem.battery_value is not None:
        full = problem.parameters.battery_capacity
        least -= jnp.sum(worth(problem.parameters, problem.battery_value, full))
    return least


def infeasibility_margin(
    problem: AllocationProblem, prices: Prices, beam_worth: Float[Array, " N"] | None = None
) -> Float[Array, ""]:
    """How clearly the prices prove that the workload cannot be processed, relative to what they value it at.

    Where it is positive, no allocation meets all constraints; with ``beam_worth`` none for any beams.
    """
    form = standard_form(problem, unit_scales(problem))
    worth = None if beam_worth is None else beam_worth * problem.parameters.slot_duration
    return disproof(form, prices.workload, prices.budget, prices.capacity, beam_worth=worth)


def disproof(
    form: StandardForm,
    work: Float[Array, " N"],
    budget: Float[Array, " N"],
    capacity: Float[Array, " N"],
    beam_worth: Float[Array, " N"] | None = None,
) -> Float[Array, ""]:
    """Dual function of the problem without its costs, relative to the priced work: positive is a proof."""
    value = jnp.sum(work * form.workload)
    free = dual_function(form, work, budget, capacity, costs=0.0, beam_worth=beam_worth)
    return jnp.where(value > 0, free / jnp.where(value > 0, value, 1), -1)


def dual_function(
    form: StandardForm,
    work: Float[Array, " N"],
    budget: Float[Array, " N"],
    capacity: Float[Array, " N"],
    costs: float = 1.0,
    beam_worth: Float[Array, " N"] | None = None,
) -> Float[Array, ""]:
    """Minimum of the Lagrangian over the variables, given the prices of work and of energy.

    The prices of time and of local computing that belong to these are what a slot and a unit of local work
    are worth at most. ``costs`` is how often the costs count: 0 for the problem without an objective.
    ``beam_worth`` is what a slot of beaming brings in work and energy at most, before its cost; by default
    that of the form's own beams.
    """
    return jnp.sum(dual_terms(form, work, budget, capacity, costs, beam_worth))


def dual_terms(
    form: StandardForm,
    work: Float[Array, " N"],
    budget: Float[Array, " N"],
    capacity: Float[Array, " N"],
    costs: float = 1.0,
    beam_worth: Float[Array, " N"] | None = None,
) -> Float[Array, " N"]:
    """What each user and its slot contribute to `dual_function`."""
    f, energy = form, budget + capacity
    if beam_worth is None:
        brought = jnp.einsum("j,jik->ik", budget, f.harvest) + work[:, None] * f.passive_rate
        beam_worth = jnp.max(brought, axis=-1)
    local_worth = jnp.maximum(work + costs * f.gain_local - energy * f.local_energy, 0)
    active_worth = _active_worth(f, work, energy) - costs * f.cost_active
    passive_worth = beam_worth - costs * f.cost_passive
    time_worth = jnp.maximum(jnp.maximum(active_worth, passive_worth), 0)
    priced = work * f.workload - budget * f.battery - capacity * f.capacity
    if f.gain_stored is not None and f.part_size is not None:
        stored_worth = jnp.maximum(costs * f.gain_stored - energy[:, None], 0)
        priced -= jnp.sum(stored_worth * f.part_size, axis=-1)
    return priced - time_worth - local_worth * f.local_limit


def _active_worth(
    form: StandardForm, work: Float[Array, " N"], energy: Float[Array, " N"]
) -> Float[Array, " N"]:
    """What a slot of active offloading is worth at the best transmit power x >= 0.

    max over x of  c ln(1 + a x) - pi (x + p_o), reached at x = c/pi - 1/a; infinite if energy is free.
    """
    c = work * form.active_rate
    pi = jnp.where(energy > 0, energy, 1)
    power = jnp.maximum(c / pi - 1 / form.snr, 0)
    worth = c * jnp.log1p(form.snr * power) - energy * (power + form.circuit)
    return jnp.where((energy <= 0) & (c > 0), jnp.inf, worth)
