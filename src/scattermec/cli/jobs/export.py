"""Writing and checking a bundle. Needs the extras `learning` and `online`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from scattermec.cli.jobs.common import warn_of, warn_without_kernel
from scattermec.cli.output import Report, progress, provenance
from scattermec.experiments.evaluate.exported import LEARNED, NEAR, QUANTITIES, compare_exported, compare_run
from scattermec.experiments.measure.table import Table
from scattermec.online import export_run
from scattermec.online.export import check_exportable, export, mode_of
from scattermec.price_net import load
from scattermec.scenario import Scenario
from scattermec.training import load_run


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
    mode = mode_of(policy)
    export(policy, scenario, out, name=name, int8=int8)
    with progress("Comparing", quiet=quiet) as update:
        found = compare_exported(policy, out, frames=frames, seed=seed, progress=update)
    shares = tuple(
        (label, f"{results.share:.2%}", f"{results.outage:.2%}")
        for label, results in ((f"{name}, {mode}", found.policy), ("bundle", found.bundle))
    )
    title = f"{name} exported: {frames:,} frames, seed {seed}, 95% intervals over frames"
    return Report(
        data={
            "policy": name,
            "mode": mode,
            "out": str(out),
            "int8": int8,
            "frames": frames,
            "seed": seed,
            **asdict(found),
            **provenance(scenario),
        },
        tables=[
            Table(title, "", ("", "share of the optimum", "outage"), shares),
            _apart(QUANTITIES, found.differences),
        ],
        notes=[
            f"{found.frames_apart} frames differ by more than {NEAR:g}.",
            f"{out}: the AP's part; {out}/users/I: that of user I, from 0.",
        ],
    )


def run_learner(name: str, out: Path, *, of_seed: int | None, frames: int, seed: int) -> Report:
    """Write the bundle of a run of Algorithm 1, and compare it with the run's learner.

    Raises InputError for runs that cannot be exported.
    """
    trained = load_run(name)
    export_run.check_exportable(trained, name, of_seed)
    export_run.export_run(trained, out, name=name, seed=of_seed)
    found = compare_run(trained, out, of_seed=of_seed, frames=frames, seed=seed)
    exported = trained.seeds[0] if of_seed is None else of_seed
    return Report(
        data={
            "run": name,
            "algorithm": trained.algorithm,
            "of_seed": exported,
            "out": str(out),
            "frames": frames,
            "seed": seed,
            "differences": found,
            **provenance(trained.scenario),
        },
        tables=[_apart(LEARNED, found)],
        notes=[
            f"{name}, learner of seed {exported}, exported and compared on {frames:,} frames.",
            f"{out}: the AP's networks; {out}/users/I: user I, from 0. The AP's estimate needs JAX.",
        ],
    )


def _apart(names: Mapping[str, str], differences: Mapping[str, float]) -> Table:
    rows = tuple((names[quantity], f"{size:.1e}") for quantity, size in differences.items())
    return Table("Largest difference", "", ("of numbers above 1, relative", ""), rows)
