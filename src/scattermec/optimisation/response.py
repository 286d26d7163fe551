"""The users' part of P1: each finds its own best allocation, from its own data and what it is told.

Given its beam's time, its passive rate and its harvested energy, a user's part of P1 has one variable, its
effort. The user reflects while its beam is on, computes locally as much as its energy allows, and sends the
rest in the least time. The rate of sending depends on its channel alone, unless the user sends all of its
work, sends as little as its processor allows, or is short of time. Everything here is elementwise over users,
so a user may call it for itself.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Complex, Float

from scattermec._pytree import pytree
from scattermec.physics import Allocation, Frame, Parameters, links
from scattermec.physics.energy import energy_budget, harvest_rate, harvested_energy, usable_harvest_rate

BISECTIONS = 36
"""Bisection steps: down to 1e-11 of the interval."""

LARGEST_EXPONENT = 40.0
"""Largest rate over bandwidth, in nats: more than any energy allows."""

MOST_EFFORT = 2.0
"""Largest effort of a user: all of its time, at the rate of least energy."""

MARGIN = 1e-4
"""Share of its energy that a user keeps: announced and actual harvest differ by rounding."""


@pytree
class Broadcast:
    """The AP's message to each user about the frame."""

    t_passive: Float[Array, " N"]
    """s: time of its beam"""
    passive_rate: Float[Array, " N"]
    """kbit/s of its reflection during that time: equivalent to its beam's gain"""
    harvest: Float[Array, " N"]
    """mJ that it will harvest"""
    allowance: Float[Array, " N"] | None = None
    """mJ of its stored and harvested energy that it may spend, if not all"""


@pytree
class Response:
    """A user's allocation, and the work it leaves undone."""

    allocation: Allocation
    shortfall: Float[Array, " N"]
    """kbit that its energy does not suffice for, in work computed locally"""


@pytree
class _Task:
    """A user's work after reflection, and its energy, time and rates."""

    budget: Float[Array, " N"]
    """mJ that it may spend"""
    l_passive: Float[Array, " N"]
    """kbit that it reflects"""
    left: Float[Array, " N"]
    """kbit left to send or compute"""
    least: Float[Array, " N"]
    """kbit that it must send because its processor is too slow"""
    longest: Float[Array, " N"]
    """s available for sending"""
    preferred: Float[Array, " N"]
    """kbit/s for sending if there is time enough"""
    fastest: Float[Array, " N"]
    """kbit/s for sending, at most, if there is not"""
    saves: Bool[Array, " N"]
    """whether sending needs less energy than computing"""


def broadcaster(
    parameters: Parameters, frame: Frame, chosen: Complex[Array, "N M"]
) -> Callable[[Float[Array, " N"]], Broadcast]:
    """Map beam times to the AP's broadcast for the chosen beams, by (6) and (8)."""
    gains = links.beam_gains(frame.channels, chosen)
    usable = usable_harvest_rate(parameters, harvest_rate(parameters, gains))
    rate = links.passive_rate(parameters, links.channel_gain(frame.channels), jnp.diagonal(gains))

    def announce(t_passive: Float[Array, " N"]) -> Broadcast:
        return Broadcast(t_passive=t_passive, passive_rate=rate, harvest=harvested_energy(usable, t_passive))

    return announce


def respond(
    parameters: Parameters,
    channel_gain: Float[Array, " N"],
    workload: Float[Array, " N"],
    battery: Float[Array, " N"],
    broadcast: Broadcast,
    *,
    margin: float | Array = MARGIN,
) -> Response:
    """Each user's allocation of least cost to the AP for a broadcast, from the user's own data alone.

    It meets (1), (2) and (9) for the energy announced, less ``margin``, for any broadcast. If no active time
    makes the energy suffice, the user only lets its beam run and spends nothing: it would be in outage
    anyway. Shortfall and times are differentiable with respect to the broadcast.

    Args:
        parameters: the scenario's constants.
        channel_gain: ||h||^2 of each user.
        workload: kbit.
        battery: mJ.
        broadcast: the AP's; times outside the slot and negative numbers count as the nearest possible value.
        margin: share of the energy that is kept.
    """
    p, slot = parameters, parameters.slot_duration
    rates = active_rates(p, channel_gain)
    task = _task(p, workload, battery, broadcast, rates, margin)
    processor = p.local_rate * slot

    def needed(effort: Float[Array, " N"]) -> Float[Array, " N"]:
        return _needed(p, channel_gain, task, effort)

    effort = _least_effort(needed, task.budget, task.least)
    inside = (effort > 0) & (effort < MOST_EFFORT)
    slope = jax.lax.stop_gradient(jax.jvp(needed, (effort,), (jnp.ones_like(effort),))[1])
    # One Newton step from the solution supplies its derivative and leaves the value unchanged.
    steep = inside & (slope < 0)
    step = (needed(jnp.where(steep, effort, 1)) - task.budget) / jnp.where(steep, -slope, 1)
    effort = effort + jnp.where(steep, step - jax.lax.stop_gradient(step), 0)
    t_active, l_active = _plan(task, effort)
    t_active = jnp.where(l_active > 0, t_active, 0)
    l_local = task.left - l_active
    lacking = jnp.where(effort < MOST_EFFORT, 0, needed(effort) - task.budget)
    # A user that cannot finish leaves its slot to its beam: the outcome is an outage either way.
    finishes = (lacking <= 1e-9 * task.budget) & (l_local <= processor * (1 + 1e-9))

    def if_finishing(value: Float[Array, " N"]) -> Float[Array, " N"]:
        return jnp.where(finishes, value, 0)

    allocation = Allocation(
        t_active=if_finishing(t_active),
        t_passive=jnp.clip(broadcast.t_passive, 0, slot),
        t_local=if_finishing(jnp.minimum(l_local / jnp.where(p.local_rate > 0, p.local_rate, 1), slot)),
        l_active=if_finishing(l_active),
        l_passive=if_finishing(task.l_passive),
        l_local=if_finishing(jnp.minimum(l_local, processor)),
    )
    shortfall = jnp.clip(lacking / p.local_energy, 0, task.left)
    return Response(allocation=allocation, shortfall=jnp.where(finishes, 0, shortfall))


def energy_lacking(
    parameters: Parameters,
    channel_gain: Float[Array, " N"],
    workload: Float[Array, " N"],
    battery: Float[Array, " N"],
    broadcast: Broadcast,
    rates: tuple[Float[Array, " N"], Float[Array, " N"], Float[Array, " N"]],
    *,
    margin: float | Array = MARGIN,
) -> Float[Array, " N"]:
    """Energy in mJ that each user lacks to finish, at best; zero or negative if it can finish.

    Arguments as for `respond`, whose result it predicts cheaply, and the ``rates`` that `active_rates`
    returns.
    """
    task = _task(parameters, workload, battery, broadcast, rates, margin)
    most = jnp.full_like(workload, MOST_EFFORT)
    need = _needed(parameters, channel_gain, task, most)
    idle = _needed(parameters, channel_gain, task, jnp.zeros_like(workload))
    return jnp.where(task.least <= 0, jnp.minimum(need, idle), need) - task.budget


def _task(
    parameters: Parameters,
    workload: Float[Array, " N"],
    battery: Float[Array, " N"],
    broadcast: Broadcast,
    rates: tuple[Float[Array, " N"], Float[Array, " N"], Float[Array, " N"]],
    margin: float | Array,
) -> _Task:
    p, slot = parameters, parameters.slot_duration
    t_passive = jnp.clip(broadcast.t_passive, 0, slot)
    rate = jnp.maximum(broadcast.passive_rate, 0)
    budget = energy_budget(p, battery, jnp.maximum(broadcast.harvest, 0)) * (1 - margin)
    if broadcast.allowance is not None:
        budget = jnp.minimum(budget, jnp.maximum(broadcast.allowance, 0))
    processor = p.local_rate * slot
    most_local = jnp.minimum(budget / p.local_energy, processor)
    l_passive = jnp.clip(workload - most_local, 0, jnp.minimum(rate * t_passive, workload))
    left = workload - l_passive
    least = jnp.maximum(left - processor, 0)
    preferred, thrifty, fastest = jax.lax.stop_gradient(rates)
    saves = preferred > thrifty
    longest = jnp.where(saves, left, least) / jnp.where(thrifty > 0, thrifty, 1)
    return _Task(
        budget=budget,
        l_passive=l_passive,
        left=left,
        least=least,
        longest=jnp.minimum(longest, slot - t_passive),
        preferred=preferred,
        fastest=fastest,
        saves=saves,
    )


def _plan(task: _Task, effort: Float[Array, " N"]) -> tuple[Float[Array, " N"], Float[Array, " N"]]:
    """Time and work to send: an effort up to 1 adds time at the preferred rate, up to 2 a higher rate."""
    time = jnp.minimum(effort, 1) * task.longest
    rate = task.preferred + jnp.maximum(effort - 1, 0) * (task.fastest - task.preferred)
    return time, jnp.where(task.saves, jnp.clip(rate * time, task.least, task.left), task.least)


def _needed(
    parameters: Parameters, channel_gain: Float[Array, " N"], task: _Task, effort: Float[Array, " N"]
) -> Float[Array, " N"]:
    """Energy in mJ that a user's work needs at an effort."""
    p = parameters
    time, work = _plan(task, effort)
    radiated = _radiated(p, channel_gain, work, time)
    return radiated + p.circuit_power * time + p.local_energy * (task.left - work)


def active_rates(
    parameters: Parameters, channel_gain: Float[Array, " N"]
) -> tuple[Float[Array, " N"], Float[Array, " N"], Float[Array, " N"]]:
    """A user's own active rates in kbit/s: least cost to the AP, least energy per kbit, least energy.

    With beta(r) the power (4) for rate r, sending at r instead of computing saves phi_c r - beta - p_o mW, at
    a cost to the AP of p_ar + phi_o r W. The first rate minimises the cost per mJ saved, where

        (p_ar + phi_o r)(phi_c - beta') = phi_o (phi_c r - beta - p_o);

    the second minimises (beta + p_o)/r, where beta + p_o = r beta'; the third maximises the saving if time
    cannot grow: beta' = phi_c. Sending saves energy only if the first exceeds the second; then the third
    exceeds the first.
    """
    p = parameters
    snr = jnp.maximum(links.active_snr(p, channel_gain), jnp.finfo(channel_gain.dtype).tiny)
    per_nat = p.bandwidth / jnp.log(2.0)
    # Both conditions times snr: e^y is 1 + the signal-to-noise ratio at y = r / per_nat.
    circuit = p.circuit_power * snr
    worth = p.local_energy * snr * per_nat

    def spared(y: Float[Array, " N"]) -> Float[Array, " N"]:
        """(beta + p_o - r beta') snr, which falls in y."""
        return jnp.expm1(y) + circuit - y * jnp.exp(y)

    def gained(y: Float[Array, " N"]) -> Float[Array, " N"]:
        """The first condition, left side minus right side, times snr per_nat, which falls in y."""
        return p.active_receive_power * (worth - jnp.exp(y)) + p.mec_energy * per_nat * spared(y)

    fastest = jnp.log(jnp.maximum(worth, 1))
    preferred, thrifty = _last_positive(gained, circuit), _last_positive(spared, circuit)
    return preferred * per_nat, thrifty * per_nat, jnp.maximum(fastest, preferred) * per_nat


def _radiated(
    parameters: Parameters,
    channel_gain: Float[Array, " N"],
    work: Float[Array, " N"],
    time: Float[Array, " N"],
) -> Float[Array, " N"]:
    """Energy in mJ to send ``work`` in ``time``, finite (if huge) for the shortest times."""
    some = (time > 0) & (work > 0)
    nats = jnp.log(2.0) * work / (parameters.bandwidth * jnp.where(some, time, 1))
    snr = jnp.maximum(links.active_snr(parameters, channel_gain), jnp.finfo(work.dtype).tiny)
    energy = time * jnp.expm1(jnp.minimum(nats, LARGEST_EXPONENT)) / snr
    never = (time <= 0) & (work > 0)
    return jnp.where(some, energy, jnp.where(never, jnp.finfo(work.dtype).max, 0))


def halved(
    lower: Callable[[Array], Array], zero: Array, high: float | Array, times: int
) -> tuple[Array, Array]:
    """Both ends of the interval from ``zero`` to ``high`` after ``times`` bisection steps.

    ``lower`` says whether the solution is at or above a number; it should be true below the solution only.
    """

    def halve(_: int | Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        above = lower(middle)
        return jnp.where(above, middle, low), jnp.where(above, high, middle)

    return jax.lax.fori_loop(0, times, halve, (zero, zero + high))


def _last_positive(condition: Callable[[Array], Array], like: Float[Array, " N"]) -> Float[Array, " N"]:
    """The zero of a falling function of y in [0, `LARGEST_EXPONENT`]; 0 if it is never positive."""
    return halved(lambda y: condition(y) > 0, jnp.zeros_like(like), LARGEST_EXPONENT, BISECTIONS)[0]


def _least_effort(
    needed: Callable[[Array], Array], budget: Float[Array, " N"], least: Float[Array, " N"]
) -> Float[Array, " N"]:
    """The least effort in [0, `MOST_EFFORT`] whose energy is within ``budget``; the most if there is none."""
    budget, least = jax.lax.stop_gradient((budget, least))

    def suffices(effort: Float[Array, " N"]) -> Array:
        return jax.lax.stop_gradient(needed(effort)) <= budget

    zero = jnp.zeros_like(budget)
    found = halved(lambda effort: ~suffices(effort), zero, MOST_EFFORT, BISECTIONS)[1]
    return jnp.where((least <= 0) & suffices(zero), 0, found)
