"""The environment of a single controller that decides for the AP and all users at once."""

from jax import Array
from jaxtyping import Float

from scattermec._pytree import pytree, static
from scattermec.environment.actions import (
    NUMBERS_PER_USER,
    ActionForm,
    ApActionForm,
    allocation_from_action,
    ap_action_size,
    beams_from_ap_action,
)
from scattermec.environment.core import EnvState, ap_observation, phase_referenced, reset, step_and_reset
from scattermec.environment.interface import Step
from scattermec.physics import Allocation, Parameters
from scattermec.physics.channel import Key


@pytree
class FlatOffloading:
    """Offloading as an `Environment` of one agent; its reward is the AP's, (11) in kbit/J.

    Its observation is the AP's. Its action is the AP's numbers followed by the users', user by user.
    """

    parameters: Parameters
    action_form: ActionForm = static()
    ap_action: ApActionForm = static(default="beams")
    phase_reference: bool = static(default=False)
    """whether observed channels are rotated, see `phase_referenced`"""

    @property
    def action_shape(self) -> tuple[int]:
        """2NM numbers for the beams, or N x N for their prices, and 6 or 4 per user."""
        users, antennas = self.parameters.num_users, self.parameters.num_antennas
        return (ap_action_size(users, antennas, self.ap_action) + users * NUMBERS_PER_USER[self.action_form],)

    def reset(self, key: Key) -> EnvState:
        """The first frame of an episode."""
        return reset(key, self.parameters)

    def observe(self, state: EnvState) -> Float[Array, " K"]:
        """The AP's observation."""
        return ap_observation(self.parameters, phase_referenced(state) if self.phase_reference else state)

    def decide(self, state: EnvState, action: Float[Array, " D"]) -> tuple[Array, Allocation]:
        """The beams (N, M) and the allocation of an action."""
        p = self.parameters
        size = ap_action_size(p.num_users, p.num_antennas, self.ap_action)
        beams = beams_from_ap_action(self.ap_action, state.observed_channels, action[:size])
        numbers = action[size:].reshape(p.num_users, -1).astype(state.observed_workload.dtype)
        return beams, allocation_from_action(self.action_form, p, state.observed_workload, numbers)

    def step(self, key: Key, state: EnvState, action: Float[Array, " D"]) -> Step:
        """Play a frame. ``info`` is its `Outcome`."""
        beams, allocation = self.decide(state, action)
        following, result, reached = step_and_reset(key, state, beams, allocation, self.parameters)
        return Step(
            state=following,
            observation=self.observe(reached),
            reward=result.ap_reward,
            terminated=result.terminated,
            info=result.outcome,
        )
