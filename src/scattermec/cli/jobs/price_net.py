"""Simulation, evaluation and training of price-net. Needs the extra `learning`."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import typer

from scattermec.cli.jobs.common import command_line, warn_of, warn_without_kernel
from scattermec.cli.jobs.simulate import report_of
from scattermec.cli.output import Report, described_progress, progress, provenance
from scattermec.errors import InputError
from scattermec.experiments.evaluate.broadcast import ANNOUNCEMENTS, VARIANTS, measure_robustness
from scattermec.experiments.evaluate.policies import deciding
from scattermec.experiments.evaluate.unseen import UnseenRow, measure_unseen
from scattermec.experiments.measure.rollouts import simulate_policy
from scattermec.experiments.measure.statistics import Estimate, mean_interval
from scattermec.experiments.measure.table import Table
from scattermec.physics import parameters_of
from scattermec.price_net import ALGORITHM as PRICE_NET
from scattermec.price_net import PriceNetConfig, load, runs
from scattermec.price_net.modes import MODES, decide_frames, modes_of
from scattermec.price_net.registry import check_fit
from scattermec.scenario import Scenario
from scattermec.training.folder import check_folder
from scattermec.training.metrics import Row

BROADCAST = ("mode", "broadcast", "reward (kbit/J)", "share of the optimum", "outage")

STEPS = 20_000
"""Default, unless a resumed run has another; price-net was shipped after training with all defaults."""

COLUMNS = {
    "reward": ("reward (kbit/J)", ".4g"),
    "efficiency": ("work over energy (kbit/J)", ".4g"),
    "outage": ("outage", ".2%"),
    "share": ("share of the optimum", ".2%"),
}
"""Columns of the table of held-out frames or rollouts: heading and format."""


def simulate(
    name: str, mode: str | None, scenario: Scenario, *, frames: int, seed: int, quiet: bool
) -> Report:
    """Simulate; raises InputError if the scenario or mode does not fit the policy."""
    warn_of(scenario, name)
    trained = load(name)
    check_fit(trained, scenario)
    modes = modes_of(trained.network)
    mode = mode or next(iter(modes))
    if mode not in modes:
        raise InputError([f"mode: {mode} is not one of {name}; it must be {' or '.join(modes)}"])
    decide = deciding(partial(decide_frames, mode, trained.network, parameters_of(scenario)))
    with progress("Simulating", quiet=quiet) as update:
        result = simulate_policy(scenario, decide, num_frames=frames, seed=seed, progress=update)
    return report_of(result, {"policy": name, "mode": mode, "seed": seed}, scenario)


def evaluate_broadcast(
    name: str, given: Scenario | None, settings: Sequence[str], *, frames: int, seed: int
) -> Report:
    """Measure, in the policy's training scenario unless another is ``given``.

    Raises InputError for a policy without the modes that have a broadcast.
    """
    policy = load(name)
    scenario = given or policy.scenario.with_settings(settings)
    if not set(ANNOUNCEMENTS) <= set(modes_of(policy.network)):
        line = f"{name}: is not allowed; it must have the modes {' and '.join(ANNOUNCEMENTS)}"
        raise InputError([line])
    warn_of(scenario, name)
    warn_without_kernel(scenario.harvest_model == "linear")
    rows = measure_robustness(policy, scenario, frames=frames, seed=seed)
    cells = tuple(
        (
            row.mode,
            "" if row.mode == "optimum" else VARIANTS[row.variant],
            f"{row.reward.mean:.4g}",
            f"{row.share:.2%}",
            f"{row.outage:.2%}",
        )
        for row in rows
    )
    title = f"{name} with an imperfect broadcast: {frames:,} frames, seed {seed}, 95% intervals over frames"
    options = {"evaluated": name, "frames": frames, "seed": seed}
    return Report(
        data={**options, "rows": [asdict(row) for row in rows], **provenance(scenario)},
        tables=[Table(title, "", BROADCAST, cells)],
        values=[
            ("mode", "broadcast", "quantity", "mean", "low", "high"),
            *(
                (row.mode, row.variant, quantity, *getattr(row, quantity))
                for row in rows
                for quantity in ("reward", "share", "outage")
            ),
        ],
    )


def evaluate_unseen(name: str, *, scenarios: int, frames: int, seed: int, quiet: bool) -> Report:
    """Measure; raises InputError if the policy was trained for one number of users or antennas."""
    warn_without_kernel(True)
    policy = load(name)
    with progress("Evaluating", quiet=quiet) as update:
        rows = measure_unseen(policy, scenarios=scenarios, frames=frames, seed=seed, progress=update)
    means = {mode: mean_interval([row.shares[mode].mean for row in rows]) for mode in rows[0].shares}
    options = {"evaluated": name, "frames": frames, "seed": seed, "means": means}
    described = [asdict(row) | {"scenario": row.scenario.model_dump(mode="json")} for row in rows]
    title = f"{name} in scenarios drawn with seed {seed}: {frames:,} frames each, 95% intervals"
    return Report(
        data={**options, "rows": described},
        tables=[_unseen_table(title, rows, means)],
        values=_unseen_values(rows),
    )


def _unseen_table(title: str, rows: Sequence[UnseenRow], means: Mapping[str, Estimate]) -> Table:
    acting = (*means, "optimum")
    cells = [
        (
            f"{row.scenario.num_users} users, {row.scenario.num_antennas} antennas, "
            f"{row.scenario.ap_power:.3g} W",
            *(f"{share:.2%}" for share in row.shares.values()),
            *(f"{row.outages[mode].mean:.1%}" for mode in acting),
        )
        for row in rows
    ]
    cells.append(("mean over scenarios", *(f"{mean:.2%}" for mean in means.values()), *[""] * len(acting)))
    shares, outages = (f"{mode}: share" for mode in means), (f"{mode}: outage" for mode in acting)
    return Table(title, "", ("scenario", *shares, *outages), tuple(cells))


def _unseen_values(rows: Sequence[UnseenRow]) -> Iterator[tuple[Any, ...]]:
    yield ("users", "antennas", "ap_power", "mode", "quantity", "mean", "low", "high")
    for row in rows:
        about = (row.scenario.num_users, row.scenario.num_antennas, row.scenario.ap_power)
        for quantity, found in (("share", row.shares), ("outage", row.outages)):
            for mode, estimate in found.items():
                yield (*about, mode, quantity, *estimate)


def configuration(path: Path | None, changes: list[str] | None) -> PriceNetConfig:
    """The default configuration, or that in a file, with these settings changed."""
    config = PriceNetConfig.load(path) if path else PriceNetConfig()
    return config.with_settings(changes) if changes else config


def steps_before(out: Path, *, resume: bool) -> int:
    """Steps of the run to be resumed, or the default if there is none."""
    return runs.steps_of(out) if resume and check_folder(out, resume=True) else STEPS


def train(
    scenario: Scenario, config: PriceNetConfig, out: Path, *, steps: int, seed: int, resume: bool, quiet: bool
) -> Report:
    """Train in the folder ``out``."""
    warn_of(scenario)
    begun, size = time.perf_counter(), config.batch_size
    with described_progress("Compiling", quiet=quiet) as show:
        rows, notes = runs.train(
            scenario,
            config,
            out,
            steps=steps,
            seed=seed,
            resume=resume,
            command=command_line(),
            report=lambda new: show(_latest(new[-1]), int(new[-1]["frame"]) * size, steps * size),
        )
    for note in notes:
        typer.echo(note, err=True)
    seconds, last = time.perf_counter() - begun, rows[-1]
    modes = _modes(last)
    columns = [name for name in COLUMNS if f"{name}.{modes[0]}" in last]
    cells = [(mode, *(f"{last[f'{name}.{mode}']:{COLUMNS[name][1]}}" for name in columns)) for mode in modes]
    what = "held-out rollouts" if "efficiency" in columns else f"{runs.HELD_OUT} held-out frames"
    title = f"{PRICE_NET}: seed {seed}, {steps:,} steps of {size} frames, on {what}"
    return Report(
        data={
            "algorithm": PRICE_NET,
            "out": str(out),
            "config": config.model_dump(mode="json"),
            "seed": seed,
            "steps": steps,
            "seconds": seconds,
            "last": last,
            **provenance(scenario),
        },
        tables=[Table(title, "", ("", *(COLUMNS[name][0] for name in columns)), tuple(cells))],
        notes=[f"{out}: the run is finished; {seconds:.0f} s."],
    )


def _latest(row: Row) -> str:
    losses = f"Loss {row['loss.beams']:.4f} and {row['loss.times']:.4f}"
    if "efficiency.p1" in row:
        return f"{losses}; {row['efficiency.p1']:.4g} kbit/J with {row['outage.p1']:.2%} in outage"
    shares = ", ".join(f"{mode} {row[f'share.{mode}']:.2%}" for mode in _modes(row))
    return f"{losses}; of the optimum: {shares}"


def _modes(row: Row) -> list[str]:
    return [mode for mode in MODES if f"outage.{mode}" in row]
