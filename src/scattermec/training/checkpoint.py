"""Checkpoints: every array of a state under its name in one .npz file, replaced whole, never pickled."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scattermec.errors import InputError
from scattermec.storage.atomic import replacing

FRAME, SEEDS = "_frame", "_seeds"
"""What a checkpoint has besides the arrays: frames played, and whose arrays they are."""

_BROKEN = (OSError, ValueError, TypeError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)


def save(path: Path, state: Any, seeds: Sequence[int], frame: int) -> None:
    """Write ``state`` after ``frame`` frames; an interruption leaves what was there before."""
    arrays: dict[str, Any] = {name: np.asarray(_data(leaf)) for name, leaf in named_leaves(state).items()}
    arrays |= {FRAME: np.int64(frame), SEEDS: np.asarray(seeds)}
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def frame_of(path: Path) -> int | None:
    """Frames played at a checkpoint; None if there is none. Raises InputError if it cannot be read."""
    if not path.exists():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            frame = archive[FRAME]
        if frame.shape != () or frame.dtype.kind != "i" or frame < 0:
            raise ValueError
    except _BROKEN as error:
        raise _unreadable(path, error) from None
    return int(frame)


def load(path: Path, example: Any, seeds: Sequence[int]) -> tuple[Any, int]:
    """The state of a checkpoint, with the structure of ``example``, and the frames played.

    Args:
        path: the file.
        example: a state, or its shapes and types from `jax.eval_shape`.
        seeds: whose state it must be.

    Raises InputError with a line for every array that is missing, unknown, or of another shape or type.
    """
    frame = frame_of(path)
    if frame is None:
        raise InputError([f"{path}: there is no such checkpoint"])
    wanted = {name: jax.eval_shape(_data, leaf) for name, leaf in named_leaves(example).items()}
    faults: list[str] = []
    arrays: dict[str, np.ndarray] = {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            faults += [f"{path}: {name}: is missing" for name in wanted if name not in archive]
            known = {*wanted, FRAME, SEEDS}
            faults += [f"{path}: {name}: is unknown" for name in archive if name not in known]
            owners = archive[SEEDS].tolist() if SEEDS in archive else None
            if owners != list(seeds):
                faults.append(f"{path}: {SEEDS}: {owners} is not allowed; it must be {list(seeds)}")
            for name in wanted:
                if name not in archive:
                    continue
                try:
                    arrays[name] = archive[name]
                except ValueError:  # an object, which would have to be unpickled
                    faults.append(f"{path}: {name}: is not a plain array")
    except _BROKEN as error:
        raise _unreadable(path, error) from None
    for name, array in arrays.items():
        shape, dtype = wanted[name].shape, wanted[name].dtype
        if array.shape != shape:
            faults.append(f"{path}: {name}: shape {array.shape} is not allowed; it must be {shape}")
        elif array.dtype != dtype:
            faults.append(f"{path}: {name}: type {array.dtype} is not allowed; it must be {dtype}")
    if faults:
        raise InputError(faults)
    leaves = [
        jax.random.wrap_key_data(jnp.asarray(arrays[name])) if _is_key(leaf) else jnp.asarray(arrays[name])
        for name, leaf in named_leaves(example).items()
    ]
    return jax.tree.unflatten(jax.tree.structure(example), leaves), frame


def named_leaves(tree: Any) -> dict[str, Any]:
    """Leaves by their path in the tree, such as ``ap.actor.layers.0.weight``, in the tree's order."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _is_key(leaf: Any) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _data(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
    return InputError([f"{path}: cannot be read as a checkpoint{reason}"])
