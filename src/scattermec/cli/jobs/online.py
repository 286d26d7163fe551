"""The work of `scattermec ap` and `scattermec user`: no JAX, but at the AP of Algorithm 1."""

import asyncio
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError

from scattermec.cli.output import Report
from scattermec.errors import InputError, one_line
from scattermec.experiments.measure.table import Table
from scattermec.online.bundle import (
    ACTOR_USER_PART,
    AP_ACTOR_PART,
    REPAIRED,
    load_actor_user,
    load_ap,
    load_user,
    manifest_of,
    user_folder,
)
from scattermec.online.connection import Connection
from scattermec.online.protocol import (
    AccessPoint,
    ActorDevice,
    ChoosingAccessPoint,
    Deadlines,
    Memory,
    RepairingAccessPoint,
    RepairingUser,
    UserDevice,
)
from scattermec.online.running import Runner, run_device
from scattermec.online.wire import CAUSES, Form, Message, Play
from scattermec.storage.atomic import replace_text
from scattermec.storage.texts import read_text


def teller(name: str) -> Any:
    """Prints lines of a device on standard error."""
    return lambda line: typer.echo(one_line(f"{name}: {line}"), err=True)


def run_ap(
    bundle: Path,
    connection: Connection,
    *,
    deadline: float,
    state: Path | None,
    seconds: float | None,
    form: Form,
    lose: float,
) -> Report:
    """Run the AP; raises InputError if the bundle or the state is damaged."""
    policy, kind = access_point_of(bundle)
    scenario, memory = policy.scenario, _read(state)
    device = kind(policy, scenario.num_users, scenario.num_antennas, Deadlines(deadline), memory)

    def sent(message: Message) -> None:
        if state is not None and isinstance(message, Play):
            replace_text(state, device.memory.model_dump_json())

    runner = Runner(
        device,
        tell=teller("ap"),
        form=form,
        seconds=math.inf if seconds is None else seconds,
        lose=lose,
        sent=sent,
    )
    asyncio.run(run_device(runner, connection))
    return report_of(runner)


def access_point_of(bundle: Path) -> tuple[Any, type[AccessPoint]]:
    """The AP's part of a bundle, and the device that acts by it."""
    if manifest_of(bundle).get("part") != AP_ACTOR_PART:
        network = load_ap(bundle)
        return network, AccessPoint if network.caution is None else RepairingAccessPoint
    from scattermec.online.choice import load_estimating_ap

    policy = load_estimating_ap(bundle)
    policy.warm_up()
    return policy, ChoosingAccessPoint


def user_of(folder: Path, index: int, deadlines: Deadlines) -> UserDevice:
    """The user in its folder."""
    about = manifest_of(folder)
    if about.get("part") != ACTOR_USER_PART:
        kind = RepairingUser if about.get("mode") == REPAIRED else UserDevice
        return kind(load_user(folder), index, deadlines)
    policy = load_actor_user(folder)
    return ActorDevice(policy, index, deadlines, policy.constants.antennas)


def _read(state: Path | None) -> Memory | None:
    if state is None or not state.exists():
        return None
    try:
        return Memory.model_validate_json(read_text(state))
    except ValidationError:
        raise InputError([f"{state}: is damaged: it is no state of an access point"]) from None


def run_user(
    bundle: Path,
    index: int,
    connection: Connection,
    *,
    deadline: float,
    seconds: float | None,
    form: Form,
    lose: float,
) -> Report:
    """Run a user; raises InputError if the bundle is damaged or has no such user."""
    part = user_folder(bundle, index)
    device = user_of(part if part.is_dir() else bundle, index, Deadlines(deadline))
    runner = Runner(
        device,
        tell=teller(device.name),
        form=form,
        seconds=math.inf if seconds is None else seconds,
        lose=lose,
    )
    asyncio.run(run_device(runner, connection))
    return report_of(runner)


def report_of(runner: Runner, more: Mapping[str, Any] | None = None) -> Report:
    """What a device has done."""
    account = runner.account() | dict(more or {})
    rows = [(name, f"{count:,}", "") for name, count in account["counts"].items()]
    rows += [
        (f"messages refused: {cause}", f"{count:,}", CAUSES[cause])
        for cause, count in account["refused"].items()
    ]
    latency = account["latency_ms"]
    if latency is not None:
        rows += [(f"latency, {name}", f"{value:.3g} ms", "") for name, value in latency.items()]
    for way in ("in", "out"):
        rows.append((f"bytes {way} per frame", f"{account[f'bytes_{way}_per_frame']:.4g}", ""))
    return Report(
        data=account,
        tables=[Table(account["name"], "", ("", "", ""), tuple(rows))],
        values=[("quantity", "value"), *((name, value) for name, value, _ in rows)],
    )
