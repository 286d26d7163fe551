"""The Newton system of the interior-point method, factorised once and solved for several right-hand sides."""

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import solve_triangular
from jaxtyping import Float

from scattermec.optimisation.homogeneous import (
    Dual,
    Iterate,
    Primal,
    active_slopes,
    beamed,
    harvested,
)
from scattermec.optimisation.standard_form import StandardForm


class NewtonSystem:
    """The Newton equations at a point, factorised once and solved for several right-hand sides.

    In the reduced unknowns (dx, dy) they read  (Q + S/X) dx - J' dy = f,  J dx + (Z/Y) dy = g.  The prices dy
    are eliminated first, which leaves per user a positive definite matrix over (u, m, e, c, t, v, b), where v
    is the energy harvested, m the energy kept and u its worth, if it has any. Then all but b are eliminated
    by Cholesky pivots, which leaves an N K x N K matrix over the passive times b. Each pivot is kept above
    its lower bound in exact arithmetic, so rounding cannot make it negative.
    """

    def __init__(self, problem: StandardForm, point: Iterate) -> None:
        p, x, y, s, z = problem, point.x, point.y, point.s, point.z
        self.problem = p
        self.by_time, self.by_energy = lt, le = active_slopes(p, x)
        # Minus the Hessian of y' (active work): of rank one, zero along the ray of constant power.
        power = x.energy / x.t_active
        curvature = y.work * p.active_rate * p.snr**2 / (x.t_active * (1 + p.snr * power) ** 2)
        d = jax.tree.map(jnp.divide, s, x)
        w = jax.tree.map(jnp.divide, y, z)
        self.w_time, self.w_local = w.time, w.local
        # The shortfall occurs in one constraint only, so it is eliminated together with it.
        self.per_shortfall = jnp.zeros_like(w.work)
        if x.shortfall is not None and s.shortfall is not None:
            self.per_shortfall = x.shortfall / s.shortfall
        self.w_work = w_work = 1 / (z.work / y.work + self.per_shortfall)
        self.w_budget, self.w_capacity = w.budget, w.capacity
        # Weights of the energies e, c, t and v once the worth u and the energy kept m are eliminated.
        w_energy, w_harvest, w_own = w.budget + w.capacity, w.budget, w.budget
        value = p.planes
        if value is not None and w.worth is not None:
            self.w_worth = w.worth
            self.inv_u = 1 / (d.worth + jnp.sum(w.worth, axis=-1))
            priced = jnp.sum(w.worth * value.slope, axis=-1)
            self.slope = self.inv_u * priced
            # Around their mean, so that nothing cancels.
            self.apart = value.slope - self.slope[:, None]
            spread = jnp.sum(w.worth * self.apart**2, axis=-1)
            alone = d.kept + spread + d.worth * self.slope**2
            self.inv_m = 1 / (alone + w_energy)
            self.w_energy = w_energy
            w_own = w.budget * (alone + w.capacity) * self.inv_m
            w_energy, w_harvest = w_energy * alone * self.inv_m, w_harvest * alone * self.inv_m
        r, q, f, h = p.passive_rate, p.circuit, p.local_energy, p.harvest

        ee = d.energy + curvature + w_work * le**2 + w_energy
        ec = w_work * le + w_energy * f
        et = -curvature * power + w_work * lt * le + w_energy * q
        ev = -w_harvest
        cc = d.l_local + w_work + w.local + w_energy * f**2
        ct = w_work * lt + w_energy * q * f
        cv = -w_harvest * f
        tt = d.t_active + curvature * power**2 + w.time + w_work * lt**2 + w_energy * q**2
        tv = -w_harvest * q
        vv = w_own
        # Rows of the user's own passive times, (N, K).
        eb = (w_work * le)[:, None] * r
        cb = w_work[:, None] * r
        tb = w.time[:, None] + (w_work * lt)[:, None] * r
        bb = w.time[:, None, None] + w_work[:, None, None] * _outer(r, r)

        self.inv_e = 1 / ee
        self.ec, self.et, self.ev = ec * self.inv_e, et * self.inv_e, ev * self.inv_e
        self.eb = eb * self.inv_e[:, None]
        self.inv_c = 1 / jnp.maximum(cc - self.ec * ec, d.l_local)
        ct, cv, cb = ct - self.ec * et, cv - self.ec * ev, cb - self.ec[:, None] * eb
        self.ct, self.cv, self.cb = ct * self.inv_c, cv * self.inv_c, cb * self.inv_c[:, None]
        self.inv_t = 1 / jnp.maximum(tt - self.et * et - self.ct * ct, d.t_active)
        tv = tv - self.et * ev - self.ct * cv
        tb = tb - self.et[:, None] * eb - self.ct[:, None] * cb
        self.tv, self.tb = tv * self.inv_t, tb * self.inv_t[:, None]
        tiny = jnp.finfo(vv.dtype).eps * vv
        pivot_v = jnp.maximum(vv - self.ev * ev - self.cv * cv - self.tv * tv, tiny)
        vb = -(self.ev[:, None] * eb + self.cv[:, None] * cb + self.tv[:, None] * tb) / pivot_v[:, None]
        own = bb - _outer(eb, self.eb) - _outer(cb, self.cb) - _outer(tb, self.tb)
        own -= pivot_v[:, None, None] * _outer(vb, vb)

        users, beams = r.shape
        own = jnp.where(jnp.eye(beams, dtype=bool), jnp.maximum(own, 0), own)
        least = d.t_passive.reshape(-1)
        same_user = jnp.eye(users, dtype=h.dtype)
        rows = (h + same_user[:, :, None] * vb).reshape(users, -1)
        blocks = jnp.einsum("ikl,ij->ikjl", own, same_user).reshape(users * beams, -1)
        self.factor = _cholesky((rows.T * pivot_v) @ rows + blocks + jnp.diag(least), least)

    def solve(self, f: Primal, g: Dual) -> tuple[Primal, Dual]:
        """Solve for the right-hand side (f, g)."""
        p = self.problem
        lt, le, r = self.by_time, self.by_energy, p.passive_rate
        q, fe = p.circuit, p.local_energy
        g_work = g.work if f.shortfall is None else g.work - self.per_shortfall * f.shortfall
        time, work, local = self.w_time * g.time, self.w_work * g_work, self.w_local * g.local
        budget = self.w_budget * g.budget
        energy = budget + self.w_capacity * g.capacity
        if f.kept is not None and f.worth is not None:
            offered = self.w_worth * g.worth
            u = f.worth - jnp.sum(offered, axis=-1)
            m = f.kept + self.slope * f.worth + jnp.sum(offered * self.apart, axis=-1) - energy
            energy = energy + self.w_energy * self.inv_m * m
            budget = budget + self.w_budget * self.inv_m * m

        # Forwards through the pivots ...
        e = f.energy + le * work - energy
        c = f.l_local + work - local - fe * energy - self.ec * e
        t = f.t_active - time + lt * work - q * energy - self.et * e - self.ct * c
        v = budget - self.ev * e - self.cv * c - self.tv * t
        b = f.t_passive - time[:, None] + r * work[:, None]
        b -= self.eb * e[:, None] + self.cb * c[:, None] + self.tb * t[:, None]
        # ... the coupled system, and backwards.
        right = (b + jnp.einsum("j,jik->ik", v, p.harvest)).reshape(-1)
        half = solve_triangular(self.factor, right, lower=True)
        db = solve_triangular(self.factor, half, lower=True, trans=1).reshape(b.shape)
        dv = harvested(p, db)
        dt = t * self.inv_t - self.tv * dv - jnp.sum(self.tb * db, axis=-1)
        dc = c * self.inv_c - self.ct * dt - self.cv * dv - jnp.sum(self.cb * db, axis=-1)
        de = e * self.inv_e - self.ec * dc - self.et * dt - self.ev * dv - jnp.sum(self.eb * db, axis=-1)

        spent = de + q * dt + fe * dc
        dm = du = y_worth = None
        if f.kept is not None:
            dm = self.inv_m * (m - self.w_energy * spent + self.w_budget * dv)
            above = self.inv_u * u
            du = above + self.slope * dm
            y_worth = self.w_worth * (g.worth - self.apart * dm[:, None] + above[:, None])
            spent = spent + dm
        dy = Dual(
            time=self.w_time * (g.time + dt + beamed(db)),
            work=self.w_work * (g_work - (lt * dt + beamed(r * db) + le * de + dc)),
            local=self.w_local * (g.local + dc),
            budget=self.w_budget * (g.budget - dv + spent),
            capacity=self.w_capacity * (g.capacity + spent),
            worth=y_worth,
        )
        ds = None if f.shortfall is None else self.per_shortfall * (f.shortfall + dy.work)
        return Primal(dt, db, de, dc, ds, dm, du), dy


def _outer(left: Float[Array, "N K"], right: Float[Array, "N K"]) -> Float[Array, "N K K"]:
    return left[:, :, None] * right[:, None, :]


def _cholesky(matrix: Float[Array, "P P"], least: Float[Array, " P"]) -> Float[Array, "P P"]:
    """Lower Cholesky factor whose squared pivots are at least ``least``, as they are in exact arithmetic."""
    index = jnp.arange(len(least))

    def eliminate(k: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        rest, factor = carry
        column = jnp.where(index >= k, rest[:, k], 0)
        pivot = jnp.maximum(rest[k, k], least[k])
        column = column.at[k].set(pivot) / jnp.sqrt(pivot)
        return rest - jnp.outer(column, column), factor.at[:, k].set(column)

    return jax.lax.fori_loop(0, len(least), eliminate, (matrix, jnp.zeros_like(matrix)))[1]
