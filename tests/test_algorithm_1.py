"""Algorithm 1, line by line, on frames where both targets are known."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from scattermec import Scenario
from scattermec.agents.replay import recall
from scattermec.agents.settings import TrainingConfig
from scattermec.environment import advance, draw_next
from scattermec.learners import h_maddpg_opt as learner
from scattermec.learners import new_task
from scattermec.learners.common import Record, Task, see_as_users, users_rewards
from scattermec.optimisation import allocate
from scattermec.physics import Allocation, Frame, run_frame

NOTHING = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
ALL_LOCAL = (0.0, 0.0, 1.0, 0.0, 0.0, 1.0)
# One user has no energy of its own, the others can compute everything: serving all costs the AP's energy,
# and with a small exponent in (11) it is better not to.
SCENARIO = Scenario(reliability_weight=0.01, arrivals="constant")
BATTERY = (0.0, 1.0, 1.0)
SMALL = {"actor_layers": (4,), "critic_width": 4, "batch_size": 4, "buffer_size": 16}


def task(**changes: object) -> Task:
    return new_task(SCENARIO, TrainingConfig(**(SMALL | changes)))


def state(task: Task, report: tuple[float, ...], critic_bias: float = 0.0) -> learner.State:
    """A first frame whose users all report ``report`` and whose AP values every next frame the same."""
    initial = new_state(task, jax.random.key(0))
    constant = jnp.where(jnp.array(report) > 0.5, 200.0, -200.0).astype(jnp.float32)

    def changed(state: learner.State) -> tuple[Array, ...]:
        last, value = state.users.actor.layers[-1], state.ap.target_critic.output_layer
        return (state.environment.frame.battery, last.weight, last.bias, value.weight, value.bias)

    weight, bias, value_weight, value_bias = changed(initial)[1:]
    new = (
        jnp.array(BATTERY),
        jnp.zeros_like(weight),
        jnp.broadcast_to(constant, bias.shape),
        jnp.zeros_like(value_weight),
        jnp.full_like(value_bias, critic_bias),
    )
    return eqx.tree_at(changed, initial, new)


one_frame = jax.jit(learner.frame)
many_frames = jax.jit(jax.vmap(learner.frame, in_axes=(None, 0, None)))
new_state = jax.jit(learner.initial)


def play(task: Task, state: learner.State, frames: int = 1) -> tuple[learner.State, list[Record]]:
    """The state after some frames, and their records."""
    records = []
    for time in range(frames):
        state, record = one_frame(task, state, jnp.asarray(time))
        records.append(record)
    return state, records


def expected_rewards(task: Task, state: learner.State, report: tuple[float, ...]) -> tuple[float, float]:
    """Rewards (11) of the estimate and of the reports, by P1 and by the frame alone."""
    frame: Frame = state.environment.frame
    numbers = state.ap.actor(jnp.asarray(learner.see_as_ap(task, state.environment)))
    beams = np.asarray(2 * numbers.reshape(2, 3, 3) - 1, float)
    beams = jnp.asarray(beams[0] + 1j * beams[1])
    estimate = allocate(task.parameters, frame, beams)
    assert int(estimate.status) == 0
    scale = [1.0] * 3 + [None] * 3
    parts = [
        jnp.full(3, part) * (frame.workload if unit is None else unit)
        for part, unit in zip(report, scale, strict=True)
    ]
    names = [field.name for field in dataclasses.fields(Allocation)]
    reported = Allocation(**dict(zip(names, parts, strict=True)))
    return tuple(
        float(run_frame(task.parameters, frame, beams, allocation).ap_reward)
        for allocation in (estimate.allocation, reported)
    )


@pytest.mark.parametrize("report", [NOTHING, ALL_LOCAL])
def test_lines_16_to_18_execute_the_better_of_the_two(report: tuple[float, ...]) -> None:
    t = task(exploration_probability=0.0)
    start = state(t, report)
    estimate, reported = expected_rewards(t, start, report)
    assert (reported > estimate) == (report == ALL_LOCAL)  # the frame was made so
    _, (record,) = play(t, start)
    assert float(record.reward) == pytest.approx(max(estimate, reported), rel=1e-5)
    assert float(record.estimate_chosen) == float(estimate > reported)


@pytest.mark.parametrize("bias", [0.0, 7.0])
def test_targets_of_lines_4_and_15_are_reward_plus_discounted_value(bias: float) -> None:
    t = task(reward_scale=0.5)
    start = state(t, ALL_LOCAL, critic_bias=bias)
    estimate, reported = expected_rewards(t, start, ALL_LOCAL)
    environment = start.environment
    action = start.ap.actor(learner.see_as_ap(t, environment))
    message = learner.estimate_and_distribute(t, environment, action)
    reports = learner.act(start.users.actor, message.seen_by_users)
    draws = learner.draw_next(jax.random.key(1), environment, t.parameters)
    y_star = learner.target_value(t, start.ap, environment, message, message.estimate, draws)
    y = learner.target_value(
        t,
        start.ap,
        environment,
        message,
        learner.reported_allocation(t, environment, message, reports),
        draws,
    )
    assert float(y_star) == pytest.approx(0.5 * estimate + 0.5 * bias, rel=1e-5)
    assert float(y) == pytest.approx(0.5 * reported + 0.5 * bias, rel=1e-5)


@pytest.mark.parametrize("limit", [None, 0.01])
def test_the_ap_learns_from_rewards_up_to_the_limit(limit: float | None) -> None:
    t = task(reward_scale=0.5, reward_limit=limit)
    reached, (record,) = play(t, state(t, ALL_LOCAL))
    scaled = 0.5 * float(record.reward)
    assert scaled > 0.01
    remembered = jax.jit(recall)(reached.ap_replay, jax.random.key(0)).reward
    assert np.asarray(remembered) == pytest.approx(scaled if limit is None else limit, rel=1e-5)


@pytest.mark.parametrize("report", [NOTHING, ALL_LOCAL])
def test_uniform_exploration_replaces_the_choice_with_probability_epsilon(report: tuple[float, ...]) -> None:
    epsilon, seeds = 0.3, 400
    t = task(exploration_probability=epsilon, exploration="uniform")
    start = state(t, report)
    best = max(expected_rewards(t, start, report))
    starts = jax.jit(jax.vmap(lambda key: dataclasses.replace(start, key=key)))(
        jax.random.split(jax.random.key(2), seeds)
    )
    _, record = many_frames(t, starts, jnp.asarray(0))
    kept = np.isclose(record.reward, best, rtol=1e-5).mean()
    assert abs(kept - (1 - epsilon)) < 4 * np.sqrt(epsilon * (1 - epsilon) / seeds)


def test_gaussian_exploration_keeps_the_estimate_fit_for_the_beams_it_explores() -> None:
    t = task(exploration_probability=1.0, exploration_noise=0.3)
    start = state(t, NOTHING)
    _, records = play(t, start, 20)
    # The estimate is preferred to doing nothing, so everyone who can be served is, whatever the beams.
    assert all(float(record.estimate_chosen) for record in records)
    # Noisy beams with an estimate for others would fail often. Nobody starts out empty here but user 1.
    assert np.mean([float(record.outage) for record in records[:5]]) < 0.1


def test_line_10_plays_each_user_against_the_others_estimate() -> None:
    t = task(team_weight=0.25)
    start = state(t, NOTHING)
    environment = start.environment
    action = jax.random.uniform(jax.random.key(3), (18,), jnp.float32)
    message = jax.jit(learner.estimate_and_distribute)(t, environment, action)
    tries = jax.random.uniform(jax.random.key(4), (3, 6), jnp.float32)
    draws = learner.draw_next(jax.random.key(5), environment, t.parameters)
    transition = jax.jit(learner.try_each)(t, environment, message, tries, draws)

    @jax.jit
    def alone(user: jax.Array) -> tuple:
        own = learner.reported_allocation(t, environment, message, tries)
        mixed = jax.tree.map(lambda mine, other: other.at[user].set(mine[user]), own, message.estimate)
        reached, _ = learner.advance(environment, message.beams, mixed, draws, t.learning_parameters)
        outcome = run_frame(t.learning_parameters, environment.frame, message.beams, mixed)
        return outcome, see_as_users(t, reached, message.beams)[user]

    for user in range(3):
        outcome, seen = alone(user)
        assert float(transition.reward[user]) == pytest.approx(float(outcome.user_reward[user]), abs=1e-6)
        size = seen.size - 1  # the beam's gain is that of the next message
        np.testing.assert_allclose(transition.next_observation[user, :size], seen[:size], rtol=1e-6)
        assert float(seen[1]) == pytest.approx(float(outcome.battery[user]), rel=1e-6)


def test_a_users_transition_waits_for_the_next_message_and_ends_with_the_episode() -> None:
    scenario = SCENARIO.replace(episode_length=3)
    t = new_task(scenario, TrainingConfig(**SMALL))
    start = new_state(t, jax.random.key(6))
    end, _ = play(t, start, 9)
    rows = np.asarray(end.user_replays.rows.experience)[0, 0]
    valid = rows[:9, -1]
    # The first row is the blank one that waited before any frame; frames 3, 6, ... end an episode.
    np.testing.assert_array_equal(valid, [0, 1, 1, 0, 1, 1, 0, 1, 1])
    batch = jax.jit(jax.vmap(recall))(end.user_replays, jax.random.split(jax.random.key(7), 3))
    assert np.isfinite(batch.observation).all()


def test_everyone_waits_for_a_batch_and_then_learns() -> None:
    t = task()
    start = new_state(t, jax.random.key(8))
    before, _ = play(t, start, 4)
    after, _ = play(t, start, 5)

    def changed(state: learner.State, name: str) -> list[bool]:
        old, new = getattr(start, name), getattr(state, name)
        pairs = zip(
            jax.tree.leaves((old.actor, old.critic)), jax.tree.leaves((new.actor, new.critic)), strict=True
        )
        return [not np.array_equal(a, b) for a, b in pairs]

    for name in ("ap", "users"):
        assert not any(changed(before, name))
        assert any(changed(after, name))


def test_jit_of_a_frame_takes_swept_numbers_as_leaves() -> None:
    t = task()
    leaves: list[Array] = jax.tree.leaves(t.learning)
    swept = [field for field in dataclasses.fields(t.learning) if not field.metadata.get("static")]
    assert len(leaves) == len(swept) > 0
    assert all(leaf.shape == () for leaf in leaves)


def test_a_team_is_paid_its_success_or_its_scaled_efficiency() -> None:
    paid = {}
    for form in ("success", "efficiency"):
        own = task(team_reward=form, team_weight=1.0, reward_scale=0.01)
        environment = new_state(own, jax.random.key(1)).environment
        # The second user computes all its work, which its battery holds; the others do nothing.
        work = environment.frame.workload * jnp.array([0.0, 1.0, 0.0])
        none = jnp.zeros(3)
        local = Allocation(
            t_active=none,
            t_passive=none,
            t_local=work / own.parameters.local_rate,
            l_active=none,
            l_passive=none,
            l_local=work,
        )
        draws = draw_next(jax.random.key(2), environment, own.parameters)
        environment = eqx.tree_at(lambda e: e.frame.battery, environment, jnp.array(BATTERY))
        _, result = advance(environment, environment.beams, local, draws, own.learning_parameters)
        paid[form] = np.asarray(users_rewards(own, result))
    np.testing.assert_allclose(paid["success"], 1 / 3)
    assert float(result.ap_reward) > 0
    np.testing.assert_allclose(paid["efficiency"], 0.01 * float(result.ap_reward), rtol=1e-6)
