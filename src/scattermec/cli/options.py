"""Options of several commands, and the scenario that they describe. Nothing here imports JAX."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from scattermec.counts import MOST_FRAMES, MOST_SEED
from scattermec.scenario import Scenario


def count(metavar: str, most: int, meaning: str, *, least: int = 1) -> Any:
    """An option that takes a whole number from ``least`` to ``most``."""
    return typer.Option(min=least, max=most, metavar=metavar, help=meaning)


class Scheme(StrEnum):
    """The ways of processing that may be used."""

    HYBRID = "hybrid"
    ACTIVE = "active"
    PASSIVE = "passive"
    LOCAL = "local"


SchemeOption = Annotated[
    Scheme,
    typer.Option(
        help="Both links, the active or the passive one alone, or local computing only. "
        "Every scheme may beam for energy."
    ),
]
PriceNet = Annotated[
    str,
    typer.Argument(
        metavar="POLICY",
        help="price-net, price-net-foresight or price-net-varied, as shipped; or the folder of a training "
        "run of price-net.",
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
        help="default, paper (constants found by `scattermec calibrate`), or a file in YAML or JSON; omitted "
        "constants keep their defaults.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="Change one constant, e.g. --set ap_power=2. Repeatable."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table, and no progress.")]


def load_scenario(path: Path | None, settings: list[str] | None) -> Scenario:
    """The scenario that the options describe; raises ScenarioError with all its faults."""
    scenario = Scenario() if path is None else Scenario.find(path)
    return scenario.with_settings(settings) if settings else scenario
