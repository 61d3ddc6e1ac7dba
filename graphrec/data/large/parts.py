"""The columns of a table in parts, and its rows block by block, as strictly read as those of a table in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from graphrec.data.columns import IDS, INTERACTIONS, resolve
from graphrec.data.delimited import TEXT_BYTES, DelimitedFile, Ragged, learn_columns, open_delimited, stream_delimited
from graphrec.data.large.sources import SourceFile, list_files
from graphrec.data.rejected import Finder, Rejected, reject
from graphrec.data.request import Request
from graphrec.data.tables import Raw, Source, convert, used
from graphrec.data.values import DICTIONARY
from graphrec.errors import ColumnError, DamagedTableError, DataError, SettingError, SourceError


@dataclass(frozen=True)
class TablePart:
    """A file with the columns that are read from it.

    Args:
        file: the file.
        chosen: our column name → the file's.
        is_test: whether its rows came as test rows.
        kinds: our column name → what a Parquet file holds in it.
    """

    file: SourceFile
    chosen: dict[str, str]
    is_test: bool
    kinds: dict[str, pa.DataType] = field(default_factory=dict)


@dataclass
class Tally:
    """What was read in a part, and what takes its bad rows; None where the first one stops the reading."""

    rejected: Rejected | None = None
    read: int = 0


@dataclass(frozen=True)
class Block:
    """Good rows of a part: ids as dictionary columns, numbers as arrays."""

    ids: dict[str, pa.DictionaryArray]
    numbers: dict[str, np.ndarray]


def find_parts(request: Request) -> list[TablePart]:
    """The parts of the interactions, then those of the test table.

    Raises:
        DataError: parts that are not of one table.
    """
    parts = _find(request, request.interactions, "interactions", is_test=False)
    return parts + (_find(request, request.test, "test", is_test=True) if request.test is not None else [])


def read_part(part: TablePart, request: Request, rows: int, tally: Tally) -> Iterator[Block]:
    """The good rows of a part, about ``rows`` at a time.

    Args:
        tally: is told how many rows there were, and of the bad ones.

    Raises:
        DataError: the file is gone, changed or damaged; or the first bad row, unless these are skipped.
    """
    part.file.check()
    where, ragged = str(part.file.path), Ragged()
    text = None if part.file.is_parquet else open_delimited(part.file.path, request.form)
    finder = Finder(where, text)
    kept = 0
    for table in _tables(part, text, ragged, rows):
        raw = Raw(where, table)
        ids, numbers, _ = convert(raw, INTERACTIONS)
        if raw.faults or ragged.count:
            reject(finder.bad_rows(kept, table, raw.faults), tally.rejected)
        if raw.faults:
            good = ~np.logical_or.reduce([fault.rows for fault in raw.faults])
            ids = {name: used(column, good) for name, column in ids.items()}
            numbers = {name: column[good] for name, column in numbers.items()}
        kept += table.num_rows
        yield Block(ids, numbers)
    if ragged.count:
        reject(finder.rest(), tally.rejected)
    tally.read = kept + ragged.count
    part.file.check()


def _find(request: Request, source: Source | tuple[Path, ...], table: str, *, is_test: bool) -> list[TablePart]:
    if not isinstance(source, str | os.PathLike | tuple):
        raise SettingError(f"the {table} table must be files where the interactions are", "write it to a file")
    parts: list[TablePart] = []
    for file in list_files(source, table):
        part = _learn(file, request, source, parts[0] if parts else None, is_test)
        _check_kinds(parts[0] if parts else part, part)
        parts.append(part)
    return parts


def _learn(
    file: SourceFile,
    request: Request,
    source: str | os.PathLike[str] | tuple[Path, ...],
    first: TablePart | None,
    is_test: bool,
) -> TablePart:
    kinds: dict[str, pa.DataType] = {}
    if file.is_parquet:
        schema = footer(file).schema.to_arrow_schema()
        kinds = {name: schema.field(name).type for name in schema.names if schema.names.count(name) == 1}
        names = list(schema.names)
    else:
        names = list(learn_columns(file.path, request.form).columns)
    names += [name for name in file.partition if name not in names]
    if first is not None:
        _check_columns(first, file, names)
    try:
        chosen = resolve(INTERACTIONS, names, request.columns, str(file.path))
    except DataError as error:
        if first is None and not isinstance(source, tuple) and Path(source).is_dir():
            message = f"{source}: not a known data folder, nor one of a table's parts: {error.message}"
            raise SourceError(message, error.hint) from error
        raise
    if first is not None and set(chosen) != set(first.chosen):
        raise _different(first.file, file, "", ", ".join(chosen[name] for name in chosen if name not in first.chosen))
    return TablePart(file, chosen, is_test, {name: kinds[theirs] for name, theirs in chosen.items() if theirs in kinds})


def _check_columns(first: TablePart, file: SourceFile, names: list[str]) -> None:
    missing = [theirs for theirs in first.chosen.values() if theirs not in names]
    if missing:
        raise _different(first.file, file, ", ".join(missing), "")


def _different(first: SourceFile, second: SourceFile, only_first: str, only_second: str) -> DataError:
    owner, names = (first, only_first) if only_first else (second, only_second)
    message = f"{first.path} and {second.path} have different columns: only {owner.path} has {names}"
    return ColumnError(message, "the parts of one table need the same columns; name other tables by themselves")


def _check_kinds(first: TablePart, part: TablePart) -> None:
    """Text beside whole numbers is fine for ids; dates beside numbers are times in two units."""
    ours, theirs = first.kinds.get("timestamp"), part.kinds.get("timestamp")
    if ours is None or theirs is None or pa.types.is_temporal(ours) == pa.types.is_temporal(theirs):
        return
    message = f"{first.file.path} and {part.file.path} have different types: timestamp is {ours} and {theirs}"
    raise ColumnError(message, "write all parts with one type")


def footer(file: SourceFile) -> pq.FileMetaData:
    """What a Parquet file says of itself.

    Raises:
        DataError: it is damaged, or gone.
    """
    try:
        return pq.read_metadata(file.path)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: SourceFile, error: Exception) -> DataError:
    file.check()
    message = f"{file.path}: cannot be read as Parquet ({error})"
    return DamagedTableError(message, "write this part anew, then run the same command again")


def _tables(part: TablePart, text: DelimitedFile | None, ragged: Ragged, rows: int) -> Iterator[pa.Table]:
    """Rows of the file as tables under our names, with the columns that its path holds."""
    inside = {ours: theirs for ours, theirs in part.chosen.items() if theirs not in _outside(part, text)}
    if text is None:
        batches = _parquet(part, inside, rows)
    else:
        types = {theirs: DICTIONARY if ours in IDS else pa.large_string() for ours, theirs in inside.items()}
        batches = stream_delimited(text, types, ragged, TEXT_BYTES)
    for batch in batches:
        table = pa.Table.from_batches([batch]).select(list(inside.values())).rename_columns(list(inside))
        for ours, theirs in part.chosen.items():
            if ours not in inside:
                value = pa.scalar(part.file.partition[theirs], pa.large_string())
                table = table.append_column(ours, pa.repeat(value, len(batch)))
        yield table


def _outside(part: TablePart, text: DelimitedFile | None) -> set[str]:
    """Columns that stand in the path alone."""
    if text is not None:
        return set(part.file.partition) - set(text.columns)
    return set(part.file.partition) & {part.chosen[name] for name in part.chosen if name not in part.kinds}


def _parquet(part: TablePart, inside: dict[str, str], rows: int) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(part.file.path, buffer_size=1 << 20) as file:  # read by and by, not a row group at once
            yield from file.iter_batches(rows, columns=list(inside.values()))
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(part.file, error) from error
