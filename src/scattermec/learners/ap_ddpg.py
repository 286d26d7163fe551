"""AP DDPG: only the high-level agent of Algorithm 1; its estimate is always executed.

It shows the value of the estimate without learning users: lines 2 to 4 and 20 to 22.
"""

import jax
from jax import Array
from jaxtyping import Float

from scattermec._pytree import pytree
from scattermec.agents import ddpg
from scattermec.agents.ddpg import Agent
from scattermec.agents.exploration import exploration_probability, explored_with
from scattermec.agents.replay import Replay, blank_transition, new_replay, remember
from scattermec.environment import ActionForm, Decision, EnvState, as_seen, reset, step_and_reset
from scattermec.learners.common import (
    Record,
    Task,
    ap_numbers,
    ap_transition,
    beams_of,
    new_record,
    see_as_ap,
)
from scattermec.optimisation import estimate_allocation
from scattermec.physics.channel import Key


@pytree
class State:
    """Everything that changes while learning."""

    ap: Agent
    ap_replay: Replay
    environment: EnvState
    key: Key


def agent_names(num_users: int) -> tuple[str, ...]:
    """The AP alone."""
    return ("ap",)


def initial(task: Task, key: Key) -> State:
    """Networks, an empty buffer and a first frame."""
    key_ap, key_environment, key = jax.random.split(key, 3)
    environment = reset(key_environment, task.parameters)
    size = ap_numbers(task)
    for_ap = blank_transition(see_as_ap(task, environment).size, size)
    return State(
        ap=ddpg.new_agent(key_ap, for_ap.observation.size, size, task.learning),
        ap_replay=new_replay(for_ap, task.learning),
        environment=environment,
        key=key,
    )


def frame(task: Task, state: State, time: Array) -> tuple[State, Record]:
    """Choose beams, allocate for them, play the frame and learn from it."""
    key_explores, key_noise, key_environment, key_batch, key = jax.random.split(state.key, 5)
    environment = state.environment
    observation = see_as_ap(task, environment)
    action = state.ap.actor(observation)
    epsilon = exploration_probability(task.learning, time)
    action = explored_with(task.learning, (key_explores, key_noise), action, epsilon)
    decision = decide(task, environment, action)

    following, result, reached = step_and_reset(
        key_environment, environment, decision.beams, decision.allocation, task.learning_parameters
    )
    transition = ap_transition(task, observation, action, result, see_as_ap(task, reached))
    ap_replay = remember(state.ap_replay, transition)
    ready = time >= task.learning.batch_size
    ap, losses = ddpg.learn(task.ap_learning, state.ap, ap_replay, key_batch, ready)
    losses = jax.tree.map(lambda loss: loss[None], losses)
    record = new_record(result.outcome, environment.frame.workload, losses)
    return State(ap=ap, ap_replay=ap_replay, environment=following, key=key), record


def decide(task: Task, environment: EnvState, action: Float[Array, " D"]) -> Decision:
    """The beams of an action and the allocation that P1 finds for them."""
    beams = beams_of(task, environment, action)
    estimate = estimate_allocation(task.parameters, as_seen(environment).frame, beams)
    return Decision(beams=beams, allocation=estimate.allocation)


def act_by_estimate(task: Task, state: State, environment: EnvState, key: Key) -> Decision:
    """Greedy beams and P1's allocation for them."""
    return decide(task, environment, state.ap.actor(see_as_ap(task, environment)))


MODES = {"estimate": act_by_estimate}
FORMS: tuple[ActionForm, ...] = ("paper", "feasible", "correction")
"""Its users execute the estimate, so any form will do."""
