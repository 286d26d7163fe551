"""Every interface of the environment against the reference frame, frame after frame."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reference_frame import reference_beams, reference_frame, reference_plans
from scattermec import environment
from scattermec.environment.gymnasium_env import OffloadingEnv
from scattermec.environment.pettingzoo_env import parallel_env, raw_env
from scattermec.physics import parameters_of
from scattermec.scenario import Rectifier, Scenario

FRAMES = 8

# (N, M, form, harvest model, causal harvesting, arrivals): between them every value of each.
SHAPES = [
    (1, 1, "feasible", "sigmoidal", True, "constant"),
    (3, 1, "paper", "linear", True, "constant"),
    (3, 3, "feasible", "linear", False, "poisson"),
    (5, 3, "paper", "sigmoidal", False, "constant"),
]


def random_scenario(
    rng: np.random.Generator, N: int, M: int, harvest_model: str, causal: bool, arrivals: str
) -> Scenario:
    """A scenario around the default one in which users both succeed and fail."""

    def around(value: float, spread: float = 0.5) -> float:
        return float(value * np.exp(spread * rng.standard_normal()))

    def each(value: float) -> tuple[float, ...]:
        return tuple(around(value, 0.2) for _ in range(N))

    angle, distance = rng.uniform(0, 2 * np.pi, N), rng.uniform(2, 6, N)
    return Scenario(
        num_antennas=M,
        user_positions=tuple(zip(distance * np.cos(angle), distance * np.sin(angle), strict=True)),
        slot_duration=each(1.0),
        bandwidth=around(8),
        ap_power=around(2.0),
        noise_power=around(3e-10),
        residual_interference=float(rng.choice([0, 1e-10])),
        harvest_model=harvest_model,
        rectifier=Rectifier(saturation=around(1), steepness=around(5), turn_on=around(0.2)),
        causal_harvest=causal,
        local_rate=each(20.0),
        local_energy=each(0.005),
        battery_capacity=each(1.0),
        initial_battery=(0.2, 0.5),
        mean_workload=each(12.0),
        arrivals=arrivals,
        backlog_cap=around(10),
        fading="rician",
        rician_factor=around(1),
        correlation=float(rng.uniform(0, 0.9)),
        csi_error=float(rng.choice([0, 0.1])),
        workload_error=float(rng.choice([0, 0.01])),
        reliability_weight=around(3),
        team_weight=float(rng.choice([0, 0.3])),
        episode_length=FRAMES,
    )


def random_action(
    rng: np.random.Generator, form: str, scenario: Scenario, workload: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the AP and of the users, of which a good part leads to success, as float32 in [0, 1]."""
    N, M = scenario.num_users, scenario.num_antennas
    ap = rng.random(2 * N * M)
    if rng.random() < 0.5:
        ap[:] = 0.5
    users = rng.random((N, 4))
    # A short active part with little work and full use of the slot: most often within rate and energy.
    users[:, 0] = rng.choice([1.0, 0.9, 0.0], N, p=[0.6, 0.3, 0.1])
    users[:, 1] *= 0.5
    users[:, 3] *= 0.3
    if form == "paper":
        users = _paper_numbers(rng, scenario, workload, users)
    return ap.astype(np.float32), users.astype(np.float32)


def _paper_numbers(
    rng: np.random.Generator, scenario: Scenario, workload: np.ndarray, users: np.ndarray
) -> np.ndarray:
    numbers = np.zeros((len(users), 6))
    for i, plan in enumerate(reference_plans("feasible", scenario, workload, users)):
        T, work = scenario.per_user("slot_duration")[i], max(workload[i], 1e-9)
        numbers[i] = (
            plan.t_a / T,
            plan.t_b / T,
            plan.t_c / T,
            *(np.array([plan.l_a, plan.l_b, plan.l_c]) / work),
        )
    # Slack, so that rounding to single precision does not decide.
    numbers[:, :2] *= 0.99
    numbers[:, 2:] *= (1.03, 1.01, 1.01, 1.01)
    wild = rng.random(len(users)) < 0.2
    numbers[wild] = rng.random((int(wild.sum()), 6))
    return np.clip(numbers, 0, 1)


class Core:
    """The functional core, driven like the adapters."""

    def __init__(self, scenario: Scenario, form: str) -> None:
        self.form, self.parameters = form, parameters_of(scenario)

    def reset(self, seed: int) -> None:
        self.key = jax.random.key(seed)
        self.state = _reset(self.key, self.parameters)

    def play(self, ap: np.ndarray, users: np.ndarray) -> dict[str, Any]:
        self.key = jax.random.split(self.key)[0]
        params = self.parameters
        beams = environment.beams_from_action(jnp.asarray(ap, float), params.num_users, params.num_antennas)
        allocation = environment.allocation_from_action(
            self.form, params, self.state.observed_workload, jnp.asarray(users, float)
        )
        self.state, result = _step(self.key, self.state, beams, allocation, params)
        fields = vars(jax.device_get(result.outcome))
        return {**fields, "terminated": bool(result.terminated), "truncated": bool(result.truncated)}

    def observations(self) -> dict[str, np.ndarray]:
        return {
            "ap": _ap_observation(self.parameters, self.state),
            "users": _user_observations(self.parameters, self.state, self.state.beams),
        }


_reset = jax.jit(environment.reset)
_step = jax.jit(environment.step)
_ap_observation = jax.jit(environment.ap_observation)
_user_observations = jax.jit(environment.user_observations)


class Single:
    """The Gymnasium adapter."""

    def __init__(self, scenario: Scenario, form: str) -> None:
        self.env = OffloadingEnv(scenario, form)

    def reset(self, seed: int) -> None:
        self.seen, _ = self.env.reset(seed=seed)

    @property
    def state(self) -> Any:
        return self.env.state

    def play(self, ap: np.ndarray, users: np.ndarray) -> dict[str, Any]:
        self.seen, reward, terminated, truncated, info = self.env.step(np.concatenate([ap, users.ravel()]))
        known = {"ap_reward": reward, "user_reward": info["user_rewards"], "ap_energy": info["ap_energy"]}
        ends = {"terminated": terminated, "truncated": truncated}
        return {**known, **ends, **{name: info[name] for name in ("success", "battery", "backlog")}}

    def observations(self) -> dict[str, np.ndarray]:
        return {"ap": self.seen}


class Turns:
    """The turn-based PettingZoo adapter."""

    def __init__(self, scenario: Scenario, form: str) -> None:
        self.env = raw_env(scenario=scenario, action_form=form)

    def reset(self, seed: int) -> None:
        self.env.reset(seed=seed)

    @property
    def state(self) -> Any:
        return self.env.env_state

    def play(self, ap: np.ndarray, users: np.ndarray) -> dict[str, Any]:
        for move in (ap, *users):
            assert not any(self.env.rewards[agent] for agent in self.env.agents[1:]) or move is ap
            self.env.step(move)
        return _of_agents(self.env.rewards, self.env.terminations, self.env.truncations, self.env.infos)

    def observations(self) -> dict[str, np.ndarray]:
        return _grouped({agent: self.env.observe(agent) for agent in self.env.possible_agents})


class Parallel:
    """The simultaneous PettingZoo adapter."""

    def __init__(self, scenario: Scenario, form: str) -> None:
        self.env = parallel_env(scenario=scenario, action_form=form)

    def reset(self, seed: int) -> None:
        self.seen, _ = self.env.reset(seed=seed)

    @property
    def state(self) -> Any:
        return self.env.env_state

    def play(self, ap: np.ndarray, users: np.ndarray) -> dict[str, Any]:
        actions = dict(zip(self.env.agents, (ap, *users), strict=True))
        self.seen, *rest = self.env.step(actions)
        return _of_agents(*rest)

    def observations(self) -> dict[str, np.ndarray]:
        return _grouped(self.seen)


def _of_agents(rewards: dict, terminations: dict, truncations: dict, infos: dict) -> dict[str, Any]:
    ap, *users = rewards
    assert len(set(terminations.values())) == len(set(truncations.values())) == 1
    known = {
        name: np.array([infos[user][name] for user in users]) for name in ("success", "battery", "backlog")
    }
    return {
        **known,
        "ap_reward": rewards[ap],
        "user_reward": np.array([rewards[user] for user in users]),
        "ap_energy": infos[ap]["ap_energy"],
        "terminated": terminations[ap],
        "truncated": truncations[ap],
    }


def _grouped(seen: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    ap, *users = seen
    return {"ap": seen[ap], "users": np.stack([seen[user] for user in users])}


def expected_observations(scenario: Scenario, state: Any, beams: np.ndarray) -> dict[str, np.ndarray]:
    """What the agents should see, written out user by user."""
    channels, workload = np.asarray(state.observed_channels), np.asarray(state.observed_workload)
    ap: dict[str, list] = {"l": [], "e": [], "re": [], "im": []}
    users = []
    for i, (x, y) in enumerate(scenario.user_positions):
        path_gain = 10 ** (-(20 + 20 * np.log10(np.hypot(x, y))) / 20)
        ap["l"].append(workload[i] / scenario.per_user("mean_workload")[i])
        ap["e"].append(float(state.frame.battery[i]) / scenario.per_user("battery_capacity")[i])
        ap["re"] += list(channels[i].real / path_gain)
        ap["im"] += list(channels[i].imag / path_gain)
        gain = abs(np.vdot(channels[i], beams[i])) ** 2 / np.linalg.norm(channels[i]) ** 2
        own = (channels[i].real / path_gain, channels[i].imag / path_gain)
        users.append([ap["l"][i], ap["e"][i], *own[0], *own[1], gain])
    return {"ap": np.array(ap["l"] + ap["e"] + ap["re"] + ap["im"]), "users": np.array(users)}


def follow(driver: Any, scenario: Scenario, form: str, rng: np.random.Generator, seed: int) -> list[bool]:
    """Play an episode beside the reference, which keeps its own battery and backlog; returns successes."""
    driver.reset(seed)
    battery, backlog = np.asarray(driver.state.frame.battery), np.zeros(scenario.num_users)
    successes: list[bool] = []
    for frame in range(FRAMES):
        state = jax.device_get(driver.state)
        arrival = state.frame.workload - backlog
        assert (arrival > -1e-9).all()
        if scenario.arrivals == "constant":
            np.testing.assert_allclose(arrival, scenario.per_user("mean_workload"), rtol=1e-12)
        else:
            np.testing.assert_allclose(arrival, np.round(arrival), atol=1e-9)

        ap, users = random_action(rng, form, scenario, state.observed_workload)
        beams = reference_beams(ap, state.observed_channels)
        plans = reference_plans(form, scenario, state.observed_workload, users)
        expected = reference_frame(scenario, state.frame.channels, backlog + arrival, battery, beams, plans)
        played = driver.play(ap, users)
        assert played.pop("terminated") is False
        assert played.pop("truncated") is (frame == FRAMES - 1)
        for name, value in played.items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-8, atol=1e-12, err_msg=name)
        seen = expected_observations(scenario, jax.device_get(driver.state), beams)
        for name, value in driver.observations().items():
            np.testing.assert_allclose(value, seen[name], rtol=1e-5, atol=1e-6, err_msg=name)
        battery, backlog = expected["battery"], expected["backlog"]
        successes += list(expected["success"])
    return successes


@pytest.mark.parametrize("driver", [Core, Single, Turns, Parallel])
def test_interface_steps_as_the_reference(driver: Callable[..., Any]) -> None:
    rng = np.random.default_rng(7)
    for N, M, form, *choices in SHAPES:
        successes: list[bool] = []
        for seed in range(4):
            scenario = random_scenario(rng, N, M, *choices)
            successes += follow(driver(scenario, form), scenario, form, rng, seed)
        # A single user harvests nothing and soon has to live on backscatter alone.
        assert (0 if N == 1 else 0.1) < np.mean(successes) < 0.85


@pytest.mark.parametrize("driver", [Core, Single, Turns, Parallel])
def test_trace_is_played_as_the_reference_predicts(driver: Callable[..., Any], tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    shape = (5, 3, 3)
    channels = 0.03 * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape))
    workload = rng.uniform(0, 40, (5, 3))
    np.savez(tmp_path / "trace.npz", channels=channels, workload=workload)
    scenario = Scenario(fading="file", arrivals="file", trace=str(tmp_path / "trace.npz"), episode_length=100)
    play = driver(scenario, "feasible")
    play.reset(1)
    start = int(play.state.trace_start)
    battery, backlog = np.asarray(play.state.frame.battery), np.zeros(3)
    for frame in range(7):  # past the end of the trace, which repeats
        h, work = channels[(start + frame) % 5], workload[(start + frame) % 5] + backlog
        ap, users = random_action(rng, "feasible", scenario, work)
        plans = reference_plans("feasible", scenario, work, users)
        expected = reference_frame(scenario, h, work, battery, reference_beams(ap, h), plans)
        played = play.play(ap, users)
        for name in ("success", "battery", "ap_reward", "user_reward"):
            np.testing.assert_allclose(played[name], expected[name], rtol=1e-8, err_msg=name)
        battery, backlog = expected["battery"], expected["backlog"]
