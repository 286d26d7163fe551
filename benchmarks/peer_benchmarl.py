"""A worker that runs BenchMARL's MADDPG on VMAS, in a virtual environment of its own."""

import tempfile
import time
from typing import Any

import torch
from benchmarl.algorithms import MaddpgConfig
from benchmarl.environments import VmasTask
from benchmarl.experiment import Callback, Experiment, ExperimentConfig
from benchmarl.models.mlp import MlpConfig

from benchmarks.processes import Desk

ENVIRONMENTS = 10
"""simulated at once, which is what VMAS is made for"""


class Turns(Callback):
    """Pauses BenchMARL's own training loop after each iteration until the next is requested."""

    desk: Desk
    """a class attribute, since BenchMARL copies its callbacks with their attributes"""

    def __init__(self) -> None:
        super().__init__()
        self.resume()

    def resume(self) -> None:
        """Begin an iteration."""
        self.started, self.processor = time.perf_counter(), time.process_time()

    def on_batch_collected(self, batch: Any) -> None:
        """Frames have been collected; storing them and learning follow."""
        self.collected, self.collected_processor = time.perf_counter(), time.process_time()

    def on_train_end(self, training_td: Any, group: str) -> None:
        """All optimiser steps of an iteration are done. The first iteration warms up."""
        now, processor = time.perf_counter(), time.process_time()
        seconds = now - self.collected
        self.desk.answer(
            {
                "count": self.desk.setup["updates"],
                "seconds": seconds,
                "core_share": (processor - self.collected_processor) / seconds,
                "seconds_with_collection": now - self.started,
            }
        )
        self.desk.request()
        self.resume()


def main() -> None:
    """Train with BenchMARL's experiment as a user would, one iteration per request."""
    torch.set_num_threads(1)
    Turns.desk = desk = Desk()
    settings = desk.setup
    shared, updates = settings["shared"], settings["updates"]
    config = ExperimentConfig.get_from_yaml()
    config.share_policy_params = shared
    config.gamma = settings["discount"]
    config.lr = settings["learning_rate"]
    config.polyak_tau = settings["smoothing"]
    config.off_policy_collected_frames_per_batch = updates
    config.off_policy_n_envs_per_worker = min(ENVIRONMENTS, updates)
    config.off_policy_n_optimizer_steps = updates
    config.off_policy_train_batch_size = settings["batch_size"]
    config.off_policy_memory_size = settings["buffer_size"]
    config.max_n_frames, config.max_n_iters = None, 1_000_000
    config.exploration_anneal_frames = 1_000_000
    config.evaluation = config.render = config.create_json = False
    config.loggers = []
    algorithm = MaddpgConfig.get_from_yaml()
    algorithm.share_param_critic = shared
    networks = {"activation_class": torch.nn.ReLU, "layer_class": torch.nn.Linear}
    with tempfile.TemporaryDirectory() as folder:
        config.save_folder = folder
        Experiment(
            task=VmasTask.SIMPLE_SPREAD.get_from_yaml(),
            algorithm_config=algorithm,
            model_config=MlpConfig(num_cells=settings["actor_layers"], **networks),
            critic_model_config=MlpConfig(num_cells=[settings["critic_width"]], **networks),
            seed=0,
            config=config,
            callbacks=[Turns()],
        ).run()


if __name__ == "__main__":
    main()
