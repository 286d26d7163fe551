"""A worker that trains others' learners on our environments and evaluates them against the certified optimum.

It runs in a virtual environment that has both, and imports only the trainer that it is asked for.
"""

import functools
import time
from pathlib import Path
from typing import Any

import gymnasium
import jax
import numpy as np

from benchmarks.processes import Desk
from scattermec.environment.gymnasium_env import OffloadingEnv
from scattermec.environment.gymnax_env import GymnaxOffloading
from scattermec.experiments.evaluate.evaluation import evaluate
from scattermec.experiments.evaluate.foreign import contender_from_agents, contender_from_numpy
from scattermec.experiments.evaluate.policies import Contender
from scattermec.scenario import Scenario

ENVIRONMENTS = 8
"""Copies of an environment that are played side by side."""


def main() -> None:
    """Answer requests: a training from scratch with a seed, evaluated."""
    jax.config.update("jax_enable_x64", True)
    desk = Desk()
    train = TRAINERS[desk.setup["trainer"]]
    if "script" in desk.setup:
        train = functools.partial(train, Path(desk.setup["script"]))
    desk.answer({"ready": True})
    while True:
        request = desk.request()
        started = time.perf_counter()
        settings = desk.setup["settings"]
        act = train(settings, request["seed"], request["frames"])
        seconds = time.perf_counter() - started
        made = contender_from_agents if desk.setup["trainer"] in TEAMS else contender_from_numpy
        desk.answer(evaluated(made("theirs", act, **settings), request["evaluated"]) | {"seconds": seconds})


def evaluated(contender: Contender, frames: int) -> dict[str, float]:
    """Share of the optimum, and outage, of a greedy policy."""
    (row,) = evaluate(Scenario(), [contender], frames=frames, rollout_frames=0, seed=0).rows
    return {name: row.estimates[name].mean for name in ("of_optimum", "outage")}


def rejax_ppo(settings: dict[str, Any], seed: int, frames: int) -> Any:
    """PPO of rejax, in one compiled program."""
    ppo, train = _rejax_ppo(frames, tuple(settings.items()))
    state, _ = train(jax.random.PRNGKey(seed))

    @jax.jit
    def act(seen: Any) -> Any:
        mean = ppo.actor.apply(state.actor_ts.params, seen, method="_action_dist").mean()
        return jax.numpy.clip(mean, 0, 1)

    return act


@functools.cache
def _rejax_ppo(frames: int, settings: tuple[tuple[str, Any], ...]) -> Any:
    """The learner and its training, compiled once for all seeds."""
    import rejax

    ppo = rejax.PPO.create(
        env=GymnaxOffloading(old_step=True, **dict(settings)),
        total_timesteps=frames,
        eval_freq=frames,
        skip_initial_evaluation=True,
        num_envs=2 * ENVIRONMENTS,
        num_steps=64,
        num_epochs=8,
        num_minibatches=16,
        learning_rate=1e-3,
        gamma=Scenario().discount,
        ent_coef=0.0,
        max_grad_norm=0.5,
    ).replace(eval_callback=lambda ppo, state, key: ())
    return ppo, jax.jit(ppo.train)


def sb3(name: str, **options: Any) -> Any:
    """A learner of Stable-Baselines3, by its name."""

    def train(settings: dict[str, Any], seed: int, frames: int) -> Any:
        import stable_baselines3
        import torch
        from stable_baselines3.common.env_util import make_vec_env

        torch.set_num_threads(1)
        bound = np.float32(1)

        def make() -> Any:
            # Its policies begin around 0, which should be the middle of the actions.
            return gymnasium.wrappers.RescaleAction(OffloadingEnv(**settings), -bound, bound)

        env = make_vec_env(make, ENVIRONMENTS, seed=seed)
        model = getattr(stable_baselines3, name)(
            "MlpPolicy", env, gamma=Scenario().discount, seed=seed, device="cpu", **options
        )
        model.learn(frames)
        return lambda seen: (model.predict(seen, deterministic=True)[0] + 1) / 2

    return train


def benchmarl_mappo(settings: dict[str, Any], seed: int, frames: int) -> Any:
    """MAPPO of BenchMARL, on TorchRL's batched environment."""
    from benchmarks import benchmarl_mappo

    return benchmarl_mappo.train(settings, seed, frames, ENVIRONMENTS)


def jaxmarl_ippo(script: Path, settings: dict[str, Any], seed: int, frames: int) -> Any:
    """IPPO of JaxMARL, by its own script."""
    from benchmarks import jaxmarl_ippo

    return jaxmarl_ippo.train(script, settings, seed, frames, 2 * ENVIRONMENTS)


TRAINERS: dict[str, Any] = {
    "rejax PPO": rejax_ppo,
    "Stable-Baselines3 PPO": sb3("PPO", n_steps=128, batch_size=64),
    "Stable-Baselines3 SAC": sb3("SAC", gradient_steps=2, learning_starts=1000, learning_rate=1e-3),
    "BenchMARL MAPPO": benchmarl_mappo,
    "JaxMARL IPPO": jaxmarl_ippo,
}

TEAMS = ("BenchMARL MAPPO", "JaxMARL IPPO")
"""Trainers whose policies are functions of dictionaries of agents."""


if __name__ == "__main__":
    main()
