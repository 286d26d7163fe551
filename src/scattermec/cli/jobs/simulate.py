"""Rollouts under the optimal allocation, for `scattermec simulate`."""

from collections.abc import Mapping
from typing import Any

from scattermec.cli.jobs.common import warn_of, warn_without_kernel
from scattermec.cli.output import Report, progress, provenance
from scattermec.experiments.measure.beams import SimulatedBeams
from scattermec.experiments.measure.rollouts import QUANTITIES, WARM_UP, SimulationResult, simulate
from scattermec.experiments.measure.table import Table
from scattermec.optimisation import Scheme
from scattermec.scenario import Scenario


def run(
    scenario: Scenario,
    scheme: Scheme,
    beams: SimulatedBeams,
    *,
    margin: float,
    frames: int,
    seed: int,
    quiet: bool,
) -> Report:
    """Simulate; raises InputError if the scenario does not fit learned beams."""
    warn_of(scenario)
    warn_without_kernel(beams == "optimal")
    if beams == "learned":
        # Imported here, since other beams do not need the learners' packages.
        from scattermec.price_net.registry import check_fit, shipped_for

        check_fit(shipped_for(scenario.num_users, scenario.num_antennas), scenario)
    with progress("Simulating", quiet=quiet) as update:
        result = simulate(
            scenario,
            scheme=scheme,
            beams=beams,
            margin=margin,
            num_frames=frames,
            seed=seed,
            progress=update,
        )
    options = {"scheme": scheme, "beams": beams, "margin": margin, "seed": seed}
    return report_of(result, options, scenario)


def report_of(result: SimulationResult, options: Mapping[str, Any], scenario: Scenario) -> Report:
    """Results of rollouts, with the ``options`` they were made with."""
    estimates = [(quantity, result.estimates[quantity.name]) for quantity in QUANTITIES]
    rows = []
    for quantity, estimate in estimates:
        mean, low, high = (f"{number:.4g}" for number in estimate)
        rows.append((quantity.description, mean, f"{low} to {high}", quantity.unit))
    # A margin of 0 is none.
    what = ", ".join(f"{name} {value}" for name, value in options.items() if name != "seed" and value)
    title = (
        f"{what[0].upper()}{what[1:]}: {result.num_frames:,} frames "
        f"of {result.num_rollouts} rollouts, seed {options['seed']}"
    )
    share = result.not_converged / result.num_frames
    unsettled = f"Frames without a verdict: {result.not_converged:,} ({share:.2%})."
    return Report(
        data={
            **options,
            "frames": result.num_frames,
            "rollouts": result.num_rollouts,
            "warm_up": WARM_UP,
            "not_converged": result.not_converged,
            "estimates": {
                quantity.name: {**estimate._asdict(), "unit": quantity.unit}
                for quantity, estimate in estimates
            },
            **provenance(scenario),
        },
        tables=[Table(title, "", ("", "mean", "95% interval", "unit"), tuple(rows))],
        values=[
            ("quantity", "unit", "mean", "low", "high"),
            *((quantity.name, quantity.unit, *estimate) for quantity, estimate in estimates),
        ],
        notes=[unsettled] if "status" in result.frames else [],
    )
