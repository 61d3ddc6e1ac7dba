"""Columns on disk: ``.npy`` files that are written block after block and read as memory maps."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np

from graphrec.errors import GraphFolderError
from graphrec.files import map_array

BLOCK = 1 << 18  # rows looked at together


class ColumnWriter:
    """A ``.npy`` file of one dimension that grows by sequential writes, so that no page of it stays resident.

    Args:
        path: where; the file is whole once the writer is closed without an error.
        dtype: of the column.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "column.npy"
    >>> with ColumnWriter(path, np.int32) as column:
    ...     column.append(np.array([1, 2])); column.append(np.array([3]))
    >>> open_column(path).tolist()
    [1, 2, 3]
    """

    def __init__(self, path: Path, dtype: np.dtype | type) -> None:
        self.dtype = np.dtype(dtype)
        self.length = 0
        self._file = open(path, "wb")  # noqa: SIM115 - closed by __exit__
        self._write_header()
        self._data_starts = self._file.tell()

    def append(self, values: np.ndarray) -> None:
        """Write further values."""
        self._file.write(np.ascontiguousarray(values, dtype=self.dtype).data)
        self.length += len(values)

    def __enter__(self) -> ColumnWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is None:
                self._file.seek(0)
                self._write_header()  # the length is known now; NumPy pads a header so that its length can grow
                assert self._file.tell() == self._data_starts
                self._file.flush()
                os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def _write_header(self) -> None:
        header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(self._file, header)


def open_column(path: Path) -> np.ndarray:
    """A read-only column whose values stay on disk until they are used.

    Raises:
        DataError: no such file, a truncated one, or not a column.
    """
    try:
        column = map_array(path, "r")
    except (OSError, ValueError) as error:
        raise GraphFolderError(f"{path}: missing or damaged ({error})", "build the folder anew") from error
    if column.ndim != 1:
        raise GraphFolderError(f"{path}: not a column", "build the folder anew")
    return np.asarray(column)


def write_column(path: Path, values: np.ndarray) -> None:
    """Write a column; a memory-mapped one passes through memory block by block."""
    with ColumnWriter(path, values.dtype) as column:
        for (block,) in blocks(values):
            column.append(block)


def blocks(*columns: np.ndarray, rows: int = BLOCK) -> Iterator[tuple[np.ndarray, ...]]:
    """Slices of columns of one length, in order; memory maps forget each slice after its turn.

    >>> [block.tolist() for (block,) in blocks(np.arange(5), rows=2)]
    [[0, 1], [2, 3], [4]]
    """
    for start in range(0, len(columns[0]), rows):
        yield tuple(column[start : start + rows] for column in columns)
        forget(*columns)


def forget(*columns: np.ndarray) -> None:
    """Let go of the pages of memory-mapped columns: they count as resident memory until then."""
    for column in columns:
        owner: object = column
        while isinstance(owner, np.ndarray):
            owner = owner.base
        if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
            owner.madvise(mmap.MADV_DONTNEED)
