"""A sweep as a table: means of measured quantities for each combination of the constants that vary."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scattermec._yaml import show
from scattermec.errors import InputError
from scattermec.experiments.measure.statistics import Estimate
from scattermec.experiments.measure.table import Table
from scattermec.experiments.sweep.store import Store, mean_of

MOST_ROWS = 1000
"""Combinations of constants that a table shows."""


@dataclass(frozen=True)
class Combination:
    """Tasks that differ in nothing but their seeds."""

    constants: dict[str, Any]
    """those that vary"""
    tasks: int
    means: dict[str, Estimate]
    """by quantity, with 95% intervals over the tasks; those of a single task are its own, or NaN"""


def combinations(store: Store, quantities: Sequence[str]) -> list[Combination]:
    """What is there of each combination, in the order of the tasks.

    Raises InputError as `Store.columns` does, and for more than `MOST_ROWS` combinations.
    """
    varied = store.plan.varied
    columns = store.columns(["task", *varied], quantities)
    rows: dict[tuple[Any, ...], list[int]] = {}
    for number in range(len(columns["task"])):
        rows.setdefault(tuple(columns[name][number] for name in varied), []).append(number)
    if len(rows) > MOST_ROWS:
        raise InputError(
            [f"{store.folder}: has {len(rows):,} combinations of constants; a table shows {MOST_ROWS:,}"]
        )
    return [
        Combination(
            constants=dict(zip(varied, key, strict=True)),
            tasks=len(numbers),
            means={name: mean_of(columns, name, numbers) for name in quantities},
        )
        for key, numbers in rows.items()
    ]


def table_of(store: Store, quantities: Sequence[str], found: Sequence[Combination]) -> Table:
    """The combinations as a table."""
    return Table(
        title=f"{store.plan.job}: means and 95% intervals",
        note="",
        columns=(*store.plan.varied, "tasks", *quantities),
        rows=tuple(
            (
                *map(_constant, one.constants.values()),
                f"{one.tasks:,}",
                *(_shown(one.means[name]) for name in quantities),
            )
            for one in found
        ),
    )


def _constant(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else show(value)


def _shown(estimate: Estimate) -> str:
    if np.isnan(estimate.mean):
        return "-"
    return f"{estimate.mean:.4g}" if np.isnan(estimate.low) else f"{estimate:.4g}"
