"""`scattermec scenario`: print the constants."""

import typer

from scattermec.cli import options


def scenario(
    scenario: options.ScenarioFile = None, settings: options.Settings = None, as_json: options.Json = False
) -> None:
    """Print a scenario: every constant of the model, with its meaning and unit.

    The output is itself a scenario file. Start your own from it, or check a file that you wrote: all its
    faults are listed, one line per fault.

    Examples:

        scattermec scenario > mine.yaml
        scattermec scenario --scenario mine.yaml --set ap_power=2 --set "user_positions=[[3, 0], [0, 4]]"
    """
    chosen = options.load_scenario(scenario, settings)
    from scattermec.cli.jobs.common import warn_of
    from scattermec.cli.output import to_json

    warn_of(chosen)
    text = to_json(chosen.model_dump(mode="json")) + "\n" if as_json else chosen.to_yaml()
    typer.echo(text, nl=False)
