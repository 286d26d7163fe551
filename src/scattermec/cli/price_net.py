"""What the commands do with price-net: train it, and find its policies by name or folder."""

import csv
import io
import shlex
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from scattermec import price_net
from scattermec._compilation import start_jax
from scattermec.cli.common import (
    check_learning_installed,
    described_progress,
    print_table,
    progress,
    provenance,
    to_json,
    warn_of,
)
from scattermec.errors import InputError
from scattermec.price_net import SHIPPED
from scattermec.scenario import Scenario
from scattermec.storage import replace_text
from scattermec.storage.texts import read_object
from scattermec.training.folder import RUN, check_folder

if TYPE_CHECKING:
    from scattermec.experiments.evaluate.broadcast import RobustnessRow
    from scattermec.price_net import Policy, PriceNetConfig
    from scattermec.training.metrics import Row

PRICE_NET = "price-net"

STEPS = 20_000
"""With the other defaults: what the shipped policy was trained with."""


def is_price_net(name: str) -> bool:
    """Whether that is a shipped policy, or the folder of a training run of price-net. Without JAX."""
    if name in SHIPPED:
        return True
    try:
        return read_object(Path(name) / RUN).get("algorithm") == PRICE_NET
    except InputError:
        return False


def unknown_policy(name: str) -> str:
    """The line for a name that `is_price_net` does not recognise."""
    return f"{name}: is neither one of {', '.join(SHIPPED)} nor the folder of a training run of price-net"


def load_policy(name: str) -> "Policy":
    """The policy that `is_price_net` recognises. JAX must be in double precision."""
    return price_net.load(name)


def train_price_net(
    scenario: Scenario,
    *,
    config: Path | None,
    changes: list[str] | None,
    steps: int | None,
    seed: int,
    out: Path | None,
    resume: bool,
    as_json: bool,
) -> None:
    """Train price-net in a folder, and print what it reaches on held-out frames."""
    check_learning_installed("train")
    out = out or Path("runs") / PRICE_NET
    begun = check_folder(out, resume=resume)
    if begun and not is_price_net(str(out)):
        raise InputError([f"{out}: is not a run of price-net; name another folder"])
    from scattermec.training.workers import use_one_thread

    use_one_thread()
    start_jax(lightly=False)
    warn_of(scenario)
    from scattermec.price_net import PriceNetConfig, runs

    settings = PriceNetConfig.load(config) if config else PriceNetConfig()
    settings = settings.with_settings(changes) if changes else settings
    steps = steps or (runs.steps_of(out) if begun else STEPS)
    start, size = time.perf_counter(), settings.batch_size
    with described_progress("Compiling", quiet=as_json) as show:
        rows, notes = runs.train(
            scenario,
            settings,
            out,
            steps=steps,
            seed=seed,
            resume=resume,
            command=shlex.join(["scattermec", *sys.argv[1:]]),
            report=lambda new: show(_latest(new[-1]), int(new[-1]["frame"]) * size, steps * size),
        )
    for note in notes:
        typer.echo(note, err=True)
    seconds = time.perf_counter() - start
    if as_json:
        typer.echo(to_json(_report(out, settings, steps, seed, rows[-1], seconds) | provenance(scenario)))
    else:
        last = rows[-1]
        columns = [name for name in COLUMNS if f"{name}.{_modes(last)[0]}" in last]
        table = [
            (mode, *(f"{last[f'{name}.{mode}']:{COLUMNS[name][1]}}" for name in columns))
            for mode in _modes(last)
        ]
        what = "held-out rollouts" if "efficiency" in columns else f"{runs.HELD_OUT} held-out frames"
        title = f"{PRICE_NET}: seed {seed}, {steps:,} steps of {size} frames, on {what}"
        print_table(title, ("", *(COLUMNS[name][0] for name in columns)), table)
        typer.echo(f"{out}: the run is finished; {seconds:.0f} s.")


COLUMNS = {
    "reward": ("reward (kbit/J)", ".4g"),
    "efficiency": ("work over energy (kbit/J)", ".4g"),
    "outage": ("outage", ".2%"),
    "share": ("share of the optimum", ".2%"),
}
"""Of the table of held-out frames or rollouts: heading, and how each is written."""


def _latest(row: "Row") -> str:
    losses = f"Loss {row['loss.beams']:.4f} and {row['loss.times']:.4f}"
    if "efficiency.p1" in row:
        return f"{losses}; {row['efficiency.p1']:.4g} kbit/J with {row['outage.p1']:.2%} in outage"
    shares = ", ".join(f"{mode} {row[f'share.{mode}']:.2%}" for mode in _modes(row))
    return f"{losses}; of the optimum: {shares}"


def _modes(row: "Row") -> list[str]:
    from scattermec.price_net.policy import MODES

    return [mode for mode in MODES if f"outage.{mode}" in row]


def _report(
    out: Path, config: "PriceNetConfig", steps: int, seed: int, last: "Row", seconds: float
) -> dict[str, Any]:
    return {
        "algorithm": PRICE_NET,
        "out": str(out),
        "config": config.model_dump(mode="json"),
        "seed": seed,
        "steps": steps,
        "seconds": seconds,
        "last": last,
    }


def tabulate_robustness(
    name: str, scenario: Scenario, *, frames: int, seed: int, out: Path | None, as_json: bool
) -> None:
    """Print and keep what price-net is worth with an imperfect broadcast."""
    policy = load_policy(name)
    if policy.network.battery_value is not None:
        raise InputError([f"robustness: {name} is not allowed, since it has foresight; it must have none"])
    from scattermec.experiments.evaluate.broadcast import VARIANTS, measure_robustness

    rows = measure_robustness(policy, scenario, frames=frames, seed=seed)
    options = {"evaluated": name, "frames": frames, "seed": seed}
    report = to_json({**options, "rows": [asdict(row) for row in rows], **provenance(scenario)}) + "\n"
    cells = [
        (
            row.mode,
            "" if row.mode == "optimum" else VARIANTS[row.variant],
            f"{row.reward.mean:.4g}",
            *(f"{value.mean:.2%} ({value.low:.2%} to {value.high:.2%})" for value in (row.share, row.outage)),
        )
        for row in rows
    ]
    title = f"{name} with an imperfect broadcast: {frames:,} frames, seed {seed}, 95% intervals over frames"
    headings = ("mode", "broadcast", "reward (kbit/J)", "share of the optimum", "outage")
    if out is not None:
        texts = {".json": report, ".csv": _csv(rows), ".md": _markdown(title, headings, cells)}
        replace_text(out, texts[out.suffix])
    if as_json:
        typer.echo(report, nl=False)
    else:
        print_table(title, headings, cells)


def tabulate_unseen(
    name: str, *, scenarios: int, frames: int, seed: int, out: Path | None, as_json: bool
) -> None:
    """Print and keep what price-net is worth in scenarios that it has not seen."""
    from scattermec.experiments.evaluate.unseen import measure_unseen
    from scattermec.experiments.measure.statistics import mean_interval

    with progress("Evaluating", quiet=as_json) as update:
        rows = measure_unseen(
            load_policy(name), scenarios=scenarios, frames=frames, seed=seed, progress=update
        )
    modes = list(rows[0].shares)
    means = {mode: mean_interval([row.shares[mode].mean for row in rows]) for mode in modes}
    options = {"evaluated": name, "frames": frames, "seed": seed, "means": means}
    described = [asdict(row) | {"scenario": row.scenario.model_dump(mode="json")} for row in rows]
    report = to_json({**options, "rows": described}) + "\n"
    cells = [
        (
            f"{row.scenario.num_users} users, {row.scenario.num_antennas} antennas, "
            f"{row.scenario.ap_power:.3g} W",
            *(f"{value.mean:.2%} ({value.low:.2%} to {value.high:.2%})" for value in row.shares.values()),
            *(f"{row.outages[mode].mean:.1%}" for mode in (*modes, "optimum")),
        )
        for row in rows
    ]
    of_all = (f"{value.mean:.2%} ({value.low:.2%} to {value.high:.2%})" for value in means.values())
    cells.append(("mean over scenarios", *of_all, *[""] * (len(modes) + 1)))
    title = f"{name} in scenarios drawn with seed {seed}: {frames:,} frames each, 95% intervals"
    headings = ("scenario", *(f"{mode}: share" for mode in modes))
    headings += tuple(f"{mode}: outage" for mode in (*modes, "optimum"))
    if out is not None:
        texts = {".json": report, ".md": _markdown(title, headings, cells)}
        replace_text(out, texts[out.suffix])
    if as_json:
        typer.echo(report, nl=False)
    else:
        print_table(title, headings, cells)


def _csv(rows: "list[RobustnessRow]") -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("mode", "broadcast", "quantity", "mean", "low", "high"))
    for row in rows:
        for quantity in ("reward", "share", "outage"):
            table.writerow((row.mode, row.variant, quantity, *getattr(row, quantity)))
    return text.getvalue()


def _markdown(title: str, headings: tuple[str, ...], cells: list[tuple[str, ...]]) -> str:
    lines = [title, "", f"| {' | '.join(headings)} |", "|---|---|" + "---:|" * (len(headings) - 2)]
    lines += [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join(lines) + "\n"
