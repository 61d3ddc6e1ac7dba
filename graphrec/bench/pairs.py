"""The interactions that are measured on: drawn, or of a graph folder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from os import PathLike

import numpy as np
import torch
from torch import Tensor
from torch_geometric.utils import to_undirected

from graphrec.data import Dataset, Part
from graphrec.graph import HeteroGraph
from graphrec.graph.hetero import INTERACTS, assemble
from graphrec.sparse import CSR
from graphrec.training import TRAIN_PARTS

GOWALLA_USERS, GOWALLA_ITEMS, GOWALLA_EDGES = 29_858, 40_981, 1_620_256


@dataclass(frozen=True)
class Pairs:
    """Who used what: int32 [n] each, sorted and distinct, and a test row for some users."""

    num_users: int
    num_items: int
    user: np.ndarray
    item: np.ndarray
    test: CSR

    def graph(self) -> HeteroGraph:
        relation = np.zeros(len(self.user), np.int32)
        return assemble(
            (self.num_users, self.num_items, 0), [INTERACTS], self.user, self.item + self.num_users, relation
        )

    def edge_index(self) -> torch.Tensor:
        """Both directions, as PyG takes them, int64 [2, E]."""
        return to_undirected(torch.from_numpy(np.stack([self.user, self.item + self.num_users]).astype(np.int64)))


def draw_pairs(edges: int, seed: int = 0) -> Pairs:
    """A bipartite power-law graph: a user's and an item's share of the pairs falls as rank^-0.375; ids in random order."""
    random = np.random.default_rng(seed)
    least = math.isqrt(4 * edges)
    num_users, num_items = (max(least, edges * size // GOWALLA_EDGES) for size in (GOWALLA_USERS, GOWALLA_ITEMS))
    keys = np.empty(0, np.int64)
    while len(keys) < edges // 2:
        user, item = (
            random.permutation(size)[(size * random.random(edges) ** 1.6).astype(np.int64)]
            for size in (num_users, num_items)
        )
        keys = np.union1d(keys, user * num_items + item)
    keys = np.sort(random.choice(keys, edges // 2, replace=False))
    user, item = (part.astype(np.int32) for part in np.divmod(keys, num_items))
    held_out = random.integers(num_items, size=num_users)
    test = CSR.from_pairs(np.arange(num_users), held_out, num_users, num_items)
    return Pairs(num_users, num_items, user, item, test)


def _read_pairs(folder: Path) -> Pairs:
    dataset = Dataset.load(folder)
    user, item = dataset.interactions.select(*TRAIN_PARTS)
    held_out = dataset.interactions.select(Part.TEST)
    keys = np.unique(user.astype(np.int64) * dataset.num_items + item)
    user, item = (part.astype(np.int32) for part in np.divmod(keys, dataset.num_items))
    test = CSR.from_pairs(*held_out, dataset.num_users, dataset.num_items)
    return Pairs(dataset.num_users, dataset.num_items, user, item, test)
