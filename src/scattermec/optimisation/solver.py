"""Solver of the scaled problem: the kernel on a CPU if it was built, else the portable method."""

from jax import Array
from jaxtyping import Bool

from scattermec.optimisation import compiled, interior_point
from scattermec.optimisation.homogeneous import Optimum
from scattermec.optimisation.standard_form import StandardForm


def solve(problem: StandardForm, *, skip: Bool[Array, ""] | None = None) -> Optimum:
    """Solve one scaled problem, of shapes (N,), (N, K) and (N, N, K); batch it with vmap.

    If ``skip`` is true, the result is meaningless; the kernel then spends no time on it.
    """
    return compiled.choose(compiled.solve, lambda problem, skip: interior_point.solve(problem), problem, skip)
