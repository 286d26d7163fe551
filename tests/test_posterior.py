"""What the truth may be given what is seen: drawn truths and their observations say whether it is right.

Simulation-based calibration: a truth is drawn, observed, and compared with samples from its posterior. Its
rank among them is uniform if, and only if, posterior and observation fit together.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from scattermec import Scenario
from scattermec.environment import as_seen, reset, step
from scattermec.physics import Allocation, parameters_of
from scattermec.physics.links import channel_gain
from scattermec.physics.posterior import (
    channel_prior,
    log_density_of_strength,
    sample_after,
    sample_truth,
    workload_outcomes,
)

TRUTHS, SAMPLES = 400, 31
"""Ranks from 0 to 31."""

NOTHING = Allocation(**dict.fromkeys(Allocation.__dataclass_fields__, jnp.zeros(3)))

sampled = jax.jit(sample_truth, static_argnames="samples")


def is_uniform(ranks):
    counts = np.bincount(np.asarray(ranks).ravel() // 4, minlength=8)
    return stats.chisquare(counts).pvalue > 1e-3


def ranks_of(statistic, truth, samples):
    """Rank of the truth's statistic, (N,), among those of the samples."""
    return jnp.sum(jax.vmap(statistic)(samples) < statistic(truth), axis=0)


@pytest.fixture(scope="module")
def ranks():
    """Ranks of three statistics under errors in channels and workloads."""
    parameters = parameters_of(
        Scenario(csi_error=0.3, workload_error=0.2, fading="rician", rician_factor=1.0)
    )
    statistics = {
        "strength": lambda frame: channel_gain(frame.channels),
        "a part": lambda frame: jnp.real(frame.channels[:, 1]),
        # Whole numbers: ties are broken by something smaller than their distance.
        "work": lambda frame: frame.workload + jnp.angle(frame.channels[:, 0]) / 10,
    }

    @jax.jit
    @jax.vmap
    def calibrate(key):
        key_truth, key_samples = jax.random.split(key)
        state = reset(key_truth, parameters)
        samples = sample_truth(key_samples, parameters, as_seen(state).frame, SAMPLES)
        return {name: ranks_of(statistic, state.frame, samples) for name, statistic in statistics.items()}

    return calibrate(jax.random.split(jax.random.key(0), TRUTHS))


@pytest.mark.parametrize("statistic", ["strength", "a part", "work"])
def test_a_truth_ranks_anywhere_among_samples_given_what_is_seen_of_it(ranks, statistic):
    assert is_uniform(ranks[statistic])


def test_the_next_channels_rank_anywhere_among_samples_given_the_last_ones():
    parameters = parameters_of(Scenario(correlation=0.9))

    @jax.jit
    @jax.vmap
    def calibrate(key):
        key_first, key_next, key_samples = jax.random.split(key, 3)
        state = reset(key_first, parameters)
        after, _ = step(key_next, state, jnp.zeros((3, 3), complex), NOTHING, parameters)
        samples = sample_after(key_samples, parameters, state.frame, SAMPLES)
        return ranks_of(lambda frame: jnp.imag(frame.channels[:, 2]), after.frame, samples)

    assert is_uniform(calibrate(jax.random.split(jax.random.key(1), TRUTHS)))


def test_without_errors_the_truth_is_what_is_seen():
    parameters = parameters_of(Scenario())
    frame = reset(jax.random.key(2), parameters).frame
    samples = sampled(jax.random.key(3), parameters, frame, samples=4)
    np.testing.assert_allclose(samples.channels, jnp.broadcast_to(frame.channels, (4, 3, 3)), rtol=1e-6)
    np.testing.assert_array_equal(samples.workload, jnp.broadcast_to(frame.workload, (4, 3)))


def test_strength_given_the_direction_has_the_density_of_the_samples_near_it():
    # With one antenna of a known phase, the direction leaves only the strength open.
    scenario = Scenario(csi_error=0.5, num_antennas=1, user_positions=[[3, 3]])
    parameters = dataclasses.replace(parameters_of(scenario), path_gain=jnp.ones(1))
    observed = jnp.array([[0.8 + 0j]])
    seen = dataclasses.replace(
        reset(jax.random.key(0), parameters).frame, channels=observed, workload=jnp.array([40.0])
    )
    samples = sampled(jax.random.key(1), parameters, seen, samples=4_000).channels[:, 0, 0]
    near = np.abs(samples)[np.abs(np.angle(samples)) < 0.1]
    grid = jnp.linspace(0.05, 4, 400)
    prior = channel_prior(parameters)
    ahead = jnp.ones((1, 1)) + 0j
    density = jax.vmap(
        lambda size: log_density_of_strength(parameters, prior, ahead, observed, size[None])[0]
    )(grid)
    weights = np.exp(density - density.max())
    mean = np.sum(weights * grid) / weights.sum()
    spread = np.sqrt(np.sum(weights * (grid - mean) ** 2) / weights.sum())
    assert near.mean() == pytest.approx(mean, abs=4 * spread / len(near) ** 0.5)
    assert near.std() == pytest.approx(spread, rel=0.1)


@pytest.mark.parametrize("mean", [0.5, 40.0, 2e5])
def test_workloads_considered_cover_the_prior(mean):
    parameters = parameters_of(Scenario(mean_workload=mean, workload_error=1e3))
    work, weights = jax.jit(workload_outcomes)(parameters, np.full(3, mean))
    # An error this large says next to nothing, so what is left is the prior, but for the 1/work of its size.
    share = np.where(work > 0, special.softmax(weights + np.log(np.maximum(work, 1e-300)), axis=0), 0)
    assert np.sum(share * work, axis=0)[0] / np.sum(share, axis=0)[0] == pytest.approx(
        mean / -np.expm1(-mean) if mean < 100 else mean, rel=1e-2
    )


def test_the_distribution_of_a_files_workloads_is_unknown():
    parameters = dataclasses.replace(parameters_of(Scenario()), arrivals="file")
    with pytest.raises(ValueError, match="arrivals: 'file' is not allowed"):
        workload_outcomes(parameters, jnp.ones(3))
