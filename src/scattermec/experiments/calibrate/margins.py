"""How far a scenario is from each claim on Fig. 3 and 4: thousands of scenarios per minute.

The constants of all points of a sweep are stacked, so that one program draws and solves all their frames.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jax import Array

from scattermec._programs import kept_jit
from scattermec.experiments.claims.optima import CLAIMS
from scattermec.experiments.measure.stacked import stack, values_of
from scattermec.experiments.measure.statistics import Estimate
from scattermec.experiments.measure.sweeps import (
    ALL_METRICS,
    SWEEPS,
    Measurement,
    Sweep,
    draw_frame,
    parameters_at,
    parts_of,
)
from scattermec.optimisation import SCHEMES, Scheme
from scattermec.physics import Parameters, maximum_ratio_beams, parameters_of
from scattermec.scenario import Scenario

JUDGED = 2000
"""Frames per point of the final verdicts; margins are stated for their intervals."""

NORMAL = 1.96
"""Half of a 95% interval, in standard errors."""

METRICS = ("active_share", "passive_share", "local_share", "t_active", "t_passive", "frame_efficiency")
"""What the claims are about, besides the energy relative to MEC-disabled."""


class Margins(NamedTuple):
    """Margins of the claims in a scenario."""

    claims: np.ndarray
    """(14,) in the order of `CLAIMS`: the least margin of a claim's conditions"""
    served: float
    """share of the frames in which the hybrid scheme serves everyone, at the point where it is least"""


def margins(scenario: Scenario, *, frames: int, seed: int, quick: bool = True) -> Margins:
    """Measure the sweeps with maximum ratio beams, and the margin of each claim."""
    measurements, served = measure(scenario, frames=frames, seed=seed, quick=quick)
    least = [min(condition.margin for condition in claim.conditions(measurements)) for claim in CLAIMS]
    return Margins(np.array(least), served)


def measure(
    scenario: Scenario, *, frames: int, seed: int, quick: bool = True
) -> tuple[list[Measurement], float]:
    """What the claims need of every sweep, and the least share served; with ``quick`` at fewer points.

    The frames, and so the means, are those of `measure_point`; the intervals are those that `JUDGED` frames
    would have, by the normal approximation.
    """
    parameters = parameters_of(scenario)
    key, indices = jax.random.key(seed), np.arange(frames)
    rows: list[Measurement] = []
    served = 1.0
    for schemes, sweeps in _groups().items():
        points = [(sweep, value) for sweep in sweeps for value in sweep.values(scenario, quick)]
        stacked = stack([parameters_at(parameters, sweep.name, value) for sweep, value in points])
        found = jax.tree.map(np.asarray, _solve(" ".join(schemes), stacked, key, indices))
        served = min(served, float(found["hybrid"]["everyone_served"].mean(axis=1).min()))
        for index, (sweep, value) in enumerate(points):
            here = jax.tree.map(lambda array, i=index: array[i], found)
            rows += _measurements(sweep, value, here, seed)
    return rows, served


def _groups() -> dict[tuple[Scheme, ...], list[Sweep]]:
    """The sweeps by their schemes."""
    groups: dict[tuple[Scheme, ...], list[Sweep]] = {}
    for sweep in SWEEPS.values():
        groups.setdefault(sweep.schemes, []).append(sweep)
    return groups


@partial(kept_jit, static_argnums=(0,))
def _solve(schemes: str, parameters: Parameters, key: Array, indices: Array) -> dict[str, dict[str, Array]]:
    """Per scheme, what each frame of each point contributes: (P, K) by name."""

    def solve(scheme: Scheme, parameters: Parameters, index: Array) -> dict[str, Array]:
        frame = draw_frame(parameters, key, index)
        return values_of(scheme, parameters, frame, maximum_ratio_beams(frame.channels))

    found: dict[str, dict[str, Array]] = {}
    for scheme in SCHEMES:
        if scheme in schemes.split():
            frames = jax.vmap(partial(solve, scheme), in_axes=(None, 0))
            found[scheme] = jax.vmap(frames, in_axes=(0, None))(parameters, indices)
    return found


def _measurements(
    sweep: Sweep, value: float, values: Mapping[str, Mapping[str, np.ndarray]], seed: int
) -> Iterator[Measurement]:
    shared = np.all([numbers["everyone_served"] > 0 for numbers in values.values()], axis=0)
    for scheme, numbers in values.items():
        found = {name: estimate(*parts_of(numbers, name)) for name in METRICS}
        if "local" in values:
            own, reference = numbers["ap_energy"], values["local"]["ap_energy"]
            found["relative_energy"] = estimate(own[shared], reference[shared])
        for name, number in found.items():
            unit = ALL_METRICS[name].unit
            yield Measurement(sweep.name, value, scheme, "mrt", name, unit, *number, len(shared), seed)


def estimate(numerators: np.ndarray, denominators: np.ndarray | None) -> Estimate:
    """A mean, or a ratio of sums, with the interval that it would have over `JUDGED` such frames."""
    if not numerators.size:
        return Estimate(np.nan, np.nan, np.nan)
    below = np.ones_like(numerators) if denominators is None else denominators
    total = below.sum()
    if total <= 0:
        return Estimate(0.0, 0.0, 0.0)
    ratio = numerators.sum() / total
    deviation = np.sqrt(np.mean((numerators - ratio * below) ** 2)) / (total / below.size)
    half = NORMAL * deviation / np.sqrt(JUDGED)
    return Estimate(float(ratio), float(ratio - half), float(ratio + half))
