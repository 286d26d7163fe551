"""The arrays of every public pytree have the shapes and kinds that its fields say, in real instances."""

import dataclasses
import importlib
import pkgutil
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import AbstractArray, jaxtyped

import scattermec
from conftest import PYTREES
from scattermec import Scenario
from scattermec.agents.replay import blank_transition
from scattermec.agents.settings import TrainingConfig
from scattermec.environment import advance, draw_next, reset
from scattermec.environment._shell import _preview
from scattermec.environment.flat import FlatOffloading
from scattermec.learners import fixed, h_maddpg_opt, new_task
from scattermec.optimisation import BatteryValue, allocation_problem, optimise_service
from scattermec.optimisation.horizon import Episode, bound_energy
from scattermec.optimisation.repair import measured, plan_for, timeline
from scattermec.optimisation.response import broadcaster, respond
from scattermec.optimisation.standard_form import in_need, natural_scales, standard_form
from scattermec.physics import parameters_of
from scattermec.physics.channel import Key
from scattermec.physics.knowledge import knowledge
from scattermec.physics.posterior import channel_prior
from scattermec.price_net import battery
from scattermec.price_net.features import beam_features
from scattermec.price_net.training import PriceNetConfig, begin

USERS, ANTENNAS = 2, 3  # not the same, so that no axis is taken for the other
SCENARIO = Scenario(
    user_positions=[[5, 5], [3, 3]], num_antennas=ANTENNAS, local_rate=100, arrivals="constant"
)
SMALL = TrainingConfig(actor_layers=(4,), critic_width=4, batch_size=4, buffer_size=8)
KEYS = typing.get_args(Key)
VALUE = BatteryValue(slopes=jnp.full((USERS, 5), 0.1))


def arrays_of(kind: type) -> dict[str, tuple[type, ...]]:
    """Fields that are arrays, and what each may be. Keys, of several representations, are not meant."""
    found = {field.name: typing.get_args(field.type) or (field.type,) for field in dataclasses.fields(kind)}
    return {
        name: allowed
        for name, allowed in found.items()
        if isinstance(allowed[0], type) and issubclass(allowed[0], AbstractArray) and allowed != KEYS
    }


def wrong_fields(node: object) -> list[str]:
    """Fields whose value is not what the annotation says, axes of one name being of one length."""
    with jaxtyped("context"):
        return [
            f"{type(node).__name__}.{name}: {getattr(node, name)} is none of {allowed}"
            for name, allowed in arrays_of(type(node)).items()
            if not any(isinstance(getattr(node, name), kind) for kind in allowed)
        ]


def shaped(function, *arguments):
    """Zeros of the shapes that the function returns, without compiling it; keys are left as their shapes."""

    def zeros(leaf):
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return leaf if is_key else jnp.zeros(leaf.shape, leaf.dtype)

    return jax.tree.map(zeros, jax.eval_shape(function, *arguments))


@pytest.fixture(scope="module")
def instances(tmp_path_factory) -> list[object]:
    """One of each, of one frame, and of one agent and of a team where it may be either."""
    trace = tmp_path_factory.mktemp("trace") / "trace.npz"
    np.savez(trace, channels=np.full((4, USERS, ANTENNAS), 0.02j), workload=np.ones((4, USERS)))
    traced = SCENARIO.replace(fading="file", arrivals="file", trace=str(trace))
    task, key = new_task(SCENARIO, SMALL), jax.random.key(0)
    parameters = task.parameters
    state = jax.jit(reset)(key, parameters)
    frame, draws = state.frame, jax.jit(draw_next)(key, state, parameters)
    service = shaped(optimise_service, parameters, frame)
    solution = service.best.solution
    reached, result = shaped(advance, state, service.best.beams, solution.allocation, draws, parameters)
    problem = allocation_problem(parameters, frame, state.beams, battery_value=VALUE)
    needy = in_need(problem)
    scales = natural_scales(problem, needy)
    learner = shaped(h_maddpg_opt.initial, task, key)
    message = shaped(h_maddpg_opt.greedy_message, task, learner, state)
    _, record = shaped(h_maddpg_opt.frame, task, learner, jnp.asarray(0))
    decision = shaped(h_maddpg_opt.act_by_estimate, task, learner, state, key)
    flat = FlatOffloading(parameters=parameters, action_form="feasible")
    step = shaped(flat.step, key, state, jnp.zeros(flat.action_shape))
    told = broadcaster(parameters, frame, state.beams)(solution.allocation.t_passive)
    answer = shaped(respond, parameters, problem.channel_gain, frame.workload, frame.battery, told)
    played = (parameters, frame, state.beams, solution.allocation.t_passive)
    planned = shaped(plan_for, *played, 0.5)
    keeping = dataclasses.replace(planned, allowance=planned.promise)
    repairing = shaped(timeline, *played), shaped(measured, *played), planned, keeping
    with pytest.MonkeyPatch.context() as patch:
        batch = jax.tree.map(lambda leaf: leaf[None], service)
        patch.setattr(fixed, "optimise_service_frames", lambda parameters, frames: batch)
        optima = fixed.reference("best-set", parameters, jax.tree.map(lambda leaf: leaf[None], frame))
    only = tuple(np.asarray(leaf) for leaf in (frame.channels[None], frame.workload[None], frame.battery))
    plan = bound_energy(SCENARIO.replace(backlog_cap=0), Episode(*only)).plan
    return [
        *(
            parameters,
            parameters_of(traced),
            task.learning,
            frame,
            state,
            reached,
            draws,
            result,
            result.outcome,
        ),
        *(shaped(_preview, parameters, state), step),
        *(service, service.best, solution, solution.allocation, solution.prices, VALUE, problem, scales),
        *(standard_form(problem, scales, needy), standard_form(problem, scales, needy, elastic=True)),
        *(message, record, record.losses, blank_transition(7, 2), blank_transition(7, 2, num_agents=3)),
        *(decision, optima, plan, beam_features(parameters, frame)),
        *(*repairing, knowledge(loss=0.1), channel_prior(parameters)),
        *(told, dataclasses.replace(told, allowance=told.harvest), answer),
        *(battery.begin(parameters, 6), begin(PriceNetConfig(width=4, rounds=1, batch_size=4), 0, 10)),
    ]


def test_arrays_are_of_the_shapes_and_kinds_that_their_fields_say(instances: list[object]) -> None:
    assert [fault for node in instances for fault in wrong_fields(node)] == []


WITHOUT_EXTRA = ("torchrl_env",)
"""Modules that no extra of the package installs everything for; they define no pytrees."""


def test_no_public_pytree_is_left_out(instances: list[object]) -> None:
    for module in pkgutil.walk_packages(scattermec.__path__, "scattermec."):
        if not module.name.endswith(("__main__", *WITHOUT_EXTRA)):
            importlib.import_module(module.name)
    public = {kind for kind in PYTREES if not kind.__name__.startswith("_") and arrays_of(kind)}
    ours = {kind for kind in public if kind.__module__.startswith("scattermec.")}
    assert ours == {type(node) for node in instances}


def test_a_wrong_shape_or_kind_is_found(instances: list[object]) -> None:
    frame = next(node for node in instances if type(node).__name__ == "Frame")
    for name, wrong in (
        ("workload", frame.workload[None]),
        ("workload", frame.channels),
        ("battery", jnp.zeros(USERS + 1)),
        ("channels", frame.channels.T),
        ("channels", frame.channels.real),
    ):
        assert wrong_fields(dataclasses.replace(frame, **{name: wrong}))
