"""The paper's Fig. 3a, 3b, 4a and 4b drawn from the measurements of their sweeps, intervals shaded."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scattermec.experiments.evidence import Curve, curve
from scattermec.experiments.sweeps import Measurement, Sweep, sweep_of
from scattermec.pictures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
else:
    # Names for those who read annotations at run time.
    Axes = Figure = Any

WIDTH, HEIGHT = 7.6, 3.7

TITLES = {
    "3a": "Work and time against the AP's power",
    "3b": "Work and time against the workload",
    "4a": "Work and time against the distance",
    "4b": "Energy efficiency against the distance",
}
CAPTIONS = {
    "3a": "low power suppresses active offloading; passive is preferred, a large part is local.",
    "3b": "small loads are offloaded; with more work, passive time and local work grow, active time shrinks.",
    "4a": "the farther the users, the more of the work is local and the less is offloaded actively.",
    "4b": "efficiency falls with distance, Hybrid ≥ Active-enabled ≥ MEC-disabled, and the three converge.",
}
"""What the paper reads off each figure."""

MODES = {
    "active": style.SchemeStyle("Active", style.ACTIVE, "s", "--"),
    "passive": style.SchemeStyle("Passive", style.PASSIVE, "D", "-"),
    "local": style.SchemeStyle("Local", style.LOCAL, "^", "-."),
}
OUTAGE = style.SchemeStyle("Users in outage", style.OUTAGE, "x", ":")
BEAM_LABELS = {"mrt": "MRT", "random": "random"}


def draw(name: str, measurements: Sequence[Measurement]) -> Figure:
    """Figure ``name`` (3a, 3b, 4a or 4b)."""
    sweep = sweep_of(name)
    rows = [row for row in measurements if row.swept == sweep.name]
    figure = style.new_figure(WIDTH, HEIGHT)
    left, right = figure.subplots(1, 2)
    if name == "4b":
        _efficiency(left, rows, sweep)
        _outages(right, rows, sweep)
    else:
        _shares(left, rows, sweep)
        _times(right, rows, sweep)
    _frame(figure, name, rows)
    return figure


def save(name: str, measurements: Sequence[Measurement], folder: Path) -> tuple[Path, ...]:
    """Draw a figure and write it in every format; the paths written."""
    return style.save_figure(draw(name, measurements), folder / f"fig{name}")


def paths(name: str, folder: Path) -> tuple[Path, ...]:
    """Where `save` writes a figure."""
    return tuple(folder / f"fig{name}.{kind}" for kind in style.FORMATS)


def _shares(axes: Axes, rows: Sequence[Measurement], sweep: Sweep) -> None:
    for mode, look in MODES.items():
        _plot(axes, curve(rows, sweep.name, "hybrid", f"{mode}_share"), look, factor=100.0)
    _plot(axes, curve(rows, sweep.name, "hybrid", "outage"), OUTAGE, factor=100.0)
    axes.set_ylim(-2, 102)
    _label(axes, sweep, "Part of the processed work (%)")


def _times(axes: Axes, rows: Sequence[Measurement], sweep: Sweep) -> None:
    for mode, look in MODES.items():
        _plot(axes, curve(rows, sweep.name, "hybrid", f"t_{mode}"), look)
    _from_zero(axes)
    _label(axes, sweep, "Time per user and frame (s)")


def _efficiency(axes: Axes, rows: Sequence[Measurement], sweep: Sweep) -> None:
    for scheme, look in style.SCHEMES.items():
        line = curve(rows, sweep.name, scheme, "energy_efficiency")
        _plot(axes, line, look)
    _from_zero(axes)
    _label(axes, sweep, "Energy efficiency (kbit/J)")


def _outages(axes: Axes, rows: Sequence[Measurement], sweep: Sweep) -> None:
    for scheme, look in style.SCHEMES.items():
        line = curve(rows, sweep.name, scheme, "outage")
        _plot(axes, line, look, factor=100.0)
    _from_zero(axes)
    _label(axes, sweep, "Users in outage (%)")


def _plot(axes: Axes, line: Curve, look: style.SchemeStyle, factor: float = 1.0) -> None:
    low, mean, high = (factor * part for part in (line.low, line.mean, line.high))
    axes.fill_between(line.values, low, high, color=look.colour, alpha=0.2, linewidth=0)
    axes.plot(line.values, mean, **(look.line() | {"markersize": 4.5, "linewidth": 1.6}))


def _from_zero(axes: Axes) -> None:
    # A little below, so that marks at zero are whole.
    axes.set_ylim(bottom=-0.02 * axes.get_ylim()[1])


def _label(axes: Axes, sweep: Sweep, ordinate: str) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    style.tidy_axes(axes, grid="both")
    if sweep.logarithmic:
        axes.set_xscale("log", base=2)
        octaves = np.arange(np.floor(np.log2(sweep.low)), np.ceil(np.log2(sweep.high)) + 1)
        axes.xaxis.set_major_locator(FixedLocator(list(2.0**octaves)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    unit = f" ({sweep.unit})" if sweep.unit else ""
    axes.set_xlabel(sweep.label + unit, fontsize=style.TEXT_SIZE, color=style.INK)
    axes.set_ylabel(ordinate, fontsize=style.TEXT_SIZE, color=style.INK)


def _frame(figure: Figure, name: str, rows: Sequence[Measurement]) -> None:
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
    ink: dict[str, Any] = {"color": style.INK}
    figure.text(0.015, 0.945, f"Fig. {name}", fontsize=style.HEADING_SIZE, weight="bold", **ink)
    figure.text(0.1, 0.945, TITLES[name], fontsize=style.HEADING_SIZE, **ink)
    scheme = "each scheme" if name == "4b" else "Hybrid-offload"
    how = (
        f"Exact optimum of {scheme} for {BEAM_LABELS[rows[0].beams]} beams, "
        f"{max(row.frames for row in rows):,} independent frames a point, 95% intervals shaded."
    )
    quiet: dict[str, Any] = {"fontsize": style.TINY_SIZE, "color": style.QUIET}
    figure.text(0.015, 0.055, f"The paper: {CAPTIONS[name]}", **quiet)
    figure.text(0.015, 0.015, how, **quiet)
    figure.subplots_adjust(left=0.08, right=0.985, top=0.83, bottom=0.235, wspace=0.24)
