"""Training runs of price-net, each in a folder like those of the learners, which also holds:

checkpoint.npz      networks and optimiser, to continue from
policy.npz          the networks alone
metrics.parquet     losses, and results on held-out frames
"""

from functools import cached_property, partial
from pathlib import Path

import jax
import jax.numpy as jnp
from jax import Array

from scattermec._yaml import show
from scattermec.counts import MOST_STEPS
from scattermec.errors import InputError
from scattermec.optimisation import optimise_all_or_best
from scattermec.physics import Frame, Parameters, parameters_of, run_frames
from scattermec.physics.channel import Key
from scattermec.physics.parameters import harvest_faults
from scattermec.price_net import ALGORITHM, variety
from scattermec.price_net.modes import modes_where_known
from scattermec.price_net.policy import PriceNet
from scattermec.price_net.registry import NETWORKS
from scattermec.price_net.training import (
    VALIDATION,
    PriceNetConfig,
    Progress,
    RolledOut,
    advance,
    begin,
    check_finite,
    draw_frames,
    mean_outcome,
    roll_out,
)
from scattermec.scenario import Scenario
from scattermec.training.folder import RUN, Request, begin_or_resume, digest, read_request
from scattermec.training.loop import Report, Training
from scattermec.training.metrics import MetricsFile, Row

CHUNK = 100
"""Steps between two rows of metrics."""

SAVE_EVERY = 1000
"""Steps between checkpoints."""

BLOCK = 10
"""Consecutive steps with one number of users, where scenarios vary."""

HELD_OUT = 500
"""Frames that the shares in the metrics are measured on; used neither for training nor for evaluation."""

EPISODES, EPISODE = 32, 60
"""With foresight, metrics are measured on this many held-out rollouts of this many frames instead."""


def train(
    scenario: Scenario,
    config: PriceNetConfig,
    path: Path,
    *,
    steps: int,
    seed: int = 0,
    resume: bool = False,
    command: str = "",
    report: Report = lambda rows: None,
) -> tuple[list[Row], tuple[str, ...]]:
    """Train in the folder ``path``, or continue there with ``resume``, up to this many steps.

    Returns all metrics, and further lines for the user. ``report`` is called with the new rows, ``command``
    is kept with the run. JAX must be in double precision. Raises InputError if the folder holds something
    else, or a run with other settings, BusyError if another process writes there, TrainingError if training
    diverges.
    """
    check_trainable(scenario, config)
    learner = _Learner(scenario, config, seed, steps)
    record = {"algorithm": ALGORITHM, "seed": seed, "steps": steps, "scenario_digest": digest(scenario)}
    asked = Request(scenario, config, {**record, "config": config.model_dump(mode="json")})
    with begin_or_resume(
        path, asked, read=_request_of, same=("seed", "steps"), resume=resume, command=command
    ) as (_, notes):
        training = Training(
            partial(jax.eval_shape, learner.initial),
            learner.initial,
            learner.advance,
            (seed,),
            path / "checkpoint.npz",
            MetricsFile(path / "metrics.parquet", {"algorithm": ALGORITHM}),
            parts={path / NETWORKS: lambda progress: progress.network},
        )
        return training.run(steps, chunk=CHUNK, save_every=SAVE_EVERY, report=report), notes


def check_trainable(scenario: Scenario, config: PriceNetConfig | None = None) -> None:
    """Raise InputError if price-net cannot act: harvesting is causal, or the rectifier not linear.

    If ``config`` varies what is known, channels must not come from a file: there are no others to see late.
    """
    faults = harvest_faults(scenario, "with price-net")
    if config is not None and config.knowledge == "varied" and scenario.fading == "file":
        faults.append("fading: 'file' is not allowed with knowledge: varied; it must be rayleigh or rician")
    if faults:
        raise InputError(faults)


def steps_of(path: Path) -> int:
    """Number of steps requested for the run in a folder; raises InputError if it cannot be read."""
    steps: int = _request_of(path).record["steps"]
    if not 1 <= steps <= MOST_STEPS:
        line = f"{path / RUN}: steps: {show(steps, 80)} is not allowed; it must be >= 1"
        raise InputError([f"{line} and <= {MOST_STEPS}"])
    return steps


def _request_of(path: Path) -> Request[PriceNetConfig]:
    return read_request(path, (ALGORITHM,), PriceNetConfig, {"seed": int, "steps": int})


class _Learner:
    """The functions that a `Training` calls."""

    def __init__(self, scenario: Scenario, config: PriceNetConfig, seed: int, steps: int) -> None:
        self.config, self.seed, self.steps = config, seed, steps
        self.parameters = parameters_of(scenario)
        users = set(variety.USERS) if config.scenarios == "varied" else ()
        self.bases = {number: variety.base(scenario, number) for number in users}
        self.key = jax.random.fold_in(jax.random.key(seed), VALIDATION)

    def initial(self) -> Progress:
        return begin(self.config, self.seed, self.steps, self.parameters)

    def advance(self, state: Progress, start: int, end: int) -> tuple[Progress, list[Row]]:
        found = []
        # If scenarios vary, in blocks with one number of users each.
        size = BLOCK if self.bases else CHUNK
        for first in range(start, end, size):
            users = variety.USERS[first // BLOCK % len(variety.USERS)]
            state, losses = advance(
                state,
                self.bases.get(users, self.parameters),
                jnp.uint32(self.seed),
                config=self.config,
                steps=self.steps,
                count=min(size, end - first),
            )
            found.append(losses)
        means = jax.tree.map(lambda *parts: jnp.mean(jnp.stack(parts)), *found)
        check_finite(means, f"seed {self.seed}, step {end}")
        row: Row = {"seed": self.seed, "frame": end}
        row |= {f"loss.{name}": float(value) for name, value in means._asdict().items()}
        return state, [row | self._reached(state.network)]

    def _reached(self, network: PriceNet) -> Row:
        """Results of each mode on held-out frames, or in rollouts for a policy with foresight."""
        row: Row = {}
        if self.config.discount > 0:
            for name, rolled in _roll_out(network, self.parameters, self.key).items():
                row |= {f"{what}.{name}": float(getattr(rolled, what)) for what in ("efficiency", "outage")}
            return row
        frames, optimum = self._held_out
        for name, (reward, outage) in _played(network, self.parameters, frames).items():
            row |= {f"reward.{name}": float(reward), f"outage.{name}": float(outage)}
            row[f"share.{name}"] = float(reward) / optimum
        return row

    @cached_property
    def _held_out(self) -> tuple[Frame, float]:
        """Held-out frames, and their mean certified reward in kbit/J; everyone is served if possible."""
        frames = jax.jit(draw_frames, static_argnums=2)(self.key, self.parameters, HELD_OUT)
        best, _ = optimise_all_or_best(self.parameters, frames)
        outcome = jax.jit(run_frames)(self.parameters, frames, best.beams, best.solution.allocation)
        return frames, float(jnp.mean(outcome.ap_reward))


@jax.jit
def _played(network: PriceNet, parameters: Parameters, frames: Frame) -> dict[str, tuple[Array, Array]]:
    """Mean reward and outage of each mode."""
    modes = modes_where_known(network).items()
    return {name: mean_outcome(mode, network, parameters, frames) for name, mode in modes}


@jax.jit
def _roll_out(network: PriceNet, parameters: Parameters, key: Key) -> dict[str, RolledOut]:
    return {
        name: roll_out(mode, network, parameters, key, episodes=EPISODES, frames=EPISODE)
        for name, mode in modes_where_known(network).items()
    }
