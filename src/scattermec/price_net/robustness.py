"""A broadcast that is rounded to few bits, late, or lost."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float

from scattermec.optimisation.response import Broadcast, respond
from scattermec.physics import Allocation, Frame, Parameters, links
from scattermec.price_net.policy import Rounding

BITS = 8
"""Bits of each of the three numbers that a user receives."""

LEVELS = 2**BITS - 1


def rounded(parameters: Parameters, frame: Frame, told: Broadcast) -> Broadcast:
    """A broadcast with `BITS` bits per number, rounded so that no user is promised more than it gets.

    The beam's time is a share of the slot, rounded up unless the beam is off (the AP beams that long). The
    passive rate is a share of the most that the user's own channel could carry, and the harvest a share of
    the energy of computing all its work, at most all of that; both are rounded down.
    """
    p = parameters
    gain = links.channel_gain(frame.channels)

    def down(value: Float[Array, " N"], scale: Float[Array, " N"]) -> Float[Array, " N"]:
        part = jnp.clip(value / jnp.where(scale > 0, scale, 1), 0, 1)
        return jnp.floor(part * LEVELS) / LEVELS * scale

    part = told.t_passive / p.slot_duration
    return Broadcast(
        t_passive=jnp.ceil((part - OFF) * LEVELS) / LEVELS * p.slot_duration,
        passive_rate=down(told.passive_rate, links.passive_rate(p, gain, gain)),
        harvest=down(told.harvest, p.local_energy * frame.workload),
    )


OFF = 1e-6
"""Share of the slot up to which a beam counts as off."""

ROUNDING = Rounding(rounded, spare=2 / LEVELS)


def heard_by(hears: Bool[Array, " N"], told: Broadcast, before: Broadcast) -> Broadcast:
    """The broadcast each user acts on: the new one, or the one before if the user does not hear it."""
    return jax.tree.map(lambda new, old: jnp.where(hears, new, old), told, before)


def respond_to_heard(parameters: Parameters, frame: Frame, told: Broadcast, heard: Broadcast) -> Allocation:
    """Responses to the broadcast ``heard`` while the AP's beams are on for the times in ``told``.

    A user notices when its beam ends: it sends its planned work in the rest of its slot.
    """
    gain = links.channel_gain(frame.channels)
    plan = respond(parameters, gain, frame.workload, frame.battery, heard).allocation
    t_passive = jnp.clip(told.t_passive, 0, parameters.slot_duration)
    t_active = jnp.minimum(plan.t_active, parameters.slot_duration - t_passive)
    return dataclasses.replace(plan, t_active=t_active, t_passive=t_passive)
