"""`scattermec benchmark-set`: frames with certified optima that anyone can be scored on."""

from pathlib import Path
from typing import Annotated

import typer

from scattermec._compilation import start_jax
from scattermec.cli import options
from scattermec.cli.checks import hold_output
from scattermec.errors import InputError
from scattermec.experiments.evaluate.benchmark_set import FRAMES


def benchmark_set(
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new folder, where to put the set.")],
    frames: Annotated[
        int, options.count("K", FRAMES, "Fewer frames of each scenario, the first ones of the set.")
    ] = FRAMES,
    as_json: options.Json = False,
) -> None:
    """Make the benchmark set scattermec-1: five scenarios of 2,000 frames each, with their certified optima.

    DIR will have a folder for each scenario, with

    - `scenario.yaml`, its constants, and `frames.npz`, its frames, in the form that `scattermec solve` reads:
      the same on every machine and in every later version, with the checksums in `SHA256SUMS`;
    - `optimum.npz` and `best-set.npz`, the beams, allocations, prices and bounds that `scattermec solve`
      finds for them with `--beams optimal`, serving everyone and serving the best set of users.

    `scattermec score DIR ANSWERS` scores answers to these frames.

    Examples:

        scattermec benchmark-set --out scattermec-1
    """
    if out.exists() or not out.parent.is_dir():
        raise InputError([f"{out}: must be a new folder, within a folder that exists"])
    hold_output(out)
    start_jax()
    from scattermec.cli.jobs.benchmark import run

    run(out, frames, quiet=as_json).put_out(as_json=as_json)
