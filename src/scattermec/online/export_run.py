"""Writing bundles (`scattermec.online.bundle`) of a run of Algorithm 1. Needs JAX."""

import shutil
from functools import partial
from pathlib import Path

import jax
import numpy as np

from scattermec._version import __version__
from scattermec.agents.networks import Actor
from scattermec.environment import corrections
from scattermec.errors import InputError
from scattermec.learners.common import new_task
from scattermec.learners.h_maddpg_opt import State
from scattermec.online import actor, bundle, graph
from scattermec.online.export import METHOD, as_json, write_part
from scattermec.physics import parameters_of
from scattermec.storage.atomic import writing
from scattermec.training import TrainedRun

__all__ = ["ALGORITHM", "check_exportable", "export_run", "learner_of"]

ALGORITHM = "h-maddpg-opt"
"""The only learner whose users act on the AP's estimate, as devices would."""

CORRECTION = actor.Correction(nothing=corrections.NOTHING, longer=corrections.LONGER, kept=corrections.KEPT)
"""What users that correct an estimate know of corrections."""

_SOURCES = Path(__file__).parent
_ACTIVATIONS = {
    "sigmoid": "sigmoid(x)",
    "relu": "fmaxf(x, 0.0f)",
    "tanh": "tanhf(x)",
}


def check_exportable(run: TrainedRun, name: str, seed: int | None = None) -> None:
    """Raise InputError if `export_run` would refuse the run in the folder ``name``."""
    faults = []
    if run.algorithm != ALGORITHM:
        faults.append(f"{name}: is a run of {run.algorithm}; only runs of {ALGORITHM} can be exported")
    if run.scenario.trace is not None:
        faults.append(
            f"{name}: its scenario has a trace, which devices do not read; only others can be exported"
        )
    if seed is not None and seed not in run.seeds:
        faults.append(
            f"of-seed: {seed} is not allowed; the run has the seeds {', '.join(map(str, run.seeds))}"
        )
    if faults:
        raise InputError(faults)


def learner_of(run: TrainedRun, seed: int | None = None) -> State:
    """The learner of a seed of the run, by default the first one."""
    index = 0 if seed is None else run.seeds.index(seed)
    # In one program: each leaf by itself would need several.
    state: State = jax.jit(partial(jax.tree.map, lambda leaf: leaf[index]))(run.states)
    return state


def export_run(run: TrainedRun, out: Path, *, name: str, seed: int | None = None) -> None:
    """Write the bundle of one learner of a run into the folder ``out``, in place of an older one.

    Raises InputError if the run cannot be exported.
    """
    check_exportable(run, name, seed)
    learner, chosen = learner_of(run, seed), run.seeds[0] if seed is None else seed
    about = {"format": bundle.FORMAT, "version": __version__, "policy": name, "seed": chosen}
    settings = new_task(run.scenario, run.config).ap_learning
    numbers = {"discount": float(settings.discount), "reward_scale": float(settings.reward_scale)}
    files = {
        bundle.SCENARIO: run.scenario.to_yaml().encode(),
        bundle.TRAINING: run.config.to_yaml().encode(),
        bundle.ACCESS_POINT: as_json(numbers),
        bundle.ACTOR: graph.actor_model(learner.ap.actor),
        bundle.VALUE: graph.value_model(learner.ap.target_actor, learner.ap.target_critic),
    }
    out.mkdir(parents=True, exist_ok=True)
    with writing(out, inside=True):
        shutil.rmtree(out / bundle.USERS, ignore_errors=True)
        write_part(out, about | {"part": bundle.AP_ACTOR_PART}, files)
        for index in range(run.scenario.num_users):
            part = about | {"part": bundle.ACTOR_USER_PART}
            write_part(bundle.user_folder(out, index), part, _user_files(run, learner, index))


def _user_files(run: TrainedRun, learner: State, index: int) -> dict[str, bytes]:
    own: Actor = jax.tree.map(lambda leaf: leaf[index], learner.users.actor)
    p = parameters_of(run.scenario)
    constants = actor.Constants(
        slot_duration=float(p.slot_duration[index]),
        local_rate=float(p.local_rate[index]),
        battery_capacity=float(p.battery_capacity[index]),
        mean_workload=float(p.mean_workload[index]),
        path_gain=float(p.path_gain[index]),
        entries=actor.ENTRIES[run.config.action_form],
        antennas=p.num_antennas,
        phase_reference=int(run.config.phase_reference),
    )
    files = {bundle.USER: as_json(constants._asdict()), bundle.ACTOR: graph.actor_model(own)}
    if run.config.action_form == "correction":
        return files | {
            bundle.CORRECTION: as_json(CORRECTION._asdict()),
            bundle.RESPONSE: as_json(bundle.constants_of_user(run.scenario, index, METHOD)._asdict()),
        }
    code, header = (_SOURCES / name for name in ("actor.c", "actor.h"))
    sizes = (
        f"#define SCATTERMEC_ANTENNAS {constants.antennas}\n#define SCATTERMEC_ENTRIES {constants.entries}"
    )
    return files | {
        code.name: _in_c(code.read_text(), constants, own).encode(),
        header.name: header.read_text().replace("/* SIZES */", sizes).encode(),
    }


def _in_c(template: str, constants: actor.Constants, own: Actor) -> str:
    """The template with constants and weights."""
    lines = [f"#define ACTIVATION(x) ({_ACTIVATIONS[own.activation]})"]
    for name, number in constants._asdict().items():
        shown = str(number) if isinstance(number, int) else _single(number)
        lines.append(f"#define {name.upper()} {shown}")
    widest = max(own.layers[0].weight.shape[1], *(len(layer.weight) for layer in own.layers))
    lines.append(f"#define WIDEST {widest}")
    layers = []
    for number, layer in enumerate(own.layers):
        for kind, values in (("WEIGHT", layer.weight), ("BIAS", layer.bias)):
            numbers = ", ".join(map(_single, np.asarray(values).ravel().tolist()))
            lines.append(f"static const float {kind}_{number}[] = {{{numbers}}};")
        outputs, inputs = layer.weight.shape
        layers.append(f"    {{{inputs}, {outputs}, WEIGHT_{number}, BIAS_{number}}},")
    return template.replace("/* CONSTANTS */", "\n".join(lines)).replace("/* LAYERS */", "\n".join(layers))


def _single(number: float) -> str:
    return f"{float(np.float32(number)):#.9g}f"
