"""BenchMARL's MAPPO on TorchRL's batched environment: the AP and the users each act for themselves."""

import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from benchmarl.algorithms import MappoConfig
from benchmarl.environments.common import TaskClass
from benchmarl.experiment import Experiment, ExperimentConfig
from benchmarl.models.mlp import MlpConfig
from tensordict import TensorDict
from torchrl.data import Composite
from torchrl.envs.utils import ExplorationType, set_exploration_type

from scattermec.environment.torchrl_env import AP, USERS, OffloadingTorch
from scattermec.scenario import Scenario


class Offloading(TaskClass):
    """The environment as a task of BenchMARL; its configuration are the environment's settings."""

    def get_env_fun(
        self, num_envs: int, continuous_actions: bool, seed: int | None, device: Any
    ) -> Callable[[], OffloadingTorch]:
        """A function that makes the environments; everyone is paid the AP's reward, (11)."""
        return lambda: OffloadingTorch(num_envs, seed=seed, team=True, device=device, **self.config)

    def supports_continuous_actions(self) -> bool:
        """All actions are continuous."""
        return True

    def supports_discrete_actions(self) -> bool:
        """All actions are continuous."""
        return False

    def has_render(self, env: OffloadingTorch) -> bool:
        """There are no pictures."""
        return False

    def max_steps(self, env: OffloadingTorch) -> int:
        """Frames of an episode."""
        return env.scenario.episode_length

    def group_map(self, env: OffloadingTorch) -> dict[str, list[str]]:
        """The agents by group."""
        return env.group_map

    def observation_spec(self, env: OffloadingTorch) -> Composite:
        """What the agents see."""
        spec = env.full_observation_spec_unbatched.clone()
        del spec["state"]
        return spec

    def state_spec(self, env: OffloadingTorch) -> Composite:
        """What central critics see: the AP's observation."""
        return Composite(state=env.full_observation_spec_unbatched["state"].clone())

    def action_spec(self, env: OffloadingTorch) -> Composite:
        """What the agents do."""
        return env.full_action_spec_unbatched

    def info_spec(self, env: OffloadingTorch) -> None:
        """There are no infos."""

    def action_mask_spec(self, env: OffloadingTorch) -> None:
        """Every action is allowed."""

    @staticmethod
    def env_name() -> str:
        """Name of the environment."""
        return "scattermec"


def train(settings: dict[str, Any], seed: int, frames: int, environments: int) -> Any:
    """Train, and return the greedy policy: a function of dictionaries of agents."""
    torch.set_num_threads(1)
    config = ExperimentConfig.get_from_yaml()
    config.gamma, config.lr = Scenario().discount, 1e-3
    config.max_n_frames = frames
    config.on_policy_n_envs_per_worker = environments
    config.on_policy_collected_frames_per_batch = min(1024, frames)
    config.on_policy_n_minibatch_iters, config.on_policy_minibatch_size = 10, 64
    config.evaluation = config.render = config.create_json = False
    config.loggers = []
    with tempfile.TemporaryDirectory() as folder:
        config.save_folder = folder
        experiment = Experiment(
            task=Offloading("OFFLOADING", settings),
            algorithm_config=MappoConfig.get_from_yaml(),
            model_config=MlpConfig(
                num_cells=[64, 64], activation_class=torch.nn.Tanh, layer_class=torch.nn.Linear
            ),
            seed=seed,
            config=config,
        )
        experiment.run()

    def act(seen: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        users = [agent for agent in seen if agent != AP]
        groups = {AP: seen[AP][:, None], USERS: np.stack([seen[user] for user in users], axis=1)}
        rows = len(seen[AP])
        given = TensorDict({name: {"observation": torch.from_numpy(x)} for name, x in groups.items()}, [rows])
        with torch.no_grad(), set_exploration_type(ExplorationType.DETERMINISTIC):
            chosen = experiment.policy(given)
        each = chosen[USERS, "action"].unbind(1)
        return {AP: chosen[AP, "action"][:, 0].numpy()} | {
            user: actions.numpy() for user, actions in zip(users, each, strict=True)
        }

    return act
