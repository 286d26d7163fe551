"""Who solves the scaled problem: on a CPU the kernel, where it was built, else the portable method."""

import jax
from jax import Array
from jaxtyping import Bool

from scattermec.optimisation import compiled, interior_point
from scattermec.optimisation.homogeneous import Optimum
from scattermec.optimisation.standard_form import StandardForm


def solve(problem: StandardForm, *, skip: Bool[Array, ""] | None = None) -> Optimum:
    """Solve one scaled problem, of shapes (N,), (N, K) and (N, N, K); batch it with vmap.

    Where ``skip`` is true the result is of no meaning; the kernel then spends no time on it.
    """
    if not compiled.available():
        return interior_point.solve(problem)
    if jax.default_backend() == "cpu":
        return compiled.solve(problem, skip)
    return jax.lax.platform_dependent(
        problem,
        skip,
        cpu=compiled.solve,
        default=lambda problem, skip: interior_point.solve(problem),
    )
