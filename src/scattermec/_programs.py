"""Compiled programs stored whole, so that a later process neither traces nor lowers them again.

JAX's own cache saves only XLA's work, which is less than half of the total. The commands use this for
functions called outside jit. Within jit, on anything but a single CPU, and when the package is imported as a
library, these functions behave as under `jax.jit`.
"""

import functools
import hashlib
import os
import pickle
import platform
import re
import shutil
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib
from jax.experimental import serialize_executable
from jax.experimental.compilation_cache import compilation_cache

from scattermec import _compilation
from scattermec.errors import BusyError
from scattermec.storage.atomic import replacing

_PACKAGE = Path(__file__).parent
_DIGEST = hashlib.sha256().digest_size

_CALLS = re.compile(r'custom_call_target="([^"]*)"')
_LAPACK, _OURS = "lapack_", "scattermec_"
"""Prefixes of the functions that stored programs may call, since these exist when a program is loaded. The
address of any other function might not be set."""


def kept_jit(function: Callable[..., Any], *, static_argnums: tuple[int, ...] = ()) -> Callable[..., Any]:
    """`jax.jit` for positional arguments, with programs stored in `_compilation.programs_folder`.

    Static arguments are strings, numbers or None.
    """
    jitted = jax.jit(function, static_argnums=static_argnums)
    ready: dict[Hashable, Callable[..., Any]] = {}

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        folder = _compilation.programs_folder()
        if folder is None:
            return jitted(*arguments)
        fixed = tuple(argument for i, argument in enumerate(arguments) if i in static_argnums)
        data = [argument for i, argument in enumerate(arguments) if i not in static_argnums]
        leaves, structure = jax.tree.flatten(data)
        if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves) or not _on_one_cpu():
            return jitted(*arguments)
        kinds = tuple(leaf.aval if isinstance(leaf, jax.Array) else jax.typeof(leaf) for leaf in leaves)
        signature = (fixed, structure, kinds)
        if signature not in ready:

            def flat(*leaves: Any) -> Any:
                rest = iter(jax.tree.unflatten(structure, leaves))
                return function(*(a if i in static_argnums else next(rest) for i, a in enumerate(arguments)))

            flat.__name__ = flat.__qualname__ = function.__name__
            name = f"{function.__module__}.{function.__qualname__}"
            described = "\n".join([name, repr(fixed), str(structure), *(_described(kind) for kind in kinds)])
            if " at 0x" in described:  # an address, which differs in every process
                ready[signature] = jax.jit(flat)
            else:
                ready[signature] = _program(folder, described, flat, leaves)
        return ready[signature](*leaves)

    call._cache_size = lambda: jitted._cache_size() + len(ready)  # type: ignore[attr-defined]
    return call


def _described(kind: Any) -> str:
    return f"{kind.str_short()} {getattr(kind, 'weak_type', False)}"


@functools.cache
def _on_one_cpu() -> bool:
    return jax.default_backend() == "cpu" and jax.device_count() == 1


def _program(folder: Path, described: str, function: Callable[..., Any], leaves: list[Any]) -> Any:
    """The program with that description: read from its file, else compiled and written there."""
    path = folder / _surroundings() / hashlib.sha256(described.encode()).hexdigest()
    program = _read(path)
    if program is None:
        program = _compiled_whole(jax.jit(function).lower(*leaves))
        _write(path, program)
    return program


def _compiled_whole(lowered: jax.stages.Lowered) -> jax.stages.Compiled:
    """Compile without JAX's cache: programs from it are serialised without their functions."""
    # JAX reads the switch only when it first uses its cache, or after a reset.
    compilation_cache.reset_cache()
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        return lowered.compile()
    finally:
        jax.config.update("jax_enable_compilation_cache", True)
        compilation_cache.reset_cache()


def _read(path: Path) -> Callable[..., Any] | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    # A damaged file must not be run, and machine code cannot be checked in any other way.
    if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
        return None
    calls_lapack, serialized = pickle.loads(content[_DIGEST:])
    if calls_lapack:
        _prepare_lapack()
    try:
        return serialize_executable.deserialize_and_load(*serialized)
    except jax.errors.JaxRuntimeError:  # a function that it calls is missing
        return None


def _write(path: Path, program: Any) -> None:
    """Store a program. Failing to (another process is writing it, or the disk is full) only costs time."""
    calls = set(_CALLS.findall(program.as_text()))
    if not all(name.startswith((_LAPACK, _OURS)) for name in calls):
        return
    calls_lapack = any(name.startswith(_LAPACK) for name in calls)
    try:
        content = pickle.dumps((calls_lapack, serialize_executable.serialize(program)))
    except (jax.errors.JaxRuntimeError, ValueError, pickle.PicklingError):
        return
    try:
        if not path.parent.is_dir():
            # Programs of another version of the package would not be used again.
            shutil.rmtree(path.parent.parent, ignore_errors=True)
            path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            partial.write_bytes(hashlib.sha256(content).digest() + content)
    except (OSError, BusyError):
        return


@functools.cache
def _prepare_lapack() -> None:
    """Make JAX look up LAPACK's functions: it does so on first lowering a call to one, not on loading."""
    jax.jit(jax.lax.linalg.cholesky).lower(jax.ShapeDtypeStruct((1, 1), jnp.float32))


@functools.cache
def _surroundings() -> str:
    """Digest of a program's other dependencies: code, versions, settings, machine."""
    digest = hashlib.sha256(code_digest())
    kernels = sorted(path.name for path in _PACKAGE.rglob("_kernel*.*"))
    settings = {
        name: value
        for name, value in sorted(os.environ.items())
        if name.startswith(("JAX_", "PJRT_", "XLA_", "SCATTERMEC_PORTABLE"))
    }
    versions = (jax.__version__, jaxlib.__version__, platform.python_version())
    digest.update(repr((kernels, settings, versions, jax.config.jax_enable_x64, _processor())).encode())  # type: ignore[attr-defined]
    return digest.hexdigest()[:32]


@functools.cache
def code_digest() -> bytes:
    """Digest of the package's own code."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.digest()


def _processor() -> str:
    """Processor model and instruction sets, as far as the system reports them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    wanted = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))
