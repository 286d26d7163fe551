"""Policies that others have trained, as contenders: functions of NumPy arrays, in any library.

They see and do what the agents of the environments see and do, under the same settings.
"""

from collections.abc import Callable, Mapping
from functools import partial
from os import PathLike
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from scattermec.environment import Decision, EnvState, Variant, bounds
from scattermec.environment._shell import checked_actions, found_scenario, within
from scattermec.environment.variant import check_settings
from scattermec.experiments.evaluate.policies import Contender
from scattermec.physics import parameters_of
from scattermec.physics.channel import Key
from scattermec.scenario import Scenario

Agents = Mapping[str, np.ndarray]
"""An array (R, ...) for each agent: ``ap``, ``user_0``, and so on; a row per frame."""


def contender_from_numpy(
    policy: str,
    act: Callable[[np.ndarray], Any],
    scenario: Scenario | str | PathLike[str] | None = None,
    *,
    trained: int | None = None,
    **settings: Any,
) -> Contender:
    """A single controller, trained on Gymnasium's or gymnax's environment.

    Args:
        policy: its name in the tables.
        act: maps observations (R, K), float32, to R actions (R, D), in the order of the rows. It should not
            explore.
        scenario: the scenario it is to act in, as for the environments.
        trained: number of frames it was trained on.
        settings: those of the environment that it was trained on, see `scattermec.environment.Variant`.
    """

    def act_of_ap(seen: Agents) -> Agents:
        actions = _rows("the controller", act(seen["ap"]), len(seen["ap"]), ap + users * user)
        each = np.split(actions[:, ap:], users, axis=1)
        return {"ap": actions[:, :ap]} | {f"user_{i}": numbers for i, numbers in enumerate(each)}

    found = found_scenario(scenario)
    users, (ap, user) = found.num_users, bounds.action_sizes(found, settings)
    return contender_from_agents(policy, act_of_ap, found, trained=trained, **settings)


def contender_from_agents(
    policy: str,
    act: Callable[[Agents], Agents],
    scenario: Scenario | str | PathLike[str] | None = None,
    *,
    turns: bool = False,
    trained: int | None = None,
    **settings: Any,
) -> Contender:
    """A team, trained on PettingZoo's environments.

    Args:
        policy: its name in the tables.
        act: maps observations (R, K) of the agents to their actions (R, D), by the agents' names.
        scenario: as for `contender_from_numpy`.
        turns: whether users see the beams just sent, as in ``env``, and not those before, as in
            ``parallel_env``. Then ``act`` is called twice, with the AP's observations and with the users'.
        trained: number of frames it was trained on.
        settings: as for `contender_from_numpy`.
    """
    check_settings(settings)
    found = found_scenario(scenario)
    task = Variant(parameters=parameters_of(found), **settings)
    return Contender(policy, partial(_decide, task, found, act, turns), trained=trained)


def _decide(
    task: Variant,
    scenario: Scenario,
    act: Callable[[Agents], Agents],
    turns: bool,
    key: Key,
    states: EnvState,
) -> Decision:
    """The decisions for R frames. Not for use inside jit."""
    users = [f"user_{i}" for i in range(scenario.num_users)] if task.user_numbers else []
    seen = {"ap": within(_see_as_ap(task, states), bounds.ap_bounds(scenario))}

    def seen_by_users(beams: Array) -> dict[str, np.ndarray]:
        rows = within(_see_as_users(task, states, beams), bounds.user_bounds(scenario))
        return {user: rows[:, i] for i, user in enumerate(users)}

    count = len(seen["ap"])
    chosen = dict(act(seen if turns else seen | seen_by_users(jnp.asarray(states.beams))))
    ap = _rows("ap", chosen.get("ap"), count, task.ap_numbers)
    if turns and users:
        chosen |= act(seen_by_users(_beams(task, states, ap)))
    own = [_rows(user, chosen.get(user), count, task.user_numbers) for user in users]
    numbers = np.stack(own, axis=1) if own else np.zeros((count, scenario.num_users, 0), np.float32)
    return _decision(task, states, ap, numbers)


def _rows(who: str, actions: Any, count: int, size: int) -> np.ndarray:
    """Actions (count, size), clipped to [0, 1]; raises ValueError if that is not what they are."""
    numbers = np.asarray(actions, np.float32) if actions is not None else np.zeros(0, np.float32)
    if numbers.shape != (count, size):
        raise ValueError(f"actions: {who} returned {numbers.shape} where {(count, size)} is needed")
    return checked_actions(numbers, size)


@jax.jit
@partial(jax.vmap, in_axes=(None, 0))
def _see_as_ap(task: Variant, state: EnvState) -> Array:
    return task.see_as_ap(state)


@jax.jit
@partial(jax.vmap, in_axes=(None, 0, 0))
def _see_as_users(task: Variant, state: EnvState, beams: Array) -> Array:
    return task.see_as_users(state, beams)


@jax.jit
@partial(jax.vmap, in_axes=(None, 0, 0))
def _beams(task: Variant, state: EnvState, action: Array) -> Array:
    return task.beams(state, action.astype(task.parameters.path_gain.dtype))


@jax.jit
@partial(jax.vmap, in_axes=(None, 0, 0, 0))
def _decision(task: Variant, state: EnvState, ap_action: Array, user_actions: Array) -> Decision:
    return task.decide(state, ap_action.astype(task.parameters.path_gain.dtype), user_actions)
