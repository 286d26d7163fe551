"""The environment of a single controller: it decides for the AP and all users, or for the AP alone."""

from jax import Array
from jaxtyping import Float

from scattermec._pytree import pytree
from scattermec.environment.core import EnvState, reset, step_and_reset
from scattermec.environment.decision import Decision
from scattermec.environment.interface import Step
from scattermec.environment.variant import Variant
from scattermec.physics.channel import Key


@pytree
class FlatOffloading(Variant):
    """Offloading as an `Environment` of one agent, which has the AP's observation and its reward.

    Its action is the AP's numbers followed by the users', user by user, if they act.
    """

    @property
    def action_shape(self) -> tuple[int]:
        """2NM numbers for the beams, or N x N for their prices, and 6, 4, 2 or no numbers per user."""
        return (self.ap_numbers + self.parameters.num_users * self.user_numbers,)

    def reset(self, key: Key) -> EnvState:
        """The first frame of an episode."""
        return reset(key, self.parameters)

    def observe(self, state: EnvState) -> Float[Array, " K"]:
        """The AP's observation."""
        return self.see_as_ap(state)

    def decide_jointly(self, state: EnvState, action: Float[Array, " D"]) -> Decision:
        """The decision of an action."""
        users = action[self.ap_numbers :].reshape(self.parameters.num_users, self.user_numbers)
        return self.decide(state, action[: self.ap_numbers], users)

    def step(self, key: Key, state: EnvState, action: Float[Array, " D"]) -> Step:
        """Play a frame. ``info`` is its `Outcome`."""
        decision = self.decide_jointly(state, action)
        following, result, reached = step_and_reset(
            key, state, decision.beams, decision.allocation, self.parameters
        )
        return Step(
            state=following,
            observation=self.observe(reached),
            reward=self.ap_reward(state, decision, result.outcome),
            terminated=result.terminated,
            truncated=result.truncated,
            info=result.outcome,
        )
