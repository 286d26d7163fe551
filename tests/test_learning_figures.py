"""Fig. 2: its claims judged on curves that are made up, its figures drawn, its runs found."""

import numpy as np
import pytest

from scattermec.experiments import learning_figures, panels
from scattermec.experiments.learning import (
    GREEDY_MODE,
    LearningCurves,
    LearningPlan,
    examine_learning,
    read_runs,
    run_folder,
)
from scattermec.scenario import Scenario

CHUNKS, SEEDS = 20, 8
FRAMES = 100 * np.arange(1, CHUNKS + 1)
EARLY = 1 - np.exp(-np.arange(CHUNKS) / 2)
LATE = 1 - np.exp(-np.arange(CHUNKS) / 8)


def run(learner: str, reward: np.ndarray, outage: np.ndarray, preset: str = "paper") -> LearningCurves:
    noise = 0.01 * np.random.default_rng(0).normal(size=(SEEDS, CHUNKS))
    mode = GREEDY_MODE[learner]
    values = {
        name: level + scale * noise
        for name, level, scale in (
            ("reward", reward, 1.0),
            (f"reward.{mode}", reward, 1.0),
            ("outage", outage, 0.1),
            (f"outage.{mode}", outage, 0.1),
        )
    }
    return LearningCurves(learner, preset, FRAMES, values, optimum=400.0)


def verdicts(driven: LearningCurves, free: LearningCurves) -> dict[str, str]:
    return {finding.name: finding.verdict for finding in examine_learning([driven, free])}


AS_THE_PAPER_SAYS = (
    run("h-maddpg-opt", 300 * EARLY, 0.5 - 0.45 * EARLY),
    run("h-maddpg", 150 * LATE, 0.9 - 0.3 * LATE),
)


def test_all_claims_hold_on_curves_like_the_papers() -> None:
    assert set(verdicts(*AS_THE_PAPER_SAYS).values()) == {"holds"}


@pytest.mark.parametrize(
    ("claim", "driven", "free"),
    [
        ("2a-1", (300 * LATE, 0.5 - 0.45 * EARLY), (150 * EARLY, 0.9 - 0.3 * LATE)),
        ("2a-2", (200 * EARLY, 0.5 - 0.45 * EARLY), (150 * LATE, 0.9 - 0.3 * LATE)),
        ("2b-1", (300 * EARLY, 0.5 - 0.05 * EARLY), (150 * LATE, 0.9 - 0.3 * LATE)),
        ("2b-2", (300 * EARLY, 0.1 + 0 * EARLY), (150 * LATE, 0.9 - 0.3 * LATE)),
    ],
)
def test_each_claim_can_fail(claim: str, driven: tuple, free: tuple) -> None:
    found = verdicts(run("h-maddpg-opt", *driven), run("h-maddpg", *free))
    assert found[claim] == "does not hold"


def test_frames_to_converge_are_where_the_curve_stays_near_its_end() -> None:
    step = np.where(np.arange(CHUNKS) < 7, 0.0, 100.0)
    estimate = run("h-maddpg", step, step).frames_to_converge("reward")
    assert estimate.mean == pytest.approx(FRAMES[7], abs=200)


@pytest.mark.parametrize("name", ["2a", "2b"])
def test_figures_are_drawn_with_both_learners_and_the_optimum(name: str, tmp_path) -> None:
    tuned = [run(r.learner, r.values["reward"], r.values["outage"], "tuned") for r in AS_THE_PAPER_SAYS]
    paths = learning_figures.save(name, [*AS_THE_PAPER_SAYS, *tuned], tmp_path)
    assert [path.suffix for path in paths] == [".svg", ".pdf", ".png"]
    figure = learning_figures.draw(name, AS_THE_PAPER_SAYS)
    (axes,) = figure.axes
    labels = axes.get_legend_handles_labels()[1]
    assert labels[:2] == [look.label for look in panels.LEARNERS.values()]
    assert ("Certified optimum" in labels) == (name == "2a")


def test_a_folder_without_runs_has_no_curves(tmp_path) -> None:
    assert read_runs(tmp_path) == []
    plan = LearningPlan(Scenario(), seeds=3, frames=7)
    assert plan.total == 4 * 3 * 7
    assert len({run_folder(tmp_path, *run) for run in plan.runs}) == 4
