"""Blocks, with labels that appear only if there is room for them."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from scattermec.pictures import style
from scattermec.pictures.style import Number

_POINTS_PER_LETTER = 0.6
"""Mean width of a letter relative to the font size, rounded up."""


def block(
    axes: Axes,
    left: Number,
    bottom: Number,
    width: Number,
    height: Number,
    *,
    colour: str,
    gid: str,
    **looks: Any,
) -> Rectangle:
    """A coloured rectangle in data coordinates with a white rim that separates it from its neighbours."""
    # The rim would hide a thin rectangle.
    thin = min(size_in_points(axes, width, height)) < 2.5
    rim = {"edgecolor": "white", "linewidth": 0.0 if thin else 0.7, **looks}
    rectangle = Rectangle((left, bottom), width, height, facecolor=colour, gid=gid, **rim)
    axes.add_patch(rectangle)
    return rectangle


def size_in_points(axes: Axes, width: Number, height: Number) -> tuple[float, float]:
    """Convert a width and a height from data coordinates to points on the page."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    box = axes.get_position()
    inches = figure.get_size_inches()
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    return (
        72 * inches[0] * box.width * width / abs(right - left),
        72 * inches[1] * box.height * height / abs(top - bottom),
    )


def fitting_label(
    axes: Axes,
    rectangle: Rectangle,
    *choices: str,
    colour: str | None = None,
    size: Number = style.SMALL_SIZE,
) -> None:
    """Write the first text that fits into a rectangle, if any does, in a smaller font if necessary."""
    width, height = size_in_points(axes, rectangle.get_width(), abs(rectangle.get_height()))
    if colour is None:
        colour = style.text_colour(*to_rgb(rectangle.get_facecolor()))
    for font in (size, min(size, 6.5)):
        for words in choices:
            if fits(words, font, width, height):
                x = rectangle.get_x() + rectangle.get_width() / 2
                y = rectangle.get_y() + rectangle.get_height() / 2
                axes.text(
                    x,
                    y,
                    words,
                    fontsize=font,
                    color=colour,
                    ha="center",
                    va="center_baseline",
                    linespacing=1.1,
                )
                return


def fits(words: str, size: Number, width: Number, height: Number) -> bool:
    """Whether a text in a font size fits a width and height in points."""
    lines = words.split("\n")
    letters = max(len(line) for line in lines)
    return bool(letters * _POINTS_PER_LETTER * size + 3 <= width and 1.1 * size * len(lines) <= height)
