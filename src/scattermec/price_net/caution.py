"""Training of a cautious price-net: the reward of the true frame, by gradient, under every kind of ignorance.

Every step draws new frames, for each of them levels of what is not known, and the AP's view. The network
plans on the view, users repair on the truth, and the gradient of reward (11) runs through the users' answers
to beams, times and promises. Success, which has no derivative, becomes a sigmoid of the energy that a user
has to spare; it grows steep as the training goes on.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from scattermec.optimisation.repair import measured, repair, sent, timeline
from scattermec.optimisation.response import Broadcast, active_rates, energy_lacking
from scattermec.physics import Frame, Parameters, links, rewards
from scattermec.physics.channel import Key
from scattermec.physics.energy import ap_energy, energy_demand
from scattermec.physics.knowledge import Knowledge, hears, view
from scattermec.price_net.cautious import plan
from scattermec.price_net.policy import PriceNet

MOST = Knowledge(csi_error=0.3, workload_error=0.3, novelty=0.5, step=1 / 15, loss=0.2)
PRESENT = 0.3
FIRST_WIDTH, LAST_WIDTH = 0.02, 0.002
REACHED = 4.0


def draw_knowledge(key: Key) -> Knowledge:
    def one(key, most):
        present, level = jax.random.split(key)
        return jnp.where(jax.random.bernoulli(present, PRESENT), most * jax.random.uniform(level), 0.0)

    leaves, tree = jax.tree.flatten(MOST)
    return tree.unflatten([one(k, m) for k, m in zip(jax.random.split(key, len(leaves)), leaves)])


def soft_reward(
    network: PriceNet, parameters: Parameters, key: Key, frame: Frame, knowledge: Knowledge, width
) -> Float[Array, ""]:
    p = parameters
    key_view, key_heard = jax.random.split(key)
    seen = view(key_view, p, knowledge, frame)
    planned = plan(network, p, knowledge, seen)
    exact = planned.promise
    arrived = sent(p, jax.lax.stop_gradient(exact), knowledge.step, hears(key_heard, p, knowledge))
    promise = arrived + jnp.where(arrived > 0, exact - jax.lax.stop_gradient(exact), 0)
    known = measured(p, frame, planned.beams, planned.t_passive)
    gain = links.channel_gain(frame.channels)
    answer = repair(p, gain, frame.workload, frame.battery, known, promise)
    a = answer.allocation
    energy = ap_energy(p, a.t_active, a.t_passive, a.l_active, a.l_passive)
    after = timeline(p, frame, planned.beams, planned.t_passive).after
    truth = Broadcast(
        t_passive=known.t_passive, passive_rate=known.passive_rate, harvest=known.harvest + after
    )
    spare = -energy_lacking(p, gain, frame.workload, frame.battery, truth, active_rates(p, gain))
    power = jax.lax.stop_gradient(links.active_power(p, gain, a.l_active, a.t_active))
    demand = energy_demand(p, power, jax.lax.stop_gradient(a.t_active), jax.lax.stop_gradient(a.l_local))
    counted = jnp.minimum(frame.battery + known.harvest + promise, p.battery_capacity)
    relies = (promise > 0) & (demand > 0.99 * counted)
    spare = jnp.minimum(spare, jnp.where(relies, after - promise, spare))
    need = p.local_energy * jnp.maximum(frame.workload, 1e-3)
    success = jax.nn.sigmoid(spare / need / width + REACHED)
    return rewards.partial_reward(p, frame.workload, success, energy)
