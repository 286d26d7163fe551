"""A primal-dual interior-point method for P1, one frame at a time and batched by vmap.

The problem is that of `scattermec.optimisation.standard_form`. Every constraint is a constant plus a concave
function that is homogeneous of degree one, so multiplying the constants by a variable tau gives a homogeneous
self-dual problem (Andersen and Ye, Math. Programming 84, 1999): it starts anywhere, and ends with tau > 0 at
an optimum or with kappa > 0 at a proof that there is none. Each Newton system is eliminated user by user
(five pivots) down to one N x N system in the passive times, through which alone the users are coupled.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import cho_solve
from jaxtyping import Bool, Float, Int

from scattermec.optimisation.bound import disproof, dual_function
from scattermec.optimisation.standard_form import StandardForm

MAX_ITERATIONS = 120
STEP_BACK = 0.8
"""Factor by which a step is shortened until it stays near the central path."""
CENTRALITY = 1e-3
"""Each complementarity product stays above this part of the mean."""
SPANS = (3.0, 10.0, 30.0)
"""A slack takes its exact value where that is within this factor of the linearised one. One an attempt: a
frame on which the iteration gets stuck off the central path is started again with the next."""
SLACKS = (30.0, 10.0, 100.0)
"""Else it is kept near the linearised one, if that leaves a residual below this many mean products."""
SHORT_STEP = 0.2
"""After a step shorter than this the next one recentres."""


class Primal(NamedTuple):
    """The variables x, and as ``slack`` their reduced costs s; (N,) each, ``shortfall`` None if rigid."""

    t_active: Array
    t_passive: Array
    energy: Array
    l_local: Array
    shortfall: Array | None


class Dual(NamedTuple):
    """The prices y of the constraints, and as ``slack`` their values z; (N,) each."""

    time: Array
    work: Array
    local: Array
    budget: Array
    capacity: Array


class Iterate(NamedTuple):
    """A point of the homogeneous problem: all entries positive; x/tau and y/tau solve the problem."""

    x: Primal
    y: Dual
    s: Primal
    z: Dual
    tau: Array
    kappa: Array


class State(NamedTuple):
    """What the iteration carries."""

    point: Iterate
    iterations: Int[Array, ""]
    step: Float[Array, ""]
    accuracy: Float[Array, ""]
    attempt: Int[Array, ""]
    done: Bool[Array, ""]


class Tolerances(NamedTuple):
    """When to stop, by the precision of the arithmetic: violation of a constraint, certified gap, proof."""

    residual: float
    gap: float
    margin: float
    """by how much more than the workload is asked for, relatively, to make up for a violation"""
    proof: float
    """margin that counts as a proof of infeasibility"""


def tolerances(dtype: jnp.dtype) -> Tolerances:
    """Stopping tolerances, relative to the scaled problem's data of order one."""
    if dtype == jnp.float64:
        return Tolerances(residual=1e-12, gap=1e-8, margin=0.0, proof=1e-9)
    return Tolerances(residual=2e-5, gap=1e-4, margin=2e-4, proof=1e-4)


def _dot(left: tuple, right: tuple) -> Float[Array, ""]:
    products = [jnp.sum(a * b) for a, b in zip(left, right, strict=True) if a is not None]
    return jnp.sum(jnp.stack(products))


def _largest(tree: tuple) -> Float[Array, ""]:
    return jnp.max(jnp.stack([jnp.max(leaf) for leaf in jax.tree.leaves(tree)]))


def _costs(problem: StandardForm) -> Primal:
    p = problem
    zero = jnp.zeros_like(p.workload)
    return Primal(p.cost_active, p.cost_passive, zero, -p.gain_local, p.cost_shortfall)


def _constants(problem: StandardForm) -> Dual:
    p = problem
    return Dual(jnp.ones_like(p.workload), -p.workload, p.local_limit, p.battery, p.capacity)


def _received(problem: StandardForm, x: Primal) -> Float[Array, "N"]:
    return problem.snr * x.energy / x.t_active


def _constraints(problem: StandardForm, x: Primal) -> Dual:
    """The constraints without their constants, homogeneous of degree one in x."""
    p = problem
    active = p.active_rate * x.t_active * jnp.log1p(_received(p, x))
    shortfall = 0 if x.shortfall is None else x.shortfall
    spent = x.energy + p.circuit * x.t_active + p.local_energy * x.l_local
    return Dual(
        time=-(x.t_active + x.t_passive),
        work=active + p.passive_rate * x.t_passive + x.l_local + shortfall,
        local=-x.l_local,
        budget=p.harvest @ x.t_passive - spent,
        capacity=-spent,
    )


def _active_slopes(problem: StandardForm, x: Primal) -> tuple[Float[Array, "N"], Float[Array, "N"]]:
    """Derivatives of the active work with respect to t and e."""
    snr = _received(problem, x)
    by_time = problem.active_rate * (jnp.log1p(snr) - snr / (1 + snr))
    by_energy = problem.active_rate * problem.snr / (1 + snr)
    return by_time, by_energy


def _priced_gradient(problem: StandardForm, x: Primal, y: Dual) -> Primal:
    """Transposed Jacobian of the constraints times the prices."""
    p = problem
    by_time, by_energy = _active_slopes(p, x)
    energy_price = y.budget + y.capacity
    return Primal(
        t_active=by_time * y.work - y.time - p.circuit * energy_price,
        t_passive=p.passive_rate * y.work - y.time + y.budget @ p.harvest,
        energy=by_energy * y.work - energy_price,
        l_local=y.work - y.local - p.local_energy * energy_price,
        shortfall=None if x.shortfall is None else y.work,
    )


def _residuals(problem: StandardForm, point: Iterate) -> tuple[Primal, Dual, Float[Array, ""]]:
    """What is missing to dual feasibility, to primal feasibility and to a closed gap."""
    x, y, s, z, tau, kappa = point
    costs, constants = _costs(problem), _constants(problem)
    gradient, values = _priced_gradient(problem, x, y), _constraints(problem, x)
    dual = jax.tree.map(lambda si, ci, gi: si - ci * tau + gi, s, costs, gradient)
    primal = jax.tree.map(lambda zi, vi, bi: zi - vi - bi * tau, z, values, constants)
    return dual, primal, kappa + _dot(costs, x) + _dot(constants, y)


class NewtonSystem:
    """The Newton equations at a point, factorised once and solved for several right-hand sides.

    In the reduced unknowns (dx, dy) they read  (Q + S/X) dx - J' dy = f,  J dx + (Z/Y) dy = g.  The prices dy
    are eliminated first, which leaves per user a 5 x 5 positive definite matrix over (e, c, t, v, b), v being
    the energy harvested; then e, c, t and v by Cholesky pivots, which leaves N x N over the passive times b.
    Each pivot is kept above what it has at least in exact arithmetic, so rounding cannot make it negative.
    """

    def __init__(self, problem: StandardForm, point: Iterate) -> None:
        p, x, y, s, z = problem, point.x, point.y, point.s, point.z
        self.problem, self.x = p, x
        self.by_time, self.by_energy = lt, le = _active_slopes(p, x)
        # Minus the Hessian of y' (active work): rank one, curved only across the ray of constant power.
        power = x.energy / x.t_active
        curvature = y.work * p.active_rate * p.snr**2 / (x.t_active * (1 + p.snr * power) ** 2)
        d = jax.tree.map(jnp.divide, s, x)
        w = jax.tree.map(jnp.divide, y, z)
        self.w_time, self.w_local, self.w_budget, self.w_capacity = w.time, w.local, w.budget, w.capacity
        # The shortfall occurs in one constraint alone, so it is eliminated together with that constraint.
        self.per_shortfall = jnp.zeros_like(w.work)
        if x.shortfall is not None and s.shortfall is not None:
            self.per_shortfall = x.shortfall / s.shortfall
        self.w_work = w_work = 1 / (z.work / y.work + self.per_shortfall)
        w_energy = w.budget + w.capacity
        r, q, f, h = p.passive_rate, p.circuit, p.local_energy, p.harvest

        ee = d.energy + curvature + w_work * le**2 + w_energy
        ec = w_work * le + w_energy * f
        et = -curvature * power + w_work * lt * le + w_energy * q
        ev = -w.budget
        eb = w_work * r * le
        cc = d.l_local + w_work + w.local + w_energy * f**2
        ct = w_work * lt + w_energy * q * f
        cv = -w.budget * f
        cb = w_work * r
        tt = d.t_active + curvature * power**2 + w.time + w_work * lt**2 + w_energy * q**2
        tv = -w.budget * q
        tb = w.time + w_work * lt * r
        vv = w.budget
        bb = d.t_passive + w.time + w_work * r**2

        self.inv_e = 1 / ee
        self.ec, self.et, self.ev, self.eb = (
            ec * self.inv_e,
            et * self.inv_e,
            ev * self.inv_e,
            eb * self.inv_e,
        )
        self.inv_c = 1 / jnp.maximum(cc - self.ec * ec, d.l_local)
        ct, cv, cb = ct - self.ec * et, cv - self.ec * ev, cb - self.ec * eb
        self.ct, self.cv, self.cb = ct * self.inv_c, cv * self.inv_c, cb * self.inv_c
        self.inv_t = 1 / jnp.maximum(tt - self.et * et - self.ct * ct, d.t_active)
        tv, tb = tv - self.et * ev - self.ct * cv, tb - self.et * eb - self.ct * cb
        self.tv, self.tb = tv * self.inv_t, tb * self.inv_t
        tiny = jnp.finfo(vv.dtype).eps * vv
        pivot_v = jnp.maximum(vv - self.ev * ev - self.cv * cv - self.tv * tv, tiny)
        vb = -self.ev * eb - self.cv * cb - self.tv * tb
        self.vb = vb / pivot_v
        pivot_b = jnp.maximum(bb - self.eb * eb - self.cb * cb - self.tb * tb - self.vb * vb, d.t_passive)
        rows = h + jnp.diag(self.vb)
        self.factor = jnp.linalg.cholesky((rows.T * pivot_v) @ rows + jnp.diag(pivot_b))

    def solve(self, f: Primal, g: Dual) -> tuple[Primal, Dual]:
        """Solve for the right-hand side (f, g)."""
        p = self.problem
        lt, le, r, q, fe, h = (
            self.by_time,
            self.by_energy,
            p.passive_rate,
            p.circuit,
            p.local_energy,
            p.harvest,
        )
        g_work = g.work if f.shortfall is None else g.work - self.per_shortfall * f.shortfall
        time, work, local = self.w_time * g.time, self.w_work * g_work, self.w_local * g.local
        budget = self.w_budget * g.budget
        energy = budget + self.w_capacity * g.capacity

        # Forwards through the pivots ...
        e = f.energy + le * work - energy
        c = f.l_local + work - local - fe * energy - self.ec * e
        t = f.t_active - time + lt * work - q * energy - self.et * e - self.ct * c
        v = budget - self.ev * e - self.cv * c - self.tv * t
        b = f.t_passive - time + r * work - self.eb * e - self.cb * c - self.tb * t
        # ... the coupled system, and backwards.
        db = cho_solve((self.factor, True), b + v @ h)
        dv = h @ db
        dt = t * self.inv_t - self.tv * dv - self.tb * db
        dc = c * self.inv_c - self.ct * dt - self.cv * dv - self.cb * db
        de = e * self.inv_e - self.ec * dc - self.et * dt - self.ev * dv - self.eb * db

        spent = de + q * dt + fe * dc
        dy = Dual(
            time=self.w_time * (g.time + dt + db),
            work=self.w_work * (g_work - (lt * dt + r * db + le * de + dc)),
            local=self.w_local * (g.local + dc),
            budget=self.w_budget * (g.budget - dv + spent),
            capacity=self.w_capacity * (g.capacity + spent),
        )
        ds = None if f.shortfall is None else self.per_shortfall * (f.shortfall + dy.work)
        return Primal(dt, db, de, dc, ds), dy


def _direction(
    problem: StandardForm,
    point: Iterate,
    system: NewtonSystem,
    tau_column: tuple[Primal, Dual],
    residuals: tuple[Primal, Dual, Float[Array, ""]],
    reduction: Float[Array, ""],
    products: Iterate,
    bend: tuple[Primal, Dual],
) -> Iterate:
    """Newton direction that removes ``reduction`` of the residuals and changes each product by ``products``.

    ``products`` holds, in s, z and kappa, the wanted x ds + s dx and so on; ``bend`` the second-order change
    of the slacks that the linearisation misses.
    """
    x, y, s, z, tau, kappa = point
    costs, constants = _costs(problem), _constants(problem)
    dual, primal, gap = residuals
    f = jax.tree.map(lambda pi, xi, ri, bi: pi / xi + reduction * ri - bi, products.s, x, dual, bend[0])
    g = jax.tree.map(lambda pi, yi, ri, bi: pi / yi + reduction * ri - bi, products.z, y, primal, bend[1])
    x_part, y_part = system.solve(f, g)
    numerator = _dot(costs, x_part) + _dot(constants, y_part) + reduction * gap + products.kappa / tau
    dtau = numerator / (kappa / tau - _dot(costs, tau_column[0]) - _dot(constants, tau_column[1]))
    dx = jax.tree.map(lambda a, b: a + b * dtau, x_part, tau_column[0])
    dy = jax.tree.map(lambda a, b: a + b * dtau, y_part, tau_column[1])
    ds = jax.tree.map(lambda pi, si, di, xi: (pi - si * di) / xi, products.s, s, dx, x)
    dz = jax.tree.map(lambda pi, zi, di, yi: (pi - zi * di) / yi, products.z, z, dy, y)
    return Iterate(dx, dy, ds, dz, dtau, (products.kappa - kappa * dtau) / tau)


def _move(point: Iterate, direction: Iterate, step: Float[Array, ""]) -> Iterate:
    return jax.tree.map(lambda a, d: a + step * d, point, direction)


def _step_to_boundary(point: Iterate, direction: Iterate) -> Float[Array, ""]:
    """Longest step, up to 1, that keeps every entry non-negative."""
    ratio = _largest(jax.tree.map(lambda a, d: -d / a, point, direction))
    return jnp.minimum(1 / jnp.maximum(ratio, jnp.finfo(ratio.dtype).tiny), 1)


def _exact_slacks(
    problem: StandardForm,
    moved: Iterate,
    residuals: tuple[Primal, Dual, Float[Array, ""]],
    left: Float[Array, ""],
) -> tuple[Primal, Dual]:
    """Slacks that leave exactly ``left`` times the residuals at the moved x, y and tau."""
    gradient, values = _priced_gradient(problem, moved.x, moved.y), _constraints(problem, moved.x)
    s = jax.tree.map(lambda c, g, r: c * moved.tau - g + left * r, _costs(problem), gradient, residuals[0])
    z = jax.tree.map(lambda b, v, r: b * moved.tau + v + left * r, _constants(problem), values, residuals[1])
    return s, z


def _take_step(
    problem: StandardForm,
    point: Iterate,
    direction: Iterate,
    residuals: tuple[Primal, Dual, Float[Array, ""]],
    reduction: Float[Array, ""],
    step: Float[Array, ""],
    attempt: Int[Array, ""],
) -> tuple[Iterate, Bool[Array, ""]]:
    """Move, and say whether the new point is positive and near the central path.

    The slacks of linear constraints follow the direction. Those that the active work bends take their exact
    values, so that residuals fall in proportion to the step, unless that would take them far off the central
    path: then a residual of the order of the mean product is left for the next step to remove.
    """
    moved = _move(point, direction, step)
    s, z = _exact_slacks(problem, moved, residuals, 1 - step * reduction)

    span = jnp.asarray(SPANS, step.dtype)[attempt]
    slack = jnp.asarray(SLACKS, step.dtype)[attempt] * jnp.maximum(_mean_product(moved), 0)

    def choose(exact: Array, linear: Array, partner: Array) -> Array:
        reach = slack / partner
        low = jnp.minimum(linear / span, exact + reach)
        high = jnp.maximum(linear * span, exact - reach)
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
    smallest = -_largest(jax.tree.map(jnp.negative, (new.s, new.z)))
    lowest = -_largest(jax.tree.map(jnp.negative, products))
    return new, (smallest > 0) & (lowest >= CENTRALITY * _mean_product(new))


def _mean_product(point: Iterate) -> Float[Array, ""]:
    count = sum(leaf.size for leaf in jax.tree.leaves((point.s, point.z))) + 1
    return (_dot(point.x, point.s) + _dot(point.y, point.z) + point.tau * point.kappa) / count


def _iterate(problem: StandardForm, state: State, limits: Tolerances) -> State:
    """One predictor-corrector step (Mehrotra), with a second-order term for the curved constraint too."""
    point = state.point
    residuals = _residuals(problem, point)
    mean = _mean_product(point)
    system = NewtonSystem(problem, point)
    minus = lambda tree: jax.tree.map(jnp.negative, tree)  # noqa: E731
    tau_column = system.solve(minus(_costs(problem)), minus(_constants(problem)))
    flat = jax.tree.map(jnp.zeros_like, (point.x, point.y))

    def wanted(target: Float[Array, ""], second_order: Iterate) -> Iterate:
        """Changes of the products that bring each to ``target``."""
        change = lambda a, b, o: target - a * b - o  # noqa: E731
        return point._replace(
            s=jax.tree.map(change, point.x, point.s, second_order.s),
            z=jax.tree.map(change, point.y, point.z, second_order.z),
            kappa=change(point.tau, point.kappa, second_order.kappa),
        )

    nothing = jax.tree.map(jnp.zeros_like, point)
    everything = jnp.ones_like(mean)
    predictor = _direction(
        problem, point, system, tau_column, residuals, everything, wanted(0 * mean, nothing), flat
    )
    reach = _step_to_boundary(point, predictor)

    # After a short step: recentre, and leave out the second order, which a short step would overdo.
    recentre = state.step < SHORT_STEP
    keep = jnp.where(recentre, 0.0, 1.0).astype(mean.dtype)
    centring = jnp.maximum((1 - reach) ** 3, jnp.where(recentre, 0.5, 1e-3))
    bend = jax.tree.map(lambda b: keep * b, _bend(problem, point, predictor, residuals, 0.9 * reach, mean))
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
        residuals,
        reduction,
        wanted(centring * mean, second_order),
        bend,
    )

    def attempt(step: Float[Array, ""]) -> tuple[Iterate, Bool[Array, ""]]:
        return _take_step(problem, point, direction, residuals, reduction, step, state.attempt)

    step = jax.lax.while_loop(
        lambda step: ~attempt(step)[1] & (step > 1e-8),
        lambda step: STEP_BACK * step,
        0.99 * _step_to_boundary(point, direction),
    )
    new, near_path = attempt(step)
    accuracy = _accuracy(problem, new, limits)
    usable = near_path & jnp.isfinite(accuracy)
    again = ~usable & (state.attempt < len(SPANS) - 1)
    new = jax.tree.map(
        lambda a, b, start: jnp.where(usable, a, jnp.where(again, start, b)), new, point, _start(problem)
    )
    done = ~usable & ~again | usable & (accuracy <= 1)
    if problem.cost_shortfall is None:
        done |= disproof(problem, new.y.work, new.y.budget, new.y.capacity) > limits.proof
    return State(
        point=new,
        iterations=state.iterations + 1,
        step=jnp.where(again, 1.0, step),
        accuracy=jnp.where(usable, accuracy, state.accuracy),
        attempt=state.attempt + again,
        done=done,
    )


def _start(problem: StandardForm) -> Iterate:
    """The same point for every problem: all ones."""
    one = jnp.ones_like(problem.workload)
    x = Primal(one, one, one, one, None if problem.cost_shortfall is None else one)
    y = Dual(one, one, one, one, one)
    unit = jnp.ones((), one.dtype)
    return Iterate(x, y, x, y, unit, unit)


def _bend(
    problem: StandardForm,
    point: Iterate,
    predictor: Iterate,
    residuals: tuple[Primal, Dual, Float[Array, ""]],
    step: Float[Array, ""],
    mean: Float[Array, ""],
) -> tuple[Primal, Dual]:
    """Second-order change of the three slacks that the active work bends, measured along the predictor."""
    moved = _move(point, predictor, step)
    s, z = _exact_slacks(problem, moved, residuals, 1 - step)

    def term(exact: Array, linear: Array, partner: Array) -> Array:
        limit = mean / partner
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
    """Largest constraint violation and certified gap, in units of their tolerances: at most 1 is solved.

    The gap is to the bound that the prices prove, whatever their own residual.
    """
    values = _constraints(problem, point.x)
    missing = jax.tree.map(lambda v, b: -v / point.tau - b, values, _constants(problem))
    violation = jnp.maximum(_largest(missing), 0)
    cost = _dot(_costs(problem), point.x) / point.tau
    work, budget, capacity = (price / point.tau for price in (point.y.work, point.y.budget, point.y.capacity))
    if problem.cost_shortfall is not None:
        work = jnp.minimum(work, problem.cost_shortfall)
    gap = cost - dual_function(problem, work, budget, capacity)
    return jnp.maximum(violation / limits.residual, jnp.abs(gap) / (jnp.abs(cost) + 1e-2) / limits.gap)


def solve(problem: StandardForm) -> State:
    """Solve one scaled problem; `State.accuracy` at most 1 means solved to `tolerances`.

    A problem without a feasible point ends with ``kappa`` far above ``tau`` and its prices as the proof.
    """
    limits = tolerances(problem.workload.dtype)
    unit = jnp.ones((), problem.workload.dtype)
    start = State(
        point=_start(problem),
        iterations=jnp.zeros((), jnp.int32),
        step=unit,
        accuracy=jnp.inf * unit,
        attempt=jnp.zeros((), jnp.int32),
        done=jnp.zeros((), bool),
    )
    return jax.lax.while_loop(
        lambda state: ~state.done & (state.iterations < MAX_ITERATIONS),
        lambda state: _iterate(problem, state, limits),
        start,
    )
