"""P2's relaxation (beams and allocation together) for a general-purpose conic solver, from NumPy data."""

from dataclasses import dataclass
from functools import cache

import cvxpy as cp
import numpy as np

from reference_allocation import COSTS, Data, data_of, solve_conic

ENERGIES = ("battery", "capacity", "circuit", "local_energy")
PER_USER = (*ENERGIES, "workload", "slot", "local_limit")


@dataclass
class BeamsData:
    """One frame's numbers, whatever the beams."""

    fixed: Data
    """what the beams do not change; its ``passive_rate`` and ``harvest`` mean nothing"""
    channels: np.ndarray
    """(N, M) complex"""
    harvest_scale: float
    """1000 eta p in mW: user j gains harvest_scale h_j^H V_i h_j mJ from slot i"""
    reflected_snr: np.ndarray
    """(N,) q_i = p Gamma2 ||h_i||^2 / noise: the SNR of a unit beam w is q_i |h_i^H w|^2"""
    may_harvest: np.ndarray
    """(N, N) bool: whether user j (row) may count on what slot i (column) brings"""


def beams_data_of(scenario, channels, workload, battery) -> BeamsData:
    """Numbers of a frame; raises ValueError for a rectifier under which P2 is not convex."""
    s, n = scenario, len(workload)
    if s.harvest_model != "linear":
        raise ValueError(f"harvest_model: P2 is convex for a linear rectifier only, not {s.harvest_model}")
    power_gain = np.array([np.vdot(h, h).real for h in channels])
    noise = s.noise_power + s.residual_interference * s.ap_power
    may_harvest = [[i < j if s.causal_harvest else i != j for i in range(n)] for j in range(n)]
    return BeamsData(
        fixed=data_of(s, channels, workload, battery, np.zeros_like(channels)),
        channels=np.asarray(channels),
        harvest_scale=1000 * s.harvest_efficiency * s.ap_power,
        reflected_snr=s.ap_power * np.array(s.per_user("reflection_gain")) * power_gain / noise,
        may_harvest=np.array(may_harvest, bool).reshape(n, n),
    )


@cache
def reference_beams(
    users: int, antennas: int, scheme: str = "hybrid", causal: bool = False
) -> "ReferenceBeams":
    """The same one for all who ask, since stating it to CVXPY takes seconds."""
    return ReferenceBeams(users, antennas, scheme, causal)


class ReferenceBeams:
    """The relaxation in CVXPY for N users and M antennas, parametrised so that it is canonicalised once.

    V_i = t_b,i w_i w_i^H is a Hermitian positive semidefinite matrix of any rank. Its value is at most the
    energy of every beam and allocation of the frame. ``causal`` as ``causal_harvest`` of the scenario.

    V = R + iS is positive semidefinite where the real matrix [[R, -S], [S, R]] is. Any real symmetric X of
    that size yields such a V by averaging its blocks, which keeps it semidefinite; leaving X free saves the
    solver the equations between the blocks, on which it loses digits.

    So that all numbers are of order one, energies on the users' side are counted in that of computing the
    workload locally, and u <= t ln(1 + k x / t) is written u - t ln k <= t ln(1/k + x / t) in both links.
    """

    def __init__(self, users: int, antennas: int, scheme: str = "hybrid", causal: bool = False) -> None:
        n, m = users, antennas
        self.causal = causal
        self.parameters = {name: cp.Parameter(n, nonneg=True) for name in PER_USER}
        p = self.parameters
        self.costs = {name: cp.Parameter(nonneg=True) for name in COSTS}
        self.rate = cp.Parameter(nonneg=True)  # B / ln 2
        self.floors = [cp.Parameter(n, nonneg=True) for _ in range(2)]  # 1/k, active and passive
        self.shifts = [cp.Parameter(n) for _ in range(2)]  # rate ln k

        # Real and imaginary parts of scaled h_j h_j^H: of user j's harvest, then of its reflection.
        def matrices() -> list[tuple[cp.Parameter, cp.Parameter]]:
            return [(cp.Parameter((m, m)), cp.Parameter((m, m))) for _ in range(n)]

        self.harvest, self.reflection = matrices(), matrices()
        t_a, l_a, l_b, l_c, e = (cp.Variable(n, nonneg=True) for _ in range(5))
        free = [cp.Variable((2 * m, 2 * m), PSD=True) for _ in range(n)]
        beams = [((x[:m, :m] + x[m:, m:]) / 2, (x[m:, :m] - x[:m, m:]) / 2) for x in free]
        t_b = cp.hstack([cp.trace(real) for real, _ in beams])

        def inner(left, right):  # the real number tr(H V) of two Hermitian matrices
            return sum(cp.sum(cp.multiply(a, b)) for a, b in zip(left, right, strict=True))

        slots = [[i for i in range(n) if (i < j if causal else i != j)] for j in range(n)]
        harvested = cp.hstack(
            [sum((inner(self.harvest[j], beams[i]) for i in slots[j]), cp.Constant(0)) for j in range(n)]
        )
        demand = e + cp.multiply(p["circuit"], t_a) + cp.multiply(p["local_energy"], l_c)
        constraints = [
            t_a + t_b <= p["slot"],
            l_a + l_b + l_c >= p["workload"],
            l_c <= p["local_limit"],
            demand <= p["battery"] + harvested,
            demand <= p["capacity"],
        ]
        if scheme in ("hybrid", "active"):
            # l_a = rate u, u <= t_a ln(1 + snr e / t_a).
            shifted = cp.Variable(n)
            constraints += [
                l_a <= self.rate * shifted + cp.multiply(self.shifts[0], t_a),
                cp.constraints.ExpCone(shifted, t_a, cp.multiply(self.floors[0], t_a) + e),
            ]
        else:
            constraints += [l_a == 0, t_a == 0]
        if scheme in ("hybrid", "passive"):
            # The same for l_b: u <= t_b ln(1 + q h^H V h / t_b).
            shifted = cp.Variable(n)
            received = cp.hstack([inner(self.reflection[i], beams[i]) for i in range(n)])
            constraints += [
                l_b <= self.rate * shifted + cp.multiply(self.shifts[1], t_b),
                cp.constraints.ExpCone(shifted, t_b, cp.multiply(self.floors[1], t_b) + received),
            ]
        else:
            constraints += [l_b == 0]
        cost = self.costs["beam_power"] * cp.sum(t_b) + self.costs["receive_power"] * cp.sum(t_a)
        cost += self.costs["mec_energy"] * cp.sum(l_a + l_b)
        self.problem = cp.Problem(cp.Minimize(cost), constraints)

    def solve(self, scenario, channels, workload, battery, tolerance: float = 1e-8) -> tuple[int, float]:
        """Verdict and optimal energy in J, idle included.

        Args:
            scenario: the constants.
            channels: (N, M) complex.
            workload: (N,) kbit.
            battery: (N,) mJ.
            tolerance: relative gap and infeasibility at which the solver stops.
        """
        if scenario.causal_harvest != self.causal:
            raise ValueError("causal: must be the scenario's causal_harvest")
        data = beams_data_of(scenario, channels, workload, battery)
        fixed, p = data.fixed, self.parameters
        unit = fixed.local_energy * np.maximum(fixed.workload, 1)  # mJ
        for name in ENERGIES:
            p[name].value = getattr(fixed, name) / unit
        for name in ("workload", "slot"):
            p[name].value = getattr(fixed, name)
        p["local_limit"].value = fixed.local_rate * fixed.slot
        rate = fixed.bandwidth / np.log(2)
        self.rate.value = rate
        best = 1 + data.reflected_snr * np.sum(np.abs(data.channels) ** 2, axis=1)
        for k, floor, shift in zip((unit / fixed.active_noise, best), self.floors, self.shifts, strict=True):
            floor.value, shift.value = 1 / k, rate * np.log(k)
        for name, parameter in self.costs.items():
            parameter.value = getattr(fixed, name)
        for j, h in enumerate(data.channels):
            outer = np.outer(h, h.conj())
            for matrix, scale in (
                (self.harvest[j], data.harvest_scale / unit[j]),
                (self.reflection[j], data.reflected_snr[j] / best[j]),
            ):
                matrix[0].value, matrix[1].value = scale * outer.real, scale * outer.imag
        verdict, value = solve_conic(self.problem, tolerance)
        return verdict, value + fixed.idle_energy
