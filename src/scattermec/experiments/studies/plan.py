"""Plan of a reproduction; each study takes from it what it needs."""

from dataclasses import asdict, dataclass
from typing import Any

import jax.numpy as jnp

from scattermec._version import __version__
from scattermec.experiments.measure.beams import BEAMS, Beams
from scattermec.experiments.measure.sweeps import SWEEPS, regime
from scattermec.experiments.studies import NAMES
from scattermec.scenario import Scenario

FRAMES = 2000
QUICK_FRAMES = 256
"""Frames per point unless the plan says otherwise."""


@dataclass(frozen=True)
class Training:
    """Amount of training of a learner."""

    seeds: int
    frames: int
    """per seed"""

    @property
    def total(self) -> int:
        """Frames of all seeds together."""
        return self.seeds * self.frames


FIGURE_2, QUICK_FIGURE_2 = Training(seeds=20, frames=10_000), Training(seeds=4, frames=2_000)
"""Defaults for Fig. 2."""
LEARNED, QUICK_LEARNED = Training(seeds=4, frames=4000), Training(seeds=4, frames=500)
"""Defaults for the learned beams of one point."""


@dataclass(frozen=True)
class Plan:
    """Everything to compute."""

    scenario: Scenario
    frames: int = FRAMES
    """independent frames per point"""
    seed: int = 0
    beams: tuple[Beams, ...] = ("mrt", "optimal")
    """kinds of beams for which the paper's figures are drawn and its claims judged"""
    quick: bool = False
    """fewer points, seeds and frames"""
    wanted: tuple[str, ...] = NAMES
    """figures and other studies, of `NAMES`"""
    complete: bool = False
    """Fig. 2 for every learner, preset and form of the users' actions"""
    seeds: int | None = None
    """number of seeds of each training run of Fig. 2, in place of the default"""
    training_frames: int | None = None
    """frames of each of these seeds, in place of the default"""

    @property
    def training(self) -> Training:
        """Training of each learner of Fig. 2."""
        usual = QUICK_FIGURE_2 if self.quick else FIGURE_2
        return Training(self.seeds or usual.seeds, self.training_frames or usual.frames)

    @property
    def learned(self) -> Training:
        """Training at every point for learned beams."""
        return QUICK_LEARNED if self.quick else LEARNED

    def settings(self) -> dict[str, Any]:
        """Everything that the sweeps' measurements depend on; they continue only under equal settings."""
        return {
            "version": __version__,
            "regime": regime(self.scenario),
            "points": {
                sweep.name: list(sweep.values(self.scenario, self.quick)) for sweep in SWEEPS.values()
            },
            "frames": self.frames,
            "seed": self.seed,
            "beams": [kind for kind in BEAMS if kind in self.beams],
            "learned": asdict(self.learned),
            "precision": str(jnp.asarray(0.0).dtype),
            "scenario": self.scenario.record(),
        }
