"""From the caller's tables, or a known folder, to a Dataset."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from graphrec.data.assemble import Gathered, assemble
from graphrec.data.columns import INTERACTIONS, ITEMS, KNOWLEDGE, USERS, Columns, check_renamed
from graphrec.data.dataset import Dataset
from graphrec.data.formats import Described, Folder, InteractionRows, KnowledgeRows, read_folder
from graphrec.data.ids import IdMap
from graphrec.data.split import check_split
from graphrec.data.tables import Rows, Source, read_table
from graphrec.data.values import SHOWN, UNTYPED
from graphrec.errors import UsageError, nearest

NOTHING = Described(pa.array([], pa.large_string()))
BAD_ROW = ("stop", "skip")


def read_dataset(
    interactions: Source,
    *,
    knowledge: Source | None = None,
    items: Source | None = None,
    users: Source | None = None,
    test: Source | None = None,
    split: str | None = None,
    seed: int = 0,
    min_rating: float | None = None,
    columns: Mapping[str, str] | None = None,
    header: Sequence[str] | None = None,
    delimiter: str | None = None,
    on_bad_row: str = "stop",
) -> Dataset:
    """Read tables into a Dataset: ids mapped, duplicates joined, every interaction given its part.

    Args:
        interactions: user_id, item_id and optionally rating, timestamp, weight, as a CSV, TSV or Parquet file,
            DataFrame or Table; or a folder of a known form (see ``formats``).
        knowledge: head, relation, tail and optionally head_type, tail_type (user, item or entity). An untyped name is
            an item if the catalogue has it, else an entity. Replaces a known folder's own knowledge.
        items, users: an id and attributes; ``title`` names it to people. Items without interactions are cold items.
        test: further interactions, held out as they are.
        split: given, random, last or time (see ``split``). By default given where there are test rows, else last where
            there are timestamps, else random.
        seed: of the split.
        min_rating: rows rated lower are no interactions.
        columns: our column name → the caller's, applied to each table that has it.
        header: column names of interactions and test, where these are text without a header row.
        delimiter: of the text tables whose header row has it; others go by their suffix.
        on_bad_row: "stop" at the first, or "skip": leave them out, count them and keep the first few in ``source``.

    Raises:
        DataError: with file, line and value.
        UsageError: an argument has no such value.

    >>> table = pa.table({"user_id": ["ann", "ann", "bob"], "item_id": ["007", "7", "7"], "timestamp": [1, 2, 3]})
    >>> data = read_dataset(table)
    >>> data.items.names([0, 1]).tolist(), data.interactions.part.tolist()
    (['007', '7'], [0, 3, 0])
    """
    check_split(split)
    if on_bad_row not in BAD_ROW:
        raise UsageError(f"on_bad_row must be stop or skip, got {on_bad_row!r}", nearest(on_bad_row, BAD_ROW))
    check_renamed(columns or {})
    reader = _Reader(columns or {}, header, delimiter, on_bad_row == "skip")
    folder = _open_folder(interactions, test, header)
    listed = (folder.users, folder.items, folder.entities) if folder else (NOTHING, NOTHING, NOTHING)
    rows = folder.interactions if folder else reader.interactions(interactions, test)
    triples = reader.knowledge(knowledge) if knowledge is not None else folder.knowledge if folder else None
    gathered = Gathered(
        rows,
        triples,
        users=listed[0] if users is None else reader.described(users, USERS),
        items=listed[1] if items is None else reader.described(items, ITEMS),
        entities=listed[2] if knowledge is None else NOTHING,
        numbered=folder is not None,
    )
    given = {"interactions": interactions, "test": test, "knowledge": knowledge, "items": items, "users": users}
    source: dict[str, Any] = {"format": folder.format if folder else "table"}
    source["files"] = {name: _called(value) for name, value in given.items() if value is not None}
    source["rows"] = {**_folder_rows(folder), **reader.read}
    source["negatives"] = folder.negatives if folder else 0
    source["skipped"] = {"count": reader.skipped, "first": reader.examples[:SHOWN]}
    return assemble(gathered, source, split=split, seed=seed, min_rating=min_rating)


@dataclass
class _Reader:
    """Reads each table with the caller's settings and adds up what was read and skipped."""

    renamed: Mapping[str, str]
    header: Sequence[str] | None
    delimiter: str | None
    skip: bool
    read: dict[str, int] = field(default_factory=dict)
    skipped: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)

    def interactions(self, train: Source, test: Source | None) -> InteractionRows:
        """Train rows, then test rows; a value that only one of them has is absent (−1 or NaN) in the other."""
        first = self._table(train, INTERACTIONS, "interactions", self.header)
        if test is None:
            no_test = np.zeros(len(first), dtype=bool)
            return InteractionRows(first.ids["user_id"], first.ids["item_id"], no_test, first.numbers)
        second = self._table(test, INTERACTIONS, "test", self.header)
        user, item = (_joined(first.ids[name], second.ids[name]) for name in ("user_id", "item_id"))
        values = {}
        for name in dict.fromkeys([*first.numbers, *second.numbers]):
            parts = [_or_absent(table, name) for table in (first, second)]
            values[name] = np.concatenate(parts)
        return InteractionRows(user, item, np.repeat([False, True], [len(first), len(second)]), values)

    def knowledge(self, source: Source) -> KnowledgeRows:
        """Triples with the kinds they state."""
        table = self._table(source, KNOWLEDGE, "knowledge")
        untyped = np.full(len(table), UNTYPED, dtype=np.uint8)
        relations = IdMap.from_values(table.ids["relation"].dictionary)
        return KnowledgeRows(
            table.ids["head"],
            table.numbers.get("head_type", untyped),
            relations.encode(table.ids["relation"]),
            table.ids["tail"],
            table.numbers.get("tail_type", untyped),
            tuple(relations.array.to_pylist()),
        )

    def described(self, source: Source, spec: Columns) -> Described:
        """The ids and attributes of an items or users table."""
        table = self._table(source, spec, spec.table)
        ids = table.ids[spec.required[0]]
        return Described(ids.dictionary.take(ids.indices), table.attributes)

    def _table(self, source: Source, spec: Columns, name: str, header: Sequence[str] | None = None) -> Rows:
        rows = read_table(source, spec, renamed=self.renamed, header=header, delimiter=self.delimiter, skip=self.skip)
        self.read[name] = rows.read
        self.skipped += rows.skipped
        self.examples.extend(rows.examples)
        return rows


def _open_folder(interactions: Source, test: Source | None, header: Sequence[str] | None) -> Folder | None:
    """The known folder that ``interactions`` names, None where it names a table."""
    if not isinstance(interactions, (str, os.PathLike)) or not Path(interactions).is_dir():
        return None
    folder = read_folder(Path(interactions))
    if test is not None and folder.has_test:
        raise UsageError(f"{interactions}: has a test.txt of its own, so test= cannot be given", "leave test= out")
    if test is not None or header is not None:
        raise UsageError(f"{interactions}: is a known folder, which takes no test= and no header=", "leave them out")
    return folder


def _folder_rows(folder: Folder | None) -> dict[str, int]:
    if folder is None:
        return {}
    triples = len(folder.knowledge.relation) if folder.knowledge else 0
    return {"interactions": len(folder.interactions.is_test) + folder.negatives, "knowledge": triples}


def _joined(first: pa.DictionaryArray, second: pa.DictionaryArray) -> pa.DictionaryArray:
    return pa.chunked_array([first, second]).unify_dictionaries().combine_chunks()


def _or_absent(table: Rows, name: str) -> np.ndarray:
    """The table's values, or as many absent ones."""
    if name in table.numbers:
        return table.numbers[name]
    return np.full(len(table), -1, np.int64) if name == "timestamp" else np.full(len(table), np.nan, np.float32)


def _called(source: Source) -> str:
    """What to call a source: its path, or its type."""
    return str(source) if isinstance(source, (str, os.PathLike)) else type(source).__name__
