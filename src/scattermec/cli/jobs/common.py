"""Warnings that several jobs begin with, and the command that they keep."""

import shlex
import sys

import typer

from scattermec.cli.output import warn
from scattermec.experiments.measure import diagnosis
from scattermec.optimisation import compiled
from scattermec.price_net import SHIPPED
from scattermec.scenario import Scenario


def command_line() -> str:
    """The command that is running, as a run keeps it."""
    return shlex.join(["scattermec", *sys.argv[1:]])


def warn_of(scenario: Scenario, policy: str = "") -> None:
    """Warn on standard error of suspicious numbers in a scenario whose frames are to be drawn.

    Also warn if a shipped ``policy`` acts outside the range it was trained on.
    """
    for line in diagnosis.warnings_of(diagnosis.sample_of(scenario)):
        warn(line)
    for line in diagnosis.outside_training(policy, scenario) if policy in SHIPPED else ():
        warn(line)


def warn_without_kernel(optimal_beams: bool) -> None:
    """Warn on standard error that optimal beams will take long if the compiled kernel is missing."""
    if optimal_beams and not compiled.available():
        typer.echo(
            "Optimal beams without the compiled kernel take a hundred times as long, or more.", err=True
        )
