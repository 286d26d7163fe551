"""`scattermec score`: anyone's answers held against the certified optimum."""

from pathlib import Path
from typing import Annotated

import typer

from scattermec._compilation import start_jax
from scattermec.cli import options
from scattermec.cli.checks import (
    FORMS,
    check_installed,
    check_output,
    check_rectifier,
    is_price_net,
)
from scattermec.cli.evaluate import POLICIES
from scattermec.errors import InputError
from scattermec.experiments.evaluate.benchmark_set import RECORD, open_set
from scattermec.storage import open_frames
from scattermec.storage.answers import open_answer


def score(
    frames: Annotated[
        Path,
        typer.Argument(
            metavar="FRAMES",
            help="An .npz file, or a folder of .npy files; or the folder of a benchmark set.",
        ),
    ],
    answers: Annotated[
        list[str],
        typer.Argument(
            metavar="ANSWER...",
            help="An .npz or .mat file, or a folder of .npy files. For a benchmark set, one or more folders "
            "of answers, or policies: random, mrt, optimum, best-set, a shipped policy of price-net or the "
            "folder of its training run.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write the results to this .json, .csv, .md or .tex file, or those of every frame to "
            "this .npz file (not for a benchmark set).",
        ),
    ] = None,
    scenario: options.ScenarioFile = None,
    settings: options.Settings = None,
    as_json: options.Json = False,
) -> None:
    """Score anyone's beams and allocations against the certified optimum of their frames.

    FRAMES is what `scattermec solve` reads. ANSWER holds, for its K frames, N users and M antennas,

    - `t_active` and `t_passive` (K, N) in s, and `l_active`, `l_passive` and `l_local` (K, N) in kbit;
    - optionally `t_local` (K, N) in s, the time of local computing, by default the whole slot;
    - optionally `beams` (K, N, M) complex, of norm 1, or 0 for the beam along the user's channel; by default
      those of FRAMES, or else all along the channels.

    These are the names that `scattermec solve` writes, whose solution is an answer. All users' energies and
    rates, and with them success, follow from the model's equations, with a tolerance of 1e-6. For each
    constraint the table has the number of failures and the largest excess. The optimum is that of all beams
    and allocations: the least energy that serves everyone, and the highest reward of any set of users. The
    rectifier must be linear.

    With `--out FILE.npz`, per frame, (K): `energy` in J, `reward` in kbit/J; `lower_bound` in J on the energy
    of serving everyone (infinite if that is impossible), and `gap`, the distance to it relative to the energy
    (infinite unless everyone is served); `servable`, false where it is proved that not everyone can be
    served; `best_reward` in kbit/J, its bound `reward_bound`, and `reward_gap`, the distance to that relative
    to the bound. Per user, (K, N): `success`, and the excess over each constraint, 0 where it holds:
    `excess_slot` and `excess_local_time` in s, `excess_computing`, `excess_reflection` and `excess_workload`
    in kbit, `excess_energy` in mJ.

    A benchmark set is the folder that `scattermec benchmark-set` makes; a folder of answers has a file for
    each of its scenarios, such as `default.npz` or `default.mat`. Each of ANSWER gets a line, with its share
    of the best reward in each scenario. The set has its own constants.

    Examples:

        scattermec score frames.npz answer.mat
        scattermec score frames.npz answer.npz --out scored.npz --set ap_power=2
        scattermec score scattermec-1 my-answers/ mrt price-net-varied
    """
    if (frames / RECORD).is_file():
        _score_set(frames, answers, out, scenario is not None or bool(settings), as_json)
        return
    if len(answers) != 1:
        raise InputError([f"ANSWER: {len(answers)} are given; only a benchmark set takes more than one"])
    chosen = options.load_scenario(scenario, settings)
    check_rectifier(chosen, True)
    source = open_frames(frames)
    answer = open_answer(answers[0], source.num_frames, source.num_users, source.num_antennas)
    if out is not None and out.resolve() in (frames.resolve(), answer.path.resolve()):
        raise InputError([f"{out}: is an input; name another file"])
    check_output(out, (*FORMS, ".npz"))
    start_jax()
    from scattermec.cli.jobs.score import run

    report = run(source, frames, answer, chosen, out, quiet=as_json)
    report.put_out(as_json=as_json, out=None if out and out.suffix == ".npz" else out)


def _score_set(folder: Path, answers: list[str], out: Path | None, constants: bool, as_json: bool) -> None:
    if constants:
        raise InputError([f"{folder}: a benchmark set has its own constants; leave out --scenario and --set"])
    for name in answers:
        if name in POLICIES or is_price_net(name):
            check_installed(name, "learning")
        elif not Path(name).is_dir():
            raise InputError([f"{name}: is neither a folder of answers nor a policy"])
    check_output(out)
    frames = open_set(folder)
    start_jax()
    from scattermec.cli.jobs.score import run_set

    run_set(folder, frames, answers, quiet=as_json).put_out(as_json=as_json, out=out)
