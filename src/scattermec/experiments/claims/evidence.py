"""Evidence: curves of a sweep, and conditions that their 95% intervals meet or do not meet."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scattermec.experiments.measure.statistics import Estimate
from scattermec.experiments.measure.sweeps import Measurement

Judgement = Literal["met", "unclear", "not met"]

NO_DATA = -1.0
"""Margin of a condition that nothing was measured for."""
EQUAL = 1e-9
"""Relative difference up to which two curves count as equal."""


@dataclass(frozen=True)
class Condition:
    """One stated condition: met if the whole 95% interval meets it, unclear if only the estimate does."""

    statement: str
    judgement: Judgement
    measured: str
    margin: float
    """how far the whole 95% interval is beyond what is asked, as a relative difference: positive if the
    condition is met, and smooth in the estimates; -1 without data"""
    essential: bool = True
    """whether the claim is about this; if not, it only prevents the claim from holding trivially"""

    def beside(self) -> "Condition":
        """The same, but not essential."""
        return dataclasses.replace(self, essential=False)


@dataclass(frozen=True)
class Curve:
    """One metric of one scheme along a sweep, (P,) each, ordered by value and without gaps."""

    name: str
    unit: str
    values: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def first(self) -> Estimate:
        """At the smallest value."""
        return self._at(0)

    @property
    def last(self) -> Estimate:
        """At the largest value."""
        return self._at(-1)

    def _at(self, index: int) -> Estimate:
        if not self.values.size:
            return Estimate(np.nan, np.nan, np.nan)
        return Estimate(float(self.mean[index]), float(self.low[index]), float(self.high[index]))

    def span(self) -> str:
        """First value, turning point if there is one, and last value, in words."""
        if not self.values.size:
            return "no data"
        where = [0, self.values.size - 1]
        for extreme in (int(np.argmin(self.mean)), int(np.argmax(self.mean))):
            if extreme not in where:
                where.append(extreme)
        steps = (f"{show(self._at(i), self.unit)} at {self.values[i]:g}" for i in sorted(where))
        return ", ".join(steps)


def curve(measurements: Iterable[Measurement], swept: str, scheme: str, metric: str, name: str = "") -> Curve:
    """The curve of one metric; points that could not be measured are left out."""
    rows = [
        row
        for row in measurements
        if (row.swept, row.scheme, row.metric) == (swept, scheme, metric) and np.isfinite(row.mean)
    ]
    rows.sort(key=lambda row: row.value)
    columns = np.array([(row.value, row.mean, row.low, row.high) for row in rows]).reshape(-1, 4).T
    return Curve(name or metric, rows[0].unit if rows else "", *columns)


def show(estimate: Estimate, unit: str = "") -> str:
    """An estimate with its interval; numbers without a unit are shares, in percent."""
    if not np.isfinite(estimate.mean):
        return "no data"
    if unit:
        return f"{digits(estimate.mean)} ({digits(estimate.low)} to {digits(estimate.high)}) {unit}"
    return f"{100 * estimate.mean:.1f}% ({100 * estimate.low:.1f} to {100 * estimate.high:.1f}%)"


def digits(value: float) -> str:
    """A number with three digits, large ones as integers rather than with an exponent."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"


def lead(larger: float, smaller: float) -> float:
    """By how much one number exceeds another, relative to the larger magnitude; `NO_DATA` for NaN."""
    if not (np.isfinite(larger) and np.isfinite(smaller)):
        return NO_DATA
    return float((larger - smaller) / max(abs(larger), abs(smaller), np.finfo(float).tiny))


def above(statement: str, estimate: Estimate, threshold: float, unit: str = "") -> Condition:
    """The estimate exceeds a threshold."""
    judgement = _judge(estimate.low > threshold, estimate.mean > threshold)
    return Condition(statement, judgement, show(estimate, unit), lead(estimate.low, threshold))


def below(statement: str, estimate: Estimate, threshold: float, unit: str = "") -> Condition:
    """The estimate stays under a threshold."""
    judgement = _judge(estimate.high < threshold, estimate.mean < threshold)
    return Condition(statement, judgement, show(estimate, unit), lead(threshold, estimate.high))


def exceeds(
    statement: str, larger: Estimate, smaller: Estimate, factor: float = 1.0, unit: str = ""
) -> Condition:
    """One estimate exceeds ``factor`` times another."""
    clear = larger.low > factor * smaller.high
    return Condition(
        statement,
        _judge(clear, larger.mean > factor * smaller.mean),
        f"{show(larger, unit)} against {show(smaller, unit)}",
        lead(larger.low, factor * smaller.high),
    )


def rises(statement: str, curve: Curve) -> Condition:
    """Met if the curve ends clearly above its start and never clearly falls; unclear if it ends higher."""
    if curve.values.size < 2:
        return Condition(statement, "unclear", curve.span(), NO_DATA)
    highest_before = np.maximum.accumulate(curve.low)
    # Clearly fallen: a later interval lies wholly under an earlier one.
    fallen = bool((curve.high < highest_before).any())
    clear = bool(curve.low[-1] > curve.high[0]) and not fallen
    steps = (lead(high, before) for high, before in zip(curve.high[1:], highest_before, strict=False))
    margin = min(lead(curve.low[-1], curve.high[0]), *steps)
    return Condition(statement, _judge(clear, bool(curve.mean[-1] > curve.mean[0])), curve.span(), margin)


def falls(statement: str, curve: Curve) -> Condition:
    """Like `rises`, downwards."""
    mirrored = Curve(curve.name, curve.unit, curve.values, -curve.mean, -curve.high, -curve.low)
    return dataclasses.replace(rises(statement, mirrored), measured=curve.span())


def never_below(statement: str, upper: Curve, lower: Curve) -> Condition:
    """One curve is nowhere below the other; unclear if it is, but within the intervals."""
    shared = np.intersect1d(upper.values, lower.values)
    up, low = np.isin(upper.values, shared), np.isin(lower.values, shared)
    # Where no frame counts the mean is NaN, which is no evidence either way.
    known = ~np.isnan(upper.mean[up]) & ~np.isnan(lower.mean[low])
    shared, above, below = shared[known], upper.mean[up][known], lower.mean[low][known]
    if not shared.size:
        return Condition(statement, "unclear", "no data", NO_DATA)
    ratio = np.where(below > 0, above / np.where(below > 0, below, 1), np.where(above > 0, np.inf, 1.0))
    under = above < below * (1 - EQUAL)
    clearly_under = upper.high[up][known] < lower.low[low][known]
    worst, best = int(np.argmin(ratio)), int(np.argmax(ratio))
    measured = (
        f"{under.sum()} of {shared.size} points below; ratio from {ratio[worst]:.3f} at {shared[worst]:g} "
        f"to {ratio[best]:.3f} at {shared[best]:g}"
    )
    margin = min(lead(a, b) for a, b in zip(above, below * (1 - EQUAL), strict=True))
    return Condition(statement, _judge(not under.any(), not clearly_under.any()), measured, margin)


def ratio_of(upper: Estimate, lower: Estimate) -> Estimate:
    """Ratio of two estimates, with the widest interval that their intervals allow."""
    if not lower.low > 0:
        return Estimate(np.nan, np.nan, np.nan)
    return Estimate(upper.mean / lower.mean, upper.low / lower.high, upper.high / lower.low)


def _judge(clear: bool, likely: bool) -> Judgement:
    return "met" if clear else "unclear" if likely else "not met"
