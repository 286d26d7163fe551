"""Gymnasium: one controller decides for the AP and all users."""

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np

from scattermec.environment import bounds
from scattermec.environment._shell import INSTALL_HINT, RENDER_MODES, Shell, frame_report, report
from scattermec.environment.core import EnvState
from scattermec.physics import Parameters
from scattermec.scenario import Scenario

try:
    import gymnasium
    from gymnasium import spaces
except ModuleNotFoundError as error:
    raise ImportError(f"{__name__} {INSTALL_HINT}") from error


def joint_spaces(scenario: Scenario, settings: Mapping[str, Any]) -> tuple[spaces.Box, spaces.Box]:
    """The controller's spaces of observations and of actions."""
    ap, user = bounds.action_sizes(scenario, settings)
    actions = spaces.Box(0, 1, (ap + scenario.num_users * user,), np.float32)
    return spaces.Box(*bounds.ap_bounds(scenario), dtype=np.float32), actions


class OffloadingEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """A controller that has the AP's observation and decides for everyone; its reward is (11) in kbit/J.

    Observation: `scattermec.environment.ap_observation`. Action: numbers in [0, 1], first the AP's 2NM (see
    `beams_from_action`), then each user's 4, 6 or 2 in turn (see `allocation_from_action`). ``settings`` are
    those of a `scattermec.environment.Variant`, as in ``users="estimate"``, with which only the AP acts. An
    episode is truncated after the scenario's ``episode_length`` frames and never terminated. With
    ``idle_power`` 0 the reward is infinite if work is processed without any energy of the AP.

    ``info`` after a step: arrays over users ``success``, ``user_rewards`` (12), and ``battery`` (mJ) and
    ``backlog`` (kbit) at the end of the frame; floats ``energy_efficiency`` (kbit/J), ``ap_energy`` (J), and
    ``active_share``, ``passive_share``, ``local_share`` of the processed work. After a reset: the batteries,
    and zeros.
    """

    metadata: dict[str, Any] = {"render_modes": RENDER_MODES, "render_fps": 2}  # noqa: RUF012

    def __init__(
        self,
        scenario: Scenario | str | PathLike[str] | None = None,
        action_form: str = "feasible",
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        self._shell = Shell(scenario, render_mode, {"action_form": action_form, **settings})
        self.render_mode = render_mode
        self.observation_space, self.action_space = joint_spaces(self._shell.scenario, self._shell.settings)
        (self._size,) = self.action_space.shape

    @property
    def scenario(self) -> Scenario:
        """The scenario being played."""
        return self._shell.scenario

    @property
    def parameters(self) -> Parameters:
        """The scenario's constants as arrays."""
        return self._shell.parameters

    @property
    def state(self) -> EnvState:
        """The true state, for policies that optimise a frame and for tests."""
        return self._shell.state

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode; equal seeds give equal episodes. There are no options."""
        super().reset(seed=seed)
        info = self._shell.reset(self.np_random)
        return self._shell.ap_observation(), info

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Play a frame."""
        shell = self._shell
        numbers = shell.checked(action, self._size)
        ap_action, users = np.split(numbers, [shell.ap_action_size])
        users = users.reshape(shell.num_users, shell.user_action_size)
        played, terminated, truncated = shell.play(ap_action, users)
        info = report(frame_report(played))
        return shell.ap_observation(), float(played.reward), terminated, truncated, info

    def render(self) -> np.ndarray | None:
        """Picture (H, W, 3) of the last frame, or None without a render mode."""
        return self._shell.render()
