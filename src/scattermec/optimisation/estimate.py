"""The AP's action estimate, line 4 of Algorithm 1: who can be served, and the allocation that serves them."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Complex

from scattermec._jit import one_program
from scattermec.optimisation.allocation import OPTIMAL, Solution, solve_allocation
from scattermec.optimisation.battery_value import BatteryValue
from scattermec.optimisation.problem import Scheme, allocation_problem
from scattermec.physics.frame import Frame
from scattermec.physics.parameters import Parameters


@one_program("scheme")
def estimate_allocation(
    parameters: Parameters,
    frame: Frame,
    beams: Complex[Array, "N M"],
    *,
    scheme: Scheme = "hybrid",
    battery_value: BatteryValue | None = None,
) -> Solution:
    """Allocate for given beams without trying sets of users: elastic P1, then P1 for the users it serves.

    Always feasible, for any number of users, with at most two solves. The elastic problem leaves as little
    work unprocessed as possible; users with unprocessed work are in outage, and the second solve wastes
    nothing on them. The served users are not always the set that maximises (11): see `allocate_best_set`.
    Arguments as for `allocate`.
    """
    problem = allocation_problem(parameters, frame, beams, scheme=scheme, battery_value=battery_value)
    elastic = solve_allocation(problem, elastic=True)
    everyone = jnp.all(elastic.served | (frame.workload <= 0))
    some = dataclasses.replace(problem, served=elastic.served)
    rigid = solve_allocation(some, skip=everyone)
    use_elastic = everyone | (rigid.status != OPTIMAL)
    return jax.tree.map(lambda a, b: jnp.where(use_elastic, a, b), elastic, rigid)
