"""The map: the access point, the users around it, and the energy that reaches each of them."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyArrowPatch
from matplotlib.path import Path

from scattermec.pictures import style
from scattermec.pictures._facts import FrameFacts

_ANTENNA = Path(
    [(0, -1), (0, 1), (-0.62, 1), (0, 0.25), (0.62, 1), (0, 1)],
    [Path.MOVETO, Path.LINETO, Path.MOVETO, Path.LINETO, Path.LINETO, Path.MOVETO],
)
_WIDEST_ARROW = 7.0
_DIRECTIONS = np.deg2rad(np.arange(90, 450, 10))
"""Directions for the labels of the rings, in order of preference: all around, starting upwards."""


def draw_map(axes: Axes, facts: FrameFacts) -> None:
    """Users at their positions, with an arrow from the AP to each, whose width shows the harvested energy."""
    reach = float(np.hypot(*facts.positions.T).max())
    _frame_the_view(axes, facts.positions, reach)
    if facts.placement != "spread" or np.ptp(np.hypot(*facts.positions.T)) > 0:
        _draw_rings(axes, facts.positions, reach)
    _draw_arrows(axes, facts)
    axes.plot(
        0, 0, "o", markersize=26, color="white", markeredgecolor=style.INK, markeredgewidth=1.2, zorder=4
    )
    axes.plot(
        0, 0, marker=_ANTENNA, markersize=15, color=style.INK, fillstyle="none", markeredgewidth=1.5, zorder=5
    )
    _note(axes, (0.0, 0.0), "AP + server", below=True, gid="map/ap", distance=22)
    for user in range(facts.num_users):
        _draw_user(axes, facts, user)


def _frame_the_view(axes: Axes, positions: np.ndarray, reach: float) -> None:
    """A square view with room for the circles and their labels."""
    points = np.vstack([positions, [[0, 0]]])
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    half = max(float(np.ptp(points, axis=0).max()) / 2, 0.3 * reach) * 1.34
    axes.set_xlim(middle[0] - half, middle[0] + half)
    axes.set_ylim(middle[1] - half, middle[1] + half)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor("#F8F9FA")
    for spine in axes.spines.values():
        spine.set(color=style.FAINT, linewidth=1)


def _draw_rings(axes: Axes, positions: np.ndarray, reach: float) -> None:
    """Circles of equal distance, with labels in the direction with the most free space."""
    step = _round_step(reach / 2.5)
    radii = np.arange(step, 2.2 * reach, step)
    for radius in radii:
        axes.add_patch(Circle((0, 0), radius, fill=False, edgecolor="#D9DDE1", linewidth=0.8, zorder=1))
    taken = _taken_places(axes, positions)
    # The direction with room for the most labels; the other rings have none.
    places = max((_free_places(axes, angle, radii, taken) for angle in _DIRECTIONS), key=len)
    for radius, (x, y) in places.items():
        axes.text(
            x,
            y,
            f"{style.compact(radius)} m",
            fontsize=style.TINY_SIZE,
            color=style.QUIET,
            ha="center",
            va="center",
            bbox={"facecolor": "#F8F9FA", "edgecolor": "none", "pad": 1},
            zorder=1.5,
        )


def _round_step(size: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is at most ``size``."""
    power = 10.0 ** np.floor(np.log10(size))
    return float(power * max(factor for factor in (1, 2, 5) if factor * power <= size * 1.0001))


def _inside(axes: Axes, x: float, y: float) -> bool:
    """Whether a point is in the view, with room for a label around it."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    margin = 0.06 * (right - left)
    return bool(left + margin < x < right - margin and bottom + margin < y < top - margin)


def _taken_places(axes: Axes, positions: np.ndarray) -> np.ndarray:
    """Points (K, 2) of the map that are occupied by arrows, users and their labels, and the AP's name."""
    size = axes.get_xlim()[1] - axes.get_xlim()[0]
    arrows = [share * positions for share in (0.25, 0.4, 0.55, 0.7, 0.85, 1.0)]
    side = np.where(positions[:, 1:] < 0, -1, 1) * 0.07 * size
    labels = [positions + side * np.array([across, 1.0]) for across in (-0.8, 0, 0.8)]
    return np.vstack([*arrows, *labels, [[0, 0], [0, -0.09 * size]]])


def _free_places(
    axes: Axes, angle: float, radii: np.ndarray, taken: np.ndarray
) -> dict[float, tuple[float, float]]:
    """Position of the label of each ring that has room for one in a direction."""
    clearance = 0.075 * (axes.get_xlim()[1] - axes.get_xlim()[0])
    points = {float(radius): (radius * np.cos(angle), radius * np.sin(angle)) for radius in radii}
    return {
        radius: (x, y)
        for radius, (x, y) in points.items()
        if _inside(axes, x, y) and np.hypot(*(taken - (x, y)).T).min() > clearance
    }


def _draw_arrows(axes: Axes, facts: FrameFacts) -> None:
    harvested = facts.harvest.sum(axis=1)
    most = max(float(harvested.max()), 1e-12)
    for user, (x, y) in enumerate(facts.positions):
        if harvested[user] <= 0:
            axes.plot([0, x], [0, y], color="#B9BEC5", linewidth=1, linestyle=(0, (2, 3)), zorder=2)
            continue
        width = 0.8 + (_WIDEST_ARROW - 0.8) * harvested[user] / most
        # Bend arrows alternately, so that neighbouring users in one direction do not hide each other's.
        bend = 0.16 if user % 2 == 0 else -0.16
        arrow = FancyArrowPatch(
            (0, 0),
            (x, y),
            connectionstyle=f"arc3,rad={bend}",
            arrowstyle="-",
            shrinkA=13,
            shrinkB=11,
            linewidth=width,
            color=style.HARVESTED,
            alpha=0.55,
            zorder=2,
            gid=f"map/energy/{user}",
        )
        axes.add_patch(arrow)


def _draw_user(axes: Axes, facts: FrameFacts, user: int) -> None:
    x, y = facts.positions[user]
    served = facts.success[user]
    edge = style.INK if served else style.OUTAGE
    axes.plot(
        x,
        y,
        "o",
        markersize=19,
        color="white",
        markeredgecolor=edge,
        markeredgewidth=1.4 if served else 2.2,
        zorder=4,
        gid=f"map/user/{user}",
    )
    axes.text(
        x,
        y,
        str(user + 1),
        fontsize=style.TEXT_SIZE,
        fontweight="bold",
        color=edge,
        ha="center",
        va="center_baseline",
        zorder=5,
    )
    words = f"{'' if served else '✗ '}+{style.compact(facts.harvest[user].sum(), 2)} mJ"
    _note(axes, (x, y), words, below=bool(y < 0), gid=f"map/harvested/{user}", distance=16)


def _note(
    axes: Axes, place: tuple[float, float], words: str, *, below: bool, gid: str, distance: int
) -> None:
    """A small text above or below a point."""
    axes.annotate(
        words,
        place,
        xytext=(0, -distance if below else distance),
        textcoords="offset points",
        fontsize=style.SMALL_SIZE,
        color=style.QUIET,
        ha="center",
        va="center",
        bbox={"facecolor": "#F8F9FA", "edgecolor": "none", "pad": 0.6, "alpha": 0.8},
        zorder=3,
        gid=gid,
    )
