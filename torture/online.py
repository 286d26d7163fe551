"""Faults of the online system: its devices as processes over a real broker, one fault after the other."""

import asyncio
import math
import os
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cbor2

from scattermec.online import wire
from scattermec.online.broker import Broker, find_broker
from scattermec.online.connection import Connection
from scattermec.online.fleet import Fleet, Observer
from scattermec.online.wire import Log, Report
from scattermec.scenario import Scenario
from torture.results import Outcome, Row, write_faults

BACK = 2
"""Frames after the one that is going on within which a device has to be taken back."""

SLACK = 1.0
"""s by which a frame may exceed its deadline on a busy machine"""

MOST_GROWTH = 8.0
"""MiB by which a device's memory may grow in a soak"""

SOAK = 300
"""Frames of the soak in 20 minutes of torture."""

BAD = "user/1"
"""The user that fails; in the hands of an attacker, it can write to its own topics alone."""

ATTACKS = 20
"""Forged messages of each kind."""


@dataclass
class System:
    """What the faults act on."""

    broker: Broker
    fleet: Fleet
    observer: Observer
    users: int
    deadline: float

    async def gone(self, name: str) -> None:
        """Wait until the broker has noticed that a device is gone."""
        await self.observer.until(lambda: name not in self.observer.here, f"{name} gone")

    async def back(self, name: str) -> None:
        """Wait until a device is connected."""
        await self.observer.until(lambda: name in self.observer.here, f"{name} back")
        self.fleet.check()

    async def write(self, kind: str, payload: bytes) -> None:
        """Write some times to a topic of the user that fails, over three frames."""
        for _ in range(3):
            for _ in range(ATTACKS // 3):
                self.observer.send(f"{BAD}/{kind}", payload)
            await self.observer.frames(1)

    def report(self, **changes: object) -> bytes:
        """A forged report for the present frame, in CBOR, with any values."""
        fields = {"run": self.observer.logs[-1].run, "frame": self.observer.logs[-1].frame + 1, "user": 1}
        values = {**fields, "workload": 1.0, "battery": 1.0, **changes}
        return cbor2.dumps([wire.VERSION, wire.KINDS.index(Report), *values.values()])


Inject = Callable[[System], Awaitable[None]]


@dataclass(frozen=True)
class Fault:
    """One fault, from its start to the moment when its cause is gone."""

    name: str
    inject: Inject
    hits: frozenset[str]
    """devices that it may disturb; all others have to be served as ever"""
    counted: frozenset[str] = frozenset()
    """causes of `scattermec.online.wire.CAUSES`, one of which the AP has to count"""
    at: str = "ap"
    """who counts"""


EVERYBODY = frozenset({"ap", "radio"})
ONE_USER = frozenset({BAD})


async def killed(system: System) -> None:
    """It is killed, and started again."""
    system.fleet.kill(BAD)
    await system.gone(BAD)
    await system.observer.frames(5)
    system.fleet.start_user(1)
    await system.back(BAD)


async def silent(system: System) -> None:
    """It is stopped for some frames."""
    system.fleet.pause(BAD)
    await system.observer.frames(5)
    system.fleet.resume(BAD)


async def late(system: System) -> None:
    """It is slower than the AP waits, in two frames."""
    missed = 0
    for _ in range(10):  # on a busy machine, no frame may begin while it is stopped
        system.fleet.pause(BAD)
        await asyncio.sleep(0.4 * system.deadline)
        system.fleet.resume(BAD)
        missed += any(not log.answered[1] for log in await system.observer.frames(2))
        if missed == 2:
            return


async def garbage(system: System) -> None:
    """It sends bytes that are no message."""
    await system.write("report", b"\xff\x00garbage")
    await system.write("answer", b"{" * 100)


async def not_a_number(system: System) -> None:
    """It reports NaN, infinity and negative numbers."""
    for number in (math.nan, math.inf, -1.0):
        await system.write("report", system.report(workload=number))


async def oversized(system: System) -> None:
    """It sends 1 MB."""
    await system.write("report", system.report(workload="x" * 10**6))


async def stale(system: System) -> None:
    """It repeats a report of an earlier frame."""
    await system.write("report", system.report(frame=0))


async def replayed(system: System) -> None:
    """Everything that it sends arrives three times."""
    waiting: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
    seen: set[bytes] = set()

    def heard(topic: str, payload: bytes) -> None:
        if topic in (f"{BAD}/report", f"{BAD}/answer") and payload not in seen:
            seen.add(payload)
            waiting.put_nowait((topic, payload))

    async def repeat() -> None:
        while True:
            topic, payload = await waiting.get()
            for _ in range(2):
                system.observer.send(topic, payload)

    system.observer.heard = heard
    repeating = asyncio.create_task(repeat())
    await system.observer.frames(5)
    repeating.cancel()
    system.observer.heard = lambda topic, payload: None


async def posing(system: System) -> None:
    """It says that it is user 0, and one that does not exist."""
    for user in (0, 77):
        await system.write("report", system.report(user=user, workload=1000.0))


async def broker_killed(system: System) -> None:
    """The broker is killed, and started again after a second."""
    names = {"ap", "radio", *(f"user/{user}" for user in range(system.users))}
    system.observer.here.clear()
    system.broker.stop(kill=True)
    await asyncio.sleep(1.0)
    system.broker.start()
    for name in names:
        await system.back(name)


async def ap_killed(system: System) -> None:
    """The AP is killed for two frames, and started again with its last state."""
    system.fleet.kill("ap")
    await system.gone("ap")
    await system.observer.frames(2)
    system.fleet.start_ap()
    await system.back("ap")


async def radio_slow(system: System) -> None:
    """The radio stops for two seconds."""
    system.fleet.pause("radio")
    await asyncio.sleep(2.0)
    system.fleet.resume("radio")


async def clock_off(system: System) -> None:
    """A user's clock is an hour ahead."""
    with tempfile.TemporaryDirectory() as folder:
        code = "import time\nnow, now_ns = time.time, time.time_ns\ntime.time = lambda: now() + 3600\n"
        code += "time.time_ns = lambda: now_ns() + 3600 * 10**9\n"
        (Path(folder) / "sitecustomize.py").write_text(code, encoding="utf-8")
        system.fleet.kill(BAD)
        await system.gone(BAD)
        system.fleet.start_user(1, environment={"PYTHONPATH": folder + _path()})
        await system.back(BAD)
        await system.observer.frames(5)


def _path() -> str:
    given = os.environ.get("PYTHONPATH")
    return f"{os.pathsep}{given}" if given else ""


async def lossy(system: System) -> None:
    """A fifth of what arrives at the AP and the users is lost, for 30 frames."""
    await _restart(system, "--lose", "0.2")
    await system.observer.frames(30)
    await _restart(system)


async def _restart(system: System, *options: str) -> None:
    names = ["ap", *(f"user/{user}" for user in range(system.users))]
    for name in names:
        system.fleet.kill(name)
        await system.gone(name)
    system.fleet.start_ap(*options)
    for user in range(system.users):
        system.fleet.start_user(user, *options)
    for name in names:
        await system.back(name)


FAULTS = (
    Fault("user killed and restarted", killed, ONE_USER),
    Fault("user silent", silent, ONE_USER),
    Fault("user late", late, ONE_USER, frozenset({"late", "stale"})),
    Fault("user sends garbage", garbage, frozenset(), frozenset({"unreadable"})),
    Fault("user sends NaN", not_a_number, frozenset(), frozenset({"invalid"})),
    Fault("user sends an oversized message", oversized, frozenset(), frozenset({"oversized"})),
    Fault("user sends stale messages", stale, frozenset(), frozenset({"stale"})),
    Fault("user's messages are replayed", replayed, frozenset(), frozenset({"replayed"})),
    Fault("user poses as another", posing, frozenset(), frozenset({"foreign"})),
    Fault("broker killed and restarted", broker_killed, EVERYBODY),
    Fault("AP killed and restarted", ap_killed, EVERYBODY),
    Fault("radio slow", radio_slow, EVERYBODY),
    Fault("user's clock off by an hour", clock_off, ONE_USER),
    Fault("20% of messages lost", lossy, EVERYBODY),
)
"""All faults, in the order in which they are tried."""


@dataclass
class Options:
    """What to try."""

    bundle: Path
    users: int
    faults: tuple[Fault, ...] = FAULTS
    seconds: float = math.inf
    deadline: float = 2.0
    """s for a frame: long, since all processes share the cores of one machine"""
    soak: int = 0
    """frames without faults at the end, while which the devices' memory has to stay as it is"""
    out: Path | None = None
    tell: Callable[[str], None] = lambda text: None


def exported(bundle: Path) -> Path:
    """A bundle of price-net for the default scenario."""
    from scattermec.online.export import export
    from scattermec.price_net import load

    export(load("price-net"), Scenario(), bundle, name="price-net")
    return bundle


def run(options: Options) -> Outcome:
    """Start a system, and try all faults on it."""
    if find_broker() is None:
        return Outcome([Row("Online", "not tried: no mosquitto is installed")], finished=False)
    return asyncio.run(_run(options))


async def _run(options: Options) -> Outcome:
    rows: list[Row] = []
    failures: list[dict[str, str]] = []
    with tempfile.TemporaryDirectory(prefix="torture-online-") as folder, Broker() as broker:
        connection = Connection(port=broker.port)
        with Fleet(options.bundle, connection, Path(folder), deadline=options.deadline) as fleet:
            fleet.start_ap()
            for user in range(options.users):
                fleet.start_user(user)
            fleet.start_radio("--frames", "1000000", "--no-compare")
            async with Observer(connection) as observer:
                system = System(broker, fleet, observer, options.users, options.deadline)
                await observer.frames(3)
                begun = time.monotonic()
                for fault in options.faults:
                    if time.monotonic() - begun > options.seconds:
                        break
                    row, wrong = await _try(fault, system)
                    options.tell(f"{fault.name}: {'; '.join(wrong) or 'as it should be'} ({row.remark})")
                    rows.append(row)
                    failures += [{"fault": fault.name, "what": what} for what in wrong]
                tried = len(rows)
                if options.soak:
                    row, wrong = await _soak(system, options.soak)
                    rows.append(row)
                    failures += [{"fault": row.what, "what": what} for what in wrong]
    write_faults(options.out, "online", failures)
    return Outcome(rows, {"Faults of the online system": failures}, [], tried == len(options.faults))


async def _soak(system: System, frames: int) -> tuple[Row, list[str]]:
    """Play on without faults. Returns the row, and which device's memory grows."""
    observer = system.observer
    begun = observer.logs[-1].frame
    await observer.until(lambda: _all_told(system, begun), "accounts of all devices")
    before = {name: account["memory_mib"] or 0 for name, account in observer.accounts.items()}
    ended = (await observer.frames(frames))[-1].frame
    await observer.until(lambda: _all_told(system, ended), "accounts of all devices")
    grown = {name: (observer.accounts[name]["memory_mib"] or 0) - memory for name, memory in before.items()}
    wrong = [f"{name} grew by {more:.1f} MiB" for name, more in grown.items() if more > MOST_GROWTH]
    most = max(grown, key=lambda name: grown[name])
    remark = f"{grown[most]:+.1f} MiB at most ({most})"
    return Row(
        "Online", f"memory grows by more than {MOST_GROWTH:.0f} MiB", frames, len(wrong), remark
    ), wrong


def _all_told(system: System, frame: int) -> bool:
    return all(account["frame"] >= frame for account in system.observer.accounts.values())


async def _try(fault: Fault, system: System) -> tuple[Row, list[str]]:
    """Inject a fault. Returns its row, and what was wrong."""
    observer = system.observer
    latest = observer.logs[-1].frame
    await observer.until(lambda: _account(system).get("frame", -1) >= latest, "the AP's account")
    begun, before = len(observer.logs), _refused(system)
    told = system.fleet.told("ap")
    await fault.inject(system)
    during = observer.logs[begun:]
    after = await observer.frames(BACK + 1)
    wrong = _disturbed(fault, during, system.users)
    back = next((index for index, log in enumerate(after) if log.beaming and all(log.answered)), None)
    if back is None:
        wrong.append(f"not taken back within {BACK} frames")
    wrong += _irregular([*during, *after], system.deadline + SLACK)
    counted = await _counted(fault, system, before)
    if fault.counted and not counted:
        wrong.append(f"not counted: {', '.join(fault.counted)}")
    new = system.fleet.told("ap")[len(told) :]
    if "Traceback" in new:
        wrong.append(new[new.index("Traceback") :])
    lines = [line.split()[1:] for line in new.splitlines()]
    lives = 1 + sum("connected" in words for words in lines)
    causes = Counter(words[0] for words in lines if "refused" in words)
    wrong += [f"told {count} times: {cause}" for cause, count in causes.items() if count > lives]
    answered = sum(sum(log.answered) for log in during) / max(1, sum(len(log.answered) for log in during))
    remark = f"{answered:.0%} of answers in time; back after {back} frames"
    remark += "".join(f"; {cause}: {count}" for cause, count in counted.items())
    return Row("Online", fault.name, len(during) + len(after), len(wrong), remark), wrong


def _account(system: System) -> dict[str, Any]:
    return system.observer.accounts.get("ap", {})


def _refused(system: System) -> Counter[str]:
    return Counter(_account(system).get("refused", {}))


async def _counted(fault: Fault, system: System, before: Counter[str]) -> Counter[str]:
    """What the AP has refused since ``before``; its account comes every second."""
    since = time.monotonic()
    while True:
        found = _refused(system) - before
        if not fault.counted or any(found[cause] for cause in fault.counted) or time.monotonic() - since > 5:
            return found
        await asyncio.sleep(0.1)


def _disturbed(fault: Fault, logs: list[Log], users: int) -> list[str]:
    """Whether the fault reached users that it does not concern."""
    if fault.hits == EVERYBODY:
        return []
    wrong = []
    for user in range(users):
        missed = sum(not log.answered[user] for log in logs)
        if missed and f"user/{user}" not in fault.hits:
            wrong.append(f"user {user} was disturbed in {missed} of {len(logs)} frames")
    silent_frames = sum(not log.beaming for log in logs)
    return [*wrong, *([f"{silent_frames} frames without beams"] if silent_frames else [])]


def _irregular(logs: list[Log], most: float) -> list[str]:
    """Whether a frame was left out, played twice, or too late."""
    wrong = [f"frame {log.frame} took {log.seconds:.1f} s" for log in logs if log.seconds > most]
    numbers = [log.frame for log in logs]
    # While the broker is away, frames are played that an observer does not see.
    if any(later <= earlier for earlier, later in pairwise(numbers)):
        wrong.append(f"frames out of order: {numbers}")
    return wrong
