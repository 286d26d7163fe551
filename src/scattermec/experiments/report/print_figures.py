"""Figures for papers: one panel per file, of a given width, without title and caption, as PDF and PGF."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scattermec.experiments.report import figures
from scattermec.experiments.report.captions import LEARNING_FIGURES
from scattermec.experiments.report.contents import Contents, read
from scattermec.experiments.report.panels import Panel, learning_panels
from scattermec.pictures import style

FOLDER = "print"

ASPECT = 0.72
POINTS = 8.0
"""Size of all text, as in the captions of a column."""

ENGINES = ("xelatex", "lualatex", "pdflatex")
"""TeX engines, one of which Matplotlib needs to measure the text of PGF files."""


def save(folder: Path, width: float) -> tuple[Path, ...]:
    """Draw every panel of a reproduction's figures; ``width`` is in inches. Returns the paths.

    PGF files are written only where a TeX engine is installed.
    """
    import matplotlib

    contents = read(folder)
    engine = next(filter(shutil.which, ENGINES), None)
    settings: Any = {"pgf.texsystem": engine or ENGINES[0], "pgf.rcfonts": False, "font.size": POINTS}
    formats = ("pdf", "pgf") if engine else ("pdf",)
    paths: list[Path] = []
    with matplotlib.rc_context(settings):
        for stem, panel in _panels(contents):
            figure = style.new_figure(width, width * ASPECT)
            axes = figure.subplots()
            figures.draw_panel(axes, panel)
            axes.set_title("")
            axes.xaxis.label.set_fontsize(POINTS)
            axes.yaxis.label.set_fontsize(POINTS)
            axes.tick_params(labelsize=POINTS)
            axes.legend(frameon=False, fontsize=POINTS - 1, handlelength=2.0, labelspacing=0.25)
            figure.tight_layout(pad=0.3)
            paths += style.save_figure(figure, folder / FOLDER / stem, formats)
    return tuple(paths)


def _panels(contents: Contents) -> Iterator[tuple[str, Panel]]:
    for name in LEARNING_FIGURES if contents.curves else ():
        for number, panel in enumerate(learning_panels(name, contents.curves), 1):
            yield f"fig{name}-{number}", panel
    for picture in contents.pictures:
        for number, panel in enumerate(figures.panels_of(picture, contents.measurements), 1):
            yield f"{picture.stem}-{number}", panel
