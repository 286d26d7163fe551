"""Trainers of others on our environments: steps per second, and their share of the certified optimum."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import gymnasium
import numpy as np

from benchmarks import jaxmarl_ippo
from benchmarks.learning import Tell
from benchmarks.processes import Unavailable, Worker, peer_python, timed
from benchmarks.results import Section
from benchmarks.sheets import Sheet
from scattermec.environment import AP_ALONE
from scattermec.environment.variant import ApReward
from scattermec.experiments.measure.statistics import mean_interval

HIERARCHY = {**AP_ALONE, "users": "act", "action_form": "correction"}
"""Settings under which users correct the estimate: each for itself, or a controller for everyone."""

OURS = (("ap-ddpg", "tuned", "estimate"), ("h-maddpg-opt", "corrections", "decentralised"))
"""Our learner, preset and mode for the AP alone and for the hierarchy."""

JAXMARL_IPPO = "JaxMARL IPPO"

ALONE, FOR_ALL, EACH = "the AP", "the AP, and for the users", "the AP and the users, each for itself"

THEIRS = (
    ("rejax PPO", AP_ALONE, ALONE),
    ("Stable-Baselines3 PPO", AP_ALONE, ALONE),
    ("Stable-Baselines3 SAC", AP_ALONE, ALONE),
    ("rejax PPO", HIERARCHY, FOR_ALL),
    ("Stable-Baselines3 PPO", HIERARCHY, FOR_ALL),
    ("BenchMARL MAPPO", HIERARCHY, EACH),
    (JAXMARL_IPPO, HIERARCHY, EACH),
)
"""Their learner, the settings of its environment, and who acts."""

STATED = {**HIERARCHY, "action_form": "feasible"}
"""Settings under which the users' numbers state their allocations."""

REWARDED = (
    ("rejax PPO", STATED, "state the allocation"),
    ("rejax PPO", HIERARCHY, "correct the estimate"),
)
"""Learners that are paid in two ways, the settings of their environments, and what users' numbers do."""

SHARES = {
    "mean": ("of the optimum", ".1%"),
    "low": ("95% interval from", ".1%"),
    "high": ("to", ".1%"),
    "outage": ("outage", ".1%"),
    "seconds": ("s per seed", ",.0f"),
}
"""Columns of the tables of learners."""


def compare_environments(section: Section, *, quick: bool, tell: Tell) -> None:
    """Steps per second of environments that are played side by side."""
    sheet = Sheet(
        "Steps per second of core time, actions at random",
        {
            "name": ("environment", ""),
            "copies": ("copies", ",d"),
            "looped": ("SyncVectorEnv, steps/s", ",.0f"),
            "batched": ("OffloadingVectorEnv, steps/s", ",.0f"),
            "ratio": ("×", ".0f"),
        },
    )
    section.tables.append(sheet)
    for name in ("scattermec/Offloading-v0", "scattermec/AccessPoint-v0"):
        for copies in (8,) if quick else (16, 256):
            tell(f"trainers: {name}, {copies} copies")
            rates = [_rate(name, mode, copies, quick) for mode in ("sync", "vector_entry_point")]
            row = {"name": f"`{name}`", "copies": copies, "looped": rates[0], "batched": rates[1]}
            sheet.rows.append(row | {"ratio": rates[1] / rates[0]})
            section.save()


def _rate(name: str, mode: str, copies: int, quick: bool) -> float:
    """Steps per second of core time, since others may use the core: the better of two passes."""
    made = gymnasium.make_vec(name, copies, vectorization_mode=mode)
    made.reset(seed=0)
    steps = 4 if quick else max(1024 // copies, 8)
    actions = [made.action_space.sample() for _ in range(steps)]

    def play() -> None:
        for action in actions:
            made.step(action)

    play()  # compiles, also the start of an episode
    passes = [timed(play) for _ in range(2)]
    return max(steps * copies / (one["seconds"] * one["core_share"]) for one in passes)


def compare_learners(
    section: Section,
    frames: int,
    seeds: int,
    *,
    quick: bool,
    tell: Tell,
    script: Path | None = None,
    only: Sequence[str] = (),
    source: str = "",
) -> None:
    """Shares of the certified optimum after equally many frames.

    ``script`` is that of JaxMARL's IPPO. With ``only``, these trainers' rows are put into the table that the
    section has already, with their ``source``. Raises ValueError if there is no such trainer, or no table of
    as many frames and seeds.
    """
    title = f"{frames:,} frames, {seeds} seeds"
    if only:
        sheet = _table_to_add_to(section, title, only)
    else:
        sheet = Sheet(title, {"who": ("", ""), "acts": ("acts", ""), **SHARES})
        section.tables.append(sheet)
    evaluated = 64 if quick else 500
    for learner, preset, mode in () if only else OURS:
        tell(f"trainers: {learner}")
        sheet.rows.append(_ours(learner, preset, mode, frames, seeds, evaluated))
        section.save()
    for trainer, settings, acting in THEIRS:
        if only and trainer not in only:
            continue
        try:
            row = _theirs(trainer, settings, acting, script, frames, seeds, quick=quick, tell=tell)
        except Unavailable as reason:
            sheet.remarks.append(f"{trainer}, {acting}: not measured, {reason}")
            continue
        sheet.rows.append({"who": trainer, "acts": acting, **row})
        if only:
            sheet.remarks.append(f"{trainer}, {acting}: added {source}")
        section.save()


def compare_rewards(section: Section, frames: int, seeds: int, *, quick: bool, tell: Tell) -> None:
    """The same shares with (11) as the reward, and with its denser form."""
    columns = {"who": ("", ""), "numbers": ("the users' numbers", ""), "reward": ("reward", "")}
    sheet = Sheet(f"{frames:,} frames, {seeds} seeds", columns | SHARES)
    section.tables.append(sheet)
    for trainer, settings, numbers in REWARDED:
        for reward in get_args(ApReward):
            paid = {**settings, "reward": reward}
            try:
                row = _theirs(trainer, paid, numbers, None, frames, seeds, quick=quick, tell=tell)
            except Unavailable as reason:
                sheet.remarks.append(f"{trainer}, {numbers}, {reward}: not measured, {reason}")
                continue
            sheet.rows.append({"who": trainer, "numbers": numbers, "reward": f"`{reward}`", **row})
            section.save()


def _table_to_add_to(section: Section, title: str, only: Sequence[str]) -> Sheet:
    """The section's table of that title, without the rows and remarks of ``only``."""
    known = list(dict.fromkeys(trainer for trainer, *_ in THEIRS))
    if unknown := [name for name in only if name not in known]:
        raise ValueError(f"--trainers: {unknown[0]!r} is not allowed; choose from {', '.join(known)}")
    sheets = [part for part in section.tables if isinstance(part, Sheet)]
    sheet = next((part for part in sheets if part.title == title), None)
    if sheet is None:
        has = ", or ".join(part.title for part in sheets) or "no table"
        raise ValueError(f"--trainers: the page has {has}, and no table of {title} to add to")
    sheet.rows = [row for row in sheet.rows if row["who"] not in only]
    sheet.remarks = [text for text in sheet.remarks if not text.startswith(tuple(only))]
    return sheet


def _theirs(
    trainer: str,
    settings: dict[str, Any],
    acting: str,
    script: Path | None,
    frames: int,
    seeds: int,
    *,
    quick: bool,
    tell: Tell,
) -> dict[str, Any]:
    """The numbers of a row of theirs, over the seeds. Raises Unavailable."""
    setup: dict[str, Any] = {"trainer": trainer, "settings": settings}
    if trainer == JAXMARL_IPPO:
        if script is None:
            raise Unavailable("its script is not given: --jaxmarl-ippo FILE")
        jaxmarl_ippo.check(script)
        setup["script"] = str(script.resolve())
    python = peer_python("trainers", install=not quick, tell=tell, with_ours=True)
    with Worker("trainers_worker", setup, python=python) as worker:
        worker.answer()
        found = []
        for seed in range(seeds):
            tell(f"trainers: {trainer}, {acting}, seed {seed}")
            found.append(worker.ask(seed=seed, frames=frames, evaluated=64 if quick else 500))
    return {
        **mean_interval([one["of_optimum"] for one in found])._asdict(),
        "outage": float(np.mean([one["outage"] for one in found])),
        "seconds": float(np.mean([one["seconds"] for one in found])),
        "shares": [one["of_optimum"] for one in found],
    }


def _ours(learner: str, preset: str, mode: str, frames: int, seeds: int, evaluated: int) -> dict[str, Any]:
    """The row of a learner of ours, by the commands."""
    with tempfile.TemporaryDirectory() as folder:
        run, out = str(Path(folder) / "run"), Path(folder) / "found.json"
        train = ["train", learner, "--config", preset, "--seeds", str(seeds), "--frames", str(frames)]
        seconds = timed(lambda: _command(*train, "--out", run))["seconds"]
        _command("evaluate", run, "--frames", str(evaluated), "--rollout-frames", "0", "--out", str(out))
        rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
    (row,) = (
        row for row in rows if (row["regime"], row["mode"], row["trained"]) == ("independent", mode, frames)
    )
    share = row["estimates"]["of_optimum"]
    return {
        "who": f"{learner}, preset {preset}",
        "acts": ALONE if learner == "ap-ddpg" else EACH,
        **{name: share[name] for name in ("mean", "low", "high")},
        "outage": row["estimates"]["outage"]["mean"],
        "seconds": seconds / seeds,
    }


def _command(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scattermec", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"scattermec {arguments[0]} failed: {done.stderr.strip()[-200:]}")
