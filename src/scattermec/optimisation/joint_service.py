"""Service with free beams: the set of users, the beams and the allocation that maximise reward (11)."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int

from scattermec._pytree import pytree
from scattermec.optimisation.allocation import INFEASIBLE, is_feasible
from scattermec.optimisation.beamforming import BeamSolution, optimise_beams
from scattermec.optimisation.bound import bound_terms
from scattermec.optimisation.interior_point import tolerances
from scattermec.optimisation.problem import Scheme, allocation_problem
from scattermec.optimisation.service import (
    ENUMERATED_USERS,
    all_sets,
    allocate_best_set,
    rewards_of_sets,
    serving_nobody,
)
from scattermec.physics.energy import idle_energy
from scattermec.physics.frame import Frame
from scattermec.physics.links import maximum_ratio_beams
from scattermec.physics.parameters import Parameters
from scattermec.physics.rewards import ap_reward


@pytree
class ServiceSolution:
    """The best set of users with its beams and allocation."""

    best: BeamSolution
    """solution for the served set; serves nobody, at the idle energy, if no set can be served"""
    reward: Float[Array, ""]
    """kbit/J: reward (11)"""
    reward_bound: Float[Array, ""]
    """kbit/J: upper bound on the reward of all sets, beams and allocations; infinite for more than 6 users,
    where the set is found without a certificate"""
    sets_tried: Int[Array, ""]


def optimise_service(
    parameters: Parameters,
    frame: Frame,
    *,
    scheme: Scheme = "hybrid",
    skip: Bool[Array, ""] | None = None,
    everyone: BeamSolution | None = None,
) -> ServiceSolution:
    """Find the set of users, the beams and the allocation that maximise reward (11) for a frame.

    Exact for N <= 6: sets are tried in the order of their upper bounds, until none that is left can beat the
    best. The prices of one set bound all others too, since the dual function is a sum over users. Beyond 6
    users, the beams are optimised for the set that is best with maximum ratio beams.

    ``everyone`` is the solution that serves everyone, if known: it is not computed again, and the best set is
    never worse. Other arguments as for `optimise_beams`.
    """
    if parameters.num_users > ENUMERATED_USERS:
        return _searched(parameters, frame, scheme, skip, everyone)
    sets = all_sets(parameters.num_users)

    def rewards(energy: Float[Array, " S"]) -> Float[Array, " S"]:
        return rewards_of_sets(parameters, frame, sets, energy)

    def try_next(state: _State) -> _State:
        hopes = jnp.where(state.tried, -1, rewards(state.bounds))
        index = jnp.argmax(hopes)
        done = state.done | (hopes[index] <= state.reward * (1 + 1e-9))
        served = sets[index]
        found = optimise_beams(parameters, frame, scheme=scheme, served=served, skip=done)
        return learn(dataclasses.replace(state, done=done), index, found)

    def learn(state: _State, index: Int[Array, ""], found: BeamSolution) -> _State:
        done = state.done
        reward = _reward(parameters, frame, found)
        better = ~done & (reward > state.reward)
        bounds = jnp.maximum(state.bounds, _bounds(parameters, frame, scheme, sets, found))
        bounds = bounds.at[index].max(found.lower_bound)
        return _State(
            best=jax.tree.map(lambda new, old: jnp.where(better, new, old), found, state.best),
            reward=jnp.where(better, reward, state.reward),
            bounds=jnp.where(done, state.bounds, bounds),
            tried=jnp.where(done, state.tried, state.tried.at[index].set(True)),
            done=done,
        )

    nobody = _nobody(parameters, frame, scheme)
    begin = _State(
        best=nobody,
        reward=jnp.zeros_like(nobody.energy),
        bounds=jnp.broadcast_to(idle_energy(parameters), (len(sets),)),
        tried=jnp.zeros(len(sets), bool),
        done=jnp.zeros((), bool) if skip is None else skip,
    )
    if everyone is not None:
        begin = learn(begin, jnp.zeros((), int), everyone)
    end = jax.lax.while_loop(lambda state: ~state.done & ~jnp.all(state.tried), try_next, begin)
    return ServiceSolution(
        best=end.best,
        reward=end.reward,
        reward_bound=jnp.maximum(end.reward, jnp.max(rewards(end.bounds))),
        sets_tried=jnp.sum(end.tried).astype(jnp.int32),
    )


@pytree
class _State:
    """State of the enumeration of S sets."""

    best: BeamSolution
    reward: Float[Array, ""]
    bounds: Float[Array, " S"]
    """J: lower bounds on the energy of serving each set, for all beams and allocations"""
    tried: Bool[Array, " S"]
    done: Bool[Array, ""]


def _nobody(parameters: Parameters, frame: Frame, scheme: Scheme) -> BeamSolution:
    """The solution that serves nobody, at the idle energy."""

    def example() -> BeamSolution:
        return optimise_beams(parameters, frame, scheme=scheme)

    shapes = jax.eval_shape(example)
    empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    idle = idle_energy(parameters)
    return dataclasses.replace(
        empty,
        beams=maximum_ratio_beams(frame.channels),
        solution=serving_nobody(parameters, shapes.solution),
        lower_bound=idle,
        shared_energy=idle,
    )


def _bounds(
    parameters: Parameters,
    frame: Frame,
    scheme: Scheme,
    sets: Bool[Array, "S N"],
    found: BeamSolution,
) -> Float[Array, " S"]:
    """Lower bounds on the energy of every set, from the prices found for one; infinite if they rule it out.

    The work of users outside a set has no price. That only lowers the value of the best beam in their slots,
    so the value found for one set is valid for all.
    """
    prices, nothing = found.prices, jnp.zeros_like(frame.workload)
    infeasible = found.status == INFEASIBLE
    problem = allocation_problem(parameters, frame, maximum_ratio_beams(frame.channels), scheme=scheme)

    def of_sets(costs: float) -> Float[Array, " S"]:
        inside = bound_terms(problem, prices, found.beam_worth, costs)
        without = dataclasses.replace(prices, workload=nothing)
        outside = bound_terms(problem, without, found.beam_worth, costs)
        return jnp.sum(jnp.where(sets, inside, outside), axis=-1)

    value = jnp.sum(jnp.where(sets, prices.workload * frame.workload, 0), axis=-1)
    ruled_out = of_sets(0.0) > tolerances(nothing.dtype).proof * value
    energy = jnp.where(infeasible, idle_energy(parameters), of_sets(1.0) + idle_energy(parameters))
    return jnp.where(infeasible & (value > 0) & ruled_out, jnp.inf, jnp.nan_to_num(energy, nan=-jnp.inf))


def _searched(
    parameters: Parameters,
    frame: Frame,
    scheme: Scheme,
    skip: Bool[Array, ""] | None,
    everyone: BeamSolution | None,
) -> ServiceSolution:
    """Solution for many users: the set that is best with maximum ratio beams."""
    seen = allocate_best_set(parameters, frame, maximum_ratio_beams(frame.channels), scheme=scheme)
    best = optimise_beams(parameters, frame, scheme=scheme, served=seen.served, skip=skip)
    reward = jnp.where(jnp.any(seen.served), _reward(parameters, frame, best), -1)
    for other in (everyone, _nobody(parameters, frame, scheme)):
        if other is not None:
            better = _reward(parameters, frame, other) > reward
            best = jax.tree.map(lambda new, old, b=better: jnp.where(b, new, old), other, best)
            reward = jnp.maximum(reward, _reward(parameters, frame, other))
    return ServiceSolution(
        best=best, reward=reward, reward_bound=jnp.inf + 0 * reward, sets_tried=jnp.ones((), jnp.int32)
    )


def _reward(parameters: Parameters, frame: Frame, found: BeamSolution) -> Float[Array, ""]:
    """Reward (11) in kbit/J; -1 if nothing was found."""
    reward = ap_reward(parameters, frame.workload, found.solution.served, found.energy)
    return jnp.where(is_feasible(found.status), reward, -1)
