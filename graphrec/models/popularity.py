"""Popularity: what most people use, the same for everyone."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from graphrec.errors import CombinationError
from graphrec.graph import HeteroGraph
from graphrec.models.base import Model
from graphrec.sparse import CSR


class Popularity(Model):
    """score(u, i) = ln(1 + d_i), with d_i the number of users of item i in the graph.

    The logarithm leaves the order as it is and keeps a few blockbusters from stretching the scale where scores are
    standardised.

    Args:
        graph: whose interactions are counted by ``fit``.
        settings: a ``NoSettings``.
    """

    name: ClassVar[str] = "popularity"
    popularity: Tensor

    def __init__(self, graph: HeteroGraph, settings: Any) -> None:
        super().__init__(graph, settings)
        self.register_buffer("popularity", torch.zeros(graph.num_items))

    def fit(self) -> None:
        count = torch.bincount(self.graph.seen.col, minlength=self.graph.num_items)
        self.popularity = count.float().log1p()

    def score_block(self, users: Tensor) -> Tensor:
        return self.popularity.repeat(len(users), 1)

    def fold_in(self, history: CSR) -> Tensor:
        return self.popularity.repeat(history.num_rows, 1)

    def similarity_block(self, items: Tensor) -> Tensor:
        """Popularity knows no likeness.

        Raises:
            UsageError: always.
        """
        raise CombinationError("popularity knows no likeness of items", "ask item_knn, lightgcn, gat or fused")
