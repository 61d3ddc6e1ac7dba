"""Small graphs of interactions and their matrices, shared by the tests of item–item models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphrec.graph import HeteroGraph
from graphrec.graph.hetero import assemble
from graphrec.models import ItemItem

# user 0: items 0 1, user 1: items 0 1 2, user 2: items 1 3, user 3: nothing; item 4 unused
ROWS = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 1), (2, 3)]


def graph_of(rows: Sequence[tuple[int, int]], num_users: int = 4, num_items: int = 5) -> HeteroGraph:
    user, item = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    return assemble((num_users, num_items, 0), ["interacts"], user, item + num_users, np.zeros(len(user), np.int64))


def random_graph(seed: int, num_users: int = 30, num_items: int = 20) -> HeteroGraph:
    used = np.random.default_rng(seed).random((num_users, num_items)) < 0.2
    return graph_of(np.argwhere(used).tolist(), num_users, num_items)


def matrix_of(graph: HeteroGraph) -> np.ndarray:
    """What each user has used, as ones, float64 [U, I]."""
    used = np.zeros((graph.num_users, graph.num_items))
    used[graph.seen.row_index().numpy(), graph.seen.col.numpy()] = 1
    return used


def kept_matrix(model: ItemItem) -> np.ndarray:
    """What a fitted model has kept: row the used item, column the recommended one, [I, I]."""
    size = model.graph.num_items
    kept = np.zeros((size, size))
    kept[np.repeat(np.arange(size), model.rowptr.diff().numpy()), model.col.numpy()] = model.value.numpy()
    return kept
