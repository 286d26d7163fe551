"""Limits on given frames for all beams, allocations and choices of users, from certified bounds.

Leaving users out raises the energy efficiency, so efficiencies compare only at the same outage. The limit
here holds for all policies that serve at least as many users in total on these frames. Every subset of users
of every frame has a certified lower bound on its energy; the best choice of subsets is bounded by putting a
price on the number of users served.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float

from scattermec.experiments.measure.statistics import Estimate, ratio_interval
from scattermec.optimisation import Scheme, optimise_beams, service
from scattermec.physics import Frame, Parameters
from scattermec.physics.energy import idle_energy

ENOUGH = 60
"""Doublings and bisection steps of the price of a user: enough for the last digit."""


def can_be_limited(parameters: Parameters) -> bool:
    """Whether there are bounds for all beams, and the sets of users are few enough."""
    return parameters.harvest_model == "linear" and parameters.num_users <= service.ENUMERATED_USERS


def all_sets(num_users: int) -> Bool[np.ndarray, "S N"]:
    """Every set of users, from nobody to everyone."""
    nobody = np.zeros((1, num_users), bool)
    return np.concatenate([nobody, np.asarray(service.all_sets(num_users))[::-1]])


def energy_bounds(parameters: Parameters, frames: Frame, scheme: Scheme) -> Float[np.ndarray, "K S"]:
    """Lower bounds in J on the energy of serving each of `all_sets`, for all beams and allocations.

    Infinite if it is proved that no beams can serve the set.
    """
    _, *others = all_sets(parameters.num_users)
    idle = np.full(len(frames.workload), float(idle_energy(parameters)))
    found = [np.asarray(_bounds(scheme, parameters, frames, jnp.asarray(served))) for served in others]
    return np.stack([idle, *(np.where(np.isnan(bound), idle, bound) for bound in found)], axis=1)


@partial(jax.jit, static_argnums=0)
def _bounds(
    scheme: Scheme, parameters: Parameters, frames: Frame, served: Bool[Array, " N"]
) -> Float[Array, " K"]:
    def bound(frame: Frame) -> Array:
        return optimise_beams(parameters, frame, scheme=scheme, served=served).lower_bound

    return jax.vmap(bound)(frames)


def efficiency_limit(
    workload: Float[np.ndarray, "K N"], bounds: Float[np.ndarray, "K S"], served: Float[np.ndarray, " K"]
) -> Estimate:
    """Limit on the energy efficiency in kbit/J (sum of work over sum of energy) of any policy that serves as
    many users in total on these frames, with its interval over frames.

    Args:
        workload: kbit.
        bounds: J, from `energy_bounds`.
        served: number of users served in each frame by the policy to compare with.

    For any price z >= 0 in kbit per user, every choice of sets with at least that many users has
    work - limit * energy <= sum over frames of max over sets of (work - limit * bound + z (users - served)),
    and the limit is where the right side is 0. The price with the lowest limit is searched for.
    """
    sets = all_sets(workload.shape[1])
    users, work = sets.sum(axis=1), workload @ sets.T
    possible = np.isfinite(bounds)
    energy = np.where(possible, bounds, 0)
    rows = np.arange(len(workload))

    def best(price: float) -> np.ndarray:
        """The sets (K,) that maximise the right side at the limit for this price (Dinkelbach's method)."""
        limit = 0.0
        while True:
            worth = np.where(possible, work - limit * energy + price * users, -np.inf)
            chosen = np.argmax(worth, axis=1)
            spent = energy[rows, chosen].sum()
            gained = (work[rows, chosen] + price * (users[chosen] - served)).sum()
            if spent <= 0 or gained <= spent * limit * (1 + 1e-12):
                return chosen
            limit = float(gained / spent)

    def too_few(price: float) -> bool:
        return bool(users[best(price)].sum() < served.sum())

    low = high = 0.0
    if too_few(0.0):
        high = 1.0
        for _ in range(ENOUGH):
            if not too_few(high):
                break
            low, high = high, 2 * high
        for _ in range(ENOUGH):
            middle = (low + high) / 2
            low, high = (middle, high) if too_few(middle) else (low, middle)
    chosen = best(high)
    spent = energy[rows, chosen]
    if not spent.sum() > 0:
        return Estimate(np.inf, np.inf, np.inf)  # everything done costs the AP nothing
    return ratio_interval(work[rows, chosen] + high * (users[chosen] - served), spent)


def energy_over_bound(
    energy: Float[np.ndarray, " K"], bounds: Float[np.ndarray, "K S"], everyone: Bool[np.ndarray, " K"]
) -> Estimate:
    """Energy over the lower bound for serving everyone with any beams, on the frames that serve everyone."""
    if not everyone.any():
        return Estimate(np.nan, np.nan, np.nan)
    return ratio_interval(energy[everyone], bounds[everyone, -1])
