"""Renew the pictures of robustness.md: `python docs/pictures.py`, some minutes."""

from functools import partial
from pathlib import Path

import jax

from scattermec import Scenario, price_net
from scattermec.environment import Decision, EnvState, as_seen
from scattermec.experiments.evaluate.robustness import (
    CONTROL,
    MARGINS,
    OBEY,
    REPAIR,
    Contender,
    RobustnessRow,
    measure_robustness,
)
from scattermec.experiments.measure.conditions import CONDITIONS
from scattermec.learners.fixed import fixed_policy, reference
from scattermec.physics import Parameters, parameters_of, with_margin
from scattermec.physics.channel import Key
from scattermec.pictures import style
from scattermec.price_net.modes import plan_frames

DOCS = Path(__file__).parent
FRAMES = 1000
ROBUST = "price-net-robust"

BATTERIES = (0.0, 0.025, 0.05, 0.1, 0.15, 0.2)
"""mJ at the start of a frame."""

SHOWN = {
    "perfect": (style.BATTERY, "o"),
    "channels to 5%": (style.HARVESTED, "s"),
    "channels to 10%": (style.ACTIVE, "^"),
    "channels to 20%": (style.OUTAGE, "D"),
}
"""Conditions, their colours and markers."""


def robust(parameters: Parameters) -> Contender:
    """The shipped policy."""
    network = price_net.load(ROBUST).network
    return Contender(ROBUST, plans=partial(plan_frames, network, parameters))


def with_flat_margin(parameters: Parameters, margin: float) -> Contender:
    """The optimum for constants with a margin."""

    def decide(key: Key, states: EnvState) -> Decision:
        return reference("optimum", with_margin(parameters, margin), as_seen(states).frame).decision

    return Contender(f"{margin:g}", decide)


def share(rows: list[RobustnessRow], condition: str, policy: str, users: str) -> float:
    """In percent."""
    return next(
        100 * r.share.mean for r in rows if (r.condition, r.policy, r.users) == (condition, policy, users)
    )


def axes_of(xlabel: str, ylabel: str) -> tuple:
    """A figure with one panel."""
    figure = style.new_figure(5.6, 3.2)
    axes = figure.add_axes((0.11, 0.15, 0.86, 0.8))
    style.tidy_axes(axes, grid="y")
    axes.set_xlabel(xlabel, fontsize=style.TEXT_SIZE)
    axes.set_ylabel(ylabel, fontsize=style.TEXT_SIZE)
    return figure, axes


def save(figure, axes, name: str) -> None:
    """Add the legend and write the file."""
    axes.set_ylim(0)
    axes.legend(frameon=False, fontsize=style.SMALL_SIZE)
    style.save_figure(figure, DOCS / f"robustness-{name}", formats=("png",))


def slack_and_repair() -> None:
    """Shares by flat margin: obeyed under four conditions, and both ways under one of them."""
    parameters = parameters_of(Scenario())
    contenders = [with_flat_margin(parameters, margin) for margin in MARGINS] + [robust(parameters)]
    conditions = {name: CONDITIONS[name] for name in SHOWN}
    rows = measure_robustness(Scenario(), contenders, frames=FRAMES, seed=0, conditions=conditions)
    figure, axes = axes_of("flat margin", "share of the optimum, %")
    for name, (colour, marker) in SHOWN.items():
        found = [share(rows, name, f"{margin:g}", OBEY) for margin in MARGINS]
        axes.plot(MARGINS, found, color=colour, marker=marker, markersize=4, label=name)
    save(figure, axes, "slack")
    figure, axes = axes_of("flat margin", "share of the optimum, %")
    name = "channels to 10%"
    for users, colour, marker in ((REPAIR, style.HARVESTED, "s"), (OBEY, style.ACTIVE, "^")):
        found = [share(rows, name, f"{margin:g}", users) for margin in MARGINS]
        axes.plot(MARGINS, found, color=colour, marker=marker, markersize=4, label=f"{name}, users {users}")
    best = share(rows, name, CONTROL, REPAIR)
    level = share(rows, name, ROBUST, REPAIR)
    axes.axhline(level, color=style.INK, linestyle="--", linewidth=1, label=f"{ROBUST}, users repair")
    print(f"{name}: {ROBUST} {level:.1f}%, best flat margin {best:.1f}%")
    save(figure, axes, "repair")


def insurance() -> None:
    """Outage by the energy in batteries at the start, with and without slack and repair."""
    name = "channels to 20%"
    policies = {("optimum", OBEY): [], ("optimum", REPAIR): [], (ROBUST, REPAIR): []}
    for battery in BATTERIES:
        scenario = Scenario(initial_battery=battery)
        parameters = parameters_of(scenario)
        contenders = [Contender("optimum", fixed_policy("optimum", parameters)), robust(parameters)]
        rows = measure_robustness(
            scenario, contenders, frames=FRAMES, seed=0, conditions={name: CONDITIONS[name]}
        )
        for (policy, users), found in policies.items():
            found.append(100 * next(r.outage.mean for r in rows if (r.policy, r.users) == (policy, users)))
    figure, axes = axes_of("energy in each battery at the start, mJ", "outage, % of users")
    looks = ((style.OUTAGE, "D"), (style.ACTIVE, "^"), (style.HARVESTED, "s"))
    for ((policy, users), found), (colour, marker) in zip(policies.items(), looks, strict=True):
        label = f"{policy}, users {users}"
        axes.plot(BATTERIES, found, color=colour, marker=marker, markersize=4, label=label)
    save(figure, axes, "insurance")


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    slack_and_repair()
    insurance()
