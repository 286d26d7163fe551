"""Builds the compiled kernel where there is a C++ compiler; without it the package works all the same."""

from pathlib import Path

import jaxlib
from setuptools import Extension, setup

KERNEL = Path("src/scattermec/optimisation/kernel")

setup(
    ext_modules=[
        Extension(
            "scattermec.optimisation._kernel",
            sources=[str(KERNEL / "kernel.cc")],
            depends=[str(path) for path in sorted(KERNEL.glob("*.h"))],
            include_dirs=[str(Path(jaxlib.__file__).parent / "include")],
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
