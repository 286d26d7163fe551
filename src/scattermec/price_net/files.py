"""The policy shipped with the package, and the folder of a training run.

run.json, scenario.yaml, training.yaml    what was asked for
checkpoint.npz                            networks and optimiser, to go on from
policy.npz                                the networks alone
metrics.parquet                           losses and what is reached on held-out frames as they come

Arrays are plain .npz under the names of their leaves; nothing is pickled.
"""

import json
import shlex
import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from scattermec._yaml import show
from scattermec.counts import MOST_STEPS
from scattermec.errors import InputError, TrainingError
from scattermec.optimisation import optimise_all_or_best
from scattermec.physics import Frame, Parameters, parameters, run_frames
from scattermec.physics.channel import Key
from scattermec.price_net import training, variety
from scattermec.price_net.policy import PriceNet, check_scenario, modes_of
from scattermec.price_net.training import Losses, PriceNetConfig, Progress, RolledOut
from scattermec.scenario import Scenario
from scattermec.storage.atomic import replace_text, writing
from scattermec.storage.texts import read_object
from scattermec.training import checkpoint
from scattermec.training.files import CONFIG, RUN, SCENARIO, check_folder
from scattermec.training.folder import digest, versions
from scattermec.training.metrics import MetricsFile, Row

POLICY, CHECKPOINT, METRICS, ALGORITHM = "policy.npz", "checkpoint.npz", "metrics.parquet", "price-net"

CHUNK = 100
"""Steps between two rows of metrics."""

BLOCK = 10
"""Steps in a row with one number of users, where scenarios vary."""

HELD_OUT = 500
"""Frames on which the shares in the metrics are measured; neither trained on nor evaluated on."""

EPISODES, EPISODE = 32, 60
"""With foresight, the metrics are of so many held-out rollouts of so many frames instead."""


class Policy(NamedTuple):
    """Trained networks, and how they were trained."""

    network: PriceNet
    scenario: Scenario
    config: PriceNetConfig
    seed: int
    steps: int

    @property
    def frames(self) -> int:
        """Frames that were trained on."""
        return self.steps * self.config.batch_size


TRAINED_WITH = {
    "price-net": PriceNetConfig(),
    "price-net-foresight": PriceNetConfig(discount=1.0),
    "price-net-varied": PriceNetConfig(scenarios="varied", rounds=3, batch_size=128),
}
"""How those in `SHIPPED` were trained."""


@cache  # since a simulation asks for it in every frame
def shipped(name: str = ALGORITHM) -> Policy:
    """The policy of that name in `SHIPPED`, which comes with the package."""
    with resources.as_file(resources.files("scattermec.price_net") / f"{name}.npz") as path:
        return _read_policy(path, Scenario(), TRAINED_WITH[name])


def shipped_for(num_users: int, num_antennas: int) -> Policy:
    """The one trained for so many users and antennas, else the one for any."""
    default = Scenario()
    same = (num_users, num_antennas) == (default.num_users, default.num_antennas)
    return shipped(ALGORITHM if same else "price-net-varied")


def load(path: Path) -> Policy:
    """The policy of a run's folder as far as it is trained; raises InputError where there is none."""
    scenario, config = Scenario.load(path / SCENARIO), PriceNetConfig.load(path / CONFIG)
    return _read_policy(path / POLICY, scenario, config)


def check_fit(policy: Policy, scenario: Scenario) -> None:
    """Raise InputError where the policy must not act in ``scenario``, see `check_scenario`."""
    check_scenario(scenario, policy.scenario, any_size=policy.config.scenarios == "varied")


def steps_of(path: Path) -> int:
    """Steps that the run in a folder was asked for; raises InputError where that cannot be read."""
    steps = _kept(path).get("steps")
    if type(steps) is not int or not 1 <= steps <= MOST_STEPS:
        line = f"{path / RUN}: steps: {show(steps, 80)} is not allowed; it must be an integer"
        raise InputError([f"{line} >= 1 and <= {MOST_STEPS}"])
    return steps


def train(
    scenario: Scenario,
    config: PriceNetConfig,
    folder: Path,
    *,
    steps: int,
    seed: int,
    resume: bool,
    report: Callable[[int, Row], None],
) -> list[Row]:
    """Train into ``folder``, or go on there; returns the metrics. ``report`` is told steps done and last row.

    Raises InputError where the folder holds something else, or a run of other settings, BusyError where
    another process writes there, TrainingError where training diverges.
    """
    check_scenario(scenario, scenario)
    bases = {n: variety.base(scenario, n) for n in set(variety.USERS)} if config.scenarios == "varied" else {}
    asked = {
        "algorithm": ALGORITHM,
        "seed": seed,
        "steps": steps,
        "scenario_digest": digest(scenario),
        "config": config.model_dump(mode="json"),
    }
    check_folder(folder, resume=resume)
    folder.mkdir(parents=True, exist_ok=True)
    with writing(folder, inside=True):
        if check_folder(folder, resume=resume):
            _check_same(folder, asked)
        else:
            scenario.save(folder / SCENARIO)
            config.save(folder / CONFIG)
            command = shlex.join(["scattermec", *sys.argv[1:]])
            text = json.dumps({**asked, "versions": versions(), "command": command}, indent=2)
            replace_text(folder / RUN, text + "\n")
        return _train(scenario, bases, config, folder, steps, seed, report)


def _train(
    scenario: Scenario,
    bases: Mapping[int, Parameters],
    config: PriceNetConfig,
    folder: Path,
    steps: int,
    seed: int,
    report: Callable[[int, Row], None],
) -> list[Row]:
    constants = parameters(scenario)
    progress, done = training.begin(config, seed, steps, constants), 0
    metrics = MetricsFile(folder / METRICS, {"algorithm": ALGORITHM})
    if (folder / CHECKPOINT).exists():
        progress, done = checkpoint.load(folder / CHECKPOINT, progress, [seed])
        metrics.take_up(done)
    key = jax.random.fold_in(jax.random.key(seed), training.VALIDATION)
    held_out = jax.jit(training.draw_frames, static_argnums=2)(key, constants, HELD_OUT)
    optimum = _optimum(constants, held_out) if config.discount == 0 else np.nan
    while done < steps:
        count = min(CHUNK, steps - done)
        progress, losses = _advance(progress, constants, bases, config, seed, steps, done, count)
        done += count
        row: Row = {"seed": seed, "frame": done, "loss.beams": float(losses.beams)}
        row["loss.times"] = float(losses.times)
        if not np.isfinite([row["loss.beams"], row["loss.times"]]).all():
            raise TrainingError(f"{ALGORITHM}: seed {seed}, step {done}: losses are not finite")
        if config.discount == 0:
            row |= _held_out(progress.network, constants, held_out, optimum)
        else:
            row |= _rolled_out(progress.network, constants, key)
        metrics.rows.append(row)
        if done % (10 * CHUNK) == 0 or done >= steps:
            # The metrics first: a checkpoint without its rows could not be resumed.
            metrics.save()
            checkpoint.save(folder / CHECKPOINT, progress, [seed], done)
            checkpoint.save(folder / POLICY, progress.network, [seed], done)
        report(done, row)
    return metrics.rows


def _advance(
    progress: Progress,
    constants: Parameters,
    bases: Mapping[int, Parameters],
    config: PriceNetConfig,
    seed: int,
    steps: int,
    done: int,
    count: int,
) -> tuple[Progress, Losses]:
    """A chunk of steps, where scenarios vary in blocks of `BLOCK` with one number of users each."""
    if not bases:
        return training.advance(
            progress, constants, jnp.uint32(seed), config=config, steps=steps, count=count
        )
    found = []
    for start in range(done, done + count, BLOCK):
        users = variety.USERS[start // BLOCK % len(variety.USERS)]
        block = min(BLOCK, done + count - start)
        progress, losses = training.advance(
            progress, bases[users], jnp.uint32(seed), config=config, steps=steps, count=block
        )
        found.append(losses)
    return progress, jax.tree.map(lambda *parts: jnp.mean(jnp.stack(parts)), *found)


def _check_same(folder: Path, asked: dict[str, object]) -> None:
    kept = _kept(folder)
    faults = [
        f"{name}: {value} is not allowed with --resume; {folder} has {show(kept.get(name), 200)}"
        for name, value in asked.items()
        if kept.get(name) != value
    ]
    if faults:
        raise InputError(faults)


def _kept(folder: Path) -> dict[str, object]:
    """What was asked for when the run in a folder was begun."""
    return read_object(folder / RUN)


def _optimum(constants: Parameters, frames: Frame) -> float:
    """Mean certified reward in kbit/J, everyone served where that is possible."""
    best, _ = optimise_all_or_best(constants, frames)
    play = jax.jit(run_frames)
    return float(jnp.mean(play(constants, frames, best.beams, best.solution.allocation).ap_reward))


@jax.jit
def _played(
    network: PriceNet, constants: Parameters, frames: Frame
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Mean reward and outage of each mode."""
    found = {}
    for name, mode in modes_of(network).items():
        outcome = training.play(mode, network, constants, frames)
        found[name] = jnp.mean(outcome.ap_reward), jnp.mean(~outcome.success)
    return found


def _held_out(network: PriceNet, constants: Parameters, frames: Frame, optimum: float) -> Row:
    row: Row = {}
    for name, (reward, outage) in _played(network, constants, frames).items():
        row |= {f"reward.{name}": float(reward), f"outage.{name}": float(outage)}
        row[f"share.{name}"] = float(reward) / optimum
    return row


@jax.jit
def _roll_out(network: PriceNet, constants: Parameters, key: Key) -> dict[str, RolledOut]:
    return {
        name: training.roll_out(mode, network, constants, key, episodes=EPISODES, frames=EPISODE)
        for name, mode in modes_of(network).items()
    }


def _rolled_out(network: PriceNet, constants: Parameters, key: Key) -> Row:
    row: Row = {}
    for name, found in _roll_out(network, constants, key).items():
        row |= {f"efficiency.{name}": float(found.efficiency), f"outage.{name}": float(found.outage)}
    return row


def _read_policy(path: Path, scenario: Scenario, config: PriceNetConfig) -> Policy:
    example = jax.eval_shape(lambda: training.begin(config, 0, 1, parameters(scenario)).network)
    seeds = checkpoint.seeds_of(path)
    network, steps = checkpoint.load(path, example, seeds[:1])
    return Policy(network, scenario, config, seeds[0], steps)
