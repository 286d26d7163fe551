"""Plans for a frame that is known in distribution only, compared on samples that none of them was made for.

All plans are beams and their times; users decide when they know the truth. Each kind of plan offers several,
of which one is chosen in each frame by its mean reward on samples. Then it is played on other samples of the
same frame, so that its reward, energy and outage are expectations, not those of one draw.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Complex, Float

from scattermec import price_net
from scattermec.errors import InputError
from scattermec.experiments.measure.possible import (
    Possible,
    parameters_under,
    play_plan,
    sample_truths,
)
from scattermec.experiments.measure.statistics import ratio_interval
from scattermec.experiments.measure.table import Table
from scattermec.optimisation.sampled import PRICES, shared_plans
from scattermec.physics import Allocation, Frame, Parameters
from scattermec.price_net.modes import plan_frames
from scattermec.price_net.registry import Policy, check_fit
from scattermec.scenario import Scenario

MARGIN, SAMPLED, NETWORK = "flat margin", "sampled optimum", "price-net-robust"
"""Kinds of plans: the optimum for what is expected, with a margin; `scattermec.optimisation.sampled`; a
policy that is shipped."""

EITHER = "the better of both"
"""The plan of the first two kinds that is best on samples."""

PLANNING, CHOOSING, PLAYING = 101, 102, 103
"""Folded into a frame's key for the samples that plans are made for, chosen by, and played on."""

CHOSEN_BY, HELD_OUT = 256, 256
"""Samples per frame that plans are chosen by, and played on."""

STRETCHED = (1.0, 1.05, 1.15)
"""Factors on the times of the sampled optimum: what just suffices for its samples may not for others."""

Beams = tuple[Complex[Array, "... N M"], Float[Array, "... N"]]
"""Plans: beams, and times in s."""


class Expected(NamedTuple):
    """Means over samples, arrays of one number per frame."""

    reward: Any
    """kbit/J, (11)"""
    energy: Any
    """J"""
    outage: Any
    """share of users"""


def compare_plans(
    scenario: Scenario,
    found: Possible,
    *,
    samples: int,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Expected]:
    """What each kind of plan achieves on the frames of ``found``; `NETWORK` only where it may act.

    Args:
        scenario: the constants, except for the errors.
        found: the frames, what is known of them, and their limits.
        samples: S truths per frame that the sampled optimum is made for.
        progress: called with (done, total) frames.

    Raises InputError if the solver is not installed.
    """
    late, frames, keys = found.condition.late, found.frames, found.keys
    parameters = parameters_under(scenario, found.condition)
    beams, allocations = found.plans
    kinds = {MARGIN: (beams, allocations.t_passive)}
    kinds[SAMPLED] = _sampled_plans(late, parameters, keys, frames.seen, samples, progress)
    policy = price_net.load(NETWORK)
    if not _unfit(policy, scenario):
        plan = plan_frames(policy.network, parameters, found.condition.knowledge, frames.seen)
        kinds[NETWORK] = plan.beams[:, None], plan.t_passive[:, None]
    plans = jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=1), *kinds.values())
    chosen_by, played = (
        _expected(parameters, _truths(late, count, parameters, _folded(keys, stage), frames.seen), plans)
        for stage, count in ((CHOOSING, CHOSEN_BY), (PLAYING, HELD_OUT))
    )
    ends = np.cumsum([times.shape[1] for _, times in kinds.values()])
    among = {
        kind: range(end)[-times.shape[1] :]
        for end, (kind, (_, times)) in zip(ends, kinds.items(), strict=True)
    }
    among[EITHER] = range(among[SAMPLED].stop)
    result = {}
    for kind, numbers in among.items():
        best = numbers.start + np.argmax(chosen_by.reward[:, numbers.start : numbers.stop], axis=1)
        result[kind] = Expected(*(np.asarray(part)[np.arange(len(keys)), best] for part in played))
    return result


def _unfit(policy: Policy, scenario: Scenario) -> bool:
    try:
        check_fit(policy, scenario)
    except InputError:
        return True
    return False


def _folded(keys: Array, stage: int) -> Array:
    return jax.vmap(lambda key: jax.random.fold_in(key, stage))(keys)


def _sampled_plans(
    late: bool,
    parameters: Parameters,
    keys: Array,
    seen: Frame,
    samples: int,
    progress: Callable[[int, int], None] | None,
) -> Beams:
    truths = _truths(late, samples, parameters, _folded(keys, PLANNING), seen)
    frames, users, antennas = seen.channels.shape
    # No beams at all, where there are fewer plans.
    most = len(PRICES) * users
    beams, times = np.zeros((frames, most, users, antennas), complex), np.zeros((frames, most, users))
    for k in range(frames):
        for i, plan in enumerate(shared_plans(parameters, jax.tree.map(lambda leaf, k=k: leaf[k], truths))):
            beams[k, i], times[k, i] = plan.beams, plan.t_passive
        if progress is not None:
            progress(k + 1, frames)
    slot = np.asarray(parameters.slot_duration)
    stretched = [np.minimum(factor * times, slot) for factor in STRETCHED]
    return jnp.tile(jnp.asarray(beams), (1, len(STRETCHED), 1, 1)), jnp.concatenate(stretched, axis=1)


@partial(jax.jit, static_argnums=(0, 1))
def _truths(late: bool, samples: int, parameters: Parameters, keys: Array, seen: Frame) -> Frame:
    return jax.vmap(lambda key, one: sample_truths(key, parameters, one, samples, late=late))(keys, seen)


@jax.jit
def _expected(parameters: Parameters, truths: Frame, plans: Beams) -> Expected:
    """What each of P plans achieves on the S samples of each of K frames, (K, P)."""

    def of_plan(truths: Frame, plan: Beams) -> Expected:
        beams, times = plan
        nothing = jnp.zeros_like(times)
        told = Allocation(
            t_active=nothing,
            t_passive=times,
            t_local=nothing,
            l_active=nothing,
            l_passive=nothing,
            l_local=nothing,
        )
        outcomes = jax.vmap(partial(play_plan, parameters), in_axes=(0, None, None))(truths, beams, told)
        played = outcomes["repair"]
        outage = 1 - jnp.mean(played.success.astype(float))
        return Expected(jnp.mean(played.ap_reward), jnp.mean(played.ap_energy), outage)

    return jax.vmap(lambda truths, plans: jax.lax.map(partial(of_plan, truths), plans))(truths, plans)


def plans_table(found: Mapping[str, tuple[Possible, Mapping[str, Expected]]], samples: int) -> Table:
    """What kinds of plans achieve if users decide on the truth, by condition."""
    rows = []
    for condition, (one, kinds) in found.items():
        for kind, expected in kinds.items():
            share = ratio_interval(expected.reward, one.clairvoyant)
            gain = ratio_interval(expected.reward, kinds[MARGIN].reward)
            rows.append(
                (
                    f"{condition}; {kind}",
                    f"{share:.1%}",
                    "-" if kind == MARGIN else f"{gain:.3f}",
                    f"{one.share_of_possible(expected.reward).mean:.1%}",
                    f"{expected.energy.mean():.3g}",
                    f"{expected.outage.mean():.1%}",
                )
            )
    frames = len(next(iter(found.values()))[0].clairvoyant)
    return Table(
        title="Plans for samples of the truth",
        note=f"Users decide on the truth. Means over {HELD_OUT} held-out samples of each of {frames:,} "
        "frames, as shares of the optimum that knows everything, with 95% intervals over frames. The sampled "
        f"optimum is made for {samples} other samples.",
        columns=(
            "known to the AP; plan",
            "share",
            "times flat margin",
            "of the limit",
            "energy, J",
            "outage",
        ),
        rows=tuple(rows),
    )
