"""`scattermec evaluate`: what a trained learner, or a policy that does not learn, is worth."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from scattermec._compilation import start_jax
from scattermec.cli.common import (
    JsonOption,
    ScenarioOption,
    SeedOption,
    SetOption,
    check_learning_installed,
    check_text_output,
    load_scenario,
    print_table,
    progress,
    provenance,
    to_json,
    warn_of,
    warn_without_kernel,
)
from scattermec.cli.price_net import (
    PRICE_NET,
    is_price_net,
    load_policy,
    tabulate_robustness,
    tabulate_unseen,
)
from scattermec.counts import MOST_FRAMES, MOST_SCENARIOS
from scattermec.errors import InputError
from scattermec.price_net import SHIPPED
from scattermec.scenario import Scenario
from scattermec.storage import replace_text

if TYPE_CHECKING:
    from scattermec.experiments.evaluate.evaluation import Evaluation, Row
    from scattermec.experiments.evaluate.policies import Contender
    from scattermec.experiments.measure.statistics import Estimate
    from scattermec.training import TrainedRun

CONTROLS = ("random", "mrt")
REFERENCES = ("optimum", "best-set")
POLICIES = (*CONTROLS, *REFERENCES)

REGIMES = {
    "learning": "While learning, exploration included: the last tenth of the run",
    "independent": "Independent frames",
    "rollout": "Rollouts that carry battery and backlog",
}
"""Titles of the tables, in their order."""

COLUMNS = (
    ("reward", "of_optimum", "of_best_set", "outage", "energy_efficiency"),
    ("ap_energy", "user_reward", "active_share", "passive_share", "local_share"),
)
"""Quantities of the two tables of a regime."""

PERCENTAGES = ("of_optimum", "of_best_set", "outage", "active_share", "passive_share", "local_share")


def evaluate(
    policy: Annotated[
        str,
        typer.Argument(
            metavar="DIR|POLICY",
            help="The folder of a training run; price-net, price-net-foresight or price-net-varied, "
            "as shipped; or a policy that does not learn: "
            "random, mrt, optimum or best-set.",
        ),
    ],
    frames: Annotated[
        int, typer.Option(min=1, max=MOST_FRAMES, metavar="K", help="Independent frames.")
    ] = 2000,
    rollout_frames: Annotated[
        int,
        typer.Option(
            min=0,
            max=MOST_FRAMES,
            metavar="K",
            help="Frames to count of the rollouts, for each seed of a learner; 0 leaves them out.",
        ),
    ] = 2000,
    seed: SeedOption = 0,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="price-net with an imperfect broadcast instead.")
    ] = False,
    unseen: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_SCENARIOS,
            metavar="K",
            help="price-net in K scenarios of other users, antennas, distances and powers instead.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write the results to this .json, .csv or .md file."),
    ] = None,
    scenario: ScenarioOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tabulate what policies achieve, next to controls and to what is provably optimal.

    In two regimes, in each of which all policies meet the same channels and arrivals:

    - independent frames, with fresh work and batteries. Here a reward is also given as a share, a ratio of
      means, of the certified optimum with everyone served where that is possible, and with the set of users
      that maximises the reward. Only the latter is a line that no policy can pass.
    - rollouts, in which every policy carries its own batteries and backlogs; the first 10 frames of each are
      not counted.

    A training run is evaluated in its own scenario unless another is given: greedily, in each mode of its
    learner and also as it was before training, and with what its metrics say of the last tenth of its frames.
    Random and maximum ratio beams, each with the AP's estimate, are the controls of every table.

    price-net acts in three modes: p1, in which the AP allocates exactly for the network's beams; announced,
    in which only the beams' times of that are broadcast, and users find the rest by themselves; and
    decentralised, in which the times come from a network, too. With --robustness the table is another: the
    last two modes with a broadcast of 8 bits a number, one frame late, or lost for one user. With --unseen,
    a policy that was trained on varied scenarios acts in some that it has not seen.

    The 95% intervals are over the seeds of a learner that has several, else over frames or rollouts. The
    optima need harvest_model: linear; for another rectifier the tables go without them.

    Examples:

        scattermec evaluate mrt --set ap_power=2
        scattermec evaluate runs/maddpg --frames 10000 --out table.md
        scattermec evaluate runs/maddpg --set mean_workload=30 --json
        scattermec evaluate price-net --robustness --set correlation=0.9
    """
    if out is not None:
        check_text_output(out, (".json", ".csv", ".md"))
    check_learning_installed("evaluate")
    fixed, learned = policy in POLICIES, is_price_net(policy)
    if not fixed and not learned and not Path(policy).is_dir():
        names = ", ".join((*POLICIES, *SHIPPED))
        raise InputError([f"{policy}: is neither the folder of a training run nor one of {names}"])
    if robustness and not learned:
        raise InputError([f"robustness: {policy} is not price-net, which alone has a broadcast"])
    if unseen is not None:
        if not learned:
            raise InputError([f"unseen: {policy} is not price-net, which alone can learn of many scenarios"])
        if out is not None:
            check_text_output(out, (".json", ".md"))
    chosen = load_scenario(scenario, settings) if fixed or policy in SHIPPED or scenario else None
    start_jax(lightly=True)
    if unseen is not None:
        warn_without_kernel(True)
        tabulate_unseen(policy, scenarios=unseen, frames=frames, seed=seed, out=out, as_json=as_json)
        return
    if learned:
        subject = _price_net(policy, chosen, settings)
    elif fixed:
        assert chosen is not None
        subject = _fixed(policy, chosen)
    else:
        subject = _trained_run(policy, chosen, settings)
    chosen = subject.scenario
    warn_of(chosen, policy)
    warn_without_kernel(chosen.harvest_model == "linear")
    if robustness:
        tabulate_robustness(policy, chosen, frames=frames, seed=seed, out=out, as_json=as_json)
        return
    from scattermec.experiments.evaluate import evaluation

    rows, contenders = [*subject.rows], _with_references(subject)
    with progress("Evaluating", quiet=as_json) as update:
        result = evaluation.evaluate(
            chosen, contenders, frames=frames, rollout_frames=rollout_frames, seed=seed, progress=update
        )
    rows += result.rows
    options = {"evaluated": policy, "frames": frames, "rollout_frames": rollout_frames, "seed": seed}
    report = to_json({**options, **_report(subject, rows, result), **provenance(chosen)}) + "\n"
    if out is not None:
        texts = {".json": lambda: report, ".csv": lambda: _csv(rows), ".md": lambda: _markdown(rows, options)}
        replace_text(out, texts[out.suffix]())
    if as_json:
        typer.echo(report, nl=False)
    else:
        _print(rows, options)
    _warn(result, chosen)


class _Subject(NamedTuple):
    """What is evaluated, and in which scenario."""

    scenario: Scenario
    contenders: "list[Contender]"
    learner: dict[str, Any] | None = None
    """what the report says of a learner; None for a policy that does not learn"""
    rows: "tuple[Row, ...]" = ()
    """what is known of it already"""


def _fixed(policy: str, scenario: Scenario) -> _Subject:
    from scattermec.experiments.evaluate.policies import fixed_contenders

    return _Subject(scenario, fixed_contenders(scenario, [policy] if policy in REFERENCES else []))


def _trained_run(folder: str, scenario: Scenario | None, settings: list[str] | None) -> _Subject:
    """The learner before and after training, in the scenario of the run unless another is given."""
    from scattermec.experiments.evaluate.evaluation import while_learning
    from scattermec.experiments.evaluate.policies import check_fit, learned_contenders

    run = _load_run(Path(folder))
    chosen = scenario or run.scenario.with_settings(settings or ())
    check_fit(run, chosen, folder)
    about = {"algorithm": run.algorithm, "seeds": run.seeds, "frames": run.frames}
    rows = (while_learning(run, Path(folder)),)
    return _Subject(chosen, learned_contenders(run, chosen), about, rows)


def _load_run(folder: Path) -> "TrainedRun":
    from scattermec.training import load_run

    return load_run(folder)


def _price_net(name: str, scenario: Scenario | None, settings: list[str] | None) -> _Subject:
    """The same for price-net."""
    from scattermec.experiments.evaluate.policies import price_net_contenders

    policy = load_policy(name)
    chosen = scenario or policy.scenario.with_settings(settings or ())
    about = {"algorithm": PRICE_NET, "seeds": (policy.seed,), "frames": policy.frames}
    return _Subject(chosen, price_net_contenders(policy, chosen), about)


def _with_references(subject: _Subject) -> "list[Contender]":
    """Controls, what is evaluated, and the references of a learner, where they exist."""
    from scattermec.experiments.evaluate.policies import fixed_contenders

    scenario = subject.scenario
    wanted = subject.learner is not None and scenario.harvest_model == "linear"
    references = fixed_contenders(scenario, REFERENCES if wanted else ())
    return fixed_contenders(scenario, CONTROLS) + subject.contenders + references


def _report(subject: _Subject, rows: "Sequence[Row]", result: "Evaluation") -> dict[str, Any]:
    from scattermec.experiments.evaluate.evaluation import QUANTITIES
    from scattermec.experiments.measure.rollouts import WARM_UP

    units = {quantity.name: quantity.unit for quantity in QUANTITIES}
    return {
        "run": subject.learner,
        "warm_up": WARM_UP,
        "references": {
            name: {"unsettled": proved.unsettled, "gap": proved.gap}
            for name, proved in result.certificates.items()
        },
        "rows": [
            {
                "regime": row.regime,
                "policy": row.policy,
                "mode": row.mode,
                "trained": row.trained,
                "seeds": row.seeds,
                "intervals_over": row.over,
                "estimates": {
                    name: {**estimate._asdict(), "unit": units[name]}
                    for name, estimate in row.estimates.items()
                },
            }
            for row in rows
        ],
    }


def _csv(rows: "Iterable[Row]") -> str:
    from scattermec.experiments.evaluate.evaluation import QUANTITIES

    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    keys = ("regime", "policy", "mode", "trained", "seeds", "intervals_over")
    table.writerow((*keys, "quantity", "unit", "mean", "low", "high"))
    for row in rows:
        about = (row.regime, row.policy, row.mode, row.trained, row.seeds, row.over)
        for quantity in QUANTITIES:
            if quantity.name in row.estimates:
                table.writerow((*about, quantity.name, quantity.unit, *row.estimates[quantity.name]))
    return text.getvalue()


def _markdown(rows: "Sequence[Row]", options: dict[str, Any]) -> str:
    lines = ["# Evaluation", "", _about(rows, options), ""]
    for regime, part in _by_regime(rows):
        names = [name for table in COLUMNS for name in table if name in part[0].estimates]
        lines += [f"## {_title(regime, options)}", "", f"| | {' | '.join(map(_heading, names))} |"]
        lines.append(f"|---|{'---:|' * len(names)}")
        for row in part:
            cells = ("<br>".join(_cell(name, row.estimates[name])) for name in names)
            lines.append(f"| {', '.join(_label(row))} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def _print(rows: "Sequence[Row]", options: dict[str, Any]) -> None:
    typer.echo(_about(rows, options) + "\n")
    for regime, part in _by_regime(rows):
        for index, columns in enumerate(COLUMNS):
            names = [name for name in columns if name in part[0].estimates]
            headings = ("", *map(_heading, names))
            cells = [
                ("\n".join(_label(row)), *("\n".join(_cell(name, row.estimates[name])) for name in names))
                for row in part
            ]
            title = _title(regime, options)
            print_table(title if not index else f"{title}: energy and work", headings, cells)


def _about(rows: "Sequence[Row]", options: dict[str, Any]) -> str:
    """What was evaluated, and what the intervals mean."""
    learned = next((row for row in rows if row.trained is not None), None)
    if learned is None:
        return f"{options['evaluated']}, seed {options['seed']}: 95% intervals over frames or rollouts"
    several = learned.seeds > 1
    over = (
        f"its {learned.seeds} seeds, for others over frames or rollouts" if several else "frames or rollouts"
    )
    whose = "" if learned.policy == options["evaluated"] else f" of {options['evaluated']}"
    return f"{learned.policy}{whose}, seed {options['seed']}: 95% intervals over {over}"


def _by_regime(rows: "Sequence[Row]") -> "list[tuple[str, list[Row]]]":
    parts = [(regime, [row for row in rows if row.regime == regime]) for regime in REGIMES]
    return [(regime, part) for regime, part in parts if part]


def _title(regime: str, options: dict[str, Any]) -> str:
    counts = {"independent": options["frames"], "rollout": options["rollout_frames"]}
    return REGIMES[regime] + (f": {counts[regime]:,}" if regime in counts else "")


def _heading(name: str) -> str:
    from scattermec.experiments.evaluate.evaluation import QUANTITIES

    quantity = next(quantity for quantity in QUANTITIES if quantity.name == name)
    unit = "%" if name in PERCENTAGES else quantity.unit
    return f"{quantity.description}, {unit}" if unit else quantity.description


def _label(row: "Row") -> tuple[str, ...]:
    if row.trained is None:
        return (f"{row.policy} + P1" if row.policy in CONTROLS else row.policy,)
    return row.mode or row.policy, f"frame {row.trained:,}"


def _cell(name: str, estimate: "Estimate") -> tuple[str, str]:
    """The mean and its interval, as texts; a dash or nothing where they are unknown."""
    scale = 100 if name in PERCENTAGES else 1
    mean, low, high = (number * scale for number in estimate)
    interval = "" if math.isnan(low) else f"{low:.3g}-{high:.3g}"
    return "-" if math.isnan(mean) else f"{mean:.4g}", interval


def _warn(result: "Evaluation", scenario: Scenario) -> None:
    if scenario.harvest_model != "linear":
        typer.echo(
            f"No shares of the optimum: harvest_model is {scenario.harvest_model!r}, and optimal beams need "
            "'linear'.",
            err=True,
        )
    for name, proved in result.certificates.items():
        typer.echo(f"Without a verdict in {name}: {proved.unsettled} of the independent frames.", err=True)
