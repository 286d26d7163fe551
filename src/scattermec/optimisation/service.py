"""Service with given beams: the set of users that maximises the AP's reward (11)."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Complex, Float, Int

from scattermec.optimisation.allocation import (
    FEASIBLE,
    INFEASIBLE,
    NOT_CONVERGED,
    Solution,
    allocate,
    is_feasible,
    solve_allocation,
)
from scattermec.optimisation.problem import Scheme, allocation_problem
from scattermec.physics.energy import idle_energy
from scattermec.physics.frame import Frame
from scattermec.physics.parameters import Parameters
from scattermec.physics.rewards import ap_reward

ENUMERATED_USERS = 6
"""Up to this many users, every set is tried; beyond, a local search is used."""


def allocate_best_set(
    parameters: Parameters,
    frame: Frame,
    beams: Complex[Array, "N M"],
    *,
    scheme: Scheme = "hybrid",
    everyone: Solution | None = None,
    skip: Bool[Array, ""] | None = None,
) -> Solution:
    """Allocate for the set of users that maximises (11), serving nobody if no set can be served.

    Exact for N <= 6, where every set is solved; beyond, a steepest-ascent search over single additions and
    removals. ``everyone`` is the solution that serves everyone, if known: the best set is never worse. If
    ``skip`` is true, the result is meaningless; with at most 6 users it then costs little. Other arguments as
    for `allocate`.
    """
    if parameters.num_users > ENUMERATED_USERS:
        served = search_best_set(parameters, frame, beams, scheme=scheme)
        found = _or_nobody(parameters, allocate(parameters, frame, beams, scheme=scheme, served=served))
        return found if everyone is None else _better(parameters, frame, everyone, found)
    sets = all_sets(parameters.num_users)
    solutions = _solve_sets(parameters, frame, beams, scheme, sets, skip=skip)
    if everyone is not None:
        solutions = jax.tree.map(lambda all_of, first: all_of.at[0].set(first), solutions, everyone)
    rewards = _rewards(parameters, frame, solutions)
    best = jnp.argmax(rewards)
    solution = _or_nobody(parameters, jax.tree.map(lambda leaf: leaf[best], solutions))
    # A set without a verdict might have been better, unless its bound rules that out.
    unsettled = (solutions.status == NOT_CONVERGED) | (solutions.status == FEASIBLE)
    hopes = rewards_of_sets(parameters, frame, sets, jnp.maximum(solutions.lower_bound, 0))
    unsure = jnp.any(unsettled & (hopes > rewards[best] * (1 + 1e-6)))
    something = is_feasible(solution.status)
    status = jnp.where(unsure, jnp.where(something, FEASIBLE, NOT_CONVERGED), solution.status)
    return dataclasses.replace(solution, status=status.astype(solution.status.dtype))


def allocate_everyone_or_best(
    parameters: Parameters,
    frame: Frame,
    beams: Complex[Array, "N M"],
    *,
    scheme: Scheme = "hybrid",
) -> tuple[Solution, Int[Array, ""]]:
    """Serve everyone if possible, else the set that maximises (11); also the status of serving everyone.

    For use inside jit and vmap; `allocate_all_or_best` does the same for many frames of one scenario.
    """
    everyone = allocate(parameters, frame, beams, scheme=scheme)
    possible = is_feasible(everyone.status)
    best = allocate_best_set(parameters, frame, beams, scheme=scheme, everyone=everyone, skip=possible)
    return jax.tree.map(lambda a, b: jnp.where(possible, a, b), everyone, best), everyone.status


def _better(parameters: Parameters, frame: Frame, first: Solution, second: Solution) -> Solution:
    """The solution with the larger reward (11); the first if both have the same."""
    both = jax.tree.map(lambda a, b: jnp.stack([a, b]), first, second)
    best = jnp.argmax(_rewards(parameters, frame, both))
    return jax.tree.map(lambda leaf: leaf[best], both)


def all_sets(num_users: int) -> Bool[Array, "S N"]:
    """Every non-empty set, larger ones first so that ties go to serving more."""
    sets = itertools.product((True, False), repeat=num_users)
    return jnp.array(sorted(sets, key=sum, reverse=True)[:-1])


def _solve_sets(
    parameters: Parameters,
    frame: Frame,
    beams: Complex[Array, "N M"],
    scheme: Scheme,
    sets: Bool[Array, "S N"],
    elastic: bool = False,
    skip: Bool[Array, ""] | None = None,
) -> Solution:
    def solve(served: Bool[Array, " N"]) -> Solution:
        problem = allocation_problem(parameters, frame, beams, scheme=scheme, served=served)
        return solve_allocation(problem, elastic=elastic, skip=skip)

    return jax.vmap(solve)(sets)


def rewards_of_sets(
    parameters: Parameters, frame: Frame, served: Bool[Array, "S N"], energy: Float[Array, " S"]
) -> Float[Array, " S"]:
    """Reward (11) in kbit/J of S sets of users, each served at an energy in J."""
    return jax.vmap(ap_reward, in_axes=(None, None, 0, 0))(parameters, frame.workload, served, energy)


def _rewards(parameters: Parameters, frame: Frame, solutions: Solution) -> Float[Array, " S"]:
    reward = rewards_of_sets(parameters, frame, solutions.served, solutions.energy)
    return jnp.where(is_feasible(solutions.status), reward, -1)


def search_best_set(
    parameters: Parameters, frame: Frame, beams: Complex[Array, "N M"], *, scheme: Scheme = "hybrid"
) -> Bool[Array, " N"]:
    """Search for the set that maximises (11) by steepest ascent over single additions and removals.

    It starts from everyone and from the users that the elastic form serves, and returns the better result.
    Sets that cannot be served rank below all others, by their unprocessed work, so that the search leaves
    them.
    """
    users = parameters.num_users

    def scores(sets: Bool[Array, "S N"]) -> Float[Array, " S"]:
        solutions = _solve_sets(parameters, frame, beams, scheme, sets, elastic=True)
        left = jnp.sum(solutions.shortfall, axis=-1)
        return jnp.where(left > 0, -left, _rewards(parameters, frame, solutions))

    def climb(start: Bool[Array, " N"]) -> tuple[Bool[Array, " N"], Float[Array, ""]]:
        def step(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            current, score, _ = state
            neighbours = current ^ jnp.eye(users, dtype=bool)
            ranked = scores(neighbours)
            best = jnp.argmax(ranked)
            better = ranked[best] > score * (1 + 1e-9 * jnp.sign(score))
            return (
                jnp.where(better, neighbours[best], current),
                jnp.where(better, ranked[best], score),
                better,
            )

        begin = (start, scores(start[None])[0], jnp.ones((), bool))
        found, score, _ = jax.lax.while_loop(lambda state: state[2], step, begin)
        return found, score

    everyone = jnp.ones(users, bool)
    affordable = allocate(parameters, frame, beams, scheme=scheme, elastic=True).served
    sets, found_scores = jax.vmap(climb)(jnp.stack([everyone, affordable]))
    return sets[jnp.argmax(found_scores)]


def _or_nobody(parameters: Parameters, solution: Solution) -> Solution:
    """``solution``, or serving nobody if no set can be served."""
    nobody = solution.status == INFEASIBLE
    empty = dataclasses.replace(serving_nobody(parameters, solution), iterations=solution.iterations)
    return jax.tree.map(lambda a, b: jnp.where(nobody, a, b), empty, solution)


def serving_nobody(parameters: Parameters, like: Solution) -> Solution:
    """The solution that serves nobody, at the idle energy; its arrays have the shapes of ``like``."""
    idle = idle_energy(parameters)
    empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)
    return dataclasses.replace(empty, energy=idle, value=idle, lower_bound=idle)
