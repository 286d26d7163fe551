"""`scattermec train` and `train-price-net`: training in a folder, which can be resumed at any moment."""

from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from scattermec import _processes
from scattermec._compilation import start_jax
from scattermec.cli import options
from scattermec.cli.checks import check_installed
from scattermec.counts import MOST_FRAMES, MOST_PROCESSES, MOST_SEED, MOST_SEEDS, MOST_STEPS
from scattermec.errors import InputError
from scattermec.price_net import ALGORITHM as PRICE_NET
from scattermec.price_net import is_price_net
from scattermec.training.folder import check_folder

PRESETS = ("paper", "tuned", "corrections")
Algorithm = Literal["h-maddpg-opt", "h-maddpg", "ap-ddpg", "ddpg"]


def train(
    algorithm: Annotated[Algorithm, typer.Argument(metavar="ALGORITHM", help=", ".join(get_args(Algorithm)))],
    config: Annotated[
        str,
        typer.Option(
            metavar="CONFIG",
            help="paper: Table I to the letter; tuned: our improved settings; corrections: these, with users "
            "that correct the AP's estimate; or a YAML or JSON file with the differences from paper.",
        ),
    ] = "tuned",
    training: options.TrainingSettings = None,
    scenario: options.ScenarioFile = None,
    settings: options.Settings = None,
    seeds: Annotated[int, options.count("N", MOST_SEEDS, "Independent trainings.")] = 1,
    first_seed: Annotated[
        int, options.count("S", MOST_SEED, "The first seed; the rest follow.", least=0)
    ] = 0,
    frames: Annotated[
        int | None,
        options.count("K", MOST_FRAMES, "Frames of each seed.  [default: 20000, with --resume as before]"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the run.  [default: runs/ALGORITHM-CONFIG]")
    ] = None,
    resume: options.Resume = False,
    processes: Annotated[
        int | None,
        options.count(
            "P",
            MOST_PROCESSES,
            "Processes that train side by side, four seeds each at a time.  [default: as many as "
            "there are cores, or fours of seeds]",
        ),
    ] = None,
    save_every: Annotated[int, options.count("F", MOST_FRAMES, "Frames between checkpoints.")] = 2000,
    tensorboard: Annotated[
        bool,
        typer.Option("--tensorboard", help="Also write the metrics for TensorBoard, to DIR/tensorboard."),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Train a learner, from scratch or from where it was interrupted.

    ALGORITHM is h-maddpg-opt (the paper's Algorithm 1), h-maddpg (the same without optimisation), ap-ddpg
    (the access point alone, its estimate executed) or ddpg (one agent that decides everything).

    DIR will hold the request (run.json, scenario.yaml, training.yaml), the learners' state (checkpoints) and,
    for every 250 frames of every seed, metrics in Parquet: rewards, outage, losses, and the greedy policies'
    results on 64 held-out frames, as shares of their certified optimum.

    An interrupted run, even a killed one, continues to the same digits when the same command is given with
    `--resume`. More `--frames` prolong a finished run.

    Examples:

        scattermec train h-maddpg-opt --seeds 8
        scattermec train h-maddpg --config paper --seeds 8 --frames 5000 --out runs/paper
        scattermec train ap-ddpg --train critic_learning_rate=3e-4 --set ap_power=2 --resume
    """
    if config not in PRESETS and not Path(config).is_file():
        raise InputError([f"config: {config} is none of {', '.join(PRESETS)}, and no file"])
    if first_seed + seeds > 2**32:
        raise InputError([f"seeds: the last one is {first_seed + seeds - 1}; it must be < 2^32"])
    chosen = options.load_scenario(scenario, settings)
    out = out or Path("runs") / f"{algorithm}-{config if config in PRESETS else Path(config).stem}"
    check_installed("learning", "learning", *(["tensorboard"] if tensorboard else []))
    check_folder(out, resume=resume)
    _processes.use_one_thread()
    start_jax()
    from scattermec.cli.jobs import train as job

    plan = job.Plan(
        algorithm=algorithm,
        scenario=chosen,
        config=job.configuration(config, training),
        seeds=tuple(range(first_seed, first_seed + seeds)),
        frames=frames or job.frames_before(out, resume=resume),
    )
    report = job.run(
        plan,
        out,
        resume=resume,
        processes=processes,
        save_every=save_every,
        tensorboard=tensorboard,
        quiet=as_json,
    )
    report.put_out(as_json=as_json)


def train_price_net(
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Training configuration in YAML or JSON: the differences from default."
        ),
    ] = None,
    training: options.TrainingSettings = None,
    scenario: options.ScenarioFile = None,
    settings: options.Settings = None,
    steps: Annotated[
        int | None,
        options.count(
            "K", MOST_STEPS, "Steps, of a batch of frames each.  [default: 20000, with --resume as before]"
        ),
    ] = None,
    seed: Annotated[int, options.count("S", MOST_SEED, "Seed of networks and frames.", least=0)] = 0,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the run.")] = Path("runs/price-net"),
    resume: options.Resume = False,
    as_json: options.Json = False,
) -> None:
    """Train price-net, from scratch or from where it was interrupted.

    A network sets prices, and optimal beams follow from them; it is trained by the gradient of the optimum.

    DIR will hold the request (run.json, scenario.yaml, training.yaml), the state of the training, the
    networks alone (policy.npz), and metrics in Parquet: losses, and results on held-out frames or rollouts.
    DIR can be named wherever a command takes a policy.

    An interrupted run, even a killed one, continues to the same digits when the same command is given with
    `--resume`. `--steps` is part of a run, since the learning
    rate falls to 0 by the last one: more steps need a run of their own.

    Examples:

        scattermec train-price-net --steps 5000 --set ap_power=2
        scattermec train-price-net --train discount=1 --steps 10000     # with a view to later frames
    """
    chosen = options.load_scenario(scenario, settings)
    check_installed("train-price-net", "learning")
    if check_folder(out, resume=resume) and not is_price_net(str(out)):
        raise InputError([f"{out}: is not a run of {PRICE_NET}; name another folder"])
    _processes.use_one_thread()
    start_jax()
    from scattermec.cli.jobs import price_net as job

    report = job.train(
        chosen,
        job.configuration(config, training),
        out,
        steps=steps or job.steps_before(out, resume=resume),
        seed=seed,
        resume=resume,
        quiet=as_json,
    )
    report.put_out(as_json=as_json)
