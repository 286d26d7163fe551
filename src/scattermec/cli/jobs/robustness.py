"""A policy under imperfect knowledge, for `scattermec evaluate-robustness`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from scattermec.cli.jobs.common import warn_without_kernel
from scattermec.cli.output import Report, described_progress, progress, provenance
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
    LongRunRow,
    RobustnessRow,
    check_scenario,
    measure_long_run,
    measure_robustness,
)
from scattermec.experiments.measure import possible
from scattermec.experiments.measure.conditions import CONDITIONS, KNOWN_TO_AP
from scattermec.experiments.measure.statistics import Estimate
from scattermec.experiments.measure.table import Table
from scattermec.learners.fixed import FIXED
from scattermec.physics import parameters_of
from scattermec.price_net import is_price_net, load
from scattermec.price_net.modes import REPAIRED, modes_of, plan_frames
from scattermec.scenario import Scenario
from scattermec.training import load_run

PERFECT = {"csi_error": 0.0, "workload_error": 0.0}
"""The scenario's own errors: those of the conditions take their place."""


def run(
    policy: str,
    given: Scenario | None,
    settings: Sequence[str],
    *,
    frames: int,
    limit_frames: int,
    rollout_frames: int,
    seed: int,
    quiet: bool,
) -> Report:
    """Measure the named policy; a learner in its training scenario unless another is ``given``.

    With ``limit_frames``, also bound on that many frames what is possible; with ``rollout_frames``, also
    measure rollouts.
    """
    scenario, contenders = _subject(policy, given, settings)
    if limit_frames:
        possible.check_scenario(scenario)
    warn_without_kernel(True)
    with progress("Evaluating", quiet=quiet) as update:
        rows = measure_robustness(scenario, contenders, frames=frames, seed=seed, progress=update)
    limits = _limits(scenario, limit_frames, seed, quiet) if limit_frames else {}
    long_run = _long_run(scenario, contenders, rollout_frames, seed, quiet) if rollout_frames else []
    counts = {"frames": frames, "limit_frames": limit_frames, "rollout_frames": rollout_frames}
    found: dict[str, Any] = {"rows": [asdict(row) for row in rows], "limits": limits}
    found["long_run"] = [asdict(row) for row in long_run]
    return Report(
        data={"evaluated": policy, **counts, "seed": seed, **found, **provenance(scenario)},
        tables=[*tables(rows, limits), *_long_run_tables(long_run, rollout_frames)],
        values=_values(rows, limits, long_run),
        heading=f"{policy}, {frames:,} frames, seed {seed}: shares of the optimum that knows everything, "
        "with 95% intervals over frames",
    )


def _subject(
    name: str, given: Scenario | None, settings: Sequence[str]
) -> tuple[Scenario, Sequence[Contender]]:
    """The scenario without errors of its own, and the policy in each of its modes, as trained."""
    planning: list[Contender] = []
    if name in FIXED:
        scenario = _without_errors(given or Scenario().with_settings(settings))
        return scenario, [Contender(one.policy, one.decide) for one in fixed_contenders(scenario, [name])]
    if is_price_net(name):
        policy = load(name)
        scenario = _without_errors(given or policy.scenario.with_settings(settings))
        acting = price_net_contenders(policy, scenario)
        if REPAIRED in modes_of(policy.network):
            plans = partial(plan_frames, policy.network, parameters_of(scenario))
            planning = [Contender(name if policy.network.cautious else f"{name}, {REPAIRED}", plans=plans)]
            acting = [one for one in acting if one.mode != REPAIRED]
    else:
        run = load_run(Path(name))
        scenario = _without_errors(given or run.scenario.with_settings(settings))
        check_fit(run, scenario, name)
        acting = learned_contenders(run, scenario)
    deciding = [
        Contender(f"{name}, {one.mode}", one.decide, seeds=one.seeds) for one in acting if one.trained
    ]
    return scenario, [*planning, *deciding]


def _without_errors(scenario: Scenario) -> Scenario:
    scenario = scenario.replace(**PERFECT)
    check_scenario(scenario)
    return scenario


def _limits(scenario: Scenario, frames: int, seed: int, quiet: bool) -> dict[str, Estimate]:
    """What is possible by condition, as shares; where only messages are rounded or lost, everything."""
    found = dict.fromkeys(CONDITIONS, Estimate(1.0, 1.0, 1.0))
    with described_progress("Bounding", quiet=quiet, unit="rounds") as update:
        for name, condition in KNOWN_TO_AP.items():
            found[name] = possible.limit(
                scenario, condition, frames=frames, seed=seed, progress=partial(update, name)
            )
    return found


def _long_run(
    scenario: Scenario, contenders: Sequence[Contender], frames: int, seed: int, quiet: bool
) -> list[LongRunRow]:
    with progress("Rolling out", quiet=quiet) as update:
        return measure_long_run(scenario, contenders, frames=frames, seed=seed, progress=update)


def _long_run_tables(rows: Sequence[LongRunRow], frames: int) -> Iterator[Table]:
    columns = ("what is known", "users", "reward (11), kbit/J", "outage", "efficiency, kbit/J")
    for policy in dict.fromkeys(row.policy for row in rows):
        cells = [
            (
                row.condition,
                row.users,
                f"{row.reward:.1f}",
                f"{row.outage:.2%}",
                f"{row.efficiency:.1f}",
            )
            for row in rows
            if row.policy == policy
        ]
        title = f"{policy}, in the long run: {frames:,} frames of rollouts, intervals over rollouts"
        yield Table(title, "", columns, tuple(cells))


def tables(rows: Sequence[RobustnessRow], limits: Mapping[str, Estimate]) -> Iterator[Table]:
    """A table for each policy, the control last; with the ``limits`` of users that repair, if known.

    A dash stands for users that do not obey, or do not repair.
    """
    found = {(row.policy, row.condition, row.users): row for row in rows}
    conditions = list(dict.fromkeys(row.condition for row in rows))
    for policy in dict.fromkeys(row.policy for row in rows):
        columns = ["what is known", "users obey: share", "outage", "users repair: share", "outage"]
        columns += ["margins"] if policy == CONTROL else []
        columns += ["limit if users repair", "of the limit"] if limits else []
        cells = []
        for condition in conditions:
            both = [found.get((policy, condition, users)) for users in (OBEY, REPAIR)]
            line = [condition, *(cell for row in both for cell in _cells(row))]
            line += [", ".join(f"{row.margin:g}" for row in both if row)] if policy == CONTROL else []
            line += _of_limit(both[1], limits[condition]) if limits else []
            cells.append(tuple(line))
        yield Table(policy, "", tuple(columns), tuple(cells))


def _cells(row: RobustnessRow | None) -> tuple[str, str]:
    return ("-", "-") if row is None else (f"{row.share:.2%}", f"{row.outage.mean:.1%}")


def _of_limit(row: RobustnessRow | None, limit: Estimate) -> tuple[str, str]:
    return f"{limit:.2%}", "-" if row is None else f"{row.share.mean / limit.mean:.1%}"


def _values(
    rows: Sequence[RobustnessRow], limits: Mapping[str, Estimate], long_run: Sequence[LongRunRow]
) -> Iterator[tuple[Any, ...]]:
    yield ("condition", "policy", "users", "margin", "discount", "quantity", "mean", "low", "high")
    for row in rows:
        about = (row.condition, row.policy, row.users, row.margin, row.discount)
        for quantity in ("reward", "share", "outage"):
            yield (*about, quantity, *getattr(row, quantity))
    for condition, share in limits.items():
        yield (condition, "any", REPAIR, None, None, "limit", *share)
    for one in long_run:
        for quantity in ("reward", "outage", "efficiency"):
            name = f"rollout.{quantity}"
            yield (one.condition, one.policy, one.users, None, None, name, *getattr(one, quantity))
