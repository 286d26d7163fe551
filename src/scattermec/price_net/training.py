"""Training of price-net: gradients of the AP's energy through P1, by P1's prices; no labels, no replay.

Every step draws new frames with the distribution of an episode's first frames: independent batteries, no
backlog. The loss is the mean of log V + log U. V is the value of elastic P1 for the network's beams, and its
derivatives are P1's prices; U is the AP's energy when users respond to the broadcast by themselves, with work
left undone priced as in V.

If knowledge varies (`PriceNetConfig.knowledge`), the loss is another one:
`scattermec.price_net.cautious_training`.

With foresight (`PriceNetConfig.discount`) batteries come from the policy's own rollouts, and V is credited
with the value of the energy left in them, which is learned at the same time (`scattermec.price_net.battery`).
"""

import dataclasses
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jaxtyping import Complex, Float, Int

from scattermec._compilation import careful_options
from scattermec._pytree import pytree
from scattermec._settings import FileSettings, constant
from scattermec.counts import MOST_BATCH, MOST_ROUNDS, MOST_WIDTH
from scattermec.environment import reset
from scattermec.errors import TrainingError
from scattermec.optimisation import OPTIMAL, Solution, allocate
from scattermec.optimisation.battery_value import worth
from scattermec.optimisation.response import MARGIN, Broadcast, broadcaster, respond
from scattermec.physics import Frame, Outcome, Parameters, links, run_frames
from scattermec.physics.channel import Key
from scattermec.physics.energy import ap_energy
from scattermec.price_net import battery, cautious_training, variety
from scattermec.price_net.features import NUM_TIME_USER_FEATURES, NUM_USER_FEATURES
from scattermec.price_net.modes import Mode
from scattermec.price_net.policy import PriceNet, beam_numbers, beam_times, beams
from scattermec.training import checkpoint

WARM_UP = 10
"""First frames of an episode, which are not counted."""

LEAST_COST = 1e-6
"""J: less than any frame costs."""

TRAINING, VALIDATION = 0x70A1, 0x70A2
"""Folded into the seed's key, so that training, validation and evaluation share no frames."""


class PriceNetConfig(FileSettings):
    """Settings of price-net's training."""

    _title: ClassVar = "a configuration of price-net"

    width: int = constant(48, "", "", f">= 1 and <= {MOST_WIDTH}", "Numbers that a pair of users carries")
    rounds: int = constant(2, "", "", f">= 1 and <= {MOST_ROUNDS}", "Exchanges among pairs")
    scenarios: Literal["one", "varied"] = constant(
        "one", "", "", "one or varied", "Whether all frames are of the scenario, or of many around it:"
    )
    knowledge: Literal["perfect", "varied"] = constant(
        "perfect", "", "", "perfect or varied", "Whether the AP knows every frame, or more or less of it:"
    )
    start: Literal["nothing", "price-net"] = constant(
        "nothing", "", "", "nothing or price-net", "Weights to start from: none, or those of the shipped:"
    )
    batch_size: int = constant(256, "", "", f">= 1 and <= {MOST_BATCH}", "Fresh frames per step")
    learning_rate: float = constant(3e-3, "", "", "> 0", "First learning rate; its cosine falls to 0")
    discount: float = constant(
        0.0, "", "", ">= 0 and <= 1", "What energy left for the next frame counts; 0: each frame for itself"
    )
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

    def _cross_faults(self) -> Iterator[tuple[tuple[str, ...], str]]:
        if self.discount > 0 and self.scenarios != "one":
            line = f"discount: {self.discount} is not allowed with scenarios: {self.scenarios}; it must be 0"
            yield ("discount", "scenarios"), line
        if self.start != "nothing" and (self.width, self.rounds, self.scenarios) != (48, 2, "one"):
            line = f"start: {self.start} is not allowed with another width, rounds or scenarios than its own"
            yield ("start", "width", "rounds", "scenarios"), f"{line}; it must be nothing"
        if self.knowledge != "perfect" and (self.discount > 0 or self.scenarios != "one"):
            line = (
                f"knowledge: {self.knowledge} is not allowed with a discount or varied scenarios; it must be"
            )
            yield ("knowledge", "discount", "scenarios"), f"{line} perfect"


@pytree
class Progress:
    """State of the training."""

    network: PriceNet
    optimiser: Any
    step: Int[Array, ""]
    """steps taken"""
    rollouts: battery.Rollouts | None = None
    """None without foresight"""


class Losses(NamedTuple):
    """Means over a batch."""

    beams: Float[Array, ""]
    """log of P1's value in J"""
    times: Float[Array, ""]
    """log of the cost in J of the users' responses"""


def check_finite(found: Losses, where: str) -> None:
    """Raise TrainingError if a loss is not finite; ``where`` says in which step."""
    if not np.isfinite(found).all():
        raise TrainingError(f"price-net: {where}: losses are not finite")


def draw_frames(key: Key, parameters: Parameters, count: int) -> Frame:
    """First frames of ``count`` episodes: new work and batteries, drawn as in an evaluation."""
    return jax.vmap(reset, in_axes=(0, None))(jax.random.split(key, count), parameters).frame


def draw_varied(key: Key, base: Parameters, count: int) -> tuple[Parameters, Frame]:
    """Scenarios around `variety.base`, and frames of each: leading axes (S,) and (S, `FRAMES_EACH`)."""

    def one(key: Key) -> tuple[Parameters, Frame]:
        key_scenario, key_frames = jax.random.split(key)
        parameters, antennas = variety.draw_scenario(key_scenario, base)
        frames = draw_frames(key_frames, parameters, variety.FRAMES_EACH)
        return parameters, variety.with_antennas(frames, antennas)

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
        # The AP's shift cancels a common shift of the logits, which would otherwise drift out of its range.
        alone = jax.nn.sigmoid(numbers) * parameters.slot_duration
        own = jnp.log(answered_cost(parameters, frame, announce(alone), margin))
        return value, (1 - config.own_times) * cost + config.own_times * own

    value, cost = jax.vmap(of_frame)(frames)
    return Losses(beams=jnp.mean(value), times=jnp.mean(cost))


def answered_cost(
    parameters: Parameters, frame: Frame, told: Broadcast, margin: Float[Array, ""]
) -> Float[Array, ""]:
    """Energy (7) in J when users respond to a broadcast, plus the price of the work they leave undone."""
    gain = links.channel_gain(frame.channels)
    answer = respond(parameters, gain, frame.workload, frame.battery, told, margin=margin)
    a = answer.allocation
    energy = ap_energy(parameters, a.t_active, a.t_passive, a.l_active, a.l_passive)
    return energy + parameters.shortfall_price * jnp.sum(answer.shortfall)


def far_sighted_losses(
    network: PriceNet, parameters: Parameters, frames: Frame
) -> tuple[Losses, tuple[Array, Solution]]:
    """Loss of the beams on K frames (leading axis) if battery energy has a value; also beams and solutions.

    V is credited with the value of the energy left in the batteries, plus the constant value of full
    batteries, so that it stays positive. The beams' times are not learned.
    """
    value = jax.lax.stop_gradient(network.battery_value)
    assert value is not None
    full = jnp.sum(worth(parameters, value, parameters.battery_capacity))

    def of_frame(frame: Frame) -> tuple[Array, tuple[Array, Solution]]:
        chosen = beams(network, parameters, frame)
        solution = allocate(parameters, frame, chosen, elastic=True, battery_value=value)
        cost = jnp.maximum(solution.value + full, LEAST_COST)
        return jnp.log(jnp.where(solution.status == OPTIMAL, cost, 1)), (chosen, solution)

    found, done = jax.vmap(of_frame)(frames)
    return Losses(beams=jnp.mean(found), times=jnp.zeros_like(found[0])), done


class RolledOut(NamedTuple):
    """Results of a policy over episodes."""

    efficiency: Float[Array, ""]
    """kbit/J: all work processed over all energy of the AP"""
    reward: Float[Array, ""]
    """kbit/J: mean of (11)"""
    outage: Float[Array, ""]
    """share of the users' frames"""


def play(mode: Mode, network: PriceNet, parameters: Parameters, frames: Frame) -> Outcome:
    """Outcome of a mode's decisions in K frames (leading axis)."""
    decided = jax.vmap(mode, in_axes=(None, None, 0))(network, parameters, frames)
    return run_frames(parameters, frames, decided.beams, decided.allocation)


def mean_outcome(
    mode: Mode, network: PriceNet, parameters: Parameters, frames: Frame
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean reward (11) in kbit/J, and mean outage, of a mode in K frames (leading axis)."""
    outcome = play(mode, network, parameters, frames)
    return jnp.mean(outcome.ap_reward), jnp.mean(~outcome.success)


def roll_out(
    mode: Mode, network: PriceNet, parameters: Parameters, key: Key, *, episodes: int, frames: int
) -> RolledOut:
    """Play ``episodes`` of ``frames`` frames, the first `WARM_UP` not counted; batteries carry over."""

    def go_on(left: Array, key: Key) -> tuple[Array, tuple[Array, ...]]:
        drawn = dataclasses.replace(draw_frames(key, parameters, episodes), battery=left)
        outcome = play(mode, network, parameters, drawn)
        done = jnp.sum(jnp.where(outcome.success, drawn.workload, 0))
        reward = jnp.mean(outcome.ap_reward)
        return outcome.battery, (done, jnp.sum(outcome.ap_energy), reward, jnp.mean(~outcome.success))

    first, rest = jax.random.split(key)
    begin = draw_frames(first, parameters, episodes).battery
    played = jax.lax.scan(go_on, begin, jax.random.split(rest, frames))[1]
    work, energy, reward, outage = (part[WARM_UP:] for part in played)
    return RolledOut(
        efficiency=jnp.sum(work) / jnp.sum(energy), reward=jnp.mean(reward), outage=jnp.mean(outage)
    )


def begin(
    config: PriceNetConfig, seed: int | Array, steps: int, parameters: Parameters | None = None
) -> Progress:
    """An untrained network; with foresight, ``parameters`` must be those that it will act in."""
    rollouts = value = None
    if config.discount > 0:
        assert parameters is not None
        rollouts = battery.begin(parameters, config.batch_size)
        value = battery.falling(rollouts.worth)
    cautious = config.knowledge == "varied"
    network = PriceNet(jax.random.key(seed), config.width, config.rounds, value, cautious=cautious)
    if config.start == "price-net":
        network = _started(network, config)
    optimiser = _optimiser(config, steps)
    # Separate states, so that one network's gradient does not affect how the other's is clipped.
    states = optimiser.init(network.prices), optimiser.init(network.times)
    return Progress(network=network, optimiser=states, step=jnp.zeros((), jnp.int32), rollouts=rollouts)


def _started(network: PriceNet, config: PriceNetConfig) -> PriceNet:
    """The network with the weights of the shipped price-net."""
    path = Path(__file__).with_name("price-net.npz")
    like = jax.eval_shape(lambda: PriceNet(jax.random.key(0), config.width, config.rounds))
    shipped, _ = checkpoint.load(path, like, checkpoint.seeds_of(path)[:1])
    return eqx.tree_at(
        lambda net: (net.prices, net.times),
        network,
        (
            network.prices.with_weights_of(shipped.prices, NUM_USER_FEATURES),
            network.times.with_weights_of(shipped.times, NUM_TIME_USER_FEATURES),
        ),
    )


@partial(jax.jit, static_argnames=("config", "steps", "count"), compiler_options=careful_options())
def advance(
    progress: Progress, parameters: Parameters, seed: Array, *, config: PriceNetConfig, steps: int, count: int
) -> tuple[Progress, Losses]:
    """Take ``count`` of ``steps`` steps; also their mean losses. The division into calls does not matter.

    If ``config`` asks for varied scenarios, ``parameters`` are those of `variety.base`.
    """
    optimiser = _optimiser(config, steps)
    key = jax.random.fold_in(jax.random.key(seed), TRAINING)

    def far_sighted(network: PriceNet, frames: Frame) -> tuple[Array, Any]:
        parts, done = far_sighted_losses(network, parameters, frames)
        return parts.beams, (parts, done)

    def total(network: PriceNet, key: Key, done: Array) -> tuple[Array, Losses]:
        if config.knowledge == "varied":
            key_frames, key_view = jax.random.split(key)
            frames = draw_frames(key_frames, parameters, config.batch_size)
            width = cautious_training.width_at(done)
            found = cautious_training.loss(network, parameters, key_view, frames, width)
            return found, Losses(beams=found, times=jnp.zeros_like(found))
        if config.scenarios == "one":
            frames = draw_frames(key, parameters, config.batch_size)
            parts = losses(network, parameters, frames, config)
        else:
            varied, frames = draw_varied(key, parameters, config.batch_size)
            each = jax.vmap(losses, in_axes=(None, 0, 0, None))(network, varied, frames, config)
            parts = jax.tree.map(jnp.mean, each)
        return parts.beams + parts.times, parts

    def step(now: Progress, _: None) -> tuple[Progress, Losses]:
        drawn, rollouts, value = jax.random.fold_in(key, now.step), now.rollouts, None
        if rollouts is None:
            gradient, parts = jax.grad(total, has_aux=True)(now.network, drawn, now.step / steps)
        else:
            frames = draw_frames(drawn, parameters, config.batch_size)
            frames = dataclasses.replace(frames, battery=rollouts.battery)
            gradient, (parts, done) = jax.grad(far_sighted, has_aux=True)(now.network, frames)
            rate = battery.RATE * optax.cosine_decay_schedule(1.0, steps)(now.step)
            rollouts = _played_on(rollouts, parameters, frames, done, drawn, config.discount, rate)
            value = battery.falling(rollouts.worth)
        prices, first = optimiser.update(gradient.prices, now.optimiser[0])
        times, second = optimiser.update(gradient.times, now.optimiser[1])
        network = eqx.tree_at(
            lambda net: (net.prices, net.times, net.battery_value),
            now.network,
            (
                optax.apply_updates(now.network.prices, prices),
                optax.apply_updates(now.network.times, times),
                value,
            ),
            is_leaf=lambda leaf: leaf is None,
        )
        after = Progress(network=network, optimiser=(first, second), step=now.step + 1, rollouts=rollouts)
        return after, parts

    progress, parts = jax.lax.scan(step, progress, length=count)
    return progress, jax.tree.map(jnp.mean, parts)


def _played_on(
    rollouts: battery.Rollouts,
    parameters: Parameters,
    frames: Frame,
    done: tuple[Complex[Array, "K N M"], Solution],
    key: Key,
    discount: float,
    rate: float | Array,
) -> battery.Rollouts:
    """The rollouts one frame later, with the worth learned from the prices of energy in the frame."""
    chosen, solution = done
    left = run_frames(parameters, frames, chosen, solution.allocation).battery
    return battery.Rollouts(
        battery=battery.restarted(jax.random.fold_in(key, battery.PARTS), parameters, left),
        worth=battery.learn(
            rollouts,
            parameters,
            frames,
            solution.prices.budget,
            solution.status == OPTIMAL,
            discount=discount,
            rate=rate,
        ),
    )


def _optimiser(config: PriceNetConfig, steps: int) -> optax.GradientTransformation:
    schedule = optax.cosine_decay_schedule(config.learning_rate, steps)
    return optax.chain(optax.clip_by_global_norm(config.clipping), optax.adam(schedule))
