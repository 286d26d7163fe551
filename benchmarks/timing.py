"""Wall-clock time of passes over all frames; the best pass counts, to reduce the effect of other load."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

MOST_PASSES = 50


@dataclass
class Timing:
    """Times of passes over the same calls."""

    best: float
    """s: total of the timed calls of the best pass"""
    median: float
    """s: total of the median pass"""
    loading: float
    """s: additional time for loading the data, in the best pass"""
    core_share: float
    """share of the best pass in which this process had the core; well below 1, others ran there too"""
    passes: int
    results: list[Any]
    """results of the calls of the first pass"""


def time_passes(
    items: Sequence[Any],
    solve: Callable[[Any], Any],
    seconds: float,
    load: Callable[[Any], Any] | None = None,
) -> Timing:
    """Call ``solve(load(item))`` for all items, repeatedly for about ``seconds``, at least once.

    ``load`` is not counted. The caller must warm up anything that is compiled or cached on first use.
    """
    totals: list[tuple[float, float, float]] = []
    results: list[Any] = []
    started = time.perf_counter()
    while not totals or (time.perf_counter() - started < seconds and len(totals) < MOST_PASSES):
        solving = loading = 0.0
        pass_started, processor = time.perf_counter(), time.process_time()
        for item in items:
            before = time.perf_counter()
            loaded = item if load is None else load(item)
            between = time.perf_counter()
            result = solve(loaded)
            after = time.perf_counter()
            loading += between - before
            solving += after - between
            if not totals:
                results.append(result)
        processor = time.process_time() - processor
        totals.append((solving, loading, processor / (time.perf_counter() - pass_started)))
    best = min(totals)
    return Timing(
        best=best[0],
        median=statistics.median(total[0] for total in totals),
        loading=best[1],
        core_share=best[2],
        passes=len(totals),
        results=results,
    )
