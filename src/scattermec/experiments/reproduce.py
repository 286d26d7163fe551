"""The paper's Fig. 3a, 3b, 4a and 4b from exact allocations: computed, drawn, and each claim judged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from scattermec._version import __version__
from scattermec.experiments import figures, report
from scattermec.experiments.beams import Beams
from scattermec.experiments.claims import Finding, examine
from scattermec.experiments.results import Results
from scattermec.experiments.sweeps import FIGURES, REGIME, SWEEPS, Sweep, measure_point, sweep_of
from scattermec.scenario import Scenario

FRAMES = 2000
QUICK_FRAMES = 256
"""Frames a point unless told otherwise."""


@dataclass(frozen=True)
class Plan:
    """What is to be computed; everything that the numbers depend on."""

    scenario: Scenario
    frames: int = FRAMES
    seed: int = 0
    beams: Beams = "mrt"
    quick: bool = False

    def settings(self) -> dict[str, Any]:
        """As kept beside the results, which are continued only under equal settings."""
        return {
            "version": __version__,
            "regime": REGIME,
            "points": {sweep.name: list(sweep.values(self.quick)) for sweep in SWEEPS.values()},
            "frames": self.frames,
            "seed": self.seed,
            "beams": self.beams,
            "precision": str(jnp.asarray(0.0).dtype),
            "scenario": self.scenario.model_dump(mode="json"),
        }


@dataclass(frozen=True)
class Reproduction:
    """What a run left behind."""

    files: tuple[Path, ...]
    findings: tuple[Finding, ...]
    computed: int
    """points computed by this run"""
    reused: int
    """points that were there already"""
    not_converged: float
    """largest part of the frames of a point that the solver could not settle"""


def reproduce(
    plan: Plan,
    folder: Path,
    *,
    wanted: Sequence[str] = FIGURES,
    overwrite: bool = False,
    command: str = "",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Reproduction:
    """Measure the sweeps of the wanted figures, then draw and judge whatever is complete in the folder.

    Points already in the folder are not computed again, so that an interrupted run goes on where it was.

    Args:
        plan: what to compute.
        folder: where everything is written; made if missing.
        wanted: figures, of `FIGURES`.
        overwrite: start anew, discarding the results in the folder.
        command: what to type for the same again, for the record.
        progress: told after every scheme of every point how many frames are solved, and of how many.

    Raises ConfigurationError if the folder holds results of other settings.
    """
    sweeps = list(dict.fromkeys(sweep_of(figure) for figure in wanted))
    if overwrite:
        _discard_pictures(folder)
    results = Results.open(folder, plan.settings(), overwrite=overwrite)
    missing = [
        (sweep, value)
        for sweep in sweeps
        for value in sweep.values(plan.quick)
        if (sweep.name, value) not in results.points
    ]
    _measure(plan, results, missing, progress)
    results.rewrite()

    complete = [sweep for sweep in SWEEPS.values() if results.has(sweep, sweep.values(plan.quick))]
    drawn = [figure for sweep in complete for figure in sweep.figures]
    measurements = results.measurements()
    pictures = [path for name in drawn for path in figures.save(name, measurements, folder)]
    findings = examine(measurements, [sweep.name for sweep in complete])
    texts = report.write(folder, plan.scenario, plan.settings(), findings, drawn, command)
    return Reproduction(
        files=(*results.files, *texts, *pictures),
        findings=tuple(findings),
        computed=len(missing),
        reused=sum(len(sweep.values(plan.quick)) for sweep in sweeps) - len(missing),
        not_converged=max((row.mean for row in measurements if row.metric == "not_converged"), default=0.0),
    )


def _discard_pictures(folder: Path) -> None:
    # Those that this run does not draw would be of other settings.
    for name in FIGURES:
        for path in figures.paths(name, folder):
            path.unlink(missing_ok=True)


def _measure(
    plan: Plan, results: Results, missing: Sequence[tuple[Sweep, float]], progress: Callable[[int, int], None]
) -> None:
    total = sum(plan.frames * len(sweep.schemes) for sweep, _ in missing)
    done = 0

    def count(scheme: str) -> None:
        nonlocal done
        done += plan.frames
        progress(done, total)

    for sweep, value in missing:
        measured = measure_point(
            plan.scenario,
            sweep,
            value,
            frames=plan.frames,
            seed=plan.seed,
            beams=plan.beams,
            on_scheme=count,
        )
        results.add(measured)
