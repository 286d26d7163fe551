"""TorchRL: many environments as one of its batched environments, in one compiled step; for BenchMARL, too.

Needs torchrl, which no extra installs: `pip install torchrl`.
"""

from os import PathLike
from typing import Any

import jax
import numpy as np

from scattermec.environment import bounds
from scattermec.environment._shell import (
    Shell,
    begin_all,
    checked_actions,
    chosen,
    play_all,
    user_observations_of_all,
    within,
)
from scattermec.environment.core import EnvState
from scattermec.scenario import Scenario

try:
    import torch
    from tensordict import TensorDict, TensorDictBase
    from torchrl.data import Bounded, Categorical, Composite, Unbounded
    from torchrl.envs import EnvBase
except ModuleNotFoundError as error:
    raise ImportError(f"{__name__} needs torchrl: pip install torchrl") from error

AP, USERS = "ap", "user"
"""Names of the groups of agents."""


class OffloadingTorch(EnvBase):
    """``num_envs`` environments in which all agents move at once, as `OffloadingParallel`'s do.

    Its batch size is (num_envs,). The groups of agents are ``ap`` and ``user``, as TorchRL makes them of the
    PettingZoo environment; each has the entries ``observation``, ``action`` and ``reward``, (num_envs,
    agents, numbers). ``state``, for central critics, is the AP's observation. Episodes are truncated after
    the scenario's ``episode_length`` frames and never terminated; any of them can be reset alone.

    Args:
        num_envs: number of environments.
        scenario: a `Scenario`, the path of a scenario file, or None for the default.
        seed: of the first episodes and of all that follow.
        team: pay everyone the AP's reward, (11), instead of users their own, (12).
        device: of the tensors that go in and out; frames are played where JAX computes.
        settings: those of a `Variant`; with ``users="estimate"`` the AP is the only agent.
    """

    def __init__(
        self,
        num_envs: int,
        scenario: Scenario | str | PathLike[str] | None = None,
        *,
        seed: int | None = None,
        team: bool = False,
        device: Any = None,
        **settings: Any,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs: {num_envs} is not allowed; it must be >= 1")
        super().__init__(device=device, batch_size=torch.Size([num_envs]))
        self._shell, self._team = Shell(scenario, None, settings), team
        self._states: EnvState | None = None
        self._seen_by_ap = np.zeros(0)
        self._rng = np.random.default_rng(seed)
        users = self._shell.num_users if self._shell.user_action_size else 0
        self.group_map = {AP: [AP]} | ({USERS: [f"{USERS}_{i}" for i in range(users)]} if users else {})
        self._limits = {AP: bounds.ap_bounds(self.scenario), USERS: bounds.user_bounds(self.scenario)}
        self._make_specs()

    @property
    def scenario(self) -> Scenario:
        """The scenario being played."""
        return self._shell.scenario

    def _make_specs(self) -> None:
        sizes = {AP: self._shell.ap_action_size, USERS: self._shell.user_action_size}
        seen, acted, paid = {}, {}, {}
        for group, agents in self.group_map.items():
            shape = (*self.batch_size, len(agents))
            limits = self._limits[group]
            seen[group] = Composite(observation=_box(limits, shape), shape=shape)
            acted[group] = Composite(action=Bounded(0.0, 1.0, (*shape, sizes[group])), shape=shape)
            paid[group] = Composite(reward=Unbounded((*shape, 1)), shape=shape)
        batch = self.batch_size
        state = {"state": _box(self._limits[AP], batch)}
        over = {name: Categorical(2, (*batch, 1), dtype=torch.bool) for name in self._over(False)}
        self.observation_spec = Composite({**seen, **state}, shape=batch, device=self.device)
        self.action_spec = Composite(acted, shape=batch, device=self.device)
        self.reward_spec = Composite(paid, shape=batch, device=self.device)
        self.done_spec = Composite(over, shape=batch, device=self.device)

    def _set_seed(self, seed: int | None) -> None:
        self._rng = np.random.default_rng(seed)

    def _reset(self, tensordict: TensorDictBase | None = None, **options: Any) -> TensorDictBase:
        mask = None if tensordict is None else tensordict.get("_reset", None)
        states, seen = begin_all(self._shell.variant, self._seeds())
        if mask is not None and not mask.all() and self._states is not None:
            which = mask.reshape(-1).cpu().numpy()
            states = chosen(which, states, self._states)
            seen = np.where(which[:, None], seen, self._seen_by_ap)
        self._states, self._seen_by_ap = states, np.asarray(seen)
        return self._tensors(self._observations() | self._over(np.zeros((*self.batch_size, 1), bool)))

    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        shell = self._shell
        ap = self._action(tensordict, AP)[:, 0]
        users = self._action(tensordict, USERS) if USERS in self.group_map else None
        if users is None:
            users = np.zeros((*self.batch_size, shell.num_users, 0), np.float32)
        self._states, seen, played, over = play_all(shell.variant, self._seeds(), self._states, ap, users)
        self._seen_by_ap, own, of_users, ended = jax.device_get(
            (seen, played.reward, played.outcome.user_reward, over)
        )
        paid = {AP: own[:, None]}
        if USERS in self.group_map:
            paid[USERS] = np.broadcast_to(own[:, None], of_users.shape) if self._team else of_users
        found = self._observations() | self._over(ended[:, None])
        for group, reward in paid.items():
            found[group, "reward"] = reward[:, :, None].astype(np.float32)
        return self._tensors(found)

    def _action(self, tensordict: TensorDictBase, group: str) -> np.ndarray:
        """The actions (B, agents, numbers) of a group, in [0, 1]."""
        numbers = tensordict[group, "action"].detach().cpu().numpy().astype(np.float32)
        return checked_actions(numbers, numbers.shape[-1])

    def _seeds(self) -> np.ndarray:
        return self._rng.integers(2**32, size=tuple(self.batch_size), dtype=np.uint32)

    def _observations(self) -> dict[Any, np.ndarray]:
        state = within(self._seen_by_ap, self._limits[AP])
        found: dict[Any, np.ndarray] = {"state": state, (AP, "observation"): state[:, None]}
        if USERS in self.group_map:
            seen = user_observations_of_all(self._shell.variant, self._states)
            found[USERS, "observation"] = within(seen, self._limits[USERS])
        return found

    def _over(self, truncated: Any) -> dict[Any, Any]:
        return {"done": truncated, "terminated": np.zeros_like(truncated), "truncated": truncated}

    def _tensors(self, arrays: dict[Any, np.ndarray]) -> TensorDictBase:
        made = TensorDict({}, self.batch_size, device=self.device)
        for group, agents in self.group_map.items():
            made[group] = TensorDict({}, (*self.batch_size, len(agents)), device=self.device)
        for name, array in arrays.items():
            # A copy: what JAX returns must not be written to.
            made[name] = torch.from_numpy(np.array(array)).to(self.device)
        return made


def _box(limits: tuple[np.ndarray, np.ndarray], shape: Any) -> Bounded:
    low, high = (torch.from_numpy(limit).expand(*shape, -1).clone() for limit in limits)
    return Bounded(low, high, low.shape, dtype=torch.float32)
