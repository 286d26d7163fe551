"""The folder of a training run, whatever learns in it: what was asked for, and who may write. Without JAX.

run.json, scenario.yaml, training.yaml           what was asked for

What else lies in it is up to the learner, and kept by `scattermec.training.loop`.
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
"""The first is written last, so that a folder with it is complete."""

PACKAGES = ("jax", "jaxlib", "equinox", "optax", "flashbax")
"""Besides this package and Python, all that the digits of a result depend on."""


C = TypeVar("C", bound=FileSettings)


@dataclass(frozen=True)
class Request(Generic[C]):
    """What is asked of a training run; all that its results depend on."""

    scenario: Scenario
    config: C
    record: Mapping[str, Any]
    """what run.json holds of it, as JSON: the algorithm and how much it trains"""


def check_folder(path: Path, *, resume: bool) -> bool:
    """Whether there is a run to resume. Raises InputError where none can be put or resumed."""
    if path.exists() and not path.is_dir():
        raise InputError([f"{path}: is not a folder"])
    names = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
    if RUN in names:
        if not resume:
            raise InputError([f"{path}: holds a training run; add --resume to go on, or name another folder"])
        return True
    # What is left by a process that was killed before it had begun does not count.
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
    """Begin the run that is asked for, or find it in its folder, and be the only process that trains there.

    A run that is there goes on only with ``resume``, and if scenario, configuration and what ``same`` names
    of run.json are as asked; ``read`` reads what was asked of it. ``more`` is called for what else run.json
    keeps of a new run. Yields what the folder keeps of the request, and a line for each version that has
    changed since. Raises InputError where the folder holds something else, BusyError where another process
    trains there.
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
    """What was asked of the run in a folder, of one of these algorithms, whose settings are a ``config``.

    ``kinds`` are the types of what it has in run.json. Raises InputError where no such run can be read.
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
    """Of all constants, and of the trace if there is one."""
    constants = json.dumps(scenario.model_dump(mode="json"), sort_keys=True)
    hashed = hashlib.sha256(constants.encode())
    if scenario.trace is not None:
        with contextlib.suppress(OSError):
            hashed.update(Path(scenario.trace).read_bytes())
    return hashed.hexdigest()


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Of this package, Python and the packages."""
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
