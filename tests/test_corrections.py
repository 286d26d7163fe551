"""Users that correct the estimate: what they may do without harm, judged by playing the frame."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scattermec import Scenario
from scattermec.agents.settings import PRESETS, TrainingConfig
from scattermec.environment import corrections, reset
from scattermec.errors import InputError
from scattermec.optimisation import OPTIMAL, allocate
from scattermec.physics import maximum_ratio_beams, parameters_of, run_frame
from scattermec.training import Plan

PARAMETERS = parameters_of(Scenario())
FRAMES = 48


@jax.jit
@jax.vmap
def estimated(key):
    """A frame, its beams, the AP's estimate with a little less energy, and what it tells the users."""
    frame = reset(key, PARAMETERS).frame
    beams = maximum_ratio_beams(frame.channels)
    estimate = allocate(*corrections.planned(PARAMETERS, frame), beams)
    return frame, beams, estimate, corrections.announced(PARAMETERS, frame, beams, estimate.allocation)


@jax.jit
@jax.vmap
def corrected(frame, beams, told, actions):
    allocation = corrections.corrected(PARAMETERS, frame, told, actions)
    return allocation, run_frame(PARAMETERS, frame, beams, allocation)


@jax.jit
@jax.vmap
def unaided(frame, beams, actions):
    allocation = corrections.unaided(PARAMETERS, frame, beams, actions)
    return allocation, run_frame(PARAMETERS, frame, beams, allocation)


@pytest.fixture(scope="module")
def served():
    """Frames in which the estimate serves everyone."""
    frame, beams, estimate, told = estimated(jax.random.split(jax.random.key(3), FRAMES))
    index = np.flatnonzero(np.asarray(estimate.status) == OPTIMAL)
    assert len(index) > FRAMES / 2
    return jax.tree.map(lambda leaf: leaf[index], (frame, beams, estimate, told))


def test_no_correction_is_the_estimate(served) -> None:
    frame, beams, estimate, told = served
    allocation, outcome = corrected(frame, beams, told, jnp.zeros((*frame.workload.shape, 2)))
    assert bool(jnp.all(outcome.success))
    np.testing.assert_allclose(outcome.ap_energy, estimate.energy, rtol=2e-3)
    np.testing.assert_allclose(allocation.t_passive, estimate.allocation.t_passive, atol=1e-9)


def test_no_correction_breaks_what_the_estimate_provides(served) -> None:
    frame, beams, _, told = served
    for seed in range(8):
        actions = jax.random.uniform(jax.random.key(seed), (*frame.workload.shape, 2))
        allocation, outcome = corrected(frame, beams, told, actions.round() if seed % 2 else actions)
        # A beam that is on longer may leave too little time to send, which only its own user notices.
        free = np.asarray(allocation.t_passive <= told.t_passive + 1e-12)
        assert np.all(np.asarray(outcome.success)[free])
    still = jnp.zeros((*frame.workload.shape, 2)).at[:, 0, 0].set(1)
    _, outcome = corrected(frame, beams, told, still)
    assert np.asarray(outcome.success)[:, 1:].all()


def test_a_longer_beam_charges_the_others_and_kept_energy_stays_in_the_battery(served) -> None:
    frame, beams, _, told = served
    nothing = jnp.zeros((*frame.workload.shape, 2))
    _, before = corrected(frame, beams, told, nothing)
    _, longer = corrected(frame, beams, told, nothing.at[:, 0, 0].set(1))
    assert np.all(longer.harvested[:, 1:] > before.harvested[:, 1:])
    np.testing.assert_allclose(longer.harvested[:, 0], before.harvested[:, 0])
    _, keeps = corrected(frame, beams, told, nothing.at[:, :, 1].set(1))
    assert bool(jnp.all(keeps.success))
    assert np.all(keeps.battery >= before.battery - 1e-9)
    assert float(jnp.mean(keeps.battery)) > 1.1 * float(jnp.mean(before.battery))
    assert np.all(keeps.ap_energy >= before.ap_energy * (1 - 1e-6))


def test_unaided_users_fail_only_if_they_count_on_too_much(served) -> None:
    frame, beams, _, _ = served
    full = dataclasses.replace(frame, battery=jnp.full_like(frame.battery, 1.0))
    shape = (*frame.workload.shape, 2)
    allocation, outcome = unaided(full, beams, jax.random.uniform(jax.random.key(1), shape).at[..., 1].set(0))
    assert bool(jnp.all(outcome.success))
    times = np.asarray(allocation.t_active + allocation.t_passive)
    assert np.all(times <= np.asarray(PARAMETERS.slot_duration) * (1 + 1e-9))
    empty = dataclasses.replace(frame, battery=jnp.zeros_like(frame.battery))
    # Everything is promised by beams that stay off.
    _, outcome = unaided(empty, beams, jnp.zeros(shape).at[..., 1].set(1))
    assert not np.any(np.asarray(outcome.success) & (np.asarray(frame.workload) > 0))


def test_learners_without_users_of_their_own_take_no_corrections() -> None:
    config: TrainingConfig = PRESETS["corrections"]
    with pytest.raises(InputError, match="correction is not allowed for ddpg; it must be paper or feasible"):
        Plan("ddpg", Scenario(), config, (0,), 10)
    assert Plan("h-maddpg", Scenario(), config, (0,), 10).config.action_form == "correction"
