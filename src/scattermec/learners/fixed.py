"""Policies that do not learn, with the interface of those that do; every table compares learners with them.

A policy decides for a batch of frames from the AP's observations. The references, which are optimal, come
with a certificate.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float

from scattermec._programs import kept_jit
from scattermec._pytree import pytree
from scattermec.environment import Decision, EnvState, as_seen
from scattermec.errors import InputError
from scattermec.optimisation import (
    NOT_CONVERGED,
    estimate_allocation,
    optimise_all_or_best,
    optimise_service_frames,
)
from scattermec.physics import Frame, Parameters, maximum_ratio_beams
from scattermec.physics.channel import Key, complex_normal
from scattermec.physics.links import unit_vectors

__all__ = ["FIXED", "REFERENCES", "BatchPolicy", "Reference", "fixed_policy", "reference"]

BatchPolicy = Callable[[Key, EnvState], Decision]
"""Maps a key and R frames (leading axis of every leaf) to R decisions (same axis). Not for use inside jit."""

FIXED = {
    "random": "Beams drawn uniformly from the unit sphere, with the AP's estimate (P1)",
    "mrt": "Beams along each user's own channel, with the AP's estimate (P1)",
    "optimum": "Jointly optimal beams and allocation, everyone served where that is possible",
    "best-set": "Jointly optimal beams and allocation for the users that maximise the reward",
}
"""The policies that `fixed_policy` makes, with descriptions."""

REFERENCES = ("optimum", "best-set")
"""Policies that are optimal for the current frame; they need a linear rectifier."""

SETTLED_GAP = 1e-4
"""A best set is settled if its reward is within this relative distance of its upper bound."""


@pytree
class Reference:
    """The optimal decisions for R frames, with their certificates."""

    decision: Decision
    achieved: Float[Array, " R"]
    """optimum: energy in J; best set: reward in kbit/J"""
    bound: Float[Array, " R"]
    """optimum: lower bound in J on the energy for the same users; best set: upper bound in kbit/J on the
    reward for any users (infinite for more than 6 users)"""
    settled: Bool[Array, " R"]
    """optimum: everyone is served, or that is proved impossible for all beams and allocations; best set: the
    reward meets its bound to 1e-4"""


def fixed_policy(name: str, parameters: Parameters) -> BatchPolicy:
    """The policy of that name in `FIXED`.

    Raises InputError for an unknown name, and for one of `REFERENCES` if the rectifier is not linear.
    """
    if name not in FIXED:
        raise InputError([f"policy: {name!r} is not known; choose from {', '.join(FIXED)}"])
    if name in REFERENCES:
        if parameters.harvest_model != "linear":
            raise InputError(
                [
                    f"harvest_model: {parameters.harvest_model!r} is not allowed with the policy {name}; "
                    f"it must be 'linear', or choose random or mrt"
                ]
            )
        return lambda key, states: reference(name, parameters, as_seen(states).frame).decision
    return partial(_estimate_for, name == "random", parameters)


def reference(name: str, parameters: Parameters, frames: Frame) -> Reference:
    """The optimal decisions for R frames (leading axis), in the sense of one of `REFERENCES`.

    Not for use inside jit. If serving everyone is neither solved nor proved impossible, the optimum serves
    the best set.
    """
    if name == "optimum":
        found, status = optimise_all_or_best(parameters, frames)
        achieved, bound = found.energy, found.lower_bound
        settled = jnp.asarray(np.asarray(status) != NOT_CONVERGED)
    else:
        service = optimise_service_frames(parameters, frames)
        found, achieved, bound = service.best, service.reward, service.reward_bound
        settled = bound <= achieved * (1 + SETTLED_GAP)
    decision = Decision(beams=found.beams, allocation=found.solution.allocation)
    return Reference(decision=decision, achieved=achieved, bound=bound, settled=settled)


@partial(kept_jit, static_argnums=(0,))
def _estimate_for(random: bool, parameters: Parameters, key: Key, states: EnvState) -> Decision:
    """Beams chosen independently of the allocation, and the AP's estimated allocation for them."""

    def decide(key: Key, frame: Frame) -> Decision:
        if random:
            shape, dtype = frame.channels.shape, frame.workload.dtype
            beams = unit_vectors(complex_normal(key, shape, dtype))
        else:
            beams = maximum_ratio_beams(frame.channels)
        return Decision(beams=beams, allocation=estimate_allocation(parameters, frame, beams).allocation)

    frames = as_seen(states).frame
    return jax.vmap(decide)(jax.random.split(key, len(frames.workload)), frames)
