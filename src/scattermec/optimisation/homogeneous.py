"""P1 as a homogeneous problem: its variables, prices and functions.

Every constraint of `scattermec.optimisation.standard_form` is a constant plus a concave function that is
homogeneous of degree one, so multiplying the constants by a variable tau gives a homogeneous self-dual
problem (Andersen and Ye, Math. Programming 84, 1999).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from scattermec.optimisation.standard_form import StandardForm


class Primal(NamedTuple):
    """One number per variable: (N,) each, ``t_passive`` (N, K), ``shortfall`` None in the rigid form.

    ``kept`` and ``worth`` are None if energy left in the battery has no value.
    """

    t_active: Array
    t_passive: Array
    energy: Array
    l_local: Array
    shortfall: Array | None
    kept: Array | None = None
    worth: Array | None = None


class Dual(NamedTuple):
    """One number per constraint: (N,) each; ``worth`` (N, S), or None as in `Primal`."""

    time: Array
    work: Array
    local: Array
    budget: Array
    capacity: Array
    worth: Array | None = None


class Iterate(NamedTuple):
    """A point of the homogeneous problem: variables x, prices y, reduced costs s and constraint values z.

    All entries are positive. If x s and y z vanish with tau > 0, x/tau and y/tau solve the problem.
    """

    x: Primal
    y: Dual
    s: Primal
    z: Dual
    tau: Array
    kappa: Array


class Optimum(NamedTuple):
    """The result of the method: x/tau solves the problem and y/tau are its prices.

    For an infeasible problem, tau is near zero and y is the proof. The largest entry is 1. The prices of a
    battery's planes are left out: they follow from the price of energy.
    """

    x: Primal
    y: Dual
    tau: Array
    iterations: Array


def dot(left: tuple, right: tuple) -> Float[Array, ""]:
    """Inner product over all entries that both have."""
    products = [jnp.sum(a * b) for a, b in zip(left, right, strict=True) if a is not None]
    return jnp.sum(jnp.stack(products))


def largest(tree: tuple) -> Float[Array, ""]:
    """Largest of all entries."""
    return jnp.max(jnp.stack([jnp.max(leaf) for leaf in jax.tree.leaves(tree)]))


def mean_product(point: Iterate) -> Float[Array, ""]:
    """Mean of the complementarity products: the distance to the solution along the central path."""
    count = sum(leaf.size for leaf in jax.tree.leaves((point.s, point.z))) + 1
    return (dot(point.x, point.s) + dot(point.y, point.z) + point.tau * point.kappa) / count


def beamed(t_passive: Float[Array, "N K"]) -> Float[Array, " N"]:
    """Sum over the beams of each slot."""
    return jnp.sum(t_passive, axis=-1)


def harvested(problem: StandardForm, t_passive: Float[Array, "N K"]) -> Float[Array, " N"]:
    """Energy that each user harvests from all beams."""
    return jnp.einsum("jik,ik->j", problem.harvest, t_passive)


def costs(problem: StandardForm) -> Primal:
    """Coefficients of the objective."""
    p = problem
    zero = jnp.zeros_like(p.workload)
    passive = jnp.broadcast_to(p.cost_passive[:, None], p.passive_rate.shape)
    value = p.planes
    kept, worth = (None, None) if value is None else (zero, -value.unit)
    return Primal(p.cost_active, passive, zero, -p.gain_local, p.cost_shortfall, kept, worth)


def constants(problem: StandardForm) -> Dual:
    """Constants of the constraints."""
    p, value = problem, problem.planes
    worth = None if value is None else value.constant
    return Dual(jnp.ones_like(p.workload), -p.workload, p.local_limit, p.battery, p.capacity, worth)


def constraints(problem: StandardForm, x: Primal) -> Dual:
    """The constraints without their constants, homogeneous of degree one in x."""
    p, value = problem, problem.planes
    active = p.active_rate * x.t_active * jnp.log1p(_received(p, x))
    shortfall = 0 if x.shortfall is None else x.shortfall
    used = x.energy + p.circuit * x.t_active + p.local_energy * x.l_local
    below_planes = None
    if value is not None and x.kept is not None and x.worth is not None:
        used += x.kept
        below_planes = value.slope * x.kept[:, None] - x.worth[:, None]
    return Dual(
        time=-(x.t_active + beamed(x.t_passive)),
        work=active + beamed(p.passive_rate * x.t_passive) + x.l_local + shortfall,
        local=-x.l_local,
        budget=harvested(p, x.t_passive) - used,
        capacity=-used,
        worth=below_planes,
    )


def _received(problem: StandardForm, x: Primal) -> Float[Array, " N"]:
    """Signal-to-noise ratio of the active link; 0 if it is not used."""
    used = x.t_active > 0
    return jnp.where(used, problem.snr * x.energy / jnp.where(used, x.t_active, 1), 0)


def active_slopes(problem: StandardForm, x: Primal) -> tuple[Float[Array, " N"], Float[Array, " N"]]:
    """Derivatives of the active work with respect to t and e."""
    snr = _received(problem, x)
    by_time = problem.active_rate * (jnp.log1p(snr) - snr / (1 + snr))
    by_energy = problem.active_rate * problem.snr / (1 + snr)
    return by_time, by_energy


def priced_gradient(problem: StandardForm, x: Primal, y: Dual) -> Primal:
    """Transposed Jacobian of the constraints times the prices."""
    p, value = problem, problem.planes
    by_time, by_energy = active_slopes(p, x)
    energy_price = y.budget + y.capacity
    kept = worth = None
    if value is not None and y.worth is not None:
        kept = jnp.sum(value.slope * y.worth, axis=-1) - energy_price
        worth = -jnp.sum(y.worth, axis=-1)
    return Primal(
        t_active=by_time * y.work - y.time - p.circuit * energy_price,
        t_passive=p.passive_rate * y.work[:, None]
        - y.time[:, None]
        + jnp.einsum("j,jik->ik", y.budget, p.harvest),
        energy=by_energy * y.work - energy_price,
        l_local=y.work - y.local - p.local_energy * energy_price,
        shortfall=None if x.shortfall is None else y.work,
        kept=kept,
        worth=worth,
    )


def residuals(problem: StandardForm, point: Iterate) -> tuple[Primal, Dual, Float[Array, ""]]:
    """Residuals of dual feasibility, of primal feasibility and of the gap."""
    x, y, s, z, tau, kappa = point
    cost, constant = costs(problem), constants(problem)
    gradient, values = priced_gradient(problem, x, y), constraints(problem, x)
    dual = jax.tree.map(lambda si, ci, gi: si - ci * tau + gi, s, cost, gradient)
    primal = jax.tree.map(lambda zi, vi, bi: zi - vi - bi * tau, z, values, constant)
    return dual, primal, kappa + dot(cost, x) + dot(constant, y)
