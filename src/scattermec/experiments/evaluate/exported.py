"""An exported bundle beside the policy that it is of, on the same frames."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from scattermec._programs import kept_jit
from scattermec.agents.maddpg import act
from scattermec.agents.networks import DTYPE
from scattermec.environment import EnvState, as_seen
from scattermec.experiments.measure.rollouts import reset_frames
from scattermec.experiments.measure.statistics import Estimate, mean_interval, ratio_interval
from scattermec.experiments.measure.sweeps import draw_frames
from scattermec.learners.common import Task, allocation_of, beams_of, new_task, see_as_ap, see_as_users
from scattermec.learners.h_maddpg_opt import State
from scattermec.online.actor import ENTRIES
from scattermec.online.bundle import load_actor_user, load_ap, load_ap_actor, load_user, user_folder
from scattermec.online.export_run import learner_of
from scattermec.online.protocol import PARTS
from scattermec.optimisation import optimise_all_or_best
from scattermec.optimisation.repair import measured, repaired
from scattermec.optimisation.response import Broadcast, broadcaster, respond
from scattermec.physics import Allocation, Frame, Parameters, links, parameters_of, run_frames
from scattermec.physics.knowledge import knowledge_of
from scattermec.price_net.cautious import plan
from scattermec.price_net.policy import PriceNet, announce_network
from scattermec.price_net.registry import Policy
from scattermec.training import TrainedRun

QUANTITIES = {
    "beams": "beams, up to their phases",
    "t_passive": "time of the beam, s",
    "passive_rate": "passive rate, kbit/s",
    "harvest": "harvest, mJ",
}
"""The AP's decisions, which are compared."""

NEAR = 3e-5
"""Differences up to this one are those of single precision, which depend on the processor a little."""


@dataclass(frozen=True)
class Results:
    """What one of the two achieves."""

    share: Estimate
    """of the optimum's mean reward; the optimum serves everyone where that is possible"""
    outage: Estimate


@dataclass(frozen=True)
class Comparison:
    """The bundle beside the policy."""

    differences: dict[str, float]
    """largest difference of each of `QUANTITIES`, relative where numbers exceed 1"""
    frames_apart: int
    """number of frames with a difference above `NEAR`"""
    policy: Results
    bundle: Results


class Decisions(NamedTuple):
    """Decisions in K frames."""

    beams: np.ndarray
    """(K, N, M)"""
    messages: np.ndarray
    """(K, 3, N), in the order of `Broadcast`"""
    answers: np.ndarray
    """(K, 6, N), in the order of `PARTS`"""


def compare_exported(
    policy: Policy,
    bundle: Path,
    *,
    frames: int,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Comparison:
    """Compare on ``frames`` independent frames of the bundle's scenario.

    ``progress`` is called with the frames done and their number.
    """
    parameters = parameters_of(load_ap(bundle).scenario)
    drawn = draw_frames(parameters, frames=frames, seed=seed)
    expected = decide_by_jax(policy.network, parameters, drawn)
    found = decide_by_bundle(bundle, drawn, progress)
    apart = differences(found, expected)
    best, _ = optimise_all_or_best(parameters, drawn)
    optimum = jax.jit(run_frames)(parameters, drawn, best.beams, best.solution.allocation).ap_reward

    def results(decided: Decisions) -> Results:
        answers = dict(zip(PARTS, decided.answers.swapaxes(0, 1), strict=True))
        outcome = jax.jit(run_frames)(parameters, drawn, decided.beams, Allocation(**answers))
        return Results(
            share=ratio_interval(np.asarray(outcome.ap_reward), np.asarray(optimum)),
            outage=mean_interval(1 - np.mean(np.asarray(outcome.success), axis=1)),
        )

    return Comparison(
        differences={name: float(per_frame.max()) for name, per_frame in apart.items()},
        frames_apart=int(np.sum(np.max(list(apart.values()), axis=0) > NEAR)),
        policy=results(expected),
        bundle=results(found),
    )


def decide_by_jax(network: PriceNet, parameters: Parameters, frames: Frame) -> Decisions:
    """The same of the policy, decentralised; or repaired, if it is cautious."""
    beams, told, allocation = _decide(network, parameters, frames)
    return Decisions(
        beams=np.asarray(beams),
        messages=np.stack([told.t_passive, told.passive_rate, told.harvest], axis=1),
        answers=np.stack([getattr(allocation, name) for name in PARTS], axis=1),
    )


@kept_jit
def _decide(
    network: PriceNet, parameters: Parameters, frames: Frame
) -> tuple[jax.Array, Broadcast, Allocation]:
    def of_frame(frame: Frame) -> tuple[jax.Array, Broadcast, Allocation]:
        gain = links.channel_gain(frame.channels)
        if network.cautious:
            planned = plan(network, parameters, knowledge_of(parameters), frame)
            told = Broadcast(
                t_passive=planned.t_passive,
                passive_rate=measured(parameters, frame, planned.beams, planned.t_passive).passive_rate,
                harvest=planned.promise,
            )
            heard = jnp.ones(gain.shape, bool)
            answer = repaired(parameters, frame, planned, step=jnp.zeros(()), heard=heard)
            return planned.beams, told, answer
        beams, told = announce_network(network, parameters, frame)
        return beams, told, respond(parameters, gain, frame.workload, frame.battery, told).allocation

    return jax.vmap(of_frame)(frames)


def decide_by_bundle(
    bundle: Path, frames: Frame, progress: Callable[[int, int], None] = lambda done, total: None
) -> Decisions:
    """Decisions of a bundle in K frames (leading axis), which the AP sees as they are.

    ``progress`` as for `compare_exported`.
    """
    access_point = load_ap(bundle)
    channels, workload, battery = map(np.asarray, (frames.channels, frames.workload, frames.battery))
    gain = np.asarray(jax.vmap(links.channel_gain)(frames.channels))
    users = [load_user(user_folder(bundle, index)) for index in range(workload.shape[1])]
    decided = []
    for k in range(len(workload)):
        beams, messages = access_point.decide(workload[k], battery[k], channels[k])
        own = np.stack([workload[k], battery[k], gain[k]], axis=1).tolist()
        told = [messages.to_user(i) for i in range(len(users))]
        if access_point.caution is None:
            answers = [user.respond(told[i], *own[i]) for i, user in enumerate(users)]
        else:
            before = access_point.harvest_before(channels[k], beams, messages.t_passive).tolist()
            answers = [
                user.repair(told[i]._replace(harvest=before[i]), told[i].harvest, *own[i])
                for i, user in enumerate(users)
            ]
        decided.append((beams, np.stack(messages), np.transpose(answers)[: len(PARTS)]))
        progress(k + 1, len(workload))
    return Decisions(*(np.stack(parts) for parts in zip(*decided, strict=True)))


def differences(found: Decisions, expected: Decisions) -> dict[str, np.ndarray]:
    """The largest difference per frame, (K,), of each of `QUANTITIES`."""
    # A beam is as good in any phase.
    phase = np.exp(1j * np.angle(np.sum(found.beams.conj() * expected.beams, axis=2, keepdims=True)))
    pairs = [
        (found.beams * phase, expected.beams),
        *zip(found.messages.swapaxes(0, 1), expected.messages.swapaxes(0, 1), strict=True),
    ]
    return {
        name: np.max(np.abs(ours - theirs) / np.maximum(np.abs(theirs), 1), axis=tuple(range(1, ours.ndim)))
        for name, (ours, theirs) in zip(QUANTITIES, pairs, strict=True)
    }


LEARNED = {
    "action": "the AP's action",
    "value": "value of what follows",
    "reports": "users' reports, s and kbit",
}
"""The numbers of a bundle of Algorithm 1 that are compared."""


def compare_run(
    run: TrainedRun, bundle: Path, *, of_seed: int | None, frames: int, seed: int
) -> dict[str, float]:
    """Largest difference of each of `LEARNED`, relative where numbers exceed 1, between a run's learner and
    its bundle, on ``frames`` independent frames and any estimates.
    """
    task = new_task(run.scenario, run.config)
    key_frames, key_entries = jax.random.split(jax.random.key(seed))
    states = reset_frames(jax.random.split(key_frames, frames), task.parameters)
    size = (frames, run.scenario.num_users, ENTRIES[run.config.action_form])
    entries = jax.random.uniform(key_entries, size, DTYPE)
    seen, shares, told, *expected = map(np.asarray, _learned(task, learner_of(run, of_seed), states, entries))
    access_point = load_ap_actor(bundle)
    users = [load_actor_user(user_folder(bundle, index)) for index in range(run.scenario.num_users)]
    work, battery = (np.asarray(part).tolist() for part in (states.observed_workload, states.frame.battery))
    channels, entry = np.asarray(states.observed_channels), np.asarray(entries)
    found = (
        np.stack([access_point.actor(observation) for observation in seen]),
        np.array([access_point.target(0.0, observation) for observation in seen]),
        np.array(
            [
                [
                    user.report(
                        *(work[k][i], battery[k][i], channels[k, i], float(shares[k, i]), entry[k, i]),
                        told[k, i].tolist(),
                    )
                    for i, user in enumerate(users)
                ]
                for k in range(frames)
            ]
        ),
    )
    return {
        name: float(np.max(np.abs(ours - theirs) / np.maximum(np.abs(theirs), 1)))
        for name, ours, theirs in zip(LEARNED, found, expected, strict=True)
    }


@jax.jit
def _learned(task: Task, learner: State, states: EnvState, entries: jax.Array) -> tuple[jax.Array, ...]:
    """What the AP sees, its beams' shares, what users correct, its actions, values, and the users' reports
    (K, N, 6).
    """

    def of_frame(state: EnvState, entry: jax.Array) -> tuple[jax.Array, ...]:
        seen, ap = see_as_ap(task, state), learner.ap
        action = ap.actor(seen)
        beams = beams_of(task, state, action)
        own = see_as_users(task, state, beams)
        numbers = act(learner.users.actor, jnp.concatenate([own, entry], axis=1))
        told, offered = None, jnp.zeros((len(own), 0))
        if task.learning.action_form == "correction":  # of any times of the beams
            p, frame = task.parameters, as_seen(state).frame
            told = broadcaster(p, frame, links.unit_beams(beams, frame.channels))(
                entry[:, 0].astype(frame.battery.dtype) * p.slot_duration
            )
            offered = jnp.stack([told.t_passive, told.passive_rate, told.harvest], axis=1)
        reported = allocation_of(task, state, numbers, beams, told)
        value = task.ap_learning.discount * ap.target_critic(seen, ap.target_actor(seen))
        six = jnp.stack([getattr(reported, name) for name in PARTS], axis=1)
        return seen, own[:, -1], offered, action, value, six

    return jax.vmap(of_frame)(states, entries)
