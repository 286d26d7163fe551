"""The frame once more, in plain Python loops straight from the equations: a reference to compare with.

It shares nothing with the package but the scenario's numbers.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from scattermec.scenario import Scenario

TOLERANCE = 1e-6

PER_USER = (
    "success",
    "transmit_power",
    "harvested",
    "demand",
    "budget",
    "spent",
    "overflow",
    "battery",
    "backlog",
)


@dataclass
class UserPlan:
    """One user's times (s) and work (kbit)."""

    t_a: float
    t_b: float
    t_c: float
    l_a: float
    l_b: float
    l_c: float


def reference_beams(numbers: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """2NM numbers in [0, 1] to one unit beam per user; zero means along ``channels``."""
    N, M = channels.shape
    beams = np.zeros((N, M), complex)
    for i in range(N):
        for m in range(M):
            real = 2 * float(numbers[i * M + m]) - 1
            imag = 2 * float(numbers[N * M + i * M + m]) - 1
            beams[i, m] = real + 1j * imag
        norm = math.sqrt(sum(abs(beams[i, m]) ** 2 for m in range(M)))
        if norm == 0:
            beams[i] = channels[i] / math.sqrt(sum(abs(channels[i, m]) ** 2 for m in range(M)))
        else:
            beams[i] = beams[i] / norm
    return beams


def reference_plans(
    form: str, scenario: Scenario, workload: np.ndarray, actions: np.ndarray
) -> list[UserPlan]:
    """Each user's numbers in [0, 1] to times and work, in either form."""
    plans = []
    for i in range(len(workload)):
        T, f_c, work = (
            scenario.per_user("slot_duration")[i],
            scenario.per_user("local_rate")[i],
            workload[i],
        )
        u = [float(number) for number in actions[i]]
        if form == "paper":
            plans.append(UserPlan(u[0] * T, u[1] * T, u[2] * T, u[3] * work, u[4] * work, u[5] * work))
            continue
        t_a = u[0] * u[1] * T
        t_b = u[0] * (1 - u[1]) * T
        least = max(0.0, 1 - f_c * T / work) if work > 0 else 0.0
        share = least + (1 - least) * u[2]
        l_a = share * u[3] * work
        l_b = share * (1 - u[3]) * work
        l_c = (1 - share) * work
        t_c = l_c / f_c if f_c > 0 else 0.0
        plans.append(UserPlan(t_a, t_b, t_c, l_a, l_b, l_c))
    return plans


def transmit_power(s: Scenario, plan: UserPlan, norm2: float) -> float:
    """Power in mW at which the active work takes the time that it has."""
    if plan.l_a == 0:
        return 0.0
    if plan.t_a == 0:
        return math.inf
    exponent = plan.l_a / (s.bandwidth * plan.t_a)
    growth = 2.0**exponent - 1 if exponent < 1000 else math.inf
    return 1000 * growth * s.noise_power / norm2


def reference_frame(
    scenario: Scenario,
    channels: np.ndarray,
    workload: np.ndarray,
    battery: np.ndarray,
    beams: np.ndarray,
    plans: list[UserPlan],
) -> dict[str, Any]:
    """Play one frame with unit beams; the names of what it returns are those of the package's outcome."""
    s = scenario
    N, M = channels.shape

    def gain(j: int, i: int) -> float:
        return abs(sum(np.conj(channels[j, m]) * beams[i, m] for m in range(M))) ** 2

    def rectify(received_mw: float) -> float:
        if s.harvest_model == "linear":
            return s.harvest_efficiency * received_mw
        r = s.rectifier

        def logistic(x: float) -> float:
            return 1 / (1 + math.exp(-r.steepness * (x - r.turn_on)))

        return r.saturation * (logistic(received_mw) - logistic(0)) / (1 - logistic(0))

    out: dict[str, list[float]] = {name: [] for name in PER_USER}
    for j in range(N):
        plan, T = plans[j], s.per_user("slot_duration")[j]
        p_o, phi_c = s.per_user("circuit_power")[j], s.per_user("local_energy")[j]
        f_c, E_max = s.per_user("local_rate")[j], s.per_user("battery_capacity")[j]
        norm2 = sum(abs(channels[j, m]) ** 2 for m in range(M))

        beta = transmit_power(s, plan, norm2)
        demand = math.inf if math.isinf(beta) else plan.t_a * (beta + p_o) + phi_c * plan.l_c

        harvested = usable = 0.0
        for i in range(N):
            if i == j:
                continue
            energy = rectify(1000 * s.ap_power * gain(j, i)) * plans[i].t_b
            harvested += energy
            if i < j or not s.causal_harvest:
                usable += energy
        budget = min(battery[j] + usable, E_max)

        noise = s.noise_power + s.residual_interference * s.ap_power
        snr = s.ap_power * s.per_user("reflection_gain")[j] * norm2 * gain(j, j) / noise
        r_b = s.bandwidth * math.log2(1 + snr)

        def within(left: float, right: float) -> bool:
            return left <= right * (1 + TOLERANCE)

        success = (
            within(plan.t_a + plan.t_b, T)
            and within(plan.l_c, f_c * plan.t_c)
            and within(plan.t_c, T)
            and within(plan.l_b, r_b * plan.t_b)
            and within(workload[j], plan.l_a + plan.l_b + plan.l_c)
            and within(demand, budget)
        )
        spent = min(demand, budget)
        stored = min(battery[j] + harvested, E_max)
        out["success"].append(success)
        out["transmit_power"].append(beta)
        out["harvested"].append(harvested)
        out["demand"].append(demand)
        out["budget"].append(budget)
        out["spent"].append(spent)
        out["overflow"].append(battery[j] + harvested - stored)
        out["battery"].append(stored - spent)
        out["backlog"].append(0.0 if success else min(workload[j], s.backlog_cap))

    E_o = 0.0
    for i in range(N):
        E_o += (s.ap_power + s.passive_receive_power) * plans[i].t_b
        E_o += s.active_receive_power * plans[i].t_a
        E_o += s.mec_energy * (plans[i].l_a + plans[i].l_b)
        E_o += s.idle_power * s.per_user("slot_duration")[i]

    served = sum(out["success"]) / N
    processed = sum(workload[i] for i in range(N) if out["success"][i])
    unpaid = math.inf if processed > 0 else 0.0
    efficiency = processed / E_o if E_o > 0 else unpaid
    ap_reward = served**s.reliability_weight * efficiency if served > 0 else 0.0

    user_reward = []
    for i in range(N):
        ratio = (plans[i].l_a + plans[i].l_b) / workload[i] if workload[i] > 0 else 0.0
        price = s.mec_price * ratio + s.ap_price * plans[i].t_b / s.per_user("slot_duration")[i]
        own = max(float(out["success"][i]) - price, 0.0)
        user_reward.append((1 - s.team_weight) * own + s.team_weight * served)

    arrays = {name: np.array(values) for name, values in out.items()}
    return {**arrays, "ap_energy": E_o, "ap_reward": ap_reward, "user_reward": np.array(user_reward)}
