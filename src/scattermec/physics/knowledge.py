"""What is known of a frame before it is played: late and noisy channels, noisy workloads, lost messages.

The access point plans on its own view of the frame. Batteries are known to it exactly. Users always know
their own battery, workload and channel; what they know of the harvest is in `scattermec.optimisation.repair`.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float

from scattermec._pytree import pytree
from scattermec.physics import channel
from scattermec.physics.channel import Key
from scattermec.physics.frame import Frame
from scattermec.physics.parameters import Parameters
from scattermec.physics.posterior import sample_after


@pytree
class Knowledge:
    """Levels of what is not known; 0 everywhere is perfect knowledge."""

    csi_error: Float[Array, ""]
    """relative error of the channels, as in `Scenario`"""
    workload_error: Float[Array, ""]
    """relative error of the workloads, as in `Scenario`"""
    novelty: Float[Array, ""]
    """sqrt(1 - rho^2), if the AP sees the channels of the previous frame, with correlation rho to this one"""
    step: Float[Array, ""]
    """step of a promise that the AP sends, as a share of the largest, 1/(2^bits - 1); 0 if it is exact"""
    loss: Float[Array, ""]
    """probability that a user does not hear the AP's message"""

    @property
    def size(self) -> Array:
        """How much of the frame is not known: the sum of its levels; 0 if the AP sees the frame itself."""
        return self.csi_error + self.workload_error + self.novelty


def knowledge(**levels: float | Array) -> Knowledge:
    """Knowledge with these levels, the others 0: with none, perfect knowledge."""
    names = [field.name for field in dataclasses.fields(Knowledge)]
    return Knowledge(**{name: jnp.asarray(levels.get(name, 0.0), float) for name in names})


def knowledge_of(parameters: Parameters) -> Knowledge:
    """The knowledge that the scenario's errors leave; messages are exact and arrive."""
    return knowledge(csi_error=parameters.csi_error, workload_error=parameters.workload_error)


def view(key: Key, parameters: Parameters, knowledge: Knowledge, frame: Frame) -> Frame:
    """The frame as the AP sees it, drawn for a true frame.

    Late channels are those of the frame before, drawn given this frame's: the Gauss-Markov process is the
    same forwards and backwards. They must be fading channels, not those of a file.
    """
    key_late, key_channels, key_workload = jax.random.split(key, 3)
    p = dataclasses.replace(
        parameters, csi_error=knowledge.csi_error, workload_error=knowledge.workload_error
    )
    late = dataclasses.replace(p, correlation=jnp.sqrt(1 - knowledge.novelty**2))
    before = sample_after(key_late, late, frame, 1).channels[0]
    channels = jnp.where(knowledge.novelty > 0, before, frame.channels)
    return Frame(
        channels=channel.observed_channels(key_channels, p, channels),
        workload=channel.observed_workload(key_workload, p, frame.workload),
        battery=frame.battery,
    )


def hears(key: Key, parameters: Parameters, knowledge: Knowledge) -> Bool[Array, " N"]:
    """Which users hear the AP's message, each by itself."""
    return ~jax.random.bernoulli(key, knowledge.loss, (parameters.num_users,))
