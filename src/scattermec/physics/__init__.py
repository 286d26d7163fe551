"""The model: channels, links, energies, outages and rewards, as pure functions of arrays.

Everything is written for one frame; batch it with `jax.vmap`.
"""

from scattermec.physics.frame import Allocation, Frame, Outcome, processed_work, run_frame, run_frames
from scattermec.physics.links import beam_gains, maximum_ratio_beams, unit_beams
from scattermec.physics.parameters import Parameters, parameters_of, with_margin

__all__ = [
    "Allocation",
    "Frame",
    "Outcome",
    "Parameters",
    "beam_gains",
    "maximum_ratio_beams",
    "parameters_of",
    "processed_work",
    "run_frame",
    "run_frames",
    "unit_beams",
    "with_margin",
]
