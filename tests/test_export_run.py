"""Bundles of Algorithm 1: the AP and the users say what they say in JAX, without JAX; users in C, too."""

import ctypes
import math
import shutil
import subprocess
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scattermec import Scenario
from scattermec.agents.settings import TrainingConfig
from scattermec.environment import advance, as_seen, draw_next, reset
from scattermec.errors import InputError
from scattermec.experiments.evaluate.exported import NEAR, compare_run
from scattermec.learners import h_maddpg_opt as learner
from scattermec.learners.common import new_task, see_as_ap, see_as_users
from scattermec.online.actor import Allocation as Report
from scattermec.online.actor import prefers_reports
from scattermec.online.bundle import load_actor_user, load_ap_actor, user_folder
from scattermec.online.export_run import check_exportable, export_run, learner_of
from scattermec.physics import Allocation
from scattermec.training import TrainedRun

SCENARIO = Scenario(
    user_positions=((3, 3), (2, -2)),
    num_antennas=2,
    slot_duration=(1.0, 0.5),
    mean_workload=(20.0, 60.0),
    local_rate=(50.0, 0.0),
    battery_capacity=(1.0, 0.2),
    arrivals="constant",
)
"""Users that differ; one has no processor."""

CONFIGS = {
    "paper": TrainingConfig(actor_layers=(5, 3), critic_width=4, buffer_size=64),
    "feasible": TrainingConfig(
        actor_layers=(7,),
        critic_width=4,
        buffer_size=64,
        action_form="feasible",
        hidden_activation="relu",
        phase_reference=True,
        reward_scale=0.01,
        ap_discount=0.8,
    ),
}


def run_of(config: TrainingConfig, algorithm: str = "h-maddpg-opt") -> TrainedRun:
    """A run with any weights, of two seeds."""
    task, random = new_task(SCENARIO, config), np.random.default_rng(0)
    keys = jax.random.split(jax.random.key(0), 2)

    def anything(leaf: jax.ShapeDtypeStruct) -> jax.Array:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return keys
        return jnp.asarray(random.normal(size=leaf.shape), leaf.dtype)

    shapes = jax.eval_shape(jax.vmap(learner.initial, in_axes=(None, 0)), task, keys)
    return TrainedRun(
        algorithm=algorithm,
        scenario=SCENARIO,
        config=config,
        seeds=(3, 4),
        frames=1,
        states=jax.tree.map(anything, shapes),
    )


@pytest.fixture(scope="module", params=list(CONFIGS))
def exported(request, tmp_path_factory):
    run, folder = run_of(CONFIGS[request.param]), tmp_path_factory.mktemp("run") / "bundle"
    export_run(run, folder, name="a run", seed=4)
    return run, folder


def observations(folder, index, count):
    """A user, and what it may observe: work, battery, channel, share and entry."""
    user, random = load_actor_user(user_folder(folder, index)), np.random.default_rng(index)
    c = user.constants
    drawn = [
        (
            random.exponential(c.mean_workload),
            random.uniform(0, c.battery_capacity),
            c.path_gain * (random.normal(size=c.antennas) + 1j * random.normal(size=c.antennas)),
            random.uniform(),
            random.uniform(size=c.entries),
        )
        for _ in range(count)
    ]
    return user, drawn


def test_access_point_and_users_say_what_they_say_in_jax(exported):
    run, folder = exported
    found = compare_run(run, folder, of_seed=4, frames=20, seed=1)
    assert max(found.values()) < NEAR
    other = compare_run(run, folder, of_seed=None, frames=20, seed=1)  # seed 3, with other weights
    assert min(other.values()) > 0.01


def test_user_in_c_answers_as_in_python(exported, tmp_path):
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    _, folder = exported
    for index in range(2):
        library = tmp_path / f"user{index}.so"
        warnings = [
            "-std=c99",
            "-Wall",
            "-Wextra",
            "-pedantic",
            "-Werror",
            "-Wconversion",
            "-Wdouble-promotion",
        ]
        source = user_folder(folder, index) / "actor.c"
        subprocess.run(
            ["gcc", *warnings, "-O2", "-shared", "-fPIC", "-o", library, source, "-lm"], check=True
        )
        act = ctypes.CDLL(str(library)).scattermec_act
        user, drawn = observations(folder, index, 100)

        def by_c(own, share, entry, act=act):
            six = (ctypes.c_float * 6)(*[9.0] * 6)
            given = [(ctypes.c_float * len(part))(*part) for part in (own, entry)]
            return act(given[0], ctypes.c_float(share), given[1], six), list(six)

        for work, battery, channel, share, entry in drawn:
            own = [work, battery, *channel.real, *channel.imag]
            status, found = by_c(own, share, entry)
            assert status == 0
            np.testing.assert_allclose(
                found, user.report(work, battery, channel, share, entry), rtol=1e-4, atol=1e-4
            )
            assert by_c([-1.0, *own[1:]], share, entry) == (-1, [0] * 6)
            assert by_c(own, np.nan, entry) == (-1, [0] * 6)


def test_actors_run_where_no_jax_can_be_imported(exported):
    _, folder = exported
    user, drawn = observations(folder, 1, 1)
    program = f"""
import sys
sys.modules["jax"] = sys.modules["jaxlib"] = None
from numpy import array
from scattermec.online.bundle import load_actor_user, load_ap_actor
print(list(load_actor_user({str(user_folder(folder, 1))!r}).report(*{drawn[0]!r})))
load_ap_actor({str(folder)!r})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    found = [float(number) for number in done.stdout.strip("[]\n").split(",")]
    np.testing.assert_allclose(found, user.report(*drawn[0]), rtol=1e-6)


def test_access_point_prefers_the_reports_if_their_target_is_larger(exported):
    run, folder = exported
    task, state = new_task(SCENARIO, run.config), learner_of(run, 4)
    access_point = load_ap_actor(folder)
    users = [load_actor_user(user_folder(folder, index)) for index in range(2)]
    entry = np.full((2, users[0].constants.entries), 0.5)

    @jax.jit
    def targets(task, ap, environment, allocations, draws):
        beams = environment.frame.channels
        message = learner.Message(
            beams=beams, estimate=allocations[0], told=None, seen_by_users=jnp.zeros((2, 0), jnp.float32)
        )
        y = [learner.target_value(task, ap, environment, message, one, draws) for one in allocations]
        played = [advance(as_seen(environment), beams, one, draws, task.parameters) for one in allocations]
        return y, [(result.ap_reward, see_as_ap(task, ahead)) for ahead, result in played]

    environment = reset(jax.random.key(0), task.parameters)
    draws = draw_next(jax.random.key(1), environment, task.parameters)
    shares = see_as_users(task, environment, environment.frame.channels)[:, -1]
    frame = environment.frame
    reports = [
        user.report(
            *(float(part[i]) for part in (frame.workload, frame.battery)),
            np.asarray(frame.channels[i]),
            float(shares[i]),
            told,
        )
        for i, (user, told) in enumerate(zip(users, entry, strict=True))
    ]
    columns = map(jnp.array, zip(*reports, strict=True))
    reported = Allocation(**dict(zip(Report._fields, columns, strict=True)))
    nothing = jax.tree.map(jnp.zeros_like, reported)
    expected, outcomes = targets(task, state.ap, environment, (reported, nothing), draws)
    found = [access_point.target(float(reward), np.asarray(ahead)) for reward, ahead in outcomes]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found[0] != pytest.approx(found[1])
    assert prefers_reports(*found) == bool(expected[0] > expected[1])
    assert prefers_reports(2.0, 1.0)
    assert not prefers_reports(1.0, 1.0)
    assert not prefers_reports(math.nan, 1.0)


def test_runs_that_have_no_users_for_devices_are_refused(exported):
    run, _ = exported
    with pytest.raises(InputError, match="is a run of h-maddpg; only runs of h-maddpg-opt"):
        check_exportable(replace(run, algorithm="h-maddpg"), "runs/x")
    with pytest.raises(InputError, match="of-seed: 5 is not allowed; the run has the seeds 3, 4"):
        check_exportable(run, "runs/x", 5)
    correcting = replace(run, config=run.config.replace(action_form="correction"))
    with pytest.raises(InputError, match="its users correct an estimate"):
        check_exportable(correcting, "runs/x")


def test_user_refuses_what_is_no_observation(exported):
    user, ((work, battery, channel, share, entry),) = observations(exported[1], 0, 1)
    assert isinstance(user.report(work, battery, channel, share, entry), Report)
    with pytest.raises(InputError, match="they must be"):
        user.report(work, battery, channel[:1], share, entry)
    for wrong in ((-1.0, battery, channel, share), (work, battery, channel, math.nan)):
        with pytest.raises(InputError, match="all numbers must be finite"):
            user.report(*wrong, entry)
