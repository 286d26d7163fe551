"""Arrays in files of other programs: MATLAB, GNU Octave, HDF5, NumPy, and CSV of I and Q.

Axes are in the order in which the program that wrote the file shows them. Nothing here unpickles.
"""

import functools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scattermec.errors import InputError
from scattermec.storage.arrays import load_array, open_arrays, readable
from scattermec.storage.texts import read_text

__all__ = ["ForeignFile", "open_foreign"]

Load = Callable[[], NDArray[Any]]

_MATLAB_SUFFIX = ".mat"
_HDF5_MAGIC, _HDF5_PLACES = b"\x89HDF\r\n\x1a\n", (0, 512)
"""Start of an HDF5 file, at its beginning or behind the header of MATLAB v7.3."""
_NUMBERS = ("double", "single", "logical", *(f"{u}int{bits}" for u in ("", "u") for bits in (8, 16, 32, 64)))
"""MATLAB's classes of full numeric arrays."""


class ForeignFile(NamedTuple):
    """Arrays of a file, by name; reading one may raise InputError."""

    arrays: Mapping[str, Load]
    axes: str = ""
    """letters of the axes of channels, if the file itself names them"""


def open_foreign(path: Path) -> ForeignFile:
    """The arrays of numbers in a file, or in a folder of ``.npy`` files; raises InputError if there are none.

    HDF5 needs h5py.
    """
    with readable(path, ""):
        path.stat()
    if path.is_dir() or path.suffix == ".npz":
        source = open_arrays(path)
        found = ForeignFile(
            {name: functools.partial(lambda name: source.load([name])[name], name) for name in source.names}
        )
    elif path.suffix == ".npy":
        found = ForeignFile({"channels": functools.partial(load_array, path)})
    elif _is_hdf5(path):
        found = ForeignFile(_of_hdf5(path))
    elif path.suffix == _MATLAB_SUFFIX:
        found = ForeignFile(_of_matlab(path))
    elif path.suffix == ".csv":
        found = _of_csv(path)
    else:
        raise InputError([f"{path}: must be .npz, .npy, .mat, .csv, HDF5, or a folder of .npy files"])
    if not found.arrays:
        raise InputError([f"{path}: has no array of numbers; save the fields of structs as variables"])
    return found


def _is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5, as MATLAB v7.3 is; False if it cannot be read."""
    try:
        with path.open("rb") as file:
            start = file.read(max(_HDF5_PLACES) + len(_HDF5_MAGIC))
    except OSError:
        return False
    return any(start[place:].startswith(_HDF5_MAGIC) for place in _HDF5_PLACES)


def _of_matlab(path: Path) -> dict[str, Load]:
    """Full numeric arrays of a file of MATLAB v4 to v7."""
    from scipy import io

    def load(name: str) -> NDArray[Any]:
        with readable(path, f"{name} cannot be read: the file is damaged"):
            array: NDArray[Any] = io.loadmat(path, variable_names=[name])[name]
            return array

    with readable(path, "is not a .mat file, or is damaged"):
        return {name: functools.partial(load, name) for name, _, kind in io.whosmat(path) if kind in _NUMBERS}


def _of_hdf5(path: Path) -> dict[str, Load]:
    """Numeric data sets of an HDF5 file, by their path in it."""
    try:
        import h5py
    except ImportError as error:
        raise InputError([f"{path}: h5py not installed; pip install 'scattermec[convert]'"]) from error

    def load(name: str) -> NDArray[Any]:
        with readable(path, f"{name} cannot be read: the file is damaged"), h5py.File(path) as file:
            return _array_of(file[name])

    found: dict[str, Load] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and _is_numeric(item) and not name.startswith("#"):
            # Octave has a group for each variable.
            found[name.removesuffix("/value") if _is_octave(item) else name] = functools.partial(load, name)

    with readable(path, "is not HDF5, or is damaged"), h5py.File(path) as file:
        file.visititems(visit)
    return found


def _is_numeric(dataset: Any) -> bool:
    if dataset.dtype.kind not in "biufc" and not _is_pair(dataset.dtype):
        return False
    # Texts are stored as numbers, too, and empty arrays as their sizes.
    if _is_octave(dataset):
        return b"string" not in dataset.parent["type"][()]
    return dataset.attrs.get("MATLAB_class") != b"char" and "MATLAB_empty" not in dataset.attrs


def _is_pair(dtype: np.dtype) -> bool:
    """Whether it is a compound of a real and an imaginary part, which h5py knows by other names."""
    return dtype.names is not None and tuple(map(str.lower, dtype.names)) in (("real", "imag"), ("re", "im"))


def _is_octave(dataset: Any) -> bool:
    return "OCTAVE_NEW_FORMAT" in dataset.parent.attrs and dataset.name.endswith("/value")


def _array_of(dataset: Any) -> NDArray[Any]:
    array = np.asarray(dataset[()])
    if array.dtype.names is not None:
        real, imaginary = array.dtype.names
        array = array[real] + 1j * array[imaginary]
    # These store columns first, so HDF5 has their axes reversed.
    return array.T if "MATLAB_class" in dataset.attrs or _is_octave(dataset) else array


# CSV: a line per frame, user and antenna

_COLUMNS = {
    "frame": ("frame", "k"),
    "user": ("user", "n"),
    "antenna": ("antenna", "m"),
    "I": ("i", "re", "real"),
    "Q": ("q", "im", "imag"),
    "workload": ("workload",),
    "battery": ("battery",),
}
"""Columns and their spellings in lower case."""
_INDICES = ("frame", "user", "antenna")


def _of_csv(path: Path) -> ForeignFile:
    columns = _columns_of(path)
    rows = len(columns["I"])
    where, sizes = [], []
    for name in _INDICES:
        values, index = np.unique(columns.get(name, np.zeros(rows)), return_inverse=True)
        where.append(index)
        sizes.append(len(values))
    _check_complete(path, where, sizes)

    def arranged(values: NDArray[Any]) -> NDArray[Any]:
        array = np.empty(sizes, values.dtype)
        array[tuple(where)] = values
        return array

    arrays = {"channels": arranged(columns["I"] + 1j * columns["Q"])}
    for name in ("workload", "battery"):
        if name in columns:
            of_antennas = arranged(columns[name])
            if (of_antennas != of_antennas[:, :, :1]).any():
                raise InputError([f"{path}: {name} differs between antennas of the same user and frame"])
            arrays[name] = of_antennas[:, :, 0]
    return ForeignFile({name: functools.partial(np.asarray, array) for name, array in arrays.items()}, "KNM")


def _columns_of(path: Path) -> dict[str, NDArray[np.float64]]:
    """The columns that are known, (rows) each."""
    first, *lines = read_text(path).removeprefix("\ufeff").splitlines() or [""]
    delimiter = next((sign for sign in ",;\t" if sign in first), ",")
    heads = [head.strip(' "').lower() for head in first.lstrip("#").split(delimiter)]
    spelt = {spelling: name for name, spellings in _COLUMNS.items() for spelling in spellings}
    known = [spelt.get(head) for head in heads]
    if not {"I", "Q"} <= set(known) or not set(_INDICES) & set(known):
        columns = (
            "I and Q, and frame, user and antenna where there are several; workload and battery may follow"
        )
        raise InputError([f"{path}: its first line must name the columns: {columns}"])
    if not lines:
        raise InputError([f"{path}: has no lines of numbers"])
    try:
        numbers = np.loadtxt(lines, delimiter=delimiter, ndmin=2, comments=None, quotechar='"')
    except ValueError as error:  # no numbers, or lines of unequal length
        raise InputError([f"{path}: is not a table of numbers: {error}"]) from None
    if numbers.shape[1] != len(heads):
        raise InputError([f"{path}: has {len(heads)} headings over {numbers.shape[1]} columns of numbers"])
    return {name: numbers[:, index] for index, name in enumerate(known) if name is not None}


def _check_complete(path: Path, where: list[NDArray[np.intp]], sizes: list[int]) -> None:
    """Raise InputError unless each place is there once."""
    rows = len(where[0])
    counted = ", ".join(f"{size} {name}s" for name, size in zip(_INDICES, sizes, strict=True))
    if math.prod(sizes) != rows:
        raise InputError([f"{path}: has {rows} lines for {counted}; it must be one for each combination"])
    counts = np.bincount(np.ravel_multi_index(where, sizes), minlength=rows)
    if (counts == 0).any():
        at = np.unravel_index(int((counts == 0).argmax()), sizes)
        named = ", ".join(f"{name} {index}" for name, index in zip(_INDICES, at, strict=True))
        raise InputError([f"{path}: has no line for {named} (counted from 0)"])
