"""Backscatter-aided, wireless-powered mobile edge computing: model, exact optimisation, environments.

The system of Zhou et al., "Hierarchical Multi-Agent Deep Reinforcement Learning for Backscatter-aided Data
Offloading", WCNC 2022. `scenario` holds the constants, `physics` one frame as pure functions, `optimisation`
the exact allocation with its certificate, `environment` the learning environments, `experiments` what the
command line runs.
"""

from scattermec._version import __version__
from scattermec.scenario import Scenario, ScenarioError

__all__ = ["Scenario", "ScenarioError", "__version__"]
