"""The interface between learners and environments: pure functions of pytrees, actions in [0, 1]."""

from typing import Any, Protocol, runtime_checkable

from jax import Array
from jaxtyping import Bool, Float

from scattermec._pytree import pytree
from scattermec.physics.channel import Key


@pytree
class Step:
    """The result of a step of an environment."""

    state: Any
    """state to continue from: that of a new episode if the old one has ended"""
    observation: Float[Array, "*A K"]
    """observation of the state that the step itself reached, for estimating its value"""
    reward: Float[Array, " *A"]
    terminated: Bool[Array, ""]
    """whether the value ends here. An episode that is only cut short (truncated) is not terminated."""
    truncated: Bool[Array, ""] | None = None
    """whether the episode was cut short here; None if the environment does not say"""
    info: Any = None
    """any further information"""


@runtime_checkable
class Environment(Protocol):
    """A functional environment of one agent, or of a team of A.

    It is a pytree: its arrays are leaves and may be traced. Observations are (K,) and actions (D,) for one
    agent, (A, K) and (A, D) for a team. Actions are numbers in [0, 1].
    """

    @property
    def action_shape(self) -> tuple[int, ...]:
        """(D,), or (A, D) for a team."""
        ...

    def reset(self, key: Key) -> Any:
        """The state at the start of an episode."""
        ...

    def observe(self, state: Any) -> Array:
        """The observations of the agent or agents."""
        ...

    def step(self, key: Key, state: Any, action: Array) -> Step:
        """Act, and start a new episode where the old one ends."""
        ...
