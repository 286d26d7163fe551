"""Fig. 3a, 3b, 4a and 4b drawn from the measurements of their sweeps, and a comparison of the beams."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from scattermec.experiments.measure.sweeps import Measurement, sweep_of
from scattermec.experiments.report.captions import TITLES, frames_text, policy_label, reading
from scattermec.experiments.report.panels import LIMIT, Panel, beams_panels, sweep_panels
from scattermec.pictures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
else:
    # Names for tools that read annotations at run time.
    Axes = Figure = Any

WIDTH, WIDE, HEIGHT = 7.6, 10.4, 3.7
"""Inches; the wide figure has three panels."""


class Picture(NamedTuple):
    """A figure to draw: its name, and the kind of beams unless it compares beams."""

    name: str
    beams: str = ""

    @property
    def stem(self) -> str:
        """Name of its files without the suffix."""
        return f"fig{self.name}" if self.name == "beams" else f"fig{self.name}-{self.beams}"

    @property
    def label(self) -> str:
        """Its name for readers."""
        return "Beams" if self.name == "beams" else f"Fig. {self.name}, {policy_label(self.beams)}"


def panels_of(picture: Picture, measurements: Sequence[Measurement]) -> tuple[Panel, ...]:
    """The panels of a figure: for one kind of beams, or the comparison of beams."""
    rows = rows_of(picture.name, measurements)
    if picture.name == "beams":
        return beams_panels(rows)
    return sweep_panels(picture.name, [row for row in rows if row.beams == picture.beams])


def rows_of(name: str, measurements: Sequence[Measurement]) -> list[Measurement]:
    """The rows that a figure is drawn from, for all kinds of beams."""
    swept = sweep_of(name).name
    return [row for row in measurements if row.swept == swept]


def draw(picture: Picture, measurements: Sequence[Measurement]) -> Figure:
    """One figure: 3a, 3b, 4a or 4b for a kind of beams, or the comparison of beams."""
    panels = panels_of(picture, measurements)
    comparison = picture.name == "beams"
    figure = style.new_figure(*((WIDE, HEIGHT + 0.3) if comparison else (WIDTH, HEIGHT)))
    for axes, panel in zip(figure.subplots(1, len(panels)), panels, strict=True):
        draw_panel(axes, panel)
    if comparison:
        limit: dict[str, Any] = {"color": style.QUIET, "linestyle": "--", "linewidth": 1.2}
        figure.axes[0].plot([], [], label=LIMIT, **limit)
    _frame(figure, picture, rows_of(picture.name, measurements))
    if comparison:
        figure.subplots_adjust(left=0.06, right=0.99, bottom=0.27, wspace=0.22)
    return figure


def save(picture: Picture, measurements: Sequence[Measurement], folder: Path) -> tuple[Path, ...]:
    """Draw a figure and write it in every format; returns the paths."""
    return style.save_figure(draw(picture, measurements), folder / picture.stem)


def draw_panel(axes: Axes, panel: Panel) -> None:
    """Draw a panel on its axes; lines in the role of their look are named for the legend."""
    named: set[str] = set()
    for line in panel.lines:
        drawn, look = line.curve, line.look
        if line.band:
            axes.fill_between(drawn.values, drawn.low, drawn.high, color=look.colour, alpha=0.2, linewidth=0)
        changes: dict[str, Any] = {"markersize": 4.5, "linewidth": 1.6}
        if look.label in named:  # another line of the same look, kept in the background
            changes = {"linewidth": 1.2, "zorder": 1.5, "label": None}
        named.add(look.label)
        axes.plot(drawn.values, drawn.mean, **(look.line() | changes))
    if panel.level:
        level = panel.level
        looks: dict[str, Any] = {"color": level.colour, "linestyle": level.linestyle, "linewidth": 1.3}
        axes.axhline(level.value, zorder=1.5, label=level.label or None, **looks)
    style.tidy_axes(axes, grid="both")
    if panel.octaves:
        _octaves(axes, panel.octaves)
    _limits(axes, *panel.limits)
    axes.set_xlabel(panel.abscissa, fontsize=style.TEXT_SIZE, color=style.INK)
    axes.set_ylabel(panel.ordinate, fontsize=style.TEXT_SIZE, color=style.INK)
    if panel.title:
        axes.set_title(panel.title, fontsize=style.TEXT_SIZE, color=style.INK, loc="left")


def _limits(axes: Axes, low: float | None, high: float | None) -> None:
    # Slightly below 0, so that markers at 0 are not cut off.
    axes.set_ylim(bottom=-0.02 * axes.get_ylim()[1] if low == 0 else low, top=high)


def _octaves(axes: Axes, ticks: Sequence[float]) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _frame(figure: Figure, picture: Picture, rows: Sequence[Measurement]) -> None:
    """Title, caption and one legend for both panels."""
    left = figure.axes[0]
    handles, labels = left.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="upper right",
        bbox_to_anchor=(0.99, 0.915),
        ncols=len(labels),
        frameon=False,
        fontsize=style.SMALL_SIZE,
        handlelength=2.8,
        columnspacing=1.4,
    )
    name = picture.name
    scheme = "each scheme" if name == "4b" else "Hybrid-offload"
    shown = [row for row in rows if name == "beams" or row.beams == picture.beams]
    frames = f"{frames_text(shown)}, 95% intervals shaded."
    if name == "beams":
        heading, title = "", f"{TITLES[name]} ({scheme})"
        lines = [*reading(name), f"Exact allocation for each kind of beams, {frames}"]
    else:
        heading, title = f"Fig. {name}", f"{TITLES[name]}: {policy_label(picture.beams)}"
        if picture.beams == "optimal":
            what = "Exact optimum of beams and allocation"
        else:
            what = f"Exact optimum of the allocation for {policy_label(picture.beams)}"
        lines = [*reading(name), f"{what}, {scheme}, {frames}"]
    ink: dict[str, Any] = {"color": style.INK}
    figure.text(0.015, 0.945, heading, fontsize=style.HEADING_SIZE, weight="bold", **ink)
    figure.text(0.1 if heading else 0.015, 0.945, title, fontsize=style.HEADING_SIZE, **ink)
    quiet: dict[str, Any] = {"fontsize": style.TINY_SIZE, "color": style.QUIET}
    for height, text in enumerate(reversed(lines)):
        figure.text(0.015, 0.015 + 0.04 * height, text, **quiet)
    figure.subplots_adjust(left=0.08, right=0.985, top=0.83, bottom=0.235, wspace=0.24)
