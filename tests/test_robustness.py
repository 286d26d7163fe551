"""Imperfect knowledge: what the access point sees, users that repair, and policies that leave slack."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from command_line import refused
from scattermec import Scenario, price_net
from scattermec.environment import reset
from scattermec.errors import InputError
from scattermec.experiments.evaluate.policies import deciding
from scattermec.experiments.evaluate.robustness import (
    CONTROL,
    OBEY,
    REPAIR,
    Contender,
    check_scenario,
    measure_long_run,
    measure_robustness,
)
from scattermec.experiments.measure.conditions import Condition
from scattermec.experiments.measure.rollouts import roll_out
from scattermec.learners.fixed import fixed_policy
from scattermec.optimisation.repair import Plan, measured, plan_for, repaired, sent
from scattermec.physics import Frame, links, maximum_ratio_beams, parameters_of, run_frame, run_frames
from scattermec.physics.knowledge import hears, knowledge, view
from scattermec.price_net.modes import decide_frames, plan_frames
from scattermec.price_net.policy import unit_prices
from scattermec.price_net.training import PriceNetConfig, begin

PARAMETERS = parameters_of(Scenario())
EVERYONE = jnp.ones(3, bool)


def frames(count: int, seed: int = 0) -> Frame:
    return draw(jax.random.split(jax.random.key(seed), count), PARAMETERS).frame


draw = jax.jit(jax.vmap(reset, in_axes=(0, None)))


# What is seen


views = jax.jit(jax.vmap(view, in_axes=(0, None, None, 0)))


@pytest.fixture(scope="module")
def many() -> Frame:
    return frames(4000)


def seen_of(true: Frame, **levels: float) -> Frame:
    keys = jax.random.split(jax.random.key(1), len(true.workload))
    return views(keys, PARAMETERS, knowledge(**levels), true)


def test_who_knows_everything_sees_the_frame_itself(many) -> None:
    jax.tree.map(np.testing.assert_array_equal, seen_of(many), many)


def test_late_channels_are_as_strong_and_have_the_correlation(many) -> None:
    true, seen = many, seen_of(many, novelty=0.6)
    power = np.mean(np.abs(true.channels) ** 2, axis=(0, 2))
    np.testing.assert_allclose(np.mean(np.abs(seen.channels) ** 2, axis=(0, 2)), power, rtol=0.05)
    together = np.mean(seen.channels * true.channels.conj(), axis=(0, 2)) / power
    np.testing.assert_allclose(together, 0.8, atol=0.03)
    np.testing.assert_array_equal(seen.workload, true.workload)
    np.testing.assert_array_equal(seen.battery, true.battery)


def test_errors_have_their_size(many) -> None:
    true, seen = many, seen_of(many, csi_error=0.1, workload_error=0.2)
    error = np.sum(np.abs(seen.channels - true.channels) ** 2) / np.sum(np.abs(true.channels) ** 2)
    assert error == pytest.approx(0.01, rel=0.05)
    assert np.std(seen.workload / true.workload - 1) == pytest.approx(0.2, rel=0.05)


def test_promises_are_rounded_down_and_some_are_lost() -> None:
    promise = jnp.linspace(0, 0.3, 3)
    most = PARAMETERS.local_energy * PARAMETERS.mean_workload
    for bits in (1, 4, 8):
        step = 1 / (2**bits - 1)
        arrived = sent(PARAMETERS, promise, jnp.asarray(step), EVERYONE)
        wanted = np.minimum(promise, most)
        assert np.all(arrived <= wanted + 1e-12)
        assert np.all(wanted - arrived < step * most)
    np.testing.assert_array_equal(sent(PARAMETERS, promise, jnp.asarray(0.0), ~EVERYONE), 0)
    lost = knowledge(loss=0.1)
    heard = jax.vmap(lambda key: hears(key, PARAMETERS, lost))(jax.random.split(jax.random.key(0), 4000))
    assert np.mean(heard) == pytest.approx(0.9, abs=0.01)


# Users that repair


@jax.jit
def answers(true: Frame, plan: Plan) -> tuple:
    """Allocations and outcomes of repaired plans with promises as they are."""

    def one(frame, plan):
        allocation = repaired(PARAMETERS, frame, plan, step=jnp.asarray(0.0), heard=EVERYONE)
        return allocation, run_frame(PARAMETERS, frame, plan.beams, allocation)

    return jax.vmap(one)(true, plan)


def some_plans(true: Frame, seed: int) -> Plan:
    """Plans that leave some users enough and others not."""
    drawn = jax.random.uniform(jax.random.key(seed), (2, *true.workload.shape))
    beams = jax.vmap(maximum_ratio_beams)(jnp.flip(true.channels, axis=1) + true.channels)
    return Plan(beams=beams, t_passive=0.6 * drawn[0], promise=0 * drawn[1])


@jax.jit
@jax.vmap
def link_of(frame: Frame, plan: Plan) -> tuple:
    """Each user's work reflected at most, and its signal-to-noise ratio per mW."""
    gain = links.channel_gain(frame.channels)
    rate = links.passive_rate(PARAMETERS, gain, jnp.diagonal(links.beam_gains(frame.channels, plan.beams)))
    return jnp.minimum(rate * plan.t_passive, frame.workload), links.active_snr(PARAMETERS, gain)


SCENARIO = Scenario()


def least_energy(left: float, slot: float, snr: float) -> float:
    """Least energy in mJ that sends and computes ``left`` kbit, over a fine grid of what a user can do."""
    time = np.linspace(0, slot, 201)[1:, None]
    work = np.linspace(0, left, 201)[None]
    nats = np.minimum(np.log(2) * work / (SCENARIO.bandwidth * time), 100)
    radio = time * np.expm1(nats) / snr + SCENARIO.circuit_power * time
    energy = np.where(work > 0, radio, 0) + SCENARIO.local_energy * (left - work)
    possible = left - work <= SCENARIO.local_rate
    return float(np.min(np.where(possible, energy, np.inf)))


def test_without_a_promise_a_user_finishes_whenever_its_energy_suffices() -> None:
    true = frames(60, seed=2)
    plan = some_plans(true, 3)
    outcome = answers(true, plan)[1]
    reflected, snr = map(np.asarray, link_of(true, plan))
    left, slots = true.workload - reflected, 1 - plan.t_passive
    kinds = set()
    for one in np.ndindex(60, 3):
        least = least_energy(float(left[one]), float(slots[one]), float(snr[one]))
        there = float(outcome.budget[one])
        if least > there * 1.01 or least < there * 0.99:
            assert bool(outcome.success[one]) == (least < there)
            kinds.add(least < there)
    assert kinds == {True, False}


def test_users_act_before_they_know_what_comes_after_their_slot() -> None:
    true = frames(60, seed=4)
    plan = some_plans(true, 5)
    for user in range(3):
        other = dataclasses.replace(
            plan,
            beams=plan.beams.at[:, user + 1 :].multiply(-1j).at[:, user + 1 :, 0].add(0.3),
            t_passive=plan.t_passive.at[:, user + 1 :].multiply(0.3),
        )
        first, second = answers(true, plan)[0], answers(true, other)[0]
        for name in ("t_active", "l_active", "l_passive", "l_local"):
            np.testing.assert_array_equal(getattr(first, name)[:, user], getattr(second, name)[:, user])


def test_an_exact_promise_costs_the_access_point_no_more_than_none() -> None:
    true = frames(60, seed=6)
    nothing = some_plans(true, 7)
    promised = jax.vmap(plan_for, in_axes=(None, 0, 0, 0, None))(
        PARAMETERS, true, nothing.beams, nothing.t_passive, 1e-3
    )
    without, kept = answers(true, nothing)[1], answers(true, promised)[1]
    np.testing.assert_array_equal(kept.success, without.success)
    assert np.all(kept.ap_energy <= without.ap_energy + 1e-9)
    assert np.mean(kept.ap_energy) < np.mean(without.ap_energy)


def test_what_users_have_measured_and_what_comes_is_the_harvest_of_the_frame() -> None:
    true = frames(60, seed=8)
    plan = some_plans(true, 9)

    @jax.jit
    @jax.vmap
    def parts(frame, plan):
        known = measured(PARAMETERS, frame, plan.beams, plan.t_passive)
        return known.harvest, plan_for(PARAMETERS, frame, plan.beams, plan.t_passive, 0.0).promise

    before, after = parts(true, plan)
    np.testing.assert_allclose(before + after, answers(true, plan)[1].harvested, rtol=1e-12)
    assert not before[:, 0].any()
    assert not after[:, 2].any()


def test_an_allowance_is_kept_where_it_suffices_and_never_causes_an_outage() -> None:
    true = frames(200, seed=10)
    everything = some_plans(true, 11)
    allowed = dataclasses.replace(
        everything, allowance=0.4 * jax.random.uniform(jax.random.key(12), true.workload.shape)
    )
    free, kept = answers(true, everything)[1], answers(true, allowed)[1]
    np.testing.assert_array_equal(kept.success, free.success)
    served = np.asarray(free.success)
    exceeds = np.asarray(kept.demand > allowed.allowance * (1 + 1e-9))
    assert np.all(kept.demand[served] <= free.demand[served] * (1 + 1e-9))
    assert 0.1 < exceeds[served].mean() < 0.9
    # Who exceeds it spends the least that its work can be done with.
    reflected, snr = map(np.asarray, link_of(true, allowed))
    for one in list(zip(*np.nonzero(exceeds & served), strict=True))[:40]:
        left, slot = float(true.workload[one] - reflected[one]), float(1 - allowed.t_passive[one])
        assert kept.demand[one] <= least_energy(left, slot, float(snr[one])) * 1.01


# Foresight, whose stored energy is an insurance


def test_with_foresight_users_that_repair_do_as_announced_if_all_is_known() -> None:
    policy, true = price_net.load("price-net-foresight"), frames(100, seed=13)
    filled = dataclasses.replace(true, battery=jnp.full_like(true.battery, 0.5))

    def played(mode: str) -> tuple:
        decided = jax.vmap(lambda frame: price_net.decide(policy, PARAMETERS, frame, mode))(filled)
        return run_frames(PARAMETERS, filled, decided.beams, decided.allocation)

    announced, fixed = played("announced"), played("repaired")
    np.testing.assert_array_equal(fixed.success, announced.success)
    np.testing.assert_allclose(fixed.ap_energy, announced.ap_energy, rtol=5e-3)
    np.testing.assert_allclose(fixed.demand, announced.demand, rtol=5e-3, atol=1e-4)


def test_stored_energy_makes_up_for_what_is_not_known() -> None:
    """In the long run, with users that repair; with users that obey, the same policy fails."""
    policy = price_net.load("price-net-foresight")
    obeyed = partial(decide_frames, "p1", policy.network, PARAMETERS)
    contenders = [
        Contender("plans", plans=partial(plan_frames, policy.network, PARAMETERS)),
        Contender("p1", decides=obeyed),
    ]
    conditions = {
        "channels": Condition(csi_error=0.2),
        "workload": Condition(workload_error=0.2),
        "late": Condition(correlation=0.9),
        "perfect": Condition(),
        "lost": Condition(loss=0.3),
    }
    rows = measure_long_run(Scenario(), contenders, frames=600, seed=0, conditions=conditions)
    found = {(row.condition, row.policy, row.users): row for row in rows}
    for condition in ("channels", "workload", "late"):
        assert found[condition, "plans", REPAIR].outage.mean < 0.02
        assert found[condition, "p1", OBEY].outage.mean > 0.1
        # Kept to what they would have spent, users of any plan can repair it.
        repaired, planned = (found[condition, name, REPAIR].reward.mean for name in ("p1", "plans"))
        assert repaired == pytest.approx(planned, rel=0.05)
    # Who hears nothing spends little of its own energy, and so more of the AP's.
    perfect, lost = (found[condition, "plans", REPAIR] for condition in ("perfect", "lost"))
    assert lost.outage.mean < 0.01
    assert perfect.reward.mean * 0.3 < lost.reward.mean < perfect.reward.mean * 0.99


def test_seeds_that_act_alike_count_once() -> None:
    maximum_ratio, conditions = fixed_policy("mrt", PARAMETERS), {"noisy": Condition(csi_error=0.1)}
    one, two = (
        measure_long_run(
            Scenario(),
            [Contender("mrt", maximum_ratio, seeds=seeds)],
            frames=300,
            seed=4,
            conditions=conditions,
        )
        for seeds in (1, 2)
    )
    assert one == two


def test_in_the_long_run_perfect_knowledge_is_what_is_simulated() -> None:
    maximum_ratio = fixed_policy("mrt", PARAMETERS)
    found = measure_long_run(
        Scenario(),
        [Contender("mrt", maximum_ratio)],
        frames=300,
        seed=3,
        conditions={"perfect": Condition(), "rounded": Condition(bits=8)},
    )
    assert [(row.condition, row.users) for row in found] == [
        ("perfect", OBEY),
        ("perfect", REPAIR),
        ("rounded", REPAIR),
    ]
    record = roll_out(PARAMETERS, deciding(maximum_ratio), num_frames=300, seed=3)
    assert found[0].reward.mean == pytest.approx(record["reward"].mean(), rel=1e-5)
    assert found[0].outage.mean == pytest.approx(1 - record["success"].mean(), abs=1e-12)
    for other in found[1:]:
        # Users that the plan leaves out finish if they can, at a cost.
        assert other.reward.mean == pytest.approx(found[0].reward.mean, rel=0.1)


# Slack


@pytest.fixture(scope="module")
def rows() -> dict:
    policy = price_net.load("price-net-robust")
    contenders = [
        Contender("optimum", fixed_policy("optimum", PARAMETERS)),
        Contender("robust", plans=partial(plan_frames, policy.network, PARAMETERS)),
    ]
    conditions = {
        "perfect": Condition(),
        "channels": Condition(csi_error=0.1),
        "workload": Condition(workload_error=0.2),
        "lost": Condition(loss=0.5),
    }
    found = measure_robustness(Scenario(), contenders, frames=300, seed=5, conditions=conditions)
    return {(row.condition, row.policy, row.users): row for row in found}


def test_the_optimum_is_brittle_and_margins_repair_and_learning_each_help(rows) -> None:
    def share(condition, policy, users):
        return rows[condition, policy, users].share.mean

    for condition in ("channels", "workload"):
        obeyed, repaired = (share(condition, "optimum", users) for users in (OBEY, REPAIR))
        assert obeyed < 0.25 < 0.4 < repaired < share(condition, CONTROL, REPAIR)
        assert rows[condition, CONTROL, REPAIR].margin > 0
    flat = share("channels", CONTROL, OBEY)
    assert share("channels", "optimum", OBEY) < flat < share("channels", "robust", REPAIR) - 0.15
    # A margin makes up for channels nearly as well as learning, but not for workloads.
    assert share("workload", "robust", REPAIR) > share("workload", CONTROL, REPAIR) + 0.04
    assert share("perfect", "optimum", OBEY) == pytest.approx(1)
    assert share("perfect", "robust", REPAIR) > 0.97


def test_a_lost_message_costs_users_that_repair_nearly_nothing(rows) -> None:
    assert rows["lost", "optimum", OBEY].outage.mean == pytest.approx(0.5, abs=0.06)
    assert rows["lost", "optimum", REPAIR].share.mean > 0.98


def test_policies_that_cannot_be_measured_are_refused() -> None:
    with pytest.raises(InputError, match="causal_harvest"):
        check_scenario(Scenario(causal_harvest=True))
    with pytest.raises(InputError, match="knowledge: varied is not allowed with"):
        PriceNetConfig(knowledge="varied", discount=0.5)
    with pytest.raises(InputError, match="start: price-net is not allowed with another width"):
        PriceNetConfig(start="price-net", width=4)
    assert refused("evaluate-broadcast", "price-net-robust") == [
        "price-net-robust: is not allowed; it must have the modes announced and decentralised"
    ]


def test_training_starts_from_the_shipped_price_net() -> None:
    """With perfect knowledge, nothing is added to what it has learned."""
    network = begin(PriceNetConfig(knowledge="varied", start="price-net"), 0, 1).network
    shipped = price_net.load("price-net").network
    frame = jax.tree.map(lambda leaf: leaf[0], frames(60))
    prices = jax.jit(unit_prices)
    ours = prices(network, PARAMETERS, frame, knowledge(csi_error=0.1))
    np.testing.assert_allclose(ours, prices(shipped, PARAMETERS, frame), rtol=1e-4)
