"""Checkpoints: every array of a state by name in one .npz file, replaced atomically, never pickled."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from scattermec._yaml import show
from scattermec.errors import InputError
from scattermec.storage.arrays import Archive, open_archive
from scattermec.storage.atomic import replacing

FRAME, SEEDS = "_frame", "_seeds"
"""Further entries of a checkpoint: the number of frames played, and the seeds it belongs to."""


def save(path: Path, state: Any, seeds: Sequence[int], frame: int) -> None:
    """Write ``state`` after ``frame`` frames; if interrupted, the previous file stays."""
    arrays: dict[str, Any] = {name: np.asarray(_data(leaf)) for name, leaf in named_leaves(state).items()}
    arrays |= {FRAME: np.int64(frame), SEEDS: np.asarray(seeds)}
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def frame_of(path: Path) -> int | None:
    """Frames played at a checkpoint; None if there is none. Raises InputError if it is unreadable."""
    if not path.exists():
        return None
    archive = _opened(path)
    if FRAME not in archive.names:
        raise InputError([f"{path}: cannot be read as a checkpoint: it has no {FRAME}"])
    frame = archive.load([FRAME])[FRAME]
    if frame.shape != () or frame.dtype.kind != "i" or frame < 0:
        raise InputError([f"{path}: {FRAME}: is not allowed; it must be an integer >= 0"])
    return int(frame)


def seeds_of(path: Path) -> list[int]:
    """Seeds of a checkpoint; raises InputError if it is unreadable."""
    archive = _opened(path)
    if SEEDS not in archive.names:
        raise InputError([f"{path}: cannot be read as a checkpoint: it has no {SEEDS}"])
    seeds = archive.load([SEEDS])[SEEDS]
    if seeds.ndim != 1 or seeds.dtype.kind not in "iu":
        raise InputError([f"{path}: {SEEDS}: is not allowed; it must be a list of integers"])
    return seeds.tolist()


def load(path: Path, example: Any, seeds: Sequence[int]) -> tuple[Any, int]:
    """Load the state of a checkpoint, in the structure of ``example``, and the number of frames played.

    Args:
        path: the file.
        example: a state, or its shapes and types from `jax.eval_shape`.
        seeds: the seeds that the state must belong to.

    Raises InputError with one line per array that is missing, unknown, not finite, or of the wrong shape or
    type.
    """
    frame = frame_of(path)
    if frame is None:
        raise InputError([f"{path}: there is no such checkpoint"])
    wanted = {name: jax.eval_shape(_data, leaf) for name, leaf in named_leaves(example).items()}
    faults: list[str] = []
    archive, owners = _opened(path), seeds_of(path)
    faults += [f"{path}: {name}: is missing" for name in wanted if name not in archive.names]
    known = {*wanted, FRAME, SEEDS}
    faults += [f"{path}: {name}: is unknown" for name in archive.names if name not in known]
    if owners != list(seeds):
        faults.append(
            f"{path}: {SEEDS}: {show(owners, 80)} is not allowed; it must be {show(list(seeds), 80)}"
        )
    there = [name for name in wanted if name in archive.names]
    # Checked before reading any array, since the shapes determine how much memory it takes.
    for name, header in archive.headers(there).items():
        shape, dtype = wanted[name].shape, wanted[name].dtype
        if header.shape != shape:
            faults.append(f"{path}: {name}: shape {header.shape} is not allowed; it must be {shape}")
        elif header.dtype != dtype:
            faults.append(f"{path}: {name}: type {header.dtype} is not allowed; it must be {dtype}")
    if faults:
        raise InputError(faults)
    arrays = archive.load(there)
    faults += [
        f"{path}: {name}: has numbers that are not finite"
        for name, array in arrays.items()
        if array.dtype.kind in "fc" and not np.isfinite(array).all()
    ]
    if faults:
        raise InputError(faults)
    held = jax.device_put(arrays)
    leaves = [
        jax.random.wrap_key_data(held[name]) if _is_key(leaf) else held[name]
        for name, leaf in named_leaves(example).items()
    ]
    return jax.tree.unflatten(jax.tree.structure(example), leaves), frame


def named_leaves(tree: Any) -> dict[str, Any]:
    """Leaves by their path in the tree, such as ``ap.actor.layers.0.weight``, in tree order."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _is_key(leaf: Any) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _data(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _opened(path: Path) -> Archive:
    try:
        return open_archive(path)
    except InputError as error:
        raise InputError(f"{fault}: cannot be read as a checkpoint" for fault in error.faults) from None
