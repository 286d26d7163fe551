"""The certificate of P1 and P2: a lower bound on the energy of every allocation, from any prices.

It is stated in natural units, so that it can be checked with the prices of a solution; the solver's own form
is in `scattermec.optimisation.dual`.
"""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from scattermec._pytree import pytree
from scattermec.optimisation.battery_value import part_size, worth
from scattermec.optimisation.problem import AllocationProblem
from scattermec.optimisation.standard_form import wanted
from scattermec.physics.energy import idle_energy


@pytree
class Prices:
    """Lagrange multipliers of P1, all non-negative."""

    workload: Float[Array, " N"]
    """mu: J per kbit of additional work, constraint (3)"""
    budget: Float[Array, " N"]
    """lambda: J per mJ of available energy, constraint (9)"""
    capacity: Float[Array, " N"]
    """kappa: J per mJ of battery capacity, constraint (9)"""


def lower_bound(
    problem: AllocationProblem, prices: Prices, beam_worth: Float[Array, " N"] | None = None
) -> Float[Array, ""]:
    """Lower bound in J, idle included, on the energy of all allocations for these beams (weak duality).

    Holds for ANY non-negative prices, however they were found, and is tight at the optimal prices. With the
    values ``beam_worth`` (J/s) of the best beams at these prices, it holds for all beams. If energy left in
    the batteries has a value, the bound is on the energy less that value.
    """
    return jnp.sum(bound_terms(problem, prices, beam_worth)) + idle_energy(problem.parameters)


def least_value(problem: AllocationProblem) -> Float[Array, ""]:
    """The bound without prices in J: the idle energy, less the value of full batteries."""
    least = idle_energy(problem.parameters)
    if problem.battery_value is not None:
        full = problem.parameters.battery_capacity
        least -= jnp.sum(worth(problem.parameters, problem.battery_value, full))
    return least


def infeasibility_margin(
    problem: AllocationProblem, prices: Prices, beam_worth: Float[Array, " N"] | None = None
) -> Float[Array, ""]:
    """Margin by which the prices prove that the workload cannot be processed, relative to the priced work.

    If it is positive, no allocation meets all constraints; with ``beam_worth``, for any beams. It is the
    bound of the problem without costs, whose optimum would be 0 if it were feasible.
    """
    valued = jnp.sum(jnp.where(wanted(problem), prices.workload * problem.workload, 0))
    free = jnp.sum(bound_terms(problem, prices, beam_worth, costs=0.0))
    return jnp.where(valued > 0, free / jnp.where(valued > 0, valued, 1), -1)


def bound_terms(
    problem: AllocationProblem,
    prices: Prices,
    beam_worth: Float[Array, " N"] | None = None,
    costs: float = 1.0,
) -> Float[Array, " N"]:
    """Contribution of each user and its slot to the bound, in J, without idle energy.

        mu l - tau T - lambda E - kappa E_max - rho min(f_c T, l),
        rho = max(mu - (lambda + kappa) phi_c, 0),

    where tau in J/s is the largest net value of the slot's time, beaming or receiving. ``costs`` multiplies
    the AP's costs: 0 for the problem without an objective. By default the beams are the problem's own.
    """
    p, fixed = problem, problem.parameters
    mu = jnp.where(wanted(p), prices.workload, 0)
    energy = prices.budget + prices.capacity
    offload = jnp.maximum(mu - costs * fixed.mec_energy, 0)
    if beam_worth is None:
        brought = jnp.einsum("j,jik->ik", prices.budget, p.harvest_rate) + offload[:, None] * p.passive_rate
        beam_worth = jnp.max(brought, axis=-1)
    active = active_worth(
        offload * p.active_bandwidth / jnp.log(2.0), p.active_snr, energy, fixed.circuit_power
    )
    active -= costs * fixed.active_receive_power
    tau = jnp.maximum(jnp.maximum(active, beam_worth - costs * p.passive_power), 0)
    rho = jnp.maximum(mu - energy * fixed.local_energy, 0)
    terms = mu * p.workload - tau * fixed.slot_duration - rho * jnp.minimum(p.local_limit, p.workload)
    terms -= prices.budget * p.battery + prices.capacity * fixed.battery_capacity
    if p.battery_value is not None:
        kept = jnp.maximum(costs * p.battery_value.slopes - energy[:, None], 0)
        terms -= jnp.sum(kept, axis=-1) * part_size(fixed, p.battery_value)
    return terms


def active_worth(
    work: Float[Array, " N"],
    snr: Float[Array, " N"],
    energy: Float[Array, " N"],
    circuit: Float[Array, " N"],
) -> Float[Array, " N"]:
    """Value of a unit of active time at the best transmit power x >= 0, before the AP's cost.

    max over x of  c ln(1 + a x) - pi (x + p_o),  reached at x = c/pi - 1/a; infinite if energy is free.

    Args:
        work: c, the value of transmitted work per unit of ln(1 + snr).
        snr: a, per unit of power; 0 without a link.
        energy: pi, the price of energy.
        circuit: p_o, the circuit power while transmitting.
    """
    linked = (work > 0) & (snr > 0)
    a, pi = jnp.where(linked, snr, 1), jnp.where(energy > 0, energy, 1)
    power = jnp.where(linked, jnp.maximum(work / pi - 1 / a, 0), 0)
    worth = work * jnp.log1p(a * power) - energy * (power + circuit)
    return jnp.where(linked & (energy <= 0), jnp.inf, worth)
