"""How often each claim of Fig. 3 and 4 holds where the constants that the paper does not give are others.

A declared range for each such constant, sampled evenly (Latin hypercube); at every sample the sweeps are
measured and the claims judged as in the default scenario, on fewer frames and points.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from scipy.stats import binomtest, qmc

from scattermec.errors import InputError
from scattermec.experiments.beams import Beams
from scattermec.experiments.claims import CLAIMS, Verdict, examine
from scattermec.experiments.statistics import CONFIDENCE
from scattermec.experiments.sweeps import SWEEPS, measure_point
from scattermec.experiments.tables import Table
from scattermec.scenario import Scenario
from scattermec.storage import replace_text

FILE = "ranges.json"

SCENARIOS, FRAMES = 48, 256
QUICK_SCENARIOS, QUICK_FRAMES = 8, 48


@dataclass(frozen=True)
class Range:
    """Values of a constant that the paper does not give."""

    low: float
    high: float
    logarithmic: bool = True

    def at(self, part: float) -> float:
        """The value at a part of the range, in four digits."""
        if self.logarithmic:
            value = self.low * (self.high / self.low) ** part
        else:
            value = self.low + (self.high - self.low) * part
        return float(f"{value:.4g}")


RANGES = {
    "bandwidth": Range(4, 16),
    "noise_power": Range(1e-10, 1e-8),
    "harvest_efficiency": Range(0.3, 0.8, logarithmic=False),
    "reflection_gain": Range(0.001, 0.3),
    "circuit_power": Range(0.001, 0.3),
    "local_energy": Range(0.001, 0.025),
    "local_rate": Range(30, 150),
    "active_receive_power": Range(0.01, 0.1),
    "passive_receive_power": Range(0.001, 0.01),
    "mec_energy": Range(0.0001, 0.002),
    "idle_power": Range(0.001, 0.05),
    "initial_battery": Range(0, 0.2, logarithmic=False),
}
"""Declared before any of these scenarios was solved: about a factor of ten around the default where nothing
tells more. ``initial_battery`` is the upper end of what batteries at reset are drawn from."""


@dataclass(frozen=True)
class RangePlan:
    """What is examined."""

    scenario: Scenario
    """whose other constants are kept"""
    scenarios: int
    frames: int
    """a point"""
    beams: tuple[Beams, ...]
    seed: int = 0

    def sampled(self) -> list[Scenario]:
        """The scenarios, evenly over the ranges."""
        parts = qmc.LatinHypercube(len(RANGES), rng=self.seed).random(self.scenarios)
        return [self._scenario(row) for row in parts]

    def _scenario(self, parts: np.ndarray) -> Scenario:
        values: dict[str, Any] = {
            name: declared.at(part) for (name, declared), part in zip(RANGES.items(), parts, strict=True)
        }
        values["initial_battery"] = (0.0, values["initial_battery"])
        return Scenario(**(self.scenario.model_dump() | values))

    def settings(self) -> dict[str, Any]:
        """What the verdicts depend on."""
        return {
            "ranges": {name: [declared.low, declared.high] for name, declared in RANGES.items()},
            "frames": self.frames,
            "seed": self.seed,
            "beams": list(self.beams),
            "scenarios": self.scenarios,
            "scenario": self.scenario.model_dump(mode="json"),
        }


def examine_ranges(plan: RangePlan, folder: Path, progress: Callable[[int], None]) -> None:
    """Judge the claims at every sample, into ``ranges.json``; what is there of the same settings is kept.

    ``progress`` is told how many scenarios are done.
    """
    found = _kept(plan, folder)
    progress(len(found))
    for scenario in plan.sampled()[len(found) :]:
        changed = {name: getattr(scenario, name) for name in RANGES}
        verdicts: dict[str, dict[str, str]] = {}
        for kind in plan.beams:
            measurements = [
                row
                for sweep in SWEEPS.values()
                for value in sweep.values(quick=True)
                for row in measure_point(
                    scenario, sweep, value, frames=plan.frames, seed=plan.seed, beams=[kind]
                )
            ]
            findings = examine(measurements, list(SWEEPS), kind)
            verdicts[kind] = {finding.name: finding.verdict for finding in findings}
        found.append({"constants": changed, "verdicts": verdicts})
        text = json.dumps({"settings": plan.settings(), "found": found}, indent=1)
        replace_text(folder / FILE, text + "\n")
        progress(len(found))


def _kept(plan: RangePlan, folder: Path) -> list[dict[str, Any]]:
    if not (folder / FILE).exists():
        return []
    data = read(folder)
    if data["settings"] != json.loads(json.dumps(plan.settings())):
        return []
    return list(data["found"])


def read(folder: Path) -> dict[str, Any]:
    """What `examine_ranges` has written; raises InputError if it cannot be read."""
    path = folder / FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        data["settings"], data["found"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError([f"{path}: is damaged; delete it to have it made anew"]) from None
    return cast(dict[str, Any], data)


def tables(folder: Path) -> list[Table]:
    """How often each claim holds, for each kind of beams; nothing where no ranges were examined."""
    if not (folder / FILE).exists():
        return []
    data = read(folder)
    found, kinds = data["found"], data["settings"]["beams"]
    if not found:
        return []
    order: Sequence[Verdict] = ("holds", "holds in part", "does not hold")
    rows = []
    for claim in CLAIMS:
        row = [claim.name, claim.statement]
        for kind in kinds:
            verdicts = [one["verdicts"][kind][claim.name] for one in found]
            counts = [verdicts.count(verdict) for verdict in order]
            interval = binomtest(counts[0], len(found)).proportion_ci(CONFIDENCE, method="wilson")
            row.append(
                f"{counts[0] / len(found):.0%} ({interval.low:.0%} to {interval.high:.0%}); "
                f"in part {counts[1]}, not {counts[2]}"
            )
        rows.append(tuple(row))
    frames, ranges = data["settings"]["frames"], data["settings"]["ranges"]
    low_high = ", ".join(f"`{name}` {low:g} to {high:g}" for name, (low, high) in ranges.items())
    return [
        Table(
            title="How often the claims hold where the constants are others",
            note=f"{len(found)} scenarios over declared ranges of what the paper does not give "
            f"(Latin hypercube): {low_high}. Exact optima, {frames} frames a point, the points of the quick "
            "setting; the conditions and thresholds of the claims table. Part of the scenarios in which a "
            f"claim holds, with its 95% Wilson interval. Each scenario's constants and verdicts: {FILE}.",
            columns=("claim", "the paper", *(f"holds, {kind} beams" for kind in kinds)),
            rows=tuple(rows),
            command="scattermec reproduce --parts ranges",
        )
    ]
