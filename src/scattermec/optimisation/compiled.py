"""The compiled kernel: `scattermec.optimisation.interior_point` for many frames at once on a CPU.

It is optional, and built with the package if there is a C++ compiler. The environment variable
``SCATTERMEC_PORTABLE=1`` disables it, ``SCATTERMEC_INSTRUCTIONS`` selects an instruction set. It computes in
double precision whatever the precision of the data.

Its arguments, and the constants that it shares with the portable solver, are in
`scattermec.optimisation.shared`. It does not run on other devices (`choose`), and has no derivatives:
those of a solution come from its prices (`scattermec.optimisation.allocation`). Its search for beams has no
elastic form.
"""

import functools
import importlib
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Complex, Float

from scattermec.errors import ComputationError, InputError
from scattermec.optimisation import shared
from scattermec.optimisation.homogeneous import Dual, Optimum, Primal
from scattermec.optimisation.standard_form import Planes, StandardForm

_kernel: ModuleType | None
try:
    _kernel = importlib.import_module("scattermec.optimisation._kernel")
except ImportError:  # installed without a compiler
    _kernel = None


@functools.cache
def available() -> bool:
    """Whether the kernel was built and is not disabled."""
    if _kernel is None or os.environ.get("SCATTERMEC_PORTABLE", "") not in ("", "0"):
        return False
    wanted = os.environ.get("SCATTERMEC_INSTRUCTIONS", "")
    if wanted:
        try:
            instruction_set(wanted)
        except ValueError as fault:
            raise InputError(f"SCATTERMEC_INSTRUCTIONS: {fault}") from None
    if _kernel.built_from() != shared.digest():
        raise ComputationError("the compiled kernel was built from other sources: install the package again")
    for name, handler in _kernel.handlers().items():
        jax.ffi.register_ffi_target(f"scattermec_{name}", handler, platform="cpu")
    return True


def instruction_set(wanted: str = "") -> str:
    """The instruction set that the kernel uses: ``baseline``, ``avx2`` or ``avx512``.

    ``wanted`` selects one; the default is the environment variable ``SCATTERMEC_INSTRUCTIONS``, else the
    widest set of the processor. Raises ValueError for one that the processor lacks, and RuntimeError without
    the kernel.
    """
    if _kernel is None:
        raise RuntimeError("the compiled kernel was not built")
    name: str = _kernel.use_instructions(wanted)
    return name


def choose(kernel: Callable[..., Any], portable: Callable[..., Any], *data: Any) -> Any:
    """Call ``kernel`` if it is available and the data are on a CPU, else ``portable``."""
    if not available():
        return portable(*data)
    if jax.default_backend() == "cpu":
        return kernel(*data)
    return jax.lax.platform_dependent(*data, cpu=kernel, default=portable)


def solve(problem: StandardForm, skip: Bool[Array, ""] | None = None) -> Optimum:
    """Solve one scaled problem; batch it with vmap. See `scattermec.optimisation.solver.solve`."""
    found = _call("scattermec_allocate", shared.ALLOCATION, shared.ALLOCATION_RESULTS, problem, skip, {})
    found["shortfall"] = None if problem.cost_shortfall is None else found["shortfall"]
    x = {name: found[name] for name in Primal._fields}
    if problem.planes is None:
        x |= {"kept": None, "worth": None}
    y = {name: found[name] for name in Dual._fields if name != "worth"}
    return Optimum(Primal(**x), Dual(**y), found["tau"], found["iterations"])


def _call(
    target: str,
    arguments: tuple[shared.Argument, ...],
    results: tuple[shared.Argument, ...],
    problem: StandardForm,
    skip: Bool[Array, ""] | None,
    others: dict[str, Array],
) -> dict[str, Any]:
    """Call the kernel with the arrays of a problem and ``others``, by name; returns its results by name."""
    real = problem.workload.dtype
    users, beams = problem.passive_rate.shape
    given = vars(problem) | others | {"skip": jnp.zeros((), bool) if skip is None else skip}
    # Absent parts of a problem have size 0.
    planes = problem.planes or Planes(*(jnp.zeros(shape, real) for shape in (0, (users, 0), (users, 0), 0)))
    # The kernel computes the constants itself, in double precision.
    given |= {"plane_unit": planes.unit, "plane_slope": planes.slope, "plane_size": planes.size}
    if problem.cost_shortfall is None:
        given["cost_shortfall"] = jnp.zeros(0, real)
    sizes = {
        "N": users,
        "K": others["beams"].shape[1] if "beams" in others else beams,
        "M": others["channels"].shape[1] if "channels" in others else 0,
        "S": planes.slope.shape[-1],
        "V": planes.unit.shape[0],
        "E": given["cost_shortfall"].shape[-1],
    }
    kinds = {
        "real": real,
        "complex": jnp.result_type(real, complex),
        "bool": jnp.bool_,
        "int": jnp.int32,
    }

    def shape(argument: shared.Argument) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct([sizes[letter] for letter in argument.dimensions], kinds[argument.kind])

    call = jax.ffi.ffi_call(target, [shape(result) for result in results], vmap_method="broadcast_all")
    arrays = [jnp.asarray(given[name], kinds[kind]) for name, _, kind in (*shared.FRAME, *arguments)]
    found = call(
        *arrays,
        users=np.int64(sizes["N"]),
        beams=np.int64(sizes["K"]),
        antennas=np.int64(sizes["M"]),
        parts=np.int64(sizes["S"]),
        shortfalls=np.int64(sizes["E"]),
    )
    return {result.name: array for result, array in zip(results, found, strict=True)}


class BeamSearch(NamedTuple):
    """The result of the search for the best beams, in the units of the scaled problem."""

    beams: Array
    """(N, M) complex: one per slot"""
    work: Array
    """(N,) prices of the best bound, or of the proof of infeasibility"""
    budget: Array
    capacity: Array
    worth: Array
    """(N,) value of a slot of the best beam at these prices"""
    shared_energy: Array
    """() energy with the time of each slot shared among several beams"""
    infeasible: Array
    """() bool: proved"""
    rounds: Array


def search_beams(
    problem: StandardForm,
    reflected_work: Float[Array, " N"],
    reflected_snr: Float[Array, " N"],
    harvest_weight: Float[Array, "N N"],
    constant: Float[Array, ""],
    small: Float[Array, ""],
    fills: Bool[Array, " N"],
    channels: Complex[Array, "N M"],
    beams: Complex[Array, "N K M"],
    skip: Bool[Array, ""] | None = None,
) -> BeamSearch:
    """Search for the best beams of one frame; batch it with vmap. See `scattermec.optimisation.beamforming`.

    Args:
        problem: the scaled problem; its own beams are ignored.
        reflected_work: scaled work of a slot per ln(1 + snr).
        reflected_snr: signal-to-noise ratio of backscatter for a beam gain of 1.
        harvest_weight: scaled energy that user j (row) harvests in slot i (column) for a beam gain of 1.
        constant: scaled energy that is not part of the problem's cost.
        small: gaps of smaller scaled energies are relative to this one.
        fills: whether a user's battery can be filled.
        channels: channels of all users.
        beams: the initial beams, K per slot.
        skip: if true, the result is meaningless.
    """
    others = {
        "reflected_work": reflected_work,
        "reflected_snr": reflected_snr,
        "harvest_weight": harvest_weight,
        "constant": constant,
        "small": small,
        "fills": fills,
        "channels": channels,
        "beams": beams,
    }
    found = _call("scattermec_search_beams", shared.SEARCH, shared.SEARCH_RESULTS, problem, skip, others)
    return BeamSearch(**found)
