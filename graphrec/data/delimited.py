"""Strict reading of delimited text: every field as the text it is, every malformed row reported with its line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv

from graphrec.data.columns import MOVIELENS
from graphrec.data.text import COLONS, TextFile, TextForm, as_text, check_text, too_long, wrong_encoding
from graphrec.errors import ColumnError, DamagedTableError, DataError, NothingLeftError

TEXT_BYTES = 1 << 23  # parsed together, and about the longest row


@dataclass(frozen=True)
class DelimitedFile:
    """A text table whose outer form has been checked.

    Args:
        text: the file.
        columns: column names, from the first row or from the caller.
        headed: whether the first row holds the names.
    """

    text: TextFile
    columns: tuple[str, ...]
    headed: bool

    @property
    def path(self) -> Path:
        return self.text.path


def open_delimited(path: Path, form: TextForm) -> DelimitedFile:
    """Check a file's encoding and quoting and learn its columns.

    Args:
        path: CSV by default, tab separated if it ends in .tsv or .txt, see ``text.BY_SUFFIX``.
        form: what the caller says of it.

    Raises:
        DataError: the file is empty, holds NUL bytes or is not text, or a quote never closes.
    """
    check_text(as_text(path, form))
    return learn_columns(path, form)


def learn_columns(path: Path, form: TextForm) -> DelimitedFile:
    """The file's columns from its beginning alone; its form is not checked any further. As ``open_delimited``."""
    text = as_text(path, form)
    line, first, row = next(text.rows(), (0, None, ""))
    if first is None:
        raise NothingLeftError(f"{path}: the file is empty", "it needs a header row and at least one row")
    header = form.header or (MOVIELENS.get(path.name) if text.delimiter == COLONS else None)
    if header is None:
        return DelimitedFile(text, tuple(first), headed=True)
    if len(first) != len(header):
        message = f"{path}: header names {len(header)} columns, line {line} has {len(first)}"
        raise ColumnError(message, f"the line reads {row!r}; check header and delimiter")
    return DelimitedFile(text, tuple(header), headed=False)


def read_delimited(file: DelimitedFile, types: dict[str, pa.DataType]) -> tuple[pa.Table, bool]:
    """Read the columns named in ``types``; rows with too few or too many fields are left out.

    Returns:
        The table, without any null, and whether rows were left out.
    """
    ragged = Ragged()
    try:
        table = pa_csv.read_csv(file.text.stream(), **_options(file, types, ragged))
    except pa.ArrowInvalid as error:
        raise _not_readable(file, error) from error
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
        yield from pa_csv.open_csv(file.text.stream(), **_options(file, types, ragged, size))
    except pa.ArrowInvalid as error:
        raise _not_readable(file, error) from error


def parse_options(file: DelimitedFile, ragged: Ragged, **more: Any) -> pa_csv.ParseOptions:
    """How the rows of ``file.text.stream()`` are told apart."""
    quote = '"' if file.text.quoted else False
    return pa_csv.ParseOptions(delimiter=file.text.mark, quote_char=quote, invalid_row_handler=ragged.skip, **more)


def _options(
    file: DelimitedFile, types: dict[str, pa.DataType], ragged: Ragged, size: int = TEXT_BYTES
) -> dict[str, Any]:
    """Every field as the text it is."""
    names = None if file.headed else list(file.columns)
    return {
        "read_options": pa_csv.ReadOptions(column_names=names, block_size=size),
        "parse_options": parse_options(file, ragged, newlines_in_values=file.text.quoted),
        "convert_options": pa_csv.ConvertOptions(
            column_types=types, include_columns=list(types), null_values=[], strings_can_be_null=False
        ),
    }


def _not_readable(file: DelimitedFile, error: pa.ArrowInvalid) -> DataError:
    """The error for text that pyarrow refuses: of another encoding, or a row too long, else pyarrow's own words."""
    if "UTF8" in str(error):
        return wrong_encoding(file.text)
    if "straddling" in str(error):
        size, line = max((len(text), line) for line, _, text in file.text.rows())
        return too_long(file.path, line, f"{size:,}")
    return DamagedTableError(f"{file.path}: {error}")
