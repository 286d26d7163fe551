"""Model-free H-MADDPG: the paper's comparison. DDPG at the AP, classic MADDPG at the users, no estimate.

The users' critics see the states and actions of all; their actors see their own state and the gain of their
own beam. Problem (10) is never solved in the loop.
"""

import jax
from jax import Array

from scattermec._pytree import pytree
from scattermec.agents import ddpg, maddpg
from scattermec.agents.ddpg import Agent
from scattermec.agents.exploration import exploration_probability, explored_each, explored_with
from scattermec.agents.replay import Replay, blank_transition, new_replay, new_transition, remember
from scattermec.environment import (
    ActionForm,
    Decision,
    EnvState,
    reset,
    step_and_reset,
)
from scattermec.learners.common import (
    Record,
    Task,
    all_losses,
    allocation_of,
    ap_and_users,
    ap_numbers,
    ap_transition,
    beams_of,
    new_record,
    see_as_ap,
    see_as_users,
    user_numbers,
    users_rewards,
)
from scattermec.physics.channel import Key


@pytree
class State:
    """Everything that changes while learning."""

    ap: Agent
    users: Agent
    """with a leading axis (N,)"""
    ap_replay: Replay
    user_replay: Replay
    """joint transitions"""
    environment: EnvState
    key: Key


agent_names = ap_and_users


def initial(task: Task, key: Key) -> State:
    """Networks, empty buffers and a first frame."""
    key_ap, key_users, key_environment, key = jax.random.split(key, 4)
    num_users = task.parameters.num_users
    environment = reset(key_environment, task.parameters)
    sizes = see_as_users(task, environment, environment.beams).shape[1], user_numbers(task)
    for_ap = blank_transition(see_as_ap(task, environment).size, ap_numbers(task))
    return State(
        ap=ddpg.new_agent(key_ap, for_ap.observation.size, for_ap.action.size, task.learning),
        users=maddpg.new_team(key_users, num_users, *sizes, task.learning),
        ap_replay=new_replay(for_ap, task.learning),
        user_replay=new_replay(blank_transition(*sizes, num_agents=num_users), task.learning),
        environment=environment,
        key=key,
    )


def frame(task: Task, state: State, time: Array) -> tuple[State, Record]:
    """The AP chooses beams, the users act on their observations, everyone learns."""
    keys = jax.random.split(state.key, 7)
    environment, h = state.environment, task.learning
    epsilon = exploration_probability(h, time)

    seen_by_ap = see_as_ap(task, environment)
    ap_action = state.ap.actor(seen_by_ap)
    ap_action = explored_with(h, (keys[0], keys[1]), ap_action, epsilon)
    beams = beams_of(task, environment, ap_action)
    seen_by_users = see_as_users(task, environment, beams)
    actions = maddpg.act(state.users.actor, seen_by_users)
    actions = explored_each(h, keys[2], actions, epsilon)

    following, result, reached = step_and_reset(
        keys[3],
        environment,
        beams,
        allocation_of(task, environment, actions, beams),
        task.learning_parameters,
    )
    # The users' next observations depend on the AP's next beams: take those that it would choose now.
    next_seen_by_ap = see_as_ap(task, reached)
    next_beams = beams_of(task, reached, state.ap.actor(next_seen_by_ap))
    ap_replay = remember(state.ap_replay, ap_transition(task, seen_by_ap, ap_action, result, next_seen_by_ap))
    next_seen_by_users = see_as_users(task, reached, next_beams)
    user_replay = remember(
        state.user_replay,
        new_transition(
            seen_by_users, actions, users_rewards(task, result), next_seen_by_users, result.terminated
        ),
    )

    ready = time >= h.batch_size
    ap, ap_loss = ddpg.learn(task.ap_learning, state.ap, ap_replay, keys[4], ready)
    users, user_losses = maddpg.learn(h, state.users, user_replay, keys[5], ready)
    record = new_record(result.outcome, environment.frame.workload, all_losses(ap_loss, user_losses))
    new_state = State(
        ap=ap,
        users=users,
        ap_replay=ap_replay,
        user_replay=user_replay,
        environment=following,
        key=keys[6],
    )
    return new_state, record


def act_alone(task: Task, state: State, environment: EnvState, key: Key) -> Decision:
    """Greedy, decentralised policy: the AP's beams, and each user's own actor."""
    beams = beams_of(task, environment, state.ap.actor(see_as_ap(task, environment)))
    actions = maddpg.act(state.users.actor, see_as_users(task, environment, beams))
    return Decision(beams=beams, allocation=allocation_of(task, environment, actions, beams))


MODES = {"decentralised": act_alone}
FORMS: tuple[ActionForm, ...] = ("paper", "feasible", "correction")
