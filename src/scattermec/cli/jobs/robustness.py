"""A policy under imperfect knowledge, for `scattermec evaluate-robustness`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from scattermec.cli.checks import is_price_net
from scattermec.cli.jobs.common import warn_without_kernel
from scattermec.cli.output import Report, interval, progress, provenance
from scattermec.experiments.evaluate.policies import (
    check_fit,
    fixed_contenders,
    learned_contenders,
    price_net_contenders,
)
from scattermec.experiments.evaluate.robustness import (
    CONTROL,
    OBEY,
    REPAIR,
    Contender,
    RobustnessRow,
    check_scenario,
    measure_robustness,
)
from scattermec.experiments.measure.statistics import Estimate
from scattermec.experiments.measure.table import Table
from scattermec.learners.fixed import FIXED
from scattermec.physics import parameters
from scattermec.price_net import load
from scattermec.price_net.modes import plan_frames
from scattermec.scenario import Scenario
from scattermec.training import load_run

PERFECT = {"csi_error": 0.0, "workload_error": 0.0}
"""The scenario's own errors: those of the conditions take their place."""


def run(
    policy: str, given: Scenario | None, settings: Sequence[str], *, frames: int, seed: int, quiet: bool
) -> Report:
    """Measure the named policy; a learner in its training scenario unless another is ``given``."""
    scenario, contenders = _subject(policy, given, settings)
    warn_without_kernel(True)
    with progress("Evaluating", quiet=quiet) as update:
        rows = measure_robustness(scenario, contenders, frames=frames, seed=seed, progress=update)
    options = {"evaluated": policy, "frames": frames, "seed": seed}
    return Report(
        data={**options, "rows": [asdict(row) for row in rows], **provenance(scenario)},
        tables=list(tables(rows)),
        values=_values(rows),
        heading=f"{policy}, {frames:,} frames, seed {seed}: shares of the optimum that knows everything, "
        "with 95% intervals over frames",
    )


def _subject(
    name: str, given: Scenario | None, settings: Sequence[str]
) -> tuple[Scenario, Sequence[Contender]]:
    """The scenario without errors of its own, and the policy in each of its modes, as trained."""
    if name in FIXED:
        scenario = _without_errors(given or Scenario().with_settings(settings))
        return scenario, [Contender(one.policy, one.decide) for one in fixed_contenders(scenario, [name])]
    if is_price_net(name):
        policy = load(name)
        scenario = _without_errors(given or policy.scenario.with_settings(settings))
        acting = price_net_contenders(policy, scenario)
        if policy.network.cautious:
            plans = partial(plan_frames, policy.network, parameters(scenario))
            return scenario, [Contender(name, plans=plans)]
    else:
        run = load_run(Path(name))
        scenario = _without_errors(given or run.scenario.with_settings(settings))
        check_fit(run, scenario, name)
        acting = learned_contenders(run, scenario)
    return scenario, [
        Contender(f"{name}, {one.mode}", one.decide, seeds=one.seeds) for one in acting if one.trained
    ]


def _without_errors(scenario: Scenario) -> Scenario:
    scenario = scenario.replace(**PERFECT)
    check_scenario(scenario)
    return scenario


def tables(rows: Sequence[RobustnessRow], possible: Mapping[str, Estimate] | None = None) -> Iterator[Table]:
    """A table for each policy, the control last; with the shares ``possible`` in each condition, if known.

    A dash stands for users that do not obey, or do not repair.
    """
    found = {(row.policy, row.condition, row.users): row for row in rows}
    conditions = list(dict.fromkeys(row.condition for row in rows))
    for policy in dict.fromkeys(row.policy for row in rows):
        columns = ["what is known", "users obey: share", "outage", "users repair: share", "outage"]
        columns += ["margins"] if policy == CONTROL else []
        columns += ["possible"] if possible else []
        cells = []
        for condition in conditions:
            both = [found.get((policy, condition, users)) for users in (OBEY, REPAIR)]
            line = [condition, *(cell for row in both for cell in _cells(row))]
            line += [", ".join(f"{row.margin:g}" for row in both if row)] if policy == CONTROL else []
            line += [interval(possible[condition])] if possible else []
            cells.append(tuple(line))
        yield Table(policy, "", tuple(columns), tuple(cells))


def _cells(row: RobustnessRow | None) -> tuple[str, str]:
    return ("-", "-") if row is None else (interval(row.share), f"{row.outage.mean:.1%}")


def _values(rows: Sequence[RobustnessRow]) -> Iterator[tuple[Any, ...]]:
    yield ("condition", "policy", "users", "margin", "discount", "quantity", "mean", "low", "high")
    for row in rows:
        about = (row.condition, row.policy, row.users, row.margin, row.discount)
        for quantity in ("reward", "share", "outage"):
            yield (*about, quantity, *getattr(row, quantity))
