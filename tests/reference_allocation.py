"""P1 stated for a general-purpose conic solver, straight from the problem's equations and from NumPy data."""

import warnings
from dataclasses import dataclass

import cvxpy as cp
import numpy as np

OPTIMAL, INFEASIBLE, UNDECIDED = 0, 1, 2

GIVEN = ("battery", "capacity", "slot", "passive_rate", "circuit", "local_energy")
PER_USER = (*GIVEN, "workload", "local_limit", "carried_rate", "snr")
COSTS = ("beam_power", "receive_power", "mec_energy")


@dataclass
class Data:
    """One frame's numbers: (N,) arrays and scalars in the package's units; ``harvest`` is (N, N)."""

    workload: np.ndarray
    battery: np.ndarray
    capacity: np.ndarray
    slot: np.ndarray
    passive_rate: np.ndarray
    active_noise: np.ndarray
    circuit: np.ndarray
    local_energy: np.ndarray
    local_rate: np.ndarray
    harvest: np.ndarray
    bandwidth: float
    beam_power: float
    receive_power: float
    mec_energy: float
    idle_energy: float


def data_of(scenario, channels, workload, battery, beams) -> Data:
    """Numbers of a frame, by loops over the equations; everything real is float, everything complex NumPy."""
    s, n = scenario, len(workload)
    power_gain = np.array([np.vdot(h, h).real for h in channels])
    gains = np.array([[abs(np.vdot(channels[j], beams[i])) ** 2 for i in range(n)] for j in range(n)])
    harvest = 1000 * s.harvest_efficiency * s.ap_power * gains
    for j in range(n):
        for i in range(n):
            if i == j or (s.causal_harvest and i > j):
                harvest[j, i] = 0
    snr = s.ap_power * np.array(s.per_user("reflection_gain")) * power_gain * np.diag(gains)
    noise = s.noise_power + s.residual_interference * s.ap_power
    slot = np.array(s.per_user("slot_duration"))
    return Data(
        workload=np.asarray(workload, float),
        battery=np.minimum(battery, s.per_user("battery_capacity")),
        capacity=np.array(s.per_user("battery_capacity")),
        slot=slot,
        passive_rate=s.bandwidth * np.log2(1 + snr / noise),
        active_noise=1000 * s.noise_power / power_gain,
        circuit=np.array(s.per_user("circuit_power")),
        local_energy=np.array(s.per_user("local_energy")),
        local_rate=np.array(s.per_user("local_rate")),
        harvest=harvest,
        bandwidth=s.bandwidth,
        beam_power=s.ap_power + s.passive_receive_power,
        receive_power=s.active_receive_power,
        mec_energy=s.mec_energy,
        idle_energy=s.idle_power * slot.sum(),
    )


class ReferenceSolver:
    """The problem in CVXPY for N users, parametrised so that it is canonicalised once.

    ``elastic`` adds a shortfall at 1 J/kbit; with ``parts`` the energy left in as many equal parts of each
    battery has a value. Energies are in mJ; the exponential cone is scaled per user.
    """

    def __init__(self, users: int, scheme: str = "hybrid", elastic: bool = False, parts: int = 0) -> None:
        n = users
        self.parameters = {name: cp.Parameter(n, nonneg=True) for name in PER_USER}
        p = self.parameters
        self.harvest = cp.Parameter((n, n), nonneg=True)
        self.costs = {
            name: cp.Parameter(nonneg=True) for name in ("beam_power", "receive_power", "mec_energy")
        }
        t_a, t_b, l_a, l_b, l_c, e, short = (cp.Variable(n, nonneg=True) for _ in range(7))
        self.t_passive = t_b
        demand = e + cp.multiply(p["circuit"], t_a) + cp.multiply(p["local_energy"], l_c)
        worth = 0
        if parts:
            self.slopes = cp.Parameter((n, parts), nonneg=True)
            left = cp.Variable((n, parts), nonneg=True)
            demand += cp.sum(left, axis=1)
            worth = cp.sum(cp.multiply(self.slopes, left))
        done = l_a + l_b + l_c + (short if elastic else 0)
        constraints = [
            t_a + t_b <= p["slot"],
            l_b <= cp.multiply(p["passive_rate"], t_b),
            done >= p["workload"],
            l_c <= p["local_limit"],
            demand <= p["battery"] + self.harvest @ t_b,
            demand <= p["capacity"],
        ]
        if scheme in ("hybrid", "active"):
            # l_a = carried_rate u, u <= t_a ln(1 + snr e / t_a): the exponential cone u, t_a, t_a + snr e.
            u = cp.Variable(n)
            constraints += [
                l_a <= cp.multiply(p["carried_rate"], u),
                cp.constraints.ExpCone(u, t_a, t_a + cp.multiply(p["snr"], e)),
            ]
        else:
            constraints += [l_a == 0, t_a == 0]
        if scheme in ("active", "local"):
            constraints += [l_b == 0]
        cost = self.costs["beam_power"] * cp.sum(t_b) + self.costs["receive_power"] * cp.sum(t_a)
        cost += self.costs["mec_energy"] * cp.sum(l_a + l_b) + (cp.sum(short) if elastic else 0)
        cost -= worth
        if parts:
            constraints += [left[:, part] <= p["capacity"] / parts for part in range(parts)]
        self.problem = cp.Problem(cp.Minimize(cost), constraints)

    def solve(
        self,
        data: Data,
        workload_factor: float = 1.0,
        tolerance: float = 1e-10,
        slopes: np.ndarray | None = None,
    ) -> tuple[int, float]:
        """Verdict and optimal energy in J, idle included (elastic: the shortfall's price too; with ``slopes``
        less what the energy left is worth).

        ``slopes`` (N, S) in J/mJ value each part of a battery.
        ``tolerance`` is the relative gap and infeasibility at which the solver stops.
        """
        p = self.parameters
        for name in GIVEN:
            p[name].value = getattr(data, name)
        p["workload"].value = data.workload * workload_factor
        p["local_limit"].value = data.local_rate * data.slot
        p["carried_rate"].value = np.full(len(data.slot), data.bandwidth / np.log(2))
        p["snr"].value = 1 / data.active_noise
        self.harvest.value = data.harvest
        if slopes is not None:
            self.slopes.value = slopes
        for name, parameter in self.costs.items():
            parameter.value = getattr(data, name)
        verdict, value = solve_conic(self.problem, tolerance)
        return verdict, value + data.idle_energy


def solve_conic(problem: cp.Problem, tolerance: float) -> tuple[int, float]:
    """Verdict and value by Clarabel; infinite unless optimal. What it calls inaccurate is undecided."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Solution may be inaccurate")
            problem.solve(cp.CLARABEL, tol_gap_abs=tolerance, tol_gap_rel=tolerance, tol_feas=tolerance)
    except cp.error.SolverError:
        return UNDECIDED, np.inf
    if problem.status == cp.OPTIMAL:
        return OPTIMAL, float(problem.value)
    return (INFEASIBLE if problem.status == cp.INFEASIBLE else UNDECIDED), np.inf
