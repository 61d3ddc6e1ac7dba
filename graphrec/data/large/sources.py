"""The files of a table that comes in parts: a file, a folder or a glob, as Spark and Dask leave them."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from graphrec.data.tables import check_file
from graphrec.data.text import BY_SUFFIX
from graphrec.errors import ChangedError, SourceError

NO_VALUE = "__HIVE_DEFAULT_PARTITION__"  # what Hive and Spark call a missing value in a path


@dataclass(frozen=True)
class SourceFile:
    """One file of a table.

    Args:
        path: the file.
        size, changed: bytes and time in nanoseconds, by which a changed file is known.
        partition: columns that the path holds, as in ``day=2024-05-31/part-0.parquet``; None where it has no value.
    """

    path: Path
    size: int
    changed: int
    partition: dict[str, str | None]

    @property
    def identity(self) -> list[int]:
        """Size and time of change."""
        return [self.size, self.changed]

    @property
    def is_parquet(self) -> bool:
        return self.path.suffix.lower() == ".parquet"

    def check(self) -> None:
        """Refuse a file that is gone or has changed since it was listed."""
        try:
            status = self.path.stat()
        except OSError as error:
            hint = "put it back and run the same command again: it goes on from there"
            raise ChangedError(f"{self.path}: has vanished while the parts were being read", hint) from error
        if [status.st_size, status.st_mtime_ns] != self.identity:
            raise ChangedError(
                f"{self.path}: has changed while the parts were being read", "run the same command again"
            )


def is_glob(source: str | os.PathLike[str]) -> bool:
    """Whether a path that does not exist is a pattern for others."""
    return glob.has_magic(str(source)) and not Path(source).exists()


def list_files(source: str | os.PathLike[str] | tuple[Path, ...], table: str) -> tuple[SourceFile, ...]:
    """The files of a table in the order of their paths.

    Names that begin with ``_`` or ``.`` (``_SUCCESS``, ``_metadata``) are left out, as are folders of such names.

    Args:
        source: a file, a folder or a glob, or several files.
        table: what the table is called in messages.

    Raises:
        DataError: no such file, no part among the files, a file of an unknown kind, or text beside Parquet.
    """
    if isinstance(source, tuple):
        return tuple(_describe(check_file(path, table), path.parent) for path in source)
    if is_glob(source):
        base = Path(*Path(source).parts[: _first_magic(Path(source))])
        matches = map(Path, glob.glob(str(source), recursive=True))
        found = [path for path in matches if not any(map(_hidden, path.relative_to(base).parts))]
    elif Path(source).is_dir():
        found, base = [Path(source)], Path(source)
    else:
        found, base = [check_file(source, table)], Path(source).parent
    paths = sorted({path for place in found for path in _walk(place)})
    if not paths:
        hint = "parts are .csv, .tsv, .txt, .dat or .parquet files; names that begin with _ or . are left out"
        raise SourceError(f"{source}: holds no parts of the {table} table", hint)
    for path in paths:
        check_file(path, table)
    _check_alike(source, paths)
    return tuple(_describe(path, base) for path in paths)


def _first_magic(path: Path) -> int:
    return next(place for place, part in enumerate(path.parts) if glob.has_magic(part))


def _walk(place: Path) -> Iterator[Path]:
    if not place.is_dir():
        if not _hidden(place.name):
            yield place
        return
    for folder, below, names in os.walk(place, onerror=_refuse):
        below[:] = [name for name in below if not _hidden(name)]
        yield from (Path(folder, name) for name in names if not _hidden(name))


def _refuse(error: OSError) -> None:
    """A folder that cannot be read is not an empty one."""
    raise error


def _hidden(name: str) -> bool:
    return name.startswith(("_", ".")) and "=" not in name


def _check_alike(source: str | os.PathLike[str], paths: list[Path]) -> None:
    kinds = {"Parquet" if path.suffix.lower() not in BY_SUFFIX else "text": path for path in paths}
    if len(kinds) > 1:
        message = f"{source}: mixes text and Parquet ({kinds['text']} and {kinds['Parquet']})"
        raise SourceError(message, "name the files of one kind, with a pattern such as '*.parquet'")


def _describe(path: Path, base: Path) -> SourceFile:
    status = path.stat()
    pairs = (part.partition("=") for part in path.relative_to(base).parts[:-1] if "=" in part)
    partition = {unquote(name): None if value == NO_VALUE else unquote(value) for name, _, value in pairs}
    return SourceFile(path, status.st_size, status.st_mtime_ns, partition)
