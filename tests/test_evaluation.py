"""The table of policies: shares of what is optimal, controls, learners in every mode, and the command."""

import csv
import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from bank import play
from command_line import refused, run
from reference_frame import UserPlan, reference_frame
from scattermec.agents.settings import TrainingConfig
from scattermec.cli.jobs import evaluate as job
from scattermec.errors import InputError
from scattermec.experiments.evaluate import evaluation
from scattermec.experiments.evaluate.evaluation import QUANTITIES, evaluate, while_learning
from scattermec.experiments.evaluate.policies import (
    check_fit,
    fixed_contenders,
    learned_contenders,
    means_while_learning,
)
from scattermec.experiments.measure.rollouts import simulate
from scattermec.learners import ALGORITHMS, new_task
from scattermec.learners.fixed import FIXED
from scattermec.optimisation import batch
from scattermec.physics import parameters_of
from scattermec.scenario import Scenario
from scattermec.training import TrainedRun
from scattermec.training.program import first_states

FRAMES, SIZE = 23, 8
"""Three blocks, the last with a frame too many; and as many rollouts, so that few programs are compiled."""

CONFIG = TrainingConfig(actor_layers=(8,), critic_width=8, batch_size=4, buffer_size=8)


@pytest.fixture(scope="module", autouse=True)
def _small_blocks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "BLOCK", SIZE)
        patch.setattr(batch, "BEST_BLOCK", SIZE)
        yield


def trained(algorithm, seeds=(3, 7)):
    """A run whose states are those before training, of other seeds."""
    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds) + 100)
    states = first_states(ALGORITHMS[algorithm], new_task(Scenario(), CONFIG), keys)
    return TrainedRun(algorithm, Scenario(), CONFIG, seeds, 40, states)


def recorded(contender, seen):
    """The same contender, which tells what it saw and decided."""

    def decide(key, states):
        decision = contender.decide(key, states)
        seen.append((states, decision))
        return decision

    return replace(contender, decide=decide)


@pytest.fixture(scope="module")
def table():
    """All policies on the same independent frames; and what each of them saw and did there."""
    scenario = Scenario()
    policies = fixed_contenders(scenario, list(FIXED))
    policies += learned_contenders(trained("h-maddpg-opt"), scenario)
    seen = [[] for _ in policies]
    policies = [recorded(one, log) for one, log in zip(policies, seen, strict=True)]
    told = []
    result = evaluate(
        scenario, policies, frames=FRAMES, rollout_frames=0, seed=1, progress=lambda *at: told.append(at)
    )
    return result, seen, told


def row_of(result, policy, mode=None, trained=None):
    (row,) = (row for row in result.rows if (row.policy, row.mode, row.trained) == (policy, mode, trained))
    return row


def test_every_policy_has_a_row_with_every_quantity(table):
    result, _, told = table
    modes = [
        ("h-maddpg-opt", mode, frames) for frames in (0, 40) for mode in ALGORITHMS["h-maddpg-opt"].MODES
    ]
    expected = [(name, None, None) for name in FIXED] + modes
    assert [(row.policy, row.mode, row.trained) for row in result.rows] == expected
    for row in result.rows:
        assert row.regime == "independent"
        assert (row.seeds, row.over) == ((1, "frames") if row.mode is None else (2, "seeds"))
        assert list(row.estimates) == [quantity.name for quantity in QUANTITIES]
        for estimate in row.estimates.values():
            assert np.isfinite(estimate).all()
            assert estimate.low - 1e-12 <= estimate.mean <= estimate.high + 1e-12
        shares = [row.estimates[f"{way}_share"].mean for way in ("active", "passive", "local")]
        assert sum(shares) == pytest.approx(1 if row.estimates["outage"].mean < 1 else 0)
    # Two references, four fixed policies, and six rows of two seeds.
    assert told[-1] == (18 * 24, 18 * 24)


def test_references_are_measured_by_themselves(table):
    result, _, _ = table
    optimum, best = row_of(result, "optimum").estimates, row_of(result, "best-set").estimates
    assert optimum["of_optimum"] == best["of_best_set"] == (1, 1, 1)
    assert best["of_optimum"].mean == pytest.approx(1 / optimum["of_best_set"].mean)
    for row in result.rows:
        # Success is judged to a tolerance of 1e-6.
        assert row.estimates["of_best_set"].mean <= 1 + 1e-5
        for name, other in (("of_best_set", best), ("of_optimum", optimum)):
            ratio = row.estimates["reward"].mean / other["reward"].mean
            assert row.estimates[name].mean == pytest.approx(ratio)
    for proved in result.certificates.values():
        assert 0 <= proved.gap < 1e-4
        assert proved.unsettled <= 2


def test_policies_meet_the_same_frames(table):
    _, seen, _ = table
    first = seen[0][1][0].frame
    assert not np.array_equal(seen[0][0][0].frame.channels, first.channels)
    # Those that know what the references know are not asked again.
    assert [len(log) for log in seen] == [3, 3, 0, 0] + 6 * [3]
    for log in seen[4:]:
        states = log[1][0]
        size = len(first.workload)
        for name in ("channels", "workload", "battery"):
            for part in (slice(0, size), slice(size, None)):
                np.testing.assert_array_equal(getattr(states.frame, name)[part], getattr(first, name))


@pytest.mark.parametrize("policy", ["random", "mrt"])
def test_controls_do_what_the_frame_says(table, policy):
    result, seen, _ = table
    played = [
        play(parameters_of(Scenario()), states.frame, decision.beams, decision.allocation)
        for states, decision in seen[list(FIXED).index(policy)]
    ]
    estimates = row_of(result, policy).estimates
    success = np.concatenate([part.success for part in played])[:FRAMES]
    assert estimates["outage"].mean == pytest.approx(1 - success.mean(), rel=1e-12)
    for name, field in (("reward", "ap_reward"), ("ap_energy", "ap_energy"), ("user_reward", "user_reward")):
        values = np.concatenate([getattr(part, field) for part in played])[:FRAMES]
        assert estimates[name].mean == pytest.approx(values.mean(), rel=1e-12)


def test_controls_hold_in_an_independent_frame(table):
    result, seen, _ = table
    efficiency = {"random": 0, "mrt": 1}
    for policy, index in efficiency.items():
        work = energy = 0
        frames = [
            (states.frame, decision, k) for states, decision in seen[index] for k in range(len(states.time))
        ]
        for frame, decision, k in frames[:FRAMES]:
            a = jax.tree.map(lambda leaf, k=k: np.asarray(leaf[k]), decision.allocation)
            plans = [
                UserPlan(
                    t_a=a.t_active[i],
                    t_b=a.t_passive[i],
                    t_c=a.t_local[i],
                    l_a=a.l_active[i],
                    l_b=a.l_passive[i],
                    l_c=a.l_local[i],
                )
                for i in range(3)
            ]
            channels, load, battery = (
                np.asarray(leaf[k]) for leaf in (frame.channels, frame.workload, frame.battery)
            )
            outcome = reference_frame(
                Scenario(), channels, load, battery, np.asarray(decision.beams[k]), plans
            )
            work += load[np.asarray(outcome["success"])].sum()
            energy += outcome["ap_energy"]
        measured = row_of(result, policy).estimates["energy_efficiency"].mean
        assert measured == pytest.approx(work / energy, rel=1e-9)


def test_mrt_beams_lie_along_the_channels_and_random_ones_do_not(table):
    _, seen, _ = table
    for index, along in ((0, False), (1, True)):
        states, decision = seen[index][0]
        beams, channels = np.asarray(decision.beams), np.asarray(states.frame.channels)
        np.testing.assert_allclose(np.linalg.norm(beams, axis=2), 1)
        share = np.abs((channels.conj() * beams).sum(axis=2)) / np.linalg.norm(channels, axis=2)
        # A random beam has 1/M of the gain of the best one on average.
        assert (share**2).mean() == pytest.approx(1 if along else 1 / 3, abs=0.15)


def test_the_estimate_serves_at_least_as_many_as_untrained_users_do(table):
    result, _, _ = table
    for frames in (0, 40):
        outages = [
            row_of(result, "h-maddpg-opt", mode, frames).estimates["outage"].mean
            for mode in ("estimate", "choice", "decentralised")
        ]
        assert outages == sorted(outages)


def test_seeds_are_averaged_and_are_the_units_of_intervals():
    scenario, two = Scenario(), trained("h-maddpg")
    keywords = {"frames": FRAMES, "rollout_frames": 80, "seed": 5}
    both = evaluate(scenario, learned_contenders(two, scenario)[1:], **keywords)
    for regime in ("independent", "rollout"):
        (row,) = (row for row in both.rows if row.regime == regime)
        singles = []
        for index, seed in enumerate(two.seeds):
            one = replace(
                two, seeds=(seed,), states=jax.tree.map(lambda leaf, i=index: leaf[i : i + 1], two.states)
            )
            result = evaluate(scenario, learned_contenders(one, scenario)[1:], **keywords)
            (single,) = (row for row in result.rows if row.regime == regime)
            assert single.over == ("frames" if regime == "independent" else "rollouts")
            singles.append(single.estimates)
        assert ("of_optimum" in row.estimates) == (regime == "independent")
        for name, estimate in row.estimates.items():
            values = [single[name].mean for single in singles]
            assert estimate.mean == pytest.approx(np.mean(values), rel=1e-5)
            assert (estimate.low, estimate.high) == pytest.approx((min(values), max(values)), rel=1e-5)


def test_rollouts_agree_with_simulate_where_everyone_is_served():
    scenario = Scenario(mean_workload=10, ap_power=4)
    result = evaluate(scenario, fixed_contenders(scenario, ["mrt"]), frames=FRAMES, rollout_frames=80, seed=3)
    row = result.rows[1]
    assert (row.regime, row.over) == ("rollout", "rollouts")
    rolled = simulate(scenario, scheme="hybrid", beams="mrt", num_frames=80, seed=3)
    assert row.estimates["outage"].mean == rolled.estimates["outage"].mean == 0
    for name in ("reward", "energy_efficiency", "ap_energy"):
        assert row.estimates[name] == pytest.approx(tuple(rolled.estimates[name]), rel=1e-4)


def test_references_know_the_truth_even_where_the_ap_does_not():
    scenario = Scenario(csi_error=0.3)
    result = evaluate(
        scenario, fixed_contenders(scenario, ["optimum"]), frames=FRAMES, rollout_frames=0, seed=1
    )
    (row,) = result.rows
    assert row.estimates["of_optimum"].high < 1
    assert row.estimates["outage"].mean > 0.1


def test_another_rectifier_has_no_references():
    scenario = Scenario(harvest_model="sigmoidal")
    result = evaluate(scenario, fixed_contenders(scenario, ["mrt"]), frames=FRAMES, rollout_frames=0, seed=1)
    (row,) = result.rows
    assert not result.certificates
    assert not {"of_optimum", "of_best_set"} & set(row.estimates)
    for name in ("optimum", "best-set"):
        with pytest.raises(
            InputError, match=f"^harvest_model: 'sigmoidal' is not allowed with the policy {name}"
        ):
            fixed_contenders(scenario, [name])
    with pytest.raises(
        InputError, match="policy: 'best' is not known; choose from random, mrt, optimum, best-set"
    ):
        fixed_contenders(scenario, ["best"])
    with pytest.raises(ValueError, match="frames: 0"):
        evaluate(scenario, [], frames=0, rollout_frames=0, seed=0)


def test_unbounded_rewards_are_told_rather_than_an_error():
    # Without idle power, what costs nothing has a reward without a bound, and no share of it means anything.
    scenario = Scenario(idle_power=0, mean_workload=1, initial_battery=0.5)
    result = evaluate(scenario, fixed_contenders(scenario, ["mrt"]), frames=FRAMES, rollout_frames=0, seed=1)
    assert result.certificates["best-set"].gap == np.inf
    assert not np.isnan(result.rows[0].estimates["ap_energy"].mean)


# A run's metrics


def write_metrics(folder, rows, name="seeds-0003-0007.parquet"):
    (folder / "metrics").mkdir(exist_ok=True)
    columns = ("seed", "frame", "reward", "outage", "user_reward", "ap_energy", "processed")
    data = {column: [row[index] for row in rows] for index, column in enumerate(columns)}
    pyarrow.parquet.write_table(pyarrow.table(data), folder / "metrics" / name)


ROWS = [
    *((seed, frame, 1.0, 0.9, 0.1, 9.0, 1.0) for seed in (3, 7) for frame in (0, 30)),
    (3, 38, 10.0, 0.5, 0.4, 2.0, 30.0),
    (3, 40, 20.0, 0.5, 0.6, 2.0, 10.0),
    (7, 38, 40.0, 0.25, 0.5, 1.0, 50.0),
    (7, 40, 40.0, 0.25, 0.5, 1.0, 50.0),
    (7, 44, 99.0, 0.25, 0.5, 1.0, 50.0),
]


def test_what_was_reached_while_learning(tmp_path):
    write_metrics(tmp_path, ROWS)
    learner = trained("h-maddpg")
    # Chunks of 8 and 2 frames; what was played after the checkpoint does not count.
    means = means_while_learning(learner, tmp_path)
    np.testing.assert_allclose(means["reward"], [12, 40])
    row = while_learning(learner, tmp_path)
    assert (row.regime, row.trained, row.seeds, row.over) == ("learning", 40, 2, "seeds")
    assert row.estimates["reward"] == pytest.approx((26, 12, 40))
    assert row.estimates["energy_efficiency"].mean == pytest.approx((26 / 2 + 50) / 2)
    alone = while_learning(replace(learner, seeds=(3,)), tmp_path)
    assert alone.over is None
    assert alone.estimates["outage"].mean == 0.5
    assert np.isnan(alone.estimates["outage"].low)


def test_metrics_that_lack_a_seed_are_refused(tmp_path):
    write_metrics(tmp_path, ROWS[:6])
    with pytest.raises(InputError, match="metrics: has nothing of the last tenth of seed 7's frames"):
        means_while_learning(trained("h-maddpg"), tmp_path)


def test_runs_that_do_not_fit_are_refused_by_name():
    learner = trained("h-maddpg")
    check_fit(learner, Scenario(ap_power=2), "runs/a")
    other = Scenario(num_antennas=4, user_positions=((1, 2), (2, 1)))
    with pytest.raises(InputError) as caught:
        check_fit(learner, other, "runs/a")
    assert caught.value.faults == (
        "num_antennas: 4 does not fit the run runs/a, which was trained with 3",
        "user_positions: 2 users do not fit the run runs/a, which was trained with 3",
    )


# The command

FEW = ["--frames", FRAMES, "--rollout-frames", "80", "--seed", "5"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(job, "load_run", lambda folder: trained("h-maddpg"))
    write_metrics(tmp_path, ROWS)
    return tmp_path


def test_a_run_in_json_csv_and_a_table(folder):
    report = json.loads(run("evaluate", folder, *FEW, "--json").stdout)
    assert report["run"] == {"algorithm": "h-maddpg", "seeds": [3, 7], "frames": 40}
    assert (report["evaluated"], report["seed"], report["frames"]) == (str(folder), 5, FRAMES)
    assert set(report["references"]) == {"optimum", "best-set"}
    assert Scenario.from_yaml(json.dumps(report["scenario"])) == Scenario()
    learner = [("h-maddpg", "decentralised", 0), ("h-maddpg", "decentralised", 40)]
    rows = [
        ("random", None, None),
        ("mrt", None, None),
        *learner,
        ("optimum", None, None),
        ("best-set", None, None),
    ]
    expected = [("learning", "h-maddpg", None, 40)]
    expected += [(regime, *row) for regime in ("independent", "rollout") for row in rows]
    told = [tuple(row[key] for key in ("regime", "policy", "mode", "trained")) for row in report["rows"]]
    assert told == expected
    for row in report["rows"]:
        assert set(row) == {"regime", "policy", "mode", "trained", "seeds", "intervals_over", "estimates"}
        for estimate in row["estimates"].values():
            assert set(estimate) == {"mean", "low", "high", "unit"}

    text = run("evaluate", folder, *FEW, "--out", folder / "out.csv").stdout
    for words in (
        "h-maddpg of",
        "its 2 seeds",
        "While learning",
        "Independent frames: 23",
        "Rollouts",
        "mrt + P1",
    ):
        assert words in text
    lines = list(csv.DictReader((folder / "out.csv").read_text().splitlines()))
    assert len(lines) == sum(len(row["estimates"]) for row in report["rows"])
    first = report["rows"][0]["estimates"]["reward"]
    assert [float(lines[0][name]) for name in ("mean", "low", "high")] == [
        first[k] for k in ("mean", "low", "high")
    ]

    run("evaluate", folder, *FEW, "--out", folder / "out.md")
    written = (folder / "out.md").read_text()
    assert written.count("\n### ") == 3 * 2  # of each regime one of rewards, and one of energy and work
    assert written.count("| decentralised<br>frame 40 |") == 4


def test_a_run_in_another_scenario(folder):
    changed = json.loads(run("evaluate", folder, *FEW, "--set", "ap_power=2", "--json").stdout)
    assert changed["scenario"]["ap_power"] == 2
    fault = f"num_antennas: 4 does not fit the run {folder}, which was trained with 3"
    assert refused("evaluate", folder, "--set", "num_antennas=4") == [fault]


def test_a_policy_goes_with_the_controls():
    report = json.loads(run("evaluate", "mrt", *FEW, "--json").stdout)
    assert report["run"] is None
    assert [row["policy"] for row in report["rows"]] == ["random", "mrt"] * 2
    assert "of_best_set" in report["rows"][0]["estimates"]
    result = run("evaluate", "mrt", *FEW, "--rollout-frames", "0", "--set", "harvest_model=sigmoidal")
    assert "Rollouts" not in result.stdout
    assert result.stderr.startswith("No shares of the optimum: harvest_model is 'sigmoidal'")


def test_what_cannot_be_evaluated_is_refused_by_name(tmp_path):
    missing = tmp_path / "nothing"
    (fault,) = refused("evaluate", missing)
    assert fault.startswith(f"{missing}: is neither the folder of a training run nor one of random, mrt")
    (fault,) = refused("evaluate", "optimum", "--set", "harvest_model=sigmoidal")
    assert fault.startswith("harvest_model: 'sigmoidal' is not allowed with the policy optimum")
    assert refused("evaluate", "mrt", "--set", "ap_power=-1")[0].startswith("ap_power: -1")
    assert refused("evaluate", "mrt", "--out", tmp_path / "out.txt") == [
        f"{tmp_path / 'out.txt'}: its name must end in .json, .csv, .md or .tex"
    ]
    assert refused("evaluate", tmp_path)[0].startswith(str(tmp_path))
