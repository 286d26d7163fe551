"""Builds the compiled kernel where there is a C++ compiler; without it the package works all the same."""

import runpy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jaxlib
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

OPTIMISATION = Path("src/scattermec/optimisation")
KERNEL, SHARED = OPTIMISATION / "kernel", OPTIMISATION / "shared.py"

MADE = Path("build/kernel")
MADE.mkdir(parents=True, exist_ok=True)
(MADE / "shared.h").write_text(runpy.run_path(str(SHARED))["header"](), encoding="utf-8")


class ParallelBuild(build_ext):
    """Compiles the files of the kernel side by side, one per instruction set."""

    def build_extensions(self) -> None:
        """Build as usual, each file in a thread."""
        compile_files = self.compiler.compile

        def compile_each(sources: list[str], **options: Any) -> list[str]:
            with ThreadPoolExecutor() as threads:
                objects = threads.map(lambda source: compile_files([source], **options), sources)
                return [path for paths in objects for path in paths]

        self.compiler.compile = compile_each
        super().build_extensions()


setup(
    cmdclass={"build_ext": ParallelBuild},
    ext_modules=[
        Extension(
            "scattermec.optimisation._kernel",
            sources=sorted(map(str, KERNEL.glob("*.cc"))),
            depends=[str(path) for path in (SHARED, *sorted(KERNEL.glob("*.h")))],
            include_dirs=[str(Path(jaxlib.__file__).parent / "include"), str(MADE)],
            language="c++",
            extra_compile_args=[
                "-std=c++17",
                "-O3",
                "-fno-math-errno",
                "-fno-trapping-math",
                "-fcx-limited-range",  # products of complex numbers without a detour for infinities
                "-Wno-psabi",
            ],
            optional=True,
        )
    ],
)
