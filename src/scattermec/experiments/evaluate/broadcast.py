"""Results of price-net when its broadcast is rounded, late or lost.

Each independent unit is the second frame of an episode. The first frame is played with a perfect broadcast,
which is the one that arrives late; all variants meet the same second frames.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Complex, Float

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
    first, second, lost = _two_frames(policy.network, parameters, keys)
    best, _ = optimise_all_or_best(parameters, second)
    optimum = _outcomes(parameters, second, best.beams, best.solution.allocation)
    parts = {("optimum", "exact"): optimum}
    for mode in ANNOUNCEMENTS:
        announce = partial(_announce, mode)
        _, before = announce(False, policy.network, parameters, first)
        beams, told = announce(False, policy.network, parameters, second)
        _, few = announce(True, policy.network, parameters, second)
        sent_and_heard = {
            "exact": (told, told),
            "rounded": (few, few),
            "late": (told, before),
            "lost": (told, jax.vmap(heard_by)(~lost, told, before)),
        }
        for variant in VARIANTS:
            parts[mode, variant] = _hear(parameters, second, beams, *sent_and_heard[variant])
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
def _two_frames(network: PriceNet, parameters: Parameters, keys: Array) -> tuple[Frame, Frame, Array]:
    """The first and the second frame of each episode, and (K, N) who misses the second broadcast."""

    def of_episode(key: Key) -> tuple[Frame, Frame, Array]:
        key_first, key_second, key_lost = jax.random.split(key, 3)
        state = reset(key_first, parameters)
        first = state.frame
        decision = decentralised(network, parameters, first)
        second = step(key_second, state, decision.beams, decision.allocation, parameters)[0].frame
        users = len(first.workload)
        return first, second, jnp.arange(users) == jax.random.randint(key_lost, (), 0, users)

    return jax.vmap(of_episode)(keys)


# One program for each announcement: one for all of them takes half as long again to compile.
@partial(kept_jit, static_argnums=(0, 1))
def _announce(
    mode: str, coarse: bool, network: PriceNet, parameters: Parameters, frames: Frame
) -> tuple[Complex[Array, "K N M"], Broadcast]:
    """Beams and broadcasts of a mode in K frames, rounded if ``coarse``."""
    rule = partial(ANNOUNCEMENTS[mode], network, parameters, rounded=ROUNDING if coarse else None)
    return jax.vmap(rule)(frames)


@kept_jit
def _hear(parameters: Parameters, frames: Frame, beams: Array, sent: Broadcast, heard: Broadcast) -> _Played:
    """What K frames come to if users act on what they have heard, and the AP on what it has sent."""

    def play(frame: Frame, beams: Array, sent: Broadcast, heard: Broadcast) -> _Played:
        return _outcome(parameters, frame, beams, respond_to_heard(parameters, frame, sent, heard))

    return jax.vmap(play)(frames, beams, sent, heard)


def _outcome(parameters: Parameters, frame: Frame, beams: Array, allocation: Allocation) -> _Played:
    outcome = run_frame(parameters, frame, beams, allocation)
    return _Played(reward=outcome.ap_reward, outage=1 - jnp.mean(outcome.success.astype(beams.real.dtype)))


_outcomes = jax.jit(jax.vmap(_outcome, in_axes=(None, 0, 0, 0)))
