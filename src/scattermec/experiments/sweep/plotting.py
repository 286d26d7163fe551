"""A sweep, drawn: one measured quantity over one of its constants, a colour for each value of another."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scattermec.errors import InputError
from scattermec.experiments.sweep.store import Store, mean_of
from scattermec.pictures import style

MOST_LINES = 12
MOST_ON_A_LINE = 60
"""Values of x that are joined by a line; more are drawn as points."""

WIDTH, HEIGHT = 6.4, 4.0

COLOURS = (
    style.INK, style.ACTIVE, style.PASSIVE, style.HARVESTED, style.LOCAL, style.OUTAGE, style.CIRCUIT,
    style.BATTERY, style.LATE, style.QUIET, style.LEFT_OVER, style.FAINT,
)  # fmt: skip


class Line(NamedTuple):
    """What is drawn in one colour: K values of x, and y with its interval at each."""

    label: str
    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def draw(store: Store, x: str, y: str, hue: str | None, out: Path) -> tuple[int, tuple[str, ...]]:
    """Draw what is there to a file whose suffix is a form of `style.FORMATS`.

    Returns the number of rows drawn, and the constants that vary besides, over which means are taken. Raises
    InputError for names that are no columns, and if nothing is there.
    """
    lines, rows = lines_of(store, x, y, hue)
    from matplotlib.ticker import FormatStrFormatter, LogLocator

    figure = style.new_figure(WIDTH, HEIGHT)
    axes = figure.subplots()
    style.tidy_axes(axes, grid="y")
    for line, colour in zip(lines, COLOURS, strict=False):
        if len(line.x) > MOST_ON_A_LINE:
            axes.plot(line.x, line.mean, ".", color=colour, markersize=3, label=line.label)
        else:
            axes.plot(line.x, line.mean, "o-", color=colour, markersize=4, label=line.label)
            if line.x.dtype.kind == "f":
                axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.15, linewidth=0)
    if all(line.x.dtype.kind == "f" for line in lines) and _is_logarithmic(store, x):
        axes.set_xscale("log", subs=())
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if hue is not None:
        axes.legend(title=hue, frameon=False, fontsize=style.SMALL_SIZE)
    figure.tight_layout()
    style.save_figure(figure, out.with_suffix(""), [out.suffix.removeprefix(".")])
    return rows, tuple(name for name in store.plan.varied if name not in (x, hue))


def lines_of(store: Store, x: str, y: str, hue: str | None) -> tuple[list[Line], int]:
    """The lines, and the number of rows in them; raises like `draw`."""
    columns = store.columns([name for name in (x, hue) if name is not None], [y])
    there = np.isfinite(columns[y].astype(float))
    columns = {name: values[there] for name, values in columns.items()}
    if not there.any():
        raise InputError([f"{y}: no task has a number there"])
    shades = list(dict.fromkeys(columns[hue].tolist())) if hue else [None]
    if len(shades) > MOST_LINES:
        raise InputError(
            [f"{hue}: has {len(shades)} values; it must have at most {MOST_LINES} to be a colour"]
        )
    lines = []
    for shade in sorted(shades, key=lambda value: (str(type(value)), value)):
        own = columns[hue] == shade if hue else np.ones(len(columns[y]), bool)
        means = list(_means({name: values[own] for name, values in columns.items()}, x, y))
        places, *numbers = (np.array(part) for part in zip(*means, strict=True))
        lines.append(Line(_label(shade), places, *numbers))
    return lines, int(there.sum())


def _means(columns: dict[str, np.ndarray], x: str, y: str) -> Iterator[tuple[Any, ...]]:
    """x, and y with its interval: over all rows with this x, or that of the only one, if it has any."""
    places, inverse = np.unique(columns[x], return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    for place, rows in zip(places, np.split(order, np.cumsum(np.bincount(inverse))[:-1]), strict=True):
        mean, low, high = mean_of(columns, y, rows)
        yield place, mean, *((mean, mean) if np.isnan(low) else (low, high))


def _label(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _is_logarithmic(store: Store, name: str) -> bool:
    grid = store.plan.grid.get(name)
    if isinstance(grid, dict):
        return bool(grid.get("log", False))
    return any(own == name and log for own, _, _, log in store.plan.ranges)
