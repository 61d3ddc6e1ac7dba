"""Finished parts of a long table, in a folder beside the file they will become.

Each part is whole or absent, and a note says what was asked for, so that a call that was stopped can go on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from graphrec.errors import OccupiedError, OutputError
from graphrec.files import atomic_path, table_format, write_text
from graphrec.recommender.cells import write_csv

NOTE = "asked.json"
_PART = r"\d{6}\.parquet"
_OURS = re.compile(rf"{_PART}|{re.escape(NOTE)}|\.({_PART}|{re.escape(NOTE)})\..*\.tmp")  # the last: of ``atomic_path``


class Parts:
    """The parts of one table.

    Args:
        target: the file that they become, .parquet or .csv; their folder has its name and ``.parts``.
        asked: what the table depends on; JSON-able. Our parts that were made for something else are removed.
        count: how many parts the table has.

    Raises:
        UsageError: another kind of file.
        OccupiedError: a folder of that name has something else in it.
    """

    def __init__(self, target: Path, asked: dict[str, Any], count: int) -> None:
        self.format = table_format(target)
        self.target = target
        self.folder = target.with_name(target.name + ".parts")
        self.count = count
        with self._writing():
            found = self._found()
            self.restarted = found is not None and found != asked
            if found != asked:
                self.remove()
                write_text(self.folder / NOTE, json.dumps(asked, indent=2) + "\n")
        self.found = [number for number in range(count) if self._path(number).exists()]

    def write(self, number: int, part: pa.Table) -> None:
        """Add one part.

        Raises:
            OutputError: it cannot be written.
        """
        with self._writing(), atomic_path(self._path(number)) as temporary:
            pq.write_table(part, temporary)

    def __iter__(self) -> Iterator[pa.Table]:
        """The parts in order, one at a time."""
        return (pq.read_table(self._path(number), partitioning=None) for number in range(self.count))

    def join(self, schema: pa.Schema) -> int:
        """Make the file of the parts, one at a time, and remove them.

        Args:
            schema: of every part.

        Returns:
            How many cells of a CSV file were escaped, see ``write_csv``.

        Raises:
            OutputError: it cannot be written.
        """
        escaped = 0
        with self._writing(), atomic_path(self.target) as temporary:
            if self.format == "parquet":
                with pq.ParquetWriter(temporary, schema) as writer:
                    for part in self:
                        writer.write_table(part)
            else:
                with temporary.open("w", encoding="utf-8", newline="") as file:
                    write_csv(schema.empty_table(), file)
                    for part in self:
                        escaped += write_csv(part, file, header=False)
        self.remove()
        return escaped

    def remove(self) -> None:
        """Remove the parts, and their folder unless somebody has put something else there."""
        if self.folder.exists():
            (self.folder / NOTE).unlink(missing_ok=True)
            paths = list(self.folder.iterdir())
            ours = [path for path in paths if _is_ours(path)]
            for path in ours:
                path.unlink()
            if len(ours) == len(paths):
                self.folder.rmdir()

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06}.parquet"

    def _found(self) -> dict[str, Any] | None:
        """What the parts that are there were made for; None if there are none."""
        paths = sorted(self.folder.iterdir()) if self.folder.exists() else []
        if not paths:
            return None
        strange = [path.name for path in paths if not _is_ours(path)]
        if strange:
            raise OccupiedError(f"{self.folder} holds {strange[0]}, which is no part of a table", "choose another file")
        try:
            found: dict[str, Any] = json.loads((self.folder / NOTE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"cannot write {self.target}: {error}",
                f"what is finished stays in {self.folder}: call the same again, and it goes on from there",
            ) from None


def _is_ours(path: Path) -> bool:
    return _OURS.fullmatch(path.name) is not None and path.is_file()
