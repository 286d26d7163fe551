"""Rewards of the AP (11), also a denser form of it, and of the users (12)."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float

from scattermec.physics.parameters import Parameters


def energy_efficiency(
    workload: Float[Array, " N"], success: Bool[Array, " N"], energy: Float[Array, ""]
) -> Float[Array, ""]:
    """Processed kbit per J of AP-side energy: the second factor of (11).

    If no energy was spent (possible only without idle power): 0 if nothing was processed, else infinite.
    """
    return _per_joule(jnp.sum(jnp.where(success, workload, 0)), energy)


def _per_joule(processed: Float[Array, ""], energy: Float[Array, ""]) -> Float[Array, ""]:
    spent = energy > 0
    ratio = processed / jnp.where(spent, energy, 1)
    return jnp.where(spent, ratio, jnp.where(processed > 0, jnp.inf, 0))


def ap_reward(
    parameters: Parameters, workload: Float[Array, " N"], success: Bool[Array, " N"], energy: Float[Array, ""]
) -> Float[Array, ""]:
    """Reward of the AP in kbit/J, equation (11): (share of users served)^sigma times the efficiency."""
    served = jnp.mean(success.astype(workload.dtype))
    efficiency = energy_efficiency(workload, success, energy)
    return jnp.where(served > 0, served**parameters.reliability_weight * efficiency, 0)


def partial_reward(
    parameters: Parameters, workload: Float[Array, " N"], met: Float[Array, " N"], energy: Float[Array, ""]
) -> Float[Array, ""]:
    """(11) with each user counted by the share (N,) of its constraints that it meets, instead of 0 or 1.

    Equal to (11) where all users succeed; positive as soon as anything is processed. See `shares_met`.
    """
    served = jnp.mean(met)
    efficiency = _per_joule(jnp.sum(met * workload), energy)
    return jnp.where(served > 0, served**parameters.reliability_weight * efficiency, 0)


def user_reward(
    parameters: Parameters,
    workload: Float[Array, " N"],
    success: Bool[Array, " N"],
    l_offloaded: Float[Array, " N"],
    t_passive: Float[Array, " N"],
) -> Float[Array, " N"]:
    """Rewards of the users, equation (12), mixed with the mean success by ``team_weight``.

    ``l_offloaded`` is l_a + l_b; its share counts as 0 for a user without work.
    """
    p = parameters
    has_work = workload > 0
    offloaded_share = jnp.where(has_work, l_offloaded / jnp.where(has_work, workload, 1), 0)
    served = success.astype(workload.dtype)
    cost = p.mec_price * offloaded_share + p.ap_price * t_passive / p.slot_duration
    own = jnp.maximum(served - cost, 0)
    return (1 - p.team_weight) * own + p.team_weight * jnp.mean(served)
