"""Checks of commands before JAX is started. Nothing here imports it."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scattermec.cli import held
from scattermec.errors import InputError, margin_fault
from scattermec.price_net import is_price_net, unknown_policy
from scattermec.scenario import Scenario
from scattermec.storage.atomic import writing

FORMS = (".json", ".csv", ".md", ".tex")
"""Suffixes of the result files that can be written."""

PACKAGES = {
    "calibration": ("cmaes",),
    "bench": ("cvxpy", "clarabel"),
    "figures": ("matplotlib",),
    "export": ("onnx",),
    "online": ("cbor2", "cryptography", "onnxruntime", "paho"),
    "learning": ("jax", "equinox", "flashbax", "optax", "pyarrow"),
    "ray": ("ray",),
    "report": ("jinja2", "plotly"),
    "search": ("optuna",),
    "tensorboard": ("tensorboardX",),
}
"""Packages that a command needs, by the extra that installs them."""


def check_installed(what: str, *extras: str) -> None:
    """Raise InputError, one line per extra that is not installed, without importing any of it."""
    faults = []
    for extra in extras:
        missing = [name for name in PACKAGES[extra] if importlib.util.find_spec(name) is None]
        if missing:
            faults.append(f"{what}: {', '.join(missing)} not installed; pip install 'scattermec[{extra}]'")
    if faults:
        raise InputError(faults)


def check_rectifier(scenario: Scenario, optimal_beams: bool) -> None:
    """Raise InputError if beams are to be optimised but the rectifier is not linear."""
    if optimal_beams and scenario.harvest_model != "linear":
        raise InputError(
            [
                f"harvest_model: {scenario.harvest_model!r} is not allowed with optimal beams; "
                "it must be 'linear', or choose other beams"
            ]
        )


def check_margin(margin: float) -> None:
    """Raise InputError unless it is a planner's margin."""
    fault = margin_fault(margin)
    if fault:
        raise InputError([fault])


def check_output(path: Path | None, forms: tuple[str, ...] = FORMS) -> None:
    """Hold the file for the results; raises InputError if it cannot be written there."""
    if path is None:
        return
    if path.suffix not in forms:
        raise InputError([f"{path}: its name must end in {', '.join(forms[:-1])} or {forms[-1]}"])
    if path.is_dir() or not path.parent.is_dir():
        raise InputError([f"{path}: cannot be written: there is no folder {path.parent}"])
    hold_output(path)


def hold_output(path: Path, *, folder: bool = False) -> None:
    """Be the only process that writes a file, or into an existing folder, until the command ends.

    Raises BusyError if another process writes there.
    """
    held.outputs.enter_context(writing(path, inside=folder))


def check_policy(name: str) -> None:
    """Raise InputError if `is_price_net` does not recognise ``name``."""
    if not is_price_net(name):
        raise unknown_policy(name)


def choices(option: str, text: str, known: Sequence[str]) -> list[Any]:
    """The names in a list separated by commas, in the order of ``known``; InputError for any other."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        shown = ", ".join(unknown) or "nothing"
        raise InputError([f"{option}: {shown} is not known; choose from {', '.join(known)}"])
    return [name for name in known if name in names]
