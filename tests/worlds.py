"""Small graphs worked out by hand, and a small generated world, shared by the tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from graphrec.data import Dataset, read_dataset, synthetic
from graphrec.graph import HeteroGraph
from graphrec.graph.hetero import assemble
from graphrec.sparse import CSR


def pairs(rows: Sequence[tuple[int, int]], num_users: int, num_items: int) -> CSR:
    """Observed pairs as CSR [U, I]."""
    user = torch.tensor([row[0] for row in rows], dtype=torch.int64)
    item = torch.tensor([row[1] for row in rows], dtype=torch.int64)
    return CSR.from_pairs(user, item, num_users, num_items)


def hand_graph(*, knowledge: bool = True) -> HeteroGraph:
    """Two users, three items, one entity (nodes 0–1, 2–4, 5).

    User 0 used items 0 and 1, user 1 used item 1; items 1 and 2 share the entity's genre. So the degrees are
    user 2 and 1, item 1, 3 and 1 (1, 2 and 0 without knowledge), entity 2.
    """
    source, target, relation = [0, 0, 1], [2, 3, 3], [0, 0, 0]
    names = ["interacts"]
    if knowledge:
        source, target, relation = [*source, 3, 4], [*target, 5, 5], [*relation, 1, 1]
        names.append("genre")
    return assemble((2, 3, 1), names, np.array(source), np.array(target), np.array(relation))


def small_world(seed: int = 3, *, num_users: int = 60, num_items: int = 40) -> Dataset:
    """A generated world, read and split."""
    world = synthetic.generate(seed=seed, num_users=num_users, num_items=num_items)
    return read_dataset(world.interactions, knowledge=world.knowledge, items=world.items, seed=seed)
