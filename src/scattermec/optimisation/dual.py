"""The dual function of the scaled problem, with which the solver judges its prices."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from scattermec.optimisation.bound import active_worth
from scattermec.optimisation.standard_form import StandardForm


def disproof(
    form: StandardForm,
    work: Float[Array, " N"],
    budget: Float[Array, " N"],
    capacity: Float[Array, " N"],
) -> Float[Array, ""]:
    """Dual function without costs, relative to the priced work: if positive, a proof of infeasibility."""
    value = jnp.sum(work * form.workload)
    free = dual_function(form, work, budget, capacity, costs=0.0)
    return jnp.where(value > 0, free / jnp.where(value > 0, value, 1), -1)


def dual_function(
    form: StandardForm,
    work: Float[Array, " N"],
    budget: Float[Array, " N"],
    capacity: Float[Array, " N"],
    costs: float = 1.0,
) -> Float[Array, ""]:
    """Minimum of the Lagrangian over the variables, given the prices of work and of energy.

    The prices of time and of local computing follow from these: the largest values of a slot and of a unit of
    local work. ``costs`` multiplies the costs: 0 for the problem without an objective.
    """
    f, energy = form, budget + capacity
    brought = jnp.einsum("j,jik->ik", budget, f.harvest) + work[:, None] * f.passive_rate
    passive_worth = jnp.max(brought, axis=-1) - costs * f.cost_passive
    active = active_worth(work * f.active_rate, f.snr, energy, f.circuit) - costs * f.cost_active
    local_worth = jnp.maximum(work + costs * f.gain_local - energy * f.local_energy, 0)
    time_worth = jnp.maximum(jnp.maximum(active, passive_worth), 0)
    priced = work * f.workload - budget * f.battery - capacity * f.capacity
    if f.planes is not None:
        excess = jnp.maximum(costs * f.planes.gain - energy[:, None], 0)
        priced -= jnp.sum(excess, axis=-1) * f.planes.size
    return jnp.sum(priced - time_worth - local_worth * f.local_limit)
