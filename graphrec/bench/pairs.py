"""The interactions that are measured on: drawn, or those of a graph folder."""

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
SKEW = 1.6


@dataclass(frozen=True)
class Pairs:
    """Who used what.

    Args:
        num_users, num_items: nodes of each kind.
        user, item: int32 [n], sorted by (user, item), distinct.
        test: CSR [num_users, num_items], what to judge lists by.
    """

    num_users: int
    num_items: int
    user: np.ndarray
    item: np.ndarray
    test: CSR

    @property
    def num_nodes(self) -> int:
        return self.num_users + self.num_items

    def graph(self) -> HeteroGraph:
        sizes = (self.num_users, self.num_items, 0)
        relation = np.zeros(len(self.user), np.int32)
        return assemble(sizes, [INTERACTS], self.user, self.item + self.num_users, relation)

    def one_way(self) -> Tensor:
        """User and item nodes as PyG takes them, int64 [2, n]."""
        return torch.from_numpy(np.stack([self.user, self.item + self.num_users]).astype(np.int64))

    def edge_index(self) -> Tensor:
        """Both directions, int64 [2, 2n]."""
        return to_undirected(self.one_way())


def draw_pairs(edges: int, seed: int = 0) -> Pairs:
    """A power-law graph with Gowalla's proportions: a node's share of the edges falls as rank^-0.375, in random order.

    Args:
        edges: directed ones, so twice the pairs; a small graph gets more nodes than its proportion, to stay sparse.
        seed: of all draws. The first users, as many as Gowalla's at most, get one random test item each: ranking
            takes users × items, and so would grow with the square of the edges.
    """
    random = np.random.default_rng(seed)
    least = math.isqrt(4 * edges)
    num_users, num_items = (max(least, edges * size // GOWALLA_EDGES) for size in (GOWALLA_USERS, GOWALLA_ITEMS))
    user_order, item_order = random.permutation(num_users), random.permutation(num_items)
    keys = np.empty(0, np.int64)
    while len(keys) < edges // 2:
        user = user_order[(num_users * random.random(edges) ** SKEW).astype(np.int64)]
        item = item_order[(num_items * random.random(edges) ** SKEW).astype(np.int64)]
        keys = np.union1d(keys, user * num_items + item)
    user, item = np.divmod(np.sort(random.choice(keys, edges // 2, replace=False)), num_items)
    judged = min(num_users, GOWALLA_USERS)
    test = CSR.from_pairs(np.arange(judged), random.integers(num_items, size=judged), num_users, num_items)
    return Pairs(num_users, num_items, user.astype(np.int32), item.astype(np.int32), test)


def read_pairs(folder: str | PathLike[str]) -> Pairs:
    """All train rows and the test rows of a graph folder.

    Raises:
        DataError: the folder is foreign or damaged.
    """
    return pairs_of(Dataset.load(folder))


def pairs_of(dataset: Dataset) -> Pairs:
    """All train rows and the test rows of a data set."""
    test = CSR.from_pairs(*dataset.interactions.select(Part.TEST), dataset.num_users, dataset.num_items)
    return Pairs(dataset.num_users, dataset.num_items, *dataset.interactions.select(*TRAIN_PARTS), test)
