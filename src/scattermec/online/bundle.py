"""Bundles of a trained price-net, as `scattermec export` writes them; nothing here needs JAX.

A bundle is a folder, and so is each user's part in it; each has a `bundle.json` with the checksums of its files:

    BUNDLE/bundle.json, scenario.yaml, access_point.json, prices.onnx, times.onnx      for the AP
    BUNDLE/users/I/bundle.json, user.json, user.py, user.c, user.h                     for user I, from 0

`load_ap` reads the former, and `load_user` the latter.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scattermec.errors import InputError
from scattermec.online import access_point as ap
from scattermec.online import user
from scattermec.online.user import Answer, Constants, Message
from scattermec.scenario import Scenario
from scattermec.storage.texts import read_object

__all__ = ["Answer", "ApPolicy", "Message", "UserPolicy", "load_ap", "load_user", "user_folder"]

MANIFEST = "bundle.json"
FORMAT = 1
"""Changes with every bundle that older versions cannot read."""

SCENARIO, ACCESS_POINT, USER = "scenario.yaml", "access_point.json", "user.json"
PRICES, TIMES, USERS = "prices.onnx", "times.onnx", "users"

AP_PART, USER_PART = "access point", "user"

PER_USER = ("slot_duration", "circuit_power", "local_energy", "local_rate", "battery_capacity")
SHARED = ("bandwidth", "noise_power", "active_receive_power", "mec_energy")
"""The scenario's constants that users know."""

METHOD = tuple(name for name in Constants._fields if name not in (*PER_USER, *SHARED))
"""The other numbers that they know, which are of the method."""

Messages = Message
"""The messages to all users: a `Message` of arrays (N,)."""

UserPolicy = user.User
"""A user: `respond` gives its answer to a message."""


class ApPolicy:
    """The AP: decides beams and messages in each frame."""

    def __init__(self, scenario: Scenario, users: Constants, method: ap.Method, networks: Any) -> None:
        self.scenario = scenario
        self._users, self._method, self._networks = users, method, networks

    def decide(
        self, workload: np.ndarray, battery: np.ndarray, channels: np.ndarray
    ) -> tuple[np.ndarray, Message]:
        """Unit beams (N, M), and the messages to all users, arrays (N,), in one frame.

        Args:
            workload: (N,) kbit, as the AP sees it.
            battery: (N,) mJ.
            channels: (N, M), complex.

        Raises InputError for other shapes, and for numbers that are negative or not finite.
        """
        frame = ap.frame_of(*self._checked(workload, battery, channels))
        about = self.scenario, self._users, self._method, frame
        beams = ap.beams_of(frame, self._run(PRICES, ap.beam_inputs(*about)))
        logits = np.diagonal(self._run(TIMES, ap.time_inputs(*about, beams)))
        return beams, ap.messages_for(*about, beams, logits)

    def _run(self, name: str, inputs: ap.Inputs) -> np.ndarray:
        return self._networks[name].run(None, inputs._asdict())[0].astype(float)

    def _checked(self, workload: Any, battery: Any, channels: Any) -> tuple[np.ndarray, ...]:
        users, antennas = self.scenario.num_users, self.scenario.num_antennas
        given = {
            "workload": (np.asarray(workload, float), (users,)),
            "battery": (np.asarray(battery, float), (users,)),
            "channels": (np.asarray(channels, complex), (users, antennas)),
        }
        faults = []
        for name, (array, shape) in given.items():
            if array.shape != shape:
                faults.append(f"{name}: has shape {array.shape}; it must be {shape}")
            elif not np.isfinite(array).all():
                faults.append(f"{name}: has numbers that are not finite")
            elif name != "channels" and (array < 0).any():
                faults.append(f"{name}: has negative numbers; they must be >= 0")
        if faults:
            raise InputError(faults)
        return tuple(array for array, _ in given.values())


def load_ap(path: str | os.PathLike[str]) -> ApPolicy:
    """The AP's part of a bundle's folder; raises InputError if a file is missing, damaged or foreign.

    Needs onnxruntime, of the extra `online`.
    """
    folder = Path(path)
    _verify(folder, AP_PART, (SCENARIO, ACCESS_POINT, PRICES, TIMES))
    scenario = Scenario.load(folder / SCENARIO)
    names = (*ap.Method._fields, *METHOD)
    numbers = _numbers(folder / ACCESS_POINT, names)
    method = ap.Method(**{name: numbers.pop(name) for name in ap.Method._fields})
    users = Constants(**numbers | user_constants(scenario))
    networks = {name: _network(folder / name) for name in (PRICES, TIMES)}
    return ApPolicy(scenario, users, method, networks)


def load_user(path: str | os.PathLike[str]) -> UserPolicy:
    """The user whose folder this is (`user_folder`); raises InputError as `load_ap` does.

    The user acts by this package's own code: none of the bundle's is run.
    """
    folder = Path(path)
    _verify(folder, USER_PART, (USER,))
    return UserPolicy(Constants(**_numbers(folder / USER, Constants._fields)))


def user_folder(bundle: str | os.PathLike[str], index: int) -> Path:
    """Folder of a user in a bundle; the first one is 0."""
    return Path(bundle) / USERS / str(index)


def user_constants(scenario: Scenario) -> dict[str, Any]:
    """The scenario's constants that users know; an array (N,) each of those that users may differ in."""
    users = (scenario.num_users,)
    own = {name: np.broadcast_to(np.asarray(getattr(scenario, name), float), users) for name in PER_USER}
    return own | {name: getattr(scenario, name) for name in SHARED}


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
            faults.append(f"{folder / name}: differs from its checksum in {MANIFEST}; export the bundle again")
    if faults:
        raise InputError(faults)


def _numbers(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """The file's numbers, which must be exactly those named."""
    found = read_object(path)
    try:
        return user.numbers_of(found, names)
    except ValueError as error:
        raise InputError([f"{path}: {error}"]) from None


def _network(path: Path) -> Any:
    """A session of onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the networks are too small for more
    try:
        return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class of its own for each cause
        raise InputError([f"{path}: is no network that onnxruntime can run: {error}"]) from error
