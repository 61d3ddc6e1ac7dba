"""Which tables go past memory: many files, very large ones, and whatever a limit was given for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from graphrec.data.formats import is_numbered
from graphrec.data.large.memory import available_memory
from graphrec.data.large.sources import is_glob
from graphrec.data.request import Request
from graphrec.errors import CombinationError

# A file of so many bytes takes about so many times as much memory to read at once: measured with short ids, which
# compress well.
IN_MEMORY = {".parquet": 20, "text": 8}
SHARE = 0.5  # of the memory that is available


def is_large(request: Request, limit: int | None) -> bool:
    """Whether to read past memory.

    Args:
        limit: bytes of memory that were allowed, None where nothing was said.

    Raises:
        UsageError: a limit was given for what can only be read at once.
    """
    source = request.interactions
    paths = source if isinstance(source, tuple) else (source,)
    if not isinstance(paths[0], str | os.PathLike) or is_numbered(Path(paths[0])):
        if limit is not None:
            what = "a known folder" if isinstance(source, str | os.PathLike) else "in memory already"
            raise CombinationError(f"memory was limited, and the interactions are {what}", "leave the limit out")
        return False
    many = (isinstance(table, str | os.PathLike) and _is_many(table) for table in (*paths, request.test))
    return limit is not None or any(many) or _might_not_fit([*paths, request.test])


def default_limit() -> int:
    """Bytes of memory to use where nothing was said."""
    return int(SHARE * available_memory())


def _is_many(source: str | os.PathLike[str]) -> bool:
    return Path(source).is_dir() or is_glob(source)


def _might_not_fit(tables: Sequence[object]) -> bool:
    paths = [Path(table) for table in tables if isinstance(table, str | os.PathLike)]
    sizes = [
        path.stat().st_size * IN_MEMORY.get(path.suffix.lower(), IN_MEMORY["text"]) for path in paths if path.is_file()
    ]
    return sum(sizes) > 100_000_000 and sum(sizes) > SHARE * available_memory()
