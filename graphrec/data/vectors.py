"""Vectors that a caller brings: a Parquet file with ids, or a .npy file beside a list of ids."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from graphrec.data.columns import Columns
from graphrec.data.rejected import BadRow, Rejected, faulty_rows, reject
from graphrec.data.tables import Source, as_table, read_table, repeated
from graphrec.data.text import PLAIN, TextForm
from graphrec.data.values import Fault, id_column
from graphrec.errors import ColumnError, VectorsError
from graphrec.files import map_array


@dataclass(frozen=True, eq=False)
class Vectors:
    """Vectors with the ids they belong to.

    Args:
        where: the file, or what the table is called.
        kind: ``user`` or ``item``; modality: what they are called.
        ids: distinct.
        values: float32 [ids, width], finite.
        row: of each in the file, from 1.
        read: rows before any was left out.
    """

    where: str
    kind: str
    modality: str
    ids: pa.Array
    values: np.ndarray
    row: np.ndarray
    read: int


def read_vectors(
    source: Source,
    kind: str,
    modality: str,
    *,
    renamed: Mapping[str, str] | None = None,
    form: TextForm = PLAIN,
    rejected: Rejected | None = None,
) -> Vectors:
    """Read the vectors of users or items.

    Args:
        source: a Parquet file, DataFrame or Table with a column ``item_id`` (``user_id``) or ``id``, and beside it one
            column of lists or only columns of numbers; or ``NAME.npy``, [n, width], whose ids in the same order are
            the column ``id`` of ``NAME_ids.parquet`` or ``NAME_ids.csv``. An empty cell is a missing vector.
        kind: ``user`` or ``item``.
        modality: what to call them.
        renamed: our name → the caller's, for the column of ids.
        form: how ids in a text file are written.
        rejected: takes bad rows; without it the first one stops the reading.

    Raises:
        DataError: file, row, value and the next step.

    >>> table = pa.table({"id": ["a", "b"], "vector": [[0.0, 1.0], None]})
    >>> vectors = read_vectors(table, "item", "image")
    >>> vectors.ids.to_pylist(), vectors.values.tolist()
    (['a'], [[0.0, 1.0]])
    """
    where = str(source) if isinstance(source, str | os.PathLike) else f"{kind} vectors {modality}"
    if isinstance(source, str | os.PathLike) and Path(source).suffix.lower() == ".npy":
        ids, values, faults = _from_npy(Path(source), f"{kind}_id", form)
        absent = np.zeros(len(values), dtype=bool)
    else:
        name, table = _split_ids(_open(source), f"{kind}_id", renamed or {}, where)
        codes, fault = id_column(table[name], name, where)
        values, absent, faults = _matrix(table.drop_columns([name]), where)
        faults = [*([fault] if fault else []), *repeated(codes, name), *faults]
        ids = codes
    if not values.shape[1]:
        raise VectorsError(f"{where}: its vectors have no numbers", "give a column of lists, or columns of numbers")
    faults += _not_finite(values, absent, faults)
    return _without_bad(where, (kind, modality), ids, values, absent, faults, rejected)


def ids_beside(path: Path) -> Path | None:
    """The file with the ids of a .npy file's rows, None if there is none."""
    beside = (path.with_name(f"{path.stem}_ids{suffix}") for suffix in (".parquet", ".csv"))
    return next((other for other in beside if other.is_file()), None)


def _open(source: Source) -> pa.Table:
    if not isinstance(source, str | os.PathLike):
        return as_table(source, "vectors")
    path = Path(source)
    if path.suffix.lower() != ".parquet":
        raise VectorsError(f"{path}: vectors come as .parquet or .npy", "turn the file into one of them")
    try:
        return pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise VectorsError(f"{path}: cannot be read as Parquet ({error})", "check the path") from error


def _split_ids(table: pa.Table, ours: str, renamed: Mapping[str, str], where: str) -> tuple[str, pa.Table]:
    """The name of the column of ids, and the table."""
    found = table.column_names
    for name in (renamed.get(ours, ours), ours, "id"):
        if found.count(name) == 1:
            return name, table
    raise ColumnError(f"{where}: no column {ours} or id; it has {', '.join(map(repr, found))}", f"call the ids {ours}")


def _matrix(table: pa.Table, where: str) -> tuple[np.ndarray, np.ndarray, list[Fault]]:
    """float32 [n, width], which rows have no vector, and what is wrong with others."""
    kinds = table.schema.types
    if len(kinds) == 1 and _is_list(kinds[0]):
        return _from_lists(table.column(0).combine_chunks(), table.column_names[0], where)
    for name, kind in zip(table.column_names, kinds, strict=True):
        if not _is_number(kind):
            hint = "leave only the ids and one column of lists, or columns of numbers"
            raise VectorsError(f"{where}: column {name!r} holds {kind}, not numbers", hint)
    columns = [pc.cast(column, pa.float64(), safe=False) for column in table.columns]
    missing = np.array([column.is_null().to_numpy() for column in columns], dtype=bool).T.reshape(table.num_rows, -1)
    with np.errstate(over="ignore"):
        values = np.array([column.to_numpy() for column in columns], dtype=np.float32).T.reshape(table.num_rows, -1)
    absent = np.asarray(missing.all(axis=1))
    partly = np.asarray(missing.any(axis=1) & ~absent)
    return values, absent, [Fault(partly, lambda row: f"{table.column_names[missing[row].argmax()]} is empty")]


def _from_lists(column: pa.Array, name: str, where: str) -> tuple[np.ndarray, np.ndarray, list[Fault]]:
    if not _is_number(column.type.value_type):
        raise VectorsError(f"{where}: {name} holds lists of {column.type.value_type}, not of numbers")
    absent = column.is_null().to_numpy(zero_copy_only=False)
    lengths = pc.list_value_length(column).fill_null(-1).to_numpy()
    first = int(np.flatnonzero(~absent)[0]) if not absent.all() else 0
    width = int(lengths[first]) if len(lengths) and not absent.all() else 0
    odd = ~absent & (lengths != width)
    values = np.full((len(column), width), np.nan, dtype=np.float32)
    good = ~absent & ~odd
    flat = pc.list_flatten(column.filter(pa.array(good))).cast(pa.float64(), safe=False)
    with np.errstate(over="ignore"):
        values[good] = flat.to_numpy(zero_copy_only=False).reshape(int(good.sum()), width).astype(np.float32)
    rule = f"and the vector of row {first + 1} {width}"
    return values, absent, [Fault(odd, lambda row: f"{name} has {lengths[row]} numbers, {rule}")]


def _from_npy(path: Path, name: str, form: TextForm) -> tuple[pa.DictionaryArray, np.ndarray, list[Fault]]:
    """The rows of a .npy file, and the ids that stand beside it."""
    try:
        values = map_array(path, "r")
    except (OSError, ValueError) as error:
        raise VectorsError(f"{path}: cannot be read as .npy ({error})", "write it with numpy.save") from error
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise VectorsError(f"{path}: holds no table of numbers [rows, width]", "save one array of two dimensions")
    named = ids_beside(path)
    if named is None:
        names = f"{path.stem}_ids.parquet nor {path.stem}_ids.csv"
        raise VectorsError(f"{path}: neither {names} lies beside it", "list the ids there")
    ids = read_table(named, Columns("ids", (name,)), renamed={name: "id"}, form=form).ids[name]
    if len(ids) != len(values):
        raise VectorsError(f"{path}: has {len(values)} rows, and {named.name} {len(ids)} ids", "give each row one id")
    with np.errstate(over="ignore"):
        return ids, values.astype(np.float32), repeated(ids, name)


def _not_finite(values: np.ndarray, absent: np.ndarray, faults: list[Fault]) -> list[Fault]:
    """The fault of rows with NaN or infinity that have no other."""
    bad = ~np.isfinite(values).all(axis=1) & ~absent
    for other in faults:
        bad &= ~other.rows
    return [Fault(bad, lambda row: "its vector holds NaN or infinity")]


def _without_bad(
    where: str,
    name: tuple[str, str],
    ids: pa.DictionaryArray,
    values: np.ndarray,
    absent: np.ndarray,
    faults: list[Fault],
    rejected: Rejected | None,
) -> Vectors:
    """Stop at the first bad row, or leave them out; rows without a vector go in either case."""
    found = faulty_rows(faults)
    reject((BadRow(where, "row", row + 1, reason, str(ids[row])) for row, reason in found), rejected)
    bad = np.logical_or.reduce([fault.rows for fault in faults])
    kept = ~(bad | absent)
    chosen = ids.dictionary.take(ids.indices.filter(pa.array(kept)))
    return Vectors(where, *name, chosen, values[kept], np.flatnonzero(kept) + 1, len(values))


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)
