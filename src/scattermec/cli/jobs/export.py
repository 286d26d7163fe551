"""Writing and checking a bundle. Needs the extras `learning` and `online`."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from scattermec.cli.jobs.common import warn_of, warn_without_kernel
from scattermec.cli.output import Report, interval, progress, provenance
from scattermec.experiments.evaluate.exported import NEAR, QUANTITIES, compare_exported
from scattermec.experiments.measure.table import Table
from scattermec.online.export import MODE, check_exportable, export
from scattermec.price_net import load
from scattermec.scenario import Scenario


def run(
    name: str,
    given: Scenario | None,
    settings: Sequence[str],
    out: Path,
    *,
    int8: bool,
    frames: int,
    seed: int,
    quiet: bool,
) -> Report:
    """Write the bundle for the policy's training scenario unless another is ``given``, and compare it.

    Raises InputError for a policy that has no mode for devices, and a scenario that it must not act in.
    """
    policy = load(name)
    scenario = given or policy.scenario.with_settings(settings)
    check_exportable(policy, scenario)
    warn_of(scenario, name)
    warn_without_kernel(True)
    export(policy, scenario, out, name=name, int8=int8)
    with progress("Comparing", quiet=quiet) as update:
        found = compare_exported(policy, out, frames=frames, seed=seed, progress=update)
    shares = tuple(
        (label, interval(results.share), interval(results.outage))
        for label, results in ((f"{name}, {MODE}", found.policy), ("bundle", found.bundle))
    )
    apart = tuple((QUANTITIES[quantity], f"{size:.1e}") for quantity, size in found.differences.items())
    title = f"{name} exported: {frames:,} frames, seed {seed}, 95% intervals over frames"
    return Report(
        data={
            "policy": name,
            "mode": MODE,
            "out": str(out),
            "int8": int8,
            "frames": frames,
            "seed": seed,
            **asdict(found),
            **provenance(scenario),
        },
        tables=[
            Table(title, "", ("", "share of the optimum", "outage"), shares),
            Table("Largest difference", "", ("of numbers above 1, relative", ""), apart),
        ],
        notes=[
            f"{found.frames_apart} frames differ by more than {NEAR:g}.",
            f"{out}: the AP's part; {out}/users/I: that of user I, from 0.",
        ],
    )
