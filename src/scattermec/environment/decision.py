"""What is decided in a frame, and the frame as those who decide see it."""

import dataclasses

from jax import Array
from jaxtyping import Complex

from scattermec._pytree import pytree
from scattermec.environment.core import EnvState
from scattermec.physics import Allocation, Frame


@pytree
class Decision:
    """What is done in a frame."""

    beams: Complex[Array, "N M"]
    allocation: Allocation


def as_seen(state: EnvState) -> EnvState:
    """The frame as the AP believes it to be: its view of channels and workload taken for the truth."""
    frame = Frame(
        channels=state.observed_channels, workload=state.observed_workload, battery=state.frame.battery
    )
    return dataclasses.replace(state, frame=frame)
