"""Warnings that several jobs begin with, and the command that they keep."""

import shlex
import sys

import typer

from scattermec.cli.output import Report, warn
from scattermec.engines import slurm
from scattermec.errors import InputError
from scattermec.experiments.measure import diagnosis
from scattermec.optimisation import compiled
from scattermec.physics import Parameters, parameters_of
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


def not_submitted(error: slurm.NotSubmittedError) -> Report:
    """What to do where an array cannot be submitted."""
    notes = ["When the jobs have ended, give the same command again."]
    return Report(data={"script": str(error.path), "job": None}, heading=str(error), notes=notes)


def parameters_for(scenario: Scenario, num_users: int, num_antennas: int, where: str) -> Parameters:
    """The constants for the frames of the file ``where``, from which N and M follow.

    Says on standard error if the scenario has its own, of other sizes. Raises InputError if a constant is
    given per user, for another number of users.
    """
    try:
        parameters = parameters_of(scenario, num_users=num_users, num_antennas=num_antennas)
    except ValueError as error:
        raise InputError([f"{error}; N is {num_users} as in {where}"]) from error
    usual = Scenario()
    sizes = {
        "user_positions": (scenario.user_positions, usual.user_positions, scenario.num_users, num_users),
        "num_antennas": (scenario.num_antennas, usual.num_antennas, scenario.num_antennas, num_antennas),
    }
    unused = [name for name, (given, own, ours, theirs) in sizes.items() if given != own and ours != theirs]
    if unused:
        typer.echo(
            f"N = {num_users} users and M = {num_antennas} antennas as in {where}; "
            f"{' and '.join(unused)} of the scenario {'are' if len(unused) > 1 else 'is'} not used.",
            err=True,
        )
    return parameters
