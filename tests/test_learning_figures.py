"""Fig. 2: its claims judged on curves that are made up, its figures drawn, its runs found."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from scattermec.agents.settings import PRESETS
from scattermec.errors import InputError, TrainingError, UnfinishedError
from scattermec.experiments.claims.learning import LEARNERS, LearningCurves, examine_learning
from scattermec.experiments.report import learning_figures, panels
from scattermec.experiments.studies import price_nets
from scattermec.experiments.studies.figure_2 import GREEDY_MODE, Figure2, read_runs, run_folder
from scattermec.experiments.studies.plan import Plan
from scattermec.experiments.studies.price_nets import PriceNets
from scattermec.experiments.studies.record import Record
from scattermec.price_net.training import PriceNetConfig
from scattermec.scenario import Scenario
from scattermec.training import loop

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
    assert labels[:2] == [panels.LEARNERS[one.learner].label for one in AS_THE_PAPER_SAYS]
    assert ("Certified optimum" in labels) == (name == "2a")


@pytest.mark.parametrize("presets", [("paper",), ("paper", "tuned", "corrections")])
def test_labels_of_large_rewards_stay_clear_of_the_edge_and_of_the_panel_before(presets: tuple) -> None:
    curves = [run(one, 26_000 * EARLY, 0.5 * LATE, preset) for preset in presets for one in LEARNERS]
    figure = learning_figures.draw("2a", curves)
    figure.canvas.draw()
    renderer, edge = figure.canvas.get_renderer(), 0.0
    assert len(figure.axes) == len(presets)
    for axes in figure.axes:
        assert axes.yaxis.label.get_window_extent(renderer).x0 > edge
        edge = axes.get_tightbbox(renderer).x1


def test_a_folder_without_runs_has_no_curves(tmp_path) -> None:
    assert read_runs(tmp_path) == []
    plan = Figure2(Scenario(), seeds=3, frames=7)
    assert plan.total == 2 * len(PRESETS) * 3 * 7
    assert len({run_folder(tmp_path, *run) for run in plan.items}) == 2 * len(PRESETS)


# price-net beside the learners


def test_a_price_net_is_trained_once_and_shown_in_every_panel(tmp_path, monkeypatch) -> None:
    for name, few in (("POINTS", 2), ("EPISODES", 2), ("EPISODE", 12), ("BATCH", 4)):
        monkeypatch.setattr(price_nets, name, few)
    tiny = PriceNetConfig(width=4, rounds=1, batch_size=4)
    monkeypatch.setattr(price_nets, "CONFIGS", {"price-net": tiny})
    study = PriceNets(Scenario(), seeds=2, frames=16)
    assert not study.is_finished(tmp_path)
    # One run is asked to leave after its first point, and goes on; the one in the other folder is not.
    with monkeypatch.context() as leaving:
        leaving.setattr(loop, "asked_to_leave", lambda: True)
        with pytest.raises(UnfinishedError, match=r"checkpoint.npz: frame 2 of 4"):
            study.run(tmp_path, Record(tmp_path), lambda frames: None)
    told: list[int] = []
    study.run(tmp_path, Record(tmp_path), told.append)
    assert told == [16 * 2, 16 * 2]
    assert study.total == 16 * 2
    assert study.is_finished(tmp_path)
    told.clear()
    study.run(tmp_path / "alone", Record(tmp_path / "alone"), told.append)
    assert told == [8 * 2, 16 * 2, 16 * 2]
    assert (tmp_path / "alone/price-net.json").read_bytes() == (tmp_path / "price-net.json").read_bytes()
    (alone,) = price_nets.read_curves(tmp_path)
    assert alone.frames.tolist() == [8, 16]
    assert {"reward", "outage", "share.p1", "reward.p1"} <= set(alone.values)
    assert all(np.isfinite(values).all() and values.shape == (2, 2) for values in alone.values.values())
    ahead = replace(alone, learner="price-net-foresight", values={"reward": alone.values["reward"]})
    curves = [*AS_THE_PAPER_SAYS, alone, ahead]
    (panel,) = panels.learning_panels("2a", curves)
    labels = [line.look.label for line in panel.lines]
    assert labels.count("price-net") == 2
    assert labels.count("price-net with foresight") == 1
    # Nothing is computed again, and other settings are refused.
    kept = (tmp_path / "price-net.json").read_bytes()
    study.run(tmp_path, Record(tmp_path), told.append)
    assert (tmp_path / "price-net.json").read_bytes() == kept
    with pytest.raises(InputError, match="other settings"):
        PriceNets(Scenario(), seeds=3, frames=16).run(tmp_path, Record(tmp_path), told.append)


def test_a_price_net_that_diverges_is_said_to(tmp_path, monkeypatch) -> None:
    def diverge(*arguments, really=price_nets.training.advance, **options):
        state, losses = really(*arguments, **options)
        return state, losses._replace(beams=jnp.nan * losses.beams)

    for name, few in (("POINTS", 2), ("EPISODES", 2), ("EPISODE", 12), ("BATCH", 4)):
        monkeypatch.setattr(price_nets, name, few)
    tiny = PriceNetConfig(width=4, rounds=1, batch_size=4)
    monkeypatch.setattr(price_nets, "CONFIGS", {"price-net": tiny})
    monkeypatch.setattr(price_nets.training, "advance", diverge)
    with pytest.raises(TrainingError, match="price-net: 2 seeds, step 2: losses are not finite"):
        PriceNets(Scenario(), seeds=2, frames=16).run(tmp_path, Record(tmp_path), print)
    assert not (tmp_path / "price-net.json").exists()


def test_price_nets_are_left_out_where_they_cannot_act_or_take_too_long() -> None:
    assert PriceNets.of(Plan(Scenario(), quick=True)) is None
    assert PriceNets.of(Plan(Scenario(causal_harvest=True))) is None
    study = PriceNets.of(Plan(Scenario(), seeds=3, training_frames=40))
    assert study == PriceNets(Scenario(), seeds=3, frames=40)
