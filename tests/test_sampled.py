"""One decision for many truths: P2 where they are all the same, and never better than each by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scattermec import Scenario
from scattermec.optimisation import OPTIMAL, optimise_beams_frames
from scattermec.optimisation.sampled import SampledOptimum, shared_plans
from scattermec.physics import Frame, parameters_of
from scattermec.physics.energy import idle_energy

SCENARIO = Scenario(user_positions=[[3, 3], [5, 5]], num_antennas=2, initial_battery=0.08)
PARAMETERS = parameters_of(SCENARIO)
RNG = np.random.default_rng(4)
GAIN = np.asarray(PARAMETERS.path_gain)[:, None]
SURE = 5.0
"""J per kbit: so much that all are served that can be."""


def drawn(samples, spread):
    """Frames around a common one."""
    noise = RNG.normal(size=(2, samples + 1, 2, 2))
    channels = GAIN * (noise[0] + 1j * noise[1]) / 2**0.5
    return Frame(
        channels=jnp.asarray(channels[-1] + spread * channels[:-1]),
        workload=jnp.asarray(RNG.poisson(40, (samples, 2)).astype(float)),
        battery=jnp.full((samples, 2), 0.08),
    )


@pytest.fixture(scope="module")
def truths():
    return drawn(6, 0.2)


def test_of_samples_that_are_all_the_same_it_is_the_certified_optimum():
    frames = drawn(6, 1.0)
    best = optimise_beams_frames(PARAMETERS, frames)
    possible = np.asarray(best.status) == OPTIMAL
    assert possible.any()
    for k in np.flatnonzero(possible):
        same = jax.tree.map(lambda leaf, k=k: jnp.stack([leaf[k]] * 3), frames)
        found = SampledOptimum(PARAMETERS, same).solve(SURE, tolerance=1e-8)
        assert found.energy == pytest.approx(float(best.energy[k] - idle_energy(PARAMETERS)), rel=1e-5)
        assert found.shortfall.max() < 1e-5


def test_one_decision_is_never_cheaper_than_one_for_each_truth(truths):
    def cost(some):
        found = SampledOptimum(PARAMETERS, some).solve(0.1, tolerance=1e-8)
        return found.energy + 0.1 * found.shortfall.sum(axis=1).mean()

    apart = [cost(jax.tree.map(lambda leaf, s=s: leaf[s : s + 1], truths)) for s in range(6)]
    together = cost(truths)
    assert together >= np.mean(apart) * (1 + 1e-3)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(apart[0], apart[1], rtol=1e-3)


def test_a_higher_price_costs_more_energy_and_leaves_less_undone(truths):
    problem = SampledOptimum(PARAMETERS, truths)
    cheap, dear = (problem.solve(price) for price in (0.002, 0.3))
    assert dear.energy > cheap.energy
    assert dear.shortfall.sum() < cheap.shortfall.sum()
    without = problem.solve(0.3, np.array([True, False]))
    assert without.energy < dear.energy
    assert without.shortfall[:, 1].sum() > dear.shortfall[:, 1].sum()
    assert all(plan.beams.shape == (2, 2) for plan in shared_plans(PARAMETERS, truths))
