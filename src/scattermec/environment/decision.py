"""The decision in a frame, and the frame as the agents see it."""

import dataclasses

from jax import Array
from jaxtyping import Complex

from scattermec._pytree import pytree
from scattermec.environment.core import EnvState
from scattermec.physics import Allocation, Frame


@pytree
class Decision:
    """Beams and allocation of a frame."""

    beams: Complex[Array, "N M"]
    allocation: Allocation


def as_seen(state: EnvState) -> EnvState:
    """The frame as the AP sees it, with the observed channels and workload taken as the true ones."""
    frame = Frame(
        channels=state.observed_channels, workload=state.observed_workload, battery=state.frame.battery
    )
    return dataclasses.replace(state, frame=frame)
