"""Arrays read as streams of rows: from an ``.npz`` file, or from a folder of ``.npy`` files.

Nothing here loads a whole array, and nothing unpickles.
"""

import ast
import math
import os
import shutil
import struct
import tempfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import Literal, NamedTuple, cast

import numpy as np

from scattermec.errors import InputError

__all__ = [
    "Archive",
    "ArrayFile",
    "Header",
    "InMemory",
    "load_array",
    "open_archive",
    "open_arrays",
    "readable",
]


class Header(NamedTuple):
    """Header of a ``.npy`` file, and the offset at which the numbers start."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran_order: bool
    offset: int

    @property
    def num_bytes(self) -> int:
        """Size of the numbers."""
        return math.prod(self.shape) * self.dtype.itemsize


class ArrayFile(ABC):
    """Named arrays that can be read row by row (first axis)."""

    names: tuple[str, ...]
    """names of the arrays"""

    @abstractmethod
    def header(self, name: str) -> Header:
        """Shape and type of an array; raises InputError if it cannot be read."""

    @abstractmethod
    def load(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Whole arrays; raises InputError if one is broken."""

    @abstractmethod
    def rows(self, name: str, count: int) -> Iterator[np.ndarray]:
        """Consecutive blocks of ``count`` rows (the last one shorter); raises InputError if broken."""


def open_arrays(path: str | os.PathLike[str]) -> ArrayFile:
    """Arrays of an ``.npz`` file or of a folder of ``.npy`` files; raises InputError if it is neither."""
    path = Path(path)
    if path.is_dir():
        return _Folder(path)
    with readable(path, "not an .npz file, nor a folder of .npy files"):
        return Archive(path)


def open_archive(path: str | os.PathLike[str]) -> "Archive":
    """Arrays of an ``.npz`` file; raises InputError if it is not one."""
    path = Path(path)
    with readable(path, "is not an .npz file"):
        return Archive(path)


def load_array(path: Path) -> np.ndarray:
    """The array of an ``.npy`` file; raises InputError if it is not one."""
    with readable(path, "not an .npy array"), path.open("rb") as file:
        return _read_array(file, _read_header(file, path.stat().st_size))


class InMemory(ArrayFile):
    """Arrays in memory, and those of a file that are not among them."""

    def __init__(self, arrays: Mapping[str, np.ndarray], file: ArrayFile | None = None) -> None:
        self._arrays = dict(arrays)
        self._file = file
        others = () if file is None else file.names
        self.names = tuple(dict.fromkeys((*self._arrays, *others)))

    def _other(self) -> ArrayFile:
        assert self._file is not None
        return self._file

    def header(self, name: str) -> Header:
        """Shape and type of an array."""
        if name not in self._arrays:
            return self._other().header(name)
        return Header(self._arrays[name].shape, self._arrays[name].dtype, False, 0)

    def load(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Whole arrays."""
        others = [name for name in names if name not in self._arrays]
        loaded = self._other().load(others) if others else {}
        return {name: loaded[name] if name in loaded else self._arrays[name] for name in names}

    def rows(self, name: str, count: int) -> Iterator[np.ndarray]:
        """Consecutive blocks of ``count`` rows."""
        if name not in self._arrays:
            yield from self._other().rows(name, count)
            return
        array = self._arrays[name]
        for start in range(0, len(array), count):
            yield array[start : start + count]


class _Folder(ArrayFile):
    """A folder of ``.npy`` files, mapped into memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names = tuple(sorted(file.stem for file in path.glob("*.npy")))

    def header(self, name: str) -> Header:
        path = self.path / f"{name}.npy"
        with readable(path, "not an .npy array"), path.open("rb") as file:
            return _read_header(file, path.stat().st_size)

    def load(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        return {name: load_array(self.path / f"{name}.npy") for name in names}

    def rows(self, name: str, count: int) -> Iterator[np.ndarray]:
        header, path = self.header(name), self.path / f"{name}.npy"
        with readable(path, "not an .npy array"), path.open("rb") as file:
            yield from _mapped_rows(file, header, count)


class Archive(ArrayFile):
    """An ``.npz`` file; its members are decompressed as they are read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with zipfile.ZipFile(path) as archive:
            files = archive.namelist()
        self.names = tuple(name.removesuffix(".npy") for name in files if name.endswith(".npy"))

    @contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        with (
            readable(self.path, "is not an .npz file, or is damaged"),
            zipfile.ZipFile(self.path) as archive,
        ):
            yield archive

    @contextmanager
    def _member(self, name: str, archive: zipfile.ZipFile) -> Iterator[tuple[BufferedIOBase, Header]]:
        with readable(self.path, f"{name} is not an .npy array, or is damaged"):
            member = archive.getinfo(f"{name}.npy")
            _check_member(member, self.path.stat().st_size)
            with cast(BufferedIOBase, archive.open(member)) as file:
                yield file, _read_header(file, member.file_size)

    def header(self, name: str) -> Header:
        """Shape and type of an array."""
        return self.headers([name])[name]

    def headers(self, names: Sequence[str]) -> dict[str, Header]:
        """Shapes and types of several arrays."""
        found = {}
        with self._opened() as archive:
            for name in names:
                with self._member(name, archive) as (_, found[name]):
                    pass
        return found

    def load(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Whole arrays."""
        arrays = {}
        with self._opened() as archive:
            for name in names:
                with self._member(name, archive) as (file, header):
                    arrays[name] = _read_array(file, header)
                    file.read(1)  # the checksum is compared at the end of the member
        return arrays

    def rows(self, name: str, count: int) -> Iterator[np.ndarray]:
        """Consecutive blocks of ``count`` rows."""
        with self._opened() as archive, self._member(name, archive) as (file, header):
            if header.fortran_order and len(header.shape) > 1:
                # Rows are scattered over the whole member, so decompress it to disk first.
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
        # Map anew for each block: the pages that a mapping has touched count as memory in use until it ends.
        array = np.memmap(file, header.dtype, mode="r", offset=header.offset, shape=header.shape, order=order)
        yield np.array(array[start : start + count])
        del array


_MOST_HEADER = 10_000
"""Largest header in characters; NumPy's limit."""

_MOST_COMPRESSED = 1032
"""Largest compression ratio of deflate."""


def _check_member(member: zipfile.ZipInfo, archive_size: int) -> None:
    """Raise ValueError if the archive cannot contain a member of the size given in its directory."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("compressed in an unknown way")
    ratio = 1 if member.compress_type == zipfile.ZIP_STORED else _MOST_COMPRESSED
    if member.compress_size > archive_size or member.file_size > ratio * max(member.compress_size, 1):
        raise ValueError("larger than the file")


def _read_header(file: BufferedIOBase, size: int) -> Header:
    """Header of the ``.npy`` file of ``size`` bytes that starts here; raises ValueError if it is not one.

    Not read by NumPy, whose parser fails in many ways and warns about some headers.
    """
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):  # other versions are for structured types with non-ASCII names
        raise ValueError("of an unknown version")
    width, kind = (2, "<H") if version == (1, 0) else (4, "<I")
    (length,) = struct.unpack(kind, _read_exactly(file, width))
    if length > _MOST_HEADER:
        raise ValueError("of a header that is too long")
    fields = ast.literal_eval(_read_exactly(file, length).decode("latin-1").strip())
    if not isinstance(fields, dict) or set(fields) != {"descr", "fortran_order", "shape"}:
        raise ValueError("of an unknown header")
    descr, order, shape = fields["descr"], fields["fortran_order"], fields["shape"]
    if not (isinstance(descr, str) and isinstance(order, bool) and isinstance(shape, tuple)):
        raise ValueError("of an unknown header")
    if not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError("of a negative size")
    dtype = np.dtype(descr)
    if dtype.kind not in "biufcSU" or not dtype.itemsize:
        raise ValueError("of no plain numbers or texts")
    header = Header(shape, dtype, order, file.tell())
    if header.offset + header.num_bytes != size:
        raise ValueError("of another size than its header says")
    return header


def _read_array(file: BufferedIOBase, header: Header) -> np.ndarray:
    """All numbers, starting after the header."""
    numbers = np.frombuffer(_read_exactly(file, header.num_bytes), header.dtype)
    return numbers.reshape(header.shape, order="F" if header.fortran_order else "C")


def _read_exactly(file: BufferedIOBase, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise EOFError
    return data


@contextmanager
def readable(path: Path, problem: str) -> Iterator[None]:
    """Turn any error from a broken file into an InputError of one line."""
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        # Libraries raise it for damaged files, too, but then without a reason of the system.
        fault = f"cannot be read: {error.strerror}" if error.strerror else problem
        raise InputError([f"{path}: {fault}"]) from error
    except Exception as error:  # any error that a damaged file causes in zipfile, zlib, ast and NumPy
        raise InputError([f"{path}: {problem}"]) from error
