"""Fig. 2a and 2b drawn: reward and outage along training, beside the certified optimum."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scattermec.experiments.learning import GREEDY_MODE, LearningCurves
from scattermec.pictures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
else:
    Axes = Figure = Any

WIDTH, HEIGHT = 7.6, 3.9

TITLES = {"2a": "Reward along training", "2b": "Outage along training"}
CAPTIONS = {
    "2a": "optimization-driven H-MADDPG converges faster, and its reward is 50% higher.",
    "2b": "its outage is much lower, and falls steeply early on.",
}
"""What the paper reads off each."""
LOOKS = {
    "h-maddpg-opt": ("Optimization-driven H-MADDPG", style.ACTIVE),
    "h-maddpg": ("Model-free H-MADDPG", style.PASSIVE),
}
READING = (
    "Solid: while learning, exploration included, in rollouts. Dashed: greedy, on held-out independent "
    "frames; dotted: their certified optimum."
)


def draw(name: str, curves: Sequence[LearningCurves]) -> Figure:
    """Fig. ``name``, 2a or 2b: a panel a preset."""
    presets = list(dict.fromkeys(run.preset for run in curves))
    figure = style.new_figure(WIDTH, HEIGHT)
    panels = figure.subplots(1, len(presets), squeeze=False)[0]
    for axes, preset in zip(panels, presets, strict=True):
        _panel(axes, name, [run for run in curves if run.preset == preset])
        axes.set_title(f"Preset {preset}", fontsize=style.TEXT_SIZE, color=style.INK, loc="left")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="upper right",
        bbox_to_anchor=(0.99, 0.93),
        ncols=len(labels),
        frameon=False,
        fontsize=style.SMALL_SIZE,
    )
    seeds, frames = curves[0].values["reward"].shape[0], curves[0].frames[-1]
    ink: dict[str, Any] = {"color": style.INK, "fontsize": style.HEADING_SIZE}
    figure.text(0.015, 0.945, f"Fig. {name}", weight="bold", **ink)
    figure.text(0.1, 0.945, TITLES[name], **ink)
    lines = [
        f"The paper: {CAPTIONS[name]}",
        READING,
        f"{seeds} seeds of {frames:,} frames each, mean over seeds with 95% bootstrap intervals shaded.",
    ]
    for height, text in enumerate(reversed(lines)):
        figure.text(0.015, 0.015 + 0.04 * height, text, fontsize=style.TINY_SIZE, color=style.QUIET)
    figure.subplots_adjust(left=0.08, right=0.985, top=0.79, bottom=0.26, wspace=0.2)
    return figure


def save(name: str, curves: Sequence[LearningCurves], folder: Path) -> tuple[Path, ...]:
    """Draw a figure and write it in every format; the paths written."""
    return style.save_figure(draw(name, curves), folder / stem(name))


def stem(name: str) -> str:
    """A figure's files' name without the suffix."""
    return f"fig{name}"


def _panel(axes: Axes, name: str, runs: Sequence[LearningCurves]) -> None:
    metric, factor = ("reward", 1.0) if name == "2a" else ("outage", 100.0)
    for run in runs:
        label, colour = LOOKS[run.learner]
        learning = run.curve(metric)
        axes.fill_between(
            learning.values, factor * learning.low, factor * learning.high, color=colour, alpha=0.2, lw=0
        )
        axes.plot(learning.values, factor * learning.mean, color=colour, lw=1.6, label=label)
        greedy = run.curve(f"{metric}.{GREEDY_MODE[run.learner]}")
        axes.fill_between(
            greedy.values, factor * greedy.low, factor * greedy.high, color=colour, alpha=0.12, lw=0
        )
        axes.plot(greedy.values, factor * greedy.mean, color=colour, lw=1.3, ls="--")
    if name == "2a":
        axes.axhline(runs[0].optimum, color=style.INK, ls=":", lw=1.4, label="Certified optimum")
    style.tidy_axes(axes, grid="both")
    axes.set_ylim(bottom=-0.02 * axes.get_ylim()[1])
    axes.set_xlabel("Frames", fontsize=style.TEXT_SIZE, color=style.INK)
    ordinate = "Reward (11) of the AP (kbit/J)" if name == "2a" else "Users in outage (%)"
    axes.set_ylabel(ordinate, fontsize=style.TEXT_SIZE, color=style.INK)
