"""Files written whole or not at all: texts, and arrays as streams of rows."""

import os
import secrets
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from scattermec.errors import InputError

__all__ = ["ArrayWriter", "replace_text"]


def replace_text(path: Path, text: str) -> None:
    """Write a text file, line ends as they are; an interruption leaves what was there before, or nothing."""
    partial = _partial(path)
    try:
        partial.write_text(text, encoding="utf-8", newline="")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _partial(path: Path) -> Path:
    """A name beside the final place for what is not yet complete; no other writer has the same."""
    return path.parent / f".{path.name}.{secrets.token_hex(4)}.partial"


class ArrayWriter:
    """Context manager that appends rows to named arrays, of an ``.npz`` file or a folder of ``.npy`` files.

    What it writes gets its name only when complete. Until then it lies in a folder beside the final place,
    which is removed if anything goes wrong. Raises InputError on construction where the output cannot be put.

    Args:
        path: an ``.npz`` file (replaced if it exists) if the name ends so, else a folder (new or empty).
        num_rows: rows of every array.
        rows: shape of one row, and type, by name.
        texts: strings kept beside the arrays, by name, as arrays of no dimension.
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
        self._packed = self.path.suffix == ".npz"
        self._check_place()
        self._folder = _partial(self.path)

    def _check_place(self) -> None:
        parent, fault = self.path.parent, None
        if not parent.is_dir():
            fault = f"cannot be written: there is no folder {parent}"
        elif self._packed and self.path.is_dir():
            fault = "cannot be written: it is a folder"
        elif not self._packed and self.path.exists() and not self.path.is_dir():
            fault = "is a file; end the name in .npz to write a file, or name a new folder"
        elif not self._packed and self.path.is_dir() and any(self.path.iterdir()):
            fault = "is a folder with something in it; name a new one"
        if fault:
            raise InputError([f"{self.path}: {fault}"])

    def __enter__(self) -> "ArrayWriter":
        try:
            self._folder.mkdir()
        except OSError as error:
            raise InputError([f"{self.path}: cannot be written: {error.strerror}"]) from error
        try:
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
        except BaseException:
            self._discard()
            raise
        return self

    def append(self, rows: Mapping[str, np.ndarray]) -> None:
        """Write the next rows of every array, each converted to its type."""
        counts = {len(rows[name]) for name in self._rows}
        if len(counts) != 1:
            raise ValueError(f"the arrays differ in their numbers of rows: {sorted(counts)}")
        for name, (shape, dtype) in self._rows.items():
            array = np.ascontiguousarray(rows[name], dtype)
            if array.shape[1:] != shape:
                raise ValueError(f"{name}: rows of shape {array.shape[1:]} instead of {shape}")
            self._files[name].write(array.data)
        self._written += counts.pop()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._publish()
        finally:
            self._discard()

    def _publish(self) -> None:
        if self._written != self.num_rows:
            raise ValueError(f"{self._written} rows were written of {self.num_rows}")
        self._close()
        if not self._packed:
            if self.path.is_dir():
                self.path.rmdir()
            os.replace(self._folder, self.path)
            return
        packed = self._folder / "packed.npz"
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for name in (*self._rows, *self._texts):
                member = self._folder / f"{name}.npy"
                archive.write(member, member.name)
                member.unlink()
        os.replace(packed, self.path)

    def _discard(self) -> None:
        self._close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _close(self) -> None:
        for file in self._files.values():
            file.close()
