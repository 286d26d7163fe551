"""`scattermec horizon`: what policies lose to an optimum that knows the frames to come."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scattermec._compilation import start_jax
from scattermec.cli.common import (
    JsonOption,
    ScenarioOption,
    SeedOption,
    SetOption,
    check_installed,
    check_learning_installed,
    check_text_output,
    load_scenario,
    print_table,
    progress,
    provenance,
    to_json,
    warn_of,
    warn_without_kernel,
)
from scattermec.cli.price_net import PRICE_NET, is_price_net, load_policy, unknown_policy
from scattermec.counts import MOST_EPISODE_FRAMES, MOST_EPISODES
from scattermec.errors import InputError
from scattermec.price_net import SHIPPED
from scattermec.storage import replace_text

if TYPE_CHECKING:
    from scattermec.experiments.evaluate.foresight import Foresight, ForesightRow
    from scattermec.experiments.measure.statistics import Estimate

HEADINGS = ("", "cost, J a frame", "over the bound", "all served", "over the bound there")
"""Of the first table; the third says in how many episodes, the last how the energy compares in these."""

PARTS = ("", "AP energy, J a frame", "work left, %", "outage, %")
"""Of the second: what the cost is made of."""


def horizon(
    policy: Annotated[
        str,
        typer.Argument(
            metavar="[price-net|price-net-foresight|DIR]",
            help="A shipped policy, or the folder of a training run of price-net.",
        ),
    ] = PRICE_NET,
    frames: Annotated[
        int, typer.Option(min=1, max=MOST_EPISODE_FRAMES, metavar="T", help="Frames of an episode.")
    ] = 20,
    episodes: Annotated[
        int, typer.Option(min=1, max=MOST_EPISODES, metavar="R", help="Independent episodes.")
    ] = 40,
    seed: SeedOption = 0,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write the results to this .json or .md file."),
    ] = None,
    scenario: ScenarioOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tabulate what policies cost over a bound that knows all frames of an episode in advance.

    Batteries couple frames: energy harvested in a good one may be spent in a bad one. With channels and
    arrivals known, all frames of an episode are one convex problem, whose dual bounds what any policy costs:
    the energy of the AP, and shortfall_price for each kbit that is not processed. Work that is not processed
    is dropped (backlog_cap 0, whatever the scenario's file says), so that all policies have the same.

    Between the clairvoyant optimum and the elastic optimum frame by frame there is nothing but foresight:
    both know a frame exactly, may share a slot among beams, and may process parts of a workload. The optimum,
    price-net in its modes, and maximum ratio and random beams with the AP's estimate serve whole workloads or
    pay for all of them. price-net-foresight knows no more than they do, but has learned what energy left in a
    battery is worth; beside it, the optimum of each frame with that worth in its objective.

    Needs harvest_model: linear, and the extras `bench` and `learning`. The 95% intervals are over episodes.

    Examples:

        scattermec horizon
        scattermec horizon price-net-foresight --frames 50 --episodes 20 --seed 1
        scattermec horizon runs/price-net --set battery_capacity=5 --json
    """
    if not is_price_net(policy):
        raise InputError([unknown_policy(policy)])
    if out is not None:
        check_text_output(out, (".json", ".md"))
    given = load_scenario(scenario, None) if policy in SHIPPED or scenario else None
    check_learning_installed("horizon")
    check_installed("horizon", "bench", ("cvxpy", "clarabel"))
    start_jax(lightly=True)
    from scattermec.experiments.evaluate import foresight

    trained = load_policy(policy)
    # Settings come last, so that a backlog that was asked for is refused rather than ignored.
    chosen = (given or trained.scenario).with_settings(["backlog_cap=0", *(settings or ())])
    warn_of(chosen, policy)
    warn_without_kernel(True)
    contenders = foresight.contenders(trained, chosen)
    with progress("Looking ahead", quiet=as_json) as update:
        result = foresight.compare(
            chosen, contenders, frames=frames, episodes=episodes, seed=seed, progress=update
        )
    options = {"evaluated": policy, "frames": frames, "episodes": episodes, "seed": seed}
    report = to_json({**options, **_report(result), **provenance(chosen)}) + "\n"
    title = f"{policy} over {episodes:,} episodes of {frames:,} frames, seed {seed}"
    note = (
        f"95% intervals over episodes. Bound and clairvoyant optimum differ by {result.gap:.1g} at most; of "
        f"its beaming in any slot, {1 - result.main_beam:.1g} at most is not by one beam."
    )
    tables = [(title, HEADINGS, _costs), (f"{title}: energy and work", PARTS, _parts)]
    if out is not None:
        texts = [_markdown(name, columns, map(cells, result.rows)) for name, columns, cells in tables]
        replace_text(out, report if out.suffix == ".json" else "\n".join([*texts, note, ""]))
    if as_json:
        typer.echo(report, nl=False)
    else:
        for name, columns, cells in tables:
            print_table(name, columns, [cells(row) for row in result.rows])
        typer.echo(note)


def _report(result: "Foresight") -> dict[str, Any]:
    from scattermec.experiments.measure.statistics import Estimate

    rows = [asdict(row) for row in result.rows]
    for row in rows:
        row |= {name: value._asdict() for name, value in row.items() if isinstance(value, Estimate)}
    return {"gap": result.gap, "main_beam": result.main_beam, "rows": rows}


def _markdown(title: str, headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [title, "", f"| {' | '.join(headings)} |", "|---|" + "---:|" * (len(headings) - 1)]
    lines += [f"| {' | '.join(row)} |".replace("\n", " ") for row in rows]
    return "\n".join(lines) + "\n"


def _costs(row: "ForesightRow") -> tuple[str, ...]:
    there = row.over_bound_there
    return (
        _label(row),
        _cell(row.cost),
        _cell(row.over_bound),
        f"{row.served_all:,}",
        "-" if there is None else _cell(there),
    )


def _parts(row: "ForesightRow") -> tuple[str, ...]:
    return _label(row), _cell(row.energy), _cell(row.unserved, 100), _cell(row.outage, 100)


def _label(row: "ForesightRow") -> str:
    if row.policy in ("mrt", "random"):
        return f"{row.policy} + P1"
    return row.policy if row.mode is None else f"{row.policy}, {row.mode}"


def _cell(estimate: "Estimate", scale: int = 1) -> str:
    mean, low, high = (f"{number * scale:.3g}" for number in estimate)
    return f"{mean}\n({low} to {high})"
