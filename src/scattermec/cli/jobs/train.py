"""Training of a learner, for `scattermec train`."""

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import typer

from scattermec.agents.settings import PRESETS, TrainingConfig
from scattermec.cli.jobs.common import command_line, warn_of, warn_without_kernel
from scattermec.cli.output import Report, described_progress, provenance
from scattermec.experiments.measure.table import Table
from scattermec.training.folder import check_folder
from scattermec.training.metrics import Row, read
from scattermec.training.plan import Plan, read_run
from scattermec.training.run import Outcome, Progress, train
from scattermec.training.tensorboard import tensorboard as tensorboard_in

FRAMES = 20_000
"""Default, unless a resumed run has another."""


def configuration(name: str, changes: list[str] | None) -> TrainingConfig:
    """A preset, or the configuration in a file, with these settings changed."""
    config = TrainingConfig.preset(name) if name in PRESETS else TrainingConfig.load(Path(name))
    return config.with_settings(changes) if changes else config


def frames_before(out: Path, *, resume: bool) -> int:
    """Frames of the run to be resumed, or the default if there is none."""
    return read_run(out).plan.frames if resume and check_folder(out, resume=True) else FRAMES


def run(
    plan: Plan,
    out: Path,
    *,
    resume: bool,
    processes: int | None,
    save_every: int,
    tensorboard: bool,
    quiet: bool,
) -> Report:
    """Train in the folder ``out``."""
    warn_of(plan.scenario)
    warn_without_kernel(plan.scenario.harvest_model == "linear")
    begun = time.perf_counter()
    with ExitStack() as stack:
        show = stack.enter_context(described_progress("Compiling", quiet=quiet))
        sinks: list[Callable[[Progress], None]] = [lambda now: show(_latest(now.rows), now.done, now.total)]
        if tensorboard:
            write = stack.enter_context(tensorboard_in(out / "tensorboard"))
            sinks.append(lambda now: write(now.rows))

        def report(progress: Progress) -> None:
            for sink in sinks:
                sink(progress)

        outcome = train(
            plan,
            out,
            resume=resume,
            processes=processes,
            save_every=save_every,
            command=command_line(),
            report=report,
        )
    for note in outcome.notes:
        typer.echo(note, err=True)
    seconds, last = time.perf_counter() - begun, _last_rows(outcome)
    notes = [f"{outcome.played:,} frames in {seconds:.0f} s."] if outcome.played else []
    return Report(
        data={
            "algorithm": plan.algorithm,
            "config": plan.config.model_dump(mode="json"),
            "seeds": list(plan.seeds),
            "frames": plan.frames,
            "played": outcome.played,
            "seconds": seconds,
            "optimum": outcome.run.optimum,
            "last": last,
            "out": str(out),
            **provenance(plan.scenario),
        },
        tables=[_table(plan, last)],
        notes=[*notes, f"{out}: {'the run is finished' if notes else 'the run was finished already'}"],
    )


def _table(plan: Plan, rows: list[Row]) -> Table:
    cells = []
    for mode in _modes(rows):
        reward, outage, share = (_mean(rows, f"{name}.{mode}") for name in ("reward", "outage", "share"))
        cells.append((mode, f"{reward:.4g}", f"{outage:.2%}", "-" if math.isnan(share) else f"{share:.2%}"))
    many = f"{len(plan.seeds)} seeds" if len(plan.seeds) > 1 else f"seed {plan.seeds[0]}"
    title = f"{plan.algorithm}: {many} of {plan.frames:,} frames, greedy on held-out frames"
    return Table(title, "", ("", "reward (kbit/J)", "outage", "share of the optimum"), tuple(cells))


def _latest(rows: list[Row]) -> str:
    """Means over the seeds, for the learner's own mode of acting: the first one."""
    mode = _modes(rows)[0]
    reward, outage, share = (_mean(rows, f"{name}.{mode}") for name in ("reward", "outage", "share"))
    gap = "" if math.isnan(share) else f", {share:.1%} of the optimum"
    return f"Reward {reward:.1f} kbit/J, outage {outage:.1%}{gap}"


def _modes(rows: list[Row]) -> list[str]:
    return [name.removeprefix("share.") for name in rows[0] if name.startswith("share.")]


def _mean(rows: list[Row], name: str) -> float:
    return sum(row[name] for row in rows) / len(rows)


def _last_rows(outcome: Outcome) -> list[Row]:
    """The last metrics of each seed."""
    run, rows = outcome.run, []
    for seeds in run.plan.blocks:
        rows += read(run.metrics(seeds))[-len(seeds) :]
    return rows
