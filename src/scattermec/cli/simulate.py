"""`scattermec simulate` and `simulate-policy`: long-run results of a scheme or a policy."""

from typing import Annotated, Literal

import typer

from scattermec._compilation import start_jax
from scattermec.cli import options
from scattermec.cli.checks import check_installed, check_margin, check_output, check_policy, check_rectifier
from scattermec.price_net import ALGORITHM as PRICE_NET


def simulate(
    scheme: options.Scheme = "hybrid",
    beams: Annotated[
        Literal["mrt", "random", "optimal", "learned"],
        typer.Option(
            help="Beams along each user's own channel, drawn at random, optimised with the allocation, or "
            "those that price-net learned to choose."
        ),
    ] = "mrt",
    margin: options.Margin = 0.0,
    frames: options.RolloutFrames = 2000,
    seed: options.Seed = 0,
    out: options.Out = None,
    scenario: options.ScenarioFile = None,
    settings: options.Settings = None,
    as_json: options.Json = False,
) -> None:
    """Roll the system out under the optimal allocation, and tabulate what it achieves.

    Batteries and backlogs carry over from frame to frame. In each frame everyone is served where that is
    possible, else the set of users with the highest reward. Optimal beams are optimal for the current frame
    as the AP sees it, and need harvest_model: linear. Learned beams are those of a shipped policy of
    price-net, and need the extra `learning`. The first 10 frames of each rollout are not counted; intervals
    are 95% bootstrap intervals over the rollouts.

    Examples:

        scattermec simulate
        scattermec simulate --beams optimal
        scattermec simulate --beams optimal --set csi_error=0.1 --margin 0.3
        scattermec simulate --scheme active --frames 10000 --set ap_power=0.5 --json
    """
    chosen = options.load_scenario(scenario, settings)
    check_rectifier(chosen, beams == "optimal")
    check_margin(margin)
    if beams == "learned":
        check_installed(PRICE_NET, "learning")
    check_output(out)
    start_jax()
    from scattermec.cli.jobs.simulate import run

    report = run(chosen, scheme, beams, margin=margin, frames=frames, seed=seed, quiet=as_json)
    report.put_out(as_json=as_json, out=out)


def simulate_policy(
    policy: options.PriceNet,
    mode: Annotated[
        Literal["p1", "announced", "decentralised", "repaired"] | None,
        typer.Option(
            help="How the policy acts: exact allocation at the AP, the same with only beam times announced, "
            "no optimisation at all, or users that repair the plan (price-net-robust, price-net-foresight). "
            "By default, the first that it can.",
            show_default=False,
        ),
    ] = None,
    frames: options.RolloutFrames = 2000,
    seed: options.Seed = 0,
    out: options.Out = None,
    scenario: options.ScenarioFile = None,
    settings: options.Settings = None,
    as_json: options.Json = False,
) -> None:
    """Roll the system out under a policy of price-net, and tabulate what it achieves.

    Like `scattermec simulate`, with the policy's beams and, depending on `--mode`, users that act alone.
    price-net, price-net-foresight and price-net-robust were trained for the default number of users and
    antennas; price-net-varied serves any. Needs the extra `learning`.

    Examples:

        scattermec simulate-policy price-net
        scattermec simulate-policy price-net --mode decentralised
        scattermec simulate-policy price-net-foresight --mode repaired --set csi_error=0.1
        scattermec simulate-policy price-net-varied --set num_antennas=2 --json
    """
    check_policy(policy)
    check_installed(PRICE_NET, "learning")
    chosen = options.load_scenario(scenario, settings)
    check_output(out)
    start_jax()
    from scattermec.cli.jobs.price_net import simulate as run

    report = run(policy, mode, chosen, frames=frames, seed=seed, quiet=as_json)
    report.put_out(as_json=as_json, out=out)
