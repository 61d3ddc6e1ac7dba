"""Popularity: what most people use, the same for everyone."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from graphrec.errors import CombinationError
from graphrec.graph import HeteroGraph
from graphrec.models.base import Model
from graphrec.models.recency import RecencySettings, in_order, recency_obstacle, recency_weight
from graphrec.sparse import CSR


class Popularity(Model):
    """score(u, i) = ln(1 + Σ_v w_vi) over the users v of item i in the graph, each counting w = (1 + n)^−ρ.

    n is the number of v's items that are newer than i; at ``recency`` ρ = 0 all users count 1. The logarithm leaves the
    order as it is and keeps a few blockbusters from stretching the scale where scores are standardised.

    Args:
        graph: whose interactions are counted by ``fit``, and for ρ > 0 their times.
        settings: a ``RecencySettings``.
    """

    name: ClassVar[str] = "popularity"
    Settings: ClassVar[type] = RecencySettings
    popularity: Tensor

    def __init__(self, graph: HeteroGraph, settings: Any) -> None:
        super().__init__(graph, settings)
        self.register_buffer("popularity", torch.zeros(graph.num_items))

    @classmethod
    def obstacle(cls, graph: HeteroGraph, settings: Any) -> str | None:
        return recency_obstacle(graph, settings)

    def fit(self) -> None:
        recency = self.settings.recency
        used = in_order(self.graph, recency)
        weight = recency_weight(used, recency) if recency > 0 else None
        self.popularity = torch.bincount(used.col, weight, minlength=used.num_cols).float().log1p()

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
