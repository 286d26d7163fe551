"""The batched environment of TorchRL: its own conformance check, and the frames of the other environments."""

import numpy as np
import pytest

from scattermec import Scenario
from scattermec.environment import AP_ALONE
from scattermec.environment._shell import Shell

torch = pytest.importorskip("torch")
utils = pytest.importorskip("torchrl.envs.utils")
torchrl_env = pytest.importorskip("scattermec.environment.torchrl_env")

OffloadingTorch = torchrl_env.OffloadingTorch
TOY = Scenario(num_antennas=2, user_positions=[[3, 3], [2, -4]], arrivals="constant", episode_length=3)
HIERARCHY = {**AP_ALONE, "users": "act", "action_form": "correction"}


@pytest.mark.parametrize("settings", [AP_ALONE, HIERARCHY, {"team": True}])
def test_it_conforms_to_torchrl(settings) -> None:
    utils.check_env_specs(OffloadingTorch(3, TOY, **settings), seed=1)


@pytest.mark.parametrize("team", [False, True])
def test_each_environment_is_played_as_by_itself(team) -> None:
    made = OffloadingTorch(2, TOY, seed=4, team=team, **HIERARCHY)
    rng = np.random.default_rng(4)
    now = made.reset()
    first = rng.integers(2**32, size=2, dtype=np.uint32)
    seeds = rng.integers(2**32, size=2, dtype=np.uint32)
    torch.manual_seed(0)
    now = made.rand_action(now)
    after = made.step(now)["next"]
    for i in range(2):
        one = Shell(TOY, None, HIERARCHY)
        one.reset(_Draws([first[i], seeds[i]]))
        np.testing.assert_allclose(now["state"][i], one.ap_observation(), rtol=1e-6)
        ap, users = (now[group, "action"][i].numpy() for group in ("ap", "user"))
        played, _, _ = one.play(ap[0], users)
        np.testing.assert_allclose(after["ap", "reward"][i, 0, 0], played.reward, rtol=1e-6)
        own = np.full(2, played.reward) if team else played.outcome.user_reward
        np.testing.assert_allclose(after["user", "reward"][i, :, 0], own, rtol=1e-5)
        np.testing.assert_allclose(after["user", "observation"][i], one.user_observations(), rtol=1e-6)


def test_an_episode_starts_anew_alone() -> None:
    made = OffloadingTorch(2, TOY, seed=0, **AP_ALONE)
    now = made.reset()
    for _ in range(3):
        now = made.step(made.rand_action(now))["next"]
    assert now["truncated"].all()
    assert not now["terminated"].any()
    before = now["state"].clone()
    reset = now.clone()
    reset["_reset"] = torch.tensor([[False], [True]])
    again = made.reset(reset)
    assert torch.equal(again["state"][0], before[0])
    assert not torch.equal(again["state"][1], before[1])


class _Draws(np.random.Generator):
    """In place of a generator: seeds drawn elsewhere."""

    def __init__(self, seeds) -> None:
        super().__init__(np.random.PCG64())
        self._seeds = iter(seeds)

    def integers(self, most) -> np.uint32:
        return next(self._seeds)
