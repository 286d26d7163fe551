"""Results of price-net when its broadcast is rounded, late or lost.

Each independent unit is the second frame of an episode. The first frame is played with a perfect broadcast,
which is the one that arrives late; all variants meet the same second frames.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from operator import itemgetter

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from scattermec._programs import kept_jit
from scattermec._pytree import pytree
from scattermec.environment import reset, step
from scattermec.experiments.measure.statistics import Estimate, mean_interval, ratio_interval
from scattermec.optimisation import optimise_all_or_best
from scattermec.optimisation.response import Broadcast
from scattermec.physics import Allocation, Frame, Parameters, parameters_of, run_frame
from scattermec.physics.channel import Key
from scattermec.price_net.modes import decentralised
from scattermec.price_net.policy import PriceNet, announce_network, announce_p1
from scattermec.price_net.registry import Policy, check_fit
from scattermec.price_net.robustness import ROUNDING, heard_by, respond_to_heard
from scattermec.scenario import Scenario

__all__ = ["ANNOUNCEMENTS", "VARIANTS", "RobustnessRow", "measure_robustness"]

ANNOUNCEMENTS = {"announced": announce_p1, "decentralised": announce_network}
"""The modes that have a broadcast."""

VARIANTS = {
    "exact": "exact",
    "rounded": "8 bits per number",
    "late": "one frame late",
    "lost": "lost for one user, who holds the last",
}

KEY = 3
"""Folded into the seed's key, so that the draws differ from those of an evaluation."""


@dataclass(frozen=True)
class RobustnessRow:
    """A mode with one kind of broadcast; for the optimum, neither."""

    mode: str
    variant: str
    reward: Estimate
    """kbit/J"""
    share: Estimate
    """of the optimum's mean reward; the optimum serves everyone where that is possible"""
    outage: Estimate


@pytree
class _Played:
    reward: Float[Array, ""]
    outage: Float[Array, ""]


def measure_robustness(policy: Policy, scenario: Scenario, *, frames: int, seed: int) -> list[RobustnessRow]:
    """Results for each mode and each of `VARIANTS` on ``frames`` frames, after those of the optimum.

    Raises InputError if the scenario does not fit.
    """
    check_fit(policy, scenario)
    parameters = parameters_of(scenario)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), KEY), frames)
    second, played = _play(policy.network, parameters, keys)
    best, _ = optimise_all_or_best(parameters, second)
    optimum = _outcomes(parameters, second, best.beams, best.solution.allocation)
    parts = {("optimum", "exact"): optimum}
    parts |= {(mode, variant): played[mode, variant] for mode in ANNOUNCEMENTS for variant in VARIANTS}
    return [
        RobustnessRow(
            mode=mode,
            variant=variant,
            reward=mean_interval(np.asarray(part.reward)),
            share=ratio_interval(np.asarray(part.reward), np.asarray(optimum.reward)),
            outage=mean_interval(np.asarray(part.outage)),
        )
        for (mode, variant), part in parts.items()
    ]


@kept_jit
def _play(
    network: PriceNet, parameters: Parameters, keys: Array
) -> tuple[Frame, dict[tuple[str, str], _Played]]:
    """The second frames, and the results of each mode and variant in them."""

    def of_episode(key: Key) -> tuple[Frame, dict[tuple[str, str], _Played]]:
        key_first, key_second, key_lost = jax.random.split(key, 3)
        state = reset(key_first, parameters)
        first = state.frame
        decision = decentralised(network, parameters, first)
        state, _ = step(key_second, state, decision.beams, decision.allocation, parameters)
        frame, users = state.frame, len(first.workload)
        loser = jax.random.randint(key_lost, (), 0, users)
        played = {}
        for mode, rule in ANNOUNCEMENTS.items():
            announce = jax.jit(rule, static_argnames="rounded")  # traced once for both frames
            before = announce(network, parameters, first)[1]
            beams, told = announce(network, parameters, frame)
            few = announce(network, parameters, frame, rounded=ROUNDING)[1]
            hears = {
                "exact": (told, told),
                "rounded": (few, few),
                "late": (told, before),
                "lost": (told, heard_by(jnp.arange(users) != loser, told, before)),
            }
            outcomes = jax.vmap(partial(_heard, parameters, frame, beams))(*_stacked(hears))
            for index, variant in enumerate(hears):
                played[mode, variant] = jax.tree.map(itemgetter(index), outcomes)
        return frame, played

    return jax.vmap(of_episode)(keys)


def _stacked(hears: Mapping[str, tuple[Broadcast, Broadcast]]) -> tuple[Broadcast, Broadcast]:
    """The broadcasts as sent and as heard in every variant, along a leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *hears.values())


def _heard(parameters: Parameters, frame: Frame, beams: Array, sent: Broadcast, heard: Broadcast) -> _Played:
    return _outcome(parameters, frame, beams, respond_to_heard(parameters, frame, sent, heard))


def _outcome(parameters: Parameters, frame: Frame, beams: Array, allocation: Allocation) -> _Played:
    outcome = run_frame(parameters, frame, beams, allocation)
    return _Played(reward=outcome.ap_reward, outage=1 - jnp.mean(outcome.success.astype(beams.real.dtype)))


_outcomes = jax.jit(jax.vmap(_outcome, in_axes=(None, 0, 0, 0)))
