"""Training of price-net: the gradient of energy through P1 by its prices; no labels, no replay.

Every step draws fresh frames, as the environment's first frames are: batteries independent, no backlog. The
loss is the mean of log V + log U: V is the value of elastic P1 for the network's beams, whose derivative are
its prices; U is the AP's energy when the users answer the broadcast by themselves, work left undone priced
alike.
"""

from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import Float

from scattermec._pytree import pytree
from scattermec._settings import FileSettings, constant
from scattermec.environment import reset
from scattermec.optimisation import OPTIMAL, allocate
from scattermec.physics import Frame, Parameters, links
from scattermec.physics.channel import Key
from scattermec.physics.energy import ap_energy
from scattermec.price_net import variety
from scattermec.price_net.policy import PriceNet, beam_numbers, beam_times, beams, broadcaster
from scattermec.price_net.users import MARGIN, Broadcast, respond

TRAINING, VALIDATION = 0x70A1, 0x70A2
"""Folded into the seed's key, so that no frame of training is one of validation, or of an evaluation."""


class PriceNetConfig(FileSettings):
    """How price-net is trained."""

    _title: ClassVar = "a configuration of price-net"

    width: int = constant(48, "", "", ">= 1", "Numbers that a pair of users carries")
    rounds: int = constant(2, "", "", ">= 1", "Exchanges among pairs")
    scenarios: Literal["one", "varied"] = constant(
        "one", "", "", "one or varied", "Whether all frames are of the scenario, or of many around it:"
    )
    batch_size: int = constant(256, "", "", ">= 1", "Fresh frames a step")
    learning_rate: float = constant(3e-3, "", "", "> 0", "First learning rate; its cosine falls to 0")
    clipping: float = constant(1.0, "", "", "> 0", "Largest norm of a gradient")
    energy_margin: float = constant(
        MARGIN,
        "",
        "",
        ">= 0 and < 1",
        "Part of their energy that users keep while their beams' times are learned",
    )
    own_times: float = constant(
        0.1,
        "",
        "",
        ">= 0 and <= 1",
        "Weight of the cost of the network's own times beside the cost of those that the AP makes of them",
    )


@pytree
class Progress:
    """What training has come to."""

    network: PriceNet
    optimiser: Any
    step: Array
    """() steps taken"""


class Losses(NamedTuple):
    """Means over a batch."""

    beams: Float[Array, ""]
    """log of P1's value in J"""
    times: Float[Array, ""]
    """log of what the users' answers cost in J"""


def draw_frames(key: Key, parameters: Parameters, count: int) -> Frame:
    """First frames of ``count`` episodes: fresh work and batteries, as an evaluation's."""
    return jax.vmap(reset, in_axes=(0, None))(jax.random.split(key, count), parameters).frame


def draw_varied(key: Key, base: Parameters, count: int) -> tuple[Parameters, Frame]:
    """Scenarios around `variety.base`, and frames of each: leading axes (S,) and (S, `FRAMES_EACH`)."""

    def one(key: Key) -> tuple[Parameters, Frame]:
        key_scenario, key_frames = jax.random.split(key)
        constants, antennas = variety.draw_scenario(key_scenario, base)
        frames = draw_frames(key_frames, constants, variety.FRAMES_EACH)
        return constants, variety.with_antennas(frames, antennas)

    return jax.vmap(one)(jax.random.split(key, max(1, count // variety.FRAMES_EACH)))


def losses(network: PriceNet, parameters: Parameters, frames: Frame, config: PriceNetConfig) -> Losses:
    """Both losses on K frames (leading axis)."""

    def of_frame(frame: Frame) -> tuple[Array, Array]:
        chosen = beams(network, parameters, frame)
        solution = allocate(parameters, frame, chosen, elastic=True)
        solved = solution.status == OPTIMAL
        value = jnp.log(jnp.where(solved, solution.value, 1))
        kept = jax.lax.stop_gradient(chosen)
        margin = jnp.asarray(config.energy_margin)
        numbers = beam_numbers(network, parameters, frame, kept)
        times = beam_times(parameters, frame, kept, numbers, margin=margin)
        announce = broadcaster(parameters, frame, kept)
        cost = jnp.log(answered_cost(parameters, frame, announce(times), margin))
        # The AP's shift undoes a common one, which would otherwise drift out of its reach.
        alone = jax.nn.sigmoid(numbers) * parameters.slot_duration
        own = jnp.log(answered_cost(parameters, frame, announce(alone), margin))
        return value, (1 - config.own_times) * cost + config.own_times * own

    value, cost = jax.vmap(of_frame)(frames)
    return Losses(beams=jnp.mean(value), times=jnp.mean(cost))


def answered_cost(
    parameters: Parameters, frame: Frame, told: Broadcast, margin: Float[Array, ""]
) -> Float[Array, ""]:
    """Energy (7) in J when users answer a broadcast, and the price of what they leave undone."""
    gain = links.channel_gain(frame.channels)
    answer = respond(parameters, gain, frame.workload, frame.battery, told, margin=margin)
    a = answer.allocation
    energy = ap_energy(parameters, a.t_active, a.t_passive, a.l_active, a.l_passive)
    return energy + parameters.shortfall_price * jnp.sum(answer.shortfall)


def begin(config: PriceNetConfig, seed: int, steps: int) -> Progress:
    """An untrained network."""
    network = PriceNet(jax.random.key(seed), config.width, config.rounds)
    optimiser = _optimiser(config, steps)
    # Apart, so that the gradient of one network does not decide how far that of the other is clipped.
    states = optimiser.init(network.prices), optimiser.init(network.times)
    return Progress(network=network, optimiser=states, step=jnp.zeros((), jnp.int32))


@partial(jax.jit, static_argnames=("config", "steps", "count"))
def advance(
    progress: Progress, parameters: Parameters, seed: Array, *, config: PriceNetConfig, steps: int, count: int
) -> tuple[Progress, Losses]:
    """``count`` of ``steps`` steps and their mean losses, however the steps are cut into calls.

    Where ``config`` asks for varied scenarios, ``parameters`` are those of `variety.base`.
    """
    optimiser = _optimiser(config, steps)
    key = jax.random.fold_in(jax.random.key(seed), TRAINING)

    def total(network: PriceNet, key: Key) -> tuple[Array, Losses]:
        if config.scenarios == "one":
            frames = draw_frames(key, parameters, config.batch_size)
            parts = losses(network, parameters, frames, config)
        else:
            constants, frames = draw_varied(key, parameters, config.batch_size)
            each = jax.vmap(losses, in_axes=(None, 0, 0, None))(network, constants, frames, config)
            parts = jax.tree.map(jnp.mean, each)
        return parts.beams + parts.times, parts

    def step(now: Progress, _: None) -> tuple[Progress, Losses]:
        gradient, parts = jax.grad(total, has_aux=True)(now.network, jax.random.fold_in(key, now.step))
        prices, first = optimiser.update(gradient.prices, now.optimiser[0])
        times, second = optimiser.update(gradient.times, now.optimiser[1])
        network = eqx.tree_at(
            lambda net: (net.prices, net.times),
            now.network,
            (
                optax.apply_updates(now.network.prices, prices),
                optax.apply_updates(now.network.times, times),
            ),
        )
        return Progress(network=network, optimiser=(first, second), step=now.step + 1), parts

    progress, parts = jax.lax.scan(step, progress, length=count)
    return progress, jax.tree.map(jnp.mean, parts)


def _optimiser(config: PriceNetConfig, steps: int) -> optax.GradientTransformation:
    schedule = optax.cosine_decay_schedule(config.learning_rate, steps)
    return optax.chain(optax.clip_by_global_norm(config.clipping), optax.adam(schedule))
