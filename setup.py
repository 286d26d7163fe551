"""Builds the compiled kernel where there is a C++ compiler; without it the package works all the same."""

import runpy
from pathlib import Path

import jaxlib
from setuptools import Extension, setup

OPTIMISATION = Path("src/scattermec/optimisation")
KERNEL, SHARED = OPTIMISATION / "kernel", OPTIMISATION / "shared.py"

MADE = Path("build/kernel")
MADE.mkdir(parents=True, exist_ok=True)
(MADE / "shared.h").write_text(runpy.run_path(str(SHARED))["header"](), encoding="utf-8")

setup(
    ext_modules=[
        Extension(
            "scattermec.optimisation._kernel",
            sources=[str(KERNEL / "kernel.cc")],
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
    ]
)
