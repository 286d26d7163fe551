"""P1 solved: the exact allocation for given beams, with its prices and its certificate."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Complex, Float

from scattermec._pytree import pytree
from scattermec.optimisation import interior_point
from scattermec.optimisation.bound import Prices, infeasibility_margin, lower_bound
from scattermec.optimisation.interior_point import State
from scattermec.optimisation.problem import AllocationProblem, Scheme, allocation_problem
from scattermec.optimisation.standard_form import Scales, natural_scales, standard_form, wanted
from scattermec.physics.energy import ap_energy, idle_energy
from scattermec.physics.frame import Allocation, Frame
from scattermec.physics.parameters import Parameters

OPTIMAL, INFEASIBLE, NOT_CONVERGED = 0, 1, 2
"""Values of `Solution.status`."""


@pytree
class Solution:
    """An allocation that minimises (7) for given beams. Per user (N,) unless said.

    Where the status is not ``OPTIMAL`` the energy and the bound are infinite or as far as they were found,
    nobody is served and the allocation is zero.
    """

    allocation: Allocation
    transmit_power: Array
    """beta in mW"""
    energy: Array
    """() E_o in J, idle included; the elastic form's priced shortfall is not part of it"""
    lower_bound: Array
    """() J: no allocation for these beams needs less (elastic: the shortfall's price included)"""
    prices: Prices
    served: Array
    """bool: whose workload is processed in full"""
    shortfall: Array
    """kbit left undone in the elastic form, else 0"""
    status: Array
    """() int8: 0 optimal, 1 infeasible, 2 not converged"""
    accuracy: Array
    """() relative gap between the energy and the bound; for an infeasible frame the margin of its proof"""
    iterations: Array
    """() int32"""


def allocate(
    parameters: Parameters,
    frame: Frame,
    beams: Complex[Array, "N M"],
    *,
    scheme: Scheme = "hybrid",
    served: Bool[Array, "N"] | None = None,
    elastic: bool = False,
) -> Solution:
    """Allocate times, work and power at the least energy for one frame and its beams: problem (10).

    Args:
        parameters: the scenario's constants.
        frame: channels, workload (kbit) and battery (mJ).
        beams: (N, M), scaled to unit norm; a zero beam means maximum ratio transmission.
        scheme: which links may be used.
        served: whose workload must be processed; everyone's by default. The others may lend their slots.
        elastic: let work be left undone at ``shortfall_price``: always feasible.

    Batch it with vmap. In float32 the constraints are tightened by the accuracy of the arithmetic, so that
    what it returns can be executed; use float64 for exact numbers.
    """
    problem = allocation_problem(parameters, frame, beams, scheme=scheme, served=served)
    return solve_allocation(problem, elastic=elastic)


def solve_allocation(problem: AllocationProblem, *, elastic: bool = False) -> Solution:
    """Solve P1 as stated by ``problem``; see `allocate`."""
    scales = natural_scales(problem)
    state = interior_point.solve(standard_form(_tightened(problem), scales, elastic=elastic))
    return _judge(problem, scales, state, elastic)


def _tightened(problem: AllocationProblem) -> AllocationProblem:
    """Ask for a little more than needed, so that what the solver may miss still leaves enough."""
    margin = interior_point.tolerances(problem.workload.dtype).margin
    capacity = problem.parameters.battery_capacity * (1 - margin)
    return dataclasses.replace(
        problem,
        parameters=dataclasses.replace(problem.parameters, battery_capacity=capacity),
        workload=problem.workload * (1 + margin),
        battery=problem.battery * (1 - margin),
        harvest_rate=problem.harvest_rate * (1 - margin),
    )


def _prices(problem: AllocationProblem, scales: Scales, state: State, elastic: bool) -> Prices:
    """Prices of P1 from those of the scaled problem, whose local limit stands in for l_c <= l as well."""
    p, y, tau = problem, state.point.y, state.point.tau
    limited_by_work = p.workload < p.local_limit
    per_kbit = scales.cost / scales.work
    workload = (y.work - jnp.where(limited_by_work, y.local, 0)) * per_kbit / tau + p.parameters.mec_energy
    if elastic:
        workload = jnp.minimum(workload, p.parameters.shortfall_price)
    per_millijoule = scales.cost / scales.energy / tau
    return Prices(
        workload=jnp.where(wanted(p), jnp.maximum(workload, 0), 0),
        budget=y.budget * per_millijoule,
        capacity=y.capacity * per_millijoule,
    )


def _ray(problem: AllocationProblem, scales: Scales, state: State) -> Prices:
    """The direction in which the prices of an infeasible problem grow."""
    y = state.point.y
    largest = jnp.max(jnp.stack(list(y)))
    return Prices(
        workload=jnp.where(wanted(problem), y.work / scales.work / largest, 0),
        budget=y.budget / scales.energy / largest,
        capacity=y.capacity / scales.energy / largest,
    )


def _schedule(
    problem: AllocationProblem, scales: Scales, state: State, elastic: bool
) -> tuple[Allocation, Float[Array, "N"], Float[Array, "N"], Float[Array, ""]]:
    """Times and work, trimmed to what the workload needs; power in mW; shortfall in kbit; and the stretch.

    The schedule keeps within slots, rates and budgets whatever the iterate is. What it then misses of the
    workload is spread over its parts: the stretch is by how much the worst user then exceeds its means.
    """
    p, constants, x, tau = problem, problem.parameters, state.point.x, state.point.tau
    slot, has_work = constants.slot_duration, wanted(problem)
    limits = interior_point.tolerances(slot.dtype)
    workload = jnp.where(has_work, p.workload, 0)

    t_passive = jnp.clip(x.t_passive / tau, 0, 1) * slot
    budget = jnp.minimum(p.battery + p.harvest_rate @ t_passive, constants.battery_capacity)
    l_local = jnp.where(has_work, jnp.maximum(x.l_local / tau * scales.work, 0), 0)
    t_active = jnp.where(has_work, jnp.clip(x.t_active / tau * slot, 0, slot - t_passive), 0)
    radiated = jnp.where(has_work, jnp.maximum(x.energy / tau * scales.energy, 0), 0)
    # Spending is scaled down to the budget to the last digit (to nothing where there is nothing): carried
    # work is homogeneous in time and energy, so this keeps the transmit power.
    spent = radiated + constants.circuit_power * t_active + constants.local_energy * l_local
    affordable = jnp.clip(budget / jnp.where(spent > 0, spent, 1), 0, 1)
    l_local, t_active, radiated = affordable * l_local, affordable * t_active, affordable * radiated

    shortfall = jnp.zeros_like(slot)
    if elastic:
        assert x.shortfall is not None
        left = jnp.clip(x.shortfall / tau * scales.work, 0, workload)
        shortfall = jnp.where(left > 100 * limits.residual * workload, left, 0)
    to_do = workload - shortfall
    l_local = jnp.minimum(l_local, jnp.minimum(p.local_limit, to_do))
    l_passive = jnp.minimum(p.passive_rate * t_passive, to_do - l_local)
    has_time = t_active > 0
    snr = radiated / (p.active_noise * jnp.where(has_time, t_active, 1))
    carried = p.active_bandwidth * t_active * jnp.log1p(snr) / jnp.log(2.0)
    l_active = jnp.where(has_time, jnp.minimum(to_do - l_local - l_passive, carried), 0)
    t_active = jnp.where(l_active > 0, t_active, 0)
    done = l_local + l_passive + l_active
    stretch = jnp.where(done > 0, to_do / jnp.where(done > 0, done, 1), jnp.where(to_do > 0, 2, 1))
    l_active, l_passive, l_local = stretch * l_active, stretch * l_passive, stretch * l_local

    rate = l_active / jnp.where(t_active > 0, t_active, 1)
    positive_bandwidth = jnp.where(p.active_bandwidth > 0, p.active_bandwidth, 1)
    transmit_power = p.active_noise * jnp.expm1(jnp.log(2.0) * rate / positive_bandwidth)
    rate_local = jnp.where(constants.local_rate > 0, constants.local_rate, 1)
    allocation = Allocation(
        t_active=t_active,
        t_passive=t_passive,
        t_local=jnp.minimum(l_local / rate_local, slot),
        l_active=l_active,
        l_passive=l_passive,
        l_local=l_local,
    )
    return allocation, transmit_power, shortfall, jnp.max(jnp.where(has_work, stretch - 1, 0))


def _judge(problem: AllocationProblem, scales: Scales, state: State, elastic: bool) -> Solution:
    """Turn the final iterate into a solution, with the verdict that its certificates support."""
    constants = problem.parameters
    double = problem.workload.dtype == jnp.float64
    allocation, transmit_power, shortfall, stretch = _schedule(problem, scales, state, elastic)
    energy = ap_energy(
        constants, allocation.t_active, allocation.t_passive, allocation.l_active, allocation.l_passive
    )
    prices = _prices(problem, scales, state, elastic)
    bound = lower_bound(problem, prices)
    total = energy + constants.shortfall_price * jnp.sum(shortfall)
    gap = (total - bound) / jnp.maximum(total, jnp.finfo(total.dtype).tiny)
    ray = _ray(problem, scales, state)
    margin = infeasibility_margin(problem, ray)

    optimal = (stretch <= (1e-8 if double else 1e-6)) & (jnp.abs(gap) <= (1e-6 if double else 5e-3))
    infeasible = ~optimal & (not elastic) & (margin > interior_point.tolerances(problem.workload.dtype).proof)
    status = jnp.where(optimal, OPTIMAL, jnp.where(infeasible, INFEASIBLE, NOT_CONVERGED)).astype(jnp.int8)

    def if_optimal(value: Array, otherwise: float | Array = 0.0) -> Array:
        return jnp.where(optimal, value, otherwise)

    return Solution(
        allocation=jax.tree.map(if_optimal, allocation),
        transmit_power=if_optimal(transmit_power),
        energy=if_optimal(energy, jnp.inf),
        lower_bound=if_optimal(bound, jnp.where(infeasible, jnp.inf, idle_energy(constants))),
        prices=jax.tree.map(lambda a, b: jnp.where(optimal, a, jnp.where(infeasible, b, 0)), prices, ray),
        served=optimal & problem.served & (shortfall == 0),
        shortfall=if_optimal(shortfall),
        status=status,
        accuracy=jnp.where(infeasible, margin, jnp.where(jnp.isfinite(gap), gap, jnp.inf)),
        iterations=state.iterations,
    )
