"""Set-up of the whole suite: double precision, array shapes checked, reproducible property tests."""

import gc
import os
import shutil
import sys
from pathlib import Path

# Compiled programs are kept in pytest's cache, for all workers of a run, for the processes that they start,
# and for the next run, which takes a quarter less time; `pytest --cache-clear` forgets them. JAX reads where
# they are when it is imported, so it has to be said before.
_PROGRAMS = Path(__file__).resolve().parent.parent / ".pytest_cache" / "d" / "programs"
_PROGRAMS_LIMIT_BYTES = 1 << 30
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_PROGRAMS))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")

# So are Python's modules, beside their sources as usual: reading JAX's anew takes every process some seconds.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Nothing here is spread over devices, which is all that Shardy is for, and nobody reads where in the sources
# an operation of a program is from: tracing and compiling take 7% less without.
os.environ.setdefault("JAX_USE_SHARDY_PARTITIONER", "0")
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")

import jax
import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

# Most programs here run once, and compiling them with care would take most of the suite's time. JAX reads
# this when it is first used, also in processes that tests start; set XLA_FLAGS to the empty text to test as
# users compile.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)

# The cache of the user's commands is neither read nor filled.
os.environ.setdefault("SCATTERMEC_CACHE", "0")

# References are compared to many digits; single precision has tests of its own that cast to it.
jax.config.update("jax_enable_x64", True)

# Every annotated function of the package checks the shapes and kinds of its arrays at run time.
install_import_hook("scattermec", "beartype.beartype")


PYTREES: list[type] = []
"""All of the package's pytrees that have been imported; tests/test_pytrees.py checks their arrays."""


def _leave_leaves_unchecked() -> None:
    # JAX builds a pytree anew with whatever takes the place of its arrays: numpy copies, axis numbers, None.
    from scattermec import _pytree

    make = _pytree.pytree

    def pytree(cls: type) -> type:
        made = make(cls)
        made.__no_type_check__ = True
        PYTREES.append(made)
        return made

    _pytree.pytree = pytree


_leave_leaves_unchecked()

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(scope="session", autouse=True)
def _threads_as_they_are():
    """Commands that run in this process leave its threads alone, which serve the other tests, too.

    The digits of a training depend on them, and so would those of all processes that are started later.
    """
    from scattermec import _processes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_processes, "use_one_thread", lambda: None)
        yield


@pytest.fixture(scope="module")
def quick_figures():
    """For modules that draw many figures, whose whole fonts and many pixels take most of their time."""
    from scattermec.pictures import style

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(style._EXPORT_SETTINGS, "pdf.fonttype", 3)
        patch.setitem(style._EXPORT_SETTINGS, "savefig.dpi", 50)
        yield


def pytest_configure(config: pytest.Config) -> None:
    # One process does it, before it starts the workers.
    if not hasattr(config, "workerinput"):
        programs = _PROGRAMS.iterdir() if _PROGRAMS.is_dir() else ()
        if sum(file.stat().st_size for file in programs) > _PROGRAMS_LIMIT_BYTES:
            shutil.rmtree(_PROGRAMS, ignore_errors=True)


def pytest_collection_finish() -> None:
    # What has been imported stays to the end: looking through it for garbage again and again takes one
    # twentieth of the time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
