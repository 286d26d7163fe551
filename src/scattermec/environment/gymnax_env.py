"""gymnax: the single controller with the interface of gymnax 1.0, which trainers in JAX such as rejax expect.

gymnax itself is not needed: its trainers use what an environment can do, not what it inherits.
"""

from functools import partial
from os import PathLike
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from scattermec._pytree import pytree
from scattermec.environment import bounds
from scattermec.environment._shell import found_scenario
from scattermec.environment.core import EnvState
from scattermec.environment.flat import FlatOffloading
from scattermec.environment.interface import Step
from scattermec.environment.jax_spaces import Box
from scattermec.environment.variant import check_settings
from scattermec.physics import parameters_of
from scattermec.physics.channel import Key
from scattermec.scenario import Scenario


@pytree
class GymnaxParams(FlatOffloading):
    """The environment's parameters: the task itself, whose constants may be swept with `jax.vmap`."""

    @property
    def max_steps_in_episode(self) -> Array:
        """Frames until truncation, under the name that gymnax gives them."""
        return self.parameters.episode_length


class GymnaxOffloading:
    """A controller in JAX, in float32. See `FlatOffloading` for observation, action and reward.

    Args:
        scenario: a `Scenario`, the path of a scenario file, or None for the default.
        old_step: whether `step` returns five values, with ``done`` instead of ``terminated`` and
            ``truncated``, as it did before gymnax 1.0 and as rejax 0.1 expects.
        settings: those of a `Variant`.
    """

    def __init__(
        self,
        scenario: Scenario | str | PathLike[str] | None = None,
        *,
        old_step: bool = False,
        **settings: Any,
    ) -> None:
        check_settings(settings)
        self.scenario = found_scenario(scenario)
        self.settings = settings
        self.old_step = old_step

    @property
    def name(self) -> str:
        """The environment's name."""
        return "scattermec-Offloading"

    @property
    def num_actions(self) -> int:
        """Length of the action."""
        ap, user = bounds.action_sizes(self.scenario, self.settings)
        return ap + self.scenario.num_users * user

    @property
    def default_params(self) -> GymnaxParams:
        """The task of the scenario and the settings."""
        return GymnaxParams(parameters=parameters_of(self.scenario), **self.settings)

    def action_space(self, params: GymnaxParams | None = None) -> Box:
        """Numbers in [0, 1]."""
        return Box(0.0, 1.0, (self.num_actions,))

    def observation_space(self, params: GymnaxParams | None = None) -> Box:
        """The AP's observations."""
        low, high = bounds.ap_bounds(self.scenario)
        return Box(low, high, low.shape)

    @partial(jax.jit, static_argnums=0)
    def reset(self, key: Key, params: GymnaxParams | None = None) -> tuple[Array, EnvState]:
        """The first observation and state of an episode."""
        return self.reset_env(key, self._task(params))

    def reset_env(self, key: Key, params: GymnaxParams) -> tuple[Array, EnvState]:
        """As `reset`."""
        state = params.reset(key)
        return self.get_obs(state, params), state

    @partial(jax.jit, static_argnums=0)
    def step(
        self, key: Key, state: EnvState, action: Array, params: GymnaxParams | None = None
    ) -> tuple[Any, ...]:
        """Play a frame, and start a new episode where the old one ends.

        Returns observation, state, reward, ``terminated``, ``truncated`` and infos: the same two flags, the
        ``final_observation`` that the step itself reached, and ``success`` (N,) and ``ap_energy`` (J).
        """
        task = self._task(params)
        result = task.step(key, state, jnp.clip(action, 0, 1))
        infos = self._infos(result)
        seen, reward = self.get_obs(result.state, task), result.reward.astype(jnp.float32)
        ends = (infos["terminated"], infos["truncated"])
        if self.old_step:
            return seen, result.state, reward, ends[0] | ends[1], infos
        return seen, result.state, reward, *ends, infos

    def get_obs(self, state: EnvState, params: GymnaxParams | None = None, key: Any = None) -> Array:
        """The observation of a state."""
        return self._task(params).observe(state).astype(jnp.float32)

    def is_truncated(self, state: EnvState, params: GymnaxParams) -> Array:
        """Whether a state that a step has reached is past the end of its episode."""
        return state.time >= params.max_steps_in_episode

    def is_terminated(self, state: EnvState, params: GymnaxParams) -> Array:
        """Never: the task has no natural end."""
        return jnp.zeros_like(state.time, bool)

    def _task(self, params: GymnaxParams | None) -> GymnaxParams:
        return self.default_params if params is None else params

    def _infos(self, result: Step) -> dict[str, Array]:
        return {
            "terminated": result.terminated,
            "truncated": result.truncated,
            "final_observation": result.observation.astype(jnp.float32),
            "success": result.info.success,
            "ap_energy": result.info.ap_energy,
        }
