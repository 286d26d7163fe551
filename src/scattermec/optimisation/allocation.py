"""Solving P1: the exact allocation for given beams, with its prices and its certificate."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Complex, Float, Int

from scattermec._jit import one_program
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
"""Values of `Solution.status`: certified optimal; proved infeasible; neither; feasible but not certified."""


def is_feasible(status: Int[Array, "..."]) -> Bool[Array, "..."]:
    """Whether there is an allocation to execute: the status is ``OPTIMAL`` or ``FEASIBLE``."""
    return (status == OPTIMAL) | (status == FEASIBLE)


TRACE = 1e-12
"""Fraction of a user's work below which a link or the local processor is not used at all."""

HARDLY = 1e-9
"""Fraction of a user's work: up to this, what it cannot do for lack of energy is made up for by scaling."""

SMALL_ENERGY = 1e-3
"""J: gaps are relative to the energy, or to this if the energy is smaller, so that they exist at 0 J too."""


@pytree
class Solution:
    """An allocation that minimises (7) for given beams.

    If the status is neither ``OPTIMAL`` nor ``FEASIBLE``, the energy is infinite, nobody is served and the
    allocation is zero. The prices of an infeasible frame are those of the proof, a direction without a scale.

    Derivatives: ``value`` and ``energy`` have first derivatives with respect to the parameters, the frame and
    the beams, computed from the prices (envelope theorem). The other fields have none.
    """

    allocation: Allocation
    transmit_power: Float[Array, " N"]
    """beta in mW"""
    energy: Float[Array, ""]
    """E_o in J, idle included, without the elastic form's priced shortfall; its derivatives hold the
    shortfall fixed"""
    value: Float[Array, ""]
    """J: the optimal value, i.e. the energy plus the elastic form's priced shortfall, less the value of the
    energy left in the batteries"""
    lower_bound: Float[Array, ""]
    """J: lower bound on ``value`` over all allocations for these beams"""
    prices: Prices
    served: Bool[Array, " N"]
    """users whose workload is processed in full"""
    shortfall: Float[Array, " N"]
    """kbit left undone in the elastic form, else 0"""
    status: Int[Array, ""]
    """0 optimal, 1 infeasible, 2 not converged, 3 feasible but not certified to be optimal"""
    accuracy: Float[Array, ""]
    """gap between value and bound, relative to the energy plus priced shortfall (`relative_gap`); for an
    infeasible frame, the margin of the proof"""
    iterations: Int[Array, ""]


@one_program("scheme", "elastic")
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
    """Allocate times, work and power at minimum energy for one frame with given beams: problem (10).

    Args:
        parameters: the scenario's constants.
        frame: channels, workload (kbit) and battery (mJ).
        beams: (N, M), scaled to unit norm; a zero beam means maximum ratio transmission.
        scheme: which links may be used.
        served: users whose workload must be processed, by default all. The AP may beam in the slots of the
            others.
        elastic: allow unprocessed work at ``shortfall_price``; always feasible.
        battery_value: value of the energy left in the batteries, traded off against the frame's energy; none
            by default.

    Batch it with vmap. In float32 the constraints are tightened by the accuracy of the arithmetic, so that
    the result can be executed; use float64 for exact numbers.
    """
    problem = allocation_problem(
        parameters, frame, beams, scheme=scheme, served=served, battery_value=battery_value
    )
    return solve_allocation(problem, elastic=elastic)


def solve_allocation(
    problem: AllocationProblem, *, elastic: bool = False, skip: Bool[Array, ""] | None = None
) -> Solution:
    """Solve P1 as stated by ``problem``; see `allocate`. If ``skip`` is true, the result is meaningless."""
    return solve_beam_times(problem, elastic=elastic, skip=skip)[0]


@one_program("elastic")
def solve_beam_times(
    problem: AllocationProblem, *, elastic: bool = False, skip: Bool[Array, ""] | None = None
) -> tuple[Solution, Float[Array, "N K"]]:
    """Like `solve_allocation`, and the time in s of each beam of each slot."""
    given = jax.lax.stop_gradient(problem)
    tightened = _tightened(given)
    needy = in_need(tightened)
    scales = natural_scales(given, needy)
    optimum = solver.solve(standard_form(tightened, scales, needy, elastic=elastic), skip=skip)
    solution, times = _judge(given, needy, scales, optimum, elastic)
    numbers = solution.energy, solution.value
    differentiable = _with_slope(elastic, numbers, problem, needy, scales, optimum)
    optimal = solution.status == OPTIMAL
    energy, value = (jnp.where(optimal, a, b) for a, b in zip(differentiable, numbers, strict=True))
    return dataclasses.replace(solution, energy=energy, value=value), times


def _tightened(problem: AllocationProblem) -> AllocationProblem:
    """Tighten the problem a little, so that the solution is feasible despite the solver's tolerance."""
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
    lagrangian = dot(x._replace(worth=None), costs(form)) - dot(y, values)
    if form.planes is not None and x.kept is not None:
        # By the parts of the battery: each is worth its gain, and the price of its size is what the gain
        # exceeds the price of energy by.
        gain, size = form.planes.gain, form.planes.size[:, None]
        kept = jnp.clip(x.kept[:, None] - jnp.arange(gain.shape[-1]) * size, 0, size)
        excess = jnp.maximum(gain - (y.budget + y.capacity)[:, None], 0)
        kept, excess = jax.lax.stop_gradient((kept, excess))
        lagrangian -= jnp.sum(gain * kept + excess * (size - kept))
    return lagrangian * scales.cost + fixed_energy(problem, needy)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _with_slope(
    elastic: bool,
    numbers: tuple[Array, Array],
    problem: AllocationProblem,
    needy: Bool[Array, " N"],
    scales: Scales,
    optimum: Optimum,
) -> tuple[Array, Array]:
    """Two numbers, each with the derivatives of `_lagrangian` by the problem."""
    # The numbers themselves, and not zeros to be added to them: those would not be batched by vmap, which JAX
    # does not expect of a jitted function whose derivatives are.
    return numbers


@_with_slope.defjvp
def _with_slope_jvp(elastic: bool, primals: tuple, tangents: tuple) -> tuple[tuple, tuple]:
    numbers, problem, needy, scales, optimum = primals

    def lagrangian(varied: AllocationProblem) -> Float[Array, ""]:
        return _lagrangian(varied, needy, scales, optimum, elastic)

    slope = jax.jvp(lagrangian, (problem,), tangents[1:2])[1]
    return numbers, (slope, slope)


def _prices(
    problem: AllocationProblem, needy: Bool[Array, " N"], scales: Scales, optimum: Optimum, elastic: bool
) -> Prices:
    """Prices of P1 from those of the scaled problem.

    If all the work can be computed locally, its price is at most that of the energy for it: a higher price
    does not raise the bound.
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
    """Prices (J/kbit, J/mJ), set to their exact values where these are known without solving.

    Energy has no price for users who are not in need. Nor has the capacity of a battery that cannot be
    filled, so the solver's price of it is added to that of available energy. A user who can never have energy
    cannot transmit: its energy price is raised until transmitting does not pay, which does not lower the
    bound.
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
    """Gap between value and bound in J, relative to the energy, or to `SMALL_ENERGY` if that is larger."""
    return (value - bound) / jnp.maximum(energy, SMALL_ENERGY)


@pytree
class _Schedule:
    """The schedule of an iterate, in natural units."""

    allocation: Allocation
    beam_times: Float[Array, "N K"]
    """s"""
    transmit_power: Float[Array, " N"]
    """mW"""
    shortfall: Float[Array, " N"]
    """kbit"""
    stretch: Float[Array, ""]
    """largest factor, less 1, by which a user's work was scaled up to meet its workload"""


def _longer(
    problem: AllocationProblem,
    workload: Float[Array, " N"],
    wanted_energy: Float[Array, " N"],
    harvested: Float[Array, " N"],
    beam_times: Float[Array, "N K"],
) -> Float[Array, ""]:
    """Factor (at least 1) by which to lengthen all beams, so that energy is there for all work but `HARDLY`.

    The slots limit it. The solver's residual is small beside the energy that a user could harvest, which may
    be a million times what it needs.
    """
    p = problem
    needed = jnp.minimum(wanted_energy, p.parameters.battery_capacity)
    missing = needed - energy_budget(p.parameters, p.battery, harvested)
    paid_work = workload - jnp.sum(p.passive_rate * beam_times, axis=-1)
    lacking = (missing * paid_work > HARDLY * needed * workload) & (paid_work > 0) & (harvested > 0)
    longer = 1 + jnp.max(jnp.where(lacking, missing / jnp.where(lacking, harvested, 1), 0))
    t_passive, slot = jnp.sum(beam_times, axis=-1), p.parameters.slot_duration
    room = jnp.min(jnp.where(t_passive > 0, slot / jnp.where(t_passive > 0, t_passive, 1), jnp.inf))
    return jnp.maximum(jnp.minimum(longer, room), 1)


def _schedule(
    problem: AllocationProblem, needy: Bool[Array, " N"], scales: Scales, optimum: Optimum, elastic: bool
) -> _Schedule:
    """Times and work, trimmed to the workload.

    The schedule keeps within slots, rates and budgets for any iterate. Its work is then scaled up to meet the
    workload; ``stretch`` records by how much.
    """
    p, fixed, tau = problem, problem.parameters, optimum.tau
    x: Primal = jax.tree.map(lambda leaf: jnp.maximum(leaf / tau, 0), optimum.x)
    slot = fixed.slot_duration
    workload = jnp.where(needy, p.workload, 0)

    # If nobody can use energy, there is no need to beam.
    beam_times = jnp.where(jnp.any(energy_counts(p, needy)), x.t_passive, 0) * slot[:, None]
    t_passive = jnp.sum(beam_times, axis=-1)
    beam_times *= (jnp.minimum(t_passive, slot) / jnp.where(t_passive > 0, t_passive, 1))[:, None]
    t_passive = jnp.minimum(t_passive, slot)
    harvested = jnp.einsum("jik,ik->j", p.harvest_rate, beam_times)
    l_local = jnp.where(needy, x.l_local * scales.work, 0)
    radiated = jnp.where(needy, x.energy * scales.energy, 0)

    def spending(t_active: Array) -> Array:
        return radiated + fixed.circuit_power * t_active + fixed.local_energy * l_local

    t_active = jnp.where(needy, jnp.minimum(x.t_active * slot, slot - t_passive), 0)
    longer = _longer(p, workload, spending(t_active), harvested, beam_times)
    beam_times, t_passive, harvested = longer * beam_times, longer * t_passive, longer * harvested
    t_active = jnp.minimum(t_active, slot - t_passive)
    budget = energy_budget(fixed, p.battery, harvested)
    # Scale the spending down to the budget, to the last digit (to zero for a zero budget). The active work is
    # homogeneous in time and energy, so this keeps the transmit power.
    spent = spending(t_active)
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
    # Drop traces of work: their rates may be rounding errors, so they could not be scaled up reliably.
    trace = TRACE * to_do
    l_active, l_passive, l_local = (
        jnp.where(work > trace, work, 0) for work in (l_active, l_passive, l_local)
    )
    t_active = jnp.where(l_active > 0, t_active, 0)
    done = l_local + l_passive + l_active
    stretch = jnp.where(done > 0, to_do / jnp.where(done > 0, done, 1), jnp.where(to_do > 0, 2, 1))
    l_active, l_passive, l_local = stretch * l_active, stretch * l_passive, stretch * l_local

    # Users with work who are not in need compute all of it from their battery.
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
    """Turn the final iterate into a solution, with the status that its certificates support."""
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
