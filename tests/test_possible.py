"""The bound on policies that do not know the frame: above what any plan reaches, and met where it can be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from scattermec import Scenario
from scattermec.errors import InputError
from scattermec.experiments.measure import possible as module
from scattermec.experiments.measure import unknown
from scattermec.experiments.measure.conditions import Condition
from scattermec.experiments.measure.possible import (
    USERS,
    cells_of,
    check_scenario,
    limit,
    observe,
    observe_frames,
    parameters_under,
    play_plan,
    possible,
    sample_truths,
)
from scattermec.optimisation import optimise_all_or_best, optimise_beams
from scattermec.physics import Frame, with_margin
from scattermec.physics.links import channel_gain

SCENARIO = Scenario(user_positions=[[3, 3], [5, 5]], num_antennas=2)
KNOWN = Condition()
CHANNELS = Condition(csi_error=0.2)
WORK = Condition(workload_error=0.2)
LATE = Condition(correlation=0.95)
FRAMES, TRUTHS = 2, 400


@pytest.fixture(scope="module", autouse=True)
def _small_blocks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unknown, "BLOCK", 64)
        patch.setattr(unknown, "GROUPS", (0.5,))
        patch.setattr(unknown, "BOXES", 8)
        patch.setattr(unknown, "NUM_CELLS", 12)
        patch.setattr(module, "NUM_CELLS", 12)
        patch.setattr(module, "MARGINS", (0.0, 0.2))
        yield


@pytest.fixture(scope="module")
def found():
    return {
        condition: possible(SCENARIO, condition, frames=FRAMES, samples=8, seed=1)
        for condition in (KNOWN, CHANNELS)
    }


def test_with_everything_known_the_bound_is_the_certified_optimum(found):
    known = found[KNOWN]
    for users in USERS:
        np.testing.assert_allclose(known.bound[users], known.clairvoyant, rtol=1e-6)
        assert (known.reward[users] <= known.clairvoyant * (1 + 1e-6)).all()


def test_limit_of_repairing_users_is_that_of_possible(found):
    one = found[CHANNELS]
    share = limit(SCENARIO, CHANNELS, frames=FRAMES, seed=1)
    np.testing.assert_allclose(share.mean, one.bound["repair"].mean() / one.clairvoyant.mean(), rtol=1e-9)


def told_truths(parameters, one, frame, rng):
    """Truths of a frame as they may be for an AP that is told the channels' directions."""
    cells = cells_of(parameters, one.condition, one.frames)
    chosen = [
        rng.choice(unknown.NUM_CELLS, TRUTHS, p=share / share.sum()) for share in cells.probability[frame].T
    ]

    def pick(values):
        return np.stack([values[frame, c, i] for i, c in enumerate(chosen)], axis=1)

    channels = np.asarray(one.frames.truth.channels[frame])
    directions = channels / np.linalg.norm(channels, axis=1, keepdims=True)
    return Frame(
        channels=jnp.asarray(directions * pick(cells.strength)[:, :, None]),
        workload=jnp.asarray(pick(cells.mean)),
        battery=jnp.broadcast_to(one.frames.truth.battery[frame], (TRUTHS, 2)),
    )


def test_no_plan_beats_the_bound_even_if_it_is_told_the_directions(found):
    one, parameters = found[CHANNELS], parameters_under(SCENARIO, CHANNELS)
    rng = np.random.default_rng(0)
    play = jax.jit(jax.vmap(play_plan, in_axes=(None, 0, None, None)))
    for k in range(FRAMES):
        truths = told_truths(parameters, one, k, rng)
        usual = jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0)[None], truths)
        for margin in module.MARGINS:
            plan = optimise_all_or_best(with_margin(parameters, margin), usual)[0]
            single = jax.tree.map(lambda leaf: leaf[0], (plan.beams, plan.solution.allocation))
            for users, outcome in play(parameters, truths, *single).items():
                rewards = np.asarray(outcome.ap_reward)
                noise = 4 * rewards.std() / TRUTHS**0.5
                assert rewards.mean() <= one.bound[users][k] * (1 + 1e-5) + noise


def test_one_user_that_follows_meets_the_best_threshold():
    scenario = Scenario(user_positions=[[3, 3]], num_antennas=2, initial_battery=0.02)
    parameters = parameters_under(scenario, CHANNELS)
    frames = observe_frames(parameters, False, jax.random.split(jax.random.key(3), 2))
    cells = cells_of(parameters, CHANNELS, frames)
    channels = np.asarray(frames.truth.channels)
    directions = channels / np.linalg.norm(channels, axis=-1, keepdims=True)
    bound = unknown.bound_rewards(
        parameters, directions, np.asarray(frames.truth.battery), cells, repair=False
    )
    least_energy = jax.jit(jax.vmap(lambda frame: optimise_beams(parameters, frame).energy))
    for k in range(2):
        chance = np.cumsum(cells.probability[k, ::-1, 0])[::-1]
        strong = Frame(
            channels=jnp.asarray(directions[k] * cells.strength[k, :, 0, None, None]),
            workload=jnp.broadcast_to(frames.truth.workload[k], (unknown.NUM_CELLS, 1)),
            battery=jnp.broadcast_to(frames.truth.battery[k], (unknown.NUM_CELLS, 1)),
        )
        energy = least_energy(strong)
        best = np.max(chance * float(frames.truth.workload[k, 0]) / np.asarray(energy))
        assert bound[k] == pytest.approx(best, rel=1e-4)


@pytest.mark.parametrize("condition", [CHANNELS, WORK, LATE], ids=["channels", "work", "late"])
def test_cells_hold_all_probability_and_are_in_order(condition):
    parameters = parameters_under(SCENARIO, condition)
    frames = observe_frames(parameters, condition.late, jax.random.split(jax.random.key(1), FRAMES))
    cells = cells_of(parameters, condition, frames)
    np.testing.assert_allclose(cells.probability.sum(axis=1), 1)
    assert (np.diff(cells.strength, axis=1) >= 0).all()
    assert (np.diff(cells.lightest, axis=1) <= 0).all()
    some = cells.probability > 0
    assert (cells.lightest <= cells.mean + 1e-9)[some].all()
    assert (cells.mean <= cells.heaviest + 1e-9)[some].all()


def test_what_is_seen_late_leaves_the_truth_anywhere_among_its_samples():
    parameters = parameters_under(SCENARIO, LATE)

    @jax.jit
    @jax.vmap
    def rank(key):
        drawn = observe(key, parameters, late=True)
        samples = sample_truths(key, parameters, drawn.seen, 31, late=True)
        strengths = jax.vmap(channel_gain)(samples.channels)
        return jnp.sum(strengths < channel_gain(drawn.truth.channels), axis=0)

    ranks = np.asarray(rank(jax.random.split(jax.random.key(5), 400)))
    assert stats.chisquare(np.bincount(ranks.ravel() // 4, minlength=8)).pvalue > 1e-3


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"harvest_model": "sigmoidal"}, "harvest_model: 'sigmoidal' is not allowed"),
        ({"user_positions": [[3, 3]] * 5}, "user_positions: 5 users are not allowed"),
    ],
)
def test_scenarios_without_the_bound_are_refused(changes, fault):
    with pytest.raises(InputError, match=fault):
        check_scenario(Scenario(**changes))
