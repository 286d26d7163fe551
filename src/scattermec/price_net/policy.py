"""The policy `price-net`: beams from prices at the AP, a broadcast, and the users' own allocations."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Complex, Float

from scattermec.optimisation import BatteryValue, estimate_allocation
from scattermec.optimisation.response import (
    MARGIN,
    Broadcast,
    active_rates,
    broadcaster,
    energy_lacking,
    halved,
)
from scattermec.physics import Frame, Parameters, links
from scattermec.physics.channel import Key
from scattermec.physics.energy import energy_demand
from scattermec.physics.knowledge import Knowledge
from scattermec.price_net.beams import beams_from_unit_prices
from scattermec.price_net.features import (
    NUM_BEAM_PAIR_FEATURES,
    NUM_KNOWLEDGE_FEATURES,
    NUM_TIME_PAIR_FEATURES,
    NUM_TIME_USER_FEATURES,
    NUM_USER_FEATURES,
    NUM_WORTH_FEATURES,
    beam_features,
    time_features,
)
from scattermec.price_net.network import EquivariantNetwork

PLANNED_MARGIN = 1.5 * MARGIN
"""Share of the users' energy that the AP leaves out of a plan that it announces."""

MOST_SHIFT = 4.0
"""Largest shift of the logits of the beams' times: from half of the slot to 98% of it."""

SHIFT_BISECTIONS = 14
"""Bisection steps for the shift: down to 3e-4, which changes times by less."""

LEAST_SHARE = 1e-9
"""Share of the slot for which a beam that is off counts as on."""


CAUTIOUS_OUTPUTS = 3
"""Numbers per user of a cautious network of times: the time, the slack, and the discount of its promise."""


class Rounding(NamedTuple):
    """Rounding of a broadcast to few bits, which the AP takes into account."""

    apply: Callable[[Parameters, Frame, Broadcast], Broadcast]
    """(parameters, frame, intended broadcast) to the broadcast as sent"""
    spare: float
    """share by which P1 plans for more work than there is, to make up for rounding"""


class PriceNet(eqx.Module):
    """The AP's networks: prices of the beams, and the time of each beam.

    ``battery_value``, the value of battery energy to later frames, gives the policy foresight. A ``cautious``
    network is given what is not known, and also says how much slack each user needs
    (`scattermec.price_net.cautious`).
    """

    prices: EquivariantNetwork
    times: EquivariantNetwork
    battery_value: BatteryValue | None
    cautious: bool = eqx.field(static=True)

    def __init__(
        self,
        key: Key,
        width: int,
        rounds: int,
        battery_value: BatteryValue | None = None,
        *,
        cautious: bool = False,
    ) -> None:
        first, second = jax.random.split(key)
        users = NUM_USER_FEATURES + (0 if battery_value is None else NUM_WORTH_FEATURES)
        more = NUM_KNOWLEDGE_FEATURES if cautious else 0
        self.battery_value, self.cautious = battery_value, cautious
        self.prices = EquivariantNetwork(first, users + more, NUM_BEAM_PAIR_FEATURES, width, rounds)
        self.times = EquivariantNetwork(
            second,
            NUM_TIME_USER_FEATURES + more,
            NUM_TIME_PAIR_FEATURES,
            width,
            rounds,
            outputs=CAUTIOUS_OUTPUTS if cautious else 1,
        )


def unit_prices(
    network: PriceNet, parameters: Parameters, frame: Frame, knowledge: Knowledge | None = None
) -> Float[Array, "N N"]:
    """Prices a of slot i (row) and user j (column) for unit channels; a slot's sum to 1."""
    logits = network.prices(beam_features(parameters, frame, network.battery_value, knowledge))[..., 0]
    return jax.nn.softmax(logits.astype(frame.workload.dtype), axis=-1)


def beams(network: PriceNet, parameters: Parameters, frame: Frame) -> Complex[Array, "N M"]:
    """The AP's unit beams for one frame as the AP sees it."""
    return beams_from_unit_prices(frame.channels, unit_prices(network, parameters, frame))


def beam_numbers(
    network: PriceNet, parameters: Parameters, frame: Frame, chosen: Complex[Array, "N M"]
) -> Float[Array, " N"]:
    """The network's logits of the beams' shares of the slot."""
    outputs = network.times(time_features(parameters, frame, chosen))
    return jnp.diagonal(outputs[..., 0]).astype(frame.workload.dtype)


def beam_times(
    parameters: Parameters,
    frame: Frame,
    chosen: Complex[Array, "N M"],
    numbers: Float[Array, " N"],
    *,
    margin: float | Array = MARGIN,
    rounded: Rounding | None = None,
) -> Float[Array, " N"]:
    """Time of each beam in s: as given by ``numbers``, or the smallest extension that serves everyone.

    The AP can compute the users' responses. If some would lack energy, a common shift of all logits lengthens
    all beams until none does; if no such shift suffices, the times stay those of ``numbers``. Differentiable,
    including the shift.

    Args:
        parameters: the scenario's constants.
        frame: as the AP sees it.
        chosen: the beams.
        numbers: logits of the shares of the slot.
        margin: share of their energy that users keep.
        rounded: rounding of the broadcast, if any.
    """
    p = parameters
    gain = links.channel_gain(frame.channels)
    rates = active_rates(p, gain)
    announce = broadcaster(p, frame, chosen)

    def times(shift: Float[Array, ""]) -> Float[Array, " N"]:
        return jax.nn.sigmoid(numbers + shift) * p.slot_duration

    def lacking(shift: Float[Array, ""]) -> Float[Array, ""]:
        told = announce(times(shift))
        told = told if rounded is None else rounded.apply(p, frame, told)
        energies = energy_lacking(p, gain, frame.workload, frame.battery, told, rates, margin=margin)
        return jnp.max(energies)

    return times(_least_shift(lacking, jnp.zeros((), numbers.dtype)))


def _least_shift(
    lacking: Callable[[Float[Array, ""]], Float[Array, ""]], zero: Float[Array, ""]
) -> Float[Array, ""]:
    """The smallest shift in [0, `MOST_SHIFT`] at which no energy is lacking; 0 if there is none."""

    def short(shift: Float[Array, ""]) -> Array:
        return jax.lax.stop_gradient(lacking(shift)) > 0

    found = halved(short, zero, MOST_SHIFT, SHIFT_BISECTIONS)[1]
    helps = short(zero) & ~short(zero + MOST_SHIFT)
    # One Newton step from the solution supplies its derivative and leaves the value unchanged.
    value, slope = jax.jvp(lacking, (found,), (jnp.ones_like(found),))
    steep = helps & (slope < 0)
    step = value / jax.lax.stop_gradient(jnp.where(steep, -slope, 1))
    return jnp.where(helps, found, 0) + jnp.where(steep, step - jax.lax.stop_gradient(step), 0)


def announce_p1(
    network: PriceNet, parameters: Parameters, frame: Frame, *, rounded: Rounding | None = None
) -> tuple[Complex[Array, "N M"], Broadcast]:
    """Beams, and a broadcast of their times as P1 finds them; ``rounded`` as for `beam_times`."""
    chosen = beams(network, parameters, frame)
    # P1 spends all energy, so it plans with less than there is: without the users' margin, and a bit less.
    part = 1 - PLANNED_MARGIN
    less = dataclasses.replace(
        parameters,
        harvest_efficiency=parameters.harvest_efficiency * part,
        battery_capacity=parameters.battery_capacity * part,
    )
    work = frame.workload * (1 + (0 if rounded is None else rounded.spare))
    planned = dataclasses.replace(frame, battery=frame.battery * part, workload=work)
    solution = estimate_allocation(less, planned, chosen, battery_value=network.battery_value)
    plan = solution.allocation
    share = jnp.clip(plan.t_passive / parameters.slot_duration, LEAST_SHARE, 1 - LEAST_SHARE)
    numbers = jnp.log(share) - jnp.log1p(-share)
    told = _announced(parameters, frame, chosen, numbers, rounded)
    if network.battery_value is not None:
        # Otherwise users would spend the energy that the plan keeps.
        demand = energy_demand(parameters, solution.transmit_power, plan.t_active, plan.l_local)
        told = dataclasses.replace(told, allowance=demand * (1 + PLANNED_MARGIN))
    return chosen, told


def announce_network(
    network: PriceNet, parameters: Parameters, frame: Frame, *, rounded: Rounding | None = None
) -> tuple[Complex[Array, "N M"], Broadcast]:
    """Beams, and a broadcast of their times as the network finds them; ``rounded`` as for `beam_times`."""
    chosen = beams(network, parameters, frame)
    numbers = beam_numbers(network, parameters, frame, chosen)
    return chosen, _announced(parameters, frame, chosen, numbers, rounded)


def _announced(
    parameters: Parameters,
    frame: Frame,
    chosen: Complex[Array, "N M"],
    numbers: Float[Array, " N"],
    rounded: Rounding | None,
) -> Broadcast:
    times = beam_times(parameters, frame, chosen, numbers, rounded=rounded)
    told = broadcaster(parameters, frame, chosen)(times)
    return told if rounded is None else rounded.apply(parameters, frame, told)
