"""`scattermec frames draw`, `frames convert` and `frames check`: files of frames."""

import math
import re
from pathlib import Path
from typing import Annotated

import typer

from scattermec._compilation import start_jax
from scattermec.cli import options
from scattermec.cli.checks import check_output, hold_output
from scattermec.errors import InputError

FramesOut = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="FRAMES",
        help="Where to put the frames: an .npz file, a .mat file for MATLAB and Octave, or else a new folder "
        "of .npy files.",
    ),
]


def frames_draw(
    out: FramesOut,
    frames: options.Frames = 1000,
    seed: options.Seed = 0,
    scenario: options.ScenarioFile = None,
    settings: options.Settings = None,
    as_json: options.Json = False,
) -> None:
    """Draw independent frames of a scenario, and write them to a file.

    Each frame starts an episode of its own: channels, arrivals and batteries are drawn anew. FRAMES is what
    `scattermec solve` reads, and a trace for `fading: file` and `arrivals: file`. It also holds the texts
    `scenario` and `version`.

    Examples:

        scattermec frames draw --out frames.npz
        scattermec frames draw --out frames.npz --frames 200 --seed 1 --set ap_power=2
    """
    chosen = options.load_scenario(scenario, settings)
    hold_output(out)
    start_jax()
    from scattermec.cli.jobs.frames import draw

    draw(out, chosen, count=frames, seed=seed).put_out(as_json=as_json)


def frames_convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN",
            help="A .mat file (any version), HDF5, .npy, .npz, .csv, or a folder of .npy files.",
        ),
    ],
    out: FramesOut,
    channels: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The array of channels in IN.  [default: channels, or else the only complex array]",
            show_default=False,
        ),
    ] = None,
    axes: Annotated[
        str | None,
        typer.Option(
            metavar='"M N K"',
            help="The axes of the channels in the order in which the program that wrote IN shows them: M "
            "antennas, N users, K frames; 1 for an axis of length 1 that is dropped, IQ for one of real and "
            "imaginary parts. Letters may be left out. Needed for .mat and HDF5.  [default: K N M for NumPy "
            "files]",
            show_default=False,
        ),
    ] = None,
    conjugate: Annotated[
        bool, typer.Option("--conjugate", help="Conjugate the channels: they are those of y = h^T w.")
    ] = False,
    workload: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|KBIT",
            help="The array of workloads in IN, or a number for all.  [default: workload, if there]",
            show_default=False,
        ),
    ] = None,
    battery: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|MJ",
            help="The array of stored energies in IN, or a number for all.  [default: battery, if there]",
            show_default=False,
        ),
    ] = None,
    beams: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The array of beams in IN, with the axes of the channels.  [default: beams, if there]",
            show_default=False,
        ),
    ] = None,
    scale: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FACTOR",
            help="Multiply channels, workload or battery by a factor, e.g. workload=0.001 for work in bits. "
            "Repeatable.",
        ),
    ] = None,
    scenario: options.ScenarioFile = None,
    settings: options.Settings = None,
    as_json: options.Json = False,
) -> None:
    """Convert channels of MATLAB, GNU Octave, HDF5, NumPy or CSV to a file of frames.

    FRAMES holds `channels` (K, N, M) complex, and if IN has them or a number is given, `workload` (K, N) in
    kbit, `battery` (K, N) in mJ and `beams` (K, N, M). The first three are what `scattermec solve` needs; for
    `fading: file` the channels alone will do. Workloads and batteries have the axes of the channels without
    M; axes of length 1 are repeated. Units of IN that are others are converted by `--scale`.

    The package's convention is y = h^H w. Axes of `.mat` files, v7.3 included, are those that MATLAB shows.
    The first line of a `.csv` file names its columns: `I` and `Q`; `frame`, `user` and `antenna` where there
    are several; `workload` and `battery` may follow. HDF5 and v7.3 need the extra `convert`.

    The frames are then checked like by `scattermec frames check`, with the scenario's constants.

    Examples:

        scattermec frames convert measured.mat --out trace.npz --channels H --axes "M N K"
        scattermec frames convert H.npy --out frames.npz --conjugate --workload 40 --battery 0.05
        scattermec frames convert sounder.csv --out frames.npz --workload 40 --battery 0.05
        scattermec frames convert bits.npz --out frames.npz --scale workload=0.001
    """
    chosen = options.load_scenario(scenario, settings)
    letters = None if axes is None else _axes(axes)
    factors = _factors(scale or [])
    if source.resolve() == out.resolve():
        raise InputError([f"{out}: is the input; name another file"])
    hold_output(out)
    start_jax()
    from scattermec.cli.jobs.frames import convert

    names = {"channels": channels, "workload": workload, "battery": battery, "beams": beams}
    convert(source, out, chosen, names, letters, factors, conjugate=conjugate).put_out(as_json=as_json)


def frames_check(
    frames: Annotated[
        Path, typer.Argument(metavar="FRAMES", help="An .npz file, or a folder of .npy files.")
    ],
    out: options.Out = None,
    scenario: options.ScenarioFile = None,
    settings: options.Settings = None,
    as_json: options.Json = False,
) -> None:
    """Tabulate what a file of frames holds, and what looks wrong with it.

    FRAMES is a file for `scattermec solve`, or a trace of channels alone; what is missing is taken from the
    scenario: mean workloads, full batteries. The table has the medians of each user: gains in dB, the SNR
    that it could reach at most, work in kbit and energy in mJ. Looked for are bits for kbit, J for mJ, dB for
    amplitudes, lost phases, swapped axes, and beams of y = h^T w. Nothing of this changes the exit status;
    numbers that `scattermec solve` would refuse do.

    Examples:

        scattermec frames check frames.npz
        scattermec frames check trace.npz --scenario mine.yaml --json
    """
    chosen = options.load_scenario(scenario, settings)
    check_output(out)
    start_jax()
    from scattermec.cli.jobs.frames import check

    check(frames, chosen).put_out(as_json=as_json, out=out)


def _axes(given: str) -> list[str]:
    """The axes, one string each; raises InputError for anything else."""
    axes = re.split(r"[\s,]+", given.strip())
    known = {"K", "N", "M", "IQ"}
    letters = [axis for axis in axes if axis != "1"]
    if not set(letters) <= known or len(set(letters)) != len(letters):
        raise InputError(
            [f"axes: {given[:80]} is not allowed; it must be K, N, M, IQ or 1, each letter once"]
        )
    return axes


def _factors(given: list[str]) -> dict[str, float]:
    """The factors by name of array; raises InputError with a line per fault."""
    factors: dict[str, float] = {}
    faults = []
    for one in given:
        name, _, value = one.partition("=")
        try:
            factor = float(value)
        except ValueError:
            factor = math.nan
        if name not in ("channels", "workload", "battery"):
            faults.append(
                f"scale: {one[:80]} is not allowed; it must be channels, workload or battery, = factor"
            )
        elif name in factors:
            faults.append(f"scale: {name} is given twice")
        elif not 0 < factor < math.inf:
            faults.append(f"scale: {one[:80]} is not allowed; the factor must be a number > 0")
        factors[name] = factor
    if faults:
        raise InputError(faults)
    return factors
