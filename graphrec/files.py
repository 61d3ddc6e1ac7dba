"""Files that are never half written (a temporary file beside the target, fsync, then rename) and are read with care."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tokenize import TokenError
from typing import Any, Literal

import numpy as np

from graphrec.errors import BusyError, ChangedError, SettingError

try:
    import fcntl
except ModuleNotFoundError:  # Windows has other locks
    fcntl = None  # type: ignore[assignment]

TABLES = (".parquet", ".csv")
_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp")  # as ``tempfile`` names them for ``atomic_path``


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
def held(folder: Path) -> Iterator[None]:
    """Hold a folder, made if need be, so that no other process does; the system lets go of it when this one dies.

    Where the system or the file system has no such lock (Windows, some network drives), nothing is held.

    Raises:
        BusyError: another process holds it.

    >>> import tempfile; folder = Path(tempfile.mkdtemp())
    >>> with held(folder), held(folder):
    ...     pass
    Traceback (most recent call last):
    ...
    graphrec.errors.BusyError: GR033 another process is writing ...
    wait until it has ended, or choose another folder
    """
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = None if fcntl is None else os.open(folder, os.O_RDONLY)
    try:
        if descriptor is not None:
            _lock(folder, descriptor)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)
        if made:
            with suppress(OSError):  # it holds something
                folder.rmdir()


def sweep(folder: Path) -> None:
    """Remove the temporary files and folders that killed processes have left anywhere in a folder that is held."""
    for path in sorted(folder.rglob(".*.tmp")):
        if _TEMPORARY.fullmatch(path.name):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


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
            raise ChangedError(f"{path}: has changed while it was being read", "run the same command again")


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


def map_array(path: str | os.PathLike[str], mode: Literal["r", "c"] = "c") -> np.ndarray:
    """The array of a .npy file, mapped into memory: only what is read is loaded.

    What the header claims is held against the size of the file before anything is mapped.

    Args:
        mode: ``r`` for read-only; ``c`` for copy-on-write, since torch warns of arrays that cannot be written. The file
            stays as it is either way.

    Raises:
        OSError, ValueError: the file is missing, or no whole .npy file.
    """
    with open(path, "rb") as file:
        try:
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError("not version 1.0 of the format")
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        except (RecursionError, MemoryError, TypeError, TokenError) as error:
            raise ValueError(f"no header of an array: {error}") from None
        start, size = file.tell(), os.fstat(file.fileno()).st_size
    needed = start + math.prod(shape) * dtype.itemsize
    if dtype.hasobject or min(shape, default=0) < 0 or needed != size:
        raise ValueError(f"its header says {dtype} {list(shape)}, which is {needed:,} bytes, and it has {size:,}")
    array: np.ndarray = np.load(path, mmap_mode=mode, allow_pickle=False)
    return array


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        OSError, ValueError: no such file, or it holds something else.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    return found


def sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
        raise SettingError(f"{name} must end in {' or '.join(TABLES)}, got {path}")
    return suffix[1:]


def _lock(folder: Path, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        hint = "wait until it has ended, or choose another folder"
        raise BusyError(f"another process is writing {folder}", hint) from None
    except OSError:  # this file system has no locks
        pass


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
