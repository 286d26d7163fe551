"""Users that repair: each acts on what it knows for certain when its own slot comes, not on the AP's plan.

The timeline of a frame, slot by slot. Before the first slot the AP has chosen its beams and their times from
its own view, and has sent each user a promise of the energy to harvest in the slots after the user's own
and, if it keeps energy for later frames, an allowance: the energy that its plan spends. When slot i comes,
user i knows

- its battery, its workload and its own channel,
- the energy that it has harvested in the slots before its own,
- the power of its own beam, which it measures as the beam comes on, and so the rate of its reflection,
- the time of its beam: the user sees it end, and sends after that.

It does not know what it will harvest in later slots. Promise and allowance may be wrong, rounded or lost.
"""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Complex, Float

from scattermec._pytree import pytree
from scattermec.optimisation.response import (
    MARGIN,
    Broadcast,
    Response,
    active_rates,
    energy_lacking,
    respond,
)
from scattermec.physics import Allocation, Frame, Parameters, links
from scattermec.physics.energy import harvest_rate, harvested_energy, usable_harvest_rate

JUST_ENOUGH = 1 + 1e-9
"""Factor that keeps a user which can just finish from lacking energy by rounding."""


@pytree
class Plan:
    """The AP's decision before the frame is played."""

    beams: Complex[Array, "N M"]
    """unit beams"""
    t_passive: Float[Array, " N"]
    """s, of each beam"""
    promise: Float[Array, " N"]
    """mJ that each user will harvest in the slots after its own"""
    allowance: Float[Array, " N"] | None = None
    """mJ of its energy that each user may spend if that suffices (the rest is for later frames); None: all"""


@pytree
class Measured:
    """What each user has measured when its own slot comes."""

    t_passive: Float[Array, " N"]
    """s: time of its beam"""
    passive_rate: Float[Array, " N"]
    """kbit/s of its reflection"""
    harvest: Float[Array, " N"]
    """mJ harvested in the slots before its own"""


@pytree
class Timeline:
    """Energy in mJ that each user harvests in the slots before and after its own."""

    before: Float[Array, " N"]
    after: Float[Array, " N"]


def timeline(
    parameters: Parameters, frame: Frame, beams: Complex[Array, "N M"], t_passive: Float[Array, " N"]
) -> Timeline:
    """The usable harvest (8) of unit beams that are on for these times, divided at each user's own slot."""
    gains = links.beam_gains(frame.channels, beams)
    rate = usable_harvest_rate(parameters, harvest_rate(parameters, gains))
    return Timeline(
        before=harvested_energy(jnp.tril(rate, -1), t_passive),
        after=harvested_energy(jnp.triu(rate, 1), t_passive),
    )


def plan_for(
    parameters: Parameters,
    seen: Frame,
    beams: Complex[Array, "N M"],
    t_passive: Float[Array, " N"],
    discount: Float[Array, "..."] | float,
) -> Plan:
    """A plan of these unit beams and times, with promises of what the AP expects, less ``discount``."""
    after = timeline(parameters, seen, beams, t_passive).after
    return Plan(beams=beams, t_passive=t_passive, promise=(1 - discount) * after)


def measured(
    parameters: Parameters, frame: Frame, beams: Complex[Array, "N M"], t_passive: Float[Array, " N"]
) -> Measured:
    """What the users measure in the true frame."""
    gain = links.channel_gain(frame.channels)
    own = jnp.diagonal(links.beam_gains(frame.channels, beams))
    return Measured(
        t_passive=jnp.clip(t_passive, 0, parameters.slot_duration),
        passive_rate=links.passive_rate(parameters, gain, own),
        harvest=timeline(parameters, frame, beams, t_passive).before,
    )


def sent(
    parameters: Parameters,
    promise: Float[Array, " N"],
    step: Float[Array, ""],
    heard: Bool[Array, " N"],
) -> Float[Array, " N"]:
    """Promises in mJ as they arrive: rounded down to ``step`` of the largest, and nothing if not heard.

    The largest promise is the energy of computing the mean workload.
    """
    return _in_steps(jnp.floor, parameters, promise, step, heard)


def sent_allowance(
    parameters: Parameters,
    allowance: Float[Array, " N"],
    step: Float[Array, ""],
    heard: Bool[Array, " N"],
) -> Float[Array, " N"]:
    """Allowances in mJ as they arrive: with the steps of `sent`, but rounded up, and at most the largest.

    A user that does not hear its allowance has none, so that it spends as little as it can.
    """
    return _in_steps(jnp.ceil, parameters, allowance, step, heard)


def _in_steps(
    whole: Callable[[Array], Array],
    parameters: Parameters,
    energy: Float[Array, " N"],
    step: Float[Array, ""],
    heard: Bool[Array, " N"],
) -> Float[Array, " N"]:
    """Energies in mJ as they arrive: in ``whole`` steps unless ``step`` is 0, and 0 if not heard."""
    most = parameters.local_energy * parameters.mean_workload
    part = jnp.clip(energy / jnp.where(most > 0, most, 1), 0, 1)
    steps = whole(part / jnp.where(step > 0, step, 1)) * step
    return jnp.where(heard, jnp.where(step > 0, steps * most, energy), 0)


def repair(
    parameters: Parameters,
    channel_gain: Float[Array, " N"],
    workload: Float[Array, " N"],
    battery: Float[Array, " N"],
    known: Measured,
    promise: Float[Array, " N"],
    allowance: Float[Array, " N"] | None = None,
) -> Response:
    """Each user's allocation from its own data, its measurements and the AP's promise; elementwise.

    A user counts on the promise, but never on less than it needs: where even the most thrifty allocation
    needs more energy than measured and promised, it acts as thriftily as it can and hopes for the rest.
    Giving up would be an outage for certain. So a user without a promise finishes whenever it can. For the
    same reason it exceeds its allowance, by as little as it can, where that does not suffice.

    Args:
        parameters: the scenario's constants.
        channel_gain: ||h||^2 of each user.
        workload: kbit, the true one.
        battery: mJ.
        known: measurements, from `measured`.
        promise: mJ to harvest in later slots, as it arrives.
        allowance: mJ that the user may spend if that suffices; all by default.
    """
    p, own = parameters, (channel_gain, workload, battery)
    rates = active_rates(p, channel_gain)

    def lacking(told: Broadcast) -> Float[Array, " N"]:
        return jnp.maximum(energy_lacking(p, *own, told, rates), 0)

    least = lacking(_told(known, 0 * promise)) / (1 - MARGIN) * JUST_ENOUGH
    later = jnp.maximum(promise, least)
    told = _told(known, later)
    if allowance is not None:
        allowed = dataclasses.replace(told, allowance=allowance)
        told = dataclasses.replace(told, allowance=allowance + lacking(allowed) * JUST_ENOUGH)
    return respond(p, *own, told)


def repaired(
    parameters: Parameters, frame: Frame, plan: Plan, *, step: Float[Array, ""], heard: Bool[Array, " N"]
) -> Allocation:
    """The allocation of users that repair a plan in the true frame; ``step`` and ``heard`` as for `sent`."""
    known = measured(parameters, frame, plan.beams, plan.t_passive)
    promise = sent(parameters, plan.promise, step, heard)
    gain = links.channel_gain(frame.channels)
    allowance = plan.allowance
    if allowance is not None:
        allowance = sent_allowance(parameters, allowance, step, heard)
    own = gain, frame.workload, frame.battery
    return repair(parameters, *own, known, promise, allowance).allocation


def _told(known: Measured, later: Float[Array, " N"]) -> Broadcast:
    return Broadcast(
        t_passive=known.t_passive, passive_rate=known.passive_rate, harvest=known.harvest + later
    )
