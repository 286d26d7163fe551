"""General-purpose solvers: the structure is built once, then the numbers of a problem or batch are loaded."""

import importlib
from collections.abc import Sequence
from typing import Any

import clarabel
import numpy as np
import scipy.sparse as sp

from benchmarks.conic import ConicProblem
from reference_allocation import INFEASIBLE, OPTIMAL, UNDECIDED

TOLERANCE = 1e-8
"""Tolerance of the peers; their energies then agree with ours to about that, measured in every run."""


class Unavailable(Exception):  # noqa: N818 - not an error but a fact about the machine
    """A peer cannot be used here; the message is the reason."""


class ClarabelDirect:
    """Clarabel without a modelling language: one solver object, whose data `load` replaces.

    ``update`` forbids presolve and chordal decomposition, neither of which would help here. Equilibration is
    off: the problems are scaled already, it would be based on the first frame for all frames, and with it P1
    takes more iterations and P2 misses proofs of infeasibility.
    """

    def __init__(self, example: ConicProblem) -> None:
        self.order = np.lexsort((example.rows, example.columns))
        shape = (len(example.right), len(example.cost))
        matrix = sp.csc_matrix((example.values, (example.rows, example.columns)), shape=shape)
        assert matrix.nnz == len(example.values), "an entry is given twice"
        settings = clarabel.DefaultSettings()
        settings.verbose = False
        settings.max_threads = 1
        settings.presolve_enable = False
        settings.chordal_decomposition_enable = False
        settings.equilibrate_enable = False
        settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = TOLERANCE
        cones = [
            clarabel.NonnegativeConeT(example.nonnegative),
            *[clarabel.PSDTriangleConeT(side) for side in example.semidefinite],
            *[clarabel.ExponentialConeT()] * example.exponential,
        ]
        no_squares = sp.csc_matrix((shape[1], shape[1]))
        self.solver = clarabel.DefaultSolver(no_squares, example.cost, matrix, example.right, cones, settings)

    def load(self, problem: ConicProblem) -> None:
        """Replace the numbers."""
        self.solver.update(q=problem.cost, A=problem.values[self.order], b=problem.right)

    def solve(self) -> Any:
        """Run the solver; the result is for `verdict`."""
        return self.solver.solve()

    def verdict(self, solution: Any, constant: float) -> tuple[int, float]:
        """Verdict and energy in J, the problem's ``constant`` included.

        A result that the solver calls almost solved counts as undecided.
        """
        status = solution.status
        if status == clarabel.SolverStatus.Solved:
            return OPTIMAL, solution.obj_val + constant
        infeasible = status == clarabel.SolverStatus.PrimalInfeasible
        return (INFEASIBLE if infeasible else UNDECIDED), np.inf


class Moreau:
    """moreau's compiled solver on the CPU: one structure, one batch of problems per call."""

    def __init__(self, example: ConicProblem, batch: int) -> None:
        try:
            self.moreau: Any = importlib.import_module("moreau")
        except ImportError as error:
            raise Unavailable(f"not installed ({error})") from None
        self.order = np.lexsort((example.columns, example.rows))
        shape = (len(example.right), len(example.cost))
        matrix = sp.csr_matrix((example.values, (example.rows, example.columns)), shape=shape)
        try:
            self.solver = self.moreau.CompiledSolver(
                n=shape[1],
                m=shape[0],
                P_row_offsets=[0] * (shape[1] + 1),
                P_col_indices=[],
                A_row_offsets=matrix.indptr.tolist(),
                A_col_indices=matrix.indices.tolist(),
                cones=self.moreau.Cones(
                    num_nonneg_cones=example.nonnegative,
                    num_exp_cones=example.exponential,
                    psd_dims=list(example.semidefinite),
                ),
                settings=self.moreau.Settings(
                    solver="ipm",
                    device="cpu",
                    batch_size=batch,
                    ipm_settings=self.moreau.IPMSettings(
                        tol_gap_abs=TOLERANCE, tol_gap_rel=TOLERANCE, tol_feas=TOLERANCE
                    ),
                ),
            )
        except Exception as error:
            # Whatever the reason (licence, device, unsupported cone), the comparison continues.
            raise Unavailable(str(error).splitlines()[0]) from None
        self.batch = batch

    def load(self, problems: Sequence[ConicProblem]) -> None:
        """Replace the numbers of the whole batch."""
        self.cost = np.stack([problem.cost for problem in problems])
        self.right = np.stack([problem.right for problem in problems])
        values = np.stack([problem.values[self.order] for problem in problems])
        self.solver.setup(np.zeros((self.batch, 0)), values)

    def solve(self) -> Any:
        """Run the solver; the result is for `verdicts`."""
        self.solver.solve(self.cost, self.right)
        return self.solver.info

    def verdicts(self, info: Any, constants: Sequence[float]) -> list[tuple[int, float]]:
        """Verdict and energy in J of each problem, its constant included."""
        status = self.moreau.SolverStatus
        found = []
        for code, value, constant in zip(
            np.atleast_1d(info.status), np.atleast_1d(info.obj_val), constants, strict=True
        ):
            if code == status.Solved:
                found.append((OPTIMAL, float(value) + constant))
            else:
                found.append((INFEASIBLE if code == status.PrimalInfeasible else UNDECIDED, np.inf))
        return found
