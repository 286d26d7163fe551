"""The exact optimisation of a frame, with its certificate."""

from scattermec.optimisation.allocation import (
    INFEASIBLE,
    NOT_CONVERGED,
    OPTIMAL,
    Solution,
    allocate,
    solve_allocation,
)
from scattermec.optimisation.batch import (
    SERVE,
    Serve,
    allocate_all_or_best,
    allocate_frames,
    frame_rewards,
)
from scattermec.optimisation.bound import Prices, infeasibility_margin, lower_bound
from scattermec.optimisation.problem import SCHEMES, AllocationProblem, Scheme, allocation_problem
from scattermec.optimisation.service import allocate_best_set, search_best_set

__all__ = [
    "INFEASIBLE",
    "NOT_CONVERGED",
    "OPTIMAL",
    "SCHEMES",
    "SERVE",
    "AllocationProblem",
    "Prices",
    "Scheme",
    "Serve",
    "Solution",
    "allocate",
    "allocate_all_or_best",
    "allocate_best_set",
    "allocate_frames",
    "allocation_problem",
    "frame_rewards",
    "infeasibility_margin",
    "lower_bound",
    "search_best_set",
    "solve_allocation",
]
