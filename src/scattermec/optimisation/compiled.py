"""The compiled kernel: `scattermec.optimisation.interior_point` for many frames at once on a CPU.

It is built with the package where there is a C++ compiler, and not needed: the environment variable
``SCATTERMEC_PORTABLE=1`` does without it. It computes in double precision whatever the precision of the data.
"""

import functools
import importlib
import os
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool

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
    for name, handler in _kernel.handlers().items():
        jax.ffi.register_ffi_target(f"scattermec_{name}", handler, platform="cpu")
    return True


def solve(problem: StandardForm, skip: Bool[Array, ""] | None = None) -> Optimum:
    """Solve one scaled problem; batch it with vmap. See `scattermec.optimisation.solver.solve`."""
    p = problem
    users, beams = p.passive_rate.shape
    elastic = p.cost_shortfall is not None
    dtype = p.workload.dtype
    per_user = jax.ShapeDtypeStruct((users,), dtype)
    per_beam = jax.ShapeDtypeStruct((users, beams), dtype)
    tau, iterations = jax.ShapeDtypeStruct((), dtype), jax.ShapeDtypeStruct((), jnp.int32)
    # In the order of the entries of `Primal` and `Dual`.
    shapes = [per_user, per_beam, *3 * [per_user], *5 * [per_user], tau, iterations]
    call = jax.ffi.ffi_call("scattermec_allocate", shapes, vmap_method="broadcast_all")
    found = call(
        p.passive_rate,
        p.active_rate,
        p.snr,
        p.workload,
        p.local_limit,
        p.battery,
        p.capacity,
        p.circuit,
        p.local_energy,
        p.harvest,
        p.cost_active,
        p.cost_passive,
        p.gain_local,
        p.cost_shortfall if elastic else p.gain_local,
        jnp.zeros((), bool) if skip is None else skip,
        elastic=np.bool_(elastic),
    )
    x, y = Primal(*found[:5]), Dual(*found[5:10])
    return Optimum(x if elastic else x._replace(shortfall=None), y, *found[10:])
