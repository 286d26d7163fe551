"""The batched environment returns what Gymnasium's loop over single environments returns."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from scattermec.environment.gymnasium_env import OffloadingEnv
from scattermec.environment.vector_env import OffloadingVectorEnv
from scattermec.scenario import Scenario

SCENARIO = Scenario(episode_length=3, arrivals="constant", mean_workload=4.0, initial_battery=(0.1, 0.5))
NUM = 3


def both(mode: AutoresetMode) -> tuple[SyncVectorEnv, OffloadingVectorEnv]:
    loop = SyncVectorEnv([lambda: OffloadingEnv(SCENARIO)] * NUM, autoreset_mode=mode)
    return loop, OffloadingVectorEnv(NUM, SCENARIO, autoreset_mode=mode)


def assert_same(one: Any, other: Any) -> None:
    """Equal up to rounding, in structure, types and shapes; entries of infos without their mask are free."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
    elif isinstance(one, tuple):
        assert len(one) == len(other)
        one, other = dict(enumerate(one)), dict(enumerate(other))
    elif one is None:
        assert other is None
        return
    elif one.dtype == object:
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
        return
    else:
        assert one.dtype == other.dtype
        np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-9)
        return
    for name, value in one.items():
        assert_same(value, other[name])


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_it_returns_what_a_loop_returns(mode: AutoresetMode) -> None:
    loop, batch = both(mode)
    assert_same(loop.reset(seed=5), batch.reset(seed=5))
    assert batch.observation_space == loop.observation_space
    assert batch.action_space == loop.action_space
    assert batch.metadata["autoreset_mode"] is loop.metadata["autoreset_mode"]
    random = np.random.default_rng(0)
    masks = {1: np.array([False, True, False])}  # reset in the middle of its episode, it ends later
    for time in range(9):
        actions = random.random(batch.action_space.shape, np.float32)
        one, other = loop.step(actions), batch.step(actions)
        assert_same(one, other)
        over = one[3] | one[2]
        mask = masks.get(time, np.zeros(NUM, bool)) | (over & (mode is AutoresetMode.DISABLED))
        if mask.any():
            assert_same(loop.reset(options={"reset_mask": mask}), batch.reset(options={"reset_mask": mask}))
    # Episodes have ended, not all at once.
    assert len({int(n) for n in np.asarray(batch.states.time)}) == 2


def test_gymnasium_makes_it_by_name() -> None:
    made = gymnasium.make_vec("scattermec/AccessPoint-v0", num_envs=2, scenario=SCENARIO)
    assert isinstance(made.unwrapped, OffloadingVectorEnv)
    assert made.single_action_space.shape == (9,)
    looped = gymnasium.make_vec("scattermec/AccessPoint-v0", 2, vectorization_mode="sync", scenario=SCENARIO)
    assert looped.action_space == made.action_space


def test_wrong_uses_are_refused() -> None:
    with pytest.raises(ValueError, match="num_envs: 0 is not allowed"):
        OffloadingVectorEnv(0)
    with pytest.raises(ValueError, match="render_mode"):
        OffloadingVectorEnv(1, render_mode="rgb_array")
    made = OffloadingVectorEnv(NUM, SCENARIO)
    with pytest.raises(RuntimeError, match="reset"):
        made.step(made.action_space.sample())
    with pytest.raises(ValueError, match="seed: 2 seeds are given for 3"):
        made.reset(seed=[1, 2])
    with pytest.raises(ValueError, match="all at the first reset"):
        made.reset(options={"reset_mask": np.array([True, False, False])})
