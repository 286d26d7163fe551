"""`scattermec simulate`: what a scheme achieves in the long run."""

import csv
import io
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scattermec._compilation import start_jax
from scattermec.cli.common import (
    JsonOption,
    ScenarioOption,
    Scheme,
    SeedOption,
    SetOption,
    check_learning_installed,
    check_rectifier,
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
    unknown_policy,
)
from scattermec.counts import MOST_FRAMES
from scattermec.errors import InputError
from scattermec.scenario import Scenario
from scattermec.storage import replace_text

if TYPE_CHECKING:
    from scattermec.experiments.measure.rollouts import Decide, SimulationResult


class Beams(StrEnum):
    """How the AP chooses its beams."""

    MRT = "mrt"
    RANDOM = "random"
    OPTIMAL = "optimal"
    LEARNED = "learned"


class Mode(StrEnum):
    """How price-net acts."""

    P1 = "p1"
    ANNOUNCED = "announced"
    DECENTRALISED = "decentralised"


def simulate(
    scheme: Annotated[
        Scheme | None,
        typer.Option(
            help="Both links, the active or the passive one alone, or local computing only. Every scheme may "
            "beam for energy.  [default: hybrid]",
            show_default=False,
        ),
    ] = None,
    beams: Annotated[
        Beams | None,
        typer.Option(
            help="Beams along each user's own channel, drawn at random, optimised with the allocation, or "
            "those that price-net learned to choose.  [default: mrt]",
            show_default=False,
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="price-net|price-net-foresight|price-net-varied|DIR",
            help="A shipped policy, or the folder of a training run of price-net, instead of a scheme.",
            show_default=False,
        ),
    ] = None,
    mode: Annotated[
        Mode | None,
        typer.Option(
            help="How the policy acts: exact allocation at the AP, whose beam times alone are announced, or "
            "no optimisation at all.  [default: p1]",
            show_default=False,
        ),
    ] = None,
    frames: Annotated[
        int,
        typer.Option(
            min=1, max=MOST_FRAMES, metavar="K", help="Frames to count, shared by independent rollouts."
        ),
    ] = 2000,
    seed: SeedOption = 0,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write the results to this .json or .csv file."),
    ] = None,
    scenario: ScenarioOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Roll the system out under the optimal allocation, or a trained policy, and tabulate what it achieves.

    Batteries and backlogs carry over from frame to frame. In each frame everyone is served where that is
    possible, else the set of users with the highest reward. Optimal beams are optimal for the frame at hand,
    as the AP sees it, and need harvest_model: linear. The first 10 frames of each rollout are not counted;
    intervals are 95% bootstrap intervals over the rollouts.

    `--policy price-net` plays a trained policy instead, in which users act by themselves if `--mode` says so;
    `--beams learned` takes its beams alone. Both need the extra `learning`. price-net and price-net-foresight
    were trained for the default number of users and antennas; price-net-varied, and learned beams, serve any.

    Examples:

        scattermec simulate
        scattermec simulate --beams optimal
        scattermec simulate --policy price-net --mode decentralised
        scattermec simulate --scheme active --frames 10000 --set ap_power=0.5 --json
    """
    _check_options(scheme, beams, policy, mode)
    chosen = load_scenario(scenario, settings)
    check_rectifier(chosen, beams is Beams.OPTIMAL)
    if out is not None:
        check_text_output(out, (".json", ".csv"))
    start_jax(lightly=True)
    warn_of(chosen, policy or "")
    warn_without_kernel(beams is Beams.OPTIMAL)
    scheme, beams, mode = scheme or Scheme.HYBRID, beams or Beams.MRT, mode or Mode.P1
    if policy is not None:
        decide = _policy(policy, mode, chosen)
        options: dict[str, Any] = {"policy": policy, "mode": mode.value, "seed": seed}
    else:
        if beams is Beams.LEARNED:
            _check_learned_beams(chosen)
        options = {"scheme": scheme.value, "beams": beams.value, "seed": seed}
    from scattermec.experiments.measure import rollouts as experiment

    with progress("Simulating", quiet=as_json) as update:
        if policy is not None:
            result = experiment.simulate_policy(chosen, decide, num_frames=frames, seed=seed, progress=update)
        else:
            result = experiment.simulate(
                chosen,
                scheme=scheme.value,
                beams=beams.value,
                num_frames=frames,
                seed=seed,
                progress=update,
            )
    report = to_json({**options, **_report(result), **provenance(chosen)}) + "\n"
    if out is not None:
        replace_text(out, report if out.suffix == ".json" else _csv(result))
    if as_json:
        typer.echo(report, nl=False)
    else:
        _print(result, options)


def _check_options(scheme: Scheme | None, beams: Beams | None, policy: str | None, mode: Mode | None) -> None:
    faults = []
    if policy is not None:
        given = {"scheme": scheme, "beams": beams}
        faults += [
            f"{name}: {value} and --policy {policy} exclude each other; choose one"
            for name, value in given.items()
            if value is not None
        ]
        if not is_price_net(policy):
            faults.append(unknown_policy(policy))
    elif mode is not None:
        faults.append(f"mode: {mode} is a policy's; give --policy {PRICE_NET}, too")
    if faults:
        raise InputError(faults)
    if policy is not None or beams is Beams.LEARNED:
        check_learning_installed(PRICE_NET)


def _policy(name: str, mode: Mode, scenario: Scenario) -> "Decide":
    """How that policy decides; raises InputError where the scenario does not fit it."""
    from functools import partial

    from scattermec.experiments.evaluate.policies import deciding
    from scattermec.physics import parameters
    from scattermec.price_net.policy import decide_frames, modes_of
    from scattermec.price_net.registry import check_fit

    trained = load_policy(name)
    check_fit(trained, scenario)
    modes = modes_of(trained.network)
    if mode not in modes:
        raise InputError([f"mode: {mode} is not one of {name}; it must be {' or '.join(modes)}"])
    return deciding(partial(decide_frames, str(mode), trained.network, parameters(scenario)))


def _check_learned_beams(scenario: Scenario) -> None:
    from scattermec.price_net.registry import check_fit, shipped_for

    check_fit(shipped_for(scenario.num_users, scenario.num_antennas), scenario)


def _report(result: "SimulationResult") -> dict[str, Any]:
    from scattermec.experiments.measure.rollouts import QUANTITIES, WARM_UP

    return {
        "frames": result.num_frames,
        "rollouts": result.num_rollouts,
        "warm_up": WARM_UP,
        "not_converged": result.not_converged,
        "estimates": {
            quantity.name: {**result.estimates[quantity.name]._asdict(), "unit": quantity.unit}
            for quantity in QUANTITIES
        },
    }


def _csv(result: "SimulationResult") -> str:
    from scattermec.experiments.measure.rollouts import QUANTITIES

    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("quantity", "unit", "mean", "low", "high"))
    for quantity in QUANTITIES:
        table.writerow((quantity.name, quantity.unit, *result.estimates[quantity.name]))
    return text.getvalue()


def _print(result: "SimulationResult", options: dict[str, Any]) -> None:
    from scattermec.experiments.measure.rollouts import QUANTITIES

    rows: list[tuple[str, ...]] = []
    for quantity in QUANTITIES:
        numbers = [f"{number:.4g}" for number in result.estimates[quantity.name]]
        interval = f"{numbers[1]} to {numbers[2]}"
        rows.append((quantity.description, numbers[0], interval, quantity.unit))
    what = ", ".join(f"{name} {value}" for name, value in options.items() if name != "seed")
    title = (
        f"{what[0].upper()}{what[1:]}: {result.num_frames:,} frames "
        f"of {result.num_rollouts} rollouts, seed {options['seed']}"
    )
    print_table(title, ("", "mean", "95% interval", "unit"), rows)
    if "status" in result.frames:
        share = result.not_converged / result.num_frames
        typer.echo(f"Frames without a verdict: {result.not_converged:,} ({share:.2%}).")
