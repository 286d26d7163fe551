"""Pictures: the drawing of a frame, and the style of all figures. Needs the `figures` extra."""

from scattermec.pictures.frame import draw_frame
from scattermec.pictures.style import render_rgb_array, save_figure

__all__ = ["draw_frame", "render_rgb_array", "save_figure"]
