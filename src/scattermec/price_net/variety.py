"""Varied scenarios for one network: other numbers of users and antennas, distances and powers.

Networks and features do not depend on the numbers of users and antennas, so one set of weights can learn from
all scenarios. Fewer antennas than `MOST_ANTENNAS` are represented by antennas without a signal, which is
equivalent.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool

from scattermec.physics import Frame, Parameters, parameters_of
from scattermec.physics.channel import Key
from scattermec.physics.parameters import weaker_by
from scattermec.scenario import Scenario

USERS = (2, 3, 4, 6, 3, 2, 4, 6, 3, 10)
"""Numbers of users, in the order of the blocks of steps; more users take more time each."""

MOST_ANTENNAS = 8

DISTANCES, SCALES = (4.0, 7.1), (0.5, 2.0)
"""m: range of each user's distance; and range of a factor that all users of a scenario share."""

POWERS = (0.25, 4.0)
"""W, of the AP"""

FRAMES_EACH = 8
"""Frames of a batch that share a scenario."""


def base(scenario: Scenario, num_users: int) -> Parameters:
    """The scenario's other constants, for this many users at 1 m and `MOST_ANTENNAS` antennas.

    Raises ScenarioError if constants are given per user.
    """
    values = scenario.model_dump() | {
        "user_positions": [(1.0, 0.0)] * num_users,
        "num_antennas": MOST_ANTENNAS,
    }
    return parameters_of(Scenario(**values))


def draw_scenario(key: Key, parameters: Parameters) -> tuple[Parameters, Bool[Array, " M"]]:
    """Constants of `base` with random distances and power; and which antennas the scenario has."""
    scale, each, power, antennas = jax.random.split(key, 4)
    users = parameters.path_gain.shape
    distance = _log_uniform(scale, *SCALES) * jax.random.uniform(
        each, users, minval=DISTANCES[0], maxval=DISTANCES[1]
    )
    drawn = dataclasses.replace(
        parameters,
        path_gain=parameters.path_gain / weaker_by(parameters, distance),
        ap_power=_log_uniform(power, *POWERS).astype(parameters.ap_power.dtype),
    )
    number = jax.random.randint(antennas, (), 1, MOST_ANTENNAS + 1)
    return drawn, jnp.arange(MOST_ANTENNAS) < number


def with_antennas(frame: Frame, antennas: Bool[Array, " M"]) -> Frame:
    """The frame as seen by these antennas alone."""
    return dataclasses.replace(frame, channels=jnp.where(antennas, frame.channels, 0))


def _log_uniform(key: Key, low: float, high: float) -> Array:
    return jnp.exp(jax.random.uniform(key, minval=jnp.log(low), maxval=jnp.log(high)))
