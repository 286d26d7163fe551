"""Options of several commands, and the scenario that they describe. Nothing here imports JAX."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from scattermec.counts import MOST_FRAMES, MOST_JOBS, MOST_PROCESSES, MOST_SEED
from scattermec.engines.slurm import Settings as SlurmSettings
from scattermec.errors import InputError
from scattermec.online.connection import Connection
from scattermec.scenario import Scenario


def count(metavar: str, most: int, meaning: str, *, least: int = 1) -> Any:
    """An option that takes a whole number from ``least`` to ``most``."""
    return typer.Option(min=least, max=most, metavar=metavar, help=meaning)


Scheme = Annotated[
    Literal["hybrid", "active", "passive", "local"],
    typer.Option(
        help="Both links, the active or the passive one alone, or local computing only. "
        "Every scheme may beam for energy."
    ),
]
PriceNet = Annotated[
    str,
    typer.Argument(
        metavar="POLICY",
        help="price-net, price-net-foresight, price-net-robust or price-net-varied, as shipped; or the "
        "folder of a training run of price-net.",
    ),
]
Frames = Annotated[int, count("K", MOST_FRAMES, "Independent frames.")]
RolloutFrames = Annotated[int, count("K", MOST_FRAMES, "Frames to count, shared by independent rollouts.")]
Seed = Annotated[int, count("S", MOST_SEED, "Seed of everything drawn.", least=0)]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Also write the results to this .json, .csv, .md or .tex (LaTeX) file."
    ),
]
TrainingSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--train",
        metavar="NAME=VALUE",
        help="Change one training setting, e.g. --train batch_size=32. Repeatable.",
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run in the folder, if there is one.")]
ScenarioFile = Annotated[
    Path | None,
    typer.Option(
        metavar="NAME|FILE",
        help="default, paper (constants found by `scattermec calibrate`), a scenario of the benchmark set "
        "(scattermec-1/far), or a file in YAML or JSON; omitted constants keep their defaults.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="Change one constant, e.g. --set ap_power=2. Repeatable."
    ),
]
Margin = Annotated[
    float,
    typer.Option(
        metavar="M",
        help="Plan for less harvest (times 1 - M) and more noise (times 1 + M) than there are, so that the "
        "plan also holds on somewhat weaker channels; 0 <= M < 1.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table, and no progress.")]

ConnectionFile = Annotated[
    Path | None,
    typer.Option(
        "--connection",
        metavar="FILE",
        help="How to reach the broker, in YAML; `scattermec keys` makes one for each device. By default a "
        "broker on this machine, port 1883.",
    ),
]
ConnectionSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--connect",
        metavar="NAME=VALUE",
        help="Change one setting of the connection: host, port, network, username, password, ca, "
        "certificate or private_key. Repeatable.",
    ),
]


def seconds(metavar: str, meaning: str, *, least: float = 0.0) -> Any:
    """An option that takes a time in s."""
    return typer.Option(min=least, max=1e6, metavar=metavar, help=meaning)


Period = Annotated[float, seconds("S", "Least s from one frame to the next; 0: as fast as all have decided.")]
Compare = Annotated[
    bool, typer.Option(help="Also find the optimum of every frame; it needs harvest_model: linear.")
]
Deadline = Annotated[
    float, seconds("S", "Most s for the decisions of a frame; the same for all devices.", least=0.01)
]
RunFor = Annotated[float | None, seconds("S", "End after so many s; by default only on Ctrl-C or SIGTERM.")]
Lose = Annotated[
    float,
    typer.Option(
        min=0, max=1, metavar="SHARE", help="Lose this share of the arriving messages, to see what happens."
    ),
]


Address = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS", help="Of a running Ray cluster, or auto.  [default: starts Ray on this machine]"
    ),
]
Engine = Annotated[
    Literal["local", "slurm", "ray"],
    typer.Option(
        help="A process per core of this machine; an array of jobs on a Slurm cluster; or Ray, which needs "
        "the extra `ray`."
    ),
]
Processes = Annotated[
    int | None,
    count("P", MOST_PROCESSES, "Processes on this machine (local, ray).  [default: one per core]"),
]
Jobs = Annotated[
    int, count("N", MOST_JOBS, "Jobs of the Slurm array, at most; each has its share of the tasks.")
]
Time = Annotated[str, typer.Option(metavar="TIME", help="Most time of a Slurm job.")]
Memory = Annotated[str, typer.Option(metavar="SIZE", help="Memory of a Slurm job.")]
Prologue = Annotated[
    str, typer.Option(metavar="LINE", help="Shell line at the start of a Slurm job: modules, environment.")
]
Launcher = Annotated[
    str, typer.Option(metavar="WORDS", help="Words before the command of a Slurm job: a container.")
]
Index = Annotated[
    int | None, count("I", MOST_JOBS, "Be job number I of a Slurm array of --jobs jobs.", least=0)
]
Independent = Annotated[
    bool,
    typer.Option(
        "--independent",
        help="Begin each frame with a new battery and no backlog, as `scattermec evaluate` does for its "
        "independent frames; by default both carry over.",
    ),
]
Form = Annotated[
    Literal["cbor", "json"],
    typer.Option(help="Form of the messages sent; both are understood. JSON is for people."),
]


def slurm_settings(
    jobs: int, time: str, memory: str, prologue: str, launcher: str, index: int | None
) -> SlurmSettings:
    """What the options of a Slurm array say; raises InputError with all their faults."""
    texts = {"time": time, "memory": memory, "prologue": prologue, "launcher": launcher}
    faults = [f"{name}: must be one line" for name, text in texts.items() if not text.isprintable()]
    if index is not None and index >= jobs:
        faults.append(f"index: {index} is not allowed; it must be < jobs, {jobs}")
    if faults:
        raise InputError(faults)
    return SlurmSettings(jobs, time, memory, prologue, launcher)


def scenario_words(path: Path | None, settings: list[str] | None) -> list[str]:
    """The options of a command line that give the same scenario."""
    words = [] if path is None else ["--scenario", str(path)]
    return words + [word for setting in settings or [] for word in ("--set", setting)]


def load_connection(path: Path | None, settings: list[str] | None) -> Connection:
    """The connection that the options describe; raises InputError with all its faults."""
    connection = Connection() if path is None else Connection.load(path)
    return connection.with_settings(settings) if settings else connection


def load_scenario(path: Path | None, settings: list[str] | None) -> Scenario:
    """The scenario that the options describe; raises ScenarioError with all its faults."""
    scenario = Scenario() if path is None else Scenario.find(path)
    return scenario.with_settings(settings) if settings else scenario
