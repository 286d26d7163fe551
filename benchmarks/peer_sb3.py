"""A worker that runs Stable-Baselines3's DDPG on Pendulum-v1, in an environment of its own."""

import time
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3 import DDPG
from stable_baselines3.common.noise import NormalActionNoise

from benchmarks.processes import Desk, timed


def main() -> None:
    """Answer requests: further steps of one long training, timed; or a training from scratch, evaluated."""
    torch.set_num_threads(1)
    desk = Desk()
    settings = desk.setup
    env = gymnasium.make("Pendulum-v1")
    long = learner(env, settings, seed=0)
    long.learn(2 * settings["batch_size"])
    desk.answer({"ready": True})
    while True:
        request = desk.request()
        if "seed" in request:
            desk.answer(train(env, settings, request["seed"], request["steps"]))
        else:
            steps = request["steps"]
            done = timed(lambda steps=steps: long.learn(steps, reset_num_timesteps=False))
            desk.answer(done | {"count": steps})


def learner(env: Any, settings: dict[str, Any], seed: int) -> DDPG:
    """One update per step, as in our learners; everything else from ``settings``."""
    return DDPG(
        "MlpPolicy",
        env,
        learning_rate=settings["learning_rate"],
        buffer_size=settings["buffer_size"],
        learning_starts=settings["batch_size"],
        batch_size=settings["batch_size"],
        tau=settings["smoothing"],
        gamma=settings["discount"],
        train_freq=1,
        gradient_steps=1,
        # Its actions lie in [-1, 1], ours in [0, 1].
        action_noise=NormalActionNoise(np.zeros(1), 2 * settings["noise"] * np.ones(1)),
        policy_kwargs={"net_arch": {"pi": settings["actor_layers"], "qf": [settings["critic_width"]]}},
        seed=seed,
        device="cpu",
    )


def train(env: Any, settings: dict[str, Any], seed: int, steps: int) -> dict[str, Any]:
    """Train from scratch; returns the greedy return of one episode from each start, averaged."""
    started = time.perf_counter()
    model = learner(env, settings, seed)
    model.learn(steps)
    seconds = time.perf_counter() - started
    returns = []
    for start in settings["starts"]:
        env.reset()
        env.unwrapped.state = np.array(start)
        observation = np.array([np.cos(start[0]), np.sin(start[0]), start[1]], np.float32)
        total, over = 0.0, False
        while not over:
            action, _ = model.predict(observation, deterministic=True)
            observation, reward, terminated, truncated, _ = env.step(action)
            total += float(reward)
            over = terminated or truncated
        returns.append(total)
    return {"return": float(np.mean(returns)), "seconds": seconds}


if __name__ == "__main__":
    main()
