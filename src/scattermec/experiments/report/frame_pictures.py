"""The frame of a reproduction drawn under each policy."""

from pathlib import Path

import numpy as np

from scattermec.experiments.studies.frame import TITLES, PlayedFrame, stem
from scattermec.physics import parameters_of
from scattermec.pictures.frame import draw_frame
from scattermec.pictures.style import save_figure
from scattermec.scenario import Scenario


def save(played: PlayedFrame, scenario: Scenario, folder: Path) -> tuple[Path, ...]:
    """Draw a frame and write it in every format; returns the paths."""
    figure = draw_frame(
        parameters_of(scenario),
        played.frame,
        played.beams,
        played.allocation,
        played.outcome,
        positions=np.array(scenario.user_positions),
        title=TITLES[played.policy],
    )
    return save_figure(figure, folder / stem(played.policy))
