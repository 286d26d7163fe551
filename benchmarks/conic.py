"""P1 and P2 formulated as an expert would for a conic solver: few variables, all numbers of order one.

A problem reads: minimise cost @ x + constant such that right - matrix @ x lies in a product of cones, in this
order: non-negative rows, triangles of positive semidefinite matrices, and exponential cones
{(a, b, c): b exp(a/b) <= c}. The unit of energy on the users' side is the energy to compute the whole
workload locally, about 0.2 mJ in the default scenario; the unit of work is the workload.
"""

from dataclasses import dataclass

import numpy as np

from reference_allocation import Data
from reference_beams import BeamsData


@dataclass
class ConicProblem:
    """Numbers of one problem. Two frames of one size differ in numbers only, never in their pattern."""

    cost: np.ndarray
    """(n,) J"""
    rows: np.ndarray
    """(nonzeros,) row indices of the matrix, whose columns are ``columns`` and values ``values``"""
    columns: np.ndarray
    values: np.ndarray
    right: np.ndarray
    """(m,)"""
    constant: float
    """J"""
    nonnegative: int
    """number of inequalities"""
    exponential: int
    """number of exponential cones"""
    semidefinite: tuple[int, ...] = ()
    """sides of the semidefinite matrices"""


class _Entries:
    """Collects the matrix's entries block by block, always in the same order."""

    def __init__(self) -> None:
        self.blocks: list[tuple[np.ndarray, ...]] = []

    def add(self, rows: np.ndarray, columns: np.ndarray, values: np.ndarray | float) -> None:
        """Add entries from arrays that broadcast together."""
        self.blocks.append(tuple(part.ravel() for part in np.broadcast_arrays(rows, columns, values)))

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows, columns and values."""
        rows, columns, values = (np.concatenate(parts) for parts in zip(*self.blocks, strict=True))
        return rows, columns, values.astype(float)


@dataclass
class _Passive:
    """Linear functions of the passive variables: columns and values, users along axis 0."""

    time: tuple[np.ndarray, np.ndarray]
    """t_b in s"""
    work: tuple[np.ndarray, np.ndarray]
    """most work that can be reflected, in kbit"""
    harvest: tuple[np.ndarray, np.ndarray, np.ndarray]
    """mJ; the harvesting user is the first axis"""


def _active(
    data: Data, entries: _Entries, passive: _Passive, first_cone: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of everything except the passive link's own constraints, and the costs of its variables.

    Variables, N each: v, t_a, y, c. Local work is c times the workload; l_a = r (v + t_a ln k), r = B / ln 2,
    where k is the SNR when a unit of energy is spent in a second. The link is then the cone v, t_a, y with
    y = t_a / k + e: all of order one for any SNR. The server is charged for all work except c, which makes
    l_a and l_b slack variables; they are left out. Returns the right-hand side (7N,) and the cost (4N,).
    """
    n = len(data.workload)
    v, t_a, y, c = (k * n + np.arange(n) for k in range(4))
    time, work, local, budget, capacity, radiated, computed = (k * n + np.arange(n) for k in range(7))
    load = np.maximum(data.workload, 1.0)
    unit = data.local_energy * load
    rate = data.bandwidth / np.log(2) / load
    k = unit / data.active_noise

    entries.add(time, t_a, 1.0)
    entries.add(time[:, None], *passive.time)
    entries.add(work, v, -rate)
    entries.add(work, t_a, -rate * np.log(k))
    entries.add(work[:, None], passive.work[0], -passive.work[1] / load[:, None])
    entries.add(work, c, -1.0)
    entries.add(local, c, 1.0)
    for row in (budget, capacity):
        entries.add(row, y, 1.0)
        entries.add(row, t_a, data.circuit / unit - 1 / k)
        entries.add(row, c, data.local_energy * load / unit)
    user, columns, values = passive.harvest
    entries.add(budget[user], columns, -values / unit[user])
    # e >= 0: otherwise a user could gain energy by carrying a negative amount of work.
    entries.add(radiated, y, -1.0)
    entries.add(radiated, t_a, 1 / k)
    entries.add(computed, c, -1.0)
    for part, variable in enumerate((v, t_a, y)):
        entries.add(first_cone + 3 * np.arange(n) + part, variable, -1.0)

    limit = np.minimum(data.local_rate * data.slot, data.workload) / load
    right = [data.slot, -data.workload / load, limit, data.battery / unit, data.capacity / unit]
    cost = [np.zeros(n), np.full(n, data.receive_power), np.zeros(n), -data.mec_energy * load]
    return np.concatenate([*right, np.zeros(2 * n)]), np.concatenate(cost)


def allocation_problem(data: Data) -> ConicProblem:
    """P1, everyone served: 5N variables, 8N inequalities, N exponential cones."""
    n = len(data.workload)
    t_b = 4 * n + np.arange(n)
    harvester, slot = np.nonzero(~np.eye(n, dtype=bool))
    entries = _Entries()
    passive = _Passive(
        time=(t_b[:, None], np.ones((n, 1))),
        work=(t_b[:, None], data.passive_rate[:, None]),
        harvest=(harvester, t_b[slot], data.harvest[harvester, slot]),
    )
    right, cost = _active(data, entries, passive, 8 * n)
    entries.add(7 * n + np.arange(n), t_b, -1.0)
    rows, columns, values = entries.arrays()
    return ConicProblem(
        cost=np.concatenate([cost, np.full(n, data.beam_power)]),
        rows=rows,
        columns=columns,
        values=values,
        right=np.concatenate([right, np.zeros(n + 3 * n)]),
        constant=data.idle_energy + data.mec_energy * data.workload.sum(),
        nonnegative=8 * n,
        exponential=n,
    )


def beams_problem(data: BeamsData) -> ConicProblem:
    """P2's relaxation: (5 + 2M^2 + M)N variables, 7N inequalities, 2N exponential cones, N matrices.

    V = R + iS is positive semidefinite if and only if the real matrix [[R, -S], [S, R]] is. Any real
    symmetric X of that size yields such a V by averaging its blocks, so X is left free: with V's own M^2
    numbers as variables the solver is equally fast but less accurate.
    """
    fixed = data.fixed
    n, m = data.channels.shape
    size = m * (2 * m + 1)
    w = 4 * n + np.arange(n)
    matrix = 5 * n + np.arange(n * size).reshape(n, size)
    row, column = _triangle(2 * m)
    diagonal = matrix[:, row == column]
    trace = np.where(row == column, 0.5, 0.0)
    gains = np.stack([_quadratic_form(h) for h in data.channels])  # (N, size): h^H V h
    most = 1 + data.reflected_snr * np.sum(np.abs(data.channels) ** 2, axis=1)  # 1 + best SNR
    rate = fixed.bandwidth / np.log(2)
    harvester, slot = np.nonzero(~np.eye(n, dtype=bool))
    allowed = data.may_harvest[harvester, slot]
    passive = _Passive(
        time=(diagonal, np.full((n, 2 * m), 0.5)),
        # l_b <= r (w + t_b ln most): scaled like the active link.
        work=(
            np.concatenate([w[:, None], diagonal], axis=1),
            rate * np.concatenate([np.ones((n, 1)), np.repeat(np.log(most)[:, None] / 2, 2 * m, 1)], axis=1),
        ),
        harvest=(
            np.repeat(harvester, size),
            matrix[slot].ravel(),
            (data.harvest_scale * gains[harvester] * allowed[:, None]).ravel(),
        ),
    )
    entries = _Entries()
    entries.add(7 * n + np.arange(n * size), matrix.ravel(), -1.0)
    first_cone = (7 + size) * n
    right, cost = _active(fixed, entries, passive, first_cone)
    # The passive link: the cone w, t_b, (t_b + q h^H V h) / most.
    cone = first_cone + 3 * n + 3 * np.arange(n)
    entries.add(cone, w, -1.0)
    entries.add(cone[:, None] + 1, diagonal, -0.5)
    entries.add(cone[:, None] + 2, matrix, -(trace + data.reflected_snr[:, None] * gains) / most[:, None])
    rows, columns, values = entries.arrays()
    return ConicProblem(
        cost=np.concatenate([cost, np.zeros(n), np.tile(fixed.beam_power * trace, n)]),
        rows=rows,
        columns=columns,
        values=values,
        right=np.concatenate([right, np.zeros((6 + size) * n)]),
        constant=fixed.idle_energy + fixed.mec_energy * fixed.workload.sum(),
        nonnegative=7 * n,
        exponential=2 * n,
        semidefinite=(2 * m,) * n,
    )


def _triangle(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the upper triangle of a symmetric matrix, column by column."""
    column, row = np.tril_indices(side)
    return row, column


def _quadratic_form(h: np.ndarray) -> np.ndarray:
    """Coefficients of h^H V h in the triangle of X, whose entries off the diagonal carry sqrt(2)."""
    real = np.stack(
        [h.real, h.imag]
    )  # h^H V h = sum of X's forms at (Re h, Im h) and at (-Im h, Re h), over 2
    first, second = np.concatenate(real), np.concatenate([-real[1], real[0]])
    row, column = _triangle(2 * len(h))
    form = (first[row] * first[column] + second[row] * second[column]) / 2
    return np.where(row == column, form, np.sqrt(2) * form)
