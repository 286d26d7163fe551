"""The frames that all solvers get."""

from typing import Any

import jax
import numpy as np
from jax import Array

from scattermec.environment import reset
from scattermec.physics import Frame, Parameters, maximum_ratio_beams
from scattermec.scenario import Scenario

ANNULUS = (3.0, 7.0)
"""m: nearest and farthest user, where the default scenario's three positions are not used."""

SEED = 0


def scenario(users: int, antennas: int) -> Scenario:
    """The default scenario with N users and M antennas.

    For N other than 3 the users are spread uniformly over an annulus around the AP, always in the same way.
    """
    default = Scenario(num_antennas=antennas)
    if users == default.num_users:
        return default
    random = np.random.default_rng(users)
    near, far = ANNULUS
    distance = np.sqrt(random.uniform(near**2, far**2, users))
    angle = random.uniform(0, 2 * np.pi, users)
    positions = zip(distance * np.cos(angle), distance * np.sin(angle), strict=True)
    return default.replace(user_positions=tuple((float(x), float(y)) for x, y in positions))


def draw(parameters: Parameters, count: int) -> tuple[Frame, Array]:
    """``count`` first frames of episodes (leading axis K) and their MRT beams (K, N, M)."""
    keys = jax.random.split(jax.random.key(SEED), count)
    frames: Frame = jax.jit(jax.vmap(lambda key: reset(key, parameters).frame))(keys)
    return frames, jax.jit(jax.vmap(maximum_ratio_beams))(frames.channels)


def to_numpy(frames: Frame, beams: Array, count: int) -> list[tuple[np.ndarray, ...]]:
    """Channels, workload, battery and beams of each of the first ``count`` frames."""
    arrays = [np.asarray(leaf) for leaf in (frames.channels, frames.workload, frames.battery, beams)]
    return [tuple(array[k] for array in arrays) for k in range(count)]


def first(tree: Any, count: int) -> Any:
    """The first ``count`` frames of arrays with a leading axis K."""
    return jax.tree.map(lambda leaf: leaf[:count], tree)


def slices(tree: Any, count: int, size: int) -> list[Any]:
    """Consecutive parts of ``size`` frames of the first ``count``, cut beforehand."""
    return [jax.tree.map(lambda leaf, i=start: leaf[i : i + size], tree) for start in range(0, count, size)]
