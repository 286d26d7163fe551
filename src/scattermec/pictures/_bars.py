"""Bars, one row per user: energy in against energy out, and the division of the workload."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from scattermec.physics.frame import TOLERANCE
from scattermec.pictures import style
from scattermec.pictures._facts import FrameFacts
from scattermec.pictures._labels import block, fitting_label, size_in_points
from scattermec.pictures._timeline import user_rows
from scattermec.pictures.style import Number

_BAR = 0.36
_GAP = 0.02
_OFF_SCALE = 1.7
"""A capacity this many times beyond all bars is written, not drawn, since the bars would become too short."""

_OUT_LOOKS: dict[str, tuple[str, dict[str, object]]] = {
    "transmit": (style.ACTIVE, {}),
    "circuit": (style.CIRCUIT, {}),
    "local": (style.LOCAL, {}),
    "wasted": ("white", {"hatch": style.OUTAGE_HATCH, "edgecolor": style.OUTAGE, "linewidth": 0.7}),
    "left_over": (style.LEFT_OVER, {}),
    "overflow": ("white", {"hatch": "////", "edgecolor": style.BATTERY, "linewidth": 0.7}),
}


def draw_energy(axes: Axes, facts: FrameFacts) -> None:
    """Upper bar: battery and harvest, slot by slot. Lower bar: energy spent, left over and lost."""
    style.tidy_axes(axes, grid="x")
    axes.spines["left"].set_visible(False)
    income = facts.battery + facts.harvest.sum(axis=1)
    longest = float(income.max()) or 1.0
    drawn = facts.capacity <= _OFF_SCALE * longest
    # Room on the right for the energy that an outage would have needed.
    limit = (1.16 if facts.success.all() else 1.24) * max(
        longest, float(facts.capacity[drawn].max(initial=0))
    )
    axes.set_xlim(0, limit)
    user_rows(axes, facts)
    axes.tick_params(axis="y", pad=22 if _bars_are_named(facts) else 4)
    axes.set_xlabel("energy (mJ)", fontsize=style.SMALL_SIZE, color=style.INK, labelpad=2)
    for user in range(facts.num_users):
        _draw_income(axes, facts, user)
        _draw_outgo(axes, facts, user)
        _mark_capacity(axes, facts, user, drawn=bool(drawn[user]), limit=limit)
        _name_the_bars(axes, facts, user)


def _draw_income(axes: Axes, facts: FrameFacts, user: int) -> None:
    top = user - _BAR - _GAP
    left = facts.battery[user]
    if left > 0:
        bar = _part(axes, 0, top, left, style.BATTERY, f"energy/battery/{user}")
        fitting_label(axes, bar, style.compact(left), size=style.TINY_SIZE)
    for slot, energy in enumerate(facts.harvest[user]):
        if energy <= 0:
            continue
        colour = style.HARVESTED if facts.usable[user, slot] else style.LATE
        bar = _part(axes, left, top, energy, colour, f"energy/harvested/{user}/{slot}")
        fitting_label(
            axes,
            bar,
            f"slot {slot + 1}: {style.compact(energy, 2)}",
            style.compact(energy, 2),
            size=style.TINY_SIZE,
        )
        left += energy


def _part(
    axes: Axes, left: Number, top: Number, width: Number, colour: str, gid: str, **looks: object
) -> Rectangle:
    """A part of a bar, with a white line at its end rather than a rim, which would hide a thin part."""
    bar = block(axes, left, top, width, _BAR, colour=colour, gid=gid, **{"linewidth": 0, **looks})
    if size_in_points(axes, width, _BAR)[0] > 1.5:
        axes.plot([left + width] * 2, [top, top + _BAR], color="white", linewidth=0.8, solid_capstyle="butt")
    return bar


def _draw_outgo(axes: Axes, facts: FrameFacts, user: int) -> None:
    parts = {**facts.spending, "left_over": facts.left_over, "overflow": facts.overflow}
    left = 0.0
    for name, (colour, looks) in _OUT_LOOKS.items():
        energy = float(parts[name][user])
        if energy <= 0:
            continue
        bar = _part(axes, left, user + _GAP, energy, colour, f"energy/{name}/{user}", **looks)
        if "hatch" not in looks:
            fitting_label(axes, bar, style.compact(energy), size=style.TINY_SIZE)
        left += energy
    if facts.demand[user] > facts.budget[user] * (1 + TOLERANCE):
        _note_the_need(axes, facts, user, left)


def _note_the_need(axes: Axes, facts: FrameFacts, user: int, left: float) -> None:
    axes.annotate(
        f"✗ needs {style.compact(facts.demand[user])}",
        (left, user + _GAP + _BAR / 2),
        xytext=(4, 0),
        textcoords="offset points",
        fontsize=style.TINY_SIZE,
        color=style.OUTAGE,
        va="center_baseline",
        gid=f"energy/need/{user}",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4, "alpha": 0.85},
    )


def _mark_capacity(axes: Axes, facts: FrameFacts, user: int, *, drawn: bool, limit: float) -> None:
    capacity = facts.capacity[user]
    if drawn:
        axes.plot(
            [capacity, capacity],
            [user - 0.45, user + 0.45],
            color=style.INK,
            linewidth=1.3,
            linestyle=(0, (3, 1.5)),
            gid=f"energy/capacity/{user}",
        )
        return
    axes.text(
        limit,
        user - _GAP - _BAR / 2,
        f"holds {style.compact(capacity)} →",
        fontsize=style.TINY_SIZE,
        color=style.QUIET,
        ha="right",
        va="center_baseline",
        gid=f"energy/capacity/{user}",
    )


def _bars_are_named(facts: FrameFacts) -> bool:
    return facts.num_users <= 6


def _name_the_bars(axes: Axes, facts: FrameFacts, user: int) -> None:
    if not _bars_are_named(facts):
        return
    for words, y in (("in", user - _GAP - _BAR / 2), ("out", user + _GAP + _BAR / 2)):
        axes.annotate(
            words,
            (0, y),
            xytext=(-4, 0),
            textcoords="offset points",
            fontsize=style.TINY_SIZE,
            color=style.QUIET,
            ha="right",
            va="center_baseline",
            annotation_clip=False,
        )


def draw_work(axes: Axes, facts: FrameFacts) -> None:
    """Each user's workload by mode; an outage is crossed out, since all of its work is processed again."""
    style.tidy_axes(axes, grid="x")
    axes.spines["left"].set_visible(False)
    scheduled = sum(np.maximum(part, 0) for part in facts.work.values())
    longest = float(np.maximum(facts.workload, scheduled).max()) or 1.0
    # Room on the right for the verdict, longer for an outage; no ticks there, where no bar can reach.
    axes.set_xlim(0, (1.35 if facts.success.all() else 1.75) * longest)
    axes.set_xticks(
        [
            tick
            for tick in MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(0, longest)
            if tick <= 1.05 * longest
        ]
    )
    user_rows(axes, facts)
    axes.set_xlabel("workload (kbit)", fontsize=style.SMALL_SIZE, color=style.INK, labelpad=2)
    for user in range(facts.num_users):
        _draw_division(axes, facts, user)


def _draw_division(axes: Axes, facts: FrameFacts, user: int) -> None:
    left, height = 0.0, 0.62
    served = bool(facts.success[user])
    for mode, amounts in facts.work.items():
        amount = float(amounts[user])
        if amount <= 0:
            continue
        alpha = 1.0 if served else 0.45
        gid = f"work/{mode}/{user}"
        bar = block(
            axes, left, user - height / 2, amount, height, colour=style.PARTS[mode], gid=gid, alpha=alpha
        )
        if served:
            words = style.compact(amount)
            fitting_label(axes, bar, f"{mode} {words}", words)
        left += amount
    missing = float(facts.unserved[user])
    if missing > 0:
        block(axes, left, user - height / 2, missing, height, colour="white", gid=f"work/unserved/{user}")
        left += missing
    if not served:
        _cross_out(axes, left, user, height)
    _write_verdict(axes, facts, user, left)


def _cross_out(axes: Axes, width: float, user: int, height: float) -> None:
    block(
        axes,
        0,
        user - height / 2,
        width,
        height,
        colour="none",
        gid=f"work/outage/{user}",
        edgecolor=style.OUTAGE,
        hatch=style.OUTAGE_HATCH,
        linewidth=1.2,
    )


def _write_verdict(axes: Axes, facts: FrameFacts, user: int, left: float) -> None:
    amount = f"{style.compact(facts.workload[user])} kbit"
    served = bool(facts.success[user])
    if facts.workload[user] > 0:
        axes.plot(
            [facts.workload[user]] * 2,
            [user - 0.42, user + 0.42],
            color=style.INK,
            linewidth=1.3,
            gid=f"work/load/{user}",
        )
    axes.annotate(
        f"✓ {amount}" if served else f"✗ {amount}: {facts.reasons[user]}",
        (max(left, facts.workload[user]), user),
        xytext=(6, 0),
        textcoords="offset points",
        fontsize=style.SMALL_SIZE if facts.num_users <= 8 else style.TINY_SIZE,
        color=style.INK if served else style.OUTAGE,
        va="center_baseline",
        gid=f"work/verdict/{user}",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
    )
