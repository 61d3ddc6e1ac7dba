"""What a dataset looks like, in numbers that warn before training does."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphrec.data.dataset import Dataset
from graphrec.data.split import Part
from graphrec.data.storage import blocks

QUANTILES = {"min": 0.0, "q25": 0.25, "median": 0.5, "q75": 0.75, "max": 1.0}


def check_dataset(dataset: Dataset) -> dict[str, Any]:
    """Counts, shape and weak spots of a dataset, JSON-able.

    Returns:
        - users, items, entities, interactions (distinct pairs), density;
        - rows_per_user, rows_per_item: quantiles and mean over train and test, cold ones included;
        - parts: entries by part; test_users, test_users_without_train, pairs_in_train_and_test;
        - cold_items, cold_users: without any train entry, as count and share;
        - knowledge: triples, linked_items and their share, unlinked_entities, self_loops, triples by relation;
        - titles: items with a title; rows read, duplicates, skipped rows … as in ``dataset.source``.

    >>> import pyarrow as pa
    >>> from graphrec.data.reading import read_dataset
    >>> data = read_dataset(pa.table({"user_id": ["a", "a", "b"], "item_id": ["x", "y", "y"]}))
    >>> check_dataset(data)["density"]
    0.75
    """
    counts = _Counts(dataset)
    train_users, train_items = counts.users - counts.test_users, counts.items - counts.test_items
    return {
        "users": dataset.num_users,
        "items": dataset.num_items,
        "entities": dataset.num_entities,
        "interactions": counts.distinct,
        "density": counts.distinct / (dataset.num_users * dataset.num_items),
        "rows_per_user": _spread(counts.users),
        "rows_per_item": _spread(counts.items),
        "parts": {part.name.lower(): int(counts.parts[part]) for part in Part},
        "test_users": int((counts.test_users > 0).sum()),
        "test_users_without_train": int(((counts.test_users > 0) & (train_users == 0)).sum()),
        "pairs_in_train_and_test": len(dataset.interactions) - counts.distinct,
        "cold_items": _share(train_items == 0),
        "cold_users": _share(train_users == 0),
        "knowledge": _knowledge(dataset),
        "titles": _titles(dataset),
        "source": dataset.source,
    }


class _Counts:
    """Entries by user, item and part, and distinct pairs, counted block by block."""

    def __init__(self, dataset: Dataset) -> None:
        self.users, self.test_users = np.zeros((2, dataset.num_users), dtype=np.int64)
        self.items, self.test_items = np.zeros((2, dataset.num_items), dtype=np.int64)
        self.parts = np.zeros(len(Part), dtype=np.int64)
        self.distinct = 0
        edges, last = dataset.interactions, (-1, -1)
        for user, item, part in blocks(edges.user, edges.item, edges.part):
            test = part == Part.TEST
            _count(self.users, user)
            _count(self.items, item)
            _count(self.test_users, user[test])
            _count(self.test_items, item[test])
            _count(self.parts, part)
            fresh = (np.diff(user) != 0) | (np.diff(item) != 0)  # equal pairs stand side by side
            self.distinct += int(fresh.sum()) + ((int(user[0]), int(item[0])) != last)
            last = int(user[-1]), int(item[-1])


def _count(counts: np.ndarray, index: np.ndarray) -> None:
    """Add one for each index, looking only at the span of them: users come in order, block by block."""
    if len(index):
        first = int(index.min())
        found = np.bincount(index - first)
        counts[first : first + len(found)] += found


def _titles(dataset: Dataset) -> int:
    """Items with a title."""
    table = dataset.item_table
    if table is None or "title" not in table.column_names:
        return 0
    return dataset.num_items - table["title"].null_count


def _knowledge(dataset: Dataset) -> dict[str, Any]:
    """How much of the catalogue the knowledge reaches, and by which relations."""
    graph = dataset.knowledge
    linked = np.zeros(dataset.num_nodes, dtype=bool)
    linked[graph.head] = linked[graph.tail] = True
    first_item, first_entity = dataset.num_users, dataset.num_users + dataset.num_items
    by_relation = np.bincount(graph.relation, minlength=len(graph.relations))
    return {
        "triples": len(graph),
        "linked_items": _share(linked[first_item:first_entity]),
        "unlinked_entities": int((~linked[first_entity:]).sum()),
        "self_loops": int((graph.head == graph.tail).sum()),
        "relations": dict(zip(graph.relations, by_relation.tolist(), strict=True)),
    }


def _share(mask: np.ndarray) -> dict[str, float]:
    return {"count": int(mask.sum()), "share": float(mask.mean()) if len(mask) else 0.0}


def _spread(counts: np.ndarray) -> dict[str, float]:
    spread = {name: float(np.quantile(counts, at)) for name, at in QUANTILES.items()}
    return spread | {"mean": float(counts.mean())}
