"""The certificate of P1: a lower bound on the energy of every allocation, from any prices."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from scattermec._pytree import pytree
from scattermec.optimisation.problem import AllocationProblem
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


def lower_bound(problem: AllocationProblem, prices: Prices) -> Float[Array, ""]:
    """Energy in J, idle included, that no allocation for these beams can undercut (weak duality).

    Holds for ANY non-negative prices, however they were found; equals the optimum at the optimal prices.
    """
    return _dual_function(problem, prices, costs=1.0) + idle_energy(problem.parameters)


def infeasibility_margin(problem: AllocationProblem, prices: Prices) -> Float[Array, ""]:
    """How clearly the prices prove that the workload cannot be processed, relative to what they value it at.

    The dual function of the problem without costs: where it is positive, no allocation meets all constraints.
    """
    value = jnp.sum(jnp.where(problem.served, prices.workload * problem.workload, 0))
    positive = value > 0
    return jnp.where(positive, _dual_function(problem, prices, costs=0.0) / jnp.where(positive, value, 1), 0)


def _dual_function(problem: AllocationProblem, prices: Prices, costs: float) -> Float[Array, ""]:
    """Minimum of the Lagrangian over times, shares and powers; the costs of (7) count ``costs`` times."""
    p, constants = problem, problem.parameters
    mu = jnp.where(p.served, prices.workload, 0)
    energy_price = prices.budget + prices.capacity
    local_worth = jnp.maximum(mu - energy_price * constants.local_energy, 0)
    offload_worth = jnp.maximum(mu - costs * constants.mec_energy, 0)
    active_worth = _active_worth(p, offload_worth, energy_price) - costs * constants.active_receive_power
    harvest_worth = prices.budget @ p.harvest_rate
    passive_worth = harvest_worth + offload_worth * p.passive_rate - costs * p.passive_power
    time_worth = jnp.maximum(jnp.maximum(active_worth, passive_worth), 0)
    return jnp.sum(
        mu * p.workload
        - time_worth * constants.slot_duration
        - prices.budget * p.battery
        - prices.capacity * constants.battery_capacity
        - local_worth * p.local_limit
    )


def _active_worth(
    problem: AllocationProblem, offload_worth: Float[Array, "N"], energy_price: Float[Array, "N"]
) -> Float[Array, "N"]:
    """What a second of active offloading is worth in J/s at the best transmit power x >= 0.

    max over x of  c ln(1 + x/g) - pi (x + p_o)  with c = offload_worth B / ln 2; reached at x = c/pi - g.
    """
    p = problem
    c = offload_worth * p.active_bandwidth / jnp.log(2.0)
    free = (energy_price <= 0) & (c > 0)
    pi = jnp.where(energy_price > 0, energy_price, 1)
    power = jnp.maximum(c / pi - p.active_noise, 0)
    worth = c * jnp.log1p(power / p.active_noise) - energy_price * (power + p.parameters.circuit_power)
    return jnp.where(free, jnp.inf, worth)
