"""Training runs: many seeds in a folder that can be killed and resumed at any moment.

Of every learner: `folder` keeps what was asked for, `loop` trains chunk by chunk, `checkpoint` and `metrics`
are what is kept. Of those in `scattermec.learners`: `run` trains, `plan` says what and loads a run, `block`
trains some seeds side by side, `program` holds what is compiled for them.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scattermec.training.plan import Plan, TrainedRun, load_run
    from scattermec.training.run import train

__all__ = ["Plan", "TrainedRun", "load_run", "train"]

_PLACES = {"train": "run"}


def __getattr__(name: str) -> Any:
    # Imported when wanted, since processes are set up by `workers` before they import JAX.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES.get(name, 'plan')}"), name)
