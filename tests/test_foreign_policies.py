"""Policies of others as contenders: they decide as the environments do with the same actions."""

from pathlib import Path
from typing import Any

import gymnasium
import jax
import numpy as np
import pytest

from scattermec.environment import AP_ALONE
from scattermec.environment.gymnasium_env import OffloadingEnv
from scattermec.environment.pettingzoo_env import parallel_env, raw_env
from scattermec.experiments.evaluate.foreign import contender_from_agents, contender_from_numpy
from scattermec.physics import run_frame
from scattermec.scenario import Scenario

SCENARIO = Scenario(arrivals="constant", mean_workload=4.0, initial_battery=0.5)


def scrambled(seen: np.ndarray, size: int) -> np.ndarray:
    """Some action that depends on all that is seen."""
    mixed = np.abs(np.sin(seen.sum(axis=-1, keepdims=True) * np.arange(1, size + 1)))
    return mixed.astype(np.float32)


def decided(contender: Any, state: Any) -> Any:
    """The contender's decision in the first of two frames."""
    states = jax.tree.map(lambda leaf: np.stack([leaf, leaf]), state)
    return jax.tree.map(lambda leaf: leaf[0], contender.decide(jax.random.key(0), states))


def reward_of(made: Any, state: Any, decision: Any) -> float:
    return float(run_frame(made.parameters, state.frame, decision.beams, decision.allocation).ap_reward)


@pytest.mark.parametrize("settings", [{"phase_reference": True}, {**AP_ALONE, "reward_scale": 1.0}])
def test_a_controller_decides_as_in_gymnasium(settings: dict[str, Any]) -> None:
    made = OffloadingEnv(SCENARIO, **settings)
    seen, _ = made.reset(seed=0)
    (size,) = made.action_space.shape
    state = made.state
    contender = contender_from_numpy("mine", lambda rows: scrambled(rows, size), SCENARIO, **settings)
    _, reward, *_ = made.step(scrambled(seen, size))
    assert reward > 0
    assert reward_of(made, state, decided(contender, state)) == pytest.approx(reward, rel=1e-5)


@pytest.mark.parametrize("turns", [False, True])
def test_a_team_decides_as_in_pettingzoo(turns: bool) -> None:
    made = raw_env(scenario=SCENARIO) if turns else parallel_env(scenario=SCENARIO)
    first = made.reset(seed=0)
    state = made.env_state

    def act(seen: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {agent: scrambled(rows, made.action_space(agent).shape[0]) for agent, rows in seen.items()}

    contender = contender_from_agents("mine", act, SCENARIO, turns=turns)
    decision = decided(contender, state)
    if turns:
        for agent in list(made.agents):
            made.step(act({agent: made.observe(agent)})[agent])
        reward = made.rewards["ap"]
    else:
        reward = made.step(act(first[0]))[1]["ap"]
    assert reward > 0
    assert reward_of(made, state, decision) == pytest.approx(reward, rel=1e-5)


def test_wrong_actions_are_refused() -> None:
    state = OffloadingEnv(SCENARIO)
    state.reset(seed=0)
    for contender, fault in (
        (contender_from_numpy("a", lambda rows: rows, SCENARIO), r"the controller returned \(2, 24\)"),
        (contender_from_agents("b", lambda seen: {}, SCENARIO), r"ap returned \(0,\) where \(2, 18\)"),
        (
            contender_from_agents("c", lambda seen: {"ap": np.full((2, 18), np.nan)}, SCENARIO),
            "not finite",
        ),
    ):
        with pytest.raises(ValueError, match=fault):
            decided(contender, state.state)


def test_the_page_trains_with_stable_baselines() -> None:
    pytest.importorskip("stable_baselines3", reason="an optional trainer")
    page = (Path(__file__).parent.parent / "docs" / "how-to" / "trainers.md").read_text(encoding="utf-8")
    code = page.split("```py\n")[1].split("```")[0].replace("20_480", "1024")
    session: dict[str, Any] = {"gymnasium": gymnasium, "np": np}
    exec(code, session)
    contender = contender_from_numpy("PPO", session["act"], **AP_ALONE)
    state = OffloadingEnv()
    state.reset(seed=0)
    decision = decided(contender, state.state)
    np.testing.assert_allclose(np.linalg.norm(decision.beams, axis=1), 1, rtol=1e-6)
