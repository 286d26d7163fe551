"""Bounds of observations and actions, in NumPy: known from a scenario without starting JAX."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from scattermec.environment.actions import NUMBERS_PER_USER, ap_action_size
from scattermec.scenario import Scenario

OBSERVATION_LIMIT = 1e6
"""Bound of observations that have no natural one. They are of order one, so it never binds; unlike infinity,
it allows the space to be sampled and checked."""


def ap_bounds(scenario: Scenario) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds of the AP's observation, float32."""
    users, channels = scenario.num_users, 2 * scenario.num_users * scenario.num_antennas
    low = [0.0] * (2 * users) + [-OBSERVATION_LIMIT] * channels
    high = [OBSERVATION_LIMIT] * users + [1.0] * users + [OBSERVATION_LIMIT] * channels
    return np.array(low, np.float32), np.array(high, np.float32)


def user_bounds(scenario: Scenario) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds of a user's observation, float32."""
    channels = 2 * scenario.num_antennas
    low = [0.0, 0.0] + [-OBSERVATION_LIMIT] * channels + [0.0]
    high = [OBSERVATION_LIMIT, 1.0] + [OBSERVATION_LIMIT] * channels + [1.0]
    return np.array(low, np.float32), np.array(high, np.float32)


def action_sizes(scenario: Scenario, settings: Mapping[str, Any]) -> tuple[int, int]:
    """Length of the AP's action and of a user's, 0 if users do not act, under a `Variant`'s settings."""
    ap = ap_action_size(scenario.num_users, scenario.num_antennas, settings.get("ap_action", "beams"))
    acts = settings.get("users", "act") == "act"
    return ap, NUMBERS_PER_USER[settings.get("action_form", "feasible")] if acts else 0
