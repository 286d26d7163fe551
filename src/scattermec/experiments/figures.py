"""Fig. 3a, 3b, 4a and 4b drawn from the measurements of their sweeps, and a comparison of the beams."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

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

WIDTH, WIDE, HEIGHT = 7.6, 10.4, 3.7
"""Inches; the wide one has three panels."""

TITLES = {
    "3a": "Work and time against the AP's power",
    "3b": "Work and time against the workload",
    "4a": "Work and time against the distance",
    "4b": "Energy efficiency against the distance",
    "beams": "What beamforming is worth",
}
CAPTIONS = {
    "3a": "low power suppresses active offloading; passive is preferred, a large part is local.",
    "3b": "small loads are offloaded; with more work, passive time and local work grow, active time shrinks.",
    "4a": "the farther the users, the more of the work is local and the less is offloaded actively.",
    "4b": "efficiency falls with distance, Hybrid ≥ Active-enabled ≥ MEC-disabled, and the three converge.",
}
"""What the paper reads off each of its figures."""
COMPARISON = (
    "Left: no beams, allocation and choice of users that serve as many users on these frames have an "
    "efficiency above the dashed line of a curve's colour (certified; where it is not seen, the curve is on "
    "it).",
    "Middle: energy on the frames where these beams serve everyone, over the least that any beams take there "
    "(certified); none can come below 1.",
)
"""How to read the figure that the paper lacks."""

MODES = {
    "active": style.SchemeStyle("Active", style.ACTIVE, "s", "--"),
    "passive": style.SchemeStyle("Passive", style.PASSIVE, "D", "-"),
    "local": style.SchemeStyle("Local", style.LOCAL, "^", "-."),
}
OUTAGE = style.SchemeStyle("Users in outage", style.OUTAGE, "x", ":")
BEAM_LABELS = {"mrt": "MRT", "random": "random", "optimal": "optimal"}
BEAM_STYLES = {
    "optimal": style.SchemeStyle("Optimal beams", style.INK, "o", "-"),
    "mrt": style.SchemeStyle("MRT beams", style.ACTIVE, "s", "-"),
    "random": style.SchemeStyle("Random beams", style.PASSIVE, "D", "-"),
}
LIMIT = style.SchemeStyle("Certified limit at the same outage", style.QUIET, "", "--")


def policy_label(kind: str) -> str:
    """What readers call the rows of one kind: exact allocations for these beams, or policies of that name."""
    return f"{BEAM_LABELS[kind]} beams" if kind in BEAM_LABELS else f"{kind} policies"


class Picture(NamedTuple):
    """A figure to be drawn: its name, and the kind of beams unless it compares them."""

    name: str
    beams: str = ""

    @property
    def stem(self) -> str:
        """Its files' name without the suffix."""
        return f"fig{self.name}" if self.name == "beams" else f"fig{self.name}-{self.beams}"

    @property
    def label(self) -> str:
        """What readers call it."""
        return "Beams" if self.name == "beams" else f"Fig. {self.name}, {policy_label(self.beams)}"


def draw(picture: Picture, measurements: Sequence[Measurement]) -> Figure:
    """One figure: 3a, 3b, 4a or 4b for a kind of beams, or the comparison of beams."""
    name = picture.name
    sweep = sweep_of(name)
    rows = [row for row in measurements if row.swept == sweep.name]
    if name == "beams":
        return _compare_beams(rows, sweep)
    rows = [row for row in rows if row.beams == picture.beams]
    figure = style.new_figure(WIDTH, HEIGHT)
    left, right = figure.subplots(1, 2)
    if name == "4b":
        _efficiency(left, rows, sweep)
        _outages(right, rows, sweep)
    else:
        _shares(left, rows, sweep)
        _times(right, rows, sweep)
    _frame(figure, picture, rows)
    return figure


def save(picture: Picture, measurements: Sequence[Measurement], folder: Path) -> tuple[Path, ...]:
    """Draw a figure and write it in every format; the paths written."""
    return style.save_figure(draw(picture, measurements), folder / picture.stem)


def paths(picture: Picture, folder: Path) -> tuple[Path, ...]:
    """Where `save` writes a figure."""
    return tuple(folder / f"{picture.stem}.{kind}" for kind in style.FORMATS)


def _compare_beams(rows: Sequence[Measurement], sweep: Sweep) -> Figure:
    """Efficiency with its limits, energy over the bound, and outage, of the hybrid scheme."""
    figure = style.new_figure(WIDE, HEIGHT + 0.3)
    efficiency, energy, outage = figure.subplots(1, 3)
    for kind, look in BEAM_STYLES.items():
        own = [row for row in rows if row.beams == kind]

        def line(metric: str, own: Sequence[Measurement] = own) -> Curve:
            return curve(own, sweep.name, "hybrid", metric)

        limit = line("efficiency_limit")
        dashes: dict[str, Any] = {"color": look.colour, "linestyle": "--", "linewidth": 1.2, "zorder": 1.5}
        efficiency.plot(limit.values, limit.mean, **dashes)
        _plot(efficiency, line("energy_efficiency"), look)
        _plot(energy, line("energy_over_bound"), look)
        _plot(outage, line("outage"), look, factor=100.0)
    efficiency.plot([], [], label=LIMIT.label, color=LIMIT.colour, linestyle="--", linewidth=1.2)
    energy.axhline(1, color=LIMIT.colour, linestyle="--", linewidth=1.2, zorder=1.5)
    _from_zero(efficiency)
    _from_zero(outage)
    _label(efficiency, sweep, "Energy efficiency (kbit/J)")
    _label(energy, sweep, "AP energy / certified minimum")
    _label(outage, sweep, "Users in outage (%)")
    _frame(figure, Picture("beams"), rows)
    figure.subplots_adjust(left=0.06, right=0.99, bottom=0.27, wspace=0.22)
    return figure


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
    frames = f"{max(row.frames for row in rows):,} independent frames a point, 95% intervals shaded."
    if name == "beams":
        heading, title = "", f"{TITLES[name]} ({scheme})"
        lines = [*COMPARISON, f"Exact allocation for each kind of beams, {frames}"]
    else:
        heading, title = f"Fig. {name}", f"{TITLES[name]}: {policy_label(picture.beams)}"
        if picture.beams == "optimal":
            what = "Exact optimum of beams and allocation"
        elif picture.beams in BEAM_LABELS:
            what = f"Exact optimum of the allocation for {policy_label(picture.beams)}"
        else:
            what = policy_label(picture.beams).capitalize()
        lines = [f"The paper: {CAPTIONS[name]}", f"{what}, {scheme}, {frames}"]
    ink: dict[str, Any] = {"color": style.INK}
    figure.text(0.015, 0.945, heading, fontsize=style.HEADING_SIZE, weight="bold", **ink)
    figure.text(0.1 if heading else 0.015, 0.945, title, fontsize=style.HEADING_SIZE, **ink)
    quiet: dict[str, Any] = {"fontsize": style.TINY_SIZE, "color": style.QUIET}
    for height, text in enumerate(reversed(lines)):
        figure.text(0.015, 0.015 + 0.04 * height, text, **quiet)
    figure.subplots_adjust(left=0.08, right=0.985, top=0.83, bottom=0.235, wspace=0.24)
