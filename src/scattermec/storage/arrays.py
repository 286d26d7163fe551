"""Arrays read as streams of rows: from an ``.npz`` file, or from a folder of ``.npy`` files.

Nothing here loads a whole array, and nothing unpickles.
"""

import math
import os
import shutil
import tempfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import Literal, NamedTuple, cast

import numpy as np

from scattermec.errors import InputError

__all__ = ["ArrayFile", "Header", "open_arrays"]


class Header(NamedTuple):
    """What a ``.npy`` file says of its array, and where in the file the numbers start."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran_order: bool
    offset: int

    @property
    def num_bytes(self) -> int:
        """Size of the array's numbers."""
        return math.prod(self.shape) * self.dtype.itemsize


class ArrayFile(ABC):
    """Named arrays that can be read row by row, the first axis being the rows."""

    names: tuple[str, ...]
    """what there is"""

    @abstractmethod
    def header(self, name: str) -> Header:
        """Shape and type of an array; raises InputError if it is not one that can be read."""

    @abstractmethod
    def rows(self, name: str, count: int) -> Iterator[np.ndarray]:
        """Consecutive blocks of ``count`` rows (the last one shorter); raises InputError if broken."""


def open_arrays(path: str | os.PathLike[str]) -> ArrayFile:
    """Arrays of an ``.npz`` file or of a folder of ``.npy`` files; raises InputError if it is neither."""
    path = Path(path)
    if path.is_dir():
        return _Folder(path)
    with _readable(path, "not an .npz file, nor a folder of .npy files"):
        return _Archive(path)


class _Folder(ArrayFile):
    """A folder of ``.npy`` files, mapped into memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names = tuple(sorted(file.stem for file in path.glob("*.npy")))

    def header(self, name: str) -> Header:
        path = self.path / f"{name}.npy"
        with _readable(path, "not an .npy array"), path.open("rb") as file:
            return _read_header(file, path.stat().st_size)

    def rows(self, name: str, count: int) -> Iterator[np.ndarray]:
        header, path = self.header(name), self.path / f"{name}.npy"
        with _readable(path, "not an .npy array"), path.open("rb") as file:
            yield from _mapped_rows(file, header, count)


class _Archive(ArrayFile):
    """An ``.npz`` file, whose members are decompressed as they are read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with zipfile.ZipFile(path) as archive:
            files = archive.namelist()
        self.names = tuple(name.removesuffix(".npy") for name in files if name.endswith(".npy"))

    @contextmanager
    def _member(self, name: str) -> Iterator[tuple[BufferedIOBase, Header]]:
        problem = f"{name} is not an .npy array, or is damaged"
        with _readable(self.path, problem), zipfile.ZipFile(self.path) as archive:
            size = archive.getinfo(f"{name}.npy").file_size
            with cast(BufferedIOBase, archive.open(f"{name}.npy")) as file:
                yield file, _read_header(file, size)

    def header(self, name: str) -> Header:
        with self._member(name) as (_, header):
            return header

    def rows(self, name: str, count: int) -> Iterator[np.ndarray]:
        with self._member(name) as (file, header):
            if header.fortran_order and len(header.shape) > 1:
                # Its rows lie scattered over the whole member, so it has to be laid out on disk first.
                with tempfile.TemporaryFile() as copy:
                    shutil.copyfileobj(file, copy)
                    copy.flush()
                    yield from _mapped_rows(copy, header._replace(offset=0), count)
                return
            row = header.num_bytes // max(header.shape[0], 1)
            for start in range(0, header.shape[0], count):
                size = min(count, header.shape[0] - start)
                numbers = np.frombuffer(_read_exactly(file, size * row), header.dtype)
                yield numbers.reshape(size, *header.shape[1:])
            file.read(1)  # the checksum is compared at the end of the member


def _mapped_rows(file: BufferedIOBase, header: Header, count: int) -> Iterator[np.ndarray]:
    order: Literal["C", "F"] = "F" if header.fortran_order else "C"
    for start in range(0, header.shape[0], count):
        # Mapped anew for each block: what a mapping has touched counts as memory in use until it ends.
        array = np.memmap(file, header.dtype, mode="r", offset=header.offset, shape=header.shape, order=order)
        yield np.array(array[start : start + count])
        del array


def _read_header(file: BufferedIOBase, size: int) -> Header:
    """Header of the ``.npy`` file of ``size`` bytes that starts here; raises ValueError if it is not one."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, fortran_order, dtype = np.lib.format.read_array_header_2_0(file)
    else:  # used only for structured types with names that are not ASCII
        raise ValueError("of an unknown version")
    header = Header(shape, dtype, fortran_order, file.tell())
    if dtype.hasobject:
        raise ValueError("of Python objects")
    if header.offset + header.num_bytes != size:
        raise ValueError("of another size than its header says")
    return header


def _read_exactly(file: BufferedIOBase, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise EOFError
    return data


@contextmanager
def _readable(path: Path, problem: str) -> Iterator[None]:
    """Turn whatever a broken file leads to into one line."""
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        raise InputError([f"{path}: cannot be read: {error.strerror or error}"]) from error
    # RuntimeError: an encrypted member; NotImplementedError: an unknown compression.
    except (ValueError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, KeyError) as error:
        raise InputError([f"{path}: {problem}"]) from error
