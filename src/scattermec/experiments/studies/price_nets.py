"""price-net in Fig. 2: trained over the seeds and frames of the learners, with foresight and without.

Every training frame is used once. Along training, each policy is measured in rollouts of its own, without
exploration, since it has none; the policy without foresight is also measured on the learners' held-out
frames, as a share of their certified optimum.
"""

from dataclasses import dataclass
from functools import cached_property, partial
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
from scattermec.price_net import ALGORITHM, training
from scattermec.price_net.modes import with_p1
from scattermec.price_net.policy import PriceNet
from scattermec.price_net.runs import check_trainable
from scattermec.price_net.training import PriceNetConfig
from scattermec.scenario import Scenario
from scattermec.training.folder import Request, begin_or_resume, digest, read_request
from scattermec.training.loop import Training
from scattermec.training.metrics import MetricsFile, Row
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
    trains = True

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
        """Train all seeds at once, in a folder like that of any training, from which it can go on."""
        path, config = folder / self.name / item, CONFIGS[item]
        learner = _Seeds(self, config)
        record = {"algorithm": ALGORITHM, "seeds": self.seeds, "steps": self.steps}
        record |= {"scenario_digest": digest(self.scenario), "config": config.model_dump(mode="json")}
        kinds = {"seeds": int, "steps": int}
        with begin_or_resume(
            path,
            Request(self.scenario, config, record),
            read=lambda there: read_request(there, (ALGORITHM,), PriceNetConfig, kinds),
            same=tuple(kinds),
            resume=True,
            command="",
        ):
            run = Training(
                partial(jax.eval_shape, learner.initial),
                learner.initial,
                learner.advance,
                tuple(range(self.seeds)),
                path / "checkpoint.npz",
                MetricsFile(path / "metrics.parquet", {"algorithm": ALGORITHM}),
            )
            chunk = self.steps // POINTS
            rows = run.run(
                self.steps,
                chunk=chunk,
                save_every=chunk,
                report=lambda rows: progress(BATCH * int(rows[-1]["frame"]) * self.seeds),
            )
        return _curves_of(rows, self.seeds, learner.held_out[1])


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


class _Seeds:
    """The functions that a `Training` of all seeds at once calls."""

    def __init__(self, study: PriceNets, config: PriceNetConfig) -> None:
        self.config, self.steps = config, study.steps
        self.seeds = jnp.arange(study.seeds, dtype=jnp.uint32)
        self.parameters = parameters_of(study.scenario)
        self.key = jax.random.fold_in(jax.random.key(0), training.VALIDATION)

    def initial(self) -> training.Progress:
        begin = partial(training.begin, self.config)
        return jax.vmap(lambda seed: begin(seed, self.steps, self.parameters))(self.seeds)

    def advance(self, state: training.Progress, start: int, end: int) -> tuple[training.Progress, list[Row]]:
        advance = partial(training.advance, config=self.config, steps=self.steps, count=end - start)
        state, losses = jax.vmap(advance, in_axes=(0, None, 0))(state, self.parameters, self.seeds)
        training.check_finite(losses, f"{len(self.seeds)} seeds, step {end}")
        measured = dict(_rolled_out(state.network, self.parameters, self.key))
        if self.config.discount == 0:
            frames, optimum = self.held_out
            reward, outage = _on_frames(state.network, self.parameters, frames)
            measured |= {"reward.p1": reward, "outage.p1": outage, "share.p1": reward / optimum}
        columns = {name: np.asarray(of_seeds).tolist() for name, of_seeds in measured.items()}
        rows = [
            {"seed": seed, "frame": end, **{name: values[seed] for name, values in columns.items()}}
            for seed in range(len(self.seeds))
        ]
        return state, rows

    @cached_property
    def held_out(self) -> tuple[Frame, float]:
        """The learners' held-out frames, and the mean optimum of (11) there."""
        return held_out_frames(self.parameters), optimal_reward(self.parameters)


def _curves_of(rows: list[Row], seeds: int, optimum: float) -> dict[str, Any]:
    steps = sorted({int(row["frame"]) for row in rows})
    names = [name for name in rows[0] if name not in ("seed", "frame")]
    values = {
        name: [[row[name] for row in rows if row["seed"] == seed] for seed in range(seeds)] for name in names
    }
    return {
        "frames": [BATCH * step for step in steps],
        "values": values,
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
