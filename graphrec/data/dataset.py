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
import pyarrow.parquet as pq

from graphrec.data.columns import KINDS
from graphrec.data.features import Features, load_features, named_features, save_features, widths
from graphrec.data.ids import IdMap
from graphrec.data.split import Part
from graphrec.data.storage import BLOCK, blocks, open_column, write_column
from graphrec.errors import GraphFolderError
from graphrec.files import atomic_path, write_text

FORMAT = "graphrec-dataset"
VERSION = 2
COLUMNS = {  # of the interactions, in the folder tables/interactions
    "user": np.int32,
    "item": np.int32,
    "part": np.uint8,
    "count": np.int32,
    "timestamp": np.int64,
    "rating": np.float32,
    "weight": np.float32,
}
_TABLES = {"user_table": "users", "item_table": "items", "entity_table": "entities"}


@dataclass(frozen=True, eq=False)
class Interactions:
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

    user: np.ndarray
    item: np.ndarray
    part: np.ndarray
    count: np.ndarray
    timestamp: np.ndarray | None = None
    rating: np.ndarray | None = None
    weight: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.user)

    def select(self, *parts: Part) -> tuple[np.ndarray, np.ndarray]:
        """(user, item) of the entries in these parts, in order."""
        chosen = np.isin(self.part, [int(part) for part in parts])
        return self.user[chosen], self.item[chosen]


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
        """A digest of ids, interactions with their parts, knowledge and features: equal for equal data alone."""
        digest = hashlib.sha256(json.dumps([self.counts(), self.knowledge.relations]).encode())
        for ids in (self.users, self.items, self.entities):
            for part in ids.parts(BLOCK):
                digest.update(part.data)
        named = {**_columns(self.interactions), **_columns(self.knowledge), **named_features(self.features)}
        for name, value in named.items():
            digest.update(name.encode())
            for (block,) in blocks(value):
                digest.update(np.ascontiguousarray(block).data)
        return digest.hexdigest()

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write a graph folder: ids/, tables/ and, last, dataset.json, without which the folder does not load."""
        root = Path(folder)
        (root / "dataset.json").unlink(missing_ok=True)
        for name in ("users", "items", "entities"):
            getattr(self, name).save(root / "ids" / f"{name}.parquet")
        _write_interactions(self.interactions, root / "tables" / "interactions")
        _write(_columns(self.knowledge), root / "tables" / "knowledge.parquet")
        for attribute, name in _TABLES.items():
            _write(getattr(self, attribute), root / "tables" / f"{name}.parquet")
        save_features(self.features, root / "tables" / "features")
        names = list(_columns(self.interactions))
        write_header(root / "dataset.json", self, names, len(self.interactions), self.source)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Dataset:
        """Read what ``save`` wrote; the interactions stay on disk until they are used.

        Raises:
            DataError: the folder is foreign, of another version, or damaged.
        """
        root = Path(folder)
        header = _read_header(root)
        counts = header["counts"]
        tables = root / "tables"
        knowledge = _read(tables / "knowledge.parquet")
        users, items, entities = (
            IdMap.load(root / "ids" / f"{name}.parquet") for name in ("users", "items", "entities")
        )
        dataset = cls(
            users,
            items,
            entities,
            _read_interactions(tables / "interactions", header),
            Knowledge(**_arrays(knowledge), relations=tuple(header["relations"])),
            user_table=_read(tables / "users.parquet", optional=True),
            item_table=_read(tables / "items.parquet", optional=True),
            source=header["source"],
            entity_table=_read(tables / "entities.parquet", optional=True),
            features=load_features(
                header.get("features", {}), {"user": counts["users"], "item": counts["items"]}, tables / "features"
            ),
        )
        if dataset.counts() != counts:
            raise GraphFolderError(f"{root}: its tables do not match dataset.json", "build the folder anew")
        return dataset

    def counts(self) -> dict[str, int]:
        sizes = {"users": self.num_users, "items": self.num_items, "entities": self.num_entities}
        return sizes | {"interactions": len(self.interactions), "knowledge": len(self.knowledge)}

    def _locate(self, node: int) -> tuple[str, int]:
        if not 0 <= node < self.num_nodes:
            raise IndexError(f"node must be in [0, {self.num_nodes}), got {node}")
        if node < self.num_users:
            return "user", node
        if node < self.num_users + self.num_items:
            return "item", node - self.num_users
        return "entity", node - self.num_users - self.num_items


def write_header(path: Path, dataset: Dataset, columns: list[str], rows: int, source: dict[str, Any]) -> None:
    """Write dataset.json for the ids and the knowledge of ``dataset``.

    Args:
        columns: of the interactions.
        rows: how many interactions.
    """
    header = {"format": FORMAT, "version": VERSION, "counts": dataset.counts() | {"interactions": rows}}
    header |= {"columns": columns, "relations": list(dataset.knowledge.relations), "source": source}
    header["features"] = widths(dataset.features)
    write_text(path, json.dumps(header, indent=2, ensure_ascii=False) + "\n")


def _title(table: pa.Table | None, index: int) -> str | None:
    return table["title"][index].as_py() if table is not None and "title" in table.column_names else None


def _columns(record: Interactions | Knowledge) -> dict[str, np.ndarray]:
    return {name: value for name, value in vars(record).items() if isinstance(value, np.ndarray)}


def _write_interactions(record: Interactions, folder: Path) -> None:
    """A file for each column, and none left from before."""
    columns = _columns(record)
    for name in COLUMNS:
        path = folder / f"{name}.npy"
        if name not in columns:
            path.unlink(missing_ok=True)
            continue
        with atomic_path(path) as temporary:
            write_column(temporary, columns[name])


def _read_interactions(folder: Path, header: dict[str, Any]) -> Interactions:
    """Memory maps of the columns, of the types and the length that they must have."""
    columns = {name: open_column(folder / f"{name}.npy") for name in header["columns"] if name in COLUMNS}
    for name, column in columns.items():
        if column.dtype != COLUMNS[name] or len(column) != header["counts"]["interactions"]:
            found = f"{len(column)} values of {column.dtype}"
            raise GraphFolderError(f"{folder / name}.npy: {found} do not match dataset.json", "build the folder anew")
    return Interactions(**columns)


def _arrays(table: pa.Table) -> dict[str, np.ndarray]:
    return {name: table[name].to_numpy() for name in table.column_names}


def _write(table: pa.Table | dict[str, np.ndarray] | None, path: Path) -> None:
    """Write a table atomically; no table means no file, also none left from before."""
    if table is None:
        path.unlink(missing_ok=True)
        return
    with atomic_path(path) as temporary:
        pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), temporary)


def _read(path: Path, *, optional: bool = False) -> pa.Table | None:
    if optional and not path.exists():
        return None
    try:
        return pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise GraphFolderError(f"{path}: missing or damaged ({error})", "build the folder anew") from error


def _read_header(root: Path) -> dict[str, Any]:
    hint = "make a graph folder with: graphrec build interactions.csv --out graph/"
    if not root.is_dir():
        raise GraphFolderError(f"{root}: no such graph folder", hint)
    path = root / "dataset.json"
    if not path.is_file():
        raise GraphFolderError(f"{root}: not a graph folder, or not written to its end; it has no dataset.json", hint)
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise GraphFolderError(f"{path}: not valid JSON ({error})", hint) from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise GraphFolderError(f"{path}: not written by graphrec", hint)
    if header.get("version") != VERSION:
        message = f"{path}: has version {header.get('version')}, this graphrec reads version {VERSION}"
        raise GraphFolderError(message, "build the folder anew")
    return header
