"""The ways in which a price-net acts: who computes what, in one frame and in many."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Complex

from scattermec._programs import kept_jit
from scattermec.environment import Decision, EnvState, as_seen
from scattermec.optimisation import estimate_allocation
from scattermec.optimisation.repair import Plan, plan_for, repaired
from scattermec.optimisation.response import Broadcast, respond
from scattermec.physics import Frame, Parameters, links
from scattermec.physics.channel import Key
from scattermec.physics.knowledge import Knowledge, knowledge_of
from scattermec.price_net import cautious
from scattermec.price_net.policy import PriceNet, announce_network, announce_p1, beams


def with_p1(network: PriceNet, parameters: Parameters, frame: Frame) -> Decision:
    """The network's beams, with the allocation that P1 finds for them at the AP."""
    chosen = beams(network, parameters, frame)
    solution = estimate_allocation(parameters, frame, chosen, battery_value=network.battery_value)
    return Decision(beams=chosen, allocation=solution.allocation)


def announced(network: PriceNet, parameters: Parameters, frame: Frame) -> Decision:
    """P1 at the AP, but only the beams' times are announced; every user responds by itself."""
    return _answered(parameters, frame, *announce_p1(network, parameters, frame))


def decentralised(network: PriceNet, parameters: Parameters, frame: Frame) -> Decision:
    """Feed-forward at the AP, no optimisation; every user responds to the broadcast by itself."""
    return _answered(parameters, frame, *announce_network(network, parameters, frame))


def _answered(
    parameters: Parameters, frame: Frame, chosen: Complex[Array, "N M"], told: Broadcast
) -> Decision:
    gain = links.channel_gain(frame.channels)
    answer = respond(parameters, gain, frame.workload, frame.battery, told)
    return Decision(beams=chosen, allocation=answer.allocation)


def plan(network: PriceNet, parameters: Parameters, knowledge: Knowledge, seen: Frame) -> Plan:
    """The AP's plan for users that repair: that of a cautious network, or one of P1 that keeps energy.

    With foresight the plan is as exact as `announced`, whatever is not known: the energy that it keeps for
    later frames is what its users fall back on.
    """
    if network.cautious:
        return cautious.plan(network, parameters, knowledge, seen)
    chosen, told = announce_p1(network, parameters, seen)
    planned = plan_for(parameters, seen, chosen, told.t_passive, discount=0.0)
    return dataclasses.replace(planned, allowance=told.allowance)


def planned_and_repaired(network: PriceNet, parameters: Parameters, seen: Frame, true: Frame) -> Decision:
    """A network plans on the frame as the AP sees it; users repair in the true one.

    The AP knows the scenario's errors; messages are exact and arrive.
    """
    knowledge = knowledge_of(parameters)
    planned = plan(network, parameters, knowledge, seen)
    heard = jnp.ones(true.workload.shape, bool)
    allocation = repaired(parameters, true, planned, step=knowledge.step, heard=heard)
    return Decision(beams=planned.beams, allocation=allocation)


def repaired_as_seen(network: PriceNet, parameters: Parameters, frame: Frame) -> Decision:
    """`planned_and_repaired` in a frame that the AP sees as it is."""
    return planned_and_repaired(network, parameters, frame, frame)


Mode = Callable[[PriceNet, Parameters, Frame], Decision]
"""A mode of acting: the decision in one frame as the AP and the users see it. Batch with vmap."""

REPAIRED = "repaired"
"""The mode in which users repair: the only one of a cautious network, one of several with foresight."""

MODES: Mapping[str, Mode] = {
    "p1": with_p1,
    "announced": announced,
    "decentralised": decentralised,
    REPAIRED: repaired_as_seen,
}
"""Modes of acting, by name."""


def modes_of(network: PriceNet) -> Mapping[str, Mode]:
    """The `MODES` of a policy; with foresight those in which P1 decides what energy to keep."""
    if network.cautious:
        names: tuple[str, ...] = (REPAIRED,)
    elif network.battery_value is not None:
        names = ("p1", "announced", REPAIRED)
    else:
        names = ("p1", "announced", "decentralised")
    return {name: MODES[name] for name in names}


def modes_where_known(network: PriceNet) -> Mapping[str, Mode]:
    """The modes to measure where everything is known: with foresight, repairing is nearly `announced`."""
    foresight = network.battery_value is not None
    return {name: mode for name, mode in modes_of(network).items() if not (foresight and name == REPAIRED)}


@partial(kept_jit, static_argnums=(0,))
def decide_frames(
    mode: str, network: PriceNet, parameters: Parameters, key: Key, states: EnvState
) -> Decision:
    """Decisions of a mode of `MODES` in R frames (leading axis), as the AP sees them.

    Users that repair know their own true workload and channel. With the first three arguments bound, a
    `scattermec.learners.fixed.BatchPolicy`; nothing is drawn.
    """
    seen = as_seen(states).frame
    if mode == REPAIRED:
        return jax.vmap(partial(planned_and_repaired, network, parameters))(seen, states.frame)
    return jax.vmap(partial(MODES[mode], network, parameters))(seen)


@kept_jit
def plan_frames(network: PriceNet, parameters: Parameters, knowledge: Knowledge, frames: Frame) -> Plan:
    """Plans of a network for R frames (leading axis) as the AP sees them, for users that repair."""
    return jax.vmap(partial(plan, network, parameters, knowledge))(frames)


@kept_jit
def beams_frames(network: PriceNet, parameters: Parameters, frames: Frame) -> Complex[Array, "R N M"]:
    """`beams` of R frames (leading axis)."""
    return jax.vmap(partial(beams, network, parameters))(frames)
