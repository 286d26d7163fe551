"""P1 solved: the exact allocation for given beams, with its prices and its certificate."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Complex, Float, Int

from scattermec._pytree import pytree
from scattermec.optimisation import solver
from scattermec.optimisation.battery_value import BatteryValue, worth
from scattermec.optimisation.bound import Prices, infeasibility_margin, least_value, lower_bound
from scattermec.optimisation.homogeneous import Dual, Optimum, Primal, constants, constraints, costs, dot
from scattermec.optimisation.interior_point import tolerances
from scattermec.optimisation.problem import AllocationProblem, Scheme, allocation_problem
from scattermec.optimisation.standard_form import (
    Scales,
    can_fill,
    can_transmit,
    energy_counts,
    fixed_energy,
    in_need,
    natural_scales,
    standard_form,
    wanted,
)
from scattermec.physics import links
from scattermec.physics.energy import ap_energy, energy_budget
from scattermec.physics.frame import Allocation, Frame
from scattermec.physics.parameters import Parameters

OPTIMAL, INFEASIBLE, NOT_CONVERGED, FEASIBLE = 0, 1, 2, 3
"""Values of `Solution.status`: solved and certified; proved infeasible; neither; feasible, bound not met."""


def is_feasible(status: Int[Array, "..."]) -> Bool[Array, "..."]:
    """Whether there is an allocation to execute: the status is ``OPTIMAL`` or ``FEASIBLE``."""
    return (status == OPTIMAL) | (status == FEASIBLE)


TRACE = 1e-12
"""Part of a user's work that is too little to be done by a way of its own."""

SMALL_ENERGY = 1e-3
"""J: gaps are relative to the energy, or to this where the energy is less, so that 0 J has a gap too."""


@pytree
class Solution:
    """An allocation that minimises (7) for given beams.

    Where the status is neither ``OPTIMAL`` nor ``FEASIBLE`` the energy is infinite, nobody is served and the
    allocation is zero; the prices of an infeasible frame are those of the proof, a direction without a scale.

    Derivatives: ``value`` and ``energy`` differentiate with respect to everything that the frame is made of,
    through the prices (the envelope theorem), once. Nothing else here has a derivative.
    """

    allocation: Allocation
    transmit_power: Float[Array, " N"]
    """beta in mW"""
    energy: Float[Array, ""]
    """E_o in J, idle included; the elastic form's priced shortfall is not part of it. As a function to
    differentiate it holds the shortfall fixed."""
    value: Float[Array, ""]
    """J: the optimal value, the energy plus the elastic form's priced shortfall, less what the energy left
    in the batteries is worth"""
    lower_bound: Float[Array, ""]
    """J: no allocation for these beams needs less (elastic: the shortfall's price included; batteries of
    value: that deducted)"""
    prices: Prices
    served: Bool[Array, " N"]
    """whose workload is processed in full"""
    shortfall: Float[Array, " N"]
    """kbit left undone in the elastic form, else 0"""
    status: Int[Array, ""]
    """0 optimal, 1 infeasible, 2 not converged, 3 feasible but not certified to be optimal"""
    accuracy: Float[Array, ""]
    """gap between value and bound, relative to energy and priced shortfall (`relative_gap`); for an
    infeasible frame the margin of its proof"""
    iterations: Int[Array, ""]


def allocate(
    parameters: Parameters,
    frame: Frame,
    beams: Complex[Array, "N M"],
    *,
    scheme: Scheme = "hybrid",
    served: Bool[Array, " N"] | None = None,
    elastic: bool = False,
    battery_value: BatteryValue | None = None,
) -> Solution:
    """Allocate times, work and power at the least energy for one frame and its beams: problem (10).

    Args:
        parameters: the scenario's constants.
        frame: channels, workload (kbit) and battery (mJ).
        beams: (N, M), scaled to unit norm; a zero beam means maximum ratio transmission.
        scheme: which links may be used.
        served: whose workload must be processed; everyone's by default. The others may lend their slots.
        elastic: let work be left undone at ``shortfall_price``: always feasible.
        battery_value: what energy left in the batteries is worth, to be weighed against the frame's energy;
            nothing by default.

    Batch it with vmap. In float32 the constraints are tightened by the accuracy of the arithmetic, so that
    what it returns can be executed; use float64 for exact numbers.
    """
    problem = allocation_problem(
        parameters, frame, beams, scheme=scheme, served=served, battery_value=battery_value
    )
    return solve_allocation(problem, elastic=elastic)


def solve_allocation(
    problem: AllocationProblem, *, elastic: bool = False, skip: Bool[Array, ""] | None = None
) -> Solution:
    """Solve P1 as stated by ``problem``; see `allocate`. Where ``skip`` is true the work is left undone."""
    return solve_beam_times(problem, elastic=elastic, skip=skip)[0]


def solve_beam_times(
    problem: AllocationProblem, *, elastic: bool = False, skip: Bool[Array, ""] | None = None
) -> tuple[Solution, Float[Array, "N K"]]:
    """The same, and the time in s that each beam of each slot gets."""
    given = jax.lax.stop_gradient(problem)
    tightened = _tightened(given)
    needy = in_need(tightened)
    scales = natural_scales(given, needy)
    optimum = solver.solve(standard_form(tightened, scales, needy, elastic=elastic), skip=skip)
    solution, times = _judge(given, needy, scales, optimum, elastic)
    slope = _lagrangian(problem, needy, scales, optimum, elastic)
    slope = jnp.where(solution.status == OPTIMAL, slope - jax.lax.stop_gradient(slope), 0)
    return dataclasses.replace(solution, energy=solution.energy + slope, value=solution.value + slope), times


def _tightened(problem: AllocationProblem) -> AllocationProblem:
    """Ask for a little more than needed, so that what the solver may miss still leaves enough."""
    margin = tolerances(problem.workload.dtype).margin
    capacity = problem.parameters.battery_capacity * (1 - margin)
    return dataclasses.replace(
        problem,
        parameters=dataclasses.replace(problem.parameters, battery_capacity=capacity),
        workload=problem.workload * (1 + margin),
        battery=problem.battery * (1 - margin),
        harvest_rate=problem.harvest_rate * (1 - margin),
    )


def _lagrangian(
    problem: AllocationProblem, needy: Bool[Array, " N"], scales: Scales, optimum: Optimum, elastic: bool
) -> Float[Array, ""]:
    """Lagrangian of P1 in J at fixed variables and prices: its derivatives are those of the optimal value."""
    form = standard_form(problem, scales, needy, elastic=elastic)
    x: Primal = jax.tree.map(lambda leaf: leaf / optimum.tau, optimum.x)
    y: Dual = jax.tree.map(lambda leaf: leaf / optimum.tau, optimum.y)
    values = jax.tree.map(jnp.add, constants(form), constraints(form, x))
    return (dot(costs(form), x) - dot(y, values)) * scales.cost + fixed_energy(problem, needy)


def _prices(
    problem: AllocationProblem, needy: Bool[Array, " N"], scales: Scales, optimum: Optimum, elastic: bool
) -> Prices:
    """Prices of P1 from those of the scaled problem.

    Work that could all be computed locally is worth no more than the energy that this takes: a higher price
    raises nothing in the bound.
    """
    p, y, tau = problem, optimum.y, optimum.tau
    per_kbit, per_millijoule = scales.cost / scales.work / tau, scales.cost / scales.energy / tau
    workload = y.work * per_kbit + p.parameters.mec_energy
    computed = (y.budget + y.capacity) * per_millijoule * p.parameters.local_energy
    workload = jnp.where(p.workload <= p.local_limit, jnp.minimum(workload, computed), workload)
    if elastic:
        workload = jnp.minimum(workload, p.parameters.shortfall_price)
    workload = jnp.where(needy, workload, 0)
    return natural_prices(p, needy, workload, y.budget * per_millijoule, y.capacity * per_millijoule)


def _ray(problem: AllocationProblem, needy: Bool[Array, " N"], scales: Scales, optimum: Optimum) -> Prices:
    """The direction in which the prices of an infeasible problem grow."""
    y = optimum.y
    workload = jnp.where(needy, y.work / scales.work, 0)
    return natural_prices(problem, needy, workload, y.budget / scales.energy, y.capacity / scales.energy)


def natural_prices(
    problem: AllocationProblem,
    needy: Bool[Array, " N"],
    workload: Float[Array, " N"],
    budget: Float[Array, " N"],
    capacity: Float[Array, " N"],
) -> Prices:
    """Prices (J/kbit, J/mJ), with those that are known without solving put to their exact values.

    Energy is worth nothing to who is not in need. Room in a battery that cannot be filled is worth nothing
    either, so what the solver took for its price is one of energy at hand. Who can never have energy cannot
    transmit: a price at which it would not pay to says so, and costs the bound nothing.
    """
    p = problem
    if p.battery_value is None:
        budget, capacity = jnp.where(needy, budget, 0), jnp.where(needy, capacity, 0)
    work = workload * p.active_bandwidth / jnp.log(2.0) * p.active_snr
    powerless = needy & ~can_transmit(p)
    fills = can_fill(p)
    budget = jnp.where(fills, budget, budget + capacity)
    return Prices(
        workload=workload,
        budget=jnp.where(powerless, jnp.maximum(budget, work), budget),
        capacity=jnp.where(fills, capacity, 0),
    )


def relative_gap(
    energy: Float[Array, ""], value: Float[Array, ""], bound: Float[Array, ""]
) -> Float[Array, ""]:
    """Distance of a value from its bound in J, relative to the energy, or to `SMALL_ENERGY` if more."""
    return (value - bound) / jnp.maximum(energy, SMALL_ENERGY)


@pytree
class _Schedule:
    """What an iterate comes to in natural units."""

    allocation: Allocation
    beam_times: Float[Array, "N K"]
    """s"""
    transmit_power: Float[Array, " N"]
    """mW"""
    shortfall: Float[Array, " N"]
    """kbit"""
    stretch: Float[Array, ""]
    """by how much, relatively, the worst user exceeds its means"""


def _schedule(
    problem: AllocationProblem, needy: Bool[Array, " N"], scales: Scales, optimum: Optimum, elastic: bool
) -> _Schedule:
    """Times and work, trimmed to what the workload needs.

    The schedule keeps within slots, rates and budgets whatever the iterate is. What it then misses of the
    workload is spread over its parts: the stretch.
    """
    p, fixed, tau = problem, problem.parameters, optimum.tau
    x: Primal = jax.tree.map(lambda leaf: jnp.maximum(leaf / tau, 0), optimum.x)
    slot = fixed.slot_duration
    workload = jnp.where(needy, p.workload, 0)

    # Where energy is of use to nobody, no beam is.
    beam_times = jnp.where(jnp.any(energy_counts(p, needy)), x.t_passive, 0) * slot[:, None]
    t_passive = jnp.sum(beam_times, axis=-1)
    beam_times *= (jnp.minimum(t_passive, slot) / jnp.where(t_passive > 0, t_passive, 1))[:, None]
    t_passive = jnp.minimum(t_passive, slot)
    harvested = jnp.einsum("jik,ik->j", p.harvest_rate, beam_times)
    budget = energy_budget(fixed, p.battery, harvested)
    l_local = jnp.where(needy, x.l_local * scales.work, 0)
    t_active = jnp.where(needy, jnp.minimum(x.t_active * slot, slot - t_passive), 0)
    radiated = jnp.where(needy, x.energy * scales.energy, 0)
    # Spending is scaled down to the budget to the last digit (to nothing where there is nothing): carried
    # work is homogeneous in time and energy, so this keeps the transmit power.
    spent = radiated + fixed.circuit_power * t_active + fixed.local_energy * l_local
    affordable = jnp.clip(budget / jnp.where(spent > 0, spent, 1), 0, 1)
    l_local, t_active, radiated = affordable * l_local, affordable * t_active, affordable * radiated

    shortfall = jnp.zeros_like(slot)
    if elastic:
        assert x.shortfall is not None
        left = jnp.clip(x.shortfall * scales.work, 0, workload)
        shortfall = jnp.where(left > 100 * tolerances(slot.dtype).residual * workload, left, 0)
    to_do = workload - shortfall
    l_local = jnp.minimum(l_local, jnp.minimum(p.local_limit, to_do))
    l_passive = jnp.minimum(jnp.sum(p.passive_rate * beam_times, axis=-1), to_do - l_local)
    power = radiated / jnp.where(t_active > 0, t_active, 1)
    carried = t_active * links.active_rate(fixed, p.channel_gain, power)
    l_active = jnp.where(p.active_bandwidth > 0, jnp.minimum(to_do - l_local - l_passive, carried), 0)
    # Traces of work would have to be redone to the last digit over rates that may be rounding themselves.
    trace = TRACE * to_do
    l_active, l_passive, l_local = (
        jnp.where(work > trace, work, 0) for work in (l_active, l_passive, l_local)
    )
    t_active = jnp.where(l_active > 0, t_active, 0)
    done = l_local + l_passive + l_active
    stretch = jnp.where(done > 0, to_do / jnp.where(done > 0, done, 1), jnp.where(to_do > 0, 2, 1))
    l_active, l_passive, l_local = stretch * l_active, stretch * l_passive, stretch * l_local

    # Who is not in need but has work computes it all from its battery.
    l_local = jnp.where(wanted(p) & ~needy, p.workload, l_local)
    rate_local = jnp.where(fixed.local_rate > 0, fixed.local_rate, 1)
    return _Schedule(
        allocation=Allocation(
            t_active=t_active,
            t_passive=t_passive,
            t_local=jnp.minimum(l_local / rate_local, slot),
            l_active=l_active,
            l_passive=l_passive,
            l_local=l_local,
        ),
        beam_times=beam_times,
        transmit_power=links.active_power(fixed, p.channel_gain, l_active, t_active),
        shortfall=shortfall,
        stretch=jnp.max(jnp.where(needy, stretch - 1, 0)),
    )


def _battery_left(problem: AllocationProblem, schedule: _Schedule) -> Float[Array, " N"]:
    """Energy in mJ that the schedule leaves each user."""
    fixed, plan = problem.parameters, schedule.allocation
    harvested = jnp.einsum("jik,ik->j", problem.harvest_rate, schedule.beam_times)
    spent = (schedule.transmit_power + fixed.circuit_power) * plan.t_active
    spent += fixed.local_energy * plan.l_local
    return jnp.maximum(energy_budget(fixed, problem.battery, harvested) - spent, 0)


def _judge(
    problem: AllocationProblem, needy: Bool[Array, " N"], scales: Scales, optimum: Optimum, elastic: bool
) -> tuple[Solution, Float[Array, "N K"]]:
    """Turn the final iterate into a solution, with the verdict that its certificates support."""
    fixed = problem.parameters
    double = problem.workload.dtype == jnp.float64
    schedule = _schedule(problem, needy, scales, optimum, elastic)
    plan = schedule.allocation
    energy = ap_energy(fixed, plan.t_active, plan.t_passive, plan.l_active, plan.l_passive)
    prices = _prices(problem, needy, scales, optimum, elastic)
    bound = lower_bound(problem, prices)
    cost = energy + fixed.shortfall_price * jnp.sum(schedule.shortfall)
    value = cost
    if problem.battery_value is not None:
        value -= jnp.sum(worth(fixed, problem.battery_value, _battery_left(problem, schedule)))
    gap = relative_gap(cost, value, bound)
    ray = _ray(problem, needy, scales, optimum)
    margin = infeasibility_margin(problem, ray)

    found = jnp.all(jnp.isfinite(problem.workload)) & (schedule.stretch <= (1e-8 if double else 1e-6))
    optimal = found & (jnp.abs(gap) <= (1e-6 if double else 5e-3))
    infeasible = ~optimal & (not elastic) & (margin > tolerances(problem.workload.dtype).proof)
    found &= ~infeasible
    failed = jnp.where(infeasible, INFEASIBLE, jnp.where(found, FEASIBLE, NOT_CONVERGED))
    status = jnp.where(optimal, OPTIMAL, failed).astype(jnp.int8)

    def if_found(value: Array, otherwise: float | Array = 0.0) -> Array:
        return jnp.where(found, value, otherwise)

    solution = Solution(
        allocation=jax.tree.map(if_found, plan),
        transmit_power=if_found(schedule.transmit_power),
        energy=if_found(energy, jnp.inf),
        value=if_found(value, jnp.inf),
        lower_bound=if_found(bound, jnp.where(infeasible, jnp.inf, least_value(problem))),
        prices=jax.tree.map(lambda a, b: jnp.where(found, a, jnp.where(infeasible, b, 0)), prices, ray),
        served=found & problem.served & (schedule.shortfall == 0),
        shortfall=if_found(schedule.shortfall),
        status=status,
        accuracy=jnp.where(infeasible, margin, jnp.where(jnp.isfinite(gap), gap, jnp.inf)),
        iterations=optimum.iterations,
    )
    return solution, if_found(schedule.beam_times)
