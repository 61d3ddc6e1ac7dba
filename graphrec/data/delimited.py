"""Strict reading of delimited text: every field as the text it is, every malformed row reported with its line."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv

from graphrec.errors import DamagedTableError, DataError, NothingLeftError, SettingError

BY_SUFFIX = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
BLOCK = 1 << 24  # bytes looked at together


@dataclass(frozen=True)
class DelimitedFile:
    """A text table whose outer form has been checked.

    Args:
        path: the file.
        delimiter: one character.
        columns: column names, from the first row or from the caller.
        headed: whether the first row holds the names.
    """

    path: Path
    delimiter: str
    columns: tuple[str, ...]
    headed: bool


def open_delimited(path: Path, delimiter: str | None = None, header: Sequence[str] | None = None) -> DelimitedFile:
    """Check a file's encoding and quoting and learn its columns.

    Args:
        path: CSV by default, tab separated if it ends in .tsv or .txt.
        delimiter: overrides what the name says, unless there is a header row without it.
        header: the columns' names, where the file has no header row.

    Raises:
        DataError: the file is empty, holds NUL bytes or is not text, or a quote never closes.
    """
    delimiter = _delimiter(path, delimiter, headed=header is None)
    if _check_bytes(path):
        _check_quotes(path, delimiter)
    return learn_columns(path, delimiter, header)


def learn_columns(path: Path, delimiter: str | None = None, header: Sequence[str] | None = None) -> DelimitedFile:
    """The file's columns from its beginning alone; its form is not checked any further. As ``open_delimited``."""
    delimiter = _delimiter(path, delimiter, headed=header is None)
    first = next(_rows(path, delimiter), None)
    if first is None:
        raise NothingLeftError(f"{path}: the file is empty", "it needs a header row and at least one row")
    if header is None:
        return DelimitedFile(path, delimiter, tuple(first[1]), headed=True)
    if len(first[1]) != len(header):
        message = f"{path}: header names {len(header)} columns, line {first[0]} has {len(first[1])}"
        raise DamagedTableError(message, f"the line reads {delimiter.join(first[1])!r}; check header and delimiter")
    return DelimitedFile(path, delimiter, tuple(header), headed=False)


def read_delimited(file: DelimitedFile, types: dict[str, pa.DataType]) -> tuple[pa.Table, bool]:
    """Read the columns named in ``types``; rows with too few or too many fields are left out.

    Returns:
        The table, without any null, and whether rows were left out.
    """
    ragged = Ragged()
    try:
        table = pa_csv.read_csv(file.path, **_options(file, types, ragged))
    except pa.ArrowInvalid as error:
        raise _not_readable(file.path, error) from error
    return table, ragged.count > 0


@dataclass
class Ragged:
    """Rows with too few or too many fields."""

    count: int = 0

    def skip(self, row: pa_csv.InvalidRow) -> str:
        """Count a row and leave it out."""
        self.count += 1
        return "skip"


def stream_delimited(
    file: DelimitedFile, types: dict[str, pa.DataType], ragged: Ragged, size: int
) -> Iterator[pa.RecordBatch]:
    """What ``read_delimited`` reads, from ``size`` bytes at a time; rows left out are counted in ``ragged``."""
    try:
        yield from pa_csv.open_csv(file.path, **_options(file, types, ragged, size))
    except pa.ArrowInvalid as error:
        raise _not_readable(file.path, error) from error


def _options(
    file: DelimitedFile, types: dict[str, pa.DataType], ragged: Ragged, size: int | None = None
) -> dict[str, Any]:
    """Every field as the text it is."""
    names = None if file.headed else list(file.columns)
    return {
        "read_options": pa_csv.ReadOptions(column_names=names, block_size=size),
        "parse_options": pa_csv.ParseOptions(
            delimiter=file.delimiter, newlines_in_values=True, invalid_row_handler=ragged.skip
        ),
        "convert_options": pa_csv.ConvertOptions(
            column_types=types, include_columns=list(types), null_values=[], strings_can_be_null=False
        ),
    }


@dataclass(frozen=True)
class Located:
    """Where rows stand in a file.

    Args:
        line: row → line, for the rows asked for; rows count from 0 and only those that are kept.
        ragged: (line, reason) of the first few rows left out.
        count: how many were.
    """

    line: dict[int, int]
    ragged: list[tuple[int, str]]
    count: int


def locate(file: DelimitedFile, wanted: Collection[int], shown: int) -> Located:
    """Line numbers, found by a slow second reading; called only once something is wrong.

    Args:
        wanted: rows, counted as ``read_delimited`` keeps them.
        shown: how many of the rows left out to describe.
    """
    kept, count = 0, 0
    lines: dict[int, int] = {}
    ragged: list[tuple[int, str]] = []
    for line, fields in islice(_rows(file.path, file.delimiter), int(file.headed), None):
        if len(fields) == len(file.columns):
            if kept in wanted:
                lines[kept] = line
            kept += 1
        else:
            count += 1
            if len(ragged) < shown:
                ragged.append((line, f"{len(fields)} fields where {len(file.columns)} were expected"))
    return Located(lines, ragged, count)


def _delimiter(path: Path, given: str | None, *, headed: bool) -> str:
    """The given delimiter if the header row has it, else the suffix's: one setting then serves tables of two forms."""
    if given is None:
        return BY_SUFFIX[path.suffix.lower()]
    if len(given) != 1 or given in '"\r\n':
        raise SettingError(f"delimiter must be one character, got {given!r}", "write a tab as '\\t' or tab")
    with open(path, encoding="utf-8-sig", errors="replace") as lines:
        return given if not headed or given in lines.readline() else BY_SUFFIX[path.suffix.lower()]


def _rows(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """(line, fields) of each row that is not blank; lines count from 1."""
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as lines:
        reader = csv.reader(lines, delimiter=delimiter)
        line = 1
        for fields in reader:
            if fields:
                yield line, fields
            line = reader.line_num + 1


def _check_bytes(path: Path) -> bool:
    """Refuse NUL bytes; return whether the file holds quotes."""
    quotes, lines = False, 1
    with open(path, "rb") as file:
        while content := file.read(BLOCK):
            place = content.find(0)
            if place >= 0:
                line = lines + content.count(b"\n", 0, place)
                message = f"{path}, line {line}: a NUL byte; the file is damaged, compressed or UTF-16"
                raise DamagedTableError(message, "save it as UTF-8 text")
            quotes = quotes or b'"' in content
            lines += content.count(b"\n")
    return quotes


def _check_quotes(path: Path, delimiter: str) -> None:
    """Refuse a quote that never closes, or text after a closing quote: both would swallow or change rows."""
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as lines:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        start = 1
        try:
            for _ in reader:
                start = reader.line_num + 1
        except csv.Error as error:
            message = f"{path}, line {start}: the quotes of this row do not match ({error})"
            raise DamagedTableError(message, 'close each quoted field, and write a quote inside one as ""') from error


def _not_readable(path: Path, error: pa.ArrowInvalid) -> DataError:
    """The error for text that pyarrow refuses: the first line that is not UTF-8, else pyarrow's own words."""
    with open(path, "rb") as lines:
        for line, content in enumerate(lines, start=1):
            try:
                content.decode("utf-8")
            except UnicodeDecodeError:
                return DamagedTableError(f"{path}, line {line}: not UTF-8 text", "save the file as UTF-8")
    return DamagedTableError(f"{path}: {error}")
