"""A soak test: one process keeps solving, and its memory must stay flat."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from scattermec.optimisation import allocate_frames, optimise_beams_frames
from scattermec.physics import Frame, parameters_of
from torture.results import Outcome, Row
from torture.scenarios import CASES

WARM_UP = 0.2
"""Share of the time after which memory counts"""

GROWTH = 32.0
"""MB of allowed growth: the memory that an allocator keeps varies."""

BATCH = 1024


@dataclass
class Options:
    """Duration."""

    seed: int = 0
    seconds: float = 600.0
    tell: Callable[[str], None] = lambda text: None


def resident() -> float:
    """Memory of this process in MB."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status: has no VmRSS")


def run(options: Options) -> Outcome:
    """Solve batches of the scenarios with three users in turn, each with new frames and constants."""
    cases = [
        case
        for case in CASES
        if case.within
        and case.users == case.antennas == 3
        and case.beams_too
        and case.name != "causal harvest"
    ]
    begun, number, samples = time.monotonic(), 0, []
    while (passed := time.monotonic() - begun) < options.seconds:
        case = cases[number % len(cases)]
        random = np.random.default_rng([options.seed, 1, number])
        scenario = case.scenario(random)
        drawn = case.draw(random, BATCH, 3, 3, scenario)
        parameters = parameters_of(scenario, num_users=3, num_antennas=3)
        frames = Frame(
            channels=jnp.asarray(drawn.channels),
            workload=jnp.asarray(drawn.workload),
            battery=jnp.asarray(drawn.battery),
        )
        jax.block_until_ready(allocate_frames(parameters, frames, jnp.asarray(drawn.beams)))
        few = jax.tree.map(lambda leaf: leaf[:128], frames)
        jax.block_until_ready(optimise_beams_frames(parameters, few))
        number += 1
        if passed > WARM_UP * options.seconds:
            samples.append(resident())
    # A leak shows as growth from the first to the last fifth; single peaks do not matter.
    fifth = max(1, len(samples) // 5)
    rise = float(np.median(samples[-fifth:]) - np.median(samples[:fifth])) if samples else 0.0
    minutes = options.seconds / 60
    remark = f"{rise:+.1f} MB in {minutes * (1 - WARM_UP):.1f} minutes"
    options.tell(f"soak: {number} batches, {remark}")
    return Outcome([Row("Soak", "memory that grows", number, int(rise > GROWTH), remark)])
