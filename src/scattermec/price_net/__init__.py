"""price-net, the recommended policy: a network sets prices, beams follow from them, users do the rest.

    policy = price_net.load("price-net")                          # or the folder of a training run
    decision = price_net.decide(policy, parameters, frame)        # beams and allocation

JAX must be in double precision.
"""

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scattermec.errors import InputError
from scattermec.storage.texts import read_object
from scattermec.training.folder import RUN

if TYPE_CHECKING:
    from scattermec.price_net.registry import Policy, decide, load
    from scattermec.price_net.runs import train
    from scattermec.price_net.training import PriceNetConfig

__all__ = ["ALGORITHM", "SHIPPED", "Policy", "PriceNetConfig", "decide", "is_price_net", "load", "train"]

ALGORITHM = "price-net"
"""Name of the learner in training runs."""

SHIPPED = {
    "price-net": "Trained in the default scenario, each frame for itself",
    "price-net-foresight": "Trained in the default scenario, with a view to later frames",
    "price-net-varied": "Trained in many scenarios, for any number of users and antennas",
    "price-net-robust": "Trained in the default scenario, for late, noisy, rounded and lost knowledge",
}
"""The policies that come with the package."""


def is_price_net(name: str) -> bool:
    """Whether ``name`` is a shipped policy, or the folder of a training run of price-net."""
    if name in SHIPPED:
        return True
    try:
        return read_object(Path(name) / RUN).get("algorithm") == ALGORITHM
    except InputError:
        return False


def unknown_policy(name: str | os.PathLike[str]) -> InputError:
    """The error for a name that is no policy."""
    known = ", ".join(SHIPPED)
    return InputError([f"{name}: is neither one of {known} nor the folder of a training run of price-net"])


_PLACES = {"PriceNetConfig": "training", "train": "runs"}


def __getattr__(name: str) -> Any:
    # Imported on demand: the command line names the shipped policies without importing JAX.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES.get(name, 'registry')}"), name)
