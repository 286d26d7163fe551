"""The common part of the adapters: plays a scenario, with NumPy arrays in and out."""

from functools import cached_property, partial
from os import PathLike
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Complex, Float

from scattermec._pytree import pytree
from scattermec.environment import core
from scattermec.environment.actions import (
    NUMBERS_PER_USER,
    ActionForm,
    action_form,
    allocation_from_action,
    ap_action_size,
    beams_from_action,
)
from scattermec.physics import Allocation, Frame, Outcome, Parameters, parameters, run_frame
from scattermec.physics.links import maximum_ratio_beams
from scattermec.physics.rewards import energy_efficiency
from scattermec.scenario import Scenario

INSTALL_HINT = "needs gymnasium and pettingzoo: pip install 'scattermec[environments]'"

RENDER_MODES = ["rgb_array"]

OBSERVATION_LIMIT = 1e6
"""Bound of observations that have no natural one. They are of order one, so it never binds; unlike infinity,
it allows the space to be sampled and checked."""


@pytree
class Played:
    """A frame that was played, with everything needed to draw and report it."""

    frame: Frame
    beams: Complex[Array, "N M"]
    allocation: Allocation
    outcome: Outcome
    energy_efficiency: Float[Array, ""]
    shares: Float[Array, " 3"]


class Shell:
    """One scenario, one running episode. Actions and observations are float32 NumPy arrays.

    ``scenario`` is a `Scenario`, the path of a scenario file, or None for the default; ``form`` is the form
    of the users' actions (see `scattermec.environment.actions`).
    """

    def __init__(
        self,
        scenario: Scenario | str | PathLike[str] | None,
        form: str,
        render_mode: str | None,
    ) -> None:
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise ValueError(f"render_mode: {render_mode!r} is not allowed; it must be None or 'rgb_array'")
        if scenario is None:
            scenario = Scenario()
        self.scenario = scenario if isinstance(scenario, Scenario) else Scenario.find(scenario)
        self.action_form = action_form(form)
        self.render_mode = render_mode
        self._rng: np.random.Generator | None = None
        self._state: core.EnvState | None = None
        self._last: Played | None = None

    @cached_property
    def parameters(self) -> Parameters:
        """The scenario's constants as arrays.

        Made when they are needed, since that starts JAX: until the first reset, the process may be forked.
        """
        return parameters(self.scenario)

    @property
    def num_users(self) -> int:
        """N."""
        return self.scenario.num_users

    @property
    def ap_action_size(self) -> int:
        """Length of the AP's action."""
        return ap_action_size(self.num_users, self.scenario.num_antennas)

    @property
    def user_action_size(self) -> int:
        """Length of one user's action."""
        return NUMBERS_PER_USER[self.action_form]

    @property
    def state(self) -> core.EnvState:
        """The episode's state, an array pytree: the true frame to play, and the agents' view of it."""
        if self._state is None:
            raise RuntimeError("the environment has no state before reset()")
        return self._state

    def ap_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds of the AP's observation."""
        users, channels = self.num_users, self.ap_action_size
        low = [0.0] * (2 * users) + [-OBSERVATION_LIMIT] * channels
        high = [OBSERVATION_LIMIT] * users + [1.0] * users + [OBSERVATION_LIMIT] * channels
        return np.array(low, np.float32), np.array(high, np.float32)

    def user_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds of a user's observation."""
        channels = 2 * self.scenario.num_antennas
        low = [0.0, 0.0] + [-OBSERVATION_LIMIT] * channels + [0.0]
        high = [OBSERVATION_LIMIT, 1.0] + [OBSERVATION_LIMIT] * channels + [1.0]
        return np.array(low, np.float32), np.array(high, np.float32)

    def reset(self, rng: np.random.Generator) -> None:
        """Start an episode; ``rng`` determines it and all later frames."""
        self._rng = rng
        self._state = _reset(self._key(), self.parameters)
        self._last = None

    def play(self, ap_action: np.ndarray, user_actions: np.ndarray) -> tuple[Played, bool, bool]:
        """Play the frame with the AP's action (2NM,) and the users' (N, K).

        Returns the played frame in NumPy, and whether the episode was terminated and truncated.
        """
        state = self.state
        beams, allocation = _decide(
            self.parameters, state.observed_workload, ap_action, user_actions, form=self.action_form
        )
        self._state, result = _step(self._key(), state, beams, allocation, self.parameters)
        self._last = _played(state.frame, self._state.beams, allocation, result.outcome)
        return jax.device_get(self._last), bool(result.terminated), bool(result.truncated)

    def ap_observation(self) -> np.ndarray:
        """The AP's observation, float32."""
        return _within(_ap_observation(self.parameters, self.state), self.ap_bounds())

    def user_observations(self, ap_action: np.ndarray | None = None) -> np.ndarray:
        """The users' observations (N, K), float32, with the beams of ``ap_action`` or the previous ones."""
        if ap_action is None:
            seen = _user_observations_before(self.parameters, self.state)
        else:
            seen = _user_observations_after(self.parameters, self.state, ap_action)
        return _within(seen, self.user_bounds())

    def checked(self, action: Any, size: int) -> np.ndarray:
        """An agent's action as a float32 vector clipped to [0, 1].

        Raises ValueError if it has the wrong length or contains a number that is not finite.
        """
        vector = np.asarray(action, np.float32).reshape(-1)
        if vector.shape != (size,):
            raise ValueError(f"an action has {vector.size} numbers where {size} are needed")
        if not np.isfinite(vector).all():
            raise ValueError("an action has numbers that are not finite")
        return np.clip(vector, 0, 1)

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

    def _key(self) -> Array:
        if self._rng is None:
            raise RuntimeError("the environment has to be reset() first")
        return jax.random.key(int(self._rng.integers(2**32)))


def frame_report(played: Played) -> dict[str, Any]:
    """The results of a frame, as plain floats and new arrays over users (N,).

    Rewards and battery at the end of the frame as in `Outcome`; shares are fractions of the processed work.
    """
    outcome = played.outcome
    active, passive, local = (float(share) for share in played.shares)
    return {
        "success": np.array(outcome.success),
        "energy_efficiency": float(played.energy_efficiency),
        "ap_energy": float(outcome.ap_energy),
        "user_rewards": np.array(outcome.user_reward),
        "battery": np.array(outcome.battery),
        "backlog": np.array(outcome.backlog),
        "active_share": active,
        "passive_share": passive,
        "local_share": local,
    }


def _within(observation: Array, bounds: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return np.clip(np.asarray(observation, np.float32), *bounds)


# Compiled once per shape of scenario, for any number of environments.
_reset = jax.jit(core.reset)
_step = jax.jit(core.step)
_ap_observation = jax.jit(core.ap_observation)


@jax.jit
def _user_observations_before(parameters: Parameters, state: core.EnvState) -> Array:
    return core.user_observations(parameters, state, state.beams)


@jax.jit
def _user_observations_after(parameters: Parameters, state: core.EnvState, ap_action: Array) -> Array:
    return core.user_observations(parameters, state, _beams(parameters, ap_action))


@partial(jax.jit, static_argnames="form")
def _decide(
    parameters: Parameters, workload: Array, ap_action: Array, user_actions: Array, *, form: ActionForm
) -> tuple[Array, Allocation]:
    actions = user_actions.astype(parameters.path_gain.dtype)
    return _beams(parameters, ap_action), allocation_from_action(form, parameters, workload, actions)


@jax.jit
def _preview(parameters: Parameters, state: core.EnvState) -> Played:
    beams = maximum_ratio_beams(state.observed_channels)
    zero = jnp.zeros_like(state.frame.workload)
    allocation = Allocation(
        t_active=zero, t_passive=zero, t_local=zero, l_active=zero, l_passive=zero, l_local=zero
    )
    return _played(state.frame, beams, allocation, run_frame(parameters, state.frame, beams, allocation))


@jax.jit
def _played(frame: Frame, beams: Array, allocation: Allocation, outcome: Outcome) -> Played:
    return Played(
        frame=frame,
        beams=beams,
        allocation=allocation,
        outcome=outcome,
        energy_efficiency=energy_efficiency(frame.workload, outcome.success, outcome.ap_energy),
        shares=core.work_shares(frame.workload, allocation, outcome.success),
    )


def _beams(parameters: Parameters, ap_action: Array) -> Array:
    action = ap_action.astype(parameters.path_gain.dtype)
    return beams_from_action(action, parameters.num_users, parameters.num_antennas)
