"""Training runs: many seeds in a folder that can be killed and resumed at any moment.

`run` trains, `folder` says what lies where and loads a run, `block` trains some seeds side by side, `program`
holds what is compiled for them, `checkpoint` and `metrics` are what is kept.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scattermec.training.folder import Plan, TrainedRun, load_run
    from scattermec.training.run import train

__all__ = ["Plan", "TrainedRun", "load_run", "train"]

_PLACES = {"train": "run"}


def __getattr__(name: str) -> Any:
    # Imported when wanted, since processes are set up by `workers` before they import JAX.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES.get(name, 'folder')}"), name)
