"""Drawing of Fig. 2a and 2b: reward and outage along training, beside the certified optimum."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scattermec.experiments.claims.learning import LearningCurves
from scattermec.experiments.report.captions import TITLES, reading, runs_text
from scattermec.experiments.report.figures import draw_panel
from scattermec.experiments.report.panels import learning_panels
from scattermec.pictures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure
else:
    # A name for tools that read annotations at run time.
    Figure = Any

WIDTH, HEIGHT = 7.6, 3.9


def draw(name: str, curves: Sequence[LearningCurves]) -> Figure:
    """Fig. ``name``, 2a or 2b: one panel per preset."""
    panels = learning_panels(name, curves)
    wider = max(1, len(panels) / 2)
    figure = style.new_figure(WIDTH * wider, HEIGHT)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        draw_panel(axes, panel)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    columns = min(len(labels), 3 if len(panels) < 3 else 6)
    rows = -(-len(labels) // columns)
    figure.legend(
        handles,
        labels,
        loc="upper right",
        bbox_to_anchor=(0.99, 0.93),
        ncols=columns,
        frameon=False,
        fontsize=style.SMALL_SIZE,
    )
    ink: dict[str, Any] = {"color": style.INK, "fontsize": style.HEADING_SIZE}
    figure.text(0.015 / wider, 0.945, f"Fig. {name}", weight="bold", **ink)
    figure.text(0.1 / wider, 0.945, TITLES[name], **ink)
    lines = [
        *reading(name),
        f"{runs_text(curves)}, mean over seeds with 95% bootstrap intervals shaded.",
    ]
    for height, text in enumerate(reversed(lines)):
        figure.text(0.015 / wider, 0.015 + 0.04 * height, text, fontsize=style.TINY_SIZE, color=style.QUIET)
    top = 0.79 if rows == 1 else 0.74
    figure.subplots_adjust(left=0.1 / wider, right=0.985, top=top, bottom=0.29, wspace=0.3)
    return figure


def save(name: str, curves: Sequence[LearningCurves], folder: Path) -> tuple[Path, ...]:
    """Draw a figure and write it in every format; returns the paths."""
    return style.save_figure(draw(name, curves), folder / stem(name))


def stem(name: str) -> str:
    """Name of a figure's files without the suffix."""
    return f"fig{name}"
