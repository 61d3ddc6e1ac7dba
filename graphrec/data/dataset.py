"""The data as integers: interactions with their parts, knowledge, and the ids behind them; saved as a graph folder."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from graphrec.data.columns import KINDS
from graphrec.data.features import Features, load_features, named_features, save_features, widths
from graphrec.data.folder import (
    HEADER,
    Header,
    read_attributes,
    read_header,
    read_interactions,
    read_negatives,
    read_triples,
    write_header,
    write_interactions,
    write_table,
)
from graphrec.data.ids import IdMap
from graphrec.data.split import Part
from graphrec.data.storage import BLOCK, blocks

_TABLES = {"user_table": "users", "item_table": "items", "entity_table": "entities"}


@dataclass(frozen=True, eq=False)
class Pairs:
    """Distinct (user, item), sorted; all arrays of length n.

    Args:
        user, item: int32 indices.
        part: uint8 values of Part.
    """

    user: np.ndarray
    item: np.ndarray
    part: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    def select(self, *parts: Part) -> tuple[np.ndarray, np.ndarray]:
        """(user, item) of the entries in these parts, in order."""
        chosen = np.isin(self.part, [int(part) for part in parts])
        return self.user[chosen], self.item[chosen]

    @staticmethod
    def none() -> Pairs:
        """No entry."""
        return Pairs(*(np.empty(0, kind) for kind in (np.int32, np.int32, np.uint8)))


@dataclass(frozen=True, eq=False)
class Interactions(Pairs):
    """One entry for each distinct (user, item) of train and of test, sorted by (user, item); all arrays of length n.

    Arrays that come from a graph folder are read-only memory maps: ``graphrec.data.storage.blocks`` passes over more
    of them than memory holds.

    Args:
        user, item: int32 indices.
        part: uint8 values of Part; a pair given in both train and test has two entries.
        count: int32, how many rows were this pair.
        timestamp: int64 of the last of them, −1 where absent; None if no row has one.
        rating, weight: float32 of the last of them, NaN where absent; None if no row has one.
    """

    count: np.ndarray
    timestamp: np.ndarray | None = None
    rating: np.ndarray | None = None
    weight: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Knowledge:
    """Distinct triples, sorted, as read (no inverses). Nodes: users from 0, then items, then entities.

    Args:
        head, tail: int32 nodes.
        relation: int32 positions in ``relations``.
        relations: their names.
    """

    head: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    relation: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    tail: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    relations: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.head)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Everything a model is trained on, and the names to show it under.

    Args:
        users, items, entities: ids by index.
        user_table, item_table, entity_table: attributes as text, row i for index i, null where absent.
        source: where it came from and what was counted on the way; JSON-able.
        features: float32 [n, width] by kind of node and modality, row i for index i, NaN where nothing is known.
        negatives: pairs labelled as no interaction (label 0). They judge beside the interactions of their part, are no
            edges and train nothing.
    """

    users: IdMap
    items: IdMap
    entities: IdMap
    interactions: Interactions
    knowledge: Knowledge
    user_table: pa.Table | None = None
    item_table: pa.Table | None = None
    source: dict[str, Any] = field(default_factory=dict)
    entity_table: pa.Table | None = None
    features: Features = field(default_factory=dict)
    negatives: Pairs = field(default_factory=Pairs.none)

    @property
    def num_users(self) -> int:
        return len(self.users)

    @property
    def num_items(self) -> int:
        return len(self.items)

    @property
    def num_entities(self) -> int:
        """Entities that are not items."""
        return len(self.entities)

    @property
    def num_nodes(self) -> int:
        return self.num_users + self.num_items + self.num_entities

    def item_title(self, index: int) -> str | None:
        """The title of an item, None where it has none."""
        return _title(self.item_table, index)

    def node_id(self, node: int) -> tuple[str, str]:
        """("user" | "item" | "entity", id) of a node."""
        kind, index = self._locate(node)
        ids = (self.users, self.items, self.entities)[KINDS.index(kind)]
        return kind, str(ids.names([index])[0])

    def node_name(self, node: int) -> str:
        """What to call a node in front of people: its title, else its id."""
        kind, index = self._locate(node)
        return _title(getattr(self, f"{kind}_table"), index) or self.node_id(node)[1]

    def fingerprint(self) -> str:
        """A digest of ids, pairs with their parts, knowledge and features: equal for equal data alone."""
        digest = hashlib.sha256(json.dumps([self.counts(), self.knowledge.relations]).encode())
        for ids in (self.users, self.items, self.entities):
            for part in ids.parts(BLOCK):
                digest.update(part.data)
        named = {**_columns(self.interactions), **_columns(self.knowledge), **named_features(self.features)}
        named |= {f"negatives.{name}": column for name, column in self._negative_columns().items()}
        for name, value in named.items():
            digest.update(name.encode())
            for (block,) in blocks(value):
                digest.update(np.ascontiguousarray(block).data)
        return digest.hexdigest()

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write a graph folder: ids/, tables/ and, last, dataset.json, without which the folder does not load."""
        root = Path(folder)
        (root / HEADER).unlink(missing_ok=True)
        for name in ("users", "items", "entities"):
            getattr(self, name).save(root / "ids" / f"{name}.parquet")
        write_interactions(_columns(self.interactions), root / "tables" / "interactions")
        write_table(_columns(self.knowledge), root / "tables" / "knowledge.parquet")
        write_table(self._negative_columns() or None, root / "tables" / "negatives.parquet")
        for attribute, name in _TABLES.items():
            write_table(getattr(self, attribute), root / "tables" / f"{name}.parquet")
        save_features(self.features, root / "tables" / "features")
        write_header(root, self.header(list(_columns(self.interactions)), len(self.interactions), self.source))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Dataset:
        """Read what ``save`` wrote; the interactions stay on disk until they are used.

        Raises:
            DataError: the folder is foreign, of another version, or damaged.
        """
        root = Path(folder)
        header = read_header(root)
        counts, tables = header.counts, root / "tables"
        sizes = {"users": counts.users, "items": counts.items, "entities": counts.entities}
        ids = {name: IdMap.load(root / "ids" / f"{name}.parquet", size) for name, size in sizes.items()}
        attributes: dict[str, Any] = {
            attribute: read_attributes(tables / f"{name}.parquet", sizes[name]) for attribute, name in _TABLES.items()
        }
        knowledge = tables / "knowledge.parquet"
        triples = read_triples(knowledge, counts.knowledge, header.relations, sum(sizes.values()))
        negatives = read_negatives(tables / "negatives.parquet", counts.negatives, counts.users, counts.items)
        return cls(
            **ids,
            interactions=Interactions(**read_interactions(tables / "interactions", header)),
            knowledge=Knowledge(**triples, relations=tuple(header.relations)),
            source=header.source,
            features=load_features(header.features, {"user": counts.users, "item": counts.items}, tables / "features"),
            negatives=Pairs(**negatives) if negatives else Pairs.none(),
            **attributes,
        )

    def header(self, columns: list[str], rows: int, source: dict[str, Any]) -> Header:
        """What dataset.json says of these ids and this knowledge.

        Args:
            columns: of the interactions.
            rows: how many interactions.
        """
        return Header.model_validate(
            {
                "counts": self.counts() | {"interactions": rows, "negatives": len(self.negatives)},
                "columns": columns,
                "relations": list(self.knowledge.relations),
                "source": source,
                "features": widths(self.features),
            }
        )

    def counts(self) -> dict[str, int]:
        sizes = {"users": self.num_users, "items": self.num_items, "entities": self.num_entities}
        return sizes | {"interactions": len(self.interactions), "knowledge": len(self.knowledge)}

    def _negative_columns(self) -> dict[str, np.ndarray]:
        """The columns of the pairs of label 0; none where there are no such pairs."""
        return _columns(self.negatives) if len(self.negatives) else {}

    def _locate(self, node: int) -> tuple[str, int]:
        if not 0 <= node < self.num_nodes:
            raise IndexError(f"node must be in [0, {self.num_nodes}), got {node}")
        if node < self.num_users:
            return "user", node
        if node < self.num_users + self.num_items:
            return "item", node - self.num_users
        return "entity", node - self.num_users - self.num_items


def _title(table: pa.Table | None, index: int) -> str | None:
    return table["title"][index].as_py() if table is not None and "title" in table.column_names else None


def _columns(record: Pairs | Knowledge) -> dict[str, np.ndarray]:
    return {name: value for name, value in vars(record).items() if isinstance(value, np.ndarray)}
