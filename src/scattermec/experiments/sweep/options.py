"""The jobs of a sweep and their options. Nothing here imports JAX."""

from collections.abc import Iterator
from typing import Any, Literal

from scattermec._settings import Settings, constant
from scattermec.counts import MOST_EPISODE_FRAMES, MOST_EPISODES, MOST_FRAMES

Job = Literal["simulate", "solve", "evaluate", "train", "horizon", "claims"]
Scheme = Literal["hybrid", "active", "passive", "local"]
Beams = Literal["mrt", "random", "optimal"]
Algorithm = Literal["h-maddpg-opt", "h-maddpg", "ap-ddpg", "ddpg"]

_FRAMES = f">= 1 and <= {MOST_FRAMES}"
_POLICY = "the name of a policy, or the folder of a training run"


class Simulate(Settings):
    """Rollouts under the optimal allocation, as by `scattermec simulate`."""

    scheme: Scheme = constant("hybrid", "", "", "hybrid, active, passive or local", "Links that may be used:")
    beams: Beams = constant("mrt", "", "", "mrt, random or optimal", "How the AP chooses its beams:")
    frames: int = constant(500, "", "", _FRAMES, "Frames to count")


class Solve(Simulate):
    """Optima of independent frames: the metrics of `scattermec reproduce`."""


class Evaluate(Settings):
    """A policy beside the optimum, as by `scattermec evaluate`."""

    policy: str = constant("mrt", "", "", _POLICY, "The policy")
    frames: int = constant(256, "", "", _FRAMES, "Independent frames")
    rollout_frames: int = constant(500, "", "", f">= 0 and <= {MOST_FRAMES}", "Frames of rollouts; 0: none")


class Train(Settings):
    """A learner, as by `scattermec train`."""

    algorithm: Algorithm = constant(
        "h-maddpg-opt", "", "", "h-maddpg-opt, h-maddpg, ap-ddpg or ddpg", "The learner:"
    )
    config: str = constant("tuned", "", "", "the name of a preset, or a file", "Training configuration")
    frames: int = constant(10_000, "", "", _FRAMES, "Frames that each seed trains")
    curve: bool = constant(False, "", "", "true or false", "Keep all metrics, not only the last:")


class Horizon(Settings):
    """Policies over a bound that knows all frames, as by `scattermec horizon`."""

    policy: str = constant("price-net", "", "", "a policy of price-net", "The policy beside the controls")
    frames: int = constant(20, "", "", f">= 1 and <= {MOST_EPISODE_FRAMES}", "Frames of an episode")
    episodes: int = constant(20, "", "", f">= 1 and <= {MOST_EPISODES}", "Episodes")


class Claims(Settings):
    """Margins of the paper's claims on Fig. 3 and 4, as in `scattermec calibrate`: above 0 a claim holds."""

    frames: int = constant(256, "", "", _FRAMES, "Frames per point")
    quick: bool = constant(True, "", "", "true or false", "Fewer points per sweep:")


OPTIONS: dict[str, type[Settings]] = {
    "simulate": Simulate,
    "solve": Solve,
    "evaluate": Evaluate,
    "train": Train,
    "horizon": Horizon,
    "claims": Claims,
}


def faults_of(job: str, given: dict[str, Any]) -> Iterator[str]:
    """Faults of a job's options, one line each."""
    try:
        OPTIONS[job](**given)
    except ValueError as error:
        yield from (f"options.{fault}" for fault in error.faults)  # type: ignore[attr-defined]
