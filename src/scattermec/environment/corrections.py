"""The users' actions as corrections: two numbers in [0, 1] each, and the best response of the user to them.

The six numbers of the paper state a user's allocation, so that almost any deviation from the estimate is an
outage. A correction cannot break what the estimate provides: a beam may be on longer than estimated, never
shorter, which gives the others more energy than they count on; and a user may keep energy that it does not
need. The rest of its allocation is its best response (`scattermec.optimisation.response`).
"""

import dataclasses

import jax.numpy as jnp
from jax import Array
from jaxtyping import Complex, Float

from scattermec.optimisation import estimate_allocation
from scattermec.optimisation.response import (
    MARGIN,
    Broadcast,
    active_rates,
    broadcaster,
    energy_lacking,
    respond,
)
from scattermec.physics import Allocation, Frame, Parameters, links
from scattermec.physics.energy import energy_budget, harvest_rate, harvested_energy, usable_harvest_rate

LONGER = 0.25
"""Share of the slot by which a beam may be on longer than estimated."""

NOTHING = 0.2
"""Numbers up to this one change nothing, so that a network can say so exactly."""

KEPT = 0.99
"""Share of the energy that a user does not need which it may keep; the rest covers rounding."""

UNPLANNED = 3e-4
"""Share of the energy that the AP leaves out of its estimate, as room for the responses' rounding."""


def estimated(
    parameters: Parameters, frame: Frame, beams: Complex[Array, "N M"]
) -> tuple[Allocation, Broadcast]:
    """The AP's estimate for its beams, with room for rounding, and what it tells each user of it."""
    estimate = estimate_allocation(*planned(parameters, frame), beams).allocation
    return estimate, announced(parameters, frame, beams, estimate)


def planned(parameters: Parameters, frame: Frame) -> tuple[Parameters, Frame]:
    """Parameters and frame for an estimate with a little less energy than there is."""
    less = 1 - UNPLANNED
    less_energy = dataclasses.replace(
        parameters,
        harvest_efficiency=parameters.harvest_efficiency * less,
        battery_capacity=parameters.battery_capacity * less,
    )
    return less_energy, dataclasses.replace(frame, battery=frame.battery * less)


def announced(
    parameters: Parameters, frame: Frame, beams: Complex[Array, "N M"], estimate: Allocation
) -> Broadcast:
    """What the AP's estimate tells each user: its beam's time and rate, and its harvest."""
    unit = links.unit_beams(beams, frame.channels)
    return broadcaster(parameters, frame, unit)(estimate.t_passive)


def corrected(
    parameters: Parameters, frame: Frame, told: Broadcast, actions: Float[Array, "N 2"]
) -> Allocation:
    """Each user's allocation from its correction of what it was told.

    First number: how much longer its beam is on, from 0 to `LONGER` of the slot. Second number: how much of
    the energy that it does not need it keeps, by sending more and computing less. Numbers up to `NOTHING`
    count as 0. ``frame`` is as the users see it.
    """
    beyond = jnp.maximum(actions.astype(frame.workload.dtype) - NOTHING, 0) / (1 - NOTHING)
    longer, kept = beyond.T
    p, gain = parameters, links.channel_gain(frame.channels)
    told = dataclasses.replace(told, t_passive=told.t_passive + longer * LONGER * p.slot_duration)
    own = (p, gain, frame.workload, frame.battery)
    spare = jnp.maximum(-energy_lacking(*own, told, active_rates(p, gain)), 0)
    budget = energy_budget(p, frame.battery, told.harvest) * (1 - MARGIN)
    return respond(*own, dataclasses.replace(told, allowance=budget - kept * KEPT * spare)).allocation


def unaided(
    parameters: Parameters, frame: Frame, beams: Complex[Array, "N M"], actions: Float[Array, "N 2"]
) -> Allocation:
    """Each user's allocation without an estimate: from what it decides and what it counts on.

    First number: its beam's time, as a share of the slot. The square of the second: the harvest that it
    counts on, as a share of the most that it could have, with all other beams at it all the time. It knows
    the gain of its own beam.
    """
    time, counted = actions.astype(frame.workload.dtype).T
    p, gain = parameters, links.channel_gain(frame.channels)
    told = broadcaster(p, frame, links.unit_beams(beams, frame.channels))(time * p.slot_duration)
    all_at_it = jnp.broadcast_to(gain[:, None], (gain.size, gain.size))
    most = harvested_energy(usable_harvest_rate(p, harvest_rate(p, all_at_it)), p.slot_duration)
    told = dataclasses.replace(told, harvest=counted**2 * most)
    return respond(p, gain, frame.workload, frame.battery, told).allocation
