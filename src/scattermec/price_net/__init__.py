"""price-net, the recommended policy: a network sets prices, beams follow from them, users do the rest.

    policy = price_net.load("price-net")                          # or the folder of a training run
    decision = price_net.decide(policy, parameters, frame)        # beams and allocation

JAX must be in double precision.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scattermec.price_net.registry import Policy, decide, load
    from scattermec.price_net.runs import train
    from scattermec.price_net.training import PriceNetConfig

__all__ = ["SHIPPED", "Policy", "PriceNetConfig", "decide", "load", "train"]

SHIPPED = {
    "price-net": "Trained in the default scenario, each frame for itself",
    "price-net-foresight": "Trained in the default scenario, with a view to later frames",
    "price-net-varied": "Trained in many scenarios, for any number of users and antennas",
}
"""The policies that come with the package."""

_PLACES = {"PriceNetConfig": "training", "train": "runs"}


def __getattr__(name: str) -> Any:
    # Imported on demand: the command line names the shipped policies without importing JAX.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES.get(name, 'registry')}"), name)
