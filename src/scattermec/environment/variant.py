"""Variants of the task: what the agents see, what their numbers mean, and what the AP is paid.

The learners, the functional environment and all adapters share these, so that a setting means the same
everywhere.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from jax import Array
from jaxtyping import Complex, Float

from scattermec._pytree import pytree, static
from scattermec.environment import corrections
from scattermec.environment.actions import (
    ACTION_FORMS,
    AP_ACTION_FORMS,
    NUMBERS_PER_USER,
    ActionForm,
    ApActionForm,
    allocation_from_action,
    ap_action_size,
    beams_from_ap_action,
)
from scattermec.environment.core import EnvState, ap_observation, phase_referenced, user_observations
from scattermec.environment.decision import Decision, as_seen
from scattermec.errors import InputError, margin_fault
from scattermec.optimisation import estimate_allocation
from scattermec.optimisation.response import Broadcast
from scattermec.physics import Allocation, Outcome, Parameters, links, with_margin
from scattermec.physics.frame import shares_met
from scattermec.physics.rewards import partial_reward

Users = Literal["act", "estimate"]
"""Who allocates: the users, by their actions, or problem (10), for the AP's beams."""

ApReward = Literal["efficiency", "partial"]
"""What the AP is paid: (11), or the same with users counted as far as they come; see `partial_reward`."""


@pytree
class Variant:
    """A variant of the task, for one frame; batch with `jax.vmap`."""

    parameters: Parameters
    action_form: ActionForm = static(default="feasible")
    """form of the users' actions"""
    ap_action: ApActionForm = static(default="beams")
    """form of the AP's action"""
    users: Users = static(default="act")
    """whether the users act, or problem (10) is solved for the AP's beams"""
    phase_reference: bool = static(default=False)
    """whether observed channels are rotated, see `phase_referenced`"""
    reward: ApReward = static(default="efficiency")
    """what the AP is paid"""
    reward_scale: float = static(default=1.0)
    """factor on the AP's reward"""
    margin: float = static(default=0.0)
    """how much less harvest and more noise the AP's estimate counts on, see `with_margin`"""

    @property
    def cautious(self) -> Parameters:
        """The constants that the AP's estimate counts on."""
        return with_margin(self.parameters, self.margin) if self.margin else self.parameters

    @property
    def ap_numbers(self) -> int:
        """Length of the AP's action."""
        return ap_action_size(self.parameters.num_users, self.parameters.num_antennas, self.ap_action)

    @property
    def user_numbers(self) -> int:
        """Length of a user's action; 0 if users do not act."""
        return NUMBERS_PER_USER[self.action_form] if self.users == "act" else 0

    def see_as_ap(self, state: EnvState) -> Float[Array, " K"]:
        """The AP's observation, see `ap_observation`."""
        return ap_observation(self.parameters, self._turned(state))

    def see_as_users(self, state: EnvState, beams: Complex[Array, "N M"]) -> Float[Array, "N K"]:
        """The users' observations for the AP's beams, see `user_observations`."""
        return user_observations(self.parameters, self._turned(state), beams)

    def beams(self, state: EnvState, action: Float[Array, " K"]) -> Complex[Array, "N M"]:
        """The AP's action as beams, for the channels that it sees."""
        return beams_from_ap_action(self.ap_action, state.observed_channels, action)

    def allocation(
        self,
        state: EnvState,
        beams: Complex[Array, "N M"],
        actions: Float[Array, "N K"],
        told: Broadcast | None = None,
    ) -> Allocation:
        """The users' actions as an allocation of their workload as they see it.

        Corrections need the beams, and correct what the users were ``told``, if anything.
        """
        seen = as_seen(state).frame
        if self.action_form != "correction":
            numbers = actions.astype(seen.workload.dtype)
            return allocation_from_action(self.action_form, self.parameters, seen.workload, numbers)
        if told is None:
            return corrections.unaided(self.parameters, seen, beams, actions)
        return corrections.corrected(self.cautious, seen, told, actions)

    def decide(
        self, state: EnvState, ap_action: Float[Array, " K"], user_actions: Float[Array, "N D"]
    ) -> Decision:
        """Everybody's actions as a decision; users who correct are told the AP's estimate.

        ``user_actions`` is (N, 0) if users do not act.
        """
        beams, seen = self.beams(state, ap_action), as_seen(state).frame
        if self.users == "estimate":
            allocation = estimate_allocation(self.cautious, seen, beams).allocation
            return Decision(beams=beams, allocation=allocation)
        told = None
        if self.action_form == "correction":
            told = corrections.estimated(self.cautious, seen, beams)[1]
        return Decision(beams=beams, allocation=self.allocation(state, beams, user_actions, told))

    def ap_reward(self, state: EnvState, decision: Decision, outcome: Outcome) -> Float[Array, ""]:
        """The AP's reward for a decision in a frame and its outcome, scaled."""
        reward = outcome.ap_reward
        if self.reward == "partial":
            frame, beams = state.frame, links.unit_beams(decision.beams, state.observed_channels)
            met = shares_met(self.parameters, frame, beams, decision.allocation, outcome)
            reward = partial_reward(self.parameters, frame.workload, met, outcome.ap_energy)
        return self.reward_scale * reward

    def _turned(self, state: EnvState) -> EnvState:
        return phase_referenced(state) if self.phase_reference else state


CHOICES: dict[str, tuple[Any, ...]] = {
    "action_form": ACTION_FORMS,
    "ap_action": AP_ACTION_FORMS,
    "users": get_args(Users),
    "phase_reference": (False, True),
    "reward": get_args(ApReward),
}
"""Allowed values of a `Variant`'s settings; `reward_scale` is any positive number, `margin` in [0, 1)."""


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raise InputError for unknown settings of a `Variant`, and for values that are not allowed."""
    faults = [fault for name, value in settings.items() if (fault := _fault(name, value))]
    if faults:
        raise InputError(faults)


def _fault(name: str, value: Any) -> str | None:
    if name == "reward_scale":
        allowed = isinstance(value, int | float) and 0 < value < float("inf")
        return None if allowed else f"reward_scale: {value!r} is not allowed; it must be a number > 0"
    if name == "margin":
        return margin_fault(value)
    if name not in CHOICES:
        return f"{name}: is no setting; choose from {', '.join([*CHOICES, 'reward_scale', 'margin'])}"
    if value not in CHOICES[name]:
        choices = ", ".join(map(str, CHOICES[name]))
        return f"{name}: {value!r} is not allowed; it must be one of {choices}"
    return None
