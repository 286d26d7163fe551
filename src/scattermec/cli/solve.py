"""`scattermec solve`: the exact allocation, and optionally the best beams, for frames from a file."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import typer

from scattermec._compilation import start_jax
from scattermec.cli import options
from scattermec.cli.checks import check_margin, check_rectifier, hold_output
from scattermec.errors import InputError
from scattermec.storage import open_frames


def solve(
    frames: Annotated[
        Path, typer.Argument(metavar="FRAMES", help="An .npz file, or a folder of .npy files.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="SOLUTION",
            help="Where to put the solution: an .npz file, a .mat file for MATLAB and Octave, or else a new "
            "folder of .npy files.",
        ),
    ],
    scheme: options.Scheme = "hybrid",
    serve: Annotated[
        Literal["all", "best"],
        typer.Option(help="Serve everyone, or the set of users that maximises the reward."),
    ] = "all",
    beams: Annotated[
        Literal["given", "mrt", "optimal"] | None,
        typer.Option(
            help="The beams that FRAMES holds, beams along the users' channels, or beams optimised together "
            "with the allocation. The last two leave beams in FRAMES unused.  [default: given if FRAMES has "
            "beams, else mrt]",
            show_default=False,
        ),
    ] = None,
    margin: options.Margin = 0.0,
    scenario: options.ScenarioFile = None,
    settings: options.Settings = None,
    as_json: options.Json = False,
) -> None:
    """Find the exact optimal allocation, and beams if wanted, for each of K frames of N users and M antennas.

    FRAMES holds

    - `channels` (K, N, M) complex, `workload` (K, N) in kbit, `battery` (K, N) in mJ and
    - optionally `beams` (K, N, M) complex, of norm 1, which are used unless `--beams` says otherwise.

    N and M follow from it; the scenario's positions are not used. SOLUTION will hold

    - per frame, (K): `energy` in J (infinite where there is no allocation), `reward` in kbit/J, `status`
      (0 optimal, 1 infeasible, 2 not converged, 3 feasible: an allocation that meets every constraint, but
      not the bound) and `accuracy` (the relative gap to a proved lower bound on the energy, or the margin by
      which infeasibility is proved: for these beams, or for all if they are optimised);
    - per user, (K, N): `served`, the times `t_active` and `t_passive` in s, the work `l_active`,
      `l_passive` and `l_local` in kbit, and the prices `price_workload` in J/kbit, `price_budget` and
      `price_capacity` in J/mJ (all 0 unless optimal);
    - the texts `scenario`, `version`, `scheme`, `serve`, `beams_from` and `margin`, which say how it was
      made;
    - with `--beams optimal` also `beams` (K, N, M) complex, of norm 1, and (K) `lower_bound` in J, below
      which no beams and no allocation can serve the same users (infinite if infeasible), and `gap`, the part
      (energy - lower_bound) / max(energy, 1 mJ) that is not proved necessary (0 if infeasible, infinite if
      not converged); with `--serve best` also (K) `reward_bound` in kbit/J, which no users, beams and
      allocation can exceed (infinite for more than 6 users). `accuracy` and the prices belong to the
      allocation with these beams. The rectifier must be linear (`harvest_model`).

    With `--margin`, all of this is about a frame with that much less harvest and more noise: no statement is
    made about the frame as it is, except that what the plan promises holds there too.

    Both are streamed, so any number of frames fits in little memory. Faults name frames and users counted
    from 0.

    Examples:

        scattermec solve frames.npz --out solution.npz
        scattermec solve frames.npz --out best.npz --beams optimal
        scattermec solve folder/ --out solved/ --scheme active --serve best --set ap_power=2
    """
    chosen = options.load_scenario(scenario, settings)
    check_rectifier(chosen, beams == "optimal")
    check_margin(margin)
    source = open_frames(frames)
    beams = beams or ("given" if source.has_beams else "mrt")
    if beams == "given" and not source.has_beams:
        raise InputError([f"beams: {frames} has none to be given; choose mrt or optimal"])
    # Beams that are not used are neither read nor checked.
    source = dataclasses.replace(source, has_beams=beams == "given")
    how: dict[str, str] = {"scheme": scheme, "serve": serve, "beams": beams}
    if frames.resolve() == out.resolve():
        raise InputError([f"{out}: is the input; name another file"])
    hold_output(out)
    start_jax()
    from scattermec.cli.jobs.solve import run

    run(source, frames, out, chosen, how, margin=margin, quiet=as_json).put_out(as_json=as_json)
