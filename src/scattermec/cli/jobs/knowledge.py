"""What is possible without knowing, for `scattermec knowledge`."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from scattermec.cli.jobs.common import warn_of, warn_without_kernel
from scattermec.cli.output import Report, described_progress, provenance
from scattermec.experiments.measure.conditions import KNOWN_TO_AP
from scattermec.experiments.measure.possible import (
    USERS,
    Possible,
    check_scenario,
    knowledge_table,
    possible,
)
from scattermec.experiments.measure.sampled import Expected, compare_plans, plans_table
from scattermec.experiments.measure.statistics import mean_interval
from scattermec.scenario import Scenario


def run(scenario: Scenario, *, frames: int, samples: int, sampled: int, seed: int, quiet: bool) -> Report:
    """Bound and plan under each of `KNOWN_TO_AP`; raises InputError if the scenario does not fit.

    With ``sampled`` samples per frame, also plan for these together, where not everything is known.
    """
    check_scenario(scenario)
    warn_of(scenario)
    warn_without_kernel(True)
    found = {}
    with described_progress("Bounding", quiet=quiet, unit="rounds") as update:
        for name, condition in KNOWN_TO_AP.items():
            found[name] = possible(
                scenario, condition, frames=frames, samples=samples, seed=seed, progress=partial(update, name)
            )
    values = list(_values(found))
    tables = [knowledge_table(found)]
    if sampled:
        compared = _compared(scenario, found, sampled, quiet)
        tables.append(plans_table(compared, sampled))
        values += _values_of_plans(compared)
    about = {"frames": frames, "samples": samples, "sampled": sampled, "seed": seed}
    rows = [dict(zip(values[0], row, strict=True)) for row in values[1:]]
    return Report(data={**about, "rows": rows, **provenance(scenario)}, tables=tables, values=values)


def _compared(
    scenario: Scenario, found: Mapping[str, Possible], sampled: int, quiet: bool
) -> dict[str, tuple[Possible, Mapping[str, Expected]]]:
    compared: dict[str, tuple[Possible, Mapping[str, Expected]]] = {}
    with described_progress("Planning", quiet=quiet, unit="frames") as update:
        for name, one in found.items():
            if KNOWN_TO_AP[name].knowledge.size > 0:
                plans = compare_plans(scenario, one, samples=sampled, progress=partial(update, name))
                compared[name] = one, plans
    return compared


def _values_of_plans(
    compared: Mapping[str, tuple[Possible, Mapping[str, Expected]]],
) -> Iterator[tuple[Any, ...]]:
    for condition, (_, plans) in compared.items():
        for kind, expected in plans.items():
            for name in Expected._fields:
                estimate = mean_interval(getattr(expected, name))
                yield (condition, "repair", f"{kind}: {name}", *estimate)


def _values(found: Mapping[str, Possible]) -> Iterator[tuple[Any, ...]]:
    yield ("condition", "users", "quantity", "mean", "low", "high")
    for condition, one in found.items():
        for users in USERS:
            quantities = {
                "limit": one.bound_estimate(users),
                "reward": one.achieved_estimate(users),
                "of_limit": one.share_of_possible(one.reward[users], users),
                "optimum": mean_interval(one.clairvoyant),
                "energy": mean_interval(one.energy[users]),
                "outage": mean_interval(one.outage[users]),
            }
            for name, estimate in quantities.items():
                yield (condition, users, name, *estimate)
