"""The work of `scattermec demo online`."""

import asyncio
import contextlib
import math
import signal
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table as RichTable
from rich.text import Text

from scattermec.cli.jobs.online import share_of
from scattermec.cli.output import Report
from scattermec.experiments.measure.table import Table
from scattermec.online.broker import Broker
from scattermec.online.connection import Connection
from scattermec.online.fleet import ACCOUNTS, Fleet, Observer
from scattermec.scenario import Scenario

NEAREST, FARTHEST = 3.0, 6.0
"""m: distances of the users of a demonstration from the AP."""

GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))

RECENT = 50
"""Frames over which the table's shares are taken."""

REDRAWN = 0.2
"""s"""


def scenario_of(users: int) -> Scenario:
    """The default scenario, or one with so many users on a spiral around the AP."""
    if users == Scenario().num_users:
        return Scenario()
    distances = [NEAREST + (FARTHEST - NEAREST) * (user + 0.5) / users for user in range(users)]
    positions = tuple(
        (distance * math.cos(user * GOLDEN_ANGLE), distance * math.sin(user * GOLDEN_ANGLE))
        for user, distance in enumerate(distances)
    )
    return Scenario(user_positions=positions)


def run(
    bundle: Path | None,
    *,
    users: int,
    frames: int,
    period: float,
    deadline: float,
    compare: bool,
    independent: bool,
    seed: int,
    quiet: bool,
) -> Report:
    """Run the system; raises ComputationError if one of its processes ends too early."""
    with (
        _ended_by_sigterm(),
        tempfile.TemporaryDirectory(prefix="scattermec-demo-") as folder,
        Broker() as broker,
    ):
        if bundle is None:
            bundle = Path(folder) / "bundle"
            _export(users, bundle)
        else:
            users = Scenario.load(bundle / "scenario.yaml").num_users
        connection = Connection(port=broker.port)
        with Fleet(bundle, connection, Path(folder), deadline=deadline) as fleet:
            fleet.start_ap()
            for user in range(users):
                fleet.start_user(user)
            options: tuple[str, ...] = ("--frames", str(frames), "--period", str(period), "--seed", str(seed))
            options += ("--independent",) if independent else ()
            fleet.start_radio(*options, "--compare" if compare else "--no-compare")
            asyncio.run(_watch(fleet, connection, frames, quiet=quiet))
            return report_of(fleet.end())


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM raise SystemExit, so that no process is left behind."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _export(users: int, out: Path) -> None:
    from scattermec.online.export import export
    from scattermec.price_net import load

    scenario = scenario_of(users)
    name = "price-net" if scenario == Scenario() else "price-net-varied"
    export(load(name), scenario, out, name=name)


async def _watch(fleet: Fleet, connection: Connection, frames: int, *, quiet: bool) -> None:
    """Show what happens until the radio has ended."""
    radio, screen = fleet.processes["radio"], Console(stderr=True)
    live = (
        Live(console=screen, transient=True, auto_refresh=False) if not quiet and screen.is_terminal else None
    )
    async with Observer(connection, ACCOUNTS) as observer:
        with live or contextlib.nullcontext():
            while radio.poll() is None:
                fleet.check()
                if live is not None:
                    live.update(_view(observer, frames), refresh=True)
                await asyncio.sleep(REDRAWN)
            fleet.check()


def _view(observer: Observer, frames: int) -> Group | Text:
    """The last frame, user by user, and what came out of the recent ones."""
    if not observer.logs:
        return Text(f"Waiting for the radio; here so far: {', '.join(sorted(observer.here - {'observer'}))}")
    recent = observer.logs[-RECENT:]
    latest = recent[-1]
    table = RichTable(box=None)
    for heading in ("", "battery (mJ)", "answered", "served", "outage", "offers missed"):
        table.add_column(heading, justify="right" if heading else "left")
    for user, battery in enumerate(latest.battery):
        name = f"user/{user}"
        counts = observer.accounts.get(name, {}).get("counts", {})
        missed = sum(count for what, count in counts.items() if what.startswith("offer missed"))
        outage = sum(not log.served[user] for log in recent) / len(recent)
        marks = ("yes" if flag else "no" for flag in (latest.answered[user], latest.served[user]))
        table.add_row(name, f"{battery:.3g}", *marks, f"{outage:.0%}", f"{missed}")
    energy = sum(log.ap_energy for log in recent) / len(recent)
    line = (
        f"Frame {latest.frame + 1} of {frames}: {latest.ap_energy:.3g} J at the AP; recently {energy:.3g} J"
    )
    share = share_of(recent)
    line += "" if share is None else f", {share:.1%} of the optimum"
    line += f", {1000 * latest.seconds:.0f} ms from frame to slots"
    refused = sum(observer.accounts.get("ap", {}).get("refused", {}).values())
    return Group(Text(line), table, Text(f"Messages that the AP refused: {refused}"))


def report_of(accounts: Mapping[str, dict[str, Any]]) -> Report:
    """What the radio has found, and the devices' accounts as one table."""
    radio = accounts["radio"]
    users = [account for name, account in accounts.items() if name.startswith("user/")]
    rows = [
        ("radio", *map(_shown, _numbers(radio))),
        ("AP", *map(_shown, _numbers(accounts["ap"]))),
        ("a user (median)", *map(_shown, _over(users, statistics.median))),
        ("a user (largest)", *map(_shown, _over(users, max))),
    ]
    share = radio["share_of_the_optimum"]
    latency = radio["frame_latency_ms"]
    achieved = (
        f"{radio['frames']:,} frames of {len(users)} users, {radio['frames_per_second']:.3g} per second: "
        f"{radio['reward']:.5g} kbit/J, outage {radio['outage']:.2%}"
        + ("" if share is None else f", {share:.2%} of the optimum of the same frames")
        + f". From the start of a frame to its slots: {latency['p50']:.3g} ms (median), "
        f"{latency['p99']:.3g} ms (p99)."
    )
    return Report(
        data={"devices": dict(accounts)},
        tables=[Table(achieved, "", COLUMNS, tuple(rows))],
        values=[COLUMNS, *rows],
    )


COLUMNS = ("", "frames", "refused", "p50 (ms)", "p99 (ms)", "bytes in", "bytes out", "memory (MiB)")


def _over(accounts: Sequence[Mapping[str, Any]], summarise: Callable[[list[float]], float]) -> list[float]:
    """A summary of each number over devices, of those that have it; NaN if none has."""
    columns = zip(*map(_numbers, accounts), strict=True)
    known = ([number for number in column if not math.isnan(number)] for column in columns)
    return [summarise(numbers) if numbers else math.nan for numbers in known]


def _numbers(account: Mapping[str, Any]) -> list[float]:
    """The numbers of a device in the order of `COLUMNS`; NaN where there is none."""
    latency = account["latency_ms"] or {"p50": math.nan, "p99": math.nan}
    numbers = (
        account["counts"].get("frames", 0),
        sum(account["refused"].values()),
        latency["p50"],
        latency["p99"],
        account["bytes_in_per_frame"],
        account["bytes_out_per_frame"],
        account["memory_mib"] or math.nan,
    )
    return list(map(float, numbers))


def _shown(number: float) -> str:
    if math.isnan(number):
        return ""
    return f"{number:,.0f}" if number >= 100 or number % 1 == 0 else f"{number:.3g}"
