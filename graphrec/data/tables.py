"""Tables in: CSV, Parquet, pandas or Arrow, read strictly. Nothing is inferred, merged or dropped in silence."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from graphrec.data import values
from graphrec.data.columns import IDS, Columns, resolve
from graphrec.data.delimited import DelimitedFile, open_delimited, read_delimited
from graphrec.data.ids import is_text
from graphrec.data.rejected import Finder, Rejected, reject
from graphrec.data.text import BY_SUFFIX, PLAIN, TextForm
from graphrec.data.values import DICTIONARY, Fault
from graphrec.errors import ArrayError, ColumnError, DamagedTableError, NothingLeftError, SourceError, nearest
from graphrec.files import unchanged


class ArrowTable(Protocol):
    """A table that gives its rows as Arrow does: of pyarrow or polars, a DuckDB relation."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """A capsule with the rows."""


Source: TypeAlias = str | os.PathLike[str] | pd.DataFrame | ArrowTable


@dataclass(frozen=True)
class Rows:
    """The usable rows of one table.

    Args:
        ids: our column name → dictionary-encoded strings.
        numbers: our column name → numpy array (ratings, weights, times, kinds).
        attributes: further columns as text, None where the table has or keeps none.
        read: rows before any was left out.
    """

    ids: dict[str, pa.DictionaryArray]
    numbers: dict[str, np.ndarray]
    attributes: pa.Table | None
    read: int

    def __len__(self) -> int:
        return len(next(iter(self.ids.values())))


@dataclass(frozen=True)
class Raw:
    """A table as found, its columns under our names; ``file`` where lines can be counted."""

    where: str
    table: pa.Table
    file: DelimitedFile | None = None
    ragged: bool = False
    faults: list[Fault] = field(default_factory=list)


def read_table(
    source: Source,
    spec: Columns,
    *,
    renamed: Mapping[str, str] | None = None,
    form: TextForm = PLAIN,
    rejected: Rejected | None = None,
) -> Rows:
    """Read the columns that ``spec`` names.

    Args:
        source: a CSV, TSV or Parquet file, a pandas DataFrame or an Arrow table.
        spec: which columns are read.
        renamed: our name → the table's.
        form: how a text file is written.
        rejected: takes bad rows; without it the first one stops the reading.

    Raises:
        DataError: file, line (or row), value and the next step.

    >>> from graphrec.data.columns import INTERACTIONS
    >>> rows = read_table(pa.table({"user_id": ["007", "7"], "item_id": [1, 2]}), INTERACTIONS)
    >>> rows.ids["user_id"].to_pylist(), rows.ids["item_id"].to_pylist()
    (['007', '7'], ['1', '2'])
    """
    raw = _load(source, spec, renamed or {}, form)
    ids, numbers, attributes = convert(raw, spec)
    if not raw.table.num_rows and not raw.ragged:
        raise NothingLeftError(
            f"{raw.where}: the {spec.table} table has no rows", "give at least one row or leave it out"
        )
    if not raw.ragged and not raw.faults:
        return Rows(ids, numbers, attributes, raw.table.num_rows)
    return _without_bad(raw, ids, numbers, attributes, rejected)


def used(column: pa.DictionaryArray, mask: np.ndarray) -> pa.DictionaryArray:
    """The rows where ``mask`` holds, with only the names that they use."""
    rows = column.indices.fill_null(0).to_numpy()[mask]
    kept = np.zeros(len(column.dictionary), dtype=bool)
    kept[rows] = True
    place = np.cumsum(kept, dtype=np.int32) - 1
    return pa.DictionaryArray.from_arrays(pa.array(place[rows]), column.dictionary.filter(pa.array(kept)))


def _load(source: Source, spec: Columns, renamed: Mapping[str, str], form: TextForm) -> Raw:
    """Open the source and read the columns that are wanted, under our names."""
    if isinstance(source, pd.DataFrame):
        return _from_pandas(source, spec, renamed)
    if not isinstance(source, str | os.PathLike):
        table = as_table(source, spec.table)
        where = f"{spec.table} ({type(source).__name__})"
        chosen = resolve(spec, table.column_names, renamed, where)
        return Raw(where, table.select(list(chosen.values())).rename_columns(list(chosen)))
    path = check_file(source, spec.table)
    with unchanged(path):
        return (
            _from_parquet(path, spec, renamed)
            if path.suffix.lower() == ".parquet"
            else _from_text(path, spec, renamed, form)
        )


def as_table(source: Source, name: str) -> pa.Table:
    """What comes as a table in memory, as one of Arrow's.

    Raises:
        UsageError: it is no table.
    """
    if isinstance(source, pd.DataFrame):
        return pa.Table.from_pandas(source, preserve_index=False)
    if not hasattr(source, "__arrow_c_stream__"):
        message = f"{name} must be a path, a DataFrame or an Arrow table, got {type(source).__name__}"
        raise ArrayError(message, "pandas.DataFrame(…) makes a table of most things")
    return pa.table(source)


def check_file(source: str | os.PathLike[str], table: str) -> Path:
    """The path, if it is a file of a kind that is read here."""
    path = Path(source)
    if path.is_dir():
        raise SourceError(f"{path}: is a folder, and the {table} table must be a file", "name the file inside it")
    if not path.exists():
        siblings = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = nearest(path.name, siblings) or "check the path"
        raise SourceError(f"{path}: no such file for the {table} table", hint)
    if path.suffix.lower() not in (*BY_SUFFIX, ".parquet"):
        raise SourceError(
            f"{path}: cannot read a {path.suffix or 'nameless'} file", "use .csv, .tsv, .txt, .dat or .parquet"
        )
    return path


def _from_text(path: Path, spec: Columns, renamed: Mapping[str, str], form: TextForm) -> Raw:
    file = open_delimited(path, form)
    chosen = resolve(spec, file.columns, renamed, str(path))
    keys = {name for name in chosen if name in IDS or name in ("head_type", "tail_type")}
    types = {theirs: DICTIONARY if ours in keys else pa.large_string() for ours, theirs in chosen.items()}
    table, ragged = read_delimited(file, types)
    return Raw(str(path), table.rename_columns(list(chosen)), file, ragged)


def _from_pandas(frame: pd.DataFrame, spec: Columns, renamed: Mapping[str, str]) -> Raw:
    where = f"{spec.table} (DataFrame)"
    found = [str(name) for name in frame.columns]
    columns = {}
    for ours, theirs in resolve(spec, found, renamed, where).items():
        try:
            columns[ours] = pa.chunked_array([pa.array(frame.iloc[:, found.index(theirs)], from_pandas=True)])
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ColumnError(f"{where}: {theirs} mixes types ({error})", "turn the column into text") from error
    return Raw(where, pa.table(columns))


def _from_parquet(path: Path, spec: Columns, renamed: Mapping[str, str]) -> Raw:
    try:
        schema = pq.read_schema(path)
        chosen = resolve(spec, schema.names, renamed, str(path))
        keys = [name for ours, name in chosen.items() if ours in IDS and is_text(schema.field(name).type)]
        table = pq.read_table(path, columns=list(chosen.values()), read_dictionary=keys, partitioning=None)
    except (pa.ArrowInvalid, OSError) as error:
        raise DamagedTableError(f"{path}: cannot be read as Parquet ({error})") from error
    return Raw(str(path), table.select(list(chosen.values())).rename_columns(list(chosen)))


def convert(raw: Raw, spec: Columns) -> tuple[dict[str, pa.DictionaryArray], dict[str, np.ndarray], pa.Table | None]:
    """Typed columns; what cannot be read is added to ``raw.faults``."""
    ids, numbers, attributes = {}, {}, {}
    for name in raw.table.column_names:
        column, found = raw.table[name], None
        if name in IDS and name in spec.names:
            ids[name], found = values.id_column(column, name, raw.where)
        elif name == "timestamp" and name in spec.names:
            numbers[name], found = values.time_column(column, name, raw.where)
        elif name in ("rating", "weight") and name in spec.names:
            numbers[name], found = values.number_column(column, name, raw.where)
        elif name in ("head_type", "tail_type") and name in spec.names:
            numbers[name], found = values.kind_column(column, name, raw.where)
        else:
            attributes[name] = values.text_column(column, name, raw.where)
        raw.faults.extend([found] if found else [])
    for name in spec.distinct:
        raw.faults.extend(repeated(ids[name], name))
    return ids, numbers, pa.table(attributes) if attributes else None


def repeated(column: pa.DictionaryArray, name: str) -> list[Fault]:
    """The fault of rows whose id an earlier row has described already."""
    codes = column.indices.fill_null(-1).to_numpy()
    rows = np.ones(len(codes), dtype=bool)
    rows[np.unique(codes, return_index=True)[1]] = False
    rows &= codes >= 0
    return [Fault(rows, lambda row: f"{name} {values.shown(column[row].as_py())} was described before")] * bool(
        rows.any()
    )


def _without_bad(
    raw: Raw,
    ids: dict[str, pa.DictionaryArray],
    numbers: dict[str, np.ndarray],
    attributes: pa.Table | None,
    rejected: Rejected | None,
) -> Rows:
    """Stop at the first bad row, or leave all of them out and note them."""
    finder = Finder(raw.where, raw.file)
    found = chain(finder.bad_rows(0, raw.table, raw.faults), finder.rest())
    first = next(found)
    bad = np.logical_or.reduce([np.zeros(raw.table.num_rows, dtype=bool), *(fault.rows for fault in raw.faults)])
    if rejected is not None and bad.all():
        message = f"{raw.where}: every row is bad; {first.unit} {first.number}: {first.reason}"
        raise NothingLeftError(message, "check the delimiter")
    before = 0 if rejected is None else rejected.count
    reject(chain([first], found), rejected)
    assert rejected is not None
    return Rows(
        {name: used(column, ~bad) for name, column in ids.items()},
        {name: column[~bad] for name, column in numbers.items()},
        attributes.filter(pa.array(~bad)) if attributes is not None else None,
        read=int((~bad).sum()) + rejected.count - before,
    )
