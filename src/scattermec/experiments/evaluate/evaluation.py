"""Evaluation of policies, learned or not, all in the same two regimes.

Independent frames: a seeded set that all policies meet, with shares of certified optima.
Rollouts: every policy carries its own batteries and backlogs, under the same channels and arrivals.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from scattermec.environment import Decision, EnvState
from scattermec.experiments.evaluate.policies import Contender, deciding, means_while_learning
from scattermec.experiments.measure.rollouts import (
    WARM_UP,
    Quantity,
    num_rollouts,
    play_frames,
    ratios,
    reset_frames,
    roll_out,
)
from scattermec.experiments.measure.statistics import Estimate, mean_interval, ratio_interval
from scattermec.learners.fixed import REFERENCES, Reference, reference
from scattermec.physics import Parameters, parameters_of
from scattermec.scenario import Scenario
from scattermec.training import TrainedRun

BLOCK = 256
"""Independent frames decided at once, for each seed of a learner."""

QUANTITIES = (
    Quantity("reward", "kbit/J", "Reward (11)"),
    Quantity("of_optimum", "", "Of the optimum"),
    Quantity("of_best_set", "", "Of the best set"),
    Quantity("energy_efficiency", "kbit/J", "Efficiency"),
    Quantity("outage", "", "Outage"),
    Quantity("active_share", "", "Active"),
    Quantity("passive_share", "", "Passive"),
    Quantity("local_share", "", "Local"),
    Quantity("ap_energy", "J", "AP energy"),
    Quantity("user_reward", "", "User reward (12)"),
)
"""Possible entries of a row, in this order: ratios of means or sums for efficiency and shares, else means."""

UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class Row:
    """Results of a policy in a regime."""

    regime: str
    """"learning", "independent" or "rollout" """
    policy: str
    mode: str | None
    trained: int | None
    seeds: int
    over: str | None
    """units of the intervals: "seeds" if several, else "frames" or "rollouts"; None: no intervals"""
    estimates: dict[str, Estimate]
    """of `QUANTITIES`, by name; shares of references if there are any"""


@dataclass(frozen=True)
class Certificate:
    """Proof about a reference over all independent frames."""

    unsettled: int
    """frames in which the proof leaves open whether the reference is optimal, see `Reference.settled`"""
    gap: float
    """relative: how much less energy the optimum's users might need, or how much more reward any policy might
    get than the best set; infinite for the latter with more than 6 users"""


@dataclass(frozen=True)
class Evaluation:
    """The rows of both regimes."""

    rows: tuple[Row, ...]
    certificates: dict[str, Certificate]
    """of each of `REFERENCES`; empty if the rectifier is not linear, since there are none then"""


def evaluate(
    scenario: Scenario,
    contenders: Sequence[Contender],
    *,
    frames: int,
    rollout_frames: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Evaluate policies in both regimes.

    Intervals are over the seeds if a learner has several, and its numbers are means over seeds; else over
    frames or rollouts.

    Args:
        scenario: the constants.
        contenders: the policies, which must have been made for ``scenario``.
        frames: independent frames, K.
        rollout_frames: frames to count for each seed, as for `simulate`; 0 leaves the rollouts out.
        seed: seed of the frames, which all policies and all their seeds share.
        progress: called with the number of frames played, and the total.
    """
    if frames < 1:
        raise ValueError(f"frames: {frames} is not allowed; it must be >= 1")
    references = REFERENCES if scenario.harvest_model == "linear" else ()
    rolled = _frames_played(rollout_frames) if rollout_frames else 0
    size, blocks = _blocks(frames)
    copies = sum(contender.seeds for contender in contenders)
    total = (len(references) + copies) * size * blocks + copies * rolled
    done = 0

    def update(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, total)

    parameters = parameters_of(scenario)
    rows, certificates = _independent(scenario, parameters, contenders, references, frames, seed, update)
    for contender in contenders if rollout_frames else ():
        rows.append(_rolled(parameters, contender, rollout_frames, seed, update))
    return Evaluation(rows=tuple(rows), certificates=certificates)


def _blocks(frames: int) -> tuple[int, int]:
    """Size and number of blocks of nearly equal size; the last one may extend beyond ``frames``."""
    blocks = -(-frames // BLOCK)
    return -(-frames // blocks), blocks


def _frames_played(rollout_frames: int) -> int:
    rollouts = num_rollouts(rollout_frames)
    return rollouts * (WARM_UP + -(-rollout_frames // rollouts))


def _independent(
    scenario: Scenario,
    parameters: Parameters,
    contenders: Sequence[Contender],
    references: Sequence[str],
    frames: int,
    seed: int,
    update: Callable[[int], None],
) -> tuple[list[Row], dict[str, Certificate]]:
    size, blocks = _blocks(frames)
    key_frames, key_policy = jax.random.split(jax.random.fold_in(jax.random.key(seed), 1))
    keys = jax.random.split(key_frames, (blocks, size))
    drawn = [reset_frames(keys[block], parameters) for block in range(blocks)]

    def play(block: int, decision: Decision, seeds: int) -> dict[str, np.ndarray]:
        """The record of a block, (S, size) and (S, size, N)."""
        states = _copies(drawn[block], seeds)
        keys = jnp.tile(jax.random.split(key_frames, size), seeds)
        record = play_frames(keys, states, decision.beams, decision.allocation, parameters)[1]
        update(size * seeds)
        return {
            name: leaf.reshape(seeds, size, *leaf.shape[1:]) for name, leaf in jax.device_get(record).items()
        }

    def join(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return {name: np.concatenate([part[name] for part in parts], axis=1)[:, :frames] for name in parts[0]}

    played, certificates = {}, {}
    for name in references:
        # On the truth, whatever the AP sees: the best that any policy serving the same users can do.
        found = [reference(name, parameters, states.frame) for states in drawn]
        played[name] = join([play(block, found[block].decision, 1) for block in range(blocks)])
        certificates[name] = _certificate(name, found, frames)

    sees_the_truth = scenario.csi_error == scenario.workload_error == 0
    rows = []
    for contender in contenders:
        if sees_the_truth and contender.policy in played:
            record = played[contender.policy]
            update(size * blocks)
        else:
            parts = []
            for block, states in enumerate(drawn):
                copies = _copies(states, contender.seeds)
                decision = contender.decide(jax.random.fold_in(key_policy, block), copies)
                parts.append(play(block, decision, contender.seeds))
            record = join(parts)
        measured = _by_seed(record)
        for name, other in played.items():
            rewards = np.broadcast_to(other["reward"], record["reward"].shape)
            measured[f"of_{name.replace('-', '_')}"] = record["reward"], rewards
        rows.append(_row("independent", contender, "frames", measured))
    return rows, certificates


def _copies(states: EnvState, seeds: int) -> EnvState:
    """S copies of R states, one copy after the other."""
    return jax.tree.map(lambda leaf: np.concatenate([np.asarray(leaf)] * seeds), states)


def _certificate(name: str, found: Sequence[Reference], frames: int) -> Certificate:
    achieved, bound, settled = (
        np.concatenate([np.asarray(getattr(part, field)) for part in found])[:frames]
        for field in ("achieved", "bound", "settled")
    )
    low, high = (bound, achieved) if name == "optimum" else (achieved, bound)
    most = high.sum()
    gap = float((most - low.sum()) / most) if 0 < most < np.inf else float(most)
    return Certificate(unsettled=int(np.count_nonzero(~settled)), gap=gap)


def _rolled(
    parameters: Parameters, contender: Contender, frames: int, seed: int, update: Callable[[int], None]
) -> Row:
    told = 0

    def progress(done: int, total: int) -> None:
        nonlocal told
        update(done - told)
        told = done

    decide = deciding(contender.decide)
    record = roll_out(
        parameters, decide, num_frames=frames, seed=seed, copies=contender.seeds, progress=progress
    )
    by_seed = {name: leaf.reshape(contender.seeds, -1, *leaf.shape[1:]) for name, leaf in record.items()}
    return _row("rollout", contender, "rollouts", _by_seed(by_seed))


def _by_seed(record: Mapping[str, np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Numerators and denominators (S, U) of every quantity, from a record (S, U, ...) of U units."""
    seeds = range(len(record["reward"]))
    parts = [ratios({name: leaf[index] for name, leaf in record.items()}) for index in seeds]
    return {
        name: (np.stack([part[name][0] for part in parts]), np.stack([part[name][1] for part in parts]))
        for name in parts[0]
    }


def _row(
    regime: str, contender: Contender, unit: str, measured: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> Row:
    return Row(
        regime=regime,
        policy=contender.policy,
        mode=contender.mode,
        trained=contender.trained,
        seeds=contender.seeds,
        over="seeds" if contender.seeds > 1 else unit,
        estimates=_estimates(measured),
    )


def _estimates(measured: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, Estimate]:
    names = [quantity.name for quantity in QUANTITIES if quantity.name in measured]
    return {name: _estimate(*measured[name]) for name in names}


def _estimate(numerators: np.ndarray, denominators: np.ndarray) -> Estimate:
    """Ratio of sums over U units, (S, U) each: the mean over S seeds, or the ratio of the only seed.

    NaN if there is no number, because a network diverged or no energy was spent.
    """
    if np.isnan(numerators).any() or not np.isfinite(denominators).all():
        return UNKNOWN
    if len(numerators) == 1:
        return ratio_interval(numerators[0], denominators[0])
    sums = denominators.sum(axis=1)
    return mean_interval(np.where(sums > 0, numerators.sum(axis=1) / np.where(sums > 0, sums, 1), 0))


def while_learning(run: TrainedRun, folder: Path) -> Row:
    """Results during learning, exploration included, from the metrics of the run in ``folder``.

    The frames of a run are not independent, so there are intervals only for several seeds. The users' reward
    is the recorded one, with the configuration's `team_weight`.
    """
    means = means_while_learning(run, folder)
    measured = {name: (value[:, None], np.ones((len(value), 1))) for name, value in means.items()}
    measured["energy_efficiency"] = means["processed"][:, None], means["ap_energy"][:, None]
    several = len(run.seeds) > 1
    estimates = _estimates(measured)
    if not several:
        estimates = {name: UNKNOWN._replace(mean=estimate.mean) for name, estimate in estimates.items()}
    return Row(
        regime="learning",
        policy=run.algorithm,
        mode=None,
        trained=run.frames,
        seeds=len(run.seeds),
        over="seeds" if several else None,
        estimates=estimates,
    )
