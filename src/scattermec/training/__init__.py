"""Training runs: many seeds in a folder that can be killed and resumed at any moment.

For every learner: `folder` keeps the request, `loop` trains chunk by chunk, `checkpoint` and `metrics` write
the files. For those of `scattermec.learners`: `run` trains, `plan` describes and loads runs, `block` trains
some seeds side by side, `program` holds their compiled functions.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scattermec.training.plan import Plan, TrainedRun, load_run
    from scattermec.training.run import train

__all__ = ["Plan", "TrainedRun", "load_run", "train"]

_PLACES = {"train": "run"}


def __getattr__(name: str) -> Any:
    # Imported on demand: the commands name things here before they set up JAX.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES.get(name, 'plan')}"), name)
