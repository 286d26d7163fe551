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

from scattermec.cli.output import Report
from scattermec.experiments.measure.table import Table
from scattermec.online.broker import Broker
from scattermec.online.connection import Connection
from scattermec.online.fleet import ACCOUNTS, Fleet, Observer
from scattermec.online.running import resident_memory
from scattermec.online.wire import Log
from scattermec.scenario import Scenario

NEAREST, FARTHEST = 3.0, 6.0
"""m: distances of the users of a demonstration from the AP."""

GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))

BROKER = "broker"

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
            watch = Watch(fleet, connection, frames, broker)
            asyncio.run(watch.run(quiet=quiet))
            return report_of(fleet.end(), watch.early, watch.memory_of_the_broker())


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


class Watch:
    """Shows what happens, and notes the memory of all processes while the run is young."""

    def __init__(self, fleet: Fleet, connection: Connection, frames: int, broker: Broker) -> None:
        self.fleet, self.connection, self.frames, self.broker = fleet, connection, frames, broker
        self.early: dict[str, float] = {}
        """MiB after a tenth of the frames, by the name of the device, or `BROKER`"""

    async def run(self, *, quiet: bool) -> None:
        """Watch until the radio has ended."""
        radio, screen = self.fleet.processes["radio"], Console(stderr=True)
        live = Live(console=screen, transient=True, auto_refresh=False)
        shown = not quiet and screen.is_terminal
        async with Observer(self.connection, ACCOUNTS, most_logs=RECENT) as observer:
            with live if shown else contextlib.nullcontext():
                while radio.poll() is None:
                    self.fleet.check()
                    self._note_memory(observer)
                    if shown:
                        live.update(_view(observer, self.frames), refresh=True)
                    await asyncio.sleep(REDRAWN)
                self.fleet.check()

    def memory_of_the_broker(self) -> float:
        """MiB; NaN where the system does not say."""
        process = self.broker.process
        return math.nan if process is None else resident_memory(process) or math.nan

    def _note_memory(self, observer: Observer) -> None:
        for name, account in observer.accounts.items():
            if name not in self.early and account["frame"] >= self.frames // 10:
                self.early[name] = account["memory_mib"] or math.nan
        if "radio" in self.early and BROKER not in self.early:
            self.early[BROKER] = self.memory_of_the_broker()


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


def share_of(logs: Sequence[Log]) -> float | None:
    """Share of the optimum's reward, a ratio of sums; None if the optimum was not computed."""
    optima = [log.optimum for log in logs if log.optimum is not None]
    if len(optima) < len(logs) or sum(optima) == 0:
        return None
    return sum(log.reward for log in logs) / sum(optima)


def report_of(
    accounts: Mapping[str, dict[str, Any]], early: Mapping[str, float], memory_of_the_broker: float
) -> Report:
    """What the radio has found, and the devices' accounts as one table.

    Args:
        accounts: of all devices, by name.
        early: their memory in MiB after a tenth of the frames, and that of the broker, where it is known.
        memory_of_the_broker: MiB at the end.
    """
    numbers = {name: [*_numbers(account), early.get(name, math.nan)] for name, account in accounts.items()}
    users = [row for name, row in numbers.items() if name.startswith("user/")]
    broker = [*[math.nan] * (len(COLUMNS) - 3), memory_of_the_broker, early.get(BROKER, math.nan)]
    rows = [
        ("radio", *map(_shown, numbers["radio"])),
        ("AP", *map(_shown, numbers["ap"])),
        ("a user (median)", *map(_shown, _over(users, statistics.median))),
        ("a user (largest)", *map(_shown, _over(users, max))),
        (BROKER, *map(_shown, broker)),
    ]
    radio = accounts["radio"]
    share, latency, counts = radio["share_of_the_optimum"], radio["frame_latency_ms"], radio["counts"]
    achieved = (
        f"{radio['frames']:,} frames of {len(users)} users, {radio['frames_per_second']:.3g} per second: "
        f"{radio['reward']:.5g} kbit/J, outage {radio['outage']:.2%}"
        + ("" if share is None else f", {share:.2%} of the optimum of the same frames")
        + f". From the start of a frame to its slots: {latency['p50']:.3g} ms (median), "
        f"{latency['p99']:.3g} ms (p99). {counts.get('answers missed', 0):,} answers were missed, and "
        f"{counts.get('frames without the AP', 0):,} frames were played without the AP. A frame took "
        f"{_processor_time(accounts):.3g} ms of processor time in all devices together."
    )
    return Report(
        data={"devices": dict(accounts), "memory_mib_after_a_tenth": dict(early)},
        tables=[Table(achieved, "", COLUMNS, tuple(rows))],
        values=[COLUMNS, *rows],
    )


def _processor_time(accounts: Mapping[str, Mapping[str, Any]]) -> float:
    """ms per frame, without starting."""
    return sum(account["cpu_ms_per_frame"] for account in accounts.values())


COLUMNS = (
    "",
    "frames",
    "refused",
    "p50 (ms)",
    "p99 (ms)",
    "bytes in",
    "bytes out",
    "MiB",
    "MiB early",
)


def _over(rows: Sequence[Sequence[float]], summarise: Callable[[list[float]], float]) -> list[float]:
    """A summary of each number over devices, of those that have it; NaN if none has."""
    known = ([number for number in column if not math.isnan(number)] for column in zip(*rows, strict=True))
    return [summarise(numbers) if numbers else math.nan for numbers in known]


def _numbers(account: Mapping[str, Any]) -> list[float]:
    """The numbers of a device in the order of `COLUMNS`, but the last; NaN where there is none."""
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
