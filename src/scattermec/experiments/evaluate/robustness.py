"""Policies whose knowledge is late, noisy, rounded or lost, with users that obey and with users that repair.

All conditions and all policies meet the same independent frames, or rollouts with the same channels and
arrivals. A policy decides on the frame as the AP sees it; the frame is played as it is. Users that *obey* do
as the AP planned; one that does not hear the AP's message does nothing. Users that *repair* take only beams
and times from the AP, and act on what they know (`scattermec.optimisation.repair`).
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Complex, Float

from scattermec._programs import kept_jit
from scattermec._pytree import pytree
from scattermec.environment import Decision, EnvState, reset
from scattermec.errors import InputError
from scattermec.experiments.measure.conditions import CONDITIONS, Condition
from scattermec.experiments.measure.rollouts import Decide, ratios, roll_out
from scattermec.experiments.measure.statistics import Estimate, mean_interval, ratio_interval
from scattermec.experiments.measure.sweeps import draw_frames, frames_of_key
from scattermec.learners.fixed import BatchPolicy
from scattermec.optimisation import optimise_all_or_best
from scattermec.optimisation.repair import Plan, plan_for, repaired
from scattermec.physics import (
    Allocation,
    Frame,
    Parameters,
    maximum_ratio_beams,
    parameters_of,
    run_frames,
    unit_beams,
    with_margin,
)
from scattermec.physics.channel import Key
from scattermec.physics.knowledge import Knowledge, hears, view
from scattermec.physics.parameters import harvest_faults
from scattermec.scenario import Scenario

MARGINS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6)
"""Flat margins that the control chooses from, as for `with_margin`."""

DISCOUNTS = (0.0, 0.25, 0.5, 1.0)
"""Discounts of promises that plans without their own choose from, for each condition."""

CHOICE_FRAMES = 500
"""Most frames, other than those of the table, on which margins and discounts are chosen."""

CHOICE_SEED = 0xC0
"""Folded into the seed's key for these frames' numbers."""

OBEY, REPAIR = "obey", "repair"

CONTROL = "optimum, best flat margin"

Planner = Callable[[Knowledge, Frame], Plan]
"""Maps what is not known, and K frames (leading axis) as the AP sees them, to K plans (same axis)."""


@dataclass(frozen=True)
class Contender:
    """A policy to measure: one that decides as if it knew everything, or one that makes plans."""

    name: str
    decides: BatchPolicy | None = None
    plans: Planner | None = None
    """its users repair; the other is None then"""
    seeds: int = 1
    """of a learner; results are means over them"""


@dataclass(frozen=True)
class RobustnessRow:
    """A policy under one condition, with one kind of users."""

    condition: str
    policy: str
    users: str
    """`OBEY` or `REPAIR`"""
    reward: Estimate
    """kbit/J"""
    share: Estimate
    """of the mean reward of the optimum that knows everything and serves everyone where that is possible"""
    outage: Estimate
    margin: float | None = None
    """of the control: the one chosen on other frames"""
    discount: float | None = None
    """of the promises: the one chosen on other frames; None if the policy makes its own"""


@dataclass(frozen=True)
class LongRunRow:
    """A policy in rollouts under one condition, with one kind of users."""

    condition: str
    policy: str
    users: str
    """`OBEY` or `REPAIR`"""
    reward: Estimate
    """kbit/J"""
    outage: Estimate
    efficiency: Estimate
    """kbit of processed work per J of the AP"""


@pytree
class _Set:
    """K frames under a condition."""

    true: Frame
    seen: Frame
    heard: Bool[Array, "K N"]


@pytree
class _Played:
    reward: Float[Array, " K"]
    outage: Float[Array, " K"]


def measure_robustness(
    scenario: Scenario,
    contenders: Sequence[Contender],
    *,
    frames: int,
    seed: int,
    conditions: Mapping[str, Condition] = CONDITIONS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[RobustnessRow]:
    """Rows by condition: the contenders, then the optimum with the best flat margin as a control.

    ``progress`` counts conditions. Raises InputError as `check_scenario` does.
    """
    check_scenario(scenario)
    parameters = parameters_of(scenario)
    key = jax.random.key(seed)
    true, optimum = _known(scenario, frames, seed)
    key_others = jax.random.fold_in(key, CHOICE_SEED)
    others = frames_of_key(parameters, key_others, jnp.arange(min(CHOICE_FRAMES, frames)))
    rows = []
    for number, (name, condition) in enumerate(conditions.items()):
        levels = condition.knowledge
        played = _Condition(
            parameters,
            levels,
            chosen_on=_observe(jax.random.fold_in(key, 0), parameters, levels, others),
            measured_on=_observe(jax.random.fold_in(key, 1), parameters, levels, true),
            obeys=condition.bits is None,
        )
        for policy, users, outcome, choice in played.rows(contenders):
            reward, outage = np.asarray(outcome.reward), np.asarray(outcome.outage)
            estimates = mean_interval(reward), ratio_interval(reward, optimum), mean_interval(outage)
            rows.append(RobustnessRow(name, policy, users, *estimates, *choice))
        progress(number + 1, len(conditions))
    return rows


def measure_long_run(
    scenario: Scenario,
    contenders: Sequence[Contender],
    *,
    frames: int,
    seed: int,
    conditions: Mapping[str, Condition] = CONDITIONS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[LongRunRow]:
    """Rows by condition: the contenders in rollouts, each with the batteries and backlogs that it leaves.

    The AP's view is drawn anew in every frame: errors of successive frames are independent, and late channels
    are a draw of those before the frame, not those that the rollout had. A policy that makes no plans of its
    own promises what it expects, and allows its users what it would spend itself.

    Args:
        scenario: the constants.
        contenders: the policies.
        frames: frames to count, as for `roll_out`.
        seed: of everything drawn.
        conditions: what is not known.
        progress: counts policies under conditions.

    Intervals are over rollouts; those of a learner with several seeds are over the means of its seeds.
    Raises InputError as `check_scenario` does, and ValueError unless ``frames`` >= 1.
    """
    check_scenario(scenario)
    if frames < 1:
        raise ValueError(f"frames: {frames} is not allowed; it must be >= 1")
    parameters = parameters_of(scenario)
    rows = []
    pairs = list(itertools.product(conditions.items(), contenders))
    for done, ((name, condition), contender) in enumerate(pairs, start=1):
        for users in _kinds_of_users(contender, obey=condition.bits is None):
            decide = _deciding(parameters, condition.knowledge, contender, users)
            record = roll_out(parameters, decide, num_frames=frames, seed=seed, copies=contender.seeds)
            measured = ratios(record)
            reward, outage, efficiency = (
                # Seeds share their channels and arrivals, so they are no further units.
                ratio_interval(*(part.reshape(contender.seeds, -1).mean(axis=0) for part in measured[of]))
                for of in ("reward", "outage", "energy_efficiency")
            )
            rows.append(LongRunRow(name, contender.name, users, reward, outage, efficiency))
        progress(done, len(pairs))
    return rows


def _kinds_of_users(contender: Contender, *, obey: bool) -> Iterator[str]:
    if contender.decides is not None and obey:
        yield OBEY
    yield REPAIR


def _deciding(parameters: Parameters, levels: Knowledge, contender: Contender, users: str) -> Decide:
    """What is decided in the frames of rollouts, with a view of each drawn by these levels."""

    def decide(key: Key, states: EnvState) -> tuple[Array, Allocation, Mapping[str, np.ndarray]]:
        key_view, key_policy = jax.random.split(key)
        some = _observe(key_view, parameters, levels, states.frame, contender.seeds)
        if contender.plans is not None:
            plans = contender.plans(levels, some.seen)
        else:
            assert contender.decides is not None  # a contender has one of the two
            seen = dataclasses.replace(
                states, observed_channels=some.seen.channels, observed_workload=some.seen.workload
            )
            decided = contender.decides(key_policy, seen)
            if users == OBEY:
                return *_obeyed(some, decided), {}
            plans = _plans(parameters, some.seen, decided, jnp.asarray(0.0))
            plans = dataclasses.replace(plans, allowance=_spent(parameters, some.seen, decided))
        return plans.beams, _repaired(parameters, some, plans, levels.step), {}

    return decide


@functools.lru_cache(maxsize=1)
def _known(scenario: Scenario, frames: int, seed: int) -> tuple[Frame, np.ndarray]:
    """The frames, and the rewards (K,) of their optimum: kept, since every condition has the same."""
    parameters = parameters_of(scenario)
    true = draw_frames(parameters, frames=frames, seed=seed)
    best, _ = optimise_all_or_best(parameters, true)
    return true, np.asarray(_rewards(parameters, true, best.beams, best.solution.allocation))


def check_scenario(scenario: Scenario) -> None:
    """Raise InputError if the optimum, or late channels, do not exist in the scenario."""
    faults = harvest_faults(scenario, "with imperfect knowledge")
    if scenario.fading == "file":
        faults.append("fading: 'file' is not allowed with imperfect knowledge; it must be rayleigh or rician")
    if faults:
        raise InputError(faults)


_Rows = Iterator[tuple[str, str, _Played, tuple[float | None, float | None]]]
"""Policy, users, outcome, and the margin and discount that were chosen."""

_NO_CHOICE = (None, None)


@dataclass(frozen=True)
class _Condition:
    """Everything that is played under one condition."""

    parameters: Parameters
    levels: Knowledge
    chosen_on: _Set
    measured_on: _Set
    obeys: bool
    """whether users can obey: not if only promises are rounded, which such users do not use"""

    def rows(self, contenders: Sequence[Contender]) -> _Rows:
        """Policy, users, outcome and what was chosen."""
        for contender in contenders:
            if contender.plans is not None:
                planned = contender.plans(self.levels, self.measured_on.seen)
                yield contender.name, REPAIR, self._repaired(planned, self.measured_on), _NO_CHOICE
            if contender.decides is not None:
                yield from self._decided(contender.name, contender.decides, contender.seeds)
        yield from self._control()

    def _decided(self, name: str, decides: BatchPolicy, seeds: int) -> _Rows:
        tried, counted = (_copies(some, seeds) for some in (self.chosen_on, self.measured_on))
        key = jax.random.key(0)
        first, second = (decides(key, _states(self.parameters, some)) for some in (tried, counted))
        if self.obeys:
            yield name, OBEY, _by_frame(self._obeyed(second, counted), seeds), _NO_CHOICE
        scores = {d: self._score(self._plan(first, tried, d), tried) for d in DISCOUNTS}
        discount = max(scores, key=scores.__getitem__)
        outcome = self._repaired(self._plan(second, counted, discount), counted)
        yield name, REPAIR, _by_frame(outcome, seeds), (None, discount)

    def _control(self) -> _Rows:
        obeyed, repaired = {}, {}
        for margin in MARGINS:
            decided = self._optimum(margin, self.chosen_on)
            obeyed[margin] = float(jnp.mean(self._obeyed(decided, self.chosen_on).reward))
            for discount in DISCOUNTS:
                plan = self._plan(decided, self.chosen_on, discount)
                repaired[margin, discount] = self._score(plan, self.chosen_on)
        if self.obeys:
            margin = max(obeyed, key=obeyed.__getitem__)
            outcome = self._obeyed(self._optimum(margin, self.measured_on), self.measured_on)
            yield CONTROL, OBEY, outcome, (margin, None)
        margin, discount = max(repaired, key=repaired.__getitem__)
        plan = self._plan(self._optimum(margin, self.measured_on), self.measured_on, discount)
        outcome = self._repaired(plan, self.measured_on)
        yield CONTROL, REPAIR, outcome, (margin, discount)

    def _optimum(self, margin: float, some: _Set) -> Decision:
        best, _ = optimise_all_or_best(with_margin(self.parameters, margin), some.seen)
        return Decision(beams=best.beams, allocation=best.solution.allocation)

    def _plan(self, decided: Decision, some: _Set, discount: float) -> Plan:
        return _plans(self.parameters, some.seen, decided, jnp.asarray(discount))

    def _score(self, plan: Plan, some: _Set) -> float:
        return float(jnp.mean(self._repaired(plan, some).reward))

    def _repaired(self, plan: Plan, some: _Set) -> _Played:
        return _play_repaired(self.parameters, some, plan, self.levels.step)

    def _obeyed(self, decided: Decision, some: _Set) -> _Played:
        return _play_obeyed(self.parameters, some, decided)


def _copies(some: _Set, seeds: int) -> _Set:
    """S copies, one after the other."""
    return jax.tree.map(lambda leaf: jnp.concatenate([leaf] * seeds), some)


def _by_frame(outcome: _Played, seeds: int) -> _Played:
    """Means over S copies."""
    return jax.tree.map(lambda leaf: jnp.mean(leaf.reshape(seeds, -1), axis=0), outcome)


@partial(jax.jit, static_argnums=4)
def _observe(key: Key, parameters: Parameters, levels: Knowledge, true: Frame, copies: int = 1) -> _Set:
    """Frames under a condition; copies of the same frames have the same errors."""

    def one(index: Array, frame: Frame) -> _Set:
        key_view, key_heard = jax.random.split(jax.random.fold_in(key, index))
        return _Set(
            true=frame,
            seen=view(key_view, parameters, levels, frame),
            heard=hears(key_heard, parameters, levels),
        )

    count = len(true.workload)
    return jax.vmap(one)(jnp.arange(count) % (count // copies), true)


@jax.jit
def _states(parameters: Parameters, some: _Set) -> EnvState:
    """First states of episodes with these frames, as the AP sees them."""

    def one(true: Frame, seen: Frame) -> EnvState:
        return dataclasses.replace(
            reset(jax.random.key(0), parameters),
            frame=true,
            observed_channels=seen.channels,
            observed_workload=seen.workload,
            beams=maximum_ratio_beams(seen.channels),
        )

    return jax.vmap(one)(some.true, some.seen)


@jax.jit
def _plans(parameters: Parameters, seen: Frame, decided: Decision, discount: Array) -> Plan:
    def one(seen: Frame, decided: Decision) -> Plan:
        beams = unit_beams(decided.beams, seen.channels)
        return plan_for(parameters, seen, beams, decided.allocation.t_passive, discount)

    return jax.vmap(one)(seen, decided)


@jax.jit
def _spent(parameters: Parameters, seen: Frame, decided: Decision) -> Float[Array, "K N"]:
    """mJ that plans spend, as the AP sees it."""
    return run_frames(parameters, seen, decided.beams, decided.allocation).demand


@kept_jit
def _repaired(parameters: Parameters, some: _Set, plans: Plan, step: Array) -> Allocation:
    def one(some: _Set, plan: Plan) -> Allocation:
        return repaired(parameters, some.true, plan, step=step, heard=some.heard)

    return jax.vmap(one)(some, plans)


@jax.jit
def _obeyed(some: _Set, decided: Decision) -> tuple[Complex[Array, "K N M"], Allocation]:
    """Unit beams, and what is done if only users that hear the plan obey: the AP beams whoever listens."""

    def one(some: _Set, decided: Decision) -> tuple[Array, Allocation]:
        plan = decided.allocation
        done = jax.tree.map(lambda part: jnp.where(some.heard, part, 0), plan)
        beams = unit_beams(decided.beams, some.seen.channels)
        return beams, dataclasses.replace(done, t_passive=plan.t_passive)

    return jax.vmap(one)(some, decided)


@kept_jit
def _play_repaired(parameters: Parameters, some: _Set, plans: Plan, step: Array) -> _Played:
    return _outcomes(parameters, some, plans.beams, _repaired(parameters, some, plans, step))


@jax.jit
def _play_obeyed(parameters: Parameters, some: _Set, decided: Decision) -> _Played:
    return _outcomes(parameters, some, *_obeyed(some, decided))


def _outcomes(parameters: Parameters, some: _Set, beams: Array, allocations: Allocation) -> _Played:
    outcomes = run_frames(parameters, some.true, beams, allocations)
    outage = 1 - jnp.mean(outcomes.success.astype(float), axis=1)
    return _Played(reward=outcomes.ap_reward, outage=outage)


@jax.jit
def _rewards(parameters: Parameters, frames: Frame, beams: Array, allocations: Allocation) -> Array:
    return run_frames(parameters, frames, beams, allocations).ap_reward
