"""Actions: conversion from numbers in [0, 1] to beams and allocations of one frame, and back.

An agent's network ends in a sigmoid, so an action is a vector of numbers in [0, 1]. Their meaning is defined
here, for the AP and for the forms in which a user states its allocation. Batch with `jax.vmap`.
"""

from collections.abc import Callable
from typing import Literal, get_args

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Complex, Float

from scattermec.optimisation.pricing import principal_vectors
from scattermec.physics import Allocation, Parameters
from scattermec.physics.links import unit_vectors

StatedForm = Literal["paper", "feasible"]
"""Forms of a user's action that state its allocation: six independent numbers, or four that respect slot and
workload."""

ActionForm = Literal["paper", "feasible", "correction"]
"""These, and one of two numbers that correct what the user is told or expects about its beam's time and its
harvest; its best response is its allocation (see `scattermec.environment.corrections`)."""

STATED_FORMS: tuple[StatedForm, ...] = get_args(StatedForm)
ACTION_FORMS: tuple[ActionForm, ...] = get_args(ActionForm)

ApActionForm = Literal["beams", "prices", "log_prices"]
"""Forms of the AP's action: the beams themselves, or prices that determine the beams, on a linear scale for
the channels as they are or on a logarithmic one for channels of unit norm."""

LOG_PRICES = 3.0
"""Logarithmic prices are within a factor of e^3 from 1."""

AP_ACTION_FORMS: tuple[ApActionForm, ...] = get_args(ApActionForm)

NUMBERS_PER_USER: dict[ActionForm, int] = {"paper": 6, "feasible": 4, "correction": 2}
"""Length of a user's action in each form."""


def ap_action_size(num_users: int, num_antennas: int, form: ApActionForm = "beams") -> int:
    """Length of the AP's action: real and imaginary parts of all entries of all beams, or N x N prices."""
    return 2 * num_users * num_antennas if form == "beams" else num_users**2


def beams_from_ap_action(
    form: ApActionForm, channels: Complex[Array, "N M"], action: Float[Array, " K"]
) -> Complex[Array, "N M"]:
    """Beams of the AP from its action in any form, for the channels that it knows; in their precision."""
    num_users, num_antennas = channels.shape
    if form == "beams":
        return beams_from_action(action, num_users, num_antennas).astype(channels.dtype)
    numbers = action.reshape(num_users, num_users)
    if form == "prices":
        return beams_from_prices(channels, numbers)
    prices = jnp.exp(LOG_PRICES * (2 * numbers - 1))
    return beams_from_prices(unit_vectors(channels), prices.astype(channels.real.dtype))


def beams_from_prices(channels: Complex[Array, "N M"], prices: Float[Array, "N N"]) -> Complex[Array, "N M"]:
    """The beam of slot i is the principal eigenvector of sum_j a_ij h_j h_j^H, as every optimal beam is.

    Only the ratios of a slot's prices a_i matter (see problem P2 in `scattermec.optimisation`).
    """
    return principal_vectors(jnp.einsum("ij,ja,jb->iab", prices, channels, channels.conj()))


def beams_from_action(action: Float[Array, " K"], num_users: int, num_antennas: int) -> Complex[Array, "N M"]:
    """Beams of the AP from 2NM numbers in [0, 1]: all real parts (user by user), then all imaginary parts.

    Each number is mapped to [-1, 1] and each user's beam scaled to unit norm. A zero beam (all numbers 0.5)
    stays zero, which the model takes as maximum ratio transmission.
    """
    parts = 2 * action.reshape(2, num_users, num_antennas) - 1
    return unit_vectors(lax.complex(parts[0], parts[1]))


def action_from_beams(beams: Complex[Array, "N M"]) -> Float[Array, " K"]:
    """Inverse of `beams_from_action` for beams of unit norm or zero; entries outside [-1, 1] are clipped."""
    parts = jnp.stack([jnp.real(beams), jnp.imag(beams)])
    return jnp.clip((parts.reshape(-1) + 1) / 2, 0, 1)


def allocation_from_action(
    form: StatedForm, parameters: Parameters, workload: Float[Array, " N"], action: Float[Array, "N K"]
) -> Allocation:
    """Allocation of all users from their actions in [0, 1], K = 6 ("paper") or 4 ("feasible") numbers each.

    ``workload`` in kbit is the workload as the users see it. In the paper's form the numbers scale
    (T, T, T, l, l, l) in the order of `Allocation`'s fields. The feasible form meets (1) and (2) and divides
    exactly ``workload``:

    - u1: fraction of the slot that is used, u2: active fraction of the used time;
    - v1: offloaded fraction of the work that could be computed locally (the rest is offloaded anyway),
      v2: active fraction of the offloaded work.
    """
    return _FROM_ACTION[form](parameters, workload, action)


def action_from_allocation(
    form: StatedForm, parameters: Parameters, workload: Float[Array, " N"], allocation: Allocation
) -> Float[Array, "N K"]:
    """Inverse of `allocation_from_action`, clipped to [0, 1].

    Numbers that have no effect (fractions of zero work or zero time) are 0.
    """
    return jnp.clip(_TO_ACTION[form](parameters, workload, allocation), 0, 1)


def _paper_allocation(
    parameters: Parameters, workload: Float[Array, " N"], action: Float[Array, "N 6"]
) -> Allocation:
    times = action[:, :3] * parameters.slot_duration[:, None]
    work = action[:, 3:] * workload[:, None]
    return Allocation(
        t_active=times[:, 0],
        t_passive=times[:, 1],
        t_local=times[:, 2],
        l_active=work[:, 0],
        l_passive=work[:, 1],
        l_local=work[:, 2],
    )


def _paper_action(
    parameters: Parameters, workload: Float[Array, " N"], allocation: Allocation
) -> Float[Array, "N 6"]:
    a = allocation
    times = [_ratio(t, parameters.slot_duration) for t in (a.t_active, a.t_passive, a.t_local)]
    work = [_ratio(part, workload) for part in (a.l_active, a.l_passive, a.l_local)]
    return jnp.stack(times + work, axis=1)


def _feasible_allocation(
    parameters: Parameters, workload: Float[Array, " N"], action: Float[Array, "N 4"]
) -> Allocation:
    used, active_time, offloaded, active_work = action.T
    time = used * parameters.slot_duration
    t_active = active_time * time
    # Compute the local part first and offload the rest. The other way, via the least offloaded fraction
    # 1 - f_c T / l, rounding would violate l_c <= f_c T for large workloads.
    l_local = (1 - offloaded) * _most_local_work(parameters, workload)
    l_offloaded = workload - l_local
    l_active = active_work * l_offloaded
    return Allocation(
        t_active=t_active,
        t_passive=time - t_active,
        t_local=_ratio(l_local, parameters.local_rate),
        l_active=l_active,
        l_passive=l_offloaded - l_active,
        l_local=l_local,
    )


def _feasible_action(
    parameters: Parameters, workload: Float[Array, " N"], allocation: Allocation
) -> Float[Array, "N 4"]:
    a = allocation
    most_local = _most_local_work(parameters, workload)
    columns = [
        _ratio(a.t_active + a.t_passive, parameters.slot_duration),
        _ratio(a.t_active, a.t_active + a.t_passive),
        _ratio(most_local - a.l_local, most_local),
        _ratio(a.l_active, a.l_active + a.l_passive),
    ]
    return jnp.stack(columns, axis=1)


def _most_local_work(parameters: Parameters, workload: Float[Array, " N"]) -> Float[Array, " N"]:
    return jnp.minimum(workload, parameters.local_rate * parameters.slot_duration)


def _ratio(part: Float[Array, " N"], whole: Float[Array, " N"]) -> Float[Array, " N"]:
    positive = whole > 0
    return jnp.where(positive, part / jnp.where(positive, whole, 1), 0)


_FROM_ACTION: dict[str, Callable[..., Allocation]] = {
    "paper": _paper_allocation,
    "feasible": _feasible_allocation,
}
_TO_ACTION: dict[str, Callable[..., Array]] = {"paper": _paper_action, "feasible": _feasible_action}
