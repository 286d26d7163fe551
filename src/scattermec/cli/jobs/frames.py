"""Files of frames, for `scattermec frames draw`, `convert` and `check`."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from scattermec._version import __version__
from scattermec.channels import from_axes
from scattermec.cli.jobs.common import parameters_for
from scattermec.cli.output import Report, provenance
from scattermec.environment import reset
from scattermec.errors import InputError
from scattermec.experiments.measure.diagnosis import Sample
from scattermec.experiments.measure.inspection import real_channels, suspicions, user_rows
from scattermec.experiments.measure.table import Table
from scattermec.physics import parameters_of
from scattermec.scenario import Scenario
from scattermec.storage import ArrayWriter
from scattermec.storage.arrays import ArrayFile, InMemory, open_arrays
from scattermec.storage.foreign import ForeignFile, open_foreign
from scattermec.storage.frames import frames_of

FRAMES_AT_ONCE = 2048
"""Frames drawn and written together."""

EXAMINED = 2048
"""Frames from which medians and suspicions are made; faults are looked for in all."""

PER_USER = ("workload", "battery")


def draw(out: Path, scenario: Scenario, *, count: int, seed: int) -> Report:
    """Write ``count`` independent frames."""
    parameters = parameters_of(scenario)
    frames_at = jax.jit(jax.vmap(lambda key: reset(key, parameters).frame))
    keys = jax.random.split(jax.random.key(seed), count)
    users, antennas = parameters.num_users, parameters.num_antennas
    shapes = {"channels": (users, antennas), "workload": (users,), "battery": (users,)}
    rows = {name: (shape, np.dtype("c16" if name == "channels" else "f8")) for name, shape in shapes.items()}
    with ArrayWriter(out, count, rows, {"scenario": scenario.to_yaml(), "version": __version__}) as writer:
        for start in range(0, count, FRAMES_AT_ONCE):
            drawn = jax.device_get(frames_at(keys[start : start + FRAMES_AT_ONCE]))
            writer.append({name: getattr(drawn, name) for name in shapes})
    about = {"frames": count, "users": users, "antennas": antennas, "seed": seed, "out": str(out)}
    cells = tuple((name.capitalize(), f"{value:,}") for name, value in about.items() if name != "out")
    return Report(data={**about, **provenance(scenario)}, tables=[Table(str(out), "", ("", ""), cells)])


def convert(
    source: Path,
    out: Path,
    scenario: Scenario,
    names: Mapping[str, str | None],
    axes: Sequence[str] | None,
    factors: Mapping[str, float],
    *,
    conjugate: bool,
) -> Report:
    """Write the frames of a file of another program, and say what looks wrong with them.

    ``names``: for each array of frames its name in the file, a number, or None for the default.
    ``factors``: what arrays are multiplied by; raises InputError if there is no such array.
    """
    foreign = open_foreign(source)
    if foreign.axes and axes is not None:
        raise InputError([f"axes: {source} names its axes itself; leave the option out"])
    axes = axes or list(foreign.axes or _usual_axes(source))
    channels = _channels(foreign, names["channels"], axes)
    arrays = {"channels": np.conj(channels) if conjugate else channels}
    frames, users, _ = channels.shape
    for name in PER_USER:
        numbers = _per_user(foreign, name, names[name], axes)
        if numbers is not None:
            arrays[name] = _repeated(name, numbers, (frames, users))
    beams = names["beams"] or ("beams" if "beams" in foreign.arrays else None)
    if beams is not None:
        arrays["beams"] = _complex(from_axes(_load(foreign, beams), axes, "KNM", beams), beams)
    faults = [
        f"scale: {name}: there is none, neither in the file nor as an option"
        for name in factors
        if name not in arrays
    ]
    if faults:
        raise InputError(faults)
    arrays |= {name: factor * arrays[name] for name, factor in factors.items()}
    report = _inspected(
        InMemory(arrays), out, scenario, form=out.suffix if out.suffix in (".npz", ".mat") else ""
    )
    rows = {name: (array.shape[1:], array.dtype) for name, array in arrays.items()}
    with ArrayWriter(out, frames, rows, {"converted_from": source.name, "version": __version__}) as writer:
        writer.append(arrays)
    return report


def check(path: Path, scenario: Scenario) -> Report:
    """What a file of frames holds, and what looks wrong with it."""
    arrays = open_arrays(path)
    if "channels" in arrays.names:
        header = arrays.header("channels")
        if header.dtype.kind in "fiu" and header.num_bytes:
            some = next(arrays.rows("channels", EXAMINED))
            raise InputError([f"channels: have real numbers; {real_channels(some)}"])
    return _inspected(arrays, path, scenario, form="" if path.is_dir() else ".npz")


# Reading foreign arrays


def _usual_axes(source: Path) -> str:
    """Our own axes for NumPy's files; other programs have other habits."""
    if source.is_dir() or source.suffix in (".npy", ".npz"):
        return "KNM"
    wanted = f'in which order the program that wrote {source} shows them, for instance --axes "M N K"'
    raise InputError([f"axes: are missing; say {wanted}"])


def _channels(foreign: ForeignFile, name: str | None, axes: Sequence[str]) -> NDArray[np.complex128]:
    if name is None and "channels" in foreign.arrays:
        name = "channels"
    if name is None:
        complex_ones = [each for each, load in foreign.arrays.items() if np.iscomplexobj(load())]
        candidates = complex_ones if len(foreign.arrays) > 1 else list(foreign.arrays)
        if len(candidates) != 1:
            found = ", ".join(f"{each} {load().shape}" for each, load in foreign.arrays.items())
            raise InputError([f"channels: which array? Name it with --channels; there are {found}"])
        (name,) = candidates
    return _complex(from_axes(_load(foreign, name), axes, "KNM", name), name)


def _complex(array: NDArray[Any], name: str) -> NDArray[np.complex128]:
    if array.dtype.kind != "c":
        raise InputError([f"{name}: has real numbers; {real_channels(array)}, or --axes with IQ"])
    return array.astype(np.complex128)


def _per_user(
    foreign: ForeignFile, name: str, given: str | None, axes: Sequence[str]
) -> NDArray[np.float64] | None:
    """Numbers (K or 1, N or 1), or None if there are none."""
    if given is None and name not in foreign.arrays:
        return None
    given = given or name
    if given not in foreign.arrays:
        with contextlib.suppress(ValueError):
            return np.full((1, 1), float(given))
    array = _load(foreign, given)
    if array.dtype.kind not in "fiub":
        raise InputError([f"{given}: has type {array.dtype}; it must be real"])
    left = [axis for axis in axes if axis in "KN"]
    return from_axes(array, left, "KN", given).astype(np.float64)


def _repeated(name: str, numbers: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    try:
        return np.broadcast_to(numbers, shape)
    except ValueError:
        frames, users = numbers.shape
        fault = f"{name}: has {frames} frames and {users} users; the channels have {shape[0]} and {shape[1]}"
        if (users, frames) == shape:
            fault += "; transpose it, since K and N must come in the order of --axes"
        raise InputError([fault]) from None


def _load(foreign: ForeignFile, name: str) -> NDArray[Any]:
    if name not in foreign.arrays:
        raise InputError([f"{name}: is not in the file; it has {', '.join(foreign.arrays)}"])
    return foreign.arrays[name]()


# What looks wrong


def _inspected(arrays: ArrayFile, path: Path, scenario: Scenario, *, form: str) -> Report:
    """Check all frames of ``path`` like `scattermec solve`; raises InputError if there are faults.

    ``form`` is ".npz", ".mat", or "" for a folder.
    """
    where = str(path)
    given = [name for name in ("channels", *PER_USER, "beams") if name in arrays.names]
    source = frames_of(_completed(arrays, scenario), where)
    parameters = parameters_for(scenario, source.num_users, source.num_antennas, where)
    checked = source.check(np.asarray(parameters.battery_capacity))
    chunk = next(source.chunks(min(source.num_frames, EXAMINED)))
    sample = Sample(scenario, chunk.channels, chunk.workload, chunk.battery)
    found = suspicions(sample, chunk.beams, checked.strong)
    rows = list(user_rows(sample))
    data = {
        "file": where,
        "frames": source.num_frames,
        "users": source.num_users,
        "antennas": source.num_antennas,
        "arrays": {name: _shape_and_type(arrays, name) for name in given},
        "uses": list(_uses(given, form)),
        "clipped_batteries": checked.overfull,
        "per_user": rows,
        "looks_wrong": [suspicion._asdict() for suspicion in found],
        **provenance(scenario),
    }
    notes = [f"Looks wrong: {suspicion.text}" for suspicion in found] or ["Nothing looks wrong."]
    values = [tuple(rows[0]), *(tuple(row.values()) for row in rows)]
    return Report(data=data, tables=list(_tables(data, given)), values=values, notes=notes)


def _completed(arrays: ArrayFile, scenario: Scenario) -> ArrayFile:
    """With the scenario's mean workloads and full batteries, where channels come alone."""
    missing = [name for name in PER_USER if name not in arrays.names]
    if not missing or "channels" not in arrays.names:
        return arrays
    shape = arrays.header("channels").shape[:2]
    constants = {"workload": scenario.mean_workload, "battery": scenario.battery_capacity}
    with contextlib.suppress(ValueError):  # a constant per user for another number of users: found later
        return InMemory({name: np.broadcast_to(constants[name], shape) for name in missing}, arrays)
    return InMemory({name: np.zeros(shape) for name in missing}, arrays)


def _shape_and_type(arrays: ArrayFile, name: str) -> dict[str, Any]:
    header = arrays.header(name)
    return {"shape": list(header.shape), "type": str(header.dtype)}


def _uses(given: Sequence[str], form: str) -> Iterator[str]:
    """What a file or folder with these arrays can be used for; a trace is an .npz file."""
    if {"channels", *PER_USER} <= set(given) and form != ".mat":
        yield "scattermec solve"
    if "channels" in given and form == ".npz":
        yield "fading: file"
    if "workload" in given and form == ".npz":
        yield "arrivals: file"


def _tables(data: Mapping[str, Any], given: Sequence[str]) -> Iterator[Table]:
    units = {"workload": "kbit", "battery": "mJ"}
    cells = [
        ("Frames (K)", f"{data['frames']:,}"),
        ("Users (N), antennas (M)", f"{data['users']}, {data['antennas']}"),
        *(
            (f"`{name}`", f"{tuple(array['shape'])} {array['type']} {units.get(name, '')}".rstrip())
            for name, array in data["arrays"].items()
        ),
        ("Serves for", ", ".join(data["uses"])),
        ("Batteries above their capacity, taken as full", f"{data['clipped_batteries']:,}"),
    ]
    yield Table(data["file"], "", ("", ""), tuple(cells))
    absent = [name for name in PER_USER if name not in given]
    title = "Medians per user" + (f"; {' and '.join(absent)} of the scenario" if absent else "")
    heads = ("user", "‖h‖² (dB)", "5%", "95%", "SNR (dB)", "work (kbit)", "battery (mJ)", "harvest (mJ)")
    lines = tuple(
        (
            str(row["user"]),
            _decibels(row["gain_db"]),
            _decibels(row["gain_db_low"]),
            _decibels(row["gain_db_high"]),
            f"{row['snr_db']:.0f}",
            f"{row['workload']:.4g}",
            f"{row['battery']:.4g}",
            f"{row['harvestable']:.3g}",
        )
        for row in data["per_user"]
    )
    yield Table(f"{title}; SNR and harvest at most", "", heads, lines)


def _decibels(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else "no path"
