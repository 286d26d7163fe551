"""price-net in scenarios that it has not seen: other users and antennas, distances and powers."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from scattermec.experiments.measure.beams import allocate_for
from scattermec.experiments.measure.statistics import Estimate, mean_interval, ratio_interval
from scattermec.experiments.measure.sweeps import draw_frames
from scattermec.optimisation import optimise_all_or_best
from scattermec.physics import Allocation, Frame, Parameters, parameters_of, run_frame
from scattermec.price_net.modes import beams_frames, modes_of
from scattermec.price_net.policy import PriceNet
from scattermec.price_net.registry import Policy, check_fit
from scattermec.price_net.variety import DISTANCES, MOST_ANTENNAS, POWERS, SCALES
from scattermec.scenario import Scenario

FEWEST_USERS, MOST_USERS = 2, 10

EXACT = "exact"
"""A further mode: the network's beams, with the best allocation to the best users."""


@dataclass(frozen=True)
class UnseenRow:
    """One scenario."""

    scenario: Scenario
    shares: dict[str, Estimate]
    """share of the certified optimum's mean reward, by mode; the optimum serves everyone where possible"""
    outages: dict[str, Estimate]
    """outage by mode, and of the optimum under its own name"""


def draw_scenarios(base: Scenario, count: int, seed: int) -> list[Scenario]:
    """Scenarios of 2 to 10 users and 1 to 8 antennas, with other distances and powers, evenly at random."""
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(count):
        users = int(rng.integers(FEWEST_USERS, MOST_USERS + 1))
        distance = np.exp(rng.uniform(*np.log(SCALES))) * rng.uniform(*DISTANCES, users)
        angle = rng.uniform(0, 2 * np.pi, users)
        positions = np.stack([distance * np.cos(angle), distance * np.sin(angle)], axis=1).round(3)
        values = {
            "user_positions": positions.tolist(),
            "num_antennas": int(rng.integers(1, MOST_ANTENNAS + 1)),
            "ap_power": float(np.exp(rng.uniform(*np.log(POWERS))).round(3)),
        }
        drawn.append(Scenario(**(base.model_dump() | values)))
    return drawn


def measure_unseen(
    policy: Policy,
    *,
    scenarios: int,
    frames: int,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[UnseenRow]:
    """One row per scenario, from ``frames`` independent frames; ``progress`` counts scenarios.

    Raises InputError if the policy was trained for one number of users or antennas.
    """
    rows = []
    for scenario in draw_scenarios(policy.scenario, scenarios, seed):
        check_fit(policy, scenario)
        parameters = parameters_of(scenario)
        drawn = draw_frames(parameters, frames=frames, seed=seed)
        best, _ = optimise_all_or_best(parameters, drawn)
        optimum = _play(parameters, drawn, best.beams, best.solution.allocation)
        played = dict(_play_modes(policy.network, parameters, drawn))
        chosen = beams_frames(policy.network, parameters, drawn)
        exact = allocate_for(parameters, drawn, chosen, scheme="hybrid")
        played[EXACT] = _play(parameters, drawn, chosen, exact.solution.allocation)
        shares = {
            name: ratio_interval(np.asarray(reward), np.asarray(optimum[0]))
            for name, (reward, _) in played.items()
        }
        outages = {
            name: mean_interval(np.asarray(outage))
            for name, (_, outage) in (played | {"optimum": optimum}).items()
        }
        rows.append(UnseenRow(scenario, shares, outages))
        progress(len(rows), scenarios)
    return rows


def _outcome(
    parameters: Parameters, frame: Frame, beams: jax.Array, allocation: Allocation
) -> tuple[jax.Array, jax.Array]:
    outcome = run_frame(parameters, frame, beams, allocation)
    return outcome.ap_reward, jnp.mean(~outcome.success)


_play = jax.jit(jax.vmap(_outcome, in_axes=(None, 0, 0, 0)))


@jax.jit
def _play_modes(
    network: PriceNet, parameters: Parameters, frames: Frame
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Rewards and outages (K,) of each mode."""

    def of_frame(frame: Frame) -> dict[str, tuple[jax.Array, jax.Array]]:
        decided = {name: mode(network, parameters, frame) for name, mode in modes_of(network).items()}
        return {name: _outcome(parameters, frame, one.beams, one.allocation) for name, one in decided.items()}

    return jax.vmap(of_frame)(frames)
