"""The files of a graph folder: what each must hold, checked before it is believed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from graphrec.data.features import NAME
from graphrec.data.split import Part
from graphrec.data.storage import open_column, write_column
from graphrec.errors import GraphFolderError
from graphrec.files import atomic_path, read_json, write_text

HEADER = "dataset.json"
FORMAT: Literal["graphrec-dataset"] = "graphrec-dataset"
VERSION: Literal[2] = 2
COLUMNS = {  # of the interactions, in the folder tables/interactions
    "user": np.int32,
    "item": np.int32,
    "part": np.uint8,
    "count": np.int32,
    "timestamp": np.int64,
    "rating": np.float32,
    "weight": np.float32,
}
NEGATIVES = {"user": pa.int32(), "item": pa.int32(), "part": pa.uint8()}
TRIPLES = {"head": pa.int32(), "relation": pa.int32(), "tail": pa.int32()}
AGAIN = "build the folder anew"
MAKE = "make a graph folder with: graphrec build interactions.csv --out graph/"

Count = Annotated[int, Field(ge=0, lt=2**31)]  # nodes are int32
Kind = Annotated[str, Field(pattern="^(user|item)$")]


class Counts(BaseModel):
    """How many rows each table has."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    users: Count
    items: Count
    entities: Count
    interactions: NonNegativeInt
    knowledge: NonNegativeInt
    negatives: NonNegativeInt = 0


class Header(BaseModel):
    """What dataset.json says."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["graphrec-dataset"] = FORMAT
    version: Literal[2] = VERSION
    counts: Counts
    columns: list[Literal["user", "item", "part", "count", "timestamp", "rating", "weight"]]
    relations: list[str]
    source: dict[str, Any]
    features: dict[Kind, dict[Annotated[str, Field(pattern=f"^{NAME}$")], NonNegativeInt]] = {}


def write_header(root: Path, header: Header) -> None:
    """Write dataset.json."""
    write_text(root / HEADER, json.dumps(header.model_dump(), indent=2, ensure_ascii=False) + "\n")


def read_header(root: Path) -> Header:
    """Read dataset.json.

    Raises:
        DataError: there is none, or it is foreign, of another version, or damaged.
    """
    path = root / HEADER
    if not root.is_dir():
        raise GraphFolderError(f"{root}: no such graph folder", MAKE)
    if not path.is_file():
        raise GraphFolderError(f"{root}: not a graph folder, or not written to its end; it has no {HEADER}", MAKE)
    try:
        found = read_json(path)
    except (OSError, ValueError) as error:
        raise GraphFolderError(f"{path}: not valid JSON ({error})", MAKE) from error
    if found.get("format") != FORMAT:
        raise GraphFolderError(f"{path}: not written by graphrec", MAKE)
    version = found.get("version")
    if version != VERSION:
        newer = isinstance(version, int) and version > VERSION
        hint = "upgrade with: pip install -U graphrec" if newer else AGAIN
        raise GraphFolderError(f"{path}: has version {version}, this graphrec reads version {VERSION}", hint)
    try:
        return Header.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        raise GraphFolderError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}", AGAIN) from None


def write_interactions(columns: dict[str, np.ndarray], folder: Path) -> None:
    """A file for each column, and none left from before."""
    for name in COLUMNS:
        path = folder / f"{name}.npy"
        if name not in columns:
            path.unlink(missing_ok=True)
            continue
        with atomic_path(path) as temporary:
            write_column(temporary, columns[name])


def read_interactions(folder: Path, header: Header) -> dict[str, np.ndarray]:
    """Memory maps of the columns, of the types and the length that they must have.

    Raises:
        DataError: one is missing, or is not that.
    """
    columns: dict[str, np.ndarray] = {name: open_column(folder / f"{name}.npy") for name in header.columns}
    for name, column in columns.items():
        if column.dtype != COLUMNS[name] or len(column) != header.counts.interactions:
            found = f"{len(column)} values of {column.dtype}"
            raise GraphFolderError(f"{folder / name}.npy: {found} do not match {HEADER}", AGAIN)
    if missing := [name for name in ("user", "item", "part", "count") if name not in columns]:
        raise GraphFolderError(f"{folder.parent.parent / HEADER}: columns lack {', '.join(missing)}", AGAIN)
    return columns


def write_table(table: pa.Table | dict[str, np.ndarray] | None, path: Path) -> None:
    """Write a table atomically; no table means no file, also none left from before."""
    if table is None:
        path.unlink(missing_ok=True)
        return
    with atomic_path(path) as temporary:
        pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), temporary)


def read_table(path: Path, rows: int) -> pa.Table:
    """A table of a graph folder, whose length is looked at before it is read.

    Raises:
        DataError: it is missing or damaged, or has another number of rows.
    """
    try:
        found = pq.read_metadata(path).num_rows
        if found == rows:
            return pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise GraphFolderError(f"{path}: missing or damaged ({error})", AGAIN) from error
    raise GraphFolderError(f"{path}: {found:,} rows do not match {HEADER}, which says {rows:,}", AGAIN)


def read_attributes(path: Path, rows: int) -> pa.Table | None:
    """The attributes of nodes, None where there is no such file.

    Raises:
        DataError: damaged, or not a row a node; or titles that are no text.
    """
    if not path.exists():
        return None
    table = read_table(path, rows)
    if any(not (pa.types.is_string(kind) or pa.types.is_large_string(kind)) for kind in table.schema.types):
        raise GraphFolderError(f"{path}: holds a column that is no text", AGAIN)
    return table


def read_triples(path: Path, rows: int, relations: Sequence[str], num_nodes: int) -> dict[str, np.ndarray]:
    """The columns of the knowledge.

    Raises:
        DataError: damaged, other columns, or a number that no node or relation has.
    """
    return _read_numbers(path, rows, TRIPLES, (num_nodes, len(relations), num_nodes))


def read_negatives(path: Path, rows: int, users: int, items: int) -> dict[str, np.ndarray]:
    """The columns of the pairs of label 0; none where there are no such pairs, and no file then.

    Raises:
        DataError: missing or damaged, other columns, or a number that no user, item or part has.
    """
    return _read_numbers(path, rows, NEGATIVES, (users, items, len(Part))) if rows else {}


def _read_numbers(
    path: Path, rows: int, columns: dict[str, pa.DataType], ends: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """Columns of these types, with numbers from 0 to below the end of each."""
    table = read_table(path, rows)
    if dict(zip(table.column_names, table.schema.types, strict=True)) != columns:
        raise GraphFolderError(f"{path}: holds {', '.join(table.column_names)} and not {', '.join(columns)}", AGAIN)
    for name, end in zip(columns, ends, strict=True):
        values = table[name].to_numpy()
        if table[name].null_count or (len(values) and not 0 <= values.min() <= values.max() < end):
            raise GraphFolderError(f"{path}: {name} holds numbers outside [0, {end})", AGAIN)
    return {name: table[name].to_numpy() for name in columns}
