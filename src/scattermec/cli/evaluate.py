"""`scattermec evaluate`, `evaluate-robustness`, `evaluate-broadcast` and `evaluate-unseen`."""

from pathlib import Path
from typing import Annotated

import typer

from scattermec._compilation import start_jax
from scattermec.cli import options
from scattermec.cli.checks import check_installed, check_output, check_policy
from scattermec.counts import MOST_FRAMES, MOST_SCENARIOS
from scattermec.errors import InputError
from scattermec.price_net import SHIPPED, is_price_net
from scattermec.scenario import Scenario

POLICIES = ("random", "mrt", "optimum", "best-set")
"""Policies that do not learn."""


def evaluate(
    policy: Annotated[
        str,
        typer.Argument(
            metavar="POLICY",
            help="The folder of a training run; price-net, price-net-foresight, price-net-varied or "
            "price-net-robust, as shipped; or one that does not learn: random, mrt, optimum or best-set.",
        ),
    ],
    frames: options.Frames = 2000,
    rollout_frames: Annotated[
        int,
        options.count(
            "K",
            MOST_FRAMES,
            "Frames to count of the rollouts, for each seed of a learner; 0 leaves them out.",
            least=0,
        ),
    ] = 2000,
    seed: options.Seed = 0,
    out: options.Out = None,
    scenario: options.ScenarioFile = None,
    settings: options.Settings = None,
    as_json: options.Json = False,
) -> None:
    """Tabulate what policies achieve, next to controls and to what is provably optimal.

    There are two regimes. In each, all policies meet the same channels and arrivals:

    - independent frames, with new work and batteries. Here a reward is also given as a share (a ratio of
      means) of two certified optima: one serves everyone where that is possible, the other serves the set of
      users that maximises the reward. Only the latter is an upper limit for every policy.
    - rollouts, in which every policy carries its own batteries and backlogs; the first 10 frames of each are
      not counted.

    A training run is evaluated in its own scenario unless another is given: greedily, in each mode of its
    learner, before and after training, and by its metrics over the last tenth of its frames. Random and
    maximum ratio beams, each with the AP's estimate, are the controls of every table.

    price-net has four modes, of which each policy has one to three: p1, in which the AP allocates exactly for
    the network's beams; announced, in which only the beams' times of that allocation are broadcast, and users
    find the rest by themselves; decentralised, in which the times come from a network, too; and repaired, in
    which users act on what they have measured when their slots come.

    The 95% intervals are over the seeds of a learner that has several, else over frames or rollouts. The
    optima need harvest_model: linear; for another rectifier the tables omit them.

    Examples:

        scattermec evaluate mrt --set ap_power=2
        scattermec evaluate runs/maddpg --frames 10000 --out table.md
        scattermec evaluate runs/maddpg --set mean_workload=30 --json
    """
    check_output(out)
    check_installed("evaluate", "learning")
    given = _given(policy, scenario, settings)
    start_jax()
    from scattermec.cli.jobs.evaluate import run

    report = run(
        policy, given, settings or [], frames=frames, rollout_frames=rollout_frames, seed=seed, quiet=as_json
    )
    report.put_out(as_json=as_json, out=out)


def evaluate_robustness(
    policy: Annotated[
        str,
        typer.Argument(
            metavar="POLICY",
            help=f"The folder of a training run, {', '.join(SHIPPED)} or {' or '.join(POLICIES)}.",
        ),
    ],
    frames: options.Frames = 2000,
    limit_frames: Annotated[
        int,
        options.count(
            "K", MOST_FRAMES, "Frames on which to bound what is possible; 0 leaves that out.", least=0
        ),
    ] = 0,
    rollout_frames: Annotated[
        int, options.count("K", MOST_FRAMES, "Frames of rollouts to count; 0 leaves them out.", least=0)
    ] = 0,
    seed: options.Seed = 0,
    out: options.Out = None,
    scenario: options.ScenarioFile = None,
    settings: options.Settings = None,
    as_json: options.Json = False,
) -> None:
    """Tabulate what a policy achieves if knowledge is late, noisy, rounded or lost.

    The access point acts on what it knows: channels to 5, 10 or 20%, workloads to 20%, the channels of the
    frame before, or everything; and its message may be rounded, or lost for one user in ten. All numbers are
    on the same independent frames, as shares of the optimum that knows everything and serves everyone where
    that is possible. Users either obey the access point's plan, or repair it by what they know when their
    slot comes. The control is the optimum for harvest and noise made worse by a margin, which is chosen for
    each condition on other frames. The 95% intervals are over frames.

    With --limit-frames there is also what is possible: no policy whose access point knows no more, and whose
    users may know everything, exceeds the limit, as by `scattermec knowledge`. It is a share of the optimum
    of the best set of users, takes seconds per frame, and allows at most 4 users.

    With --rollout-frames there is also what the policy achieves in the long run, in rollouts that carry its
    batteries and backlogs; their intervals are over rollouts.

    Errors that the scenario itself has do not count here. Needs the extra `learning`, and harvest_model:
    linear.

    Examples:

        scattermec evaluate-robustness price-net-robust
        scattermec evaluate-robustness runs/price-net --frames 500 --out table.md
        scattermec evaluate-robustness optimum --limit-frames 100
        scattermec evaluate-robustness price-net-foresight --rollout-frames 10000
    """
    check_output(out)
    check_installed("evaluate-robustness", "learning")
    given = _given(policy, scenario, settings)
    start_jax()
    from scattermec.cli.jobs.robustness import run

    counts = {"frames": frames, "limit_frames": limit_frames, "rollout_frames": rollout_frames}
    report = run(policy, given, settings or [], **counts, seed=seed, quiet=as_json)
    report.put_out(as_json=as_json, out=out)


def _given(policy: str, scenario: Path | None, settings: list[str] | None) -> Scenario | None:
    """The scenario of the options; None if it is to be that of the training run ``policy``.

    Raises InputError if there is no such policy.
    """
    fixed = policy in POLICIES
    if not fixed and not is_price_net(policy) and not Path(policy).is_dir():
        names = ", ".join((*POLICIES, *SHIPPED))
        raise InputError([f"{policy}: is neither the folder of a training run nor one of {names}"])
    return options.load_scenario(scenario, settings) if fixed or policy in SHIPPED or scenario else None


def evaluate_broadcast(
    policy: options.PriceNet,
    frames: options.Frames = 2000,
    seed: options.Seed = 0,
    out: options.Out = None,
    scenario: options.ScenarioFile = None,
    settings: options.Settings = None,
    as_json: options.Json = False,
) -> None:
    """Tabulate what price-net achieves when its broadcast is rounded, late or lost.

    In its modes announced and decentralised, whose users act on a broadcast: exact, with 8 bits per number,
    one frame late, or lost for one user. The policy must have both modes. The 95% intervals are over frames.
    For users that repair a plan, see `scattermec evaluate-robustness`.

    Examples:

        scattermec evaluate-broadcast price-net --set correlation=0.9
        scattermec evaluate-broadcast runs/price-net --frames 10000 --out table.md
    """
    check_output(out)
    check_installed("evaluate-broadcast", "learning")
    check_policy(policy)
    given = options.load_scenario(scenario, settings) if policy in SHIPPED or scenario else None
    start_jax()
    from scattermec.cli.jobs.price_net import evaluate_broadcast as run

    report = run(policy, given, settings or [], frames=frames, seed=seed)
    report.put_out(as_json=as_json, out=out)


def evaluate_unseen(
    policy: options.PriceNet,
    scenarios: Annotated[int, options.count("K", MOST_SCENARIOS, "Scenarios to draw.")] = 14,
    frames: options.Frames = 2000,
    seed: options.Seed = 0,
    out: options.Out = None,
    as_json: options.Json = False,
) -> None:
    """Tabulate what price-net achieves in scenarios that it has not seen.

    They differ from its training scenario in users, antennas, distances and powers, so the policy must have
    been trained on varied scenarios, such as price-net-varied. The 95% intervals are over frames, and for the
    means over scenarios.

    Examples:

        scattermec evaluate-unseen price-net-varied
        scattermec evaluate-unseen runs/price-net --scenarios 4 --frames 500 --json
    """
    check_output(out)
    check_installed("evaluate-unseen", "learning")
    check_policy(policy)
    start_jax()
    from scattermec.cli.jobs.price_net import evaluate_unseen as run

    report = run(policy, scenarios=scenarios, frames=frames, seed=seed, quiet=as_json)
    report.put_out(as_json=as_json, out=out)
