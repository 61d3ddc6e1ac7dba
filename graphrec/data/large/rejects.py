"""The bad rows of each part, in a file of its own in the work folder, until all are joined."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from graphrec.data.rejected import REJECTED, Rejected, write_rejected


@contextmanager
def rejected_in(folder: Path, number: int, *, skip: bool) -> Iterator[Rejected | None]:
    """What takes the bad rows of a part; None where the first one stops the build."""
    if not skip:
        yield None
        return
    with open(_path(folder, number), "w", encoding="utf-8", newline="") as file:
        yield Rejected(file)


def join_rejected(folder: Path, parts: int, others: Rejected | None) -> None:
    """Write the bad rows of all parts and of the other tables to one file, if there are any."""
    with ExitStack() as stack:
        files: list[TextIO] = []
        if others is not None and others.file is not None:
            paths = [_path(folder, number) for number in range(parts)]
            files = [stack.enter_context(open(path, encoding="utf-8", newline="")) for path in paths]
            files.append(others.file)
        write_rejected(folder / REJECTED, files)


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number}.{REJECTED}"
