"""The cost of policies over an optimum that knows all of an episode in advance.

All policies play the same episodes. Work that is not processed is dropped, so that all have the same
workload. A policy costs the energy of the AP, plus `shortfall_price` for each kbit that is not processed;
`scattermec.optimisation.horizon` bounds this cost from below.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from scattermec.environment import Decision, EnvState, as_seen
from scattermec.errors import InputError
from scattermec.experiments.evaluate.policies import Contender, fixed_contenders, price_net_contenders
from scattermec.experiments.measure.rollouts import play_frames, reset_frames
from scattermec.experiments.measure.statistics import Estimate, ratio_interval
from scattermec.optimisation import BatteryValue, optimise_all_or_best
from scattermec.optimisation.horizon import Episode, Plan, bound_energy, check_scenario
from scattermec.physics import Parameters, links, parameters_of
from scattermec.physics.channel import Key
from scattermec.physics.energy import ap_energy, energy_budget
from scattermec.price_net.modes import modes_of, modes_where_known
from scattermec.price_net.registry import Policy
from scattermec.scenario import Scenario

CLAIRVOYANT, FRAME_BY_FRAME = "clairvoyant", "frame-by-frame"

NEGLIGIBLE = 1e-6
"""Share of a workload that a solver may leave undone without a shortfall, as in a frame."""

LEAST_TIME = 1e-4
"""s: beams are counted only in slots whose beams are on for longer than this."""


class Played(NamedTuple):
    """Record of R episodes of T frames."""

    energy: np.ndarray
    """(R, T) J of the AP, idle included"""
    unserved: np.ndarray
    """(R, T, N) kbit not processed"""
    outage: np.ndarray
    """(R, T, N) bool: whether the workload was not processed in full"""

    def cost(self, price: float) -> np.ndarray:
        """(R,) J: energy, plus ``price`` (J/kbit) times unprocessed work."""
        return self.energy.sum(axis=1) + price * self.unserved.sum(axis=(1, 2))


@dataclass(frozen=True)
class ForesightRow:
    """Results of a policy over all episodes, with 95% intervals over episodes."""

    policy: str
    mode: str | None
    cost: Estimate
    """J per frame"""
    over_bound: Estimate
    """its cost over the bound, a ratio of means"""
    energy: Estimate
    """J per frame"""
    unserved: Estimate
    """share of the work that was not processed"""
    outage: Estimate
    """share of the users' frames"""
    served_all: int
    """episodes in which everything was processed"""
    over_bound_there: Estimate | None
    """its energy over the bound in these episodes; None if there are none"""


@dataclass(frozen=True)
class Foresight:
    """Rows: the clairvoyant bound, the elastic optimum frame by frame, then the policies."""

    rows: tuple[ForesightRow, ...]
    gap: float
    """largest relative gap of an episode between bound and clairvoyant optimum"""
    main_beam: float
    """least share of a slot's beaming that the clairvoyant optimum's main beam has: 1 if one beam suffices"""


def contenders(policy: Policy, scenario: Scenario) -> list[Contender]:
    """The optimum, price-net as trained in each of its modes, and the controls, to act in ``scenario``.

    If price-net has foresight, also the optimum of each frame with the battery value that price-net learned.
    Raises InputError if the scenario does not fit.
    """
    check_scenario(scenario)
    known = scenario.csi_error == scenario.workload_error == 0
    modes = modes_where_known(policy.network) if known else modes_of(policy.network)
    learned = [made for made in price_net_contenders(policy, scenario) if made.trained and made.mode in modes]
    if policy.network.battery_value is not None:
        decide = partial(_optimum_with_value, parameters_of(scenario), policy.network.battery_value)
        learned.append(Contender("optimum", decide, mode="battery value"))
    return fixed_contenders(scenario, ["optimum"]) + learned + fixed_contenders(scenario, ["mrt", "random"])


def _optimum_with_value(parameters: Parameters, value: BatteryValue, key: Key, states: EnvState) -> Decision:
    found, _ = optimise_all_or_best(parameters, as_seen(states).frame, battery_value=value)
    return Decision(beams=found.beams, allocation=found.solution.allocation)


def compare(
    scenario: Scenario,
    contenders: Sequence[Contender],
    *,
    frames: int,
    episodes: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> Foresight:
    """Play policies over the same episodes and compare their cost with the clairvoyant bound.

    Args:
        scenario: the constants; ``backlog_cap`` must be 0.
        contenders: policies with one seed each, made for ``scenario``.
        frames: frames of each episode, T; all of them count.
        episodes: R.
        seed: seed of everything drawn.
        progress: called with the number of frames played or bounded, and the total.

    Raises InputError for another scenario, or as `bound_energy` does.
    """
    check_scenario(scenario)
    faults = [
        f"{name}: {value} is not allowed; it must be >= 1"
        for name, value in (("frames", frames), ("episodes", episodes))
        if value < 1
    ]
    if not contenders:
        faults.append("contenders: none is not allowed; there must be at least one")
    if scenario.backlog_cap != 0:
        faults.append(
            f"backlog_cap: {scenario.backlog_cap} is not allowed over a horizon; it must be 0, so that "
            "all policies have the same work"
        )
    if faults:
        raise InputError(faults)
    total, done = (len(contenders) + 2) * frames * episodes, 0

    def update(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, total)

    parameters = parameters_of(scenario)
    drawn: list[Episode] = []
    played: list[tuple[str, str | None, Played]] = []
    for contender in contenders:
        drawn, record = play_episodes(parameters, contender, frames=frames, episodes=episodes, seed=seed)
        played.append((contender.policy, contender.mode, record))
        update(frames * episodes)
    bounds, by_frame = [], []
    for episode in drawn:
        bounds.append(bound_energy(scenario, episode))
        update(frames)
        by_frame.append(play_frame_by_frame(scenario, episode))
        update(frames)
    plans = [bound.plan for bound in bounds if bound.plan is not None]  # an elastic problem always has one
    myopic = Played(*(np.concatenate(parts) for parts in zip(*by_frame, strict=True)))
    played = [
        (CLAIRVOYANT, None, _of_plans(parameters, drawn, plans)),
        (FRAME_BY_FRAME, None, myopic),
        *played,
    ]
    work = np.stack([episode.workload for episode in drawn])
    least = np.array([bound.bound for bound in bounds])
    price = scenario.shortfall_price
    rows = tuple(_row(policy, mode, record, least, work, price) for policy, mode, record in played)
    return Foresight(rows=rows, gap=max(bound.gap for bound in bounds), main_beam=_main_beam(plans))


def play_episodes(
    parameters: Parameters, contender: Contender, *, frames: int, episodes: int, seed: int
) -> tuple[list[Episode], Played]:
    """Play a policy over R episodes of T frames; without backlog, they do not depend on the policy."""
    key_reset, key_policy, key_next = jax.random.split(jax.random.key(seed), 3)
    states = reset_frames(jax.random.split(key_reset, episodes), parameters)
    first = np.asarray(states.frame.battery)
    channels, records = [], []
    for time in range(frames):
        channels.append(np.asarray(states.frame.channels))
        decision = contender.decide(jax.random.fold_in(key_policy, time), states)
        keys = jax.random.split(jax.random.fold_in(key_next, time), episodes)
        states, record = play_frames(keys, states, decision.beams, decision.allocation, parameters)
        records.append(jax.device_get(record))

    def over_time(name: str) -> np.ndarray:
        return np.stack([record[name] for record in records], axis=1)

    work, outage = over_time("workload"), ~over_time("success")
    met = zip(np.stack(channels, axis=1), work, first, strict=True)
    played = Played(energy=over_time("ap_energy"), unserved=np.where(outage, work, 0), outage=outage)
    return [Episode(*parts) for parts in met], played


def play_frame_by_frame(scenario: Scenario, episode: Episode) -> Played:
    """The elastic optimum of each frame of one episode, given the batteries left by the frames before.

    Like the bound it knows the truth, may share a slot among beams and process parts of a workload, so the
    two differ only in foresight.
    """
    parameters = parameters_of(scenario)
    battery, plans = episode.battery, []
    for channels, workload in zip(episode.channels, episode.workload, strict=True):
        plan = bound_energy(scenario, Episode(channels[None], workload[None], battery)).plan
        assert plan is not None  # the elastic problem always has a solution
        plans.append(plan)
        seen = (jnp.asarray(part) for part in (channels, workload, battery))
        battery = np.asarray(_battery_after(parameters, *seen, plan))
    whole: Plan = jax.tree.map(lambda *parts: jnp.concatenate(parts), *plans)
    return _of_plans(parameters, [episode], [whole])


@jax.jit
def _battery_after(
    p: Parameters, channels: Array, workload: Array, battery: Array, plan: Plan
) -> Float[Array, " N"]:
    """Energy in mJ left after a plan of one frame, for users who spend no more than their work needs.

    Where energy is plentiful, a solver's plan may radiate or compute more than needed.
    """
    plan = jax.tree.map(lambda leaf: leaf[0], plan)
    l_active = jnp.where(plan.l_active > NEGLIGIBLE, plan.l_active, 0)
    power = links.active_power(p, links.channel_gain(channels), l_active, plan.t_active)
    needed = jnp.where(plan.t_active > 0, plan.t_active * power, 0)
    l_local = jnp.clip(workload - plan.shortfall - l_active - plan.l_passive, 0, plan.l_local)
    spent = jnp.minimum(plan.radiated, needed) + p.circuit_power * plan.t_active + p.local_energy * l_local
    return jnp.maximum(energy_budget(p, battery, plan.harvested) - spent, 0)


def _of_plans(parameters: Parameters, episodes: Sequence[Episode], plans: Sequence[Plan]) -> Played:
    """Record of episodes played by a solver's plans."""
    plan: Plan = jax.tree.map(lambda *parts: jnp.stack(parts), *plans)
    used = plan.t_active, plan.t_passive, plan.l_active, plan.l_passive
    work = np.stack([episode.workload for episode in episodes])
    shortfall = np.asarray(plan.shortfall)
    left_out = shortfall > NEGLIGIBLE * work
    return Played(
        energy=np.asarray(jax.vmap(jax.vmap(partial(ap_energy, parameters)))(*used)),
        unserved=np.where(left_out, shortfall, 0),
        outage=left_out,
    )


def _main_beam(plans: Sequence[Plan]) -> float:
    parts = np.stack([plan.main_beam for plan in plans])
    return float(parts[np.stack([plan.t_passive for plan in plans]) > LEAST_TIME].min(initial=1))


def _row(
    policy: str, mode: str | None, played: Played, bound: np.ndarray, work: np.ndarray, price: float
) -> ForesightRow:
    """Results over R episodes, from bounds (R,) in J and workloads (R, T, N)."""
    frames = np.full(len(bound), float(work.shape[1]))
    cost, energy = played.cost(price), played.energy.sum(axis=1)
    unserved, users = played.unserved.sum(axis=(1, 2)), np.full(len(bound), float(work[0].size))
    served = ~played.outage.any(axis=(1, 2))
    return ForesightRow(
        policy=policy,
        mode=mode,
        cost=ratio_interval(cost, frames),
        over_bound=ratio_interval(cost, bound),
        energy=ratio_interval(energy, frames),
        unserved=ratio_interval(unserved, work.sum(axis=(1, 2))),
        outage=ratio_interval(played.outage.sum(axis=(1, 2)), users),
        served_all=int(served.sum()),
        over_bound_there=ratio_interval(energy[served], bound[served]) if served.any() else None,
    )
