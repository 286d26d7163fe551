"""A plan with a margin has that much slack in the frame's constraints."""

import dataclasses

import jax
import numpy as np
import pytest

from scattermec import Scenario
from scattermec.environment import reset
from scattermec.optimisation import allocate
from scattermec.physics import maximum_ratio_beams, parameters, run_frame, with_margin

CONSTANTS = parameters(Scenario())


@pytest.fixture(scope="module")
def frames():
    return jax.vmap(lambda key: reset(key, CONSTANTS).frame)(jax.random.split(jax.random.key(0), 64))


def played(frames, planned_with, gain):
    """Successes, if the plan for ``planned_with`` meets channels whose power is multiplied by ``gain``."""

    def play(frame):
        beams = maximum_ratio_beams(frame.channels)
        answer = allocate(planned_with, frame, beams)
        met = dataclasses.replace(frame, channels=frame.channels * gain**0.5)
        return run_frame(CONSTANTS, met, beams, answer.allocation).success, answer.status == 0

    success, planned = jax.vmap(play)(frames)
    return np.asarray(success)[np.asarray(planned)]


@pytest.mark.parametrize("margin", [0.1, 0.3])
def test_a_plan_with_a_margin_survives_weaker_channels(frames, margin):
    # Harvest falls by the power of the channel, the SNR of a reflection by its square.
    gain = (1 + margin) ** -0.5
    assert played(frames, with_margin(CONSTANTS, margin), gain).all()
    assert not played(frames, CONSTANTS, gain).all(axis=1).any()


def test_no_margin_changes_nothing():
    jax.tree.map(np.testing.assert_array_equal, with_margin(CONSTANTS, 0.0), CONSTANTS)
