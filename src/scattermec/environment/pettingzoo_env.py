"""PettingZoo: the AP and every user are agents, in turn (`env`) or all at once (`parallel_env`)."""

from os import PathLike
from typing import Any

import numpy as np

from scattermec.environment import bounds
from scattermec.environment._shell import INSTALL_HINT, RENDER_MODES, Played, Shell, frame_report, report
from scattermec.environment.core import EnvState
from scattermec.physics import Parameters
from scattermec.scenario import Scenario

try:
    from gymnasium import spaces
    from pettingzoo import AECEnv, ParallelEnv
    from pettingzoo.utils.wrappers import OrderEnforcingWrapper
except ModuleNotFoundError as error:
    raise ImportError(f"{__name__} {INSTALL_HINT}") from error

AP = "ap"
"""Name of the AP's agent; the users are ``user_0``, ``user_1``, and so on."""


class _Agents:
    """Names, spaces and observations of the agents: the common part of both interfaces.

    The AP observes `scattermec.environment.ap_observation` and acts with 2NM numbers in [0, 1] (see
    `beams_from_action`); its reward is (11) in kbit/J. A user observes its row of
    `scattermec.environment.user_observations` and acts with 4, 6 or 2 numbers in [0, 1] (see
    `allocation_from_action`); its reward is (12). ``settings`` are those of a
    `scattermec.environment.Variant`; with ``users="estimate"`` the AP is the only agent. Episodes are
    truncated after the scenario's ``episode_length`` frames and never terminated. Infos have the same keys
    after a reset as after a step.
    """

    def __init__(
        self,
        scenario: Scenario | str | PathLike[str] | None = None,
        action_form: str = "feasible",
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        self._shell = Shell(scenario, render_mode, {"action_form": action_form, **settings})
        self._rng: np.random.Generator | None = None
        self.render_mode = render_mode
        acting = self._shell.num_users if self._shell.user_action_size else 0
        self._users = [f"user_{i}" for i in range(acting)]
        self.possible_agents = [AP, *self._users]
        self.agents: list[str] = []
        self._sizes = {AP: self._shell.ap_action_size} | dict.fromkeys(
            self._users, self._shell.user_action_size
        )
        own = bounds.user_bounds(self._shell.scenario)
        limits = {AP: bounds.ap_bounds(self._shell.scenario)} | dict.fromkeys(self._users, own)
        self.action_spaces = {
            a: spaces.Box(0, 1, (self._sizes[a],), np.float32) for a in self.possible_agents
        }
        self.observation_spaces = {a: spaces.Box(*limits[a], dtype=np.float32) for a in self.possible_agents}
        self.state_space = spaces.Box(*limits[AP], dtype=np.float32)

    @property
    def scenario(self) -> Scenario:
        """The scenario being played."""
        return self._shell.scenario

    @property
    def parameters(self) -> Parameters:
        """The scenario's constants as arrays."""
        return self._shell.parameters

    @property
    def env_state(self) -> EnvState:
        """The true state, for policies that optimise a frame and for tests."""
        return self._shell.state

    def observation_space(self, agent: str) -> spaces.Space:
        """Space of an agent's observations."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space:
        """Space of an agent's actions."""
        return self.action_spaces[agent]

    def state(self) -> np.ndarray:
        """Global state for centralised critics: the AP's observation."""
        return self._shell.ap_observation()

    def render(self) -> np.ndarray | None:
        """Picture (H, W, 3) of the last frame, or None without a render mode."""
        return self._shell.render()

    def close(self) -> None:
        """Do nothing: no resources are held."""

    def _start(self, seed: int | None) -> dict[str, dict[str, Any]]:
        # Without a seed the random stream continues, so that one seed determines a whole run of episodes.
        if seed is not None or self._rng is None:
            self._rng = np.random.default_rng(seed)
        self.agents = list(self.possible_agents)
        return self._infos(self._shell.reset(self._rng))

    def _observations(self, ap_action: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Everybody's observation; the users see the beams of ``ap_action`` or the previous ones."""
        seen = {AP: self._shell.ap_observation()}
        if self._users:
            seen |= zip(self._users, self._shell.user_observations(ap_action), strict=True)
        return seen

    def _checked(self, agent: str, action: Any) -> np.ndarray:
        return self._shell.checked(action, self._sizes[agent])

    def _play(self, actions: dict[str, np.ndarray]) -> tuple[Played, bool, bool]:
        users = np.zeros((self._shell.num_users, self._shell.user_action_size), np.float32)
        for i, user in enumerate(self._users):
            users[i] = actions[user]
        return self._shell.play(actions[AP], users)

    def _rewards(self, played: Played) -> dict[str, float]:
        rewards = played.outcome.user_reward[: len(self._users)]
        users = zip(self._users, rewards, strict=True)
        return {AP: float(played.reward)} | {user: float(reward) for user, reward in users}

    def _infos(self, report: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """The AP's info is the frame's report; a user's info is its own part of that."""
        own = {
            user: {
                "success": bool(report["success"][i]),
                "battery": float(report["battery"][i]),
                "backlog": float(report["backlog"][i]),
            }
            for i, user in enumerate(self._users)
        }
        return {AP: report, **own}

    def _each(self, value: Any) -> dict[str, Any]:
        return dict.fromkeys(self.possible_agents, value)


class OffloadingAEC(_Agents, AECEnv[str, np.ndarray, np.ndarray | None]):
    """Agents move in turn: the AP sends its beams, then each user sees the gain of its own beam and decides.

    The frame is played, and all rewards are given, after the last user's move. See `_Agents` for
    observations, actions and rewards.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "name": "offloading_v0",
        "render_modes": RENDER_MODES,
        "render_fps": 2,
        # Users react to the AP's move, so the order of moves matters; see `OffloadingParallel`.
        "is_parallelizable": False,
    }

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Start an episode; equal seeds give equal episodes. There are no options."""
        self.infos = self._start(seed)
        self._moves: dict[str, np.ndarray] = {}
        self.rewards = self._each(0.0)
        self._cumulative_rewards = self._each(0.0)
        self.terminations = self._each(False)
        self.truncations = self._each(False)
        self._skip_agent_selection = None
        self.agent_selection = AP
        self._look()

    def observe(self, agent: str) -> np.ndarray:
        """An agent's current observation; a user's contains the gain of the beam sent last."""
        return self._seen[agent].copy()

    def step(self, action: np.ndarray | None) -> None:
        """Make the selected agent's move."""
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        self._moves[agent] = self._checked(agent, action)
        self._cumulative_rewards[agent] = 0.0
        self._clear_rewards()
        if agent == self.possible_agents[-1]:
            self._finish_frame()
        else:
            self.agent_selection = self.possible_agents[self.possible_agents.index(agent) + 1]
            if agent == AP:
                self._look(self._moves[AP])
        self._accumulate_rewards()

    def _finish_frame(self) -> None:
        played, terminated, truncated = self._play(self._moves)
        self._moves = {}
        self.rewards = self._rewards(played)
        self.infos = self._infos(report(frame_report(played)))
        self.terminations = self._each(terminated)
        self.truncations = self._each(truncated)
        self.agent_selection = AP
        self._look()

    def _look(self, ap_action: np.ndarray | None = None) -> None:
        self._seen = self._observations(ap_action)


class OffloadingParallel(_Agents, ParallelEnv[str, np.ndarray, np.ndarray]):
    """All agents move at once: a user sees the gain of its previous beam on the current channel.

    See `_Agents` for observations, actions and rewards.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "name": "offloading_v0",
        "render_modes": RENDER_MODES,
        "render_fps": 2,
    }

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, dict[str, Any]]]:
        """Start an episode; equal seeds give equal episodes. There are no options."""
        infos = self._start(seed)
        return self._observations(), infos

    def step(
        self, actions: dict[str, np.ndarray]
    ) -> tuple[
        dict[str, np.ndarray],
        dict[str, float],
        dict[str, bool],
        dict[str, bool],
        dict[str, dict[str, Any]],
    ]:
        """Play a frame with everybody's actions; raises ValueError if one is missing."""
        if not self.agents:
            raise RuntimeError("no episode is running: call reset() first")
        missing = [agent for agent in self.agents if agent not in actions]
        if missing:
            raise ValueError(f"actions: those of {', '.join(missing)} are missing")
        played, terminated, truncated = self._play({a: self._checked(a, actions[a]) for a in self.agents})
        if terminated or truncated:
            self.agents = []
        return (
            self._observations(),
            self._rewards(played),
            self._each(terminated),
            self._each(truncated),
            self._infos(report(frame_report(played))),
        )


def raw_env(**kwargs: Any) -> OffloadingAEC:
    """The turn-based environment, unwrapped. Arguments: scenario, action_form, render_mode, and settings."""
    return OffloadingAEC(**kwargs)


def env(**kwargs: Any) -> OrderEnforcingWrapper:
    """The turn-based environment, which checks the order of calls. Arguments as for `raw_env`."""
    return OrderEnforcingWrapper(raw_env(**kwargs))


def parallel_env(**kwargs: Any) -> OffloadingParallel:
    """The environment in which all agents move at once. Arguments as for `raw_env`."""
    return OffloadingParallel(**kwargs)
