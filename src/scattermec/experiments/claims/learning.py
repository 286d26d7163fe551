"""The paper's claims about learning (Fig. 2): the curves of its runs, and the verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scattermec.experiments.claims import evidence
from scattermec.experiments.claims.evidence import Condition, Curve
from scattermec.experiments.claims.optima import Finding, judge
from scattermec.experiments.measure.statistics import Estimate, interquartile_mean, mean_interval

LEARNERS = ("h-maddpg-opt", "h-maddpg")
"""The optimization-driven and the model-free learner, which the paper's claims compare."""

FINAL = 0.1
"""Share of the frames, at the end, that a final level is averaged over."""
EARLY = 0.2
"""Share of the frames, at the beginning, that counts as "early"."""
CONVERGED = 0.9
"""A curve has converged once it stays above this share of its final level."""


@dataclass(frozen=True)
class LearningCurves:
    """Curves of one run, by chunk of frames (C,) and seed (S,)."""

    learner: str
    preset: str | None
    """None for a learner without presets, which every panel shows"""
    frames: np.ndarray
    """(C,) frames played at the end of each chunk"""
    values: dict[str, np.ndarray]
    """(S, C) each, by metric name"""
    optimum: float
    """mean certified optimum of the held-out frames, kbit/J"""

    def curve(self, name: str, unit: str = "") -> Curve:
        """Mean over seeds with its 95% bootstrap interval, along the frames."""
        estimates = np.array([mean_interval(column) for column in self.values[name].T])
        return Curve(name, unit, self.frames, *estimates.T)

    def final(self, name: str) -> Estimate:
        """Mean over seeds of the last part of training."""
        count = max(1, round(FINAL * self.frames.size))
        return mean_interval(self.values[name][:, -count:].mean(axis=1))

    def final_interquartile(self, name: str) -> Estimate:
        """Interquartile mean over seeds of the last part of training."""
        count = max(1, round(FINAL * self.frames.size))
        return interquartile_mean(self.values[name][:, -count:].mean(axis=1))

    def first(self, name: str) -> Estimate:
        """Mean over seeds of the first chunk."""
        return mean_interval(self.values[name][:, 0])

    def early(self, name: str) -> Estimate:
        """Mean over seeds at the end of the early part of training."""
        return mean_interval(self.values[name][:, self._early_index])

    @property
    def _early_index(self) -> int:
        return min(self.frames.size - 1, max(1, round(EARLY * self.frames.size)))

    def frames_to_converge(self, name: str) -> Estimate:
        """Frames after which a seed stays above `CONVERGED` of its final level, mean over seeds."""
        values = self.values[name]
        count = max(1, round(FINAL * self.frames.size))
        level = CONVERGED * values[:, -count:].mean(axis=1, keepdims=True)
        # Averaged over as many chunks as the final level, so that noise does not decide.
        kernel = np.ones(count) / count
        smooth = np.stack([np.convolve(row, kernel, mode="valid") for row in values])
        below = smooth < level
        last = np.where(below.any(axis=1), below.shape[1] - np.argmax(below[:, ::-1], axis=1), 0)
        index = np.minimum(last + count - 1, self.frames.size - 1)
        return mean_interval(self.frames[index].astype(float))


def presets_of(curves: Sequence[LearningCurves]) -> list[str]:
    """Presets that have runs, in their order."""
    return [preset for preset in dict.fromkeys(run.preset for run in curves) if preset]


STATEMENTS = {
    "2a-1": "Optimization-driven H-MADDPG converges faster than model-free H-MADDPG.",
    "2a-2": "Its reward is 50% higher.",
    "2b-1": "Its outage probability is much lower.",
    "2b-2": "Its outage probability falls steeply early in learning.",
}
"""The paper's statements about Fig. 2."""

MECHANISMS = {
    "2a-1": "line 4 of Algorithm 1: P1's allocation is near its best from the first frame on, so that there "
    "is little left to learn; a curve that starts at its level has converged at once.",
    "2a-2": "(11) is zero where nobody is served, and users who have to find out by trial how to meet (2), "
    "(3) and (9) serve nobody for long.",
    "2b-1": "the same: the estimate meets every constraint by construction.",
    "2b-2": "the estimate's outage is that of the beams, of the battery and of the backlog from the first "
    "frame on; a backlog that grows at the start makes it rise rather than fall.",
}


def examine_learning(curves: Sequence[LearningCurves]) -> list[Finding]:
    """The verdict on every claim of Fig. 2, for each preset that has runs of the paper's learners."""
    findings = []
    for preset in presets_of(curves):
        runs = {run.learner: run for run in curves if run.preset == preset}
        conditions = _conditions(*(runs[learner] for learner in LEARNERS))
        for name, tests in conditions.items():
            verdict, why = judge(tests)
            findings.append(
                Finding(
                    name=name,
                    figure=name[:2],
                    statement=STATEMENTS[name],
                    verdict=verdict,
                    why=why,
                    mechanism=MECHANISMS[name],
                    conditions=tuple(tests),
                    preset=preset,
                )
            )
    return findings


def _conditions(driven: LearningCurves, free: LearningCurves) -> dict[str, list[Condition]]:
    return {
        "2a-1": [
            evidence.exceeds(
                f"model-free takes more frames until its reward stays above {CONVERGED:.0%} of its final one",
                free.frames_to_converge("reward"),
                driven.frames_to_converge("reward"),
                unit="frames",
            )
        ],
        "2a-2": [
            evidence.exceeds(
                "the final reward while learning exceeds 1.5 times that of model-free",
                driven.final("reward"),
                free.final("reward"),
                factor=1.5,
                unit="kbit/J",
            )
        ],
        "2b-1": [
            evidence.exceeds(
                "the final outage of model-free is more than twice as high",
                free.final("outage"),
                driven.final("outage"),
                factor=2.0,
            )
        ],
        "2b-2": [
            evidence.exceeds(
                f"the outage at the start exceeds 1.25 times that after {EARLY:.0%} of the frames",
                driven.first("outage"),
                driven.early("outage"),
                factor=1.25,
            )
        ],
    }
