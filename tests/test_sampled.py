"""One decision for many truths: P2 where they are all the same, and never better than each by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scattermec import Scenario
from scattermec.experiments.measure import possible, sampled
from scattermec.experiments.measure.conditions import Condition
from scattermec.experiments.measure.possible import constants_of, observe_frames, sample_truths
from scattermec.experiments.measure.sampled import EITHER, MARGIN, SAMPLED, compare_plans, plans_table
from scattermec.optimisation import optimise_beams
from scattermec.optimisation.sampled import SampledOptimum, shared_plans
from scattermec.physics.energy import idle_energy

SCENARIO = Scenario(user_positions=[[3, 3], [5, 5]], num_antennas=2, initial_battery=0.08)
CHANNELS = Condition(csi_error=0.2)
CONSTANTS = constants_of(SCENARIO, CHANNELS)
KEYS = jax.random.split(jax.random.key(4), 2)
FRAMES = observe_frames(CONSTANTS, False, KEYS)
SURE = 5.0
"""J per kbit: so much that all are served that can be."""


def frame(k):
    return jax.tree.map(lambda leaf: leaf[k], FRAMES.truth)


def repeated(one, samples):
    return jax.tree.map(lambda leaf: jnp.stack([leaf] * samples), one)


@pytest.fixture(scope="module")
def truths():
    return sample_truths(KEYS[0], CONSTANTS, jax.tree.map(lambda leaf: leaf[0], FRAMES.seen), 6, late=False)


@pytest.mark.parametrize("k", range(2))
def test_of_samples_that_are_all_the_same_it_is_the_certified_optimum(k):
    found = SampledOptimum(CONSTANTS, repeated(frame(k), 3)).solve(SURE, tolerance=1e-8)
    best = optimise_beams(CONSTANTS, frame(k))
    assert found.energy == pytest.approx(float(best.energy - idle_energy(CONSTANTS)), rel=1e-5)
    assert found.shortfall.max() < 1e-5


def test_one_decision_is_never_cheaper_than_one_for_each_truth(truths):
    def cost(some):
        found = SampledOptimum(CONSTANTS, some).solve(0.1, tolerance=1e-8)
        return found.energy + 0.1 * found.shortfall.sum(axis=1).mean()

    apart = [cost(jax.tree.map(lambda leaf, s=s: leaf[s : s + 1], truths)) for s in range(6)]
    together = cost(truths)
    assert together >= np.mean(apart) * (1 + 1e-3)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(apart[0], apart[1], rtol=1e-3)


def test_a_higher_price_costs_more_energy_and_leaves_less_undone(truths):
    problem = SampledOptimum(CONSTANTS, truths)
    cheap, dear = (problem.solve(price) for price in (0.002, 0.3))
    assert dear.energy > cheap.energy
    assert dear.shortfall.sum() < cheap.shortfall.sum()
    without = problem.solve(0.3, np.array([True, False]))
    assert without.energy < dear.energy
    assert without.shortfall[:, 1].sum() > dear.shortfall[:, 1].sum()
    assert all(plan.beams.shape == (2, 2) for plan in shared_plans(CONSTANTS, truths))


@pytest.mark.parametrize("condition", [Condition(csi_error=1e-4)], ids=["nearly known"])
def test_played_on_other_samples_it_is_near_the_optimum_if_nearly_all_is_known(condition, monkeypatch):
    monkeypatch.setattr(possible, "MARGINS", (0.0, 0.1))
    monkeypatch.setattr(sampled, "HELD_OUT", 8)
    monkeypatch.setattr(sampled, "CHOSEN_BY", 8)
    constants = constants_of(SCENARIO, condition)
    frames = observe_frames(constants, False, KEYS)
    clairvoyant = np.asarray(possible.optimise_service_frames(constants, frames.truth).reward_bound)
    nothing = dict.fromkeys(possible.USERS, clairvoyant)
    found = possible.Possible(condition, KEYS, frames, clairvoyant, nothing, nothing, nothing, nothing)
    plans = compare_plans(SCENARIO, found, samples=3)
    assert set(plans) == {MARGIN, SAMPLED, EITHER}
    for plan in plans.values():
        assert (plan.reward <= clairvoyant * 1.002).all()
    assert (plans[SAMPLED].reward >= 0.98 * clairvoyant).all()
    assert (plans[SAMPLED].outage == 0).all()
    assert (plans[EITHER].reward >= np.minimum(plans[SAMPLED].reward, plans[MARGIN].reward)).all()
    rows = plans_table({"nearly": (found, plans)}, 3).rows
    assert [row[0] for row in rows] == [f"nearly; {kind}" for kind in plans]
