"""Backscatter-aided, wireless-powered mobile edge computing: model, exact optimisation, environments.

The system of Zhou et al., "Hierarchical Multi-Agent Deep Reinforcement Learning for Backscatter-aided Data
Offloading", WCNC 2022. `scenario` holds the constants, `physics` one frame as pure functions, `optimisation`
the exact allocation with its certificate, `environment` the learning environments, and `experiments` the
studies that the command line runs.

Importing this package makes its environments known to Gymnasium, as in
``gymnasium.make("scattermec/Offloading-v0")``, whichever of the two is imported first.
"""

from typing import TYPE_CHECKING, Any

from scattermec._gymnasium import register_environments
from scattermec._version import __version__

if TYPE_CHECKING:
    from scattermec.scenario import Scenario, ScenarioError

__all__ = ["Scenario", "ScenarioError", "__version__"]

register_environments()


def __getattr__(name: str) -> Any:
    # Imported lazily, so that the command line shows its help without loading them.
    if name in ("Scenario", "ScenarioError"):
        from scattermec import scenario

        return getattr(scenario, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
