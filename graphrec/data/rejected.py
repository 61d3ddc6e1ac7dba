"""Rows that cannot be used: found again with line and text; the first is an error, or all are left out and kept."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa

from graphrec.data.delimited import DelimitedFile
from graphrec.data.values import Fault
from graphrec.errors import BadRowError, DataError
from graphrec.files import atomic_path

REJECTED = "rejected.csv"  # in the graph folder
HEADER = ("file", "line", "reason", "row")
SHOWN = 5  # rows spelled out


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used.

    Args:
        where: the file, or what the table is called.
        unit: what ``number`` counts, from 1: "line" of a text, or "row" of any other table.
        reason: what is wrong.
        text: as it stands in the file, or its values as JSON.
    """

    where: str
    unit: str
    number: int
    reason: str
    text: str

    def error(self) -> DataError:
        """The error for the first bad row."""
        message = f"{self.where}, {self.unit} {self.number}: {self.reason}"
        return BadRowError(message, "correct it, or skip bad rows with --on-bad-row skip")


class Rejected:
    """Rows that were left out.

    Args:
        file: where all of them are kept, without a header; None to keep the first few alone.

    Attributes:
        count: how many.
        first: file, line and reason of the first few.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        self.count = 0
        self.first: list[dict[str, Any]] = []
        self.file = file

    def add(self, bad: BadRow) -> None:
        """Note a row."""
        self.count += 1
        if len(self.first) < SHOWN:
            self.first.append({"file": bad.where, bad.unit: bad.number, "reason": bad.reason})
        if self.file is not None:
            csv.writer(self.file).writerow((bad.where, bad.number, bad.reason, bad.text))


def reject(bad_rows: Iterable[BadRow], rejected: Rejected | None) -> None:
    """Note the rows, or stop at the first where they are not to be left out.

    Raises:
        DataError: the first row, if ``rejected`` is None.
    """
    for bad in bad_rows:
        if rejected is None:
            raise bad.error()
        rejected.add(bad)


def faulty_rows(faults: Sequence[Fault]) -> Iterator[tuple[int, str]]:
    """(row, reason) of each row with a fault, in order; of several reasons the first in the alphabet."""
    if faults:
        for row in np.flatnonzero(np.logical_or.reduce([fault.rows for fault in faults])).tolist():
            yield row, min(fault.reason(row) for fault in faults if fault.rows[row])


class Finder:
    """Finds bad rows by reading a table a second time, no further than it is asked to.

    Args:
        where: the file, or what the table is called.
        file: the text it comes from; None where there is none, and rows are counted.
    """

    def __init__(self, where: str, file: DelimitedFile | None = None) -> None:
        self._where = where
        self._file = file
        self._rows = islice(file.text.rows(), int(file.headed), None) if file else iter(())
        self._kept = 0  # rows passed that have as many fields as they should

    def bad_rows(self, start: int, table: pa.Table, faults: Sequence[Fault]) -> Iterator[BadRow]:
        """The bad rows up to the end of a piece of the table, those with a wrong number of fields among them.

        Args:
            start: how many rows with the right number of fields come before the piece.
            table: the piece.
            faults: of its rows.
        """
        faulty = faulty_rows(faults)
        if self._file is None:
            for row, reason in faulty:
                text = json.dumps(table.slice(row, 1).to_pylist()[0], default=str, ensure_ascii=False)
                yield BadRow(self._where, "row", start + row + 1, reason, text)
            return
        beyond = (table.num_rows, "")
        row, reason = next(faulty, beyond)
        while self._kept < start + table.num_rows:
            line, fields, text = next(self._rows)
            if ragged := self._ragged(fields):
                yield BadRow(self._where, "line", line, ragged, text)
                continue
            if self._kept == start + row:
                yield BadRow(self._where, "line", line, reason, text)
                row, reason = next(faulty, beyond)
            self._kept += 1

    def rest(self) -> Iterator[BadRow]:
        """What is left of the rows with a wrong number of fields."""
        for line, fields, text in self._rows:
            if reason := self._ragged(fields):
                yield BadRow(self._where, "line", line, reason, text)

    def _ragged(self, fields: list[str]) -> str:
        assert self._file is not None
        expected = len(self._file.columns)
        return "" if len(fields) == expected else f"{len(fields)} fields where {expected} were expected"


def write_rejected(path: Path, parts: Sequence[TextIO]) -> None:
    """Write the rows of all parts under one header; where there are none, no file, also none from before."""
    if not any(part.seek(0, 2) for part in parts):
        path.unlink(missing_ok=True)
        return
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerow(HEADER)
        for part in parts:
            part.seek(0)
            shutil.copyfileobj(part, out)
