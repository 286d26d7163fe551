"""price-net without perfect knowledge: beams and times with slack, and promises to users that repair.

The network is given the levels of what is not known beside the frame as the access point sees it. For each
user it says how long the beam is on, how much of the user's energy the AP leaves out when it checks that the
times serve everyone (the slack), and by how much it discounts its promise of later harvest.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from scattermec.optimisation.repair import Plan, plan_for
from scattermec.optimisation.response import MARGIN
from scattermec.physics import Frame, Parameters
from scattermec.physics.knowledge import Knowledge
from scattermec.price_net.beams import beams_from_unit_prices
from scattermec.price_net.features import time_features
from scattermec.price_net.policy import PriceNet, beam_times, unit_prices

FIRST_SLACK, FIRST_DISCOUNT = 2.0, 5.0
"""Logits added, so that an untrained network already leaves sensible slack and promises with care."""


def plan(network: PriceNet, parameters: Parameters, knowledge: Knowledge, seen: Frame) -> Plan:
    """The AP's plan for the frame as it sees it."""
    chosen = beams_from_unit_prices(seen.channels, unit_prices(network, parameters, seen, knowledge))
    outputs = network.times(time_features(parameters, seen, chosen, knowledge))
    numbers = jnp.diagonal(outputs).astype(seen.workload.dtype)

    def share(logits: Float[Array, " N"]) -> Float[Array, " N"]:
        """In [0, 1), and none if everything is known."""
        return -jnp.expm1(-knowledge.size * jax.nn.softplus(logits))

    slack = MARGIN + (1 - MARGIN) * share(numbers[1] + FIRST_SLACK)
    times = beam_times(parameters, seen, chosen, numbers[0], margin=slack)
    return plan_for(parameters, seen, chosen, times, share(numbers[2] + FIRST_DISCOUNT))
