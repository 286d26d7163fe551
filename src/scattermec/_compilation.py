"""JAX compilation for the commands: one persistent cache, and light optimisation of all that is soon done.

JAX is imported only when a function needs it.
"""

import os
import tempfile
import warnings
from pathlib import Path

SWITCH = "SCATTERMEC_CACHE"
"""Environment variable: 0 switches the cache off."""

_FLAGS: dict[str, tuple[str, int | bool]] = {
    "xla_backend_optimization_level": ("0", 2),
    "xla_llvm_disable_expensive_passes": ("true", False),
    "xla_cpu_use_fusion_emitters": ("false", True),
}
"""Flags of XLA: how they are for light compilation, and for training. The latter are XLA's defaults, but for
the level: at 3 a learner takes a third longer to compile and runs no faster, with the same digits."""

_LIGHT = "SCATTERMEC_COMPILES_LIGHTLY"
"""Environment variable, for child processes too: the flags that were added to ``XLA_FLAGS``."""


def compile_lightly() -> None:
    """Make XLA compile in a third of the time, to code that is hardly slower. Call before JAX is first used.

    Measurements: with the kernel, `solve` gains even over 100,000 frames, since the kernel is compiled
    already; with the portable solver, `simulate` of 500 frames gains, and more frames were not tried.
    Programs that run for long are excepted by `careful_options`. The user's own ``XLA_FLAGS`` are kept.
    """
    given = os.environ.get("XLA_FLAGS", "").split()
    names = {flag.partition("=")[0].removeprefix("--") for flag in given}
    wanted = [name for name in _FLAGS if name not in names]
    if wanted:
        os.environ["XLA_FLAGS"] = " ".join([*given, *(f"--{name}={_FLAGS[name][0]}" for name in wanted)])
        os.environ[_LIGHT] = " ".join(wanted)


def careful_options() -> dict[str, int | bool]:
    """``compiler_options`` for training, for what `compile_lightly` changed."""
    return {name: _FLAGS[name][1] for name in os.environ.get(_LIGHT, "").split()}


def cache_folder() -> Path | None:
    """Folder of JAX's compilation cache, within the user's cache folder; None if it is switched off."""
    if os.environ.get(SWITCH, "") == "0":
        return None
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "scattermec" / "jax"


_programs: Path | None = None


def programs_folder() -> Path | None:
    """Folder in which `scattermec._programs` stores programs; None unless `use_compilation_cache` set it."""
    return _programs


def use_compilation_cache() -> None:
    """Make JAX cache programs in `cache_folder`, unless it has another cache or the folder is read-only."""
    import jax

    if jax.config.jax_compilation_cache_dir is not None:  # type: ignore[attr-defined]
        return
    try:
        folder = cache_folder()
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, RuntimeError):  # RuntimeError: the user has no home folder
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    global _programs
    _programs = folder.parent / "programs"
    # Cache everything, since a command also consists of many small programs.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # A full disk or a damaged file only means compiling again.
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache")


def start_jax() -> None:
    """Set up JAX before any array is made: float64, light compilation, and one compilation cache."""
    compile_lightly()
    import jax

    jax.config.update("jax_enable_x64", True)
    use_compilation_cache()
