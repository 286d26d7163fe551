"""`scattermec simulate`: what a scheme achieves in the long run."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scattermec.cli.common import (
    Beams,
    BeamsOption,
    JsonOption,
    ScenarioOption,
    Scheme,
    SchemeOption,
    SeedOption,
    SetOption,
    check_rectifier,
    check_text_output,
    load_scenario,
    print_table,
    progress,
    provenance,
    to_json,
    use_double_precision,
    warn_without_kernel,
)
from scattermec.storage import replace_text

if TYPE_CHECKING:
    from scattermec.experiments.simulate import SimulationResult


def simulate(
    scheme: SchemeOption = Scheme.HYBRID,
    beams: BeamsOption = Beams.MRT,
    frames: Annotated[
        int, typer.Option(min=1, metavar="K", help="Frames to count, shared by independent rollouts.")
    ] = 2000,
    seed: SeedOption = 0,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write the results to this .json or .csv file."),
    ] = None,
    scenario: ScenarioOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Roll the system out under the optimal allocation, and tabulate what it achieves.

    Batteries and backlogs carry over from frame to frame. In each frame everyone is served where that is
    possible, else the set of users with the highest reward. Optimal beams are optimal for the frame at hand,
    as the AP sees it, and need harvest_model: linear. The first 10 frames of each rollout are not counted;
    intervals are 95% bootstrap intervals over the rollouts.

    Examples:

        scattermec simulate
        scattermec simulate --beams optimal
        scattermec simulate --scheme active --frames 10000 --set ap_power=0.5 --json
    """
    chosen = load_scenario(scenario, settings)
    check_rectifier(chosen, beams is Beams.OPTIMAL)
    if out is not None:
        check_text_output(out, (".json", ".csv"))
    use_double_precision()
    warn_without_kernel(beams is Beams.OPTIMAL)
    from scattermec.experiments.simulate import simulate as roll_out

    with progress("Simulating", quiet=as_json) as update:
        result = roll_out(
            chosen, scheme=scheme.value, beams=beams.value, num_frames=frames, seed=seed, progress=update
        )
    options = {"scheme": scheme.value, "beams": beams.value, "seed": seed}
    report = to_json({**options, **_report(result), **provenance(chosen)}) + "\n"
    if out is not None:
        replace_text(out, report if out.suffix == ".json" else _csv(result))
    if as_json:
        typer.echo(report, nl=False)
    else:
        _print(result, options)


def _report(result: "SimulationResult") -> dict[str, Any]:
    from scattermec.experiments.simulate import QUANTITIES, WARM_UP

    return {
        "frames": result.num_frames,
        "rollouts": result.num_rollouts,
        "warm_up": WARM_UP,
        "not_converged": result.not_converged,
        "estimates": {
            quantity.name: {**result.estimates[quantity.name]._asdict(), "unit": quantity.unit}
            for quantity in QUANTITIES
        },
    }


def _csv(result: "SimulationResult") -> str:
    from scattermec.experiments.simulate import QUANTITIES

    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("quantity", "unit", "mean", "low", "high"))
    for quantity in QUANTITIES:
        table.writerow((quantity.name, quantity.unit, *result.estimates[quantity.name]))
    return text.getvalue()


def _print(result: "SimulationResult", options: dict[str, Any]) -> None:
    from scattermec.experiments.simulate import QUANTITIES

    rows: list[tuple[str, ...]] = []
    for quantity in QUANTITIES:
        numbers = [f"{number:.4g}" for number in result.estimates[quantity.name]]
        interval = f"{numbers[1]} to {numbers[2]}"
        rows.append((quantity.description, numbers[0], interval, quantity.unit))
    title = (
        f"Scheme {options['scheme']}, beams {options['beams']}: {result.num_frames:,} frames "
        f"of {result.num_rollouts} rollouts, seed {options['seed']}"
    )
    print_table(title, ("", "mean", "95% interval", "unit"), rows)
    if result.not_converged:
        typer.echo(
            f"Not converged: {result.not_converged} of these frames; the best set was served instead.",
            err=True,
        )
