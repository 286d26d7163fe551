"""All figures of the paper at a glance: one picture, one panel per figure, in the paper's order."""

from pathlib import Path

from scattermec.experiments.report import figures
from scattermec.experiments.report.captions import LEARNING_FIGURES, TITLES
from scattermec.experiments.report.contents import Contents
from scattermec.experiments.report.panels import Panel, learning_panels
from scattermec.pictures import style

STEM = "overview"

COLUMNS = 2
WIDTH, HEIGHT = 8.2, 3.0
"""Inches; the height is that of a row."""


def panels_of(contents: Contents) -> dict[str, Panel]:
    """One panel per figure: that of the last preset of training, or of the first kind of beams."""
    found = {
        name: learning_panels(name, contents.curves)[-1]
        for name in (LEARNING_FIGURES if contents.curves else ())
    }
    for picture in contents.pictures:
        if picture.name != "beams" and picture.name not in found:
            found[picture.name] = figures.panels_of(picture, contents.measurements)[0]
    return found


def save(contents: Contents, folder: Path) -> tuple[Path, ...]:
    """Draw the picture and write it in every format; returns the paths, none without figures."""
    panels = panels_of(contents)
    if not panels:
        return ()
    rows = -(-len(panels) // COLUMNS)
    figure = style.new_figure(WIDTH, HEIGHT * rows)
    grid = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes, (name, panel) in zip(grid, panels.items(), strict=False):
        figures.draw_panel(axes, panel)
        title = f"Fig. {name}: {TITLES[name][:1].lower()}{TITLES[name][1:]}"
        axes.set_title(title, fontsize=style.TEXT_SIZE, weight="bold", color=style.INK, loc="left")
        axes.legend(frameon=False, fontsize=style.TINY_SIZE, handlelength=2.2, labelspacing=0.25)
    for axes in grid[len(panels) :]:
        axes.remove()
    figure.subplots_adjust(
        left=0.075,
        right=0.99,
        top=1 - 0.3 / (HEIGHT * rows),
        bottom=0.5 / (HEIGHT * rows),
        hspace=0.42,
        wspace=0.2,
    )
    return style.save_figure(figure, folder / STEM)
