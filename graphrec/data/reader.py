"""Reading each table of a data set with the caller's settings."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from graphrec.data.assemble import Listed
from graphrec.data.columns import INTERACTIONS, ITEMS, KINDS, KNOWLEDGE, LINKS, USERS, Columns
from graphrec.data.features import Side
from graphrec.data.formats import Described, Folder, InteractionRows, KnowledgeRows
from graphrec.data.ids import IdMap
from graphrec.data.rejected import Rejected
from graphrec.data.request import Request
from graphrec.data.tables import Rows, Source, read_table
from graphrec.data.text import TextForm
from graphrec.data.values import UNTYPED
from graphrec.data.vectors import Vectors, read_vectors
from graphrec.errors import ColumnError, nearest
from graphrec.files import unchanged

ITEM, ENTITY = KINDS.index("item"), KINDS.index("entity")


@dataclass
class Reader:
    """Reads each table of a request.

    Args:
        request: the tables.
        rejected: takes bad rows; None where the first one stops the reading.
        read: rows by table.
    """

    request: Request
    rejected: Rejected | None = None
    read: dict[str, int] = field(default_factory=dict)

    @property
    def side_form(self) -> TextForm:
        """How text tables beside the interactions are written: the header is not theirs."""
        return replace(self.request.form, header=None)

    def skipped(self) -> dict[str, Any]:
        """How many rows were left out, and the first few."""
        rejected = self.rejected or Rejected()
        return {"count": rejected.count, "first": rejected.first}

    def interactions(self) -> InteractionRows:
        """Train rows, then test rows; a value that only some tables have is absent (−1 or NaN) in the others."""
        train, test = self.request.interactions, self.request.test
        sources = train if isinstance(train, tuple) else (train,)
        tables = [self.table(source, INTERACTIONS, "interactions") for source in sources]
        is_test = np.zeros(sum(map(len, tables)), dtype=bool)
        if test is not None:
            tables.append(self.table(test, INTERACTIONS, "test"))
            is_test = np.append(is_test, np.ones(len(tables[-1]), dtype=bool))
        user, item = (_joined([table.ids[name] for table in tables]) for name in ("user_id", "item_id"))
        names = dict.fromkeys(name for table in tables for name in table.numbers)
        values = {name: np.concatenate([_or_absent(table, name) for table in tables]) for name in names}
        return InteractionRows(user, item, is_test, values)

    def listed(self, folder: Folder | None = None) -> Listed:
        """Knowledge, items, users and vectors: the request's own tables, else those of a known folder."""
        nothing = Described(pa.array([], pa.large_string()))
        known = (folder.users, folder.items, folder.entities) if folder else (nothing, nothing, nothing)
        own, users, items = self.request.knowledge, self.request.users, self.request.items
        triples = self.knowledge(own) if own is not None else folder.knowledge if folder else None
        described = (
            known[0] if users is None else self.described(users, USERS),
            known[1] if items is None else self.described(items, ITEMS),
        )
        if users is not None or items is not None:
            _check_title(described, self.request.columns.get("title"))
        return Listed(
            triples,
            *described,
            entities=known[2] if own is None else nothing,
            numbered=folder is not None,
            side=Side(self.vectors(), self.request.text_model, self.request.skip),
        )

    def vectors(self) -> tuple[Vectors, ...]:
        """The vectors that the request names."""
        found = []
        options: dict[str, Any] = {"renamed": self.request.columns, "form": self.side_form, "rejected": self.rejected}
        for (kind, name), source in self.request.vectors().items():
            with unchanged(*([Path(source)] if isinstance(source, str | os.PathLike) else [])):
                found.append(read_vectors(source, kind, name, **options))
            self.read[f"{kind}.{name}"] = found[-1].read
        return tuple(found)

    def knowledge(self, source: Source) -> KnowledgeRows:
        """Triples with the kinds they state."""
        table = self.table(source, KNOWLEDGE, "knowledge")
        untyped = np.full(len(table), UNTYPED, dtype=np.uint8)
        relations = IdMap.from_values(table.ids["relation"].dictionary)
        triples = KnowledgeRows(
            table.ids["head"],
            table.numbers.get("head_type", untyped),
            relations.encode(table.ids["relation"]),
            table.ids["tail"],
            table.numbers.get("tail_type", untyped),
            tuple(relations.array.to_pylist()),
        )
        return triples if self.request.links is None else self.linked(triples, self.request.links)

    def linked(self, triples: KnowledgeRows, source: Source) -> KnowledgeRows:
        """The triples with the linked entities as the items that they are; all others are entities."""
        links = self.table(source, LINKS, "links").ids
        item, entity = (names.dictionary.take(names.indices) for names in (links["item_id"], links["entity_id"]))
        sides = {}
        for side in ("head", "tail"):
            names = getattr(triples, side)
            place = pc.index_in(names.dictionary, value_set=entity)
            meant = pc.coalesce(item.take(place), names.dictionary)
            sides[side] = pa.DictionaryArray.from_arrays(names.indices, meant)
            is_item = place.is_valid().to_numpy(zero_copy_only=False)[names.indices.to_numpy()]
            sides[f"{side}_kind"] = np.where(is_item, ITEM, ENTITY).astype(np.uint8)
        return replace(triples, **sides)

    def described(self, source: Source, spec: Columns) -> Described:
        """The ids and attributes of an items or users table."""
        table = self.table(source, spec, spec.table)
        ids = table.ids[spec.required[0]]
        return Described(ids.dictionary.take(ids.indices), table.attributes)

    def table(self, source: Source, spec: Columns, name: str) -> Rows:
        """The rows of a table, called ``name`` in the counts."""
        form = self.request.form if spec is INTERACTIONS else self.side_form
        rows = read_table(source, spec, renamed=self.request.columns, form=form, rejected=self.rejected)
        self.read[name] = self.read.get(name, 0) + rows.read
        return rows


def _check_title(tables: tuple[Described, ...], theirs: str | None) -> None:
    """A title that was named must be in one of the tables."""
    found = [name for table in tables if table.attributes is not None for name in table.attributes.column_names]
    if theirs is not None and "title" not in found:
        hint = nearest(theirs, found) or f"they have {', '.join(found)}"
        raise ColumnError(f"neither the items nor the users have a column {theirs!r} for title", hint)


def _joined(parts: list[pa.DictionaryArray]) -> pa.DictionaryArray:
    return pa.chunked_array(parts).unify_dictionaries().combine_chunks() if len(parts) > 1 else parts[0]


def _or_absent(table: Rows, name: str) -> np.ndarray:
    """The table's values, or as many absent ones."""
    if name in table.numbers:
        return table.numbers[name]
    return np.full(len(table), -1, np.int64) if name == "timestamp" else np.full(len(table), np.nan, np.float32)
