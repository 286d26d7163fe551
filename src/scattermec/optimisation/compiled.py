"""The compiled kernel: `scattermec.optimisation.interior_point` for many frames at once on a CPU.

It is built with the package where there is a C++ compiler, and not needed: the environment variable
``SCATTERMEC_PORTABLE=1`` does without it, and ``SCATTERMEC_INSTRUCTIONS`` chooses a set of instructions. It
computes in double precision whatever the precision of the data.
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

from scattermec.errors import InputError
from scattermec.optimisation.homogeneous import Dual, Optimum, Primal
from scattermec.optimisation.standard_form import StandardForm

_kernel: ModuleType | None
try:
    _kernel = importlib.import_module("scattermec.optimisation._kernel")
except ImportError:  # installed without a compiler
    _kernel = None


@functools.cache
def available() -> bool:
    """Whether the kernel was built, and is wanted."""
    if _kernel is None or os.environ.get("SCATTERMEC_PORTABLE", "") not in ("", "0"):
        return False
    wanted = os.environ.get("SCATTERMEC_INSTRUCTIONS", "")
    if wanted:
        try:
            instruction_set(wanted)
        except ValueError as fault:
            raise InputError(f"SCATTERMEC_INSTRUCTIONS: {fault}") from None
    for name, handler in _kernel.handlers().items():
        jax.ffi.register_ffi_target(f"scattermec_{name}", handler, platform="cpu")
    return True


def instruction_set(wanted: str = "") -> str:
    """The set of instructions that the kernel uses: ``baseline``, ``avx2`` or ``avx512``.

    ``wanted`` chooses one; the widest that the processor has is used by default, or what the environment
    variable ``SCATTERMEC_INSTRUCTIONS`` names. Raises ValueError for one that it does not have, and
    RuntimeError where there is no kernel.
    """
    if _kernel is None:
        raise RuntimeError("the compiled kernel was not built")
    name: str = _kernel.use_instructions(wanted)
    return name


def choose(kernel: Callable[..., Any], portable: Callable[..., Any], *data: Any) -> Any:
    """Call ``kernel`` with the data where it is available and they are on a CPU, else ``portable``."""
    if not available():
        return portable(*data)
    if jax.default_backend() == "cpu":
        return kernel(*data)
    return jax.lax.platform_dependent(*data, cpu=kernel, default=portable)


def solve(problem: StandardForm, skip: Bool[Array, ""] | None = None) -> Optimum:
    """Solve one scaled problem; batch it with vmap. See `scattermec.optimisation.solver.solve`."""
    p = problem
    users, beams = p.passive_rate.shape
    elastic = p.cost_shortfall is not None
    dtype = p.workload.dtype
    per_user = jax.ShapeDtypeStruct((users,), dtype)
    per_beam = jax.ShapeDtypeStruct((users, beams), dtype)
    tau, iterations = jax.ShapeDtypeStruct((), dtype), jax.ShapeDtypeStruct((), jnp.int32)
    # In the order of the entries of `Primal` and `Dual`, the energies left last.
    stored = _stored_arrays(p)
    shapes = [per_user, per_beam, *3 * [per_user], *5 * [per_user], tau, iterations]
    shapes += [jax.ShapeDtypeStruct(array.shape, dtype) for array in stored]
    call = jax.ffi.ffi_call("scattermec_allocate", shapes, vmap_method="broadcast_all")
    found = call(*_frame_arrays(p, skip), p.passive_rate, p.harvest, *stored, elastic=np.bool_(elastic))
    left = found[12:] or (None, None)
    x, y = Primal(*found[:5])._replace(stored=left[0]), Dual(*found[5:10])._replace(stored=left[1])
    return Optimum(x if elastic else x._replace(shortfall=None), y, *found[10:12])


def _stored_arrays(problem: StandardForm) -> list[Array]:
    """What the kernel needs where energy left in the batteries has a value."""
    return [array for array in (problem.gain_stored, problem.part_size) if array is not None]


def _frame_arrays(problem: StandardForm, skip: Bool[Array, ""] | None) -> list[Array]:
    """What the kernel needs of a problem besides its beams."""
    p = problem
    return [
        p.active_rate,
        p.snr,
        p.workload,
        p.local_limit,
        p.battery,
        p.capacity,
        p.circuit,
        p.local_energy,
        p.cost_active,
        p.cost_passive,
        p.gain_local,
        p.gain_local if p.cost_shortfall is None else p.cost_shortfall,
        jnp.zeros((), bool) if skip is None else skip,
    ]


class BeamSearch(NamedTuple):
    """What the search for the best beams ends with, in the units of the scaled problem."""

    beams: Array
    """(N, M) complex: one a slot"""
    work: Array
    """(N,) prices that give the best bound, or the proof of infeasibility"""
    budget: Array
    capacity: Array
    worth: Array
    """(N,) what a slot of the best beam brings at these prices"""
    shared_energy: Array
    """() with the time of each slot shared among several beams"""
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
    channels: Complex[Array, "N M"],
    beams: Complex[Array, "N K M"],
    skip: Bool[Array, ""] | None = None,
) -> BeamSearch:
    """Search for the best beams of one frame; batch it with vmap. See `scattermec.optimisation.beamforming`.

    Args:
        problem: the scaled problem, whose own beams do not matter.
        reflected_work: scaled work of a slot per ln(1 + snr).
        reflected_snr: signal-to-noise ratio of backscatter for a beam gain of 1.
        harvest_weight: scaled energy that user j (row) harvests in slot i (column) for a beam gain of 1.
        constant: scaled energy besides the problem's cost.
        small: scaled energy below which gaps are relative to this one.
        channels: of all users.
        beams: K a slot, to begin with.
        skip: where true, the result is of no meaning.
    """
    dtype = problem.workload.dtype
    # The kernel takes what it is given for complex numbers of this precision.
    channels, beams = (jnp.asarray(array, jnp.result_type(dtype, complex)) for array in (channels, beams))
    per_user = jax.ShapeDtypeStruct(problem.workload.shape, dtype)
    shapes = [
        jax.ShapeDtypeStruct(channels.shape, channels.dtype),
        *4 * [per_user],
        jax.ShapeDtypeStruct((), dtype),
        jax.ShapeDtypeStruct((), jnp.bool_),
        jax.ShapeDtypeStruct((), jnp.int32),
    ]
    call = jax.ffi.ffi_call("scattermec_search_beams", shapes, vmap_method="broadcast_all")
    found = call(
        *_frame_arrays(problem, skip),
        reflected_work,
        reflected_snr,
        harvest_weight,
        constant,
        small,
        channels,
        beams,
        *_stored_arrays(problem),
    )
    return BeamSearch(*found)
