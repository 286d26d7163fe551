"""What each learner of Fig. 2 reached, as a table: mean and interquartile mean over seeds."""

from pathlib import Path

from scattermec.experiments.learning import FINAL, GREEDY_MODE, LearningCurves
from scattermec.experiments.price_nets import read_figure_curves
from scattermec.experiments.statistics import Estimate
from scattermec.experiments.tables import Table


def tables(folder: Path) -> list[Table]:
    """One table of all finished runs of Fig. 2; nothing where there are none."""
    curves = read_figure_curves(folder)
    if not curves:
        return []
    seeds, frames = len(curves[0].values["reward"]), int(curves[0].frames[-1])
    return [
        Table(
            title="What the learners reached",
            note=f"{seeds} seeds of {frames:,} frames each; means over the last {FINAL:.0%} of training with "
            "95% bootstrap intervals over seeds, and interquartile means (IQM), which a few seeds cannot "
            "pull. While learning: rollouts, exploration included (price-net does not explore). Acting: "
            "greedy, on held-out independent frames; shares are of their certified optimum. "
            "`scattermec evaluate` on a run's folder adds controls and rollouts.",
            columns=(
                "learner",
                "preset",
                "reward while learning, kbit/J",
                "IQM",
                "outage while learning",
                "acting",
                "share of the optimum",
                "IQM",
                "outage",
            ),
            rows=tuple(row for run in curves for row in _rows(run)),
            command="scattermec reproduce --out again --figures 2a,2b",
        )
    ]


def _rows(run: LearningCurves) -> list[tuple[str, ...]]:
    modes = [name.removeprefix("share.") for name in run.values if name.startswith("share.")]
    modes.sort(key=lambda mode: mode != GREEDY_MODE[run.learner])
    rows: list[tuple[str, ...]] = []
    # A policy with foresight does not act for the frame at hand alone.
    for index, mode in enumerate(modes or ("",)):
        learning = (
            _number(run.final("reward")),
            _number(run.final_interquartile("reward")),
            _part(run.final("outage")),
        )
        acting: tuple[str, ...] = ("-", "-", "-")
        if mode:
            share = f"share.{mode}"
            outage = run.final(f"outage.{mode}")
            acting = _part(run.final(share)), _part(run.final_interquartile(share)), _part(outage)
        rows.append(
            (
                run.learner,
                run.preset or "-",
                *(learning if index == 0 else ("", "", "")),
                mode or "-",
                *acting,
            )
        )
    return rows


def _number(estimate: Estimate) -> str:
    return f"{estimate.mean:.1f} ({estimate.low:.1f} to {estimate.high:.1f})"


def _part(estimate: Estimate) -> str:
    return f"{estimate.mean:.1%} ({estimate.low:.1%} to {estimate.high:.1%})"
