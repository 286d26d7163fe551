"""`scattermec train`: learners trained over many seeds, in a folder, to be resumed at any moment."""

import importlib.util
import math
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scattermec._compilation import start_jax
from scattermec.cli.common import (
    JsonOption,
    ScenarioOption,
    SetOption,
    check_learning_installed,
    described_progress,
    load_scenario,
    print_table,
    provenance,
    to_json,
    warn_of,
    warn_without_kernel,
)
from scattermec.cli.price_net import train_price_net
from scattermec.counts import MOST_FRAMES, MOST_PROCESSES, MOST_SEED, MOST_SEEDS, MOST_STEPS
from scattermec.errors import InputError
from scattermec.training.folder import check_folder

if TYPE_CHECKING:
    from scattermec.agents.settings import TrainingConfig
    from scattermec.training import Plan
    from scattermec.training.metrics import Row
    from scattermec.training.run import Outcome, Progress

FRAMES = 20_000
SAVE_EVERY = 2000


class Algorithm(StrEnum):
    """What learns."""

    H_MADDPG_OPT = "h-maddpg-opt"
    H_MADDPG = "h-maddpg"
    AP_DDPG = "ap-ddpg"
    DDPG = "ddpg"
    PRICE_NET = "price-net"


class Preset(StrEnum):
    """Named training configurations."""

    PAPER = "paper"
    TUNED = "tuned"


def train(
    algorithm: Annotated[Algorithm, typer.Argument(metavar="ALGORITHM", help=", ".join(Algorithm))],
    preset: Annotated[
        Preset | None,
        typer.Option(
            help="Training configuration: Table I to the letter, or what good engineering makes of it.  "
            "[default: tuned]",
            show_default=False,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Training configuration in YAML or JSON instead; else as in the preset paper.",
        ),
    ] = None,
    training: Annotated[
        list[str] | None,
        typer.Option(
            "--train",
            metavar="NAME=VALUE",
            help="Change one training setting, e.g. --train batch_size=32. Repeatable.",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_STEPS,
            metavar="K",
            help="Steps of price-net, of a batch of frames each.  [default: 20000, with --resume as before]",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=MOST_SEED,
            metavar="S",
            help="Seed of price-net's networks and frames.  [default: 0]",
            show_default=False,
        ),
    ] = None,
    scenario: ScenarioOption = None,
    settings: SetOption = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_SEEDS,
            metavar="N",
            help="Independent trainings.  [default: 1]",
            show_default=False,
        ),
    ] = None,
    first_seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=MOST_SEED,
            metavar="S",
            help="The first seed; the rest follow.  [default: 0]",
            show_default=False,
        ),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_FRAMES,
            metavar="K",
            help="Frames of each seed.  [default: 20000, with --resume as before]",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the run.  [default: runs/ALGORITHM-PRESET, runs/price-net]",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the folder, if there is one.")
    ] = False,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_PROCESSES,
            metavar="P",
            help="Processes that train side by side, four seeds each at a time.  [default: as many as "
            "there are cores, or fours of seeds]",
            show_default=False,
        ),
    ] = None,
    save_every: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_FRAMES,
            metavar="F",
            help="Frames between checkpoints.  [default: 2000]",
            show_default=False,
        ),
    ] = None,
    tensorboard: Annotated[
        bool,
        typer.Option("--tensorboard", help="Also write the metrics for TensorBoard, to DIR/tensorboard."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a learner, from scratch or from where it was interrupted.

    ALGORITHM is h-maddpg-opt (the paper's Algorithm 1), h-maddpg (the same without optimisation), ap-ddpg
    (the access point alone, its estimate executed) or ddpg (one agent that decides everything); or price-net,
    a network that sets prices, from which optimal beams follow, trained by the gradient of the optimum.

    DIR will hold what was asked for (run.json, scenario.yaml, training.yaml), the learners' state
    (checkpoints) and, for every 250 frames of every seed, metrics in Parquet: rewards, outage, losses, and
    how the greedy policies do on 64 frames that are not trained on, as shares of their certified optimum.

    An interrupted run, killed even, goes on where it was when the same command is given with `--resume`, to
    the same digits. More `--frames` prolong a finished one.

    price-net has settings of its own (--train, --config), `--steps` and `--seed` in place of `--frames` and
    `--seeds`, and neither presets nor processes; its folder also holds policy.npz, the networks alone.

    Examples:

        scattermec train h-maddpg-opt --seeds 8
        scattermec train h-maddpg --preset paper --seeds 8 --frames 5000 --out runs/paper
        scattermec train ap-ddpg --train critic_learning_rate=3e-4 --set ap_power=2 --resume
        scattermec train price-net --steps 5000 --set ap_power=2
        scattermec train price-net --train discount=1 --steps 10000     # with a view to later frames
    """
    price_net_options = {"steps": steps, "seed": seed}
    other_options = {
        "preset": preset,
        "seeds": seeds,
        "first-seed": first_seed,
        "frames": frames,
        "processes": processes,
        "save-every": save_every,
        "tensorboard": tensorboard or None,
    }
    is_price_net = algorithm is Algorithm.PRICE_NET
    _check_options(algorithm, other_options if is_price_net else price_net_options)
    if config is not None and preset is not None:
        raise InputError([f"preset: {preset} and --config {config} exclude each other; choose one"])
    seeds, first_seed = seeds or 1, first_seed or 0
    if first_seed + seeds > 2**32:
        raise InputError([f"seeds: the last one is {first_seed + seeds - 1}; it must be < 2^32"])
    chosen = load_scenario(scenario, settings)
    if is_price_net:
        train_price_net(
            chosen,
            config=config,
            changes=training,
            steps=steps,
            seed=seed or 0,
            out=out,
            resume=resume,
            as_json=as_json,
        )
        return
    name = config.stem if config is not None else str(preset or Preset.TUNED)
    out = out or Path("runs") / f"{algorithm}-{name}"
    _check_installed(tensorboard)
    check_folder(out, resume=resume)
    from scattermec.training.workers import use_one_thread

    use_one_thread()
    start_jax(lightly=False)
    warn_of(chosen)
    warn_without_kernel(chosen.harvest_model == "linear")
    from scattermec.training import Plan
    from scattermec.training import train as run

    if frames is None:
        frames = _frames_before(out) if resume else FRAMES
    plan = Plan(
        algorithm=str(algorithm),
        scenario=chosen,
        config=_configuration(preset, config, training),
        seeds=tuple(range(first_seed, first_seed + seeds)),
        frames=frames,
    )
    begun = time.perf_counter()
    with ExitStack() as stack:
        show = stack.enter_context(described_progress("Compiling", quiet=as_json))
        sinks: list[Callable[[Progress], None]] = [lambda now: show(_latest(now.rows), now.done, now.total)]
        if tensorboard:
            sinks.append(_tensorboard(stack, out / "tensorboard"))

        def report(progress: "Progress") -> None:
            for sink in sinks:
                sink(progress)

        outcome = run(
            plan,
            out,
            resume=resume,
            processes=processes,
            save_every=save_every or SAVE_EVERY,
            command=shlex.join(["scattermec", *sys.argv[1:]]),
            report=report,
        )
    for note in outcome.notes:
        typer.echo(note, err=True)
    last = _last_rows(outcome)
    seconds = time.perf_counter() - begun
    if as_json:
        told = _report(plan, outcome, last, seconds)
        typer.echo(to_json({**told, "out": str(out), **provenance(chosen)}))
    else:
        _print(plan, outcome, last, seconds)
        typer.echo(f"{out}: {'the run is finished' if outcome.played else 'the run was finished already'}")


def _check_options(algorithm: Algorithm, others: Mapping[str, object]) -> None:
    """Raise InputError for every option that was given but belongs to the other kind of training."""
    given = [name for name, value in others.items() if value is not None]
    if given:
        raise InputError([f"{name}: is not an option of {algorithm}" for name in given])


def _check_installed(tensorboard: bool) -> None:
    """Raise InputError naming what is not installed, without importing any of it."""
    faults: list[str] = []
    try:
        check_learning_installed("learning")
    except InputError as error:
        faults += error.faults
    if tensorboard and importlib.util.find_spec("tensorboardX") is None:
        faults.append("tensorboard: tensorboardX not installed; pip install 'scattermec[tensorboard]'")
    if faults:
        raise InputError(faults)


def _configuration(preset: Preset | None, path: Path | None, changes: list[str] | None) -> "TrainingConfig":
    from scattermec.agents.settings import TrainingConfig

    config = TrainingConfig.load(path) if path else TrainingConfig.preset(preset or Preset.TUNED)
    return config.with_settings(changes) if changes else config


def _frames_before(out: Path) -> int:
    """Frames of the run that is to be resumed, or the default where there is none."""
    from scattermec.training.plan import read_run

    return read_run(out).plan.frames if check_folder(out, resume=True) else FRAMES


def _tensorboard(stack: ExitStack, folder: Path) -> Callable[["Progress"], None]:
    from scattermec.training.tensorboard import tensorboard

    write = stack.enter_context(tensorboard(folder))
    return lambda progress: write(progress.rows)


def _latest(rows: list["Row"]) -> str:
    """Means over the seeds, of the learner's own way of acting: the first one."""
    mode = _modes(rows)[0]
    reward, outage, share = (_mean(rows, f"{name}.{mode}") for name in ("reward", "outage", "share"))
    gap = "" if math.isnan(share) else f", {share:.1%} of the optimum"
    return f"Reward {reward:.1f} kbit/J, outage {outage:.1%}{gap}"


def _modes(rows: list["Row"]) -> list[str]:
    return [name.removeprefix("share.") for name in rows[0] if name.startswith("share.")]


def _mean(rows: list["Row"], name: str) -> float:
    return sum(row[name] for row in rows) / len(rows)


def _last_rows(outcome: "Outcome") -> list["Row"]:
    """The last metrics of each seed."""
    from scattermec.training.metrics import read

    run, rows = outcome.run, []
    for seeds in run.plan.blocks:
        rows += read(run.metrics(seeds))[-len(seeds) :]
    return rows


def _report(plan: "Plan", outcome: "Outcome", rows: list["Row"], seconds: float) -> dict[str, Any]:
    return {
        "algorithm": plan.algorithm,
        "config": plan.config.model_dump(mode="json"),
        "seeds": list(plan.seeds),
        "frames": plan.frames,
        "played": outcome.played,
        "seconds": seconds,
        "optimum": outcome.run.optimum,
        "last": rows,
    }


def _print(plan: "Plan", outcome: "Outcome", rows: list["Row"], seconds: float) -> None:
    table: list[tuple[str, ...]] = []
    for mode in _modes(rows):
        share = _mean(rows, f"share.{mode}")
        table.append(
            (
                mode,
                f"{_mean(rows, f'reward.{mode}'):.4g}",
                f"{_mean(rows, f'outage.{mode}'):.2%}",
                "-" if math.isnan(share) else f"{share:.2%}",
            )
        )
    many = f"{len(plan.seeds)} seeds" if len(plan.seeds) > 1 else f"seed {plan.seeds[0]}"
    title = f"{plan.algorithm}: {many} of {plan.frames:,} frames, greedy on held-out frames"
    print_table(title, ("", "reward (kbit/J)", "outage", "share of the optimum"), table)
    if outcome.played:
        typer.echo(f"{outcome.played:,} frames in {seconds:.0f} s.")
