"""A plan with a margin has that much slack in the frame's constraints."""

import dataclasses

import jax
import numpy as np
import pytest

from command_line import refused
from scattermec import Scenario
from scattermec.environment import Variant, as_seen, reset
from scattermec.experiments.measure.rollouts import simulate
from scattermec.optimisation import allocate, estimate_allocation
from scattermec.physics import maximum_ratio_beams, parameters_of, run_frame, with_margin

PARAMETERS = parameters_of(Scenario())
UNSURE = Scenario(csi_error=0.1)


@pytest.fixture(scope="module")
def frames():
    keys = jax.random.split(jax.random.key(0), 64)
    return jax.jit(jax.vmap(lambda key: reset(key, PARAMETERS).frame))(keys)


def played(frames, planned_with, gain):
    """Successes, if the plan for ``planned_with`` meets channels whose power is multiplied by ``gain``."""

    @jax.jit
    @jax.vmap
    def play(frame):
        beams = maximum_ratio_beams(frame.channels)
        answer = allocate(planned_with, frame, beams)
        met = dataclasses.replace(frame, channels=frame.channels * gain**0.5)
        return run_frame(PARAMETERS, met, beams, answer.allocation).success, answer.status == 0

    success, planned = play(frames)
    return np.asarray(success)[np.asarray(planned)]


@pytest.mark.parametrize("margin", [0.1, 0.3])
def test_a_plan_with_a_margin_survives_weaker_channels(frames, margin):
    # Harvest falls by the power of the channel, the SNR of a reflection by its square.
    gain = (1 + margin) ** -0.5
    assert played(frames, with_margin(PARAMETERS, margin), gain).all()
    assert not played(frames, PARAMETERS, gain).all(axis=1).any()


def test_a_margin_pays_where_channels_are_known_with_an_error():
    plain, cautious = (
        simulate(UNSURE, scheme="hybrid", beams="mrt", margin=margin, num_frames=100, seed=0)
        for margin in (0.0, 0.3)
    )
    assert cautious.estimates["outage"].high < plain.estimates["outage"].low
    assert cautious.estimates["reward"].low > plain.estimates["reward"].high


def test_an_environments_estimate_has_the_same_margin():
    keys = jax.random.split(jax.random.key(1), 8)
    states = jax.jit(jax.vmap(reset, in_axes=(0, None)))(keys, parameters_of(UNSURE))
    prices = jax.random.uniform(jax.random.key(2), (8, 9))
    task = Variant(parameters=parameters_of(UNSURE), users="estimate", ap_action="prices", margin=0.3)
    # Not compiled as a whole: programs of different operations would differ in times of 1e-13 s.
    decided = jax.vmap(task.decide)(states, prices, np.zeros((8, 3, 0)))
    seen = as_seen(states).frame
    expected = jax.vmap(estimate_allocation, in_axes=(None, 0, 0))(
        with_margin(parameters_of(UNSURE), 0.3), seen, decided.beams
    )
    np.testing.assert_allclose(decided.allocation.t_passive, expected.allocation.t_passive, rtol=1e-9)


@pytest.mark.parametrize("margin", ["1", "-0.1", "nan"])
def test_a_margin_must_be_from_0_to_below_1(margin):
    fault = f"margin: {float(margin)!r} is not allowed; it must be a number >= 0 and < 1"
    assert refused("simulate", "--margin", margin) == [fault]
    assert refused("solve", "missing.npz", "--out", "out.npz", "--margin", margin) == [fault]


def test_no_margin_changes_nothing():
    jax.tree.map(np.testing.assert_array_equal, with_margin(PARAMETERS, 0.0), PARAMETERS)
