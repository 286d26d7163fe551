"""What is possible without knowing: for each kind of knowledge, a bound on all policies and the best found.

A condition says what the access point does not know of a frame. Batteries it always knows. Frames are
independent: the first ones of episodes, without backlog, so that their distribution given what is seen is
known (`scattermec.physics.posterior`).
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Complex, Float

from scattermec._pytree import pytree
from scattermec.environment import reset
from scattermec.errors import InputError
from scattermec.experiments.measure.conditions import Condition
from scattermec.experiments.measure.statistics import Estimate, mean_interval, ratio_interval
from scattermec.experiments.measure.table import Table
from scattermec.experiments.measure.unknown import (
    NUM_CELLS,
    Cells,
    bound_rewards,
    cells_of_density,
    cells_of_outcomes,
)
from scattermec.optimisation import optimise_all_or_best, optimise_service_frames
from scattermec.optimisation.response import broadcaster, respond
from scattermec.physics import (
    Allocation,
    Frame,
    Outcome,
    Parameters,
    links,
    parameters_of,
    posterior,
    run_frame,
    with_margin,
)
from scattermec.physics.channel import Key
from scattermec.physics.parameters import harvest_faults
from scattermec.physics.posterior import ChannelPrior
from scattermec.scenario import Scenario

MOST_USERS = 4
"""Thresholds are searched for in as many dimensions."""


@pytree
class Observed:
    """A frame, and what the AP knows of it."""

    truth: Frame
    seen: Frame
    """channels and workload as observed; late channels are those of the frame before"""


def parameters_under(scenario: Scenario, condition: Condition) -> Parameters:
    """The scenario's constants with the condition's errors."""
    changes = {"csi_error": condition.csi_error, "workload_error": condition.workload_error}
    if condition.correlation is not None:
        changes["correlation"] = condition.correlation
    return parameters_of(Scenario(**(scenario.model_dump() | changes)))


def observe(key: Key, parameters: Parameters, *, late: bool) -> Observed:
    """Draw a frame, and what the AP sees of it; if ``late``, the channels of the frame before."""
    key_frame, key_before, _ = jax.random.split(key, 3)
    state = reset(key_frame, parameters)
    truth = state.frame
    channels = state.observed_channels
    if late:
        # The process is reversible: the frame before is distributed like the one after.
        before = posterior.sample_after(key_before, parameters, truth, 1)
        channels = before.channels[0]
    seen = Frame(channels=channels, workload=state.observed_workload, battery=truth.battery)
    return Observed(truth=truth, seen=seen)


@partial(jax.jit, static_argnums=1)
def observe_frames(parameters: Parameters, late: bool, keys: Array) -> Observed:
    """`observe` for each of K keys."""
    return jax.vmap(lambda key: observe(key, parameters, late=late))(keys)


def prior_of(parameters: Parameters, late: bool, seen: Frame) -> ChannelPrior:
    """Distribution of the channels without their observation in this frame."""
    if late:
        return posterior.channel_prior_after(parameters, seen.channels)
    return posterior.channel_prior(parameters)


GRID = 2001
"""Points of the grid of strengths."""


def cells_of(parameters: Parameters, condition: Condition, frames: Observed) -> Cells:
    """Cells of what the AP is not told in the bound: the strength of channels, or else the workload."""
    truth = jax.tree.map(np.asarray, frames.truth)
    strength = np.linalg.norm(truth.channels, axis=-1)
    if condition.csi_error or condition.late:
        grid = _grid(parameters, condition.late, frames)
        directions = frames.truth.channels / strength[:, :, None]
        density = _densities(parameters, condition.late, frames.seen, directions, grid)
        return cells_of_density(np.asarray(grid), np.asarray(density), truth.workload)
    if condition.workload_error:
        work, weights = map(np.asarray, _outcomes(parameters, frames.seen.workload))
        return cells_of_outcomes(work, weights, strength)
    shape = (len(strength), NUM_CELLS, strength.shape[1])
    known = np.zeros(shape)
    known[:, -1] = 1
    same = np.broadcast_to(truth.workload[:, None], shape)
    return Cells(known, np.broadcast_to(strength[:, None], shape), same, same, same)


_outcomes = jax.jit(jax.vmap(posterior.workload_outcomes, in_axes=(None, 0), out_axes=1))


@partial(jax.jit, static_argnums=1)
def _grid(parameters: Parameters, late: bool, frames: Observed) -> Float[Array, "G K N"]:
    """Even grids of strengths, far beyond what is likely."""

    def ends(seen: Frame, truth: Frame) -> tuple[Array, Array]:
        prior = prior_of(parameters, late, seen)
        size = jnp.sqrt(links.channel_gain(truth.channels))
        spread = jnp.sqrt(prior.variance)
        if not late:
            error = parameters.csi_error
            width = jnp.sqrt(links.channel_gain(seen.channels) / seen.channels.shape[-1])
            spread = jnp.minimum(spread, error * width * (1 + 2 * error))
        return jnp.maximum(size - 8 * spread, size * 1e-3), size + 8 * spread

    low, high = jax.vmap(ends)(frames.seen, frames.truth)
    return jnp.linspace(low, high, GRID)


@partial(jax.jit, static_argnums=1)
def _densities(
    parameters: Parameters,
    late: bool,
    seen: Frame,
    directions: Complex[Array, "K N M"],
    grid: Float[Array, "G K N"],
) -> Float[Array, "G K N"]:
    def of_frame(seen: Frame, directions: Array, strength: Array) -> Array:
        prior = prior_of(parameters, late, seen)
        observed = None if late else seen.channels
        return posterior.log_density_of_strength(parameters, prior, directions, observed, strength)

    at_points = jax.vmap(of_frame, in_axes=(None, None, 0))
    return jax.vmap(at_points, in_axes=(0, 0, 1), out_axes=1)(seen, directions, grid)


MARGINS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.45, 0.6)
"""Candidates of the best plan found: channels weaker, or work more, by so much than expected."""


@dataclasses.dataclass(frozen=True)
class Possible:
    """What is possible under a condition, on K independent frames; rewards (11) in kbit/J, (K,) each."""

    condition: Condition
    keys: Array
    """of the K frames"""
    frames: Observed
    """the frames (leading axis K), on which any policy can be played"""
    plans: tuple[Complex[Array, "K P N M"], Allocation]
    """beams and allocations of the optimum for what is expected, with each of `MARGINS`"""
    clairvoyant: Float[np.ndarray, " K"]
    """certified bound on the reward with everything known"""
    bound: Mapping[str, Float[np.ndarray, " K"]]
    """bound on the expected reward given what is known in the frame; by whether users repair, see `USERS`"""
    reward: Mapping[str, Float[np.ndarray, " K"]]
    """reward of the best plan found"""
    energy: Mapping[str, Float[np.ndarray, " K"]]
    """J of the AP, for that plan"""
    outage: Mapping[str, Float[np.ndarray, " K"]]
    """share of users in outage, for that plan"""

    def bound_estimate(self, users: str = "repair") -> Estimate:
        """Mean bound in kbit/J with its 95% interval over frames."""
        return mean_interval(self.bound[users])

    def achieved_estimate(self, users: str = "repair") -> Estimate:
        """Mean reward of the best plan found in kbit/J with its 95% interval."""
        return mean_interval(self.reward[users])

    def share_of_possible(self, rewards: Float[np.ndarray, " K"], users: str = "repair") -> Estimate:
        """Share of the bound that a policy with these rewards on `frames` reaches, with its interval."""
        return ratio_interval(rewards, self.bound[users])


USERS = {"repair": "users decide on the truth", "follow": "users follow the plan"}
"""What users do: decide when they know the true channels, work and harvest, or execute the AP's plan."""


def possible(
    scenario: Scenario,
    condition: Condition,
    *,
    frames: int,
    samples: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> Possible:
    """Bound what any policy can reach under a condition, and find a good plan under it.

    The bound is that of `scattermec.experiments.measure.unknown`: its mean over frames is, but for the draw
    of the frames, at least the mean reward of every policy whose beams and their times depend on what the AP
    sees alone. The plan found is optimal for what is expected with one of `MARGINS`, chosen in each frame by
    the mean reward over samples of what the truth may be.

    Args:
        scenario: the constants, except for the errors.
        condition: what is not known.
        frames: K, independent.
        samples: S truths per frame that the choice of a plan sees.
        seed: of everything drawn.
        progress: called with (done, total).

    Raises InputError for a scenario that does not fit.
    """
    check_scenario(scenario)
    parameters = parameters_under(scenario, condition)
    keys = _keys(seed, frames)
    drawn = observe_frames(parameters, condition.late, keys)
    bound = {
        users: _bounds(parameters, condition, drawn, users, progress if users == "repair" else None)
        for users in USERS
    }
    plans = _margin_plans(parameters, condition, drawn)
    played = _choose_and_play(samples, condition.late, parameters, keys, drawn, *plans)
    reward, energy, outage = (dict(zip(USERS, map(np.asarray, part), strict=True)) for part in played)
    return Possible(
        condition, keys, drawn, plans, _clairvoyant(parameters, drawn), bound, reward, energy, outage
    )


def limit(
    scenario: Scenario,
    condition: Condition,
    *,
    frames: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> Estimate:
    """Bound for users that repair, as in `possible`, as a share of the best set's reward with all known."""
    check_scenario(scenario)
    parameters = parameters_under(scenario, condition)
    drawn = observe_frames(parameters, condition.late, _keys(seed, frames))
    bound = _bounds(parameters, condition, drawn, "repair", progress)
    return ratio_interval(bound, _clairvoyant(parameters, drawn))


def _keys(seed: int, frames: int) -> Array:
    return jax.random.split(jax.random.fold_in(jax.random.key(seed), KEY), frames)


def _bounds(
    parameters: Parameters,
    condition: Condition,
    drawn: Observed,
    users: str,
    progress: Callable[[int, int], None] | None,
) -> Float[np.ndarray, " K"]:
    channels = np.asarray(drawn.truth.channels)
    return bound_rewards(
        parameters,
        channels / np.linalg.norm(channels, axis=-1, keepdims=True),
        np.asarray(drawn.truth.battery),
        cells_of(parameters, condition, drawn),
        repair=users == "repair",
        progress=progress,
    )


def _clairvoyant(parameters: Parameters, drawn: Observed) -> Float[np.ndarray, " K"]:
    return np.asarray(optimise_service_frames(parameters, drawn.truth).reward_bound)


KEY = 17
"""Folded into the seed's key, so that the draws differ from those of an evaluation."""


def check_scenario(scenario: Scenario) -> None:
    """Raise InputError unless distributions are known and P2 is convex in this scenario."""
    faults = harvest_faults(scenario, "where the bound is wanted")
    for name in ("fading", "arrivals"):
        if getattr(scenario, name) == "file":
            faults.append(
                f"{name}: 'file' is not allowed where the bound is wanted; its distribution is unknown"
            )
    if scenario.num_users > MOST_USERS:
        faults.append(
            f"user_positions: {scenario.num_users} users are not allowed where the bound is wanted; "
            f"there must be at most {MOST_USERS}"
        )
    if faults:
        raise InputError(faults)


def _margin_plans(
    parameters: Parameters, condition: Condition, frames: Observed
) -> tuple[Complex[Array, "K P N M"], Allocation]:
    """Beams and allocations of the optimum for what is expected in each frame, with each of `MARGINS`."""
    expected = _expected(parameters, condition.late, frames.seen)
    plans = []
    for margin in MARGINS:
        if condition.workload_error:
            heavier = dataclasses.replace(expected, workload=expected.workload * (1 + margin))
            plan = optimise_all_or_best(parameters, heavier)[0]
        else:
            plan = optimise_all_or_best(with_margin(parameters, margin), expected)[0]
        plans.append((plan.beams, plan.solution.allocation))
    return jax.tree.map(lambda *leaves: jnp.stack(leaves, axis=1), *plans)


@partial(jax.jit, static_argnums=1)
def _expected(parameters: Parameters, late: bool, seen: Frame) -> Frame:
    """The frames as expected: late channels fade towards their mean, workloads are between seen and usual."""
    if not late:

        def mean_work(observed: Float[Array, " N"]) -> Float[Array, " N"]:
            work, weights = posterior.workload_outcomes(parameters, observed)
            return jnp.sum(jax.nn.softmax(weights, axis=0) * work, axis=0)

        return dataclasses.replace(seen, workload=jax.vmap(mean_work)(seen.workload))
    means = jax.vmap(lambda frame: prior_of(parameters, late, frame).mean)(seen)
    return dataclasses.replace(seen, channels=means)


@partial(jax.jit, static_argnums=(0, 1))
def _choose_and_play(
    samples: int,
    late: bool,
    parameters: Parameters,
    keys: Array,
    frames: Observed,
    beams: Complex[Array, "K P N M"],
    allocations: Allocation,
) -> tuple[Array, Array, Array]:
    def of_frame(key: Key, observed: Observed, beams: Array, plans: Allocation) -> tuple[Array, Array, Array]:
        truths = sample_truths(key, parameters, observed.seen, samples, late=late)

        def on_samples(beams: Array, plan: Allocation) -> Float[Array, " 2"]:
            """Mean reward of a plan, by what users do."""
            outcomes = jax.vmap(partial(play_plan, parameters), in_axes=(0, None, None))(truths, beams, plan)
            return jnp.stack([jnp.mean(outcomes[users].ap_reward) for users in USERS])

        best = jnp.argmax(jax.vmap(on_samples)(beams, plans), axis=0)
        outcomes = [
            play_plan(parameters, observed.truth, beams[i], jax.tree.map(lambda leaf, i=i: leaf[i], plans))[
                users
            ]
            for users, i in zip(USERS, best, strict=True)
        ]
        outage = [1 - jnp.mean(outcome.success.astype(float)) for outcome in outcomes]
        reward, energy = ([getattr(one, name) for one in outcomes] for name in ("ap_reward", "ap_energy"))
        return jnp.stack(reward), jnp.stack(energy), jnp.stack(outage)

    return jax.vmap(of_frame, out_axes=1)(keys, frames, beams, allocations)


def sample_truths(key: Key, parameters: Parameters, seen: Frame, samples: int, *, late: bool) -> Frame:
    """S frames that may be the true one, each as likely, given what the AP sees."""
    # Of the three keys of a frame, `observe` uses the others.
    *_, key = jax.random.split(key, 3)
    if late:
        return posterior.sample_after(key, parameters, seen, samples)
    return posterior.sample_truth(key, parameters, seen, samples)


def play_plan(
    parameters: Parameters, truth: Frame, beams: Complex[Array, "N M"], plan: Allocation
) -> dict[str, Outcome]:
    """Play beams and their times on the truth: users decide by themselves or follow the plan, see `USERS`."""
    told = broadcaster(parameters, truth, links.unit_beams(beams, truth.channels))(plan.t_passive)
    gain = links.channel_gain(truth.channels)
    repaired = respond(parameters, gain, truth.workload, truth.battery, told, margin=ROUNDING).allocation
    return {
        "repair": run_frame(parameters, truth, beams, repaired),
        "follow": run_frame(parameters, truth, beams, plan),
    }


ROUNDING = 1e-6
"""Share of their energy that users keep when they know their harvest."""


def knowledge_table(found: Mapping[str, Possible], command: str = "") -> Table:
    """What each piece of knowledge is worth: bounds and the best plans found, by condition and by `USERS`."""
    first = next(iter(found.values()))
    best = first.clairvoyant.mean()
    rows = []
    for condition, one in found.items():
        for users, label in USERS.items():
            limit = ratio_interval(one.bound[users], one.clairvoyant)
            reached = ratio_interval(one.reward[users], one.clairvoyant)
            rows.append(
                (
                    f"{condition}; {label}",
                    f"{limit:.1%}",
                    f"{reached:.1%}",
                    f"{one.share_of_possible(one.reward[users], users).mean:.1%}",
                    f"{one.energy[users].mean():.3g}",
                    f"{one.outage[users].mean():.1%}",
                )
            )
    return Table(
        title="What knowledge is worth",
        note=f"Shares of the optimum that knows everything, {best:.4g} kbit/J, with 95% intervals over "
        f"{len(first.clairvoyant):,} independent frames. No policy with this knowledge exceeds the limit; "
        "the best plan found is the optimum for what is expected, with the margin that is best on samples of "
        "what the truth may be.",
        columns=("known to the AP", "limit", "best plan found", "of the limit", "energy, J", "outage"),
        rows=tuple(rows),
        command=command,
    )
