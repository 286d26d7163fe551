"""A primal-dual interior-point method for P1, one frame at a time and batched by vmap.

It works on the homogeneous problem of `scattermec.optimisation.homogeneous`: it starts anywhere, and ends
with tau > 0 at an optimum or with kappa > 0 at a proof that there is none. Each Newton system is eliminated
user by user (five pivots) down to one system in the passive times, which alone couple the users.

This is the portable form, for any device; ``kernel/solver.h`` is the same method for many frames on a CPU.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int

from scattermec.optimisation.dual import disproof, dual_function
from scattermec.optimisation.homogeneous import (
    Dual,
    Iterate,
    Optimum,
    Primal,
    constants,
    constraints,
    costs,
    dot,
    largest,
    mean_product,
    priced_gradient,
    residuals,
)
from scattermec.optimisation.newton_system import NewtonSystem
from scattermec.optimisation.shared import (
    ATTEMPTS,
    BEND_LIMIT,
    BEND_REACH,
    GAP,
    GUESS,
    LEAST_COST,
    LEAST_STEP,
    MAX_ITERATIONS,
    PROOF,
    RESIDUAL_PER_GAP,
    SHORT_STEP,
    STEP_BACK,
    VALUED_GUESS,
    Attempt,
)
from scattermec.optimisation.standard_form import StandardForm


class State(NamedTuple):
    """State of the iteration."""

    point: Iterate
    iterations: Int[Array, ""]
    begun: Int[Array, ""]
    """iterations before this attempt"""
    step: Float[Array, ""]
    attempt: Int[Array, ""]
    done: Bool[Array, ""]


class Tolerances(NamedTuple):
    """Stopping tolerances: constraint violation, certified gap, proof of infeasibility."""

    residual: float
    gap: float
    margin: float
    """relative tightening of the problem that makes up for violations"""
    proof: float
    """margin that counts as a proof of infeasibility"""


def tolerances(dtype: jnp.dtype) -> Tolerances:
    """Stopping tolerances for a precision, relative to the scaled problem's data of order one."""
    if dtype == jnp.float64:
        return Tolerances(residual=RESIDUAL_PER_GAP * GAP, gap=GAP, margin=0.0, proof=PROOF)
    return Tolerances(residual=2e-5, gap=1e-4, margin=2e-4, proof=1e-4)


def _way(attempt: Int[Array, ""], dtype: jnp.dtype) -> Attempt:
    """Settings of the given attempt."""
    return Attempt(*(jnp.asarray(values, dtype)[attempt] for values in zip(*ATTEMPTS, strict=True)))


def _direction(
    problem: StandardForm,
    point: Iterate,
    system: NewtonSystem,
    tau_column: tuple[Primal, Dual],
    missing: tuple[Primal, Dual, Float[Array, ""]],
    reduction: Float[Array, ""],
    products: Iterate,
    bend: tuple[Primal, Dual],
) -> Iterate:
    """Newton direction that removes ``reduction`` of the residuals and changes each product by ``products``.

    ``products`` holds the wanted x ds + s dx and so on in s, z and kappa; ``bend`` holds the second-order
    change of the slacks that the linearisation misses.
    """
    x, y, s, z, tau, kappa = point
    cost, constant = costs(problem), constants(problem)
    dual, primal, gap = missing
    f = jax.tree.map(lambda pi, xi, ri, bi: pi / xi + reduction * ri - bi, products.s, x, dual, bend[0])
    g = jax.tree.map(lambda pi, yi, ri, bi: pi / yi + reduction * ri - bi, products.z, y, primal, bend[1])
    x_part, y_part = system.solve(f, g)
    numerator = dot(cost, x_part) + dot(constant, y_part) + reduction * gap + products.kappa / tau
    dtau = numerator / (kappa / tau - dot(cost, tau_column[0]) - dot(constant, tau_column[1]))
    dx = jax.tree.map(lambda a, b: a + b * dtau, x_part, tau_column[0])
    dy = jax.tree.map(lambda a, b: a + b * dtau, y_part, tau_column[1])
    ds = jax.tree.map(lambda pi, si, di, xi: (pi - si * di) / xi, products.s, s, dx, x)
    dz = jax.tree.map(lambda pi, zi, di, yi: (pi - zi * di) / yi, products.z, z, dy, y)
    return Iterate(dx, dy, ds, dz, dtau, (products.kappa - kappa * dtau) / tau)


def _move(point: Iterate, direction: Iterate, step: Float[Array, ""]) -> Iterate:
    return jax.tree.map(lambda a, d: a + step * d, point, direction)


def _step_to_boundary(point: Iterate, direction: Iterate) -> Float[Array, ""]:
    """Longest step, up to 1, that keeps every entry non-negative."""
    ratio = largest(jax.tree.map(lambda a, d: -d / a, point, direction))
    return jnp.minimum(1 / jnp.maximum(ratio, jnp.finfo(ratio.dtype).tiny), 1)


def _exact_slacks(
    problem: StandardForm,
    moved: Iterate,
    missing: tuple[Primal, Dual, Float[Array, ""]],
    left: Float[Array, ""],
) -> tuple[Primal, Dual]:
    """Slacks at the moved x, y and tau whose residuals are exactly ``left`` times ``missing``."""
    gradient, values = priced_gradient(problem, moved.x, moved.y), constraints(problem, moved.x)
    s = jax.tree.map(lambda c, g, r: c * moved.tau - g + left * r, costs(problem), gradient, missing[0])
    z = jax.tree.map(lambda b, v, r: b * moved.tau + v + left * r, constants(problem), values, missing[1])
    return s, z


def _take_step(
    problem: StandardForm,
    point: Iterate,
    direction: Iterate,
    missing: tuple[Primal, Dual, Float[Array, ""]],
    reduction: Float[Array, ""],
    step: Float[Array, ""],
    way: Attempt,
) -> tuple[Iterate, Bool[Array, ""]]:
    """The point after a step, and whether it is positive and near the central path.

    Linear slacks follow the direction. Those that the active work makes nonlinear take their exact values, so
    that residuals fall in proportion to the step. If that would take them far off the central path, a
    residual of the order of the mean product is left to the next step.
    """
    moved = _move(point, direction, step)
    s, z = _exact_slacks(problem, moved, missing, 1 - step * reduction)

    slack = way.slack * jnp.maximum(mean_product(moved), 0)

    def choose(exact: Array, linear: Array, partner: Array) -> Array:
        reach = slack / partner
        low = jnp.minimum(linear / way.span, exact + reach)
        high = jnp.maximum(linear * way.span, exact - reach)
        return jnp.clip(exact, low, high)

    new = moved._replace(
        s=moved.s._replace(
            t_active=choose(s.t_active, moved.s.t_active, moved.x.t_active),
            energy=choose(s.energy, moved.s.energy, moved.x.energy),
        ),
        z=moved.z._replace(work=choose(z.work, moved.z.work, moved.y.work)),
    )
    products = (
        jax.tree.map(jnp.multiply, new.x, new.s),
        jax.tree.map(jnp.multiply, new.y, new.z),
        new.tau * new.kappa,
    )
    smallest = -largest(jax.tree.map(jnp.negative, (new.s, new.z)))
    lowest = -largest(jax.tree.map(jnp.negative, products))
    return new, (smallest > 0) & (lowest >= way.centrality * mean_product(new))


def _iterate(problem: StandardForm, state: State, limits: Tolerances) -> State:
    """One predictor-corrector step (Mehrotra), with a second-order term for the curved constraint."""
    point = state.point
    missing = residuals(problem, point)
    mean = mean_product(point)
    system = NewtonSystem(problem, point)
    minus = lambda tree: jax.tree.map(jnp.negative, tree)  # noqa: E731
    tau_column = system.solve(minus(costs(problem)), minus(constants(problem)))
    flat = jax.tree.map(jnp.zeros_like, (point.x, point.y))

    def wanted(target: Float[Array, ""], second_order: Iterate) -> Iterate:
        """Changes that bring each product to ``target``."""
        change = lambda a, b, o: target - a * b - o  # noqa: E731
        return point._replace(
            s=jax.tree.map(change, point.x, point.s, second_order.s),
            z=jax.tree.map(change, point.y, point.z, second_order.z),
            kappa=change(point.tau, point.kappa, second_order.kappa),
        )

    nothing = jax.tree.map(jnp.zeros_like, point)
    everything = jnp.ones_like(mean)
    predictor = _direction(
        problem, point, system, tau_column, missing, everything, wanted(0 * mean, nothing), flat
    )
    reach = _step_to_boundary(point, predictor)

    # After a short step, recentre and drop the second-order terms, which would be too large.
    way = _way(state.attempt, mean.dtype)
    recentre = state.step < SHORT_STEP
    keep = jnp.where(recentre, 0.0, 1.0).astype(mean.dtype)
    centring = jnp.maximum(0.5 * (1 - reach) ** 3, jnp.where(recentre, 0.5, way.centring))
    bend = _bend(problem, point, predictor, missing, BEND_REACH * reach, BEND_LIMIT * mean)
    bend = jax.tree.map(lambda b: keep * b, bend)
    second_order = nothing._replace(
        s=jax.tree.map(lambda a, b: keep * a * b, predictor.x, predictor.s),
        z=jax.tree.map(lambda a, b: keep * a * b, predictor.y, predictor.z),
        kappa=keep * predictor.tau * predictor.kappa,
    )
    reduction = 1 - centring
    direction = _direction(
        problem,
        point,
        system,
        tau_column,
        missing,
        reduction,
        wanted(centring * mean, second_order),
        bend,
    )

    def attempt(step: Float[Array, ""]) -> tuple[Iterate, Bool[Array, ""]]:
        return _take_step(problem, point, direction, missing, reduction, step, way)

    def shorten(tried: tuple) -> tuple:
        step = STEP_BACK * tried[0]
        return step, *attempt(step)

    longest = way.boundary * _step_to_boundary(point, direction)
    step, new, near_path = jax.lax.while_loop(
        lambda tried: ~tried[2] & (tried[0] > LEAST_STEP), shorten, (longest, *attempt(longest))
    )
    accuracy = _accuracy(problem, new, limits)
    usable = near_path & jnp.isfinite(accuracy)
    solved = usable & (accuracy <= 1)
    if problem.cost_shortfall is None:
        solved |= usable & (disproof(problem, new.y.work, new.y.budget, new.y.capacity) > limits.proof)
    iterations = state.iterations + 1
    stuck = ~usable | (iterations >= state.begun + MAX_ITERATIONS)
    again = ~solved & stuck & (state.attempt < len(ATTEMPTS) - 1)
    next_attempt = state.attempt + again
    new = jax.tree.map(
        lambda a, b, start: jnp.where(again, start, jnp.where(usable, a, b)),
        new,
        point,
        _start(problem, next_attempt),
    )
    return State(
        point=new,
        iterations=iterations,
        begun=jnp.where(again, iterations, state.begun),
        step=jnp.where(again, 1.0, step),
        attempt=next_attempt,
        done=solved | (stuck & ~again),
    )


def _start(problem: StandardForm, attempt: Int[Array, ""]) -> Iterate:
    """The same point for every problem: a guess in the first attempt, else ones except for the times.

    Only the prices of a battery's planes are those without a residual there, and stay so.
    """
    first, short = attempt == 0, _way(attempt, problem.workload.dtype).start

    guess = GUESS if problem.planes is None else VALUED_GUESS

    def fill(name: str, like: Array, later: float | Array = 1.0) -> Array:
        return jnp.full_like(like, jnp.where(first, guess[name], later))

    user = problem.workload
    tau = jnp.where(first, guess["tau"], 1.0).astype(user.dtype)
    value, kept, worth, price_worth = problem.planes, None, None, None
    if value is not None:
        kept, worth = fill("kept", user), fill("worth", user, 0.5)
        price_worth = 1 / (value.constant * tau + value.slope * kept[:, None] - worth[:, None])
    x = Primal(
        t_active=fill("t_active", user, short),
        t_passive=fill("t_passive", problem.passive_rate, short),
        energy=fill("energy", user),
        l_local=fill("l_local", user),
        shortfall=None if problem.cost_shortfall is None else jnp.ones_like(user),
        kept=kept,
        worth=worth,
    )
    y = Dual(
        time=fill("time", user),
        work=fill("work", user),
        local=fill("local", user),
        budget=fill("budget", user),
        capacity=fill("capacity", user),
        worth=price_worth,
    )
    s, z = jax.tree.map(lambda leaf: 1 / leaf, (x, y))
    return Iterate(x, y, s, z, tau, 1 / tau)


def _bend(
    problem: StandardForm,
    point: Iterate,
    predictor: Iterate,
    missing: tuple[Primal, Dual, Float[Array, ""]],
    step: Float[Array, ""],
    most: Float[Array, ""],
) -> tuple[Primal, Dual]:
    """Second-order change, along the predictor, of the three slacks that depend on the active work.

    It is limited so that no product changes by more than ``most``.
    """
    moved = _move(point, predictor, step)
    s, z = _exact_slacks(problem, moved, missing, 1 - step)

    def term(exact: Array, linear: Array, partner: Array) -> Array:
        limit = most / partner
        return jnp.clip((exact - linear) / step**2, -limit, limit)

    zero_s, zero_z = jax.tree.map(jnp.zeros_like, (point.s, point.z))
    return (
        zero_s._replace(
            t_active=term(s.t_active, moved.s.t_active, point.x.t_active),
            energy=term(s.energy, moved.s.energy, point.x.energy),
        ),
        zero_z._replace(work=term(z.work, moved.z.work, point.y.work)),
    )


def _accuracy(problem: StandardForm, point: Iterate, limits: Tolerances) -> Float[Array, ""]:
    """The larger of constraint violation and certified gap, in units of their tolerances: solved if <= 1.

    The gap is to the bound proved by the prices, whatever their residual.
    """
    values = constraints(problem, point.x)
    missing = jax.tree.map(lambda v, b: -v / point.tau - b, values, constants(problem))
    violation = jnp.maximum(largest(missing), 0)
    cost = dot(costs(problem), point.x) / point.tau
    kept = jnp.zeros_like(cost)
    value = problem.planes
    if value is not None and point.x.worth is not None:
        # In the problem's costs the worth of the energy kept has 1 added to it.
        kept = jnp.sum(value.unit * (point.x.worth / point.tau - 1))
        cost += jnp.sum(value.unit)
    work, budget, capacity = (price / point.tau for price in (point.y.work, point.y.budget, point.y.capacity))
    if problem.cost_shortfall is not None:
        work = jnp.minimum(work, problem.cost_shortfall)
    gap = cost - dual_function(problem, work, budget, capacity)
    # Offloading is charged for all the work beforehand, and refunded for local work.
    whole = jnp.abs(cost + kept + jnp.sum(problem.gain_local))
    return jnp.maximum(violation / limits.residual, jnp.abs(gap) / (whole + LEAST_COST) / limits.gap)


def solve(problem: StandardForm) -> Optimum:
    """Solve one scaled problem. The result is uncertified: the caller must check it."""
    limits = tolerances(problem.workload.dtype)
    unit = jnp.ones((), problem.workload.dtype)
    nothing = jnp.zeros((), jnp.int32)
    start = State(
        point=_start(problem, nothing),
        iterations=nothing,
        begun=nothing,
        step=unit,
        attempt=nothing,
        done=jnp.zeros((), bool),
    )
    end = jax.lax.while_loop(lambda state: ~state.done, lambda state: _iterate(problem, state, limits), start)
    x, y, tau = end.point.x, end.point.y._replace(worth=None), end.point.tau
    scale = jnp.maximum(largest((x, y)), tau)
    x, y = jax.tree.map(lambda leaf: leaf / scale, (x, y))
    return Optimum(x, y, tau / scale, end.iterations)
