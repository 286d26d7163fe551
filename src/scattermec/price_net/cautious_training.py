"""Training of a cautious price-net: the reward of the true frame, by gradient, whatever is not known.

Every step draws new frames, for each of them levels of what is not known, and the AP's view. The network
plans on the view, users repair in the true frame, and the gradient of reward (11) runs through the users'
answers to beams, times and promises. Success has no derivative; a sigmoid of the energy that a user has to
spare takes its place, which grows steep as the training goes on.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from scattermec.optimisation.repair import Measured, measured, repair, sent, timeline
from scattermec.optimisation.response import Broadcast, active_rates, energy_lacking
from scattermec.physics import Allocation, Frame, Parameters, links
from scattermec.physics.channel import Key
from scattermec.physics.energy import ap_energy, energy_budget, energy_demand
from scattermec.physics.knowledge import Knowledge, hears, knowledge, view
from scattermec.physics.rewards import partial_reward
from scattermec.price_net.cautious import plan
from scattermec.price_net.features import LEAST_WORK
from scattermec.price_net.policy import PriceNet

MOST = {"csi_error": 0.3, "workload_error": 0.3, "novelty": 0.5, "step": 1 / 15, "loss": 0.2}
"""Largest levels of training: late channels have a correlation of at least 0.87, promises at least 4 bits."""

PRESENT = 0.3
"""Probability that a level is not 0, for each by itself; it is then uniform up to its largest."""

FIRST_WIDTH, LAST_WIDTH = 0.02, 0.002
"""Width of the sigmoid if everything is known, as a share of the energy of computing all work, at the start
and at the end."""

WIDER = 0.025
"""What it grows by per size of what is not known: errors smooth the success anyway, and a wider sigmoid lets
more frames say by how much it changes."""

REACHED = 4.0
"""Logit of the success of a user that has just the energy it needs, if everything is known: 98%."""

RELIES = 0.99
"""Share of the energy counted on from which a plan fails if the promise does."""


def draw_knowledge(key: Key) -> Knowledge:
    """Levels for one frame."""

    def one(key: Key, most: float) -> Array:
        present, level = jax.random.split(key)
        return jnp.where(jax.random.bernoulli(present, PRESENT), most * jax.random.uniform(level), 0)

    keys = jax.random.split(key, len(MOST))
    return knowledge(**{name: one(keys[index], most) for index, (name, most) in enumerate(MOST.items())})


def width_at(part: Float[Array, ""]) -> Float[Array, ""]:
    """Width of the sigmoid after this part of the training, if everything is known."""
    return FIRST_WIDTH * (LAST_WIDTH / FIRST_WIDTH) ** part


def loss(
    network: PriceNet, parameters: Parameters, key: Key, frames: Frame, width: Float[Array, ""]
) -> Float[Array, ""]:
    """Minus the logarithm of the mean smooth reward over K frames (leading axis)."""

    def of_frame(key: Key, frame: Frame) -> Array:
        key_levels, key_frame = jax.random.split(key)
        return smooth_reward(network, parameters, key_frame, draw_knowledge(key_levels), frame, width)

    keys = jax.random.split(key, len(frames.workload))
    return -jnp.log(jnp.mean(jax.vmap(of_frame)(keys, frames)))


def smooth_reward(
    network: PriceNet,
    parameters: Parameters,
    key: Key,
    levels: Knowledge,
    frame: Frame,
    width: Float[Array, ""],
) -> Float[Array, ""]:
    """Reward (11) in kbit/J of a plan repaired in the true ``frame``, with a smooth success."""
    p = parameters
    key_view, key_heard = jax.random.split(key)
    planned = plan(network, p, levels, view(key_view, p, levels, frame))
    arrived = sent(p, jax.lax.stop_gradient(planned.promise), levels.step, hears(key_heard, p, levels))
    # A rounded promise changes with the exact one, on average.
    change = planned.promise - jax.lax.stop_gradient(planned.promise)
    promise = arrived + jnp.where(arrived > 0, change, 0)
    known = measured(p, frame, planned.beams, planned.t_passive)
    gain = links.channel_gain(frame.channels)
    a = repair(p, gain, frame.workload, frame.battery, known, promise).allocation
    after = timeline(p, frame, planned.beams, planned.t_passive).after
    spare = _spare(p, frame, known, promise, after, jax.lax.stop_gradient(a))
    need = p.local_energy * jnp.maximum(frame.workload, LEAST_WORK)
    success = jax.nn.sigmoid((spare / need + REACHED * width) / (width + WIDER * levels.size))
    energy = ap_energy(p, a.t_active, a.t_passive, a.l_active, a.l_passive)
    return partial_reward(p, frame.workload, success, energy)


def _spare(
    parameters: Parameters,
    frame: Frame,
    known: Measured,
    promise: Float[Array, " N"],
    after: Float[Array, " N"],
    answer: Allocation,
) -> Float[Array, " N"]:
    """Energy in mJ that each user has to spare; negative if it fails.

    That of the most thrifty allocation, or by how much the promise is kept if the ``answer`` relies on it.
    ``after`` is the true harvest after the user's slot.
    """
    p = parameters
    gain = links.channel_gain(frame.channels)
    told = Broadcast(
        t_passive=known.t_passive, passive_rate=known.passive_rate, harvest=known.harvest + after
    )
    spare = -energy_lacking(p, gain, frame.workload, frame.battery, told, active_rates(p, gain))
    power = links.active_power(p, gain, answer.l_active, answer.t_active)
    demand = energy_demand(p, power, answer.t_active, answer.l_local)
    counted = energy_budget(p, frame.battery, known.harvest + promise)
    relies = (promise > 0) & (demand > RELIES * counted)
    return jnp.where(relies, jnp.minimum(spare, after - promise), spare)
