"""The style of all figures (colours, schemes, fonts), and functions to create and export figures.

Matplotlib is imported where it is used, so that the rest of the package works without it. Figures are created
without pyplot: nothing is registered globally, so they work headless and in threads, and are freed like any
other object.
"""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scattermec.storage.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
else:
    # For annotations that are evaluated at run time.
    Axes = Figure = Any

Number = int | float
"""Includes int, since run-time type checkers do not accept an int as a float."""

ACTIVE = "#0072B2"
PASSIVE = "#E69F00"
LOCAL = "#CC79A7"
HARVESTED = "#009E73"
OUTAGE = "#B2182B"
CIRCUIT = "#7FB8DA"
LATE = "#A9D9C9"
"""Energy harvested too late to count in the same frame."""
BATTERY = "#8C929A"
LEFT_OVER = "#CFD3D8"

PARTS = {"active": ACTIVE, "passive": PASSIVE, "local": LOCAL, "harvested": HARVESTED, "outage": OUTAGE}
"""One fixed colour per quantity, distinguishable with all kinds of colour vision (Okabe and Ito)."""

INK = "#1A1D21"
QUIET = "#5B626B"
FAINT = "#E4E7EA"

OUTAGE_HATCH = "xxxx"
"""Outage is never shown by colour alone."""

TITLE_SIZE = 15.0
HEADING_SIZE = 10.5
TEXT_SIZE = 9.0
SMALL_SIZE = 8.0
TINY_SIZE = 7.0

FORMATS = ("svg", "pdf", "png")


@dataclass(frozen=True)
class SchemeStyle:
    """Style of one offloading scheme, the same in every figure."""

    label: str
    colour: str
    marker: str
    linestyle: str

    def line(self) -> dict[str, Any]:
        """Keywords for `Axes.plot`."""
        return {
            "label": self.label,
            "color": self.colour,
            "marker": self.marker,
            "linestyle": self.linestyle,
            "linewidth": 1.8,
            "markersize": 6.0,
        }


SCHEMES = {
    "hybrid": SchemeStyle("Hybrid-offload", INK, "o", "-"),
    "active": SchemeStyle("Active-enabled", ACTIVE, "s", "--"),
    "local": SchemeStyle("MEC-disabled", LOCAL, "^", "-."),
    "passive": SchemeStyle("Passive-only", PASSIVE, "D", ":"),
}

# The hash salt makes identifiers in an SVG reproducible; TrueType fonts keep the text of a PDF selectable.
_EXPORT_SETTINGS: Any = {"svg.hashsalt": "scattermec", "pdf.fonttype": 42, "savefig.dpi": 200}
# Omit metadata that differ between runs or between versions of the library.
_METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
# Settings are global to matplotlib, so only one thread at a time may change them.
_export_lock = threading.Lock()


def require_matplotlib() -> None:
    """Raise ImportError with the command to install matplotlib, if it is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError("figures need matplotlib: pip install 'scattermec[figures]'") from error


def new_figure(width: Number, height: Number) -> Figure:
    """An empty white figure of the given size in inches, at 100 dots per inch, with its own canvas."""
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def tidy_axes(axes: Axes, *, grid: str | None = None) -> None:
    """The common style of axes: two thin spines, small ticks, a faint grid along ``grid`` (x, y or both)."""
    axes.set_facecolor("white")
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set(color=QUIET, linewidth=0.8)
    axes.tick_params(
        colors=INK, labelsize=SMALL_SIZE, labelcolor=INK, color=QUIET, length=3, width=0.8, direction="out"
    )
    axes.set_axisbelow(True)
    if grid == "both" or grid == "x":
        axes.xaxis.grid(True, color=FAINT, linewidth=0.8)
    if grid == "both" or grid == "y":
        axes.yaxis.grid(True, color=FAINT, linewidth=0.8)


def text_colour(red: float, green: float, blue: float) -> str:
    """Ink or white, whichever is more readable on a colour with parts in [0, 1]."""
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else INK


def save_figure(
    figure: Figure, stem: str | os.PathLike[str], formats: Sequence[str] = FORMATS
) -> tuple[Path, ...]:
    """Write ``figure`` in each format, creating folders; returns the paths. PNG has 200 dots per inch.

    ``stem`` is the path without suffix. The same figure always gives the same bytes.
    """
    import matplotlib

    stem = Path(stem)
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = tuple(stem.with_name(f"{stem.name}.{kind}") for kind in formats)
    with _export_lock, matplotlib.rc_context(_EXPORT_SETTINGS):
        for kind, path in zip(formats, paths, strict=True):
            with replacing(path) as partial:
                # PGF files have no metadata, and their writer refuses the argument.
                about: dict[str, Any] = {"metadata": _METADATA[kind]} if kind in _METADATA else {}
                figure.savefig(partial, format=kind, **about)
    return paths


def render_rgb_array(figure: Figure) -> np.ndarray:
    """The figure as pixels: uint8 of shape (height, width, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = figure.canvas if isinstance(figure.canvas, FigureCanvasAgg) else FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def compact(value: Number, digits: int = 3) -> str:
    """A number as a short label: ``digits`` significant digits, ∞ for infinity."""
    if np.isnan(value):
        return "–"
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    magnitude = abs(value)
    if magnitude >= 1e5 or 0 < magnitude < 5e-4:
        return f"{value:.0e}".replace("e+0", "e").replace("e-0", "e−").replace("e+", "e")
    if magnitude >= 100:
        return f"{value:.0f}"
    return f"{value:.{digits}g}"
