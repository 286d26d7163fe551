"""`scattermec horizon`: the cost of policies over an optimum that knows all frames in advance."""

from typing import Annotated

from scattermec._compilation import start_jax
from scattermec.cli import options
from scattermec.cli.checks import check_installed, check_output, check_policy
from scattermec.counts import MOST_EPISODE_FRAMES, MOST_EPISODES
from scattermec.price_net import ALGORITHM as PRICE_NET
from scattermec.price_net import SHIPPED


def horizon(
    policy: options.PriceNet = PRICE_NET,
    frames: Annotated[int, options.count("T", MOST_EPISODE_FRAMES, "Frames of an episode.")] = 20,
    episodes: Annotated[int, options.count("R", MOST_EPISODES, "Independent episodes.")] = 40,
    seed: options.Seed = 0,
    out: options.Out = None,
    scenario: options.ScenarioFile = None,
    settings: options.Settings = None,
    as_json: options.Json = False,
) -> None:
    """Tabulate what policies cost over a bound that knows all frames of an episode in advance.

    Batteries couple frames: energy harvested in a good one may be spent in a bad one. With channels and
    arrivals known, all frames of an episode are one convex problem, whose dual bounds the cost of any policy:
    the energy of the AP, plus shortfall_price for each kbit that is not processed. Work that is not processed
    is dropped (backlog_cap 0, whatever the scenario's file says), so all policies have the same work.

    The clairvoyant optimum and the elastic optimum frame by frame differ only in foresight: both know a frame
    exactly, may share a slot among beams, and may process parts of a workload. The optimum, price-net in its
    modes, and maximum ratio and random beams with the AP's estimate serve whole workloads or pay for all of
    them. price-net-foresight knows no more than they do, but has learned the value of energy left in a
    battery; its table also has the optimum of each frame with that value in its objective.

    Needs harvest_model: linear, and the extras `bench` and `learning`. The 95% intervals are over episodes.

    Examples:

        scattermec horizon
        scattermec horizon price-net-foresight --frames 50 --episodes 20 --seed 1
        scattermec horizon runs/price-net --set battery_capacity=5 --json
    """
    check_policy(policy)
    check_output(out)
    given = options.load_scenario(scenario, None) if policy in SHIPPED or scenario else None
    check_installed("horizon", "learning", "bench")
    start_jax()
    from scattermec.cli.jobs.horizon import run

    report = run(policy, given, settings or [], frames=frames, episodes=episodes, seed=seed, quiet=as_json)
    report.put_out(as_json=as_json, out=out)
