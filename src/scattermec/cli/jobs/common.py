"""What several jobs begin with: warnings of what looks wrong."""

import typer

from scattermec.cli.output import warn
from scattermec.experiments.measure import diagnosis
from scattermec.optimisation import compiled
from scattermec.price_net import SHIPPED
from scattermec.scenario import Scenario


def warn_of(scenario: Scenario, policy: str = "") -> None:
    """Say on standard error what looks wrong in a scenario whose frames are to be drawn.

    So does a shipped ``policy`` that acts outside what it was trained on.
    """
    for line in diagnosis.warnings_of(diagnosis.sample_of(scenario)):
        warn(line)
    for line in diagnosis.outside_training(policy, scenario) if policy in SHIPPED else ():
        warn(line)


def warn_without_kernel(optimal_beams: bool) -> None:
    """Say on standard error that optimal beams will take long, if the compiled kernel is missing."""
    if optimal_beams and not compiled.available():
        typer.echo(
            "Optimal beams without the compiled kernel take a hundred times as long, or more.", err=True
        )
