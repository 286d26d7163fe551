"""Answers from files and policies held against the certified optimum, for `scattermec score`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scattermec._version import __version__
from scattermec.cli.evaluate import POLICIES
from scattermec.cli.jobs.common import parameters_for, warn_without_kernel
from scattermec.cli.jobs.solve import FRAMES_AT_ONCE, frames_in, warn_of_frames
from scattermec.cli.output import Report, progress, provenance
from scattermec.environment import EnvState
from scattermec.errors import InputError
from scattermec.experiments.evaluate.benchmark_set import FILES, NAME, OPTIMA, SCENARIOS
from scattermec.experiments.evaluate.score import (
    OPTIMAL_GAP,
    Rows,
    reference_rows,
    score_rows,
    summary_of,
)
from scattermec.experiments.measure.table import Table
from scattermec.optimisation import INFEASIBLE
from scattermec.physics import Allocation, Parameters, maximum_ratio_beams, parameters_of
from scattermec.price_net import is_price_net
from scattermec.scenario import Scenario
from scattermec.storage import ArrayWriter, FrameChunk, FrameFile, open_arrays, open_frames
from scattermec.storage.answers import Answer, open_answer

Decided = tuple[jax.Array, Allocation]
"""Beams (k, N, M) and allocation of k frames."""

Decide = Callable[[Parameters, FrameChunk], Decided]

Lines = Mapping[str, Decide]
"""The lines of a leaderboard that an argument stands for, and how each decides."""


def run(
    source: FrameFile, frames: Path, answer: Answer, scenario: Scenario, out: Path | None, *, quiet: bool
) -> Report:
    """Score an answer to all frames of ``source``, the file ``frames``.

    With ``out`` an .npz file, also write the results of every frame there.
    """
    warn_without_kernel(True)
    parameters = parameters_for(scenario, source.num_users, source.num_antennas, str(frames))
    checked = source.check(np.asarray(parameters.battery_capacity))
    answer.check(np.asarray(parameters.slot_duration))
    parts = []
    with progress("Scoring", quiet=quiet) as update:
        for chunk in source.chunks(FRAMES_AT_ONCE):
            beams, allocation = _of_file(answer, parameters, chunk)
            reference = reference_rows(parameters, frames_in(chunk))
            parts.append(score_rows(parameters, frames_in(chunk), beams, allocation, reference))
            update(chunk.start + len(chunk.workload), source.num_frames)
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if out is not None and out.suffix == ".npz":
        kinds = {name: (row.shape[1:], row.dtype) for name, row in rows.items()}
        texts = {"scenario": scenario.to_yaml(), "version": __version__}
        with ArrayWriter(out, source.num_frames, kinds, texts) as writer:
            writer.append(rows)
    summary = summary_of(rows)
    warn_of_frames(scenario, source, checked.strong, infeasible=not summary["servable"])
    return Report(
        data={"answer": str(answer.path), **summary, **provenance(scenario)},
        tables=list(_tables(str(answer.path), summary)),
        values=_values(summary),
    )


def _of_file(answer: Answer, parameters: Parameters, chunk: FrameChunk) -> Decided:
    """The answer to the frames of a chunk, with the defaults of what it leaves out."""
    rows: dict[str, Any] = answer.rows(chunk.start, chunk.start + len(chunk.workload))
    slots = np.broadcast_to(np.asarray(parameters.slot_duration), chunk.workload.shape)
    beams = rows.pop("beams", None)
    if beams is None:
        along_channels = answer.along_channels or chunk.beams is None
        beams = np.zeros_like(chunk.channels) if along_channels else chunk.beams
    return jnp.asarray(beams), Allocation(**{"t_local": slots, **rows})


def _tables(name: str, summary: dict[str, Any]) -> Iterator[Table]:
    def shown(value: float | None, form: str, unit: str = "") -> str:
        return "-" if value is None else format(value, form) + unit

    frames = summary["frames"]
    rows = (
        ("Frames", f"{frames:,}"),
        ("Everyone served", f"{summary['all_served']:,} of {summary['servable']:,} where that is possible"),
        (f"of these optimal, to {OPTIMAL_GAP:g}", f"{summary['optimal']:,}"),
        ("Their energy over the bound", shown(summary["over_bound"], ".3g")),
        ("Their largest gap", shown(summary["largest_gap"], ".3g")),
        ("Outage", f"{summary['outage']:.2%}"),
        ("Outage per user", ", ".join(f"{share:.2%}" for share in summary["outage_per_user"])),
        ("Mean energy", f"{summary['mean_energy']:.6g} J"),
        ("Mean reward", f"{summary['mean_reward']:.6g} kbit/J"),
        ("Mean of the best rewards", f"{summary['mean_best_reward']:.6g} kbit/J"),
        ("Share of the best reward", shown(summary["share"], ".3%")),
    )
    yield Table(name, "", ("", ""), rows)
    failing = {name: part for name, part in summary["constraints"].items() if part["failures"]}
    if failing:
        cells = tuple(
            (
                name,
                f"{part['failures']:,}",
                f"{part['largest']:.6g} {part['unit']}",
                f"{part['frame']}, {part['user']}",
            )
            for name, part in failing.items()
        )
        yield Table(
            "Constraints that fail", "", ("", "users in frames", "largest excess", "frame, user"), cells
        )


def _values(summary: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    yield ("quantity", "value")
    for name, value in summary.items():
        if isinstance(value, int | float | None):
            yield name, value
    for name, part in summary["constraints"].items():
        yield f"failures_{name}", part["failures"]
        yield f"largest_excess_{name}", part["largest"]


def run_set(folder: Path, frames: int, answers: Sequence[str], *, quiet: bool) -> Report:
    """Score folders of answers and policies on a set, a line each (price-net: per mode)."""
    lines_of = _all_lines(folder, answers)
    scored: dict[str, dict[str, dict[str, Any]]] = {}
    with progress("Scoring", quiet=quiet) as update:
        for done, (scenario, decisions) in enumerate(lines_of.items()):
            for line, summary in _scored(folder / scenario, decisions).items():
                scored.setdefault(line, {})[scenario] = summary
            update((done + 1) * frames, len(lines_of) * frames)
    lines = [_line(name, summaries) for name, summaries in scored.items()]
    cells = tuple(
        (
            line["answers"],
            *(_percent(summary["share"]) for summary in line["scenarios"].values()),
            _percent(line["share"]),
            f"{100 * line['outage']:.2f}",
        )
        for line in lines
    )
    columns = ("", *SCENARIOS, "mean", "outage, %")
    title = f"{NAME}, {frames:,} frames per scenario: share of the best reward, %"
    return Report(
        data={"set": NAME, "frames": frames, "version": __version__, "lines": lines},
        tables=[Table(title, "", columns, cells)],
        values=_set_values(lines),
    )


def _line(name: str, summaries: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A line of the leaderboard; its means are over the scenarios."""
    shares = [summary["share"] for summary in summaries.values()]
    return {
        "answers": name,
        "share": None if None in shares else float(np.mean(shares)),
        "outage": float(np.mean([summary["outage"] for summary in summaries.values()])),
        "scenarios": summaries,
    }


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"


def _set_values(lines: Sequence[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
    yield ("answers", "scenario", "share", "outage")
    for line in lines:
        for scenario, summary in line["scenarios"].items():
            yield line["answers"], scenario, summary["share"], summary["outage"]
        yield line["answers"], "mean", line["share"], line["outage"]


def _all_lines(folder: Path, answers: Sequence[str]) -> dict[str, Lines]:
    """The lines of each scenario; raises InputError with the faults of all files."""
    found: dict[str, Lines] = {}
    faults: list[str] = []
    for name in SCENARIOS:
        scenario, source = Scenario.load(folder / name / FILES[0]), open_frames(folder / name / FILES[1])
        lines: dict[str, Decide] = {}
        for answer in answers:
            try:
                lines |= _lines(answer, name, scenario, source)
            except InputError as error:
                faults += error.faults
        found[name] = lines
    if faults:
        raise InputError(faults)
    return found


def _scored(folder: Path, decisions: Lines) -> dict[str, dict[str, Any]]:
    """Summaries of all lines in the scenario of a set that is in this folder."""
    source = open_frames(folder / FILES[1])
    parameters = parameters_of(Scenario.load(folder / FILES[0]))
    (chunk,) = source.chunks(source.num_frames)
    reference = _kept_reference(folder)
    found = {}
    for line, decide in decisions.items():
        beams, allocation = decide(parameters, chunk)
        found[line] = summary_of(score_rows(parameters, frames_in(chunk), beams, allocation, reference))
    return found


def _kept_reference(folder: Path) -> Rows:
    """What is proved about the frames of a scenario, from the files of its optima."""
    everyone = open_arrays(folder / OPTIMA["all"]).load(["lower_bound", "status"])
    best = open_arrays(folder / OPTIMA["best"]).load(["reward", "reward_bound"])
    return {
        "lower_bound": everyone["lower_bound"],
        "best_reward": best["reward"],
        "reward_bound": best["reward_bound"],
        "servable": everyone["status"] != INFEASIBLE,
    }


def _lines(answer: str, name: str, scenario: Scenario, source: FrameFile) -> Lines:
    """The lines of a folder of answers, or of a policy."""
    if answer in POLICIES or is_price_net(answer):
        from scattermec.cli.jobs.evaluate import contenders_of  # needs the extra `learning`

        return {line: partial(_of_policy, decide) for line, decide in contenders_of(answer, scenario).items()}
    files = [path for end in (".npz", ".mat", "") if (path := Path(answer) / f"{name}{end}").exists()]
    if len(files) != 1:
        which = "several" if files else "no"
        raise InputError([f"{answer}: has {which} answers to {name}; it must have {name}.npz or {name}.mat"])
    opened = open_answer(files[0], source.num_frames, source.num_users, source.num_antennas)
    opened.check(np.asarray(parameters_of(scenario).slot_duration))
    return {answer: partial(_of_file, opened)}


def _of_policy(decide: Any, parameters: Parameters, chunk: FrameChunk) -> Decided:
    """What a policy decides in the first frame of an episode."""
    frames = frames_in(chunk)
    states = EnvState(
        frame=frames,
        observed_channels=frames.channels,
        observed_workload=frames.workload,
        beams=jax.vmap(maximum_ratio_beams)(frames.channels),
        scatter=frames.channels,
        time=jnp.zeros(len(chunk.workload), jnp.int32),
        trace_start=jnp.zeros(len(chunk.workload), jnp.int32),
    )
    decision = decide(jax.random.key(0), states)
    return decision.beams, decision.allocation
