"""Texts above and below the figures: titles, the paper's statements, and explanations."""

from collections.abc import Sequence
from typing import Any

from scattermec.experiments.claims.learning import LearningCurves

LEARNING_FIGURES = ("2a", "2b")
"""The figures drawn from training runs."""

TITLES = {
    "2a": "Reward along training",
    "2b": "Outage along training",
    "3a": "Work and time against the AP's power",
    "3b": "Work and time against the workload",
    "4a": "Work and time against the distance",
    "4b": "Energy efficiency against the distance",
    "beams": "What beamforming is worth",
}
CAPTIONS = {
    "2a": "optimization-driven H-MADDPG converges faster, and its reward is 50% higher.",
    "2b": "its outage is much lower, and falls steeply early on.",
    "3a": "low power suppresses active offloading; passive is preferred, a large part is local.",
    "3b": "small loads are offloaded; with more work, passive time and local work grow, active time shrinks.",
    "4a": "the farther the users, the more of the work is local and the less is offloaded actively.",
    "4b": "efficiency falls with distance, Hybrid ≥ Active-enabled ≥ MEC-disabled, and the three converge.",
}
"""The paper's statements about each of its figures."""
READING = (
    "Solid: while learning, exploration included, in rollouts; price-net, which does not explore, as trained "
    "so far.",
    "Dashed: greedy, on held-out independent frames; dotted: their certified optimum, which rollouts may "
    "exceed, since batteries carry over.",
)
"""How to read Fig. 2."""
EFFICIENCY = (
    "Left: each frame's energy efficiency, the second term of (11), 0 if nobody is served; mean over frames.",
)
"""How to read Fig. 4b."""
COMPARISON = (
    "Left: no beams, allocation and choice of users that serve as many users on these frames have an "
    "efficiency above the dashed line of a curve's colour (certified; where it is not seen, the curve is on "
    "it).",
    "Middle: energy on the frames where these beams serve everyone, over the least that any beams take there "
    "(certified); none can come below 1.",
)
"""How to read the figure that compares beams."""


def sentence(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def reading(name: str) -> tuple[str, ...]:
    """The paper's statements about a figure, and how to read ours."""
    if name == "beams":
        return COMPARISON
    ours = READING if name in LEARNING_FIGURES else EFFICIENCY if name == "4b" else ()
    return (f"The paper: {CAPTIONS[name]}", *ours)


def runs_text(curves: Sequence[LearningCurves]) -> str:
    """Amount of training of the learners of Fig. 2."""
    run = curves[0]
    return f"{len(run.values['reward'])} seeds of {run.frames[-1]:,} frames each"


BEAM_LABELS = {"mrt": "MRT", "random": "random", "optimal": "optimal"}


def policy_label(kind: str) -> str:
    """Name of the rows of one kind for readers: beams of a rule, optimal ones, or those of a learner."""
    return f"{BEAM_LABELS[kind]} beams" if kind in BEAM_LABELS else f"learned beams ({kind})"


def frames_text(rows: Sequence[Any]) -> str:
    """Number of frames of a point, by kind of beams where it differs; seeds of a learner add up."""
    most: dict[str, int] = {}
    for row in rows:
        most[row.beams] = max(most.get(row.beams, 0), row.frames)
    if not most:
        return "no frames"
    if len(set(most.values())) == 1:
        return f"{next(iter(most.values())):,} independent frames per point"
    parts = [f"{frames:,} with {policy_label(kind)}" for kind, frames in most.items()]
    return f"independent frames per point: {', '.join(parts)}"
