"""Files that are never half written: a temporary file beside the target, fsync, then rename; and what they hold."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from graphrec.errors import DataError, UsageError

TABLES = (".parquet", ".csv")


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the target's folder; on success it becomes ``path``, on error it is removed.

    >>> import tempfile; folder = Path(tempfile.mkdtemp())
    >>> with atomic_path(folder / "a.txt") as temporary:
    ...     _ = temporary.write_text("whole")
    >>> (folder / "a.txt").read_text()
    'whole'
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _sync(temporary)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
        _sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def unchanged(*paths: Path) -> Iterator[None]:
    """Refuse files that change, or vanish, while they are being read.

    Raises:
        DataError: one has.
    """
    before = [_identity(path) for path in paths]
    yield
    for path, was in zip(paths, before, strict=True):
        if _identity(path) != was:
            raise DataError(f"{path}: has changed while it was being read", "run the same command again")


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text to ``path`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_array(path: str | os.PathLike[str], shape: tuple[int, ...], blocks: Iterable[np.ndarray]) -> None:
    """Write a float32 .npy file to ``path`` atomically, some rows at a time.

    Args:
        shape: of all rows together.
        blocks: rows, in order.

    >>> import tempfile; path = Path(tempfile.mkdtemp()) / "a.npy"
    >>> write_array(path, (3, 2), [np.zeros((2, 2)), np.ones((1, 2))])
    >>> np.load(path).tolist()
    [[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]]
    """
    written = 0
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": tuple(shape)})
        for rows in blocks:
            assert rows.shape[1:] == tuple(shape[1:]), f"rows of {rows.shape[1:]} for {shape}"
            file.write(np.ascontiguousarray(rows, "<f4").data)
            written += len(rows)
        assert written == shape[0], f"{written} rows for {shape}"


def map_array(path: str | os.PathLike[str]) -> np.ndarray:
    """The array of a .npy file, mapped into memory: only what is read is loaded.

    Copy-on-write rather than read-only, since torch warns of arrays that cannot be written; the file stays as it is.

    Raises:
        OSError, ValueError: the file is missing, or no whole .npy file.
    """
    array: np.ndarray = np.load(path, mmap_mode="c", allow_pickle=False)
    return array


def table_format(path: str | os.PathLike[str], name: str = "the file") -> str:
    """The format of a table, by its suffix.

    Args:
        name: what a message calls it.

    Raises:
        UsageError: it is none that tables are written in.

    >>> table_format("top.CSV"), table_format("top.parquet")
    ('csv', 'parquet')
    """
    suffix = Path(path).suffix.lower()
    if suffix not in TABLES:
        raise UsageError(f"{name} must end in {' or '.join(TABLES)}, got {path}")
    return suffix[1:]


def _identity(path: Path) -> tuple[int, int] | None:
    """Size and time of the last change, None where there is no such file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
