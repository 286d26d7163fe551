"""The frame over time: the beam of each slot, the energy that it delivers, and the users' schedules."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.patches import Polygon

from scattermec.pictures import style
from scattermec.pictures._facts import FrameFacts
from scattermec.pictures._labels import block, fitting_label, size_in_points

_ENERGY_MAP = LinearSegmentedColormap.from_list("harvested", ["#F3F8F6", style.HARVESTED])
_REFLECTING = "#FBE7C0"
_EMPTY = "#F4F5F6"
_MAIN_LANE = (0.36, 0.60)
_LOCAL_LANE = (0.04, 0.24)


def set_time_axis(axes: Axes, facts: FrameFacts, *, labelled: bool) -> None:
    """The common time axis of the three panels, with the borders of the slots as ticks."""
    axes.set_xlim(0, facts.duration)
    edges = [*facts.start, facts.duration]
    if labelled:
        # Omit labels of slots that are too short for one.
        room = 0.035 * facts.duration
        axes.set_xticks([edge for edge in edges if edge in (0, edges[-1]) or _apart(edge, edges) > room])
        axes.xaxis.set_major_formatter(lambda edge, _: style.compact(edge))
    else:
        axes.set_xticks([])
    axes.tick_params(axis="x", length=3 if labelled else 0)


def _apart(edge: float, edges: list[float]) -> float:
    return min(abs(edge - other) for other in edges if other > edge or other == 0)


def draw_beams(axes: Axes, facts: FrameFacts) -> None:
    """The free-space pattern of each slot's beam, all on one scale."""
    style.tidy_axes(axes)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_ylim(0, 1)
    axes.set_yticks([0.5], ["beam"])
    axes.tick_params(axis="y", length=0)
    set_time_axis(axes, facts, labelled=False)
    for slot in range(facts.num_users):
        _draw_pattern(axes, facts, slot)


def beam_pattern(beam: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Gain |a(theta)^H w|^2 of a beam of a half-wavelength array towards each angle, in free space."""
    response = np.exp(1j * np.pi * np.outer(np.sin(angles), np.arange(len(beam))))
    return np.abs(response.conj() @ beam) ** 2


def _draw_pattern(axes: Axes, facts: FrameFacts, slot: int) -> None:
    across, high = size_in_points(axes, facts.slot[slot], 1.0)
    # Circles on the page: radii in points, converted to the scales of both axes.
    radius = 0.46 * min(across, high)
    x_radius, y_radius = radius * facts.slot[slot] / across, radius / high
    middle = np.array([facts.start[slot] + facts.slot[slot] / 2, 0.5])
    angles = np.linspace(0, 2 * np.pi, 181)
    circle = np.stack([x_radius * np.cos(angles), y_radius * np.sin(angles)], axis=1)
    used = facts.time["passive"][slot] > 0
    colour = style.PASSIVE if facts.reflects[slot] else style.HARVESTED
    axes.add_patch(Polygon(middle + circle, facecolor="#F8F9FA", edgecolor="#C9CED4", linewidth=0.7))
    pattern = beam_pattern(facts.beams[slot], angles) / facts.beams.shape[1]
    axes.add_patch(
        Polygon(
            middle + circle * pattern[:, None],
            facecolor=colour if used else "none",
            edgecolor=style.INK if used else style.BATTERY,
            linewidth=0.8,
            linestyle="-" if used else ":",
            alpha=0.9,
            gid=f"beam/pattern/{slot}",
        )
    )
    if facts.placement != "spread":
        x, y = facts.positions[slot] / np.hypot(*facts.positions[slot])
        axes.plot(
            *(middle + np.array([x * x_radius, y * y_radius])),
            "o",
            markersize=4.5,
            color=style.INK,
            clip_on=False,
            gid=f"beam/user/{slot}",
        )


def draw_received(axes: Axes, facts: FrameFacts) -> None:
    """Energy that each user (row) harvests in each slot (column); in its own slot it reflects instead."""
    style.tidy_axes(axes)
    for spine in axes.spines.values():
        spine.set_visible(False)
    set_time_axis(axes, facts, labelled=False)
    user_rows(axes, facts)
    most = max(float(facts.harvest.max()), 1e-12)
    for user in range(facts.num_users):
        for slot in range(facts.num_users):
            _draw_cell(axes, facts, user, slot, most)


def user_rows(axes: Axes, facts: FrameFacts) -> None:
    """One row per user, the first on top."""
    # Do not stretch fewer than three rows over the whole height.
    spare = max(0.0, 2.4 - facts.num_users) / 2
    axes.set_ylim(facts.num_users - 0.5 + spare, -0.5 - spare)
    size = style.SMALL_SIZE if facts.num_users <= 8 else style.TINY_SIZE
    axes.set_yticks(range(facts.num_users), [f"user {user + 1}" for user in range(facts.num_users)])
    axes.tick_params(axis="y", length=0, labelsize=size)


def _draw_cell(axes: Axes, facts: FrameFacts, user: int, slot: int, most: float) -> None:
    colour, words = _cell_looks(facts, user, slot, most)
    place = (facts.start[slot], user - 0.5, facts.slot[slot], 1)
    cell = block(axes, *place, colour=colour, gid=f"received/{user}/{slot}")
    fitting_label(axes, cell, *words)


def _cell_looks(facts: FrameFacts, user: int, slot: int, most: float) -> tuple[str, tuple[str, ...]]:
    """Colour of a cell, and its texts from the longest to the shortest."""
    if facts.time["passive"][slot] <= 0:
        return _EMPTY, ()
    if user == slot:
        return (_REFLECTING, ("reflects", "refl.")) if facts.reflects[user] else (_EMPTY, ("own slot", "own"))
    energy = facts.harvest[user, slot]
    amount = style.compact(energy, 2)
    if not facts.usable[user, slot]:
        return _EMPTY, (f"{amount} mJ, too late", f"{amount} late", amount)
    return to_hex(_ENERGY_MAP(energy / most)), (f"{amount} mJ", amount)


def draw_timeline(axes: Axes, facts: FrameFacts) -> None:
    """The slots in order: active, passive and idle time in the wide lane, local computing below."""
    style.tidy_axes(axes)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(0, 1.28)
    centres = [bottom + height / 2 for bottom, height in (_MAIN_LANE, _LOCAL_LANE)]
    axes.set_yticks(centres, ["radio", "local"])
    axes.tick_params(axis="y", length=0)
    set_time_axis(axes, facts, labelled=True)
    axes.set_xlabel("time in the frame (s)", fontsize=style.SMALL_SIZE, color=style.INK, labelpad=2)
    for user in range(facts.num_users):
        _draw_slot(axes, facts, user)


def _draw_slot(axes: Axes, facts: FrameFacts, user: int) -> None:
    start, length = facts.start[user], facts.slot[user]
    bottom, height = _MAIN_LANE
    centre = start + length / 2
    several = facts.num_users <= 6
    axes.text(
        centre,
        1.12,
        f"slot of user {user + 1}" if several else str(user + 1),
        fontsize=style.SMALL_SIZE,
        fontweight="bold",
        color=style.INK if facts.success[user] else style.OUTAGE,
        ha="center",
        va="center",
    )
    axes.axvline(start, color="#AEB4BB", linewidth=0.8, zorder=0.5)
    left = start
    for mode in ("active", "passive"):
        # Time beyond the slot is cut off, and marked at its end.
        width = min(max(facts.time[mode][user], 0), start + length - left)
        if width > 0:
            _draw_mode(axes, facts, user, mode, left, width)
        left += width
    rest = start + length - left
    if rest > 1e-6 * length:
        idle = block(axes, left, bottom, rest, height, colour="#F1F2F4", gid=f"time/idle/{user}")
        fitting_label(axes, idle, f"idle\n{style.compact(rest)} s", "idle", colour=style.QUIET)
    low, thin = _LOCAL_LANE
    local = min(max(facts.time["local"][user], 0), length)
    block(axes, start, low, length, thin, colour="#F6F7F8", gid=f"time/lane/{user}")
    if local > 0:
        bar = block(axes, start, low, local, thin, colour=style.LOCAL, gid=f"time/local/{user}")
        fitting_label(
            axes, bar, f"computes {style.compact(local)} s", f"{style.compact(local)} s", style.compact(local)
        )
    _mark_overrun(axes, facts, user)


def _draw_mode(axes: Axes, facts: FrameFacts, user: int, mode: str, left: float, width: float) -> None:
    bottom, height = _MAIN_LANE
    energy_only = mode == "passive" and not facts.reflects[user]
    colour = style.HARVESTED if energy_only else style.PARTS[mode]
    seconds = style.compact(facts.time[mode][user])
    name = "beam" if energy_only else mode
    bar = block(axes, left, bottom, width, height, colour=colour, gid=f"time/{mode}/{user}")
    long_name = "beam for\nenergy only" if energy_only else name
    fitting_label(axes, bar, f"{long_name}\n{seconds} s", f"{name}\n{seconds} s", f"{seconds} s", seconds)


def _mark_overrun(axes: Axes, facts: FrameFacts, user: int) -> None:
    excess = facts.time["active"][user] + facts.time["passive"][user] - facts.slot[user]
    if excess <= 1e-6 * facts.slot[user]:
        return
    end = facts.start[user] + facts.slot[user]
    width = 0.06 * facts.slot[user]
    bottom, height = _MAIN_LANE
    block(
        axes,
        end - width,
        bottom,
        width,
        height,
        colour="white",
        gid=f"time/overrun/{user}",
        edgecolor=style.OUTAGE,
        hatch=style.OUTAGE_HATCH,
        linewidth=0,
    )
