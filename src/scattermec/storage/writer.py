"""Arrays written as streams of rows, completely or not at all."""

import contextlib
import math
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from scattermec.errors import InputError
from scattermec.storage.atomic import discard, naming, partial_of, writing

__all__ = ["ArrayWriter"]

_MOST_OF_MAT = 2**32 - 2**20
"""Largest array of a ``.mat`` file of version 5, in bytes, with room for its header."""


class ArrayWriter:
    """Context manager that appends rows to named arrays, in a file or in a folder of ``.npy`` files.

    The output gets its name only when complete. Until then it is in a temporary folder beside its final
    place, which is removed if anything goes wrong. Raises InputError on construction if the output cannot be
    placed there, and BusyError on entering if another process writes the same output; an OSError names the
    output.

    Args:
        path: an ``.npz`` or ``.mat`` file (replaced if it exists) if the name ends so, else a folder (new or
            empty). The arrays of a ``.mat`` file, of MATLAB's version 5, pass through memory whole.
        num_rows: rows of every array.
        rows: shape of one row, and type, by name.
        texts: strings stored with the arrays, by name, as zero-dimensional arrays.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        num_rows: int,
        rows: Mapping[str, tuple[tuple[int, ...], np.dtype]],
        texts: Mapping[str, str],
    ) -> None:
        self.path = Path(path)
        self.num_rows = num_rows
        self._written = 0
        self._rows = {name: (shape, np.dtype(dtype)) for name, (shape, dtype) in rows.items()}
        self._texts = dict(texts)
        self._files: dict[str, BinaryIO] = {}
        self._pack = {".npz": self._pack_npz, ".mat": self._pack_mat}.get(self.path.suffix)
        self._check_place()
        self._folder = partial_of(self.path)
        self._held = contextlib.ExitStack()

    def _check_place(self) -> None:
        parent, fault = self.path.parent, None
        if not parent.is_dir():
            fault = f"cannot be written: there is no folder {parent}"
        elif self._pack and self.path.is_dir():
            fault = "cannot be written: it is a folder"
        elif not self._pack and self.path.exists() and not self.path.is_dir():
            fault = "is a file; end the name in .npz or .mat to write a file, or name a new folder"
        elif not self._pack and self.path.is_dir() and any(self.path.iterdir()):
            fault = "is a folder with something in it; name a new one"
        elif self._pack == self._pack_mat and self._largest > _MOST_OF_MAT:
            fault = f"cannot hold an array of {self._largest:,} bytes, more than 4 GiB; end the name in .npz"
        if fault:
            raise InputError([f"{self.path}: {fault}"])

    @property
    def _largest(self) -> int:
        """Size of the largest array in bytes."""
        return max(self.num_rows * math.prod(shape) * dtype.itemsize for shape, dtype in self._rows.values())

    def __enter__(self) -> "ArrayWriter":
        try:
            self._held.enter_context(writing(self.path))
            discard(self._folder)  # left by a killed writer
            self._folder.mkdir()
        except OSError as error:
            self._held.close()
            raise InputError([f"{self.path}: cannot be written: {error.strerror}"]) from error
        try:
            with naming(self.path, self._folder):
                self._begin()
        except BaseException:
            self._discard()
            raise
        return self

    def _begin(self) -> None:
        """Open all files and write their headers."""
        for name, (shape, dtype) in self._rows.items():
            self._files[name] = file = (self._folder / f"{name}.npy").open("wb")
            header = {
                "descr": np.lib.format.dtype_to_descr(dtype),
                "fortran_order": False,
                "shape": (self.num_rows, *shape),
            }
            np.lib.format.write_array_header_1_0(file, header)
        for name, text in self._texts.items():
            np.save(self._folder / f"{name}.npy", np.array(text), allow_pickle=False)

    def append(self, rows: Mapping[str, np.ndarray]) -> None:
        """Write the next rows of every array, converted to its type."""
        counts = {len(rows[name]) for name in self._rows}
        if len(counts) != 1:
            raise ValueError(f"the arrays differ in their numbers of rows: {sorted(counts)}")
        for name, (shape, dtype) in self._rows.items():
            array = np.ascontiguousarray(rows[name], dtype)
            if array.shape[1:] != shape:
                raise ValueError(f"{name}: rows of shape {array.shape[1:]} instead of {shape}")
            with naming(self.path):
                self._files[name].write(array.data)
        self._written += counts.pop()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                with naming(self.path, self._folder):
                    self._publish()
        finally:
            self._discard()

    def _publish(self) -> None:
        if self._written != self.num_rows:
            raise ValueError(f"{self._written} rows were written of {self.num_rows}")
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
            file.close()
        if self._pack is None:
            if self.path.is_dir():
                self.path.rmdir()
            os.replace(self._folder, self.path)
            return
        packed = self._folder / "packed"
        with packed.open("wb") as file:
            self._pack(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(packed, self.path)

    def _members(self) -> Iterator[Path]:
        """The files to pack, each removed after its use."""
        for name in (*self._rows, *self._texts):
            member = self._folder / f"{name}.npy"
            yield member
            member.unlink()

    def _pack_npz(self, file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for member in self._members():
                _add(archive, member)

    def _pack_mat(self, file: BinaryIO) -> None:
        from scipy.io import savemat

        for member in self._members():
            # One at a time: savemat copies what it writes.
            savemat(file, {member.stem: np.load(member, allow_pickle=False)}, oned_as="column")

    def _discard(self) -> None:
        with self._held:
            for file in self._files.values():
                # Flushing the rest may fail on a full disk, but the file is discarded anyway.
                with contextlib.suppress(OSError):
                    file.close()
            discard(self._folder)


def _add(archive: zipfile.ZipFile, member: Path) -> None:
    """Copy a file into the archive, without its date and owner: equal arrays make equal files."""
    about = zipfile.ZipInfo(member.name)
    about.create_system = 3  # as on Unix
    about.file_size = member.stat().st_size
    with member.open("rb") as source, archive.open(about, "w") as target:
        shutil.copyfileobj(source, target, 1 << 20)
