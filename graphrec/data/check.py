"""What a dataset looks like, in numbers that warn before training does."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphrec.data.dataset import Dataset
from graphrec.data.split import Part

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
    edges = dataset.interactions
    test = edges.part == Part.TEST
    pair = edges.user.astype(np.int64) * dataset.num_items + edges.item
    distinct = len(np.unique(pair))
    train_users = np.bincount(edges.user[~test], minlength=dataset.num_users)
    train_items = np.bincount(edges.item[~test], minlength=dataset.num_items)
    test_users = np.unique(edges.user[test])
    return {
        "users": dataset.num_users,
        "items": dataset.num_items,
        "entities": dataset.num_entities,
        "interactions": distinct,
        "density": distinct / (dataset.num_users * dataset.num_items),
        "rows_per_user": _spread(np.bincount(edges.user, minlength=dataset.num_users)),
        "rows_per_item": _spread(np.bincount(edges.item, minlength=dataset.num_items)),
        "parts": {part.name.lower(): int((edges.part == part).sum()) for part in Part},
        "test_users": len(test_users),
        "test_users_without_train": int((train_users[test_users] == 0).sum()),
        "pairs_in_train_and_test": len(pair) - distinct,
        "cold_items": _share(train_items == 0),
        "cold_users": _share(train_users == 0),
        "knowledge": _knowledge(dataset),
        "titles": _titles(dataset),
        "source": dataset.source,
    }


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
