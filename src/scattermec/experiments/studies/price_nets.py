"""price-net in Fig. 2: trained over the seeds and frames of the learners, with foresight and without.

Every training frame is used once. Along training, each policy is measured in rollouts of its own, without
exploration, since it has none; the policy without foresight is also measured on the learners' held-out
frames, as a share of their certified optimum.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from scattermec.errors import InputError
from scattermec.experiments.claims.learning import LearningCurves
from scattermec.experiments.studies.base import FileStudy, Progress, damaged, read
from scattermec.experiments.studies.plan import Plan
from scattermec.physics import Frame, Parameters, parameters_of
from scattermec.price_net import training
from scattermec.price_net.modes import with_p1
from scattermec.price_net.policy import PriceNet
from scattermec.price_net.runs import check_trainable
from scattermec.price_net.training import PriceNetConfig
from scattermec.scenario import Scenario
from scattermec.training.program import held_out_frames, optimal_reward

BATCH = 20
"""Frames per step: few, so that the frames of a learner give some hundred steps."""

CONFIGS = {
    "price-net": PriceNetConfig(batch_size=BATCH),
    "price-net-foresight": PriceNetConfig(batch_size=BATCH, discount=1.0),
}

POINTS = 10
"""Number of points at which a curve is measured."""

EPISODES, EPISODE = 8, 40
"""Rollouts per seed and point, and frames of each, the first `training.WARM_UP` not counted."""


@dataclass(frozen=True)
class PriceNets(FileStudy[str]):
    """Training runs, by the names in `CONFIGS`."""

    name = "price-net"
    title = "training of price-net"

    scenario: Scenario
    seeds: int
    frames: int
    """per seed, approximately"""

    @classmethod
    def of(cls, plan: Plan) -> "PriceNets | None":
        """Over the seeds and frames of Fig. 2's learners.

        None if price-net cannot act in the scenario, and for a quick reproduction, since it takes minutes to
        compile.
        """
        if plan.quick:
            return None
        try:
            check_trainable(plan.scenario)
        except InputError:
            return None
        return cls(plan.scenario, plan.training.seeds, plan.training.frames)

    @property
    def items(self) -> tuple[str, ...]:
        """With foresight and without."""
        return tuple(CONFIGS)

    @property
    def steps(self) -> int:
        """Steps per seed: a multiple of `POINTS`, for points at equal distances."""
        return POINTS * max(1, round(self.frames / BATCH / POINTS))

    def frames_of(self, item: str) -> int:
        """Frames of all seeds together."""
        return BATCH * self.steps * self.seeds

    def settings(self) -> dict[str, Any]:
        """Everything that the numbers depend on."""
        return {
            "configs": {name: config.model_dump(mode="json") for name, config in CONFIGS.items()},
            "steps": self.steps,
            "seeds": self.seeds,
            "scenario": self.scenario.record(),
        }

    def compute(self, item: str, folder: Path, progress: Progress) -> Any:
        """Train all seeds at once."""
        return _train(self, item, progress)


STUDY = PriceNets


def read_curves(folder: Path) -> list[LearningCurves]:
    """The curves in the folder of a reproduction; without preset, since all of Fig. 2 shows them.

    Raises InputError if the file cannot be read.
    """
    path = PriceNets.file(folder)
    if not path.exists():
        return []
    _, found = read(path)
    with damaged(path):
        return [_curves(name, one) for name, one in found.items()]


def _curves(name: str, found: dict[str, Any]) -> LearningCurves:
    frames = np.array(found["frames"], dtype=int)
    values = {metric: np.array(rows, dtype=float) for metric, rows in found["values"].items()}
    if name not in CONFIGS or any(rows.shape[1:] != frames.shape for rows in values.values()):
        raise ValueError
    return LearningCurves(name, None, frames, {"reward": values["reward"], **values}, float(found["optimum"]))


def train_command(name: str, frames: int) -> list[str]:
    """The command that trains one of the seeds, equal up to rounding."""
    config = CONFIGS[name]
    settings = [f"--train=batch_size={BATCH}"]
    settings += [f"--train=discount={config.discount:g}"] if config.discount else []
    return ["scattermec", "train-price-net", *settings, "--steps", str(frames // BATCH), "--seed", "0"]


def _train(study: PriceNets, name: str, progress: Progress) -> dict[str, Any]:
    config, steps, seeds = CONFIGS[name], study.steps, jnp.arange(study.seeds, dtype=jnp.uint32)
    parameters = parameters_of(study.scenario)
    key = jax.random.fold_in(jax.random.key(0), training.VALIDATION)
    frames, optimum = held_out_frames(parameters), optimal_reward(parameters)
    now = jax.vmap(lambda seed: training.begin(config, seed, steps, parameters))(seeds)
    advance = partial(training.advance, config=config, steps=steps, count=steps // POINTS)
    values: dict[str, list[np.ndarray]] = {}
    for point in range(1, POINTS + 1):
        now, losses = jax.vmap(advance, in_axes=(0, None, 0))(now, parameters, seeds)
        training.check_finite(losses, f"{study.seeds} seeds, step {point * steps // POINTS}")
        measured = dict(_rolled_out(now.network, parameters, key))
        if config.discount == 0:
            reward, outage = _on_frames(now.network, parameters, frames)
            measured |= {"reward.p1": reward, "outage.p1": outage, "share.p1": reward / optimum}
        for metric, of_seeds in measured.items():
            values.setdefault(metric, []).append(np.asarray(of_seeds))
        progress(point * BATCH * steps // POINTS * len(seeds))
    return {
        "frames": [BATCH * steps * point // POINTS for point in range(1, POINTS + 1)],
        "values": {metric: np.stack(parts, axis=1).tolist() for metric, parts in values.items()},
        "optimum": optimum,
    }


@jax.jit
def _rolled_out(networks: PriceNet, parameters: Parameters, key: Array) -> dict[str, Array]:
    """Means (S,) over each seed's rollouts."""

    def of_seed(network: PriceNet) -> dict[str, Array]:
        found = training.roll_out(with_p1, network, parameters, key, episodes=EPISODES, frames=EPISODE)
        return found._asdict()

    return jax.vmap(of_seed)(networks)


@jax.jit
def _on_frames(networks: PriceNet, parameters: Parameters, frames: Frame) -> tuple[Array, Array]:
    """Mean reward and outage (S,) of each seed on K frames (leading axis)."""

    def of_seed(network: PriceNet) -> tuple[Array, Array]:
        return training.mean_outcome(with_p1, network, parameters, frames)

    return jax.vmap(of_seed)(networks)
