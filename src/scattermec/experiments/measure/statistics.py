"""Means with their uncertainty: 95% percentile bootstrap over independent units.

A unit is anything drawn independently: a rollout, or a frame of a set of independent frames. Frames of
one rollout are not independent (battery and backlog carry over), so sum or average them per rollout first.
"""

import functools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95
RESAMPLES = 2000
"""Bootstrap resamples: the ends of the interval then vary by a few percent of its width."""

QUARTER = 0.25
"""share of the values left out by an interquartile mean, at either end"""

_INDICES_AT_ONCE = 1 << 22


class Estimate(NamedTuple):
    """A mean (or ratio of sums) and the ends of its 95% interval, in the unit of the values."""

    mean: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        """The mean and, in brackets, the ends of the interval; ``spec`` formats each number."""
        return f"{self.mean:{spec}} ({self.low:{spec}} to {self.high:{spec}})"


def mean_interval(values: ArrayLike, *, seed: int = 0) -> Estimate:
    """Mean of R independent values (R,) with its interval.

    The same values and ``seed`` give the same interval. A single value has an interval of zero width, which
    means nothing. Raises ValueError for no values, or for values that are not numbers.
    """
    values = _checked(values)
    return ratio_interval(values, np.ones_like(values), seed=seed)


def interquartile_mean(values: ArrayLike, *, seed: int = 0) -> Estimate:
    """Mean of the middle half of R independent values (R,), with its 95% percentile bootstrap interval.

    Recommended by Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice"
    (2021); here for one task. Otherwise like `mean_interval`.
    """
    from scipy import stats  # takes a second to import, and most commands do not need it

    values = _checked(values)

    def middle(sample: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
        return np.asarray(stats.trim_mean(sample, QUARTER, axis=axis))

    mean = float(middle(values))
    if values.size < 2:
        return Estimate(mean, mean, mean)
    found = stats.bootstrap(
        (values,),
        middle,
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Estimate(mean, float(found.low), float(found.high))


def ratio_interval(numerators: ArrayLike, denominators: ArrayLike, *, seed: int = 0) -> Estimate:
    """Ratio of sums, sum(numerators) / sum(denominators), over R independent units (R,) each.

    The units are resampled in pairs. Denominators are non-negative; if they sum to 0, the ratio counts as 0.
    Otherwise like `mean_interval`.
    """
    numerators, denominators = _checked(numerators), _checked(denominators)
    if numerators.shape != denominators.shape:
        raise ValueError(f"{numerators.size} numerators do not match {denominators.size} denominators")
    if not (np.isfinite(denominators) & (denominators >= 0)).all():
        raise ValueError("denominators must be finite and non-negative")
    # Means have denominators of one, whose sums need no resampling.
    ones = bool((denominators == 1).all())
    resampled = np.concatenate(
        [
            _ratio(
                numerators.take(units).sum(axis=1),
                np.full(len(units), float(units.shape[1])) if ones else denominators.take(units).sum(axis=1),
            )
            for units in _resamples(numerators.size, seed)
        ]
    )
    tail = (1 - CONFIDENCE) / 2
    # Order statistics rather than interpolation: these stay numbers if some resamples are infinite.
    low, high = np.quantile(resampled, [tail, 1 - tail], method="inverted_cdf")
    mean = _ratio(numerators[None].sum(axis=1), denominators[None].sum(axis=1))
    return Estimate(float(mean[0]), float(low), float(high))


def _checked(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"expected one value for each of at least one unit, not shape {array.shape}")
    if np.isnan(array).any() or np.isneginf(array).any():
        raise ValueError("values must be numbers")
    return array


def _resamples(units: int, seed: int) -> Iterable[NDArray[np.int64]]:
    """Indices (B, R) of units resampled with replacement, in pieces of bounded size."""
    return _drawn_once(units, seed) if units * RESAMPLES <= _INDICES_AT_ONCE else _drawn(units, seed)


@functools.lru_cache(maxsize=1)
def _drawn_once(units: int, seed: int) -> tuple[NDArray[np.int64], ...]:
    """The same, cached for the next quantity of the same units."""
    return tuple(_drawn(units, seed))


def _drawn(units: int, seed: int) -> Iterator[NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    at_once = max(1, min(RESAMPLES, _INDICES_AT_ONCE // units))
    for start in range(0, RESAMPLES, at_once):
        yield rng.integers(units, size=(min(at_once, RESAMPLES - start), units))


def _ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    positive = denominator > 0
    return np.where(positive, numerator / np.where(positive, denominator, 1), 0)
