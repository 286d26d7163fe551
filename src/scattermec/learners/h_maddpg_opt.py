"""Optimization-driven H-MADDPG: the paper's Algorithm 1, whose 23 lines are marked here by number.

A DDPG agent at the access point (AP) chooses the beams. For these it estimates the users' actions by solving
problem (10), and each user improves its own part of the estimate with its own DDPG agent, assuming that the
others follow theirs. The AP then executes what it expects to be better: the estimate or the users' reports.

Choices that the paper leaves open:

- Whether a frame explores is drawn before the AP acts, so that the estimate fits the executed beams.
- Line 10 executes each user's action in a simulated frame, with the randomness of the real one. The user's
  next observation consists of the result of its own action and the AP's message in the real next frame; its
  transition therefore waits for that message.
- Lines 4 and 15 look one frame ahead with the same draw of channels and arrivals, which is independent of the
  real frame's.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Complex, Float

from scattermec._pytree import pytree
from scattermec.agents import ddpg
from scattermec.agents.ddpg import Agent, Losses
from scattermec.agents.exploration import exploration_probability, explored, explored_each
from scattermec.agents.maddpg import act
from scattermec.agents.networks import DTYPE
from scattermec.agents.replay import Replay, Transition, blank_transition, new_replay, remember
from scattermec.environment import (
    NUMBERS_PER_USER,
    ActionForm,
    Decision,
    Draws,
    EnvState,
    action_from_allocation,
    advance,
    as_seen,
    corrections,
    draw_next,
    reset,
    reset_if_over,
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
from scattermec.optimisation import estimate_allocation
from scattermec.optimisation.response import Broadcast
from scattermec.physics import Allocation
from scattermec.physics.channel import Key


@pytree
class Message:
    """The AP's decision, which it distributes: line 5."""

    beams: Complex[Array, "N M"]
    """the beams of a^o"""
    estimate: Allocation
    """a^u, the users' actions as the AP estimates them"""
    told: Broadcast | None
    """what users correct, if that is the form of their actions"""
    seen_by_users: Float[Array, "N K"]
    """the users' observations: own state, gain of the own beam, and own entry of the estimate"""


@pytree
class State:
    """Everything that changes while learning. The users' parts have a leading axis (N,)."""

    ap: Agent
    users: Agent
    ap_replay: Replay
    user_replays: Replay
    environment: EnvState
    pending: Transition
    """the users' transitions of the previous frame; their next observations lack the AP's next message"""
    key: Key


class _Keys(NamedTuple):
    """Random keys of one frame."""

    explores: Key
    ap_noise: Key
    lookahead: Key
    tries: Key
    environment: Key
    user_batches: Key
    user_noise: Key
    episode: Key
    ap_batch: Key
    following: Key


agent_names = ap_and_users


def initial(task: Task, key: Key) -> State:
    """Line 1: initialise networks and replay buffers; and draw a first frame."""
    key_ap, key_users, key_environment, key = jax.random.split(key, 4)
    num_users = task.parameters.num_users
    environment = reset(key_environment, task.parameters)
    own = see_as_users(task, environment, environment.beams)
    numbers = user_numbers(task)
    for_ap = blank_transition(see_as_ap(task, environment).size, ap_numbers(task))
    for_user = blank_transition(own.shape[1] + _num_entries(task), numbers)

    def new_user(key: Key) -> tuple[Agent, Replay, Transition]:
        agent = ddpg.new_agent(key, for_user.observation.size, numbers, task.learning)
        return agent, new_replay(for_user, task.learning), for_user

    users, user_replays, pending = jax.vmap(new_user)(jax.random.split(key_users, num_users))
    return State(
        ap=ddpg.new_agent(key_ap, for_ap.observation.size, for_ap.action.size, task.learning),
        users=users,
        ap_replay=new_replay(for_ap, task.learning),
        user_replays=user_replays,
        environment=environment,
        pending=pending,
        key=key,
    )


def frame(task: Task, state: State, time: Array) -> tuple[State, Record]:
    """Lines 2 to 22; line 23 is the caller's loop. ``time`` counts frames from 0."""
    keys = _Keys(*jax.random.split(state.key, len(_Keys._fields)))
    ap, users, environment = state.ap, state.users, state.environment
    ready = time >= task.learning.batch_size
    epsilon = exploration_probability(task.learning, time)
    explores = jax.random.bernoulli(keys.explores, epsilon)
    # The real draw of the next frame, and the one that the AP imagines.
    real, imagined = draw_twice(task, environment, keys.environment, keys.lookahead)

    # 2: High-level AP's decision making
    # 3: Update beamforming action a^o by DDPG
    seen_by_ap = see_as_ap(task, environment)
    ap_action = ap.actor(seen_by_ap)
    ap_action = jnp.where(explores, explored(task.learning, keys.ap_noise, ap_action), ap_action)
    # 4: Estimate the users' action a^u and the target y* by solving (10)
    # 5: Distribute (a^o, a^u) to all users
    message = estimate_and_distribute(task, environment, ap_action)
    y_star = target_value(task, ap, environment, message, message.estimate, imagined)

    # 6: Low-level users' decision making
    # 7: for each user (all at once)
    # 8: Fix the others' action estimation
    # 9: Update its own action by DDPG
    reports = act(users.actor, message.seen_by_users)
    tries = explored_each(task.learning, keys.tries, reports, epsilon)
    # 10: Execute it, observe reward, and buffer transitions
    user_replays = jax.vmap(remember)(state.user_replays, complete(task, state.pending, message))
    pending = try_each(task, environment, message, tries, real)
    # 11: Sample a mini-batch from the replay buffer
    # 12: Update the i-th critic and actor
    # 13: end for
    users, user_losses = learn_each(task, users, user_replays, keys.user_batches, ready)

    # 14: Users report their actions
    reported = reported_allocation(task, environment, message, reports)
    # 15: AP estimates the target y of the joint action (a^o, reports)
    y = target_value(task, ap, environment, message, reported, imagined)
    # 16: if y is greater than y*
    # 17: AP takes the reports with probability 1 - epsilon, else
    # 18: AP takes the estimate with probability 1 - epsilon
    # 19: end if (otherwise it explores around what it prefers)
    prefers_reports = y > y_star
    noise = explored(task.learning, keys.user_noise, reports)
    noisy = reported_allocation(task, environment, message, noise)
    takes_noise = explores & (prefers_reports | (task.learning.exploration == "uniform"))
    allocation = _where(prefers_reports, reported, message.estimate)
    allocation = _where(takes_noise, noisy, allocation)

    # 20: Execute joint action, observe reward, and buffer transitions
    reached, result = advance(environment, message.beams, allocation, real, task.learning_parameters)
    transition = ap_transition(task, seen_by_ap, ap_action, result, see_as_ap(task, reached))
    ap_replay = remember(state.ap_replay, transition)
    # 21: Sample a mini-batch from the AP's replay buffer
    # 22: Update the AP's critic and actor
    ap, ap_loss = ddpg.learn(task.ap_learning, ap, ap_replay, keys.ap_batch, ready)

    # The AP's next message completes the users' transitions only if it belongs to the same episode.
    goes_on = 1 - (result.truncated | result.terminated).astype(DTYPE)
    pending = dataclasses.replace(pending, valid=jnp.broadcast_to(goes_on, pending.valid.shape))
    losses = all_losses(ap_loss, user_losses)
    record = new_record(result.outcome, environment.frame.workload, losses, ~prefers_reports)
    following = reset_if_over(keys.episode, reached, result, task.parameters)
    return (
        State(
            ap=ap,
            users=users,
            ap_replay=ap_replay,
            user_replays=user_replays,
            environment=following,
            pending=pending,
            key=keys.following,
        ),
        record,
    )


def estimate_and_distribute(task: Task, environment: EnvState, ap_action: Float[Array, " D"]) -> Message:
    """Lines 4 and 5 without y*: the allocation estimated for an action's beams, and users' observations."""
    parameters, seen = task.parameters, as_seen(environment).frame
    beams = beams_of(task, environment, ap_action)
    form = task.learning.action_form
    told = None
    if form == "correction":
        estimate, told = corrections.estimated(parameters, seen, beams)
        form = "paper"
    else:
        estimate = estimate_allocation(parameters, seen, beams).allocation
    entries = action_from_allocation(form, parameters, seen.workload, estimate)
    own = see_as_users(task, environment, beams)
    return Message(
        beams=beams,
        estimate=estimate,
        told=told,
        seen_by_users=jnp.concatenate([own, entries.astype(DTYPE)], axis=1),
    )


def draw_twice(task: Task, environment: EnvState, first: Key, second: Key) -> tuple[Draws, Draws]:
    """Two independent draws of the next frame in one call, since drawing arrivals is slow to compile."""
    both = jax.vmap(draw_next, in_axes=(0, None, None))(
        jnp.stack([first, second]), environment, task.parameters
    )
    return jax.tree.map(lambda leaf: leaf[0], both), jax.tree.map(lambda leaf: leaf[1], both)


def target_value(
    task: Task, ap: Agent, environment: EnvState, message: Message, allocation: Allocation, draws: Draws
) -> Float[Array, ""]:
    """y of lines 4 and 15: the AP's expected reward (11), plus its target critic's value one frame ahead.

    In units of the scaled reward. The next frame has the model's battery and backlog, and the channels and
    arrivals of ``draws``.
    """
    reward, seen = outlook(task, environment, message.beams, allocation, draws)
    h = task.ap_learning
    return h.reward_scale * reward + h.discount * ap.target_critic(seen, ap.target_actor(seen))


def outlook(
    task: Task, environment: EnvState, beams: Complex[Array, "N M"], allocation: Allocation, draws: Draws
) -> tuple[Float[Array, ""], Float[Array, " K"]]:
    """What the AP expects of an allocation: the reward (11), and its observation of the next frame."""
    ahead, result = advance(as_seen(environment), beams, allocation, draws, task.parameters)
    return result.ap_reward, see_as_ap(task, ahead)


def try_each(
    task: Task, environment: EnvState, message: Message, actions: Float[Array, "N D"], draws: Draws
) -> Transition:
    """Lines 8 and 10: try each user's action while the others follow the estimate.

    Returns transitions (N,) whose next observations lack the AP's next message: it is zero there.
    """
    own = reported_allocation(task, environment, message, actions)
    num_users = actions.shape[0]

    def try_one(user: Array) -> tuple[Array, Array]:
        deviates = jnp.arange(num_users) == user
        allocation = _where(deviates, own, message.estimate)
        reached, result = advance(environment, message.beams, allocation, draws, task.learning_parameters)
        return users_rewards(task, result)[user], see_as_users(task, reached, message.beams)[user]

    reward, next_own = jax.vmap(try_one)(jnp.arange(num_users))
    missing = message.seen_by_users.shape[1] - next_own.shape[1]
    return Transition(
        observation=message.seen_by_users,
        action=actions,
        reward=reward.astype(DTYPE),
        next_observation=jnp.pad(next_own, ((0, 0), (0, missing))),
        terminated=jnp.zeros(num_users, DTYPE),
        valid=jnp.ones(num_users, DTYPE),
    )


def complete(task: Task, pending: Transition, message: Message) -> Transition:
    """Add the AP's message (gain and estimate) to the next observations of the users' transitions."""
    size = _num_entries(task) + 1
    next_observation = jnp.concatenate(
        [pending.next_observation[:, :-size], message.seen_by_users[:, -size:]], axis=1
    )
    return dataclasses.replace(pending, next_observation=next_observation)


def learn_each(
    task: Task, users: Agent, replays: Replay, key: Key, ready: Bool[Array, ""]
) -> tuple[Agent, Losses]:
    """Lines 11 and 12 for every user: its own batch, and one step of its critic and actor."""
    keys = jax.random.split(key, task.parameters.num_users)
    learn = jax.vmap(ddpg.learn, in_axes=(None, 0, 0, 0, None))
    return learn(task.learning, users, replays, keys, ready)


def greedy_message(task: Task, state: State, environment: EnvState) -> Message:
    """The AP's message without exploration."""
    return estimate_and_distribute(task, environment, state.ap.actor(see_as_ap(task, environment)))


def act_alone(task: Task, state: State, environment: EnvState, key: Key) -> Decision:
    """Greedy, decentralised policy: the AP's beams, and each user's own actor."""
    message = greedy_message(task, state, environment)
    reports = act(state.users.actor, message.seen_by_users)
    return Decision(beams=message.beams, allocation=reported_allocation(task, environment, message, reports))


def act_by_choice(task: Task, state: State, environment: EnvState, key: Key) -> Decision:
    """Greedy policy with the AP's choice between the users' reports and its estimate: lines 14 to 19."""
    message = greedy_message(task, state, environment)
    reported = reported_allocation(task, environment, message, act(state.users.actor, message.seen_by_users))
    draws = draw_next(key, environment, task.parameters)
    y_star = target_value(task, state.ap, environment, message, message.estimate, draws)
    y = target_value(task, state.ap, environment, message, reported, draws)
    return Decision(beams=message.beams, allocation=_where(y > y_star, reported, message.estimate))


def act_by_estimate(task: Task, state: State, environment: EnvState, key: Key) -> Decision:
    """Greedy policy that always executes the AP's estimate; it shows the value of the beams by themselves."""
    message = greedy_message(task, state, environment)
    return Decision(beams=message.beams, allocation=message.estimate)


MODES = {"decentralised": act_alone, "choice": act_by_choice, "estimate": act_by_estimate}
FORMS: tuple[ActionForm, ...] = ("paper", "feasible", "correction")


def _num_entries(task: Task) -> int:
    """Numbers of a user's own entry of the estimate; corrections are based on all six."""
    form = task.learning.action_form
    return NUMBERS_PER_USER["paper" if form == "correction" else form]


def reported_allocation(
    task: Task, environment: EnvState, message: Message, actions: Float[Array, "N D"]
) -> Allocation:
    """The users' actions as an allocation, given the AP's message."""
    return allocation_of(task, environment, actions, message.beams, message.told)


def _where(condition: Bool[Array, "..."], yes: Allocation, no: Allocation) -> Allocation:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)
