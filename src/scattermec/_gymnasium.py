"""Gymnasium's list of environments: ours are added to it without importing Gymnasium, which takes a while.

Gymnasium 1.0 dropped the entry points with which an installed package could name its environments.
"""

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_MAKERS = {
    "entry_point": "scattermec.environment.gymnasium_env:OffloadingEnv",
    "vector_entry_point": "scattermec.environment.vector_env:OffloadingVectorEnv",
}

AP_ALONE = {"users": "estimate", "ap_action": "prices", "phase_reference": True, "reward_scale": 0.01}
"""Settings of the environment in which only the AP acts: problem (10) answers its beams."""

ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "scattermec/Offloading-v0": _MAKERS,
    "scattermec/AccessPoint-v0": {**_MAKERS, "kwargs": AP_ALONE},
}
"""Registered names, with the arguments of `gymnasium.register`."""


def register_environments() -> None:
    """Register the environments, now or as soon as Gymnasium is imported."""
    if sys.modules.get("gymnasium") is not None:
        _register()
    else:
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds Gymnasium where others find it, and registers the environments when it has been loaded."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name == "gymnasium" else None
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            execute(module)
            sys.meta_path.remove(self)
            _register()

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


def _register() -> None:
    import gymnasium

    for name, arguments in ENVIRONMENTS.items():
        if name not in gymnasium.registry:
            gymnasium.register(name, **arguments)
