"""Bundles of a trained policy, as `scattermec export` writes them; nothing here needs JAX.

A bundle is a folder, as is each user's part in it. Each has a `bundle.json` with the checksums of its files:

    BUNDLE/bundle.json, scenario.yaml, access_point.json, prices.onnx, times.onnx      for the AP
    BUNDLE/users/I/bundle.json, user.json, user.py, user.c, user.h                     for user I, from 0

`load_ap` reads the former, and `load_user` the latter. Of a run of Algorithm 1 there are, for `load_ap_actor`
and `load_actor_user`,

    BUNDLE/bundle.json, scenario.yaml, training.yaml, access_point.json, actor.onnx, value.onnx
    BUNDLE/users/I/bundle.json, user.json, actor.onnx, actor.c, actor.h

Users that correct an estimate have `correction.json` and `response.json` instead of C.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from scattermec.errors import ComputationError, InputError
from scattermec.online import actor, user
from scattermec.online.access_point import ApPolicy, Caution, Messages, Method, Network
from scattermec.online.user import Answer, Constants, Message
from scattermec.scenario import Scenario
from scattermec.storage.texts import read_object

__all__ = [
    "REPAIRED",
    "Answer",
    "ApPolicy",
    "Caution",
    "Message",
    "Messages",
    "UserPolicy",
    "load_actor_user",
    "load_ap",
    "load_ap_actor",
    "load_user",
    "manifest_of",
    "user_folder",
]

MANIFEST = "bundle.json"
FORMAT = 2
"""Changes with every bundle that older versions cannot read."""

SCENARIO, ACCESS_POINT, USER = "scenario.yaml", "access_point.json", "user.json"
PRICES, TIMES, USERS = "prices.onnx", "times.onnx", "users"
ACTOR, VALUE, TRAINING = "actor.onnx", "value.onnx", "training.yaml"
CORRECTION, RESPONSE = "correction.json", "response.json"
AP_PART, USER_PART = "access point", "user"
AP_ACTOR_PART, ACTOR_USER_PART = "access point of Algorithm 1", "user of Algorithm 1"
AP_ACTOR = ("discount", "reward_scale")
"""What the AP's file of numbers holds there."""

REPAIRED = "repaired"
"""Mode of price-net in which users repair; in the other they answer the AP's message."""

PER_USER = ("slot_duration", "circuit_power", "local_energy", "local_rate", "battery_capacity")
SHARED = ("bandwidth", "noise_power", "active_receive_power", "mec_energy")
"""The scenario's constants that users know."""

METHOD = tuple(name for name in Constants._fields if name not in (*PER_USER, *SHARED))
"""The other numbers that they know, which are of the method."""

UserPolicy = user.User
"""A user: `respond` gives its answer to a message."""


def load_ap(path: str | os.PathLike[str]) -> ApPolicy:
    """The AP's part of a bundle's folder; raises InputError if a file is missing, damaged or foreign.

    Needs onnxruntime, of the extra `online`.
    """
    folder = Path(path)
    _verify(folder, AP_PART, (SCENARIO, ACCESS_POINT, PRICES, TIMES))
    scenario = Scenario.load(folder / SCENARIO)
    cautious = manifest_of(folder).get("mode") == REPAIRED
    names = (*Method._fields, *METHOD, *(Caution._fields if cautious else ()))
    numbers = _numbers(folder / ACCESS_POINT, names)
    method = Method(**{name: numbers.pop(name) for name in Method._fields})
    caution = Caution(**{name: numbers.pop(name) for name in Caution._fields}) if cautious else None
    users = [constants_of_user(scenario, index, numbers) for index in range(scenario.num_users)]
    prices, times = (_network(folder / name) for name in (PRICES, TIMES))
    return ApPolicy(scenario, users, method, prices, times, caution)


def load_user(path: str | os.PathLike[str]) -> UserPolicy:
    """The user whose folder this is (`user_folder`); raises InputError as `load_ap` does.

    The user acts by this package's own code: none of the bundle's is run.
    """
    folder = Path(path)
    _verify(folder, USER_PART, (USER,))
    return UserPolicy(Constants(**_numbers(folder / USER, Constants._fields)))


def load_ap_actor(path: str | os.PathLike[str]) -> actor.ApActor:
    """The AP's networks in the bundle of a run of Algorithm 1; raises InputError as `load_ap` does.

    The whole AP is that of `scattermec.online.choice.load_estimating_ap`, which needs JAX.
    """
    folder = Path(path)
    _verify(folder, AP_ACTOR_PART, (SCENARIO, TRAINING, ACCESS_POINT, ACTOR, VALUE))
    numbers = _numbers(folder / ACCESS_POINT, AP_ACTOR)
    return actor.ApActor(_actor(folder / ACTOR), _actor(folder / VALUE), **numbers)


def load_actor_user(path: str | os.PathLike[str]) -> actor.ActorUser:
    """The user in a folder (`user_folder`) of such a bundle; raises InputError as `load_ap` does."""
    folder = Path(path)
    _verify(folder, ACTOR_USER_PART, (USER, ACTOR))
    constants = actor.Constants(**_numbers(folder / USER, actor.Constants._fields))
    correction = None  # users that state their allocation have none
    if (folder / CORRECTION).exists():
        _verify(folder, ACTOR_USER_PART, (CORRECTION, RESPONSE))
        correction = (
            actor.Correction(**_numbers(folder / CORRECTION, actor.Correction._fields)),
            Constants(**_numbers(folder / RESPONSE, Constants._fields)),
        )
    return actor.ActorUser(constants, _actor(folder / ACTOR), correction)


def manifest_of(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a bundle or a part of it says of itself: whose ``part`` it is, e.g. `AP_ACTOR_PART`, the ``mode``
    of price-net, and more; raises InputError if it has no manifest.
    """
    return read_object(Path(path) / MANIFEST)


def user_folder(bundle: str | os.PathLike[str], index: int) -> Path:
    """Folder of a user in a bundle; the first one is 0."""
    return Path(bundle) / USERS / str(index)


def constants_of_user(scenario: Scenario, index: int, method: dict[str, Any]) -> Constants:
    """What a user knows, with the numbers `METHOD`."""
    own = {name: getattr(scenario, name) for name in (*PER_USER, *SHARED)}
    own = {name: float(value[index] if isinstance(value, tuple) else value) for name, value in own.items()}
    return Constants(**own, **method)


def checksum(data: bytes) -> str:
    """The checksum that a manifest has of a file."""
    return hashlib.sha256(data).hexdigest()


def _verify(folder: Path, part: str, names: tuple[str, ...]) -> None:
    """Raise InputError unless the folder is of this part and these files in it are as they were written."""
    path = folder / MANIFEST
    manifest = read_object(path)
    if manifest.get("format") != FORMAT:
        raise InputError([f"{path}: format {manifest.get('format')!r} is not known; it must be {FORMAT}"])
    if manifest.get("part") != part:
        raise InputError([f"{folder}: is the part of {manifest.get('part')!r}; it must be that of {part!r}"])
    checksums, faults = manifest.get("files"), []
    for name in names:
        try:
            found = checksum((folder / name).read_bytes())
        except OSError as error:
            faults.append(f"{folder / name}: cannot be read: {error.strerror}")
            continue
        if not isinstance(checksums, dict) or checksums.get(name) != found:
            faults.append(
                f"{folder / name}: differs from its checksum in {MANIFEST}; export the bundle again"
            )
    if faults:
        raise InputError(faults)


def _numbers(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """The file's numbers, which must be exactly those named."""
    found = read_object(path)
    try:
        return user.numbers_of(found, names)
    except ValueError as error:
        raise InputError([f"{path}: {error}"]) from None


def _network(path: Path) -> Network:
    """A network of price-net in a file."""
    run = _session(path)
    return lambda inputs: run(inputs._asdict())


def _actor(path: Path) -> actor.Actor:
    """A network of Algorithm 1 in a file."""
    run = _session(path)
    return lambda observation: run({"observation": observation})


def _session(path: Path) -> Callable[[dict[str, np.ndarray]], np.ndarray]:
    """The only output of the network in a file, run by onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # it is too small for more
    try:
        session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class of its own for each cause
        raise InputError([f"{path}: is no network that onnxruntime can run: {error}"]) from error

    def run(inputs: dict[str, np.ndarray]) -> np.ndarray:
        output: np.ndarray = session.run(None, inputs)[0].astype(float)
        if not np.isfinite(output).all():
            raise ComputationError([f"{path}: its output is not finite"])
        return output

    return run
