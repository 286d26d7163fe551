"""How JAX compiles for the commands: into one cache, and lightly where programs are short-lived.

Nothing here imports JAX before it has to.
"""

import os
import tempfile
import warnings
from pathlib import Path

SWITCH = "SCATTERMEC_CACHE"
"""Environment variable: 0 keeps no cache."""

_LIGHTLY = {
    "--xla_backend_optimization_level": "0",
    "--xla_llvm_disable_expensive_passes": "true",
    "--xla_cpu_use_fusion_emitters": "false",
}


def compile_lightly() -> None:
    """Make XLA compile in a third of the time, code that is hardly slower; before JAX is first used.

    Measured with the kernel, `solve` gains even over 100,000 frames, since the kernel is compiled already;
    with the portable solver, `simulate` of 500 frames gains, and more frames were not tried. Training runs
    long enough to be worth more. Flags that the
    user has set in ``XLA_FLAGS`` stay.
    """
    given = os.environ.get("XLA_FLAGS", "").split()
    names = {flag.partition("=")[0] for flag in given}
    wanted = [f"{name}={value}" for name, value in _LIGHTLY.items() if name not in names]
    os.environ["XLA_FLAGS"] = " ".join([*given, *wanted])


def cache_folder() -> Path | None:
    """Where compiled programs are kept: in the user's cache folder; None where that is switched off."""
    if os.environ.get(SWITCH, "") == "0":
        return None
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "scattermec" / "jax"


_programs: Path | None = None


def programs_folder() -> Path | None:
    """Where `scattermec._programs` keeps programs; None unless `use_compilation_cache` chose a folder."""
    return _programs


def use_compilation_cache() -> None:
    """Keep what JAX compiles in `cache_folder`, unless JAX has another or it cannot be written."""
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
    # Everything, since a command consists of many small programs, too.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # A disk that fills up, or a file that was damaged, only means that it is compiled again.
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache")


def start_jax(*, lightly: bool) -> None:
    """Set JAX up, before any array is made: in float64, with the cache of what commands have compiled.

    ``lightly``: for commands that do not train, see `compile_lightly`.
    """
    if lightly:
        compile_lightly()
    import jax

    jax.config.update("jax_enable_x64", True)
    use_compilation_cache()
