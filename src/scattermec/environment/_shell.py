"""The common part of the adapters: plays a scenario, with NumPy arrays in and out."""

from collections.abc import Mapping
from functools import cached_property
from os import PathLike
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Complex, Float, Integer

from scattermec._pytree import pytree
from scattermec.environment import bounds, core
from scattermec.environment.variant import Variant, check_settings
from scattermec.physics import Allocation, Frame, Outcome, Parameters, parameters_of, run_frame
from scattermec.physics.links import maximum_ratio_beams
from scattermec.physics.rewards import energy_efficiency
from scattermec.scenario import Scenario

INSTALL_HINT = "needs gymnasium and pettingzoo: pip install 'scattermec[environments]'"

RENDER_MODES = ["rgb_array"]


@pytree
class Played:
    """A frame that was played, with everything needed to draw and report it."""

    frame: Frame
    beams: Complex[Array, "N M"]
    allocation: Allocation
    outcome: Outcome
    energy_efficiency: Float[Array, ""]
    shares: Float[Array, " 3"]
    reward: Float[Array, ""]
    """the AP's, as the variant of the task has it"""


class Shell:
    """One scenario, one running episode. Actions and observations are float32 NumPy arrays.

    ``scenario`` is a `Scenario`, the path of a scenario file, or None for the default; ``settings`` are those
    of a `Variant`.
    """

    def __init__(
        self,
        scenario: Scenario | str | PathLike[str] | None,
        render_mode: str | None,
        settings: Mapping[str, Any],
    ) -> None:
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise ValueError(f"render_mode: {render_mode!r} is not allowed; it must be None or 'rgb_array'")
        check_settings(settings)
        self.scenario = found_scenario(scenario)
        self.settings = dict(settings)
        self.ap_action_size, self.user_action_size = bounds.action_sizes(self.scenario, settings)
        self.render_mode = render_mode
        self._rng: np.random.Generator | None = None
        self._state: core.EnvState | None = None
        self._seen_by_ap: Array | None = None
        self._last: Played | None = None

    @cached_property
    def variant(self) -> Variant:
        """The task.

        Made when it is needed, since its arrays start JAX: until the first reset, the process may be forked.
        """
        return Variant(parameters=parameters_of(self.scenario), **self.settings)

    @property
    def parameters(self) -> Parameters:
        """The scenario's constants as arrays."""
        return self.variant.parameters

    @property
    def num_users(self) -> int:
        """N."""
        return self.scenario.num_users

    @property
    def state(self) -> core.EnvState:
        """The episode's state, an array pytree: the true frame to play, and the agents' view of it."""
        if self._state is None:
            raise RuntimeError("the environment has no state before reset()")
        return self._state

    def reset(self, rng: np.random.Generator) -> dict[str, Any]:
        """Start an episode; ``rng`` determines it and all later frames. Returns its first report."""
        self._rng = rng
        self._state, self._seen_by_ap = _begin(self.variant, draw_seed(rng))
        self._last = None
        return report(first_report(self._state))

    def play(self, ap_action: np.ndarray, user_actions: np.ndarray) -> tuple[Played, bool, bool]:
        """Play the frame with the AP's action and the users' (N, K).

        Returns the played frame in NumPy, and whether the episode was terminated and truncated.
        """
        state = self.state
        if self._rng is None:
            raise RuntimeError("the environment has to be reset() first")
        self._state, self._seen_by_ap, played, over = _play(
            self.variant, draw_seed(self._rng), state, ap_action, user_actions
        )
        self._last = played
        return jax.device_get(played), False, bool(over)

    def ap_observation(self) -> np.ndarray:
        """The AP's observation, float32."""
        if self._seen_by_ap is None:
            raise RuntimeError("there is nothing to observe before reset()")
        return within(self._seen_by_ap, bounds.ap_bounds(self.scenario))

    def user_observations(self, ap_action: np.ndarray | None = None) -> np.ndarray:
        """The users' observations (N, K), float32, with the beams of ``ap_action`` or the previous ones."""
        if ap_action is None:
            seen = _user_observations_before(self.variant, self.state)
        else:
            seen = _user_observations_after(self.variant, self.state, ap_action)
        return within(seen, bounds.user_bounds(self.scenario))

    def checked(self, action: Any, size: int) -> np.ndarray:
        """An agent's action as a float32 vector clipped to [0, 1].

        Raises ValueError if it has the wrong length or contains a number that is not finite.
        """
        return checked_actions(np.asarray(action, np.float32).reshape(-1), size)

    def render(self) -> np.ndarray | None:
        """Picture (H, W, 3) of the frame played last; after a reset, of the current frame with idle users."""
        if self.render_mode is None:
            return None
        from scattermec.pictures.frame import draw_frame
        from scattermec.pictures.style import render_rgb_array

        played = _preview(self.parameters, self.state) if self._last is None else self._last
        last = jax.device_get(played)
        figure = draw_frame(
            self.parameters,
            last.frame,
            last.beams,
            last.allocation,
            last.outcome,
            positions=np.array(self.scenario.user_positions),
        )
        return render_rgb_array(figure)


def found_scenario(scenario: Scenario | str | PathLike[str] | None) -> Scenario:
    """The scenario that is given, by itself or by its file; the default for None."""
    if scenario is None:
        return Scenario()
    return scenario if isinstance(scenario, Scenario) else Scenario.find(scenario)


def draw_seed(rng: np.random.Generator) -> np.uint32:
    """The seed of a frame's key."""
    return np.uint32(rng.integers(2**32))


def checked_actions(actions: np.ndarray, size: int) -> np.ndarray:
    """Actions, one per row or a single one, clipped to [0, 1]; raises ValueError as `Shell.checked`."""
    if actions.shape[-1] != size:
        raise ValueError(f"an action has {actions.shape[-1]} numbers where {size} are needed")
    if not np.isfinite(actions).all():
        raise ValueError("an action has numbers that are not finite")
    return np.clip(actions, 0, 1)


def report(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The report of one frame, with plain numbers instead of arrays without axes."""
    return {name: array if array.ndim else array.item() for name, array in arrays.items()}


def frame_report(played: Played) -> dict[str, np.ndarray]:
    """The results of frames (...), as new arrays (...) and, over users, (..., N).

    Rewards and battery at the end of the frame as in `Outcome`; shares are fractions of the processed work.
    """
    outcome = played.outcome
    active, passive, local = np.moveaxis(np.array(played.shares, float), -1, 0)
    return {
        "success": np.array(outcome.success),
        "energy_efficiency": np.array(played.energy_efficiency, float),
        "ap_energy": np.array(outcome.ap_energy, float),
        "user_rewards": np.array(outcome.user_reward),
        "battery": np.array(outcome.battery),
        "backlog": np.array(outcome.backlog),
        "active_share": active,
        "passive_share": passive,
        "local_share": local,
    }


def first_report(state: core.EnvState) -> dict[str, np.ndarray]:
    """The `frame_report` of episodes that have only begun: their batteries, and otherwise zeros."""
    battery = np.array(state.frame.battery)
    none, no_user = np.zeros(battery.shape[:-1]), np.zeros_like(battery)
    return {
        "success": np.zeros(battery.shape, bool),
        "energy_efficiency": none,
        "ap_energy": none.copy(),
        "user_rewards": no_user,
        "battery": battery,
        "backlog": no_user.copy(),
        "active_share": none.copy(),
        "passive_share": none.copy(),
        "local_share": none.copy(),
    }


def within(observation: Array | np.ndarray, limits: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """An observation as float32, within its bounds."""
    return np.clip(np.asarray(observation, np.float32), *limits)


def begin(variant: Variant, seed: Integer[Array, ""]) -> tuple[core.EnvState, Float[Array, " K"]]:
    """The first frame of an episode, and how the AP sees it."""
    state = core.reset(jax.random.key(seed), variant.parameters)
    return state, variant.see_as_ap(state)


def play(
    variant: Variant,
    seed: Integer[Array, ""],
    state: core.EnvState,
    ap_action: Float[Array, " A"],
    user_actions: Float[Array, "N U"],
) -> tuple[core.EnvState, Float[Array, " K"], Played, Bool[Array, ""]]:
    """The next frame, how the AP sees it, the frame played, and whether the episode is over."""
    parameters = variant.parameters
    decision = variant.decide(state, ap_action.astype(parameters.path_gain.dtype), user_actions)
    beams, allocation = decision.beams, decision.allocation
    following, result = core.step(jax.random.key(seed), state, beams, allocation, parameters)
    reward = variant.ap_reward(state, decision, result.outcome)
    played = _played(state.frame, following.beams, allocation, result.outcome, reward)
    return following, variant.see_as_ap(following), played, result.truncated


# Compiled once per shape of scenario and variant of the task, for any number of environments.
_begin, _play = jax.jit(begin), jax.jit(play)

begin_all = jax.jit(jax.vmap(begin, in_axes=(None, 0)))
play_all = jax.jit(jax.vmap(play, in_axes=(None, 0, 0, 0, 0)))
"""The same for many environments at once."""


@jax.jit
def chosen(mask: Array, states: core.EnvState, others: core.EnvState) -> core.EnvState:
    """States of many environments: ``states`` of those in the mask, of the rest ``others``."""
    return jax.vmap(lambda one, a, b: jax.tree.map(lambda x, y: jnp.where(one, x, y), a, b))(
        mask, states, others
    )


@jax.jit
def _user_observations_before(variant: Variant, state: core.EnvState) -> Array:
    return variant.see_as_users(state, state.beams)


user_observations_of_all = jax.jit(jax.vmap(_user_observations_before, in_axes=(None, 0)))
"""The users' observations (B, N, K) of many environments, with the previous beams."""


@jax.jit
def _user_observations_after(variant: Variant, state: core.EnvState, ap_action: Array) -> Array:
    return variant.see_as_users(
        state, variant.beams(state, ap_action.astype(variant.parameters.path_gain.dtype))
    )


@jax.jit
def _preview(parameters: Parameters, state: core.EnvState) -> Played:
    beams = maximum_ratio_beams(state.observed_channels)
    zero = jnp.zeros_like(state.frame.workload)
    allocation = Allocation(
        t_active=zero, t_passive=zero, t_local=zero, l_active=zero, l_passive=zero, l_local=zero
    )
    outcome = run_frame(parameters, state.frame, beams, allocation)
    return _played(state.frame, beams, allocation, outcome, jnp.zeros_like(outcome.ap_reward))


def _played(frame: Frame, beams: Array, allocation: Allocation, outcome: Outcome, reward: Array) -> Played:
    return Played(
        frame=frame,
        beams=beams,
        allocation=allocation,
        outcome=outcome,
        energy_efficiency=energy_efficiency(frame.workload, outcome.success, outcome.ap_energy),
        shares=core.work_shares(frame.workload, allocation, outcome.success),
        reward=reward,
    )
