"""Policies over a bound that knows all frames in advance, for `scattermec horizon`."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from scattermec.cli.jobs.common import warn_of, warn_without_kernel
from scattermec.cli.output import Report, progress, provenance
from scattermec.experiments.evaluate import foresight
from scattermec.experiments.evaluate.foresight import Foresight, ForesightRow
from scattermec.experiments.measure.statistics import Estimate
from scattermec.experiments.measure.table import Table
from scattermec.price_net import load
from scattermec.scenario import Scenario

HEADINGS = ("", "cost, J per frame", "over the bound", "all served", "over the bound there")
"""Columns of the first table; the third counts episodes, the last compares the energy in these episodes."""

PARTS = ("", "AP energy, J per frame", "work left, %", "outage, %")
"""Columns of the second table: the parts of the cost."""


def run(
    name: str,
    given: Scenario | None,
    settings: Sequence[str],
    *,
    frames: int,
    episodes: int,
    seed: int,
    quiet: bool,
) -> Report:
    """Compare policies, in the policy's training scenario unless another is ``given``."""
    trained = load(name)
    # Settings come last, so a requested backlog is refused rather than ignored.
    scenario = (given or trained.scenario).with_settings(["backlog_cap=0", *settings])
    warn_of(scenario, name)
    warn_without_kernel(True)
    contenders = foresight.contenders(trained, scenario)
    with progress("Looking ahead", quiet=quiet) as update:
        result = foresight.compare(
            scenario, contenders, frames=frames, episodes=episodes, seed=seed, progress=update
        )
    title = f"{name} over {episodes:,} episodes of {frames:,} frames, seed {seed}"
    note = (
        f"95% intervals over episodes. Bound and clairvoyant optimum differ by {result.gap:.1g} at most; of "
        f"its beaming in any slot, {1 - result.main_beam:.1g} at most is not by one beam."
    )
    options = {"evaluated": name, "frames": frames, "episodes": episodes, "seed": seed}
    return Report(
        data={**options, **_data(result), **provenance(scenario)},
        tables=[
            Table(title, "", HEADINGS, tuple(map(_costs, result.rows))),
            Table(f"{title}: energy and work", "", PARTS, tuple(map(_parts, result.rows))),
        ],
        values=_values(result),
        notes=[note],
    )


def _data(result: Foresight) -> dict[str, Any]:
    rows = [asdict(row) | {name: value._asdict() for name, value in _estimates(row)} for row in result.rows]
    return {"gap": result.gap, "main_beam": result.main_beam, "rows": rows}


def _values(result: Foresight) -> Iterator[tuple[Any, ...]]:
    yield ("policy", "mode", "served_all", "quantity", "mean", "low", "high")
    for row in result.rows:
        for name, estimate in _estimates(row):
            yield (row.policy, row.mode, row.served_all, name, *estimate)


def _estimates(row: ForesightRow) -> list[tuple[str, Estimate]]:
    return [(name, value) for name, value in vars(row).items() if isinstance(value, Estimate)]


def _costs(row: ForesightRow) -> tuple[str, ...]:
    there = row.over_bound_there
    return (
        _label(row),
        _cell(row.cost),
        _cell(row.over_bound),
        f"{row.served_all:,}",
        "-" if there is None else _cell(there),
    )


def _parts(row: ForesightRow) -> tuple[str, ...]:
    return _label(row), _cell(row.energy), _cell(row.unserved, 100), _cell(row.outage, 100)


def _label(row: ForesightRow) -> str:
    if row.policy in ("mrt", "random"):
        return f"{row.policy} + P1"
    return row.policy if row.mode is None else f"{row.policy}, {row.mode}"


def _cell(estimate: Estimate, scale: int = 1) -> str:
    mean, low, high = (f"{number * scale:.3g}" for number in estimate)
    return f"{mean}\n({low} to {high})"
