"""JaxMARL: the AP and every user are agents, all at once, with JaxMARL's interface of dictionaries.

JaxMARL itself is not needed: its trainers use what an environment can do, not what it inherits.
"""

from functools import partial
from os import PathLike
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from scattermec.environment import bounds
from scattermec.environment._shell import found_scenario
from scattermec.environment.core import EnvState, reset, step
from scattermec.environment.jax_spaces import Box
from scattermec.environment.variant import Variant, check_settings
from scattermec.physics import parameters_of
from scattermec.physics.channel import Key
from scattermec.scenario import Scenario

Dictionary = dict[str, Any]
"""Something for each agent, by its name."""


class JaxMarlOffloading:
    """Agents ``ap``, ``user_0``, and so on, in JAX and in float32; a user sees its previous beam's gain.

    All agents have observations and actions of the same length, so that one network can serve them all. An
    observation is padded with zeros, and ends with a one that marks the agent. Numbers of an action beyond
    the agent's own have no effect. Observations also have the entry ``world_state``, for centralised critics:
    the AP's. Rewards are the AP's and (12). Episodes end by truncation alone, for all agents at once; since
    JaxMARL knows only dones, infos have ``truncated``, and, each as (agents,), ``success`` (for the AP: the
    share of users served) and ``ap_energy``. To use a trained policy elsewhere, `padded` makes these
    observations of the agents' own, and `own_actions` the agents' own actions of these.

    Args:
        scenario: a `Scenario`, the path of a scenario file, or None for the default.
        team: pay everyone the AP's reward, (11), instead of users their own, (12).
        symmetric: actions lie in [-1, 1] instead of [0, 1], for policies that begin around 0, as JaxMARL's.
        settings: those of a `Variant`; with ``users="estimate"`` the AP is the only agent.
    """

    def __init__(
        self,
        scenario: Scenario | str | PathLike[str] | None = None,
        *,
        team: bool = False,
        symmetric: bool = False,
        **settings: Any,
    ) -> None:
        check_settings(settings)
        self.scenario = found_scenario(scenario)
        self.settings = settings
        self.team, self.symmetric = team, symmetric
        own = bounds.action_sizes(self.scenario, settings)
        acting = self.scenario.num_users if own[1] else 0
        self.agents = ["ap", *(f"user_{i}" for i in range(acting))]
        self.num_agents = len(self.agents)
        self._sizes = own
        low, _ = bounds.ap_bounds(self.scenario)
        self._world = low.size
        limit = bounds.OBSERVATION_LIMIT
        seen = Box(-limit, limit, (low.size + self.num_agents,))
        acted = Box(-1.0 if symmetric else 0.0, 1.0, (max(own),))
        self.observation_spaces = dict.fromkeys(self.agents, seen)
        self.action_spaces = dict.fromkeys(self.agents, acted)

    @property
    def name(self) -> str:
        """The environment's name."""
        return "scattermec-Offloading"

    @property
    def agent_classes(self) -> dict[str, list[str]]:
        """Names of the agents of each kind."""
        return {"ap": self.agents[:1], "users": self.agents[1:]}

    def observation_space(self, agent: str) -> Box:
        """Space of an agent's observations, the same for all."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Box:
        """Space of an agent's actions, the same for all."""
        return self.action_spaces[agent]

    def world_state_size(self) -> int:
        """Length of ``world_state``."""
        return self._world

    @partial(jax.jit, static_argnums=0)
    def reset(self, key: Key) -> tuple[Dictionary, EnvState]:
        """The first observations and state of an episode."""
        task = self._task()
        state = reset(key, task.parameters)
        return self._observations(task, state), state

    @partial(jax.jit, static_argnums=0)
    def step(
        self, key: Key, state: EnvState, actions: Dictionary, reset_state: EnvState | None = None
    ) -> tuple[Dictionary, EnvState, Dictionary, Dictionary, Dictionary]:
        """Play a frame, and start a new episode (or ``reset_state``) where the old one ends.

        Returns observations, state, rewards, dones (also ``__all__``) and infos.
        """
        task = self._task()
        key, key_reset = jax.random.split(key)
        reached, rewards, dones, infos = self._played(task, key, state, actions)
        over = dones["__all__"]
        if reset_state is None:
            following = jax.lax.cond(over, lambda: reset(key_reset, task.parameters), lambda: reached)
        else:
            following = jax.tree.map(lambda new, old: jnp.where(over, new, old), reset_state, reached)
        return self._observations(task, following), following, rewards, dones, infos

    @partial(jax.jit, static_argnums=0)
    def step_env(
        self, key: Key, state: EnvState, actions: Dictionary
    ) -> tuple[Dictionary, EnvState, Dictionary, Dictionary, Dictionary]:
        """Play a frame and stay in the episode, though it may be over."""
        task = self._task()
        reached, rewards, dones, infos = self._played(task, key, state, actions)
        return self._observations(task, reached), reached, rewards, dones, infos

    @partial(jax.jit, static_argnums=0)
    def get_obs(self, state: EnvState) -> Dictionary:
        """The observations of a state."""
        return self._observations(self._task(), state)

    def get_avail_actions(self, state: EnvState) -> Dictionary:
        """Marks the numbers of each agent's action that have an effect."""
        every = jnp.arange(max(self._sizes))
        return {agent: every < self._size(agent) for agent in self.agents}

    def padded(self, observations: Dictionary) -> Dictionary:
        """Observations of ``parallel_env``, each agent's own (..., K), as they are here (..., L)."""
        marks = jnp.eye(self.num_agents, dtype=jnp.float32)
        return {
            agent: self._padded(jnp.asarray(observations[agent], jnp.float32), mark)
            for agent, mark in zip(self.agents, marks, strict=True)
        }

    def own_actions(self, actions: Dictionary) -> Dictionary:
        """Actions here (..., A) as ``parallel_env`` takes them, each agent's own (..., D), in [0, 1]."""
        numbers = {agent: actions[agent][..., : self._size(agent)] for agent in self.agents}
        if self.symmetric:
            numbers = {agent: (action + 1) / 2 for agent, action in numbers.items()}
        return {agent: jnp.clip(action, 0, 1) for agent, action in numbers.items()}

    def _size(self, agent: str) -> int:
        """Length of an agent's own action."""
        return self._sizes[0 if agent == "ap" else 1]

    def _padded(self, row: Array, mark: Array) -> Array:
        zeros = jnp.zeros((*row.shape[:-1], self._world - row.shape[-1]), jnp.float32)
        marks = jnp.broadcast_to(mark, (*row.shape[:-1], self.num_agents))
        return jnp.concatenate([row, zeros, marks], axis=-1)

    def _task(self) -> Variant:
        return Variant(parameters=parameters_of(self.scenario), **self.settings)

    def _played(
        self, task: Variant, key: Key, state: EnvState, actions: Dictionary
    ) -> tuple[EnvState, Dictionary, Dictionary, Dictionary]:
        numbers = self.own_actions(actions)
        users = [numbers[agent] for agent in self.agents[1:]]
        rows = jnp.stack(users) if users else jnp.zeros((task.parameters.num_users, 0))
        decision = task.decide(state, numbers["ap"], rows)
        reached, result = step(key, state, decision.beams, decision.allocation, task.parameters)
        outcome = result.outcome
        of_ap = task.ap_reward(state, decision, outcome)
        of_users = outcome.user_reward
        own = self._stacked(of_ap, jnp.broadcast_to(of_ap, of_users.shape) if self.team else of_users)
        over = result.truncated | result.terminated
        infos = {
            "truncated": jnp.broadcast_to(result.truncated, own.shape),
            "success": self._stacked(jnp.mean(outcome.success.astype(own.dtype)), outcome.success),
            "ap_energy": jnp.broadcast_to(outcome.ap_energy, own.shape).astype(own.dtype),
        }
        rewards = dict(zip(self.agents, own, strict=True))
        return reached, rewards, dict.fromkeys([*self.agents, "__all__"], over), infos

    def _stacked(self, of_ap: Array, of_users: Array) -> Float[Array, " A"]:
        """One number per agent."""
        each = [of_ap[None], of_users[: self.num_agents - 1]]
        return jnp.concatenate([part.astype(jnp.float32) for part in each])

    def _observations(self, task: Variant, state: EnvState) -> Dictionary:
        world = task.see_as_ap(state).astype(jnp.float32)
        seen = [world]
        if self.num_agents > 1:
            seen += list(task.see_as_users(state, state.beams))
        return {**self.padded(dict(zip(self.agents, seen, strict=True))), "world_state": world}
