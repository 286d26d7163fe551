"""The figures as data: panels of lines, which Matplotlib draws in files and Plotly on the page."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scattermec.experiments.claims.evidence import Curve, curve
from scattermec.experiments.claims.learning import LearningCurves, presets_of
from scattermec.experiments.measure.sweeps import Measurement, Sweep, sweep_of
from scattermec.experiments.studies.figure_2 import GREEDY_MODE, LABELS
from scattermec.pictures import style
from scattermec.pictures.style import SchemeStyle

MODES = {
    "active": SchemeStyle("Active", style.ACTIVE, "s", "--"),
    "passive": SchemeStyle("Passive", style.PASSIVE, "D", "-"),
    "local": SchemeStyle("Local", style.LOCAL, "^", "-."),
}
OUTAGE = SchemeStyle("Users in outage", style.OUTAGE, "x", ":")
BEAM_STYLES = {
    "optimal": SchemeStyle("Optimal beams", style.INK, "o", "-"),
    "mrt": SchemeStyle("MRT beams", style.ACTIVE, "s", "-"),
    "random": SchemeStyle("Random beams", style.PASSIVE, "D", "-"),
}
LIMIT = "Certified limit at the same outage"

LEARNERS = {
    "h-maddpg-opt": SchemeStyle("Optimization-driven H-MADDPG", style.ACTIVE, "", "-"),
    "h-maddpg": SchemeStyle("Model-free H-MADDPG", style.PASSIVE, "", "-"),
    "ap-ddpg": SchemeStyle("ap-ddpg", style.CIRCUIT, "", "-"),
    "ddpg": SchemeStyle("ddpg", style.BATTERY, "", "-"),
    "price-net": SchemeStyle("price-net", style.HARVESTED, "", "-"),
    "price-net-foresight": SchemeStyle("price-net with foresight", style.LOCAL, "", "-"),
}
TRAINING, GREEDY = "While learning", "Greedy, on held-out frames"
OPTIMUM = "Certified optimum"


@dataclass(frozen=True)
class Line:
    """One line of a panel."""

    look: SchemeStyle
    """its name in the legend, colour, marker and dashes"""
    curve: Curve
    role: str = ""
    """distinguishes it from other lines of the same look, also in the legend"""
    band: bool = True
    """whether its 95% intervals are shaded"""


@dataclass(frozen=True)
class Level:
    """A horizontal reference line."""

    value: float
    colour: str
    linestyle: str
    label: str = ""
    """its name in the legend; empty if it is not there"""


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    abscissa: str
    ordinate: str
    """labels, with units"""
    lines: tuple[Line, ...]
    octaves: tuple[float, ...] = ()
    """ticks of a logarithmic abscissa; if empty, it is linear"""
    limits: tuple[float | None, float | None] = (0.0, None)
    """ends of the ordinate, unless the lines determine them"""
    level: Level | None = None
    title: str = ""


def sweep_panels(name: str, rows: Sequence[Measurement]) -> tuple[Panel, Panel]:
    """Both panels of Fig. 3a, 3b, 4a or 4b from the measurements of one kind of beams."""
    sweep = sweep_of(name)

    def line(look: SchemeStyle, metric: str, scheme: str = "hybrid") -> Line:
        return Line(look, _shown(curve(rows, sweep.name, scheme, metric)))

    if name == "4b":
        efficiency = [line(look, "frame_efficiency", scheme) for scheme, look in style.SCHEMES.items()]
        outage = [line(look, "outage", scheme) for scheme, look in style.SCHEMES.items()]
        return (
            _panel(sweep, "Energy efficiency (kbit/J)", efficiency),
            _panel(sweep, "Users in outage (%)", outage),
        )
    shares = [line(look, f"{mode}_share") for mode, look in MODES.items()]
    times = [line(look, f"t_{mode}") for mode, look in MODES.items()]
    return (
        dataclasses.replace(
            _panel(sweep, "Part of the processed work (%)", [*shares, line(OUTAGE, "outage")]),
            limits=(-2.0, 102.0),
        ),
        _panel(sweep, "Time per user and frame (s)", times),
    )


def beams_panels(rows: Sequence[Measurement]) -> tuple[Panel, Panel, Panel]:
    """Efficiency with its limits, energy over the bound, and outage, of the hybrid scheme."""
    sweep = sweep_of("beams")

    def lines(metric: str) -> list[Line]:
        return [
            Line(look, _shown(curve([r for r in rows if r.beams == kind], sweep.name, "hybrid", metric)))
            for kind, look in BEAM_STYLES.items()
        ]

    limits = [
        dataclasses.replace(line, look=_dashed(line.look), role=LIMIT, band=False)
        for line in lines("efficiency_limit")
    ]
    return (
        _panel(sweep, "Energy efficiency (kbit/J)", [*lines("energy_efficiency"), *limits]),
        dataclasses.replace(
            _panel(sweep, "AP energy / certified minimum", lines("energy_over_bound")),
            limits=(None, None),
            level=Level(1.0, style.QUIET, "--"),
        ),
        _panel(sweep, "Users in outage (%)", lines("outage")),
    )


def learning_panels(name: str, curves: Sequence[LearningCurves]) -> tuple[Panel, ...]:
    """Fig. 2a or 2b: one panel per preset, with the preset as its title."""
    panels = []
    for preset in presets_of(curves):
        runs = [run for run in curves if run.preset in (preset, None)]
        metric, unit = ("reward", "kbit/J") if name == "2a" else ("outage", "")
        lines = []
        for run in runs:
            look = learner_style(run.learner)
            lines.append(Line(look, _shown(run.curve(metric, unit)), TRAINING))
            greedy = f"{metric}.{GREEDY_MODE[run.learner]}"
            if greedy in run.values:
                lines.append(Line(_dashed(look), _shown(run.curve(greedy, unit)), GREEDY))
        panels.append(
            Panel(
                title=LABELS[preset][:1].upper() + LABELS[preset][1:],
                abscissa="Frames",
                ordinate="Reward (11) of the AP (kbit/J)" if name == "2a" else "Users in outage (%)",
                lines=_drawn(lines),
                level=Level(runs[0].optimum, style.INK, ":", OPTIMUM) if name == "2a" else None,
            )
        )
    return tuple(panels)


def learner_style(learner: str) -> SchemeStyle:
    """The look of a learner in Fig. 2, ours or another."""
    return LEARNERS.get(learner, SchemeStyle(learner, style.OUTAGE, "", "-"))


def _panel(sweep: Sweep, ordinate: str, lines: Sequence[Line]) -> Panel:
    unit = f" ({sweep.unit})" if sweep.unit else ""
    drawn = _drawn(lines)
    ticks: tuple[float, ...] = ()
    if sweep.logarithmic and drawn:
        values = np.log2(np.concatenate([line.curve.values for line in drawn]))
        ticks = tuple(
            float(tick) for tick in 2.0 ** np.arange(np.floor(values.min()), np.ceil(values.max()) + 1)
        )
    return Panel(abscissa=sweep.label + unit, ordinate=ordinate, lines=drawn, octaves=ticks)


def _drawn(lines: Sequence[Line]) -> tuple[Line, ...]:
    """The lines that have points; a scheme that was not measured has none."""
    return tuple(line for line in lines if line.curve.values.size)


def _shown(line: Curve) -> Curve:
    """The line as readers see it: shares in percent."""
    if line.unit:
        return line
    is_part = line.name.partition(".")[0] in ("outage", "active_share", "passive_share", "local_share")
    if not is_part:
        return line
    return dataclasses.replace(line, unit="%", mean=100 * line.mean, low=100 * line.low, high=100 * line.high)


def _dashed(look: SchemeStyle) -> SchemeStyle:
    return dataclasses.replace(look, marker="", linestyle="--")
