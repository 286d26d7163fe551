"""Gymnasium, many environments at once: one compiled step for all of them."""

from os import PathLike
from typing import Any

import jax
import numpy as np

from scattermec.environment._shell import (
    INSTALL_HINT,
    Shell,
    begin_all,
    checked_actions,
    chosen,
    draw_seed,
    first_report,
    frame_report,
    play_all,
    within,
)
from scattermec.environment.core import EnvState
from scattermec.environment.gymnasium_env import joint_spaces
from scattermec.scenario import Scenario

try:
    from gymnasium.utils import seeding
    from gymnasium.vector import AutoresetMode, VectorEnv
    from gymnasium.vector.utils import batch_space
except ModuleNotFoundError as error:
    raise ImportError(f"{__name__} {INSTALL_HINT}") from error


class OffloadingVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """As many `OffloadingEnv` as ``num_envs``, played together.

    It returns what `gymnasium.vector.SyncVectorEnv` would return of the same environments and seeds, many
    times faster. ``autoreset_mode`` is an `AutoresetMode` or its name: by default an environment whose
    episode is over starts anew in the next step, whose action it ignores. Other arguments as for
    `OffloadingEnv`; there are no pictures.
    """

    def __init__(
        self,
        num_envs: int = 1,
        scenario: Scenario | str | PathLike[str] | None = None,
        action_form: str = "feasible",
        render_mode: str | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        **settings: Any,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs: {num_envs} is not allowed; it must be >= 1")
        if render_mode is not None:
            raise ValueError(f"render_mode: {render_mode!r} is not allowed; it must be None")
        self._shell = Shell(scenario, None, {"action_form": action_form, **settings})
        self.num_envs = num_envs
        self.render_mode = None
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {"render_modes": [], "autoreset_mode": self.autoreset_mode}
        seen, acted = joint_spaces(self._shell.scenario, self._shell.settings)
        self.single_observation_space, self.single_action_space = seen, acted
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._rngs: list[np.random.Generator | None] = [None] * num_envs
        self._states: EnvState | None = None
        self._limits, self._size = (seen.low, seen.high), acted.low.size
        self._seen = np.zeros((num_envs, seen.low.size), np.float32)
        self._over = np.zeros(num_envs, bool)

    @property
    def scenario(self) -> Scenario:
        """The scenario being played."""
        return self._shell.scenario

    @property
    def states(self) -> EnvState:
        """The true states, a pytree whose leaves have a leading axis, for policies that optimise frames."""
        if self._states is None:
            raise RuntimeError("the environments have no states before reset()")
        return self._states

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start episodes: all, or those in the mask (num_envs,) that is the option ``reset_mask``.

        Environment i has the seed ``seed + i``, or that of a list; without seeds their random streams go on.
        """
        everyone = np.ones(self.num_envs, bool)
        mask = self._checked_mask((options or {}).get("reset_mask", everyone))
        for i, one in enumerate(self._checked_seeds(seed)):
            if mask[i] and (one is not None or self._rngs[i] is None):
                self._rngs[i] = seeding.np_random(one)[0]
        self._begin(mask)
        return self._seen.copy(), self._infos(first_report(self.states), mask)

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Play a frame of each environment; ``actions`` is (num_envs, D)."""
        states = self.states
        numbers = checked_actions(np.asarray(actions, np.float32).reshape(self.num_envs, -1), self._size)
        waiting = self._over if self.autoreset_mode is AutoresetMode.NEXT_STEP else np.zeros_like(self._over)
        if self._over.any() and self.autoreset_mode is AutoresetMode.DISABLED:
            raise RuntimeError("some episodes are over: reset them first, with the option reset_mask")
        playing, rewards = ~waiting, np.zeros(self.num_envs)
        infos: dict[str, Any] = {}
        self._over = np.zeros(self.num_envs, bool)
        if playing.any():
            ap, shell = self._shell.ap_action_size, self._shell
            users = numbers[:, ap:].reshape(self.num_envs, shell.num_users, shell.user_action_size)
            following, seen, played, over = play_all(
                shell.variant, self._seeds(playing), states, numbers[:, :ap], users
            )
            played, seen, over = jax.device_get((played, seen, over))
            self._keep(playing, following, seen)
            rewards = np.where(playing, played.reward, 0.0).astype(float)
            self._over = playing & over
            infos = self._infos(frame_report(played), playing)
        if waiting.any():
            self._begin(waiting)
            infos = merged(infos, self._infos(first_report(self.states), waiting), waiting)
        truncations = self._over.copy()
        if self.autoreset_mode is AutoresetMode.SAME_STEP and truncations.any():
            infos = self._restart(infos)
        return self._seen.copy(), rewards, np.zeros(self.num_envs, bool), truncations, infos

    def _restart(self, infos: dict[str, Any]) -> dict[str, Any]:
        """Start anew where episodes are over; infos then also have the last observation and info."""
        over, last = self._over, self._seen
        self._begin(over)
        final = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(over):
            final[i] = last[i]
        ended = {name: _where(over, array, np.zeros_like(array)) for name, array in infos.items()}
        first = merged(infos, self._infos(first_report(self.states), over), over)
        return {
            "final_obs": final,
            "_final_obs": over.copy(),
            "final_info": ended,
            "_final_info": over.copy(),
            **first,
        }

    def _begin(self, mask: np.ndarray) -> None:
        """Start an episode of each environment in the mask."""
        states, seen = begin_all(self._shell.variant, self._seeds(mask))
        self._keep(mask, states, np.asarray(seen))
        self._over = self._over & ~mask

    def _seeds(self, mask: np.ndarray) -> np.ndarray:
        """The next seed of each random stream in the mask; the others are left alone."""
        seeds = np.zeros(self.num_envs, np.uint32)
        for i in np.flatnonzero(mask):
            rng = self._rngs[i]
            assert rng is not None, "a state has been drawn from it"
            seeds[i] = draw_seed(rng)
        return seeds

    def _keep(self, mask: np.ndarray, states: EnvState, seen: np.ndarray) -> None:
        """Take over states and observations (num_envs, ...) of the environments in the mask."""
        self._seen = _where(mask, within(seen, self._limits), self._seen)
        everyone = self._states is None or mask.all()
        self._states = states if everyone else chosen(mask, states, self._states)

    def _infos(self, arrays: dict[str, np.ndarray], mask: np.ndarray) -> dict[str, Any]:
        """Infos as Gymnasium batches them: arrays, and for each a mask of who has the entry."""
        infos: dict[str, Any] = {}
        for name, array in arrays.items():
            infos[name] = _where(mask, array, np.zeros_like(array))
            infos[f"_{name}"] = mask.copy()
        return infos

    def _checked_seeds(self, seed: int | list[int | None] | None) -> list[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, int | np.integer):
            return [int(seed) + i for i in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ValueError(f"seed: {len(seed)} seeds are given for {self.num_envs} environments")
        return list(seed)

    def _checked_mask(self, mask: Any) -> np.ndarray:
        if not (isinstance(mask, np.ndarray) and mask.shape == (self.num_envs,) and mask.dtype == bool):
            raise ValueError(f"reset_mask: must be an array of {self.num_envs} booleans")
        if not mask.any() or (self._states is None and not mask.all()):
            raise ValueError("reset_mask: must contain some environment, and all at the first reset")
        return mask


def merged(infos: dict[str, Any], others: dict[str, Any], mask: np.ndarray) -> dict[str, Any]:
    """Infos, with those of the environments in the mask taken from ``others``."""
    if not infos:
        return others
    return {name: _where(mask, others[name], array) for name, array in infos.items()}


def _where(mask: np.ndarray, yes: np.ndarray, no: np.ndarray) -> np.ndarray:
    return np.where(mask.reshape(-1, *[1] * (yes.ndim - 1)), yes, no)
