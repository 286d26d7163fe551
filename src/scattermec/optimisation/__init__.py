"""The exact optimisation of a frame, with its certificate."""

from scattermec.optimisation.allocation import (
    FEASIBLE,
    INFEASIBLE,
    NOT_CONVERGED,
    OPTIMAL,
    Solution,
    allocate,
    is_feasible,
    solve_allocation,
)
from scattermec.optimisation.batch import (
    SERVE,
    Serve,
    allocate_all_or_best,
    allocate_frames,
    frame_rewards,
    optimise_all_or_best,
    optimise_beams_frames,
    optimise_service_frames,
)
from scattermec.optimisation.battery_value import BatteryValue
from scattermec.optimisation.beamforming import BeamSolution, optimise_beams
from scattermec.optimisation.bound import Prices, infeasibility_margin, lower_bound
from scattermec.optimisation.estimate import estimate_allocation
from scattermec.optimisation.joint_service import ServiceSolution, optimise_service
from scattermec.optimisation.pricing import best_beams
from scattermec.optimisation.problem import SCHEMES, AllocationProblem, Scheme, allocation_problem
from scattermec.optimisation.service import (
    allocate_best_set,
    allocate_everyone_or_best,
    search_best_set,
)

__all__ = [
    "FEASIBLE",
    "INFEASIBLE",
    "NOT_CONVERGED",
    "OPTIMAL",
    "SCHEMES",
    "SERVE",
    "AllocationProblem",
    "BatteryValue",
    "BeamSolution",
    "Prices",
    "Scheme",
    "Serve",
    "ServiceSolution",
    "Solution",
    "allocate",
    "allocate_all_or_best",
    "allocate_best_set",
    "allocate_everyone_or_best",
    "allocate_frames",
    "allocation_problem",
    "best_beams",
    "estimate_allocation",
    "frame_rewards",
    "infeasibility_margin",
    "is_feasible",
    "lower_bound",
    "optimise_all_or_best",
    "optimise_beams",
    "optimise_beams_frames",
    "optimise_service",
    "optimise_service_frames",
    "search_best_set",
    "solve_allocation",
]
