"""Reading each table of a data set with the caller's settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from graphrec.data.assemble import Listed
from graphrec.data.columns import INTERACTIONS, ITEMS, KNOWLEDGE, USERS, Columns
from graphrec.data.features import Side
from graphrec.data.formats import Described, Folder, InteractionRows, KnowledgeRows
from graphrec.data.ids import IdMap
from graphrec.data.request import Request
from graphrec.data.tables import Rows, Source, read_table
from graphrec.data.values import UNTYPED
from graphrec.data.vectors import Vectors, read_vectors


@dataclass
class Reader:
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
        first = self.table(train, INTERACTIONS, "interactions", self.header)
        if test is None:
            no_test = np.zeros(len(first), dtype=bool)
            return InteractionRows(first.ids["user_id"], first.ids["item_id"], no_test, first.numbers)
        second = self.table(test, INTERACTIONS, "test", self.header)
        user, item = (_joined(first.ids[name], second.ids[name]) for name in ("user_id", "item_id"))
        values = {}
        for name in dict.fromkeys([*first.numbers, *second.numbers]):
            parts = [_or_absent(table, name) for table in (first, second)]
            values[name] = np.concatenate(parts)
        return InteractionRows(user, item, np.repeat([False, True], [len(first), len(second)]), values)

    def listed(self, request: Request, folder: Folder | None = None) -> Listed:
        """Knowledge, items, users and vectors: the request's own tables, else those of a known folder."""
        nothing = Described(pa.array([], pa.large_string()))
        known = (folder.users, folder.items, folder.entities) if folder else (nothing, nothing, nothing)
        own, users, items = request.knowledge, request.users, request.items
        return Listed(
            triples=self.knowledge(own) if own is not None else folder.knowledge if folder else None,
            users=known[0] if users is None else self.described(users, USERS),
            items=known[1] if items is None else self.described(items, ITEMS),
            entities=known[2] if own is None else nothing,
            numbered=folder is not None,
            side=Side(self.vectors(request), request.text_model, self.skip),
        )

    def vectors(self, request: Request) -> tuple[Vectors, ...]:
        """The vectors that the request names."""
        found = []
        for (kind, name), source in request.vectors().items():
            found.append(read_vectors(source, kind, name, renamed=self.renamed, skip=self.skip))
            self.read[f"{kind}.{name}"] = found[-1].read
            self._count(found[-1])
        return tuple(found)

    def knowledge(self, source: Source) -> KnowledgeRows:
        """Triples with the kinds they state."""
        table = self.table(source, KNOWLEDGE, "knowledge")
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
        table = self.table(source, spec, spec.table)
        ids = table.ids[spec.required[0]]
        return Described(ids.dictionary.take(ids.indices), table.attributes)

    def table(self, source: Source, spec: Columns, name: str, header: Sequence[str] | None = None) -> Rows:
        """The rows of a table, called ``name`` in the counts."""
        rows = read_table(source, spec, renamed=self.renamed, header=header, delimiter=self.delimiter, skip=self.skip)
        self.read[name] = rows.read
        self._count(rows)
        return rows

    def _count(self, found: Rows | Vectors) -> None:
        self.skipped += found.skipped
        self.examples.extend(found.examples)


def _joined(first: pa.DictionaryArray, second: pa.DictionaryArray) -> pa.DictionaryArray:
    return pa.chunked_array([first, second]).unify_dictionaries().combine_chunks()


def _or_absent(table: Rows, name: str) -> np.ndarray:
    """The table's values, or as many absent ones."""
    if name in table.numbers:
        return table.numbers[name]
    return np.full(len(table), -1, np.int64) if name == "timestamp" else np.full(len(table), np.nan, np.float32)
