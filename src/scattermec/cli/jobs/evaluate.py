"""Policies, learned or not, beside controls and optima, for `scattermec evaluate`."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import typer

from scattermec.cli.jobs.common import warn_of, warn_without_kernel
from scattermec.cli.output import Report, progress, provenance
from scattermec.experiments.evaluate.evaluation import QUANTITIES, Evaluation, Row, evaluate, while_learning
from scattermec.experiments.evaluate.policies import (
    Contender,
    check_fit,
    fixed_contenders,
    learned_contenders,
    price_net_contenders,
)
from scattermec.experiments.measure.rollouts import WARM_UP
from scattermec.experiments.measure.statistics import Estimate
from scattermec.experiments.measure.table import Table
from scattermec.learners.fixed import REFERENCES, BatchPolicy
from scattermec.price_net import ALGORITHM as PRICE_NET
from scattermec.price_net import is_price_net, load
from scattermec.scenario import Scenario
from scattermec.training import load_run

CONTROLS = ("random", "mrt")

REGIMES = {
    "learning": "While learning, exploration included: the last tenth of the run",
    "independent": "Independent frames",
    "rollout": "Rollouts that carry battery and backlog",
}
"""Titles of the tables, in their order."""

COLUMNS = (
    ("reward", "of_optimum", "of_best_set", "outage", "energy_efficiency"),
    ("ap_energy", "user_reward", "active_share", "passive_share", "local_share"),
)
"""Quantities in the two tables of a regime."""

PERCENTAGES = ("of_optimum", "of_best_set", "outage", "active_share", "passive_share", "local_share")


def run(
    policy: str,
    given: Scenario | None,
    settings: Sequence[str],
    *,
    frames: int,
    rollout_frames: int,
    seed: int,
    quiet: bool,
) -> Report:
    """Evaluate the named policy; a learner in its training scenario unless another is ``given``."""
    subject = _subject(policy, given, settings)
    scenario = subject.scenario
    linear = scenario.harvest_model == "linear"
    warn_of(scenario, policy)
    warn_without_kernel(linear)
    references = fixed_contenders(scenario, REFERENCES if subject.learner and linear else ())
    contenders = fixed_contenders(scenario, CONTROLS) + subject.contenders + references
    with progress("Evaluating", quiet=quiet) as update:
        result = evaluate(
            scenario, contenders, frames=frames, rollout_frames=rollout_frames, seed=seed, progress=update
        )
    _say_what_is_unknown(result, scenario)
    rows = [*subject.rows, *result.rows]
    options = {"evaluated": policy, "frames": frames, "rollout_frames": rollout_frames, "seed": seed}
    found = {
        "run": subject.learner,
        "warm_up": WARM_UP,
        "references": {
            name: {"unsettled": proved.unsettled, "gap": proved.gap}
            for name, proved in result.certificates.items()
        },
        "rows": list(map(_data, rows)),
    }
    return Report(
        data={**options, **found, **provenance(scenario)},
        tables=list(_tables(rows, options)),
        values=_values(rows),
        heading=_about(rows, options),
    )


class _Subject(NamedTuple):
    """Policies to evaluate, and their scenario."""

    scenario: Scenario
    contenders: list[Contender]
    learner: dict[str, Any] | None = None
    """the report's entry about a learner; None for a policy that does not learn"""
    rows: tuple[Row, ...] = ()
    """results known already"""


def _subject(name: str, given: Scenario | None, settings: Sequence[str]) -> _Subject:
    """A policy that does not learn, price-net, or a training run; the latter two also before training."""
    if name in (*CONTROLS, *REFERENCES):
        scenario = given or Scenario().with_settings(settings)
        return _Subject(scenario, fixed_contenders(scenario, [name] if name in REFERENCES else []))
    if is_price_net(name):
        policy = load(name)
        scenario = given or policy.scenario.with_settings(settings)
        about = {"algorithm": PRICE_NET, "seeds": (policy.seed,), "frames": policy.frames}
        return _Subject(scenario, price_net_contenders(policy, scenario), about)
    run = load_run(Path(name))
    scenario = given or run.scenario.with_settings(settings)
    check_fit(run, scenario, name)
    about = {"algorithm": run.algorithm, "seeds": run.seeds, "frames": run.frames}
    return _Subject(scenario, learned_contenders(run, scenario), about, (while_learning(run, Path(name)),))


def contenders_of(name: str, scenario: Scenario) -> dict[str, BatchPolicy]:
    """A policy that does not learn, or trained price-net in each of its modes, by their labels in tables."""
    if not is_price_net(name):
        (contender,) = fixed_contenders(scenario, [name])
        return {f"{name} + P1" if name in CONTROLS else name: contender.decide}
    contenders = price_net_contenders(load(name), scenario)
    return {f"{name}, {contender.mode}": contender.decide for contender in contenders if contender.trained}


def _data(row: Row) -> dict[str, Any]:
    units = {quantity.name: quantity.unit for quantity in QUANTITIES}
    return {
        "regime": row.regime,
        "policy": row.policy,
        "mode": row.mode,
        "trained": row.trained,
        "seeds": row.seeds,
        "intervals_over": row.over,
        "estimates": {
            name: {**estimate._asdict(), "unit": units[name]} for name, estimate in row.estimates.items()
        },
    }


def _values(rows: Sequence[Row]) -> Iterator[tuple[Any, ...]]:
    keys = ("regime", "policy", "mode", "trained", "seeds", "intervals_over")
    yield (*keys, "quantity", "unit", "mean", "low", "high")
    for row in rows:
        about = (row.regime, row.policy, row.mode, row.trained, row.seeds, row.over)
        for quantity in QUANTITIES:
            if quantity.name in row.estimates:
                yield (*about, quantity.name, quantity.unit, *row.estimates[quantity.name])


def _tables(rows: Sequence[Row], options: dict[str, Any]) -> Iterator[Table]:
    for regime, part in _by_regime(rows):
        for index, columns in enumerate(COLUMNS):
            names = [name for name in columns if name in part[0].estimates]
            cells = tuple(
                (_label(row), *(_cell(name, row.estimates[name]) for name in names)) for row in part
            )
            title = _title(regime, options) + (": energy and work" if index else "")
            yield Table(title, "", ("", *map(_heading, names)), cells)


def _about(rows: Sequence[Row], options: dict[str, Any]) -> str:
    """What was evaluated, and what the intervals are over."""
    learned = next((row for row in rows if row.trained is not None), None)
    if learned is None:
        return f"{options['evaluated']}, seed {options['seed']}: 95% intervals over frames or rollouts"
    several = learned.seeds > 1
    over = (
        f"its {learned.seeds} seeds, for others over frames or rollouts" if several else "frames or rollouts"
    )
    whose = "" if learned.policy == options["evaluated"] else f" of {options['evaluated']}"
    return f"{learned.policy}{whose}, seed {options['seed']}: 95% intervals over {over}"


def _by_regime(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    parts = [(regime, [row for row in rows if row.regime == regime]) for regime in REGIMES]
    return [(regime, part) for regime, part in parts if part]


def _title(regime: str, options: dict[str, Any]) -> str:
    counts = {"independent": options["frames"], "rollout": options["rollout_frames"]}
    return REGIMES[regime] + (f": {counts[regime]:,}" if regime in counts else "")


def _heading(name: str) -> str:
    quantity = next(quantity for quantity in QUANTITIES if quantity.name == name)
    unit = "%" if name in PERCENTAGES else quantity.unit
    return f"{quantity.description}, {unit}" if unit else quantity.description


def _label(row: Row) -> str:
    if row.trained is None:
        return f"{row.policy} + P1" if row.policy in CONTROLS else row.policy
    return f"{row.mode or row.policy}\nframe {row.trained:,}"


def _cell(name: str, estimate: Estimate) -> str:
    """The mean above its interval; a dash or nothing where they are unknown."""
    scale = 100 if name in PERCENTAGES else 1
    mean, low, high = (number * scale for number in estimate)
    interval = "" if math.isnan(low) else f"{low:.3g}-{high:.3g}"
    return f"{'-' if math.isnan(mean) else format(mean, '.4g')}\n{interval}"


def _say_what_is_unknown(result: Evaluation, scenario: Scenario) -> None:
    if scenario.harvest_model != "linear":
        typer.echo(
            f"No shares of the optimum: harvest_model is {scenario.harvest_model!r}, and optimal beams need "
            "'linear'.",
            err=True,
        )
    for name, proved in result.certificates.items():
        typer.echo(f"Without a verdict in {name}: {proved.unsettled} of the independent frames.", err=True)
