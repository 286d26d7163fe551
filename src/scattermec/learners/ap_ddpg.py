"""AP DDPG: the high-level agent of Algorithm 1 alone, its estimate always executed.

What the estimate is worth without users that learn: lines 2 to 4 and 20 to 22.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from scattermec._pytree import pytree
from scattermec.agents import ddpg
from scattermec.agents.ddpg import Agent
from scattermec.agents.exploration import exploration_probability, explored
from scattermec.agents.networks import DTYPE
from scattermec.agents.replay import Replay, Transition, blank_transition, new_replay, remember
from scattermec.environment import EnvState, ap_action_size, beams_from_action, reset, step_and_reset
from scattermec.learners.common import Decision, Record, Task, as_seen, new_record, see_as_ap
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
    size = ap_action_size(task.parameters.num_users, task.parameters.num_antennas)
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
    explores = jax.random.bernoulli(key_explores, exploration_probability(task.learning, time))
    action = jnp.where(explores, explored(task.learning, key_noise, action), action)
    decision = decide(task, environment, action)

    following, result, reached = step_and_reset(
        key_environment, environment, decision.beams, decision.allocation, task.learning_parameters
    )
    ap_replay = remember(
        state.ap_replay,
        Transition(
            observation=observation,
            action=action,
            reward=task.learning.reward_scale * result.ap_reward.astype(DTYPE),
            next_observation=see_as_ap(task, reached),
            terminated=result.terminated.astype(DTYPE),
            valid=jnp.ones((), DTYPE),
        ),
    )
    ready = time >= task.learning.batch_size
    ap, losses = ddpg.learn(task.learning, state.ap, ap_replay, key_batch, ready)
    losses = jax.tree.map(lambda loss: loss[None], losses)
    record = new_record(result.outcome, environment.frame.workload, losses)
    return State(ap=ap, ap_replay=ap_replay, environment=following, key=key), record


def decide(task: Task, environment: EnvState, action: Float[Array, "D"]) -> Decision:
    """The beams of an action and the allocation that P1 finds for them."""
    parameters, seen = task.parameters, as_seen(environment).frame
    beams = beams_from_action(action, parameters.num_users, parameters.num_antennas)
    beams = beams.astype(seen.channels.dtype)
    return Decision(beams=beams, allocation=estimate_allocation(parameters, seen, beams).allocation)


def act_by_estimate(task: Task, state: State, environment: EnvState, key: Key) -> Decision:
    """Greedy beams and P1's allocation for them."""
    return decide(task, environment, state.ap.actor(see_as_ap(task, environment)))


MODES = {"estimate": act_by_estimate}
