"""The folder of a training run of any learner: its request, and exclusive write access. Without JAX.

run.json, scenario.yaml, training.yaml           the request

The learner decides about its other files; `scattermec.training.loop` writes them.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from scattermec._settings import FileSettings
from scattermec._version import __version__
from scattermec._yaml import show
from scattermec.errors import InputError
from scattermec.scenario import Scenario
from scattermec.storage.atomic import is_scaffold, replace_text, writing
from scattermec.storage.texts import read_object

RUN, SCENARIO, CONFIG = "run.json", "scenario.yaml", "training.yaml"
"""run.json is written last, so a folder that contains it is complete."""

PACKAGES = ("jax", "jaxlib", "equinox", "optax", "flashbax")
"""The packages that a result depends on to the digit, in addition to this one and Python."""


C = TypeVar("C", bound=FileSettings)


@dataclass(frozen=True)
class Request(Generic[C]):
    """Request for a training run: everything that its results depend on."""

    scenario: Scenario
    config: C
    record: Mapping[str, Any]
    """its part of run.json, as JSON: the algorithm and the amount of training"""


def check_folder(path: Path, *, resume: bool) -> bool:
    """Whether there is a run to resume. Raises InputError where a run can be neither started nor resumed."""
    if path.exists() and not path.is_dir():
        raise InputError([f"{path}: is not a folder"])
    names = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
    if RUN in names:
        if not resume:
            raise InputError([f"{path}: holds a training run; add --resume to go on, or name another folder"])
        return True
    # Files left by a process that was killed before it had begun do not count.
    if any(name not in (SCENARIO, CONFIG) and not is_scaffold(name) for name in names):
        raise InputError([f"{path}: has something in it and is no training run; name another folder"])
    return False


@contextlib.contextmanager
def begin_or_resume(
    path: Path,
    asked: Request[C],
    *,
    read: Callable[[Path], Request[C]],
    same: Sequence[str],
    resume: bool,
    command: str,
    more: Callable[[], Mapping[str, Any]] = dict,
) -> Iterator[tuple[Request[C], tuple[str, ...]]]:
    """Begin the requested run, or find it in its folder, as the only process that trains there.

    An existing run continues only with ``resume``, and only if its scenario, configuration and the entries
    ``same`` of run.json equal those requested; ``read`` reads its request. ``more`` supplies further entries
    of run.json for a new run. Yields the request as kept in the folder, and one line per version that has
    changed since. Raises InputError if the folder holds something else, BusyError if another process trains
    there.
    """
    check_folder(path, resume=resume)
    path.mkdir(parents=True, exist_ok=True)
    with writing(path, inside=True):
        if check_folder(path, resume=resume):
            kept = read(path)
            faults = list(_differences(path, asked, kept, same))
            if faults:
                raise InputError(faults)
            yield kept, _changed_versions(kept.record["versions"])
        else:
            asked.scenario.save(path / SCENARIO)
            asked.config.save(path / CONFIG)
            record = {**asked.record, **more(), "versions": versions(), "command": command}
            write_record(path, record)
            yield replace(asked, record=record), ()


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Replace run.json."""
    replace_text(path / RUN, json.dumps(record, indent=2) + "\n")


def read_request(
    path: Path, algorithms: Collection[str], config: type[C], kinds: Mapping[str, type]
) -> Request[C]:
    """Read the request of the run in a folder; its algorithm must be one of these, its settings a ``config``.

    ``kinds`` are the types of its entries in run.json. Raises InputError if no such run can be read.
    """
    file = path / RUN
    record = read_object(file)
    kinds = {"algorithm": str, **kinds, "scenario_digest": str, "versions": dict}
    faults = [
        f"{file}: {name}: {show(record.get(name), 80)} is not allowed; it must be a {kind.__name__}"
        for name, kind in kinds.items()
        if type(record.get(name)) is not kind
    ]
    if not faults and record["algorithm"] not in algorithms:
        trained = show(record["algorithm"], 80)
        faults.append(f"{file}: algorithm: {trained} is not allowed; it must be {' or '.join(algorithms)}")
    if faults:
        raise InputError(faults)
    request = Request(Scenario.load(path / SCENARIO), config.load(path / CONFIG), record)
    if record["scenario_digest"] != digest(request.scenario):
        raise InputError([f"{path / SCENARIO}: is not the scenario that was trained; its digest differs"])
    return request


def _differences(path: Path, asked: Request[C], kept: Request[C], names: Sequence[str]) -> Iterator[str]:
    pairs = [(name, asked.record[name], kept.record[name]) for name in names]
    for ours, theirs in ((asked.scenario, kept.scenario), (asked.config, kept.config)):
        pairs += [(name, getattr(ours, name), getattr(theirs, name)) for name in type(ours).model_fields]
    for name, *values in pairs:
        if values[0] != values[1]:
            given, there = (value if isinstance(value, str) else show(value, 80) for value in values)
            yield f"{name}: {given} is not allowed with --resume; {path} has {there}"


def digest(scenario: Scenario) -> str:
    """Digest of all constants, and of the trace if there is one."""
    constants = json.dumps(scenario.record(), sort_keys=True)
    hashed = hashlib.sha256(constants.encode())
    if scenario.trace is not None:
        with contextlib.suppress(OSError):
            hashed.update(Path(scenario.trace).read_bytes())
    return hashed.hexdigest()


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Versions of this package, Python and ``packages``."""
    return {
        "scattermec": __version__,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
    }


def _changed_versions(recorded: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        f"{name} {recorded.get(name)} is now {version}: the last digits may differ"
        for name, version in versions().items()
        if recorded.get(name) != version
    )
