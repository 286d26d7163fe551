"""`scattermec scenario`: print the constants."""

from typing import Annotated

import typer

from scattermec.cli import options
from scattermec.literature import Literature


def scenario(
    scenario: options.ScenarioFile = None,
    settings: options.Settings = None,
    from_literature: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="A constant as papers give it: kappa, cpu_frequency and cycles_per_bit make local_energy "
            "and local_rate; noise_density, noise_figure and the scenario's bandwidth make noise_power. "
            "Repeatable; --set overrides the results.",
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Print a scenario: every constant of the model, with its meaning and unit.

    The output is itself a scenario file. Start your own from it, or check a file that you wrote: all its
    faults are listed, one line per fault.

    Examples:

        scattermec scenario > mine.yaml
        scattermec scenario --scenario mine.yaml --set ap_power=2 --set "user_positions=[[3, 0], [0, 4]]"
        scattermec scenario --set "bandwidth=2 MHz" --from-literature "noise_density=-174 dBm/Hz"
    """
    chosen = options.load_scenario(scenario, settings)
    if from_literature:
        given = Literature().with_settings(from_literature)
        chosen = chosen.replace(**given.constants(chosen.bandwidth)).with_settings(settings or ())
    from scattermec.cli.jobs.common import warn_of
    from scattermec.cli.output import to_json

    warn_of(chosen)
    text = to_json(chosen.model_dump(mode="json")) + "\n" if as_json else chosen.to_yaml()
    typer.echo(text, nl=False)
