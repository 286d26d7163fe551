"""What becomes of a broadcast that is rounded to few bits, comes late, or is lost."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float

from scattermec.physics import Allocation, Frame, Parameters, links
from scattermec.price_net.policy import Rounding
from scattermec.price_net.users import Broadcast, respond

BITS = 8
"""Of each of the three numbers that a user is told."""

LEVELS = 2**BITS - 1


def rounded(parameters: Parameters, frame: Frame, told: Broadcast) -> Broadcast:
    """A broadcast of `BITS` bits a number: no user is promised more than it gets.

    The beam's time is a part of the slot, rounded up unless the beam is off (the AP beams that long); the
    passive rate a part of what the user's own channel could carry at most, and the harvest a part of what
    computing all of its work would take, both rounded down. More harvest than that counts as that.
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
"""Part of the slot for which a beam counts as off."""

ROUNDING = Rounding(rounded, spare=2 / LEVELS)


def heard_by(hears: Bool[Array, " N"], told: Broadcast, before: Broadcast) -> Broadcast:
    """What users go by: what is told, or where they do not hear it what they were told before."""
    return jax.tree.map(lambda new, old: jnp.where(hears, new, old), told, before)


def respond_to_heard(parameters: Parameters, frame: Frame, told: Broadcast, heard: Broadcast) -> Allocation:
    """What users do who go by ``heard`` while the AP's beams are on for the times that it ``told``.

    A user notices when its beam ends: what it planned to send goes into what is left of its slot.
    """
    gain = links.channel_gain(frame.channels)
    plan = respond(parameters, gain, frame.workload, frame.battery, heard).allocation
    t_passive = jnp.clip(told.t_passive, 0, parameters.slot_duration)
    t_active = jnp.minimum(plan.t_active, parameters.slot_duration - t_passive)
    return dataclasses.replace(plan, t_active=t_active, t_passive=t_passive)
