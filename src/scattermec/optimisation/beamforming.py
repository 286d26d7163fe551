"""Solving P2: the globally optimal beams and allocation of a frame, with a certificate.

The convex relaxation of the problem, with beams as Hermitian matrices of any rank, is solved by column
generation: P1 shares the time of each slot among a few beams, its prices determine the most valuable beam
(`scattermec.optimisation.pricing`), and that beam replaces the least used one. From the prices and the values
of the best beams follows a lower bound on the energy of all beams and allocations, to which the energy
converges. Finally, the beams of each slot are merged into one.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Complex, Float, Int

from scattermec._jit import one_program
from scattermec._pytree import pytree
from scattermec.optimisation import compiled
from scattermec.optimisation.allocation import (
    FEASIBLE,
    INFEASIBLE,
    NOT_CONVERGED,
    OPTIMAL,
    SMALL_ENERGY,
    Solution,
    is_feasible,
    natural_prices,
    relative_gap,
    solve_allocation,
    solve_beam_times,
)
from scattermec.optimisation.battery_value import BatteryValue
from scattermec.optimisation.bound import Prices, infeasibility_margin, least_value, lower_bound
from scattermec.optimisation.interior_point import tolerances
from scattermec.optimisation.pricing import best_beams, principal_vectors
from scattermec.optimisation.problem import AllocationProblem, Scheme, allocation_problem
from scattermec.optimisation.shared import BEAM_GAP_PER_GAP, MAX_ROUNDS, MERGE_ROUNDS
from scattermec.optimisation.single_beam import single_beam
from scattermec.optimisation.standard_form import (
    can_fill,
    energy_counts,
    fixed_energy,
    in_need,
    natural_scales,
    standard_form,
)
from scattermec.physics import links
from scattermec.physics.energy import harvest_rate, usable_harvest_rate
from scattermec.physics.frame import Frame
from scattermec.physics.parameters import Parameters

FEWEST_BEAMS, MOST_BEAMS = 4, 8
"""Limits of the number of beams per slot during the search, which is otherwise the number of users. With
fewer the search keeps losing beams that it needs."""

CERTIFIED_GAP = {"float64": 1e-4, "float32": 5e-3}
"""Largest gap of a solution with status optimal."""


@pytree
class BeamSolution:
    """The beams and the allocation that minimise (7) for a frame."""

    beams: Complex[Array, "N M"]
    """unit norm"""
    solution: Solution
    """solution of P1 for these beams"""
    lower_bound: Float[Array, ""]
    """J: lower bound on the value over all beams and allocations (energy left in batteries is credited at its
    value); infinite if infeasible"""
    gap: Float[Array, ""]
    """(value - lower_bound) / max(energy, 1e-3 J), see `relative_gap`; without battery values, value is the
    energy; 0 for an infeasible frame, infinite if no allocation was found"""
    shared_energy: Float[Array, ""]
    """J: energy if several beams may share the time of a slot. If this meets the bound and the energy does
    not, the optimal beams are not of rank one."""
    status: Int[Array, ""]
    """0 optimal, with a gap of at most `CERTIFIED_GAP`; 1 proved infeasible for all beams; 2 neither; 3 beams
    and allocation found, but the bound is not met: if ``shared_energy`` meets it, the optimum needs several
    beams that share a slot's time (a frame of status 2 may be feasible only with these)"""
    prices: Prices
    """prices of the bound, or of the proof of infeasibility"""
    beam_worth: Float[Array, " N"]
    """J/s: value of the best beam of each slot at these prices, D of the certificate"""
    rounds: Int[Array, ""]

    @property
    def energy(self) -> Array:
        """() E_o in J with these beams; differentiable, see `Solution`."""
        return self.solution.energy


class _Found(NamedTuple):
    """The result of a search for beams."""

    beams: Array
    prices: Prices
    worth: Array
    """(N,) value of the best beams at these prices, in J/s"""
    shared_energy: Array
    infeasible: Array
    rounds: Array


@one_program("scheme")
def optimise_beams(
    parameters: Parameters,
    frame: Frame,
    *,
    scheme: Scheme = "hybrid",
    served: Bool[Array, " N"] | None = None,
    skip: Bool[Array, ""] | None = None,
    battery_value: BatteryValue | None = None,
) -> BeamSolution:
    """Find the beams and the allocation of minimum energy for a frame: problem (10) with free beams.

    Arguments as for `allocate`; if ``skip`` is true, the result is meaningless and costs no time on a CPU.
    Batch it with vmap. Raises ValueError unless the rectifier is linear, since the problem is otherwise not
    convex in the beams.
    """
    if parameters.harvest_model != "linear":
        raise ValueError(
            f"harvest_model: {parameters.harvest_model!r} is not allowed with jointly optimal beams; "
            "it must be 'linear', or the beams must be given"
        )
    fixed, given = jax.lax.stop_gradient((parameters, frame))
    first = _first_beams(given.channels)
    state = partial(allocation_problem, scheme=scheme, served=served, battery_value=battery_value)
    problem = state(fixed, given, first, free_beams=True)
    search_portably = partial(_search_portably, scheme=scheme, served=served)
    found = compiled.choose(_search_compiled, search_portably, problem, given, first, skip)
    solution = solve_allocation(state(parameters, frame, found.beams), skip=skip)
    bound = jnp.maximum(lower_bound(problem, found.prices, found.worth), least_value(problem))
    bound = jnp.where(found.infeasible, jnp.inf, bound)
    solved = is_feasible(solution.status) & ~found.infeasible
    energy, value = jax.lax.stop_gradient((solution.energy, solution.value))
    gap = relative_gap(energy, value, bound)
    gap = jnp.where(solved, gap, jnp.where(found.infeasible, 0, jnp.inf))
    certified = gap <= CERTIFIED_GAP[value.dtype.name]
    failed = jnp.where(found.infeasible, INFEASIBLE, jnp.where(solved, FEASIBLE, NOT_CONVERGED))
    status = jnp.where(solved & certified, OPTIMAL, failed)
    return BeamSolution(
        beams=found.beams,
        solution=solution,
        lower_bound=bound,
        gap=gap,
        shared_energy=found.shared_energy,
        status=status.astype(jnp.int8),
        prices=found.prices,
        beam_worth=found.worth,
        rounds=found.rounds,
    )


def _first_beams(channels: Complex[Array, "N M"]) -> Complex[Array, "N K M"]:
    """Initial beams of each slot: along the own channel, towards all others, along the strongest channels."""
    users = channels.shape[0]
    own = links.unit_vectors(channels)
    gathered = jnp.einsum("ja,jb->ab", channels, channels.conj())
    others = gathered - jnp.einsum("ia,ib->iab", channels, channels.conj())
    count = min(max(users, FEWEST_BEAMS), MOST_BEAMS)
    strongest = jnp.argsort(-links.channel_gain(channels))[jnp.arange(count - 2) % users]
    shared = jnp.broadcast_to(own[strongest], (users, *own[strongest].shape))
    return jnp.concatenate([own[:, None], principal_vectors(others)[:, None], shared], axis=1)


def _harvest_per_gain(problem: AllocationProblem) -> Float[Array, "N N"]:
    """Usable harvested power in mW of user j (row) in slot i (column) for a beam gain of 1."""
    users = len(problem.workload)
    unit_gains = jnp.ones((users, users), problem.workload.dtype)
    return usable_harvest_rate(problem.parameters, harvest_rate(problem.parameters, unit_gains))


def _reflected_snr(problem: AllocationProblem) -> Float[Array, " N"]:
    """Signal-to-noise ratio of backscatter for a beam gain of 1; 0 if the scheme has no backscatter."""
    snr = links.reflected_snr(problem.parameters, problem.channel_gain, jnp.ones_like(problem.channel_gain))
    return jnp.where(jnp.any(problem.passive_rate > 0, axis=-1), snr, 0)


def _search_compiled(
    problem: AllocationProblem, frame: Frame, first: Complex[Array, "N K M"], skip: Bool[Array, ""] | None
) -> _Found:
    """The whole search by the kernel, in the units of the scaled problem, starting from ``first``."""
    p, fixed = problem, problem.parameters
    needy = in_need(p)
    scales, slot = natural_scales(p, needy), fixed.slot_duration
    found = compiled.search_beams(
        standard_form(p, scales, needy),
        # Work that nobody needs has no price, though the interior-point method leaves a small one.
        reflected_work=jnp.where(needy, fixed.bandwidth / jnp.log(2.0) * slot / scales.work, 0),
        reflected_snr=_reflected_snr(p),
        harvest_weight=_harvest_per_gain(p)
        * slot
        * jnp.where(energy_counts(p, needy), 1 / scales.energy, 0)[:, None],
        constant=fixed_energy(p, needy) / scales.cost,
        small=SMALL_ENERGY / scales.cost,
        fills=can_fill(p),
        channels=frame.channels,
        beams=first,
        skip=skip,
    )
    per_millijoule = scales.cost / scales.energy
    offloaded = jnp.where(found.infeasible, 0, fixed.mec_energy)
    return _Found(
        beams=found.beams,
        prices=natural_prices(
            p,
            needy,
            jnp.where(needy, found.work * scales.cost / scales.work + offloaded, 0),
            found.budget * per_millijoule,
            found.capacity * per_millijoule,
        ),
        worth=found.worth * scales.cost / slot,
        shared_energy=found.shared_energy * scales.cost,
        infeasible=found.infeasible,
        rounds=found.rounds,
    )


@pytree
class _Search:
    """State of the portable search."""

    beams: Complex[Array, "N K M"]
    best: Complex[Array, "N M"]
    """best beams at the last prices"""
    times: Float[Array, "N K"]
    """s"""
    prices: Prices
    """prices of the best bound"""
    worth: Float[Array, " N"]
    bound: Float[Array, ""]
    value: Float[Array, ""]
    energy: Float[Array, ""]
    infeasible: Bool[Array, ""]
    rounds: Int[Array, ""]
    done: Bool[Array, ""]


def _search_portably(
    problem: AllocationProblem,
    frame: Frame,
    first: Complex[Array, "N K M"],
    skip: Bool[Array, ""] | None,
    *,
    scheme: Scheme,
    served: Bool[Array, " N"] | None,
) -> _Found:
    """The same search in pure JAX."""
    parameters = problem.parameters
    limits = tolerances(problem.workload.dtype)
    harvest, snr = _harvest_per_gain(problem), _reflected_snr(problem)

    def improve(search: _Search) -> _Search:
        offered = allocation_problem(
            parameters,
            frame,
            search.beams,
            scheme=scheme,
            served=served,
            battery_value=problem.battery_value,
        )
        solution, times = solve_beam_times(offered, skip=search.done)
        prices = solution.prices
        solved, blocked = solution.status == OPTIMAL, solution.status == INFEASIBLE
        offload_price = jnp.maximum(prices.workload - jnp.where(blocked, 0, parameters.mec_energy), 0)
        best, worth = best_beams(
            frame.channels,
            (harvest * prices.budget[:, None]).T,
            offload_price * parameters.bandwidth / jnp.log(2.0),
            snr,
        )
        proved = blocked & (infeasibility_margin(problem, prices, worth) > limits.proof)
        bound = jnp.where(solved, lower_bound(problem, prices, worth), -jnp.inf)
        better = proved | (bound > search.bound)
        value = jnp.minimum(search.value, solution.value)
        energy = jnp.where(solution.value < search.value, solution.energy, search.energy)
        closed = (
            relative_gap(energy, value, jnp.maximum(bound, search.bound)) <= BEAM_GAP_PER_GAP * limits.gap
        )
        done = proved | (jnp.isfinite(value) & closed)
        least_used = jnp.argmin(times, axis=-1)
        put = jax.vmap(lambda old, k, new: old.at[k].set(new))
        # A long search keeps losing beams that it needs; their merged beam stands in for them.
        merge = solved & ((search.rounds + 1) % MERGE_ROUNDS == 0)
        used_more = jnp.argmin(times.at[jnp.arange(len(times)), least_used].set(jnp.inf), axis=-1)
        single = _single_beams(frame.channels, search.beams, times, best, prices, harvest, snr)
        merged = jnp.where(merge, put(search.beams, used_more, single), search.beams)
        renewed = put(merged, least_used, best)
        return _Search(
            beams=jnp.where(done, search.beams, renewed),
            best=best,
            times=times,
            prices=jax.tree.map(lambda new, old: jnp.where(better, new, old), prices, search.prices),
            worth=jnp.where(better, worth, search.worth),
            bound=jnp.maximum(bound, search.bound),
            value=value,
            energy=energy,
            infeasible=proved,
            rounds=search.rounds + 1,
            done=done,
        )

    none = jnp.zeros_like(problem.workload)
    number = jnp.zeros((), none.dtype)
    begin = _Search(
        beams=first,
        best=first[:, 0],
        times=jnp.zeros(first.shape[:2], none.dtype),
        prices=Prices(workload=none, budget=none, capacity=none),
        worth=none,
        bound=number - jnp.inf,
        value=number + jnp.inf,
        energy=number + jnp.inf,
        infeasible=jnp.zeros((), bool),
        rounds=jnp.zeros((), jnp.int32),
        done=jnp.zeros((), bool) if skip is None else skip,
    )
    end = jax.lax.while_loop(lambda search: ~search.done & (search.rounds < MAX_ROUNDS), improve, begin)
    single = _single_beams(frame.channels, end.beams, end.times, end.best, end.prices, harvest, snr)
    return _Found(
        beams=jnp.where(end.infeasible, end.best, single),
        prices=end.prices,
        worth=end.worth,
        shared_energy=end.energy,
        infeasible=end.infeasible,
        rounds=end.rounds,
    )


def _single_beams(
    channels: Complex[Array, "N M"],
    beams: Complex[Array, "N K M"],
    times: Float[Array, "N K"],
    best: Complex[Array, "N M"],
    prices: Prices,
    harvest: Float[Array, "N N"],
    snr: Float[Array, " N"],
) -> Complex[Array, "N M"]:
    """One beam per slot, (N, M), in place of those that share its time; ``best`` if the slot is not used."""
    total = jnp.sum(times, axis=-1, keepdims=True)
    shares = times / jnp.where(total > 0, total, 1)
    gains = jnp.einsum("ik,jik->ij", shares, jnp.abs(jnp.einsum("ja,ika->jik", channels.conj(), beams)) ** 2)
    # Value of the gains per slot and user: a user for whom a gain has no value may lose it.
    worth = gains * (harvest * prices.budget[:, None]).T + jnp.diag(
        jnp.diagonal(gains) * snr * prices.workload
    )
    wanted = jnp.where(worth > 1e-9 * jnp.max(worth, axis=-1, keepdims=True), gains, 0)
    guess = principal_vectors(jnp.einsum("ik,ika,ikb->iab", shares, beams, beams.conj()))
    found = jax.vmap(single_beam, in_axes=(None, 0, 0, 0, 0))(channels, wanted, shares, beams, guess)
    return jnp.where(total > 1e-9, found, best)
