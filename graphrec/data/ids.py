"""Frozen maps between the caller's ids, which are strings, and their positions from 0."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from graphrec.errors import ArrayError, GraphFolderError, UnknownIdError, UsageError, nearest
from graphrec.files import atomic_path

FEW = 64  # up to so many ids are found by bisection, more by hashing the whole map


@dataclass(frozen=True, eq=False)
class IdMap:
    """Distinct ids in index order: the id at position p of ``array`` has index p.

    Args:
        array: the ids; distinct, without null.

    >>> ids = IdMap.from_values(["7", "007", "NA", "7"])
    >>> ids.names([0, 1, 2]).tolist(), "7" in ids, ids.lookup(["NA", "8"]).tolist()
    (['007', '7', 'NA'], True, [2, -1])
    """

    array: pa.LargeStringArray

    @classmethod
    def from_values(cls, values: Any) -> IdMap:
        """The distinct values, sorted as strings (by code point)."""
        distinct = pc.unique(as_strings(values))
        return cls(distinct.take(pc.sort_indices(distinct)))

    @classmethod
    def from_integers(cls, values: np.ndarray) -> IdMap:
        """The distinct integers, in numeric order.

        >>> IdMap.from_integers([10, 9, 9]).names([0, 1]).tolist()
        ['9', '10']
        """
        return cls(pa.array(np.unique(values).astype(np.int64)).cast(pa.large_string()))

    @classmethod
    def dense(cls, count: int) -> IdMap:
        """The integers 0 … count − 1, each at its own position."""
        return cls.from_integers(np.arange(count))

    def __len__(self) -> int:
        return len(self.array)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name) >= 0

    def lookup(self, ids: Any) -> np.ndarray:
        """Index of each id, −1 where it is unknown.

        Args:
            ids: strings (or integers, which stand for their decimals) in any sequence, numpy, pandas or Arrow form.

        Returns:
            int32, as long as ``ids``.
        """
        strings = as_strings(ids)
        if len(strings) <= FEW:
            return np.array([self._find(name) for name in strings.to_pylist()], dtype=np.int32)
        found = pc.index_in(strings, value_set=self.array)
        return found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)

    def index(self, ids: Any, kind: str = "user") -> np.ndarray:
        """Index of each id.

        Args:
            ids: as for ``lookup``.
            kind: what the ids name, for the message.

        Raises:
            UnknownIdError: names the first unknown ids and the nearest known ones.
        """
        strings = as_strings(ids)
        found = self.lookup(strings)
        missing = np.flatnonzero(found < 0)
        if len(missing):
            unknown = strings.take(pa.array(missing[:5])).to_pylist()
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            message = f"unknown {kind} {', '.join(map(repr, unknown))}{more}"
            raise UnknownIdError(message, nearest(unknown[0], self._neighbours(unknown[0])))
        return found

    def names(self, index: Any) -> np.ndarray:
        """The ids at these positions, as an object array of str."""
        positions = pa.array(np.asarray(index, dtype=np.int64))
        return self.array.take(positions).to_numpy(zero_copy_only=False)

    def encode(self, column: pa.DictionaryArray) -> np.ndarray:
        """Index of each row of a dictionary-encoded column, −1 where it is unknown."""
        codes = column.indices.to_numpy(zero_copy_only=False)
        return self.lookup(column.dictionary)[codes] if len(codes) else np.zeros(0, dtype=np.int32)

    def parts(self, rows: int) -> Iterator[np.ndarray]:
        """The bytes of the ids, ``rows`` ids at a time: their lengths as int64, then their text joined.

        >>> [part.tolist() for part in IdMap.from_values(["a", "bc"]).parts(2)]
        [[1, 2], [97, 98, 99]]
        """
        for start in range(0, len(self), rows):
            part = self.array[start : start + rows]
            _, ends, text = part.buffers()
            ends = np.frombuffer(ends, dtype=np.int64)[part.offset : part.offset + len(part) + 1]
            yield np.diff(ends)
            yield np.frombuffer(text or b"", dtype=np.uint8)[ends[0] : ends[-1]]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the ids as a Parquet file with the column ``id``, atomically."""
        with atomic_path(path) as temporary:
            pq.write_table(pa.table({"id": self.array}), temporary)

    @classmethod
    def load(cls, path: str | os.PathLike[str], count: int) -> IdMap:
        """Read what ``save`` wrote.

        Args:
            count: how many ids there must be. Distinct ids take more than a byte each, so a file that claims more of
                them than it has bytes is not read.

        Raises:
            DataError: missing, damaged, another number of ids, or one that comes twice.
        """
        hint = "build the folder anew"
        try:
            found = pq.read_metadata(path).num_rows
            if found != count or count > os.path.getsize(path):
                raise GraphFolderError(f"{path}: {found:,} ids do not match dataset.json, which says {count:,}", hint)
            array = as_strings(pq.read_table(path, columns=["id"])["id"])
        except (OSError, pa.ArrowException, UsageError, KeyError) as error:
            raise GraphFolderError(f"{path}: not a list of ids ({error})", hint) from error
        if not _distinct(array):
            raise GraphFolderError(f"{path}: holds an id twice", hint)
        return cls(array)

    @cached_property
    def _order(self) -> np.ndarray | None:
        """Positions in string order; None where the ids stand in it already."""
        if len(self) < 2 or pc.all(pc.less(self.array[:-1], self.array[1:])).as_py():
            return None
        return pc.sort_indices(self.array).to_numpy(zero_copy_only=False)

    def _position(self, rank: int) -> int:
        return rank if self._order is None else int(self._order[rank])

    def _find(self, name: str) -> int:
        rank = self._rank(name)
        if rank < len(self) and self.array[self._position(rank)].as_py() == name:
            return self._position(rank)
        return -1

    def _rank(self, name: str) -> int:
        """How many ids come before ``name`` in string order."""
        return bisect_left(range(len(self)), name, key=lambda rank: self.array[self._position(rank)].as_py())

    def _neighbours(self, name: str, width: int = 1000) -> list[str]:
        """Ids around the place where ``name`` would stand: comparing it with millions would take seconds."""
        rank = self._rank(name)
        around = range(max(0, rank - width), min(len(self), rank + width))
        return [self.array[self._position(place)].as_py() for place in around]


def as_strings(values: Any) -> pa.LargeStringArray:
    """Ids of any common container as one Arrow array of strings; integers become their decimals.

    Raises:
        UsageError: a bare string, or values that are neither strings nor integers.

    >>> as_strings([7, 10]).to_pylist()
    ['7', '10']
    """
    if isinstance(values, (str, bytes)):
        raise ArrayError(f"ids must come as a list, got the single value {values!r}", f"pass [{values!r}]")
    if not isinstance(values, (pa.Array, pa.ChunkedArray)):
        if isinstance(values, Iterable) and not hasattr(values, "dtype"):
            values = list(values)
        try:
            values = pa.array(values, from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ArrayError(f"ids must be strings: {error}") from error
    array = _combine(values)
    if pa.types.is_null(array.type) and len(array) == 0:
        return pa.array([], pa.large_string())
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if not (is_text(array.type) or pa.types.is_integer(array.type)) or array.null_count:
        raise ArrayError(f"ids must be strings, got {array.type}{' with missing values' * bool(array.null_count)}")
    return array.cast(pa.large_string())


def is_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type holds text."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _distinct(array: pa.LargeStringArray) -> bool:
    """Whether no text comes twice; quick where they rise, as text or, like integers, by length first."""
    before, after = array[:-1], array[1:]
    rising = pc.less(before, after)
    if pc.all(rising).as_py() is not False:
        return True
    length, longer = pc.utf8_length(before), pc.utf8_length(after)
    by_length = pc.or_(pc.less(length, longer), pc.and_(pc.equal(length, longer), rising))
    return bool(pc.all(by_length).as_py() or pc.count_distinct(array).as_py() == len(array))


def _combine(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
