"""Bundles of Algorithm 1: the AP and the users say what they say in JAX, without JAX; users in C, too."""

import ctypes
import itertools
import math
import shutil
import subprocess
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from command_line import refused
from online_bus import Bus
from scattermec import Scenario
from scattermec.agents.settings import TrainingConfig
from scattermec.cli import checks
from scattermec.cli.jobs.online import access_point_of, user_of
from scattermec.errors import InputError
from scattermec.experiments.evaluate.exported import NEAR, compare_run
from scattermec.experiments.evaluate.foresight import play_episodes
from scattermec.experiments.evaluate.policies import Contender
from scattermec.experiments.measure.world import SimulatedWorld
from scattermec.learners import h_maddpg_opt as learner
from scattermec.learners.common import new_task
from scattermec.online.actor import Allocation, prefers_reports
from scattermec.online.bundle import load_actor_user, user_folder
from scattermec.online.export_run import check_exportable, export_run, learner_of
from scattermec.online.protocol import Deadlines, Radio
from scattermec.physics import parameters_of
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
    "correction": TrainingConfig(
        actor_layers=(6,), critic_width=4, buffer_size=64, action_form="correction", ap_action="log_prices"
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
            *([[0.2, 60.0, 0.1]] if user.corrects else []),
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
    run, folder = exported
    if run.config.action_form == "correction":
        assert not (user_folder(folder, 0) / "actor.c").exists()
        return
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


@pytest.mark.parametrize("exported", ["paper", "correction"], indirect=True)
def test_online_the_ap_chooses_as_in_the_simulator(exported):
    run, folder = exported
    frames, seed, deadlines = 8, 7, Deadlines(1.0)
    policy, kind = access_point_of(folder)
    ap = kind(policy, 2, 2, deadlines)
    devices = [user_of(user_folder(folder, index), index, deadlines) for index in range(2)]
    radio = Radio(
        SimulatedWorld(SCENARIO, seed, compare=False), 2, 2, deadlines, run=1, frames=frames, wait=1.0
    )
    bus = Bus(radio, ap, *devices)
    bus.run_until(lambda: radio.done)
    assert not any(device.refused for device in (radio, ap, *devices))

    task, state, number = new_task(SCENARIO, run.config), learner_of(run, 4), itertools.count()
    act_by_choice = jax.jit(learner.act_by_choice)

    def decide(_, states):
        environment = jax.tree.map(lambda leaf: leaf[0], states)
        imagined = jax.random.fold_in(jax.random.key(0), next(number))
        return jax.tree.map(lambda leaf: leaf[None], act_by_choice(task, state, environment, imagined))

    contender = Contender("learned", decide)
    _, played = play_episodes(parameters_of(SCENARIO), contender, frames=frames, episodes=1, seed=seed)
    # The networks are the same in single precision, not to the last bit.
    np.testing.assert_allclose([log.ap_energy for log in bus.logs()], played.energy[0], rtol=1e-5)
    np.testing.assert_array_equal(np.logical_not([log.served for log in bus.logs()]), played.outage[0])
    # Both occur, and cost different energies.
    assert min(ap.counts["reports played"], ap.counts["estimates played"]) > 0


def test_ap_without_jax_says_what_to_install(exported, monkeypatch):
    find = checks.importlib.util.find_spec
    monkeypatch.setattr(
        checks.importlib.util, "find_spec", lambda name: None if name == "jax" else find(name)
    )
    assert refused("ap", str(exported[1])) == [
        "ap of a run of h-maddpg-opt: jax not installed; pip install 'scattermec[learning]'"
    ]


def test_reports_are_preferred_if_they_promise_more():
    assert prefers_reports(2.0, 1.0)
    assert not prefers_reports(1.0, 1.0)
    assert not prefers_reports(math.nan, 1.0)


def test_runs_that_have_no_users_for_devices_are_refused(exported):
    run, _ = exported
    with pytest.raises(InputError, match="is a run of h-maddpg; only runs of h-maddpg-opt"):
        check_exportable(replace(run, algorithm="h-maddpg"), "runs/x")
    with pytest.raises(InputError, match="of-seed: 5 is not allowed; the run has the seeds 3, 4"):
        check_exportable(run, "runs/x", 5)


def test_user_refuses_what_is_no_observation(exported):
    user, ((work, battery, channel, share, *told),) = observations(exported[1], 0, 1)
    assert isinstance(user.report(work, battery, channel, share, *told), Allocation)
    with pytest.raises(InputError, match="they must be"):
        user.report(work, battery, channel[:1], share, *told)
    for wrong in ((-1.0, battery, channel, share), (work, battery, channel, math.nan)):
        with pytest.raises(InputError, match="all numbers must be finite"):
            user.report(*wrong, *told)
