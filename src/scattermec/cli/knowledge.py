"""`scattermec knowledge`: what is possible without knowing, and what each piece of knowledge is worth."""

from typing import Annotated

from scattermec._compilation import start_jax
from scattermec.cli import options
from scattermec.cli.checks import check_installed, check_output
from scattermec.counts import MOST_SAMPLES


def knowledge(
    frames: options.Frames = 200,
    samples: Annotated[
        int, options.count("S", MOST_SAMPLES, "Truths per frame by which a plan is chosen.")
    ] = 64,
    sampled: Annotated[
        int,
        options.count(
            "S", MOST_SAMPLES, "Truths per frame that share one plan, its optimum; 0 leaves it out.", least=0
        ),
    ] = 0,
    seed: options.Seed = 0,
    out: options.Out = None,
    scenario: options.ScenarioFile = None,
    settings: options.Settings = None,
    as_json: options.Json = False,
) -> None:
    """Tabulate what is possible without knowing: a bound on every policy, and the best plan found.

    For channels known to 5, 10 and 20%, workloads to 20%, and channels one frame late with correlations of
    0.99 and 0.9; these replace the scenario's csi_error, workload_error and correlation. Users either decide
    when they know the truth (their channel, work and harvest), or follow the AP's plan. The limit holds for
    the mean reward of every policy whose beams and times depend on what the AP sees alone. The best plan
    found is the optimum for what is expected, with the margin that is best on samples of what the truth may
    be. Frames are independent, and the 95% intervals are over frames.

    With --sampled there is a second table, for users that decide on the truth: the optimum in which as many
    samples of the truth share their beams and times, next to the flat margin and price-net-robust. It takes
    seconds per frame and kind of knowledge, and needs the extras `bench` and `learning`.

    Needs harvest_model: linear, and at most 4 users.

    Examples:

        scattermec knowledge
        scattermec knowledge --frames 1000 --samples 256 --out knowledge.md
        scattermec knowledge --frames 100 --sampled 64
        scattermec knowledge --set ap_power=2 --seed 1 --json
    """
    check_output(out)
    if sampled:
        check_installed("--sampled", "bench", "learning")
    chosen = options.load_scenario(scenario, settings)
    start_jax()
    from scattermec.cli.jobs.knowledge import run

    report = run(chosen, frames=frames, samples=samples, sampled=sampled, seed=seed, quiet=as_json)
    report.put_out(as_json=as_json, out=out)
