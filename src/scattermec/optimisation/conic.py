"""Convex problems with beams of any rank, stated for a general-purpose solver (CVXPY with Clarabel).

Both are of the extra `bench` and are imported on demand. A beam of any rank is a Hermitian positive
semidefinite matrix V = R + iS of M antennas. It is positive semidefinite if the real matrix [[R, -S], [S, R]]
is; any real symmetric X of that size yields such a V by averaging its blocks, which leaves the solver fewer
equations.

To keep all numbers of order one, the users' energies are in units of the energy for computing the mean
workload locally, and u <= t ln(1 + k x / t) is written u - t ln k <= t ln(1/k + x / t).
"""

import importlib
import warnings
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scattermec.errors import ComputationError, InputError
from scattermec.physics import Parameters, links

__all__ = ["UsersPart", "conic_solver", "hermitian", "real_form", "solve", "unit_energy"]


def conic_solver(purpose: str) -> ModuleType:
    """CVXPY; raises InputError, which names the purpose, unless Clarabel is installed too."""
    try:
        cvxpy, _ = (importlib.import_module(name) for name in ("cvxpy", "clarabel"))
    except ImportError as error:
        fault = f"{purpose}: {error.name} not installed; pip install 'scattermec[bench]'"
        raise InputError([fault]) from error
    return cvxpy


def solve(problem: Any, purpose: str, tolerance: float, **settings: Any) -> bool:
    """Whether there is a solution; raises ComputationError if the solver cannot decide.

    ``tolerance`` is the relative gap and infeasibility at which the solver stops. A solution that it calls
    inaccurate counts.
    """
    cp = conic_solver(purpose)
    limits = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), tolerance)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Solution may be inaccurate")
        try:
            problem.solve(cp.CLARABEL, **limits, **settings)
        except cp.error.SolverError:
            raise ComputationError(f"{purpose}: the solver failed") from None
    if problem.status in (cp.INFEASIBLE, cp.INFEASIBLE_INACCURATE):
        return False
    if problem.status not in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
        raise ComputationError(f"{purpose}: the solver ended with {problem.status}")
    return True


def unit_energy(parameters: Parameters) -> np.ndarray:
    """Energy in mJ of computing the mean workload, (N,); 1 where that is nothing."""
    unit = np.asarray(parameters.local_energy * np.maximum(parameters.mean_workload, 1))
    return np.where(unit > 0, unit, 1)


def real_form(matrices: np.ndarray) -> np.ndarray:
    """H (..., M, M) as a real G (..., 2M, 2M) with sum(G * X) = tr(H V) for the V that X represents."""
    real, imaginary = matrices.real, matrices.imag
    rows = np.concatenate([real, -imaginary], axis=-1), np.concatenate([imaginary, real], axis=-1)
    return np.concatenate(rows, axis=-2) / 2


def hermitian(real: np.ndarray) -> np.ndarray:
    """V (..., M, M) that a real X (..., 2M, 2M) represents, times 2."""
    half = real.shape[-1] // 2
    first, second = real[..., :half, :], real[..., half:, :]
    return first[..., :half] + second[..., half:] + 1j * (second[..., :half] - first[..., half:])


class UsersPart:
    """What N users do in each of K frames, given the beams: variables, constraints and cost of K N slots.

    The frames' beams are added by the caller, who also bounds the users' energy, `demand`.
    """

    def __init__(self, purpose: str, parameters: Parameters, channels: np.ndarray) -> None:
        """For channels (K, N, M), with constants on the host."""
        self.solver = cp = conic_solver(purpose)
        self.parameters = p = parameters
        self.frames, users, _ = channels.shape
        self.unit = unit_energy(p)
        unit, gain = self.each(self.unit), np.sum(np.abs(channels) ** 2, axis=-1)
        snr = gain.ravel() / (links.MILLIWATTS_PER_WATT * p.noise_power)
        ratio = jax.vmap(lambda one: links.reflected_snr(p, one, jnp.ones_like(one)))(jnp.asarray(gain))
        reflected = np.asarray(ratio).ravel()
        self.scales = np.maximum(unit * snr, 1e-9), 1 + reflected * gain.ravel()
        """k of the active and of the passive link"""
        outer = np.einsum("kja,kjb->kjab", channels, channels.conj())
        self.matrices = real_form(outer).reshape(self.frames, users, -1)
        """h h^H of each user"""
        self.reflection = (reflected / self.scales[1]).reshape(self.frames, users)
        """relative SNR of a reflected beam, per beam gain"""
        self.harvest = links.MILLIWATTS_PER_WATT * p.harvest_efficiency * p.ap_power / self.unit
        """energy harvested per second and beam gain"""
        names = ("t_active", "l_active", "l_passive", "l_local", "radiated", "shortfall")
        self.variables = {name: cp.Variable(self.frames * users, nonneg=True) for name in names}
        v = self.variables
        self.demand = (
            v["radiated"]
            + cp.multiply(self.each(p.circuit_power) / unit, v["t_active"])
            + cp.multiply(self.each(p.local_energy) / unit, v["l_local"])
        )
        self.done = v["l_active"] + v["l_passive"] + v["l_local"] + v["shortfall"]
        self.capacity = self.each(p.battery_capacity) / unit

    def each(self, values: Any) -> np.ndarray:
        """Values of users, for each of the frames."""
        return np.tile(values, self.frames)

    def constraints(self, t_passive: Any, received: Any) -> list[Any]:
        """(2) and the rates (4) and (6), for the time and the relative reflected SNR of each slot."""
        cp, p, v = self.solver, self.parameters, self.variables
        active, passive = self.scales
        rate = p.bandwidth / np.log(2)
        carried, reflects = (cp.Variable(len(active)) for _ in range(2))
        t_a, e = v["t_active"], v["radiated"]
        return [
            t_a + t_passive <= self.each(p.slot_duration),
            v["l_local"] <= self.each(p.local_rate * p.slot_duration),
            v["l_active"] <= rate * carried + cp.multiply(rate * np.log(active), t_a),
            cp.constraints.ExpCone(carried, t_a, cp.multiply(1 / active, t_a) + e),
            v["l_passive"] <= rate * reflects + cp.multiply(rate * np.log(passive), t_passive),
            cp.constraints.ExpCone(reflects, t_passive, cp.multiply(1 / passive, t_passive) + received),
        ]

    @property
    def receiving(self) -> Any:
        """J that the access point and the server spend on what they receive in all frames."""
        p, v = self.parameters, self.variables
        work = v["l_active"] + v["l_passive"]
        return p.active_receive_power * self.solver.sum(v["t_active"]) + p.mec_energy * self.solver.sum(work)

    def beam(self, antennas: int) -> tuple[Any, Any, Any]:
        """A beam of any rank: its matrix X, the same as a vector, and its time."""
        cp = self.solver
        matrix = cp.Variable((2 * antennas, 2 * antennas), PSD=True)
        vector = cp.vec(matrix, order="C")
        return matrix, vector, real_form(np.eye(antennas)).ravel() @ vector
