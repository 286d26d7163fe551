"""The command: `python -m torture`."""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torture.results import Outcome, Row, markdown, print_table, write_json

MINUTES = 20.0

LANES = (("frames", "soak"), ("files", "places", "kills", "online"))
"""Campaigns that follow each other; the lanes run side by side, one core each."""

SHARES = {"frames": 0.42, "soak": 0.5, "files": 0.3, "places": 0.15, "kills": 0.4, "online": 0.14}
"""Shares of the time."""


def main(arguments: list[str] | None = None) -> int:
    """Run campaigns, save, print. Returns the exit status: 0 if all was tried and nothing bad, else 1."""
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(given)
    if options.part is not None:
        return _one_campaign(options)
    # The benchmarks have the functions that describe the machine.
    from benchmarks.machine import describe, versions

    # If it is terminated, it terminates its campaigns too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begun, started = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    wanted = options.only or [name for lane in LANES for name in lane]
    lanes = [[name for name in lane if name in wanted] for lane in LANES]
    running: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="torture-") as folder, ThreadPoolExecutor(len(LANES)) as pool:
        try:
            work = [pool.submit(_lane, lane, given, Path(folder), running) for lane in lanes]
            found = {name: outcome for lane in work for name, outcome in lane.result().items()}
        except BaseException:
            for lane in work:
                lane.cancel()
            for lane_list in lanes:
                lane_list.clear()
            for process in running:
                process.terminate()
            raise
    outcomes = {name: found[name] for lane in LANES for name in lane if name in found}
    about: dict[str, Any] = {
        "command": " ".join(["python -m torture", *given]),
        "minutes": (time.monotonic() - begun) / 60,
        "started": started,
        "machine": describe(None),
        "versions": versions(),
    }
    from rich.console import Console

    screen = Console()
    rows = [row for outcome in outcomes.values() for row in outcome.rows]
    print_table(rows, screen if screen.is_terminal else Console(width=140))
    if options.json is not None:
        write_json(options.json, about, outcomes)
    if options.docs is not None:
        options.docs.parent.mkdir(parents=True, exist_ok=True)
        options.docs.write_text(markdown(about, outcomes), encoding="utf-8")
    saved = sum(len(outcome.saved) for outcome in outcomes.values())
    if saved:
        screen.print(f"{saved} bad cases are in {options.out}, with the commands that show them again.")
    unfinished = [name for name, outcome in outcomes.items() if not outcome.finished]
    if unfinished:
        screen.print(f"Not all was tried in the time given: {', '.join(unfinished)}.")
    return int(bool(unfinished) or any(row.bad for row in rows))


def _lane(
    campaigns: list[str], given: list[str], folder: Path, running: list[subprocess.Popen[bytes]]
) -> dict[str, Outcome]:
    """Campaigns one after the other, each in its own process: a crash of one does not end the rest."""
    outcomes = {}
    while campaigns:
        name = campaigns.pop(0)
        part = folder / f"{name}.json"
        command = [sys.executable, "-m", "torture", *given, "--campaign", name, "--part", str(part)]
        process = subprocess.Popen(command, stdout=sys.stderr)
        running.append(process)
        status = process.wait()
        running.remove(process)
        if part.exists():
            outcomes[name] = Outcome.from_json(json.loads(part.read_text(encoding="utf-8")))
        else:
            row = Row(name.capitalize(), "the campaign itself ended", 1, 1, f"exit status {status}")
            outcomes[name] = Outcome([row], finished=False)
    return outcomes


def _one_campaign(options: argparse.Namespace) -> int:
    # If terminated, it removes its files and leaves no process behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # One core per lane. Only now is JAX imported.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    import jax

    jax.config.update("jax_enable_x64", True)
    name, part = options.campaign, options.minutes / MINUTES
    seconds = 60 * options.minutes * SHARES[name]

    def tell(text: str) -> None:
        print(f"{name}: {text}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="torture-") as work:
        outcome = _campaign(name, options, part, seconds, Path(work), options.out / name, tell)
    options.part.write_text(json.dumps(outcome.as_json()), encoding="utf-8")
    return 0


def _campaign(
    name: str,
    options: argparse.Namespace,
    part: float,
    seconds: float,
    work: Path,
    out: Path,
    tell: Callable[[str], None],
) -> Outcome:
    """Run one campaign, with its share of the whole."""
    from torture import files, frames, kills, online, places, soak

    seed = options.seed
    if name == "frames":
        return frames.run(
            frames.Options(
                seed=seed,
                frames=options.frames or int(part * frames.FRAMES),
                seconds=seconds,
                batch=options.batch,
                cases=tuple(options.scenarios or ()),
                rounds=options.rounds,
                first_round=options.first_round,
                out=out,
                tell=tell,
            )
        )
    if name == "files":
        count = options.files or max(50, int(part * files.FILES))
        kinds = tuple(options.kinds or ())
        return files.run(files.Options(seed, count, seconds, work, out, kinds, tell))
    if name == "kills":
        count = options.kills or max(1, round(part * kills.KILLS))
        return kills.run(kills.Options(seed, count, seconds, work, out, tell=tell))
    if name == "places":
        return places.run(places.Options(seconds, work, out, tell))
    if name == "online":
        bundle, frames_after = online.exported(work / "bundle"), int(part * online.SOAK)
        return online.run(online.Options(bundle, 3, seconds=seconds, soak=frames_after, out=out, tell=tell))
    return soak.run(soak.Options(seed, seconds, tell))


def _parser() -> argparse.ArgumentParser:
    from torture.scenarios import CASES

    parser = argparse.ArgumentParser(
        prog="python -m torture",
        description="The package tried on frames, files, kills, full disks, online faults and time, on two "
        "cores. Exit status 1 if anything was bad or not all was tried.",
    )
    parser.add_argument("--minutes", type=float, default=MINUTES, help="time for everything (20)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything drawn (0)")
    campaigns = [name for lane in LANES for name in lane]
    parser.add_argument("--only", choices=campaigns, nargs="+", help="run these campaigns only")
    parser.add_argument("--out", type=Path, default=Path("results/torture"), help="folder for bad cases")
    parser.add_argument("--json", type=Path, metavar="FILE", help="save all numbers")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="write the table as a Markdown page")
    group = parser.add_argument_group("frames")
    group.add_argument("--frames", type=int, metavar="K", help="number of frames (1,000,000 in 20 minutes)")
    group.add_argument("--batch", type=int, default=1024, metavar="K", help="frames per call of P1 (1024)")
    group.add_argument(
        "--scenarios", nargs="+", choices=[case.name for case in CASES], metavar="NAME", help="scenarios"
    )
    group.add_argument("--rounds", type=int, metavar="R", help="batches per scenario")
    group.add_argument("--first-round", type=int, default=0, metavar="R", help="the first round (0)")
    group = parser.add_argument_group("files and kills")
    group.add_argument("--files", type=int, metavar="K", help="number of files (10,000 in 20 minutes)")
    group.add_argument("--kinds", nargs="+", metavar="NAME", help="kinds of files to try")
    group.add_argument("--kills", type=int, metavar="K", help="number of kills (30 in 20 minutes)")
    parser.add_argument("--campaign", help=argparse.SUPPRESS)
    parser.add_argument("--part", type=Path, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
