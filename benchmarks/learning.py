"""Our learners beside PyTorch's: speed, memory, and whether DDPG learns equally well."""

import math
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.processes import Unavailable, Worker, peer_python
from benchmarks.results import Section
from benchmarks.sheets import Sheet
from scattermec.agents.settings import TrainingConfig
from scattermec.experiments.measure.statistics import mean_interval
from scattermec.scenario import Scenario

LEARNERS = ("h-maddpg", "h-maddpg-opt")
SEEDS = 4
MORE_SEEDS = 64
"""for the memory per seed"""
GOALS = {"h-maddpg-opt, one core": 2300.0, "h-maddpg-opt, two cores": 4500.0}
"""frames/s"""
GOAL_OVER_BENCHMARL = 30.0
BENCHMARL, BENCHMARL_SHARED = "BenchMARL MADDPG", "BenchMARL MADDPG, shared networks"
SB3 = "Stable-Baselines3 DDPG"
STARTS = 20
"""episodes in which a trained seed is evaluated, each from its own start"""

Tell = Callable[[str], None]


@dataclass
class Runner:
    """A participant in the rounds: workers that do a pass at the same time, one per core."""

    name: str
    counted: str
    pairs: int
    """pairs of an actor and a critic that are updated with each counted item"""
    workers: list[Worker]
    request: dict[str, Any]


def compare_speed(section: Section, other_core: int | None, *, quick: bool, tell: Tell) -> None:
    """Frames and updates per second, all taking turns; compilation and memory of our learners."""
    speed = Sheet(
        "Speed",
        {
            "who": ("", ""),
            "counted": ("counted", ""),
            "cores": ("cores", "d"),
            "per_second": ("a second", ",.0f"),
            "per_core_second": ("a second of core time", ",.0f"),
            "pairs_per_second": ("actor-critic pairs updated a second", ",.0f"),
            "over_benchmarl": ("× BenchMARL", ".1f"),
            "over_benchmarl_core": ("× BenchMARL, core time", ".1f"),
        },
    )
    costs = Sheet(
        "Compilation and memory of scattermec's learners",
        {
            "learner": ("", ""),
            "preparing": ("initial state, compiled and made, s", ".1f"),
            "tracing": ("tracing, s", ".1f"),
            "cold": ("compilation, s", ".1f"),
            "warm": ("from JAX's cache, s", ".1f"),
            "state_megabytes": ("state, MB a seed", ".2f"),
            "peak_megabytes": ("peak resident, MB a seed", ".1f"),
            "process_megabytes": (f"process with {SEEDS} seeds, MB", ",.0f"),
        },
    )
    section.tables += [speed, costs]
    with ExitStack() as stack, tempfile.TemporaryDirectory() as cache:
        runners = _ours(stack, costs, cache, other_core, quick=quick, tell=tell)
        runners += _peers(stack, speed, quick=quick, tell=tell)
        section.save()
        passes: dict[str, list[list[dict[str, float]]]] = {runner.name: [] for runner in runners}
        for number in range(1 if quick else 7):
            tell(f"learning: round {number + 1}, each one in turn")
            for runner in runners:
                for worker in runner.workers:
                    worker.request(**runner.request)
                passes[runner.name].append([worker.answer() for worker in runner.workers])
            speed.rows = [row for runner in runners for row in _rates(runner, passes[runner.name])]
            _compare(speed)
            section.save()
        for row in costs.rows:
            row["process_megabytes"] = passes[f"{row['learner']}, one core"][-1][0]["peak_bytes"] / 1e6
        section.save()
    if not quick:
        for row in costs.rows:
            tell(f"{row['learner']}: memory, {MORE_SEEDS} seeds")
            with train(row["learner"], MORE_SEEDS, 70) as worker:
                worker.answer()
                more = worker.ask()["peak_bytes"] / 1e6
            row["peak_megabytes"] = (more - row["process_megabytes"]) / (MORE_SEEDS - SEEDS)
            section.save()


def _ours(
    stack: ExitStack,
    costs: Sheet,
    cache: str,
    other_core: int | None,
    *,
    quick: bool,
    tell: Tell,
) -> list[Runner]:
    """Our learners, compiled and past their first batch; compilation times go into ``costs``."""
    frames, counted = 80 if quick else 400, f"frames, {SEEDS} seeds"
    pairs = 1 + Scenario().num_users
    runners = []
    for learner in LEARNERS:
        tell(f"{learner}: compiling, without and with JAX's cache")
        first = stack.enter_context(train(learner, SEEDS, frames, cache))
        about = first.answer()
        costs.rows.append(
            {
                "learner": learner,
                "preparing": about["preparing"],
                "tracing": about["tracing"],
                "cold": about["compiling"],
                "state_megabytes": about["state_bytes"] / SEEDS / 1e6,
            }
        )
        runners.append(Runner(f"{learner}, one core", counted, pairs, [first], {}))
        if quick:
            continue
        again = stack.enter_context(train(learner, SEEDS, frames, cache, other_core))
        costs.rows[-1]["warm"] = again.answer()["compiling"]
        if other_core is not None and learner == LEARNERS[-1]:
            runners.append(Runner(f"{learner}, two cores", counted, pairs, [first, again], {}))
    return runners


def train(
    learner: str,
    seeds: int,
    frames: int,
    cache: str | None = None,
    core: int | None = None,
    device: str | None = None,
) -> Worker:
    """A worker that trains seeds side by side, some frames per request; ``device`` is a platform of JAX."""
    setup = {"learner": learner, "seeds": seeds, "frames": frames, "cache": cache, "core": core}
    return Worker("train_worker", setup | {"device": device})


def _peers(stack: ExitStack, speed: Sheet, *, quick: bool, tell: Tell) -> list[Runner]:
    """The available peers; for the others, ``speed`` gives the reason."""
    setup, updates, runners = _settings(), 20 if quick else 100, []
    for name, shared in ((BENCHMARL, False), (BENCHMARL_SHARED, True)):
        try:
            python = peer_python("benchmarl", install=not quick, tell=tell)
            tell(f"{name}: starting")
            more = {"shared": shared, "updates": updates}
            worker = stack.enter_context(Worker("peer_benchmarl", setup | more, python=python))
            worker.answer()
        except Unavailable as reason:
            speed.remarks.append(f"{name}: not measured, {reason}")
            continue
        runners.append(Runner(name, "updates of 3 agents", 3, [worker], {}))
    try:
        python = peer_python("sb3", install=not quick, tell=tell)
        tell(f"{SB3}: starting")
        worker = stack.enter_context(Worker("peer_sb3", setup, python=python))
        worker.answer()
        runners.append(
            Runner(SB3, "steps of Pendulum-v1, an update each", 1, [worker], {"steps": 5 * updates})
        )
    except Unavailable as reason:
        speed.remarks.append(f"{SB3}: not measured, {reason}")
    return runners


def _rates(runner: Runner, passes: list[list[dict[str, float]]]) -> list[dict[str, Any]]:
    """The best pass of each runner; for BenchMARL also including its collection of frames."""

    def best(seconds: str) -> float:
        return max(sum(one["count"] / one[seconds] for one in together) for together in passes)

    row = {
        "who": runner.name,
        "counted": runner.counted,
        "cores": len(runner.workers),
        "passes": len(passes),
        "core_share": max(min(one["core_share"] for one in together) for together in passes),
        "per_second": best("seconds"),
        "per_core_second": max(
            sum(one["count"] / one["seconds"] / one["core_share"] for one in together) for together in passes
        ),
    }
    row["pairs_per_second"] = runner.pairs * row["per_second"]
    if "seconds_with_collection" not in passes[0][0]:
        return [row]
    whole = best("seconds_with_collection")
    counted = f"{runner.counted}, a new frame each"
    more = {"counted": counted, "per_second": whole, "pairs_per_second": runner.pairs * whole}
    return [row, row | more | {"per_core_second": None}]


def _compare(speed: Sheet) -> None:
    """Ratios to BenchMARL, and the achieved share of the goals."""
    rows: dict[str, dict[str, Any]] = {}
    for row in speed.rows:
        rows.setdefault(row["who"], row)  # the first: without the collection of frames
    peer = rows.get(BENCHMARL)
    speed.remarks = [remark for remark in speed.remarks if "not measured" in remark]
    for name, row in rows.items():
        if peer and name.startswith(LEARNERS) and row["cores"] == 1:
            row["over_benchmarl"] = row["per_second"] / peer["per_second"]
            row["over_benchmarl_core"] = row["per_core_second"] / peer["per_core_second"]
        if name in GOALS:
            speed.remarks.append(f"{name}: {row['per_second']:,.0f} frames/s (goal {GOALS[name]:,.0f})")
    if peer:
        ratio = rows[f"{LEARNERS[0]}, one core"]["over_benchmarl"]
        speed.remarks.append(f"{LEARNERS[0]} over {BENCHMARL}: {ratio:.1f} (goal {GOAL_OVER_BENCHMARL:.0f})")
    share = min(row["core_share"] for row in speed.rows)
    if share < 0.9:
        speed.remarks.append(
            f"other processes ran on these cores (someone's best pass had {share:.0%} of its core): "
            "repeat on a quiet machine, or read the columns of core time"
        )


def compare_pendulum(section: Section, steps: int, seeds: int, *, quick: bool, tell: Tell) -> None:
    """DDPG, ours and Stable-Baselines3's, with the same settings: greedy return once trained."""
    sheet = Sheet(
        f"{steps:,} steps, {seeds} seeds",
        {
            "who": ("", ""),
            "seeds": ("seeds", "d"),
            "mean": ("greedy return", ".1f"),
            "low": ("95% interval from", ".1f"),
            "high": ("to", ".1f"),
            "median": ("median seed", ".1f"),
            "worst": ("worst seed", ".1f"),
            "seconds": ("training of all seeds, s", ",.0f"),
        },
    )
    section.tables.append(sheet)
    starts = np.random.default_rng(0).uniform(-1, 1, (STARTS, 2)) * (math.pi, 1)
    setup = _settings() | {
        "discount": 0.98,
        "smoothing": 0.005,
        "noise": 0.1,
        "buffer_size": max(steps, 200),
        "starts": starts.tolist(),
    }
    tell(f"pendulum: scattermec, {seeds} seeds")
    with Worker("pendulum_worker", setup | {"seeds": seeds, "steps": steps}) as worker:
        ours = worker.answer()
    sheet.rows.append(_returns("scattermec DDPG", ours["returns"], ours["seconds"]))
    section.save()
    try:
        python = peer_python("sb3", install=not quick, tell=tell)
        with Worker("peer_sb3", setup, python=python) as worker:
            worker.answer()
            found: list[float] = []
            seconds = 0.0
            for seed in range(seeds):
                tell(f"pendulum: {SB3}, seed {seed}")
                one = worker.ask(seed=seed, steps=steps)
                found.append(one["return"])
                seconds += one["seconds"]
                sheet.rows[1:] = [_returns(SB3, found, seconds)]
                sheet.remarks = [_verdict(*sheet.rows)]
                section.save()
    except Unavailable as reason:
        sheet.remarks.append(f"{SB3}: not measured, {reason}")


def _returns(who: str, returns: list[float], seconds: float) -> dict[str, Any]:
    return {
        "who": who,
        "seeds": len(returns),
        **mean_interval(returns)._asdict(),
        "median": float(np.median(returns)),
        "worst": min(returns),
        "seconds": seconds,
        "returns": returns,
    }


def _verdict(ours: dict[str, Any], peer: dict[str, Any]) -> str:
    def within(a: dict[str, Any], b: dict[str, Any]) -> str:
        return "within" if b["low"] <= a["mean"] <= b["high"] else "outside"

    return (
        f"scattermec's mean lies {within(ours, peer)} the peer's interval, "
        f"the peer's {within(peer, ours)} scattermec's"
    )


def _settings() -> dict[str, Any]:
    """The settings of our default configuration that the peers have too."""
    config, scenario = TrainingConfig(), Scenario()
    return {
        "actor_layers": list(config.actor_layers),
        "critic_width": config.critic_width,
        "learning_rate": config.critic_learning_rate,
        "batch_size": config.batch_size,
        "buffer_size": config.buffer_size,
        "smoothing": config.smoothing,
        "discount": scenario.discount if config.discount is None else config.discount,
        "noise": config.exploration_noise,
    }
