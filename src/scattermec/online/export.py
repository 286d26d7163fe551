"""Writing bundles (`scattermec.online.bundle`) of a trained price-net. Needs JAX."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scattermec._version import __version__
from scattermec.errors import InputError
from scattermec.online import bundle, graph
from scattermec.optimisation import response
from scattermec.physics import parameters_of
from scattermec.physics.knowledge import knowledge_of
from scattermec.price_net import cautious, features, policy
from scattermec.price_net.modes import modes_of
from scattermec.price_net.registry import Policy, check_fit
from scattermec.scenario import Scenario
from scattermec.storage.atomic import replace_text, replacing, writing

_SOURCES = Path(__file__).parent
_CONSTANTS = "/* CONSTANTS */"
"""Where user.c gets its constants."""

MODE = "decentralised"
"""Mode of price-net that devices play, unless it is cautious: nothing is optimised at the AP, and users
answer for themselves."""

METHOD = {
    "margin": response.MARGIN,
    "most_effort": response.MOST_EFFORT,
    "largest_exponent": response.LARGEST_EXPONENT,
    "bisections": response.BISECTIONS,
}
AP_METHOD = bundle.Method(
    least_work=features.LEAST_WORK,
    least_ratio=features.LEAST_RATIO,
    most_shift=policy.MOST_SHIFT,
    shift_bisections=policy.SHIFT_BISECTIONS,
)


def export(trained: Policy, scenario: Scenario, out: Path, *, name: str, int8: bool = False) -> None:
    """Write the bundle of a policy for a scenario into the folder ``out``, in place of an older one.

    Raises InputError if the policy must not act in the scenario or has no mode `MODE`.
    """
    check_exportable(trained, scenario)
    mode = mode_of(trained)
    about = {"format": bundle.FORMAT, "version": __version__, "policy": name, "mode": mode, "int8": int8}
    out.mkdir(parents=True, exist_ok=True)
    with writing(out, inside=True):
        shutil.rmtree(out / bundle.USERS, ignore_errors=True)
        write_part(out, about | {"part": bundle.AP_PART}, ap_files(trained, scenario, int8=int8))
        for index in range(scenario.num_users):
            folder = bundle.user_folder(out, index)
            write_part(folder, about | {"part": bundle.USER_PART}, user_files(scenario, index))


def check_exportable(trained: Policy, scenario: Scenario) -> None:
    """Raise InputError if `export` would refuse."""
    check_fit(trained, scenario)
    if mode_of(trained) not in modes_of(trained.network):
        raise InputError(["a policy with foresight is never decentralised, so it cannot be exported"])
    if scenario.trace is not None:
        raise InputError(["trace: is not allowed in a bundle, whose devices do not read it; leave it out"])


def mode_of(trained: Policy) -> str:
    """The mode that devices play."""
    return bundle.REPAIRED if trained.network.cautious else MODE


def ap_files(trained: Policy, scenario: Scenario, *, int8: bool) -> dict[str, bytes]:
    """Files of the AP."""
    network, users = trained.network, scenario.num_users
    more = features.NUM_KNOWLEDGE_FEATURES if network.cautious else 0
    numbers = METHOD | AP_METHOD._asdict()
    if network.cautious:
        numbers |= caution_of(scenario)._asdict()
    models = {
        bundle.PRICES: graph.network_model(
            network.prices, users, features.NUM_USER_FEATURES + more, features.NUM_BEAM_PAIR_FEATURES
        ),
        bundle.TIMES: graph.network_model(
            network.times,
            users,
            features.NUM_TIME_USER_FEATURES + more,
            features.NUM_TIME_PAIR_FEATURES,
            own=True,
        ),
    }
    return {
        bundle.SCENARIO: scenario.to_yaml().encode(),
        bundle.ACCESS_POINT: as_json(numbers),
        **{name: graph.in_int8(model) if int8 else model for name, model in models.items()},
    }


def caution_of(scenario: Scenario) -> bundle.Caution:
    """What the AP takes for not known: the scenario's errors; messages are exact and arrive."""
    levels = knowledge_of(parameters_of(scenario))
    return bundle.Caution(
        **{name: float(getattr(levels, name)) for name in bundle.Caution._fields if hasattr(levels, name)},
        first_slack=cautious.FIRST_SLACK,
        first_discount=cautious.FIRST_DISCOUNT,
    )


_SINGLE = {"rounding": 1e-6, "least_snr": float(np.finfo(np.float32).tiny)}
"""Numbers of user.c that follow from its single precision."""

SINGLE_BISECTIONS = 26
"""Bisection steps there: down to 6e-7 of a nat."""


def user_files(scenario: Scenario, index: int) -> dict[str, bytes]:
    """Files of a user."""
    constants = bundle.constants_of_user(scenario, index, METHOD)
    python, code, header = (_SOURCES / name for name in ("user.py", "user.c", "user.h"))
    return {
        bundle.USER: as_json(constants._asdict()),
        python.name: python.read_bytes(),
        code.name: code.read_text().replace(_CONSTANTS, _definitions(constants)).encode(),
        header.name: header.read_bytes(),
    }


def _definitions(constants: bundle.Constants) -> str:
    """The constants as the C preprocessor reads them."""
    numbers = constants._asdict() | _SINGLE | {"per_nat": constants.bandwidth / np.log(2)}
    lines = [f"#define BISECTIONS {SINGLE_BISECTIONS}"]
    for name, number in numbers.items():
        if name not in ("bisections", "bandwidth"):
            lines.append(f"#define {name.upper()} {float(np.float32(number)):#.9g}f")
    return "\n".join(lines)


def write_part(folder: Path, about: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Write a folder's files, and its manifest at the end: a part that was interrupted has none."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / bundle.MANIFEST).unlink(missing_ok=True)
    for name, data in files.items():
        with replacing(folder / name) as partial:
            partial.write_bytes(data)
    checksums = {name: bundle.checksum(data) for name, data in files.items()}
    replace_text(folder / bundle.MANIFEST, as_json({**about, "files": checksums}).decode())


def as_json(data: Mapping[str, Any]) -> bytes:
    """A file of numbers or names."""
    return (json.dumps(data, indent=2) + "\n").encode()
