"""Views whose vectors or scores are given, to test what is built on views."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from graphrec.graph import HeteroGraph
from graphrec.models import EmbeddingModel, EmbeddingSettings, Model
from graphrec.models.base import NoSettings
from graphrec.sparse import CSR


class FixedVectors(EmbeddingModel):
    """Scores by given vectors; a newcomer is the sum of the items used."""

    name: ClassVar[str] = "fixed"

    def __init__(self, graph: HeteroGraph, users: Tensor, items: Tensor) -> None:
        super().__init__(graph, EmbeddingSettings(width=users.shape[1]))
        with torch.no_grad():
            self.table[: graph.num_users + graph.num_items] = torch.cat([users, items])

    def on_graph(self, graph: HeteroGraph) -> FixedVectors:
        return FixedVectors(graph, self.user_vectors(), self.item_vectors())

    def propagate(self, generator: torch.Generator | None = None) -> Tensor:
        return self.table

    def fold_in_vectors(self, history: CSR) -> Tensor:
        used = self.item_vectors()[history.col.long()]
        return torch.zeros(history.num_rows, used.shape[1]).index_add_(0, history.row_index(), used)

    def edge_weights(self, edges: Tensor) -> Tensor:
        return torch.zeros(1, len(edges))


class FixedScores(Model):
    """Scores by a given table, for known users alone."""

    name: ClassVar[str] = "table"

    def __init__(self, graph: HeteroGraph, table: Tensor) -> None:
        super().__init__(graph, NoSettings())
        self.table = table

    def score_block(self, users: Tensor) -> Tensor:
        return self.table[users]

    def fold_in(self, history: CSR) -> Tensor:
        raise NotImplementedError

    def similarity_block(self, items: Tensor) -> Tensor:
        raise NotImplementedError
