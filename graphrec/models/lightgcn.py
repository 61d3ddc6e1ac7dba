"""LightGCN (He et al. 2020): vectors propagated over the interactions, without weights or non-linearities."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphrec.graph import Block, HeteroGraph
from graphrec.layers import layer_sum, propagate_mean, propagate_mean_to
from graphrec.models.base import check_setting
from graphrec.models.embedding import TYPES, EmbeddingModel, EmbeddingSettings
from graphrec.sparse import CSR, scale_edges, spmm, symmetric_normalize


@dataclass(frozen=True)
class LightGCNSettings(EmbeddingSettings):
    """The settings of LightGCN.

    Args:
        precision: ``float32``, or ``bfloat16`` to store what lies between the layers in half the bytes while training;
            sums, parameters and final vectors are float32 either way.
    """

    precision: str = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_setting("precision", self.precision, self.precision in TYPES, " or ".join(TYPES))


class LightGCN(EmbeddingModel):
    """The mean over layers 0..K of Ãᵏ E on the user–item graph; it uses no knowledge.

    Args:
        graph: users, items and perhaps entities; only interactions are used.
        settings: a ``LightGCNSettings``.
    """

    name: ClassVar[str] = "lightgcn"
    Settings: ClassVar[type] = LightGCNSettings

    def __init__(self, graph: HeteroGraph, settings: Any) -> None:
        super().__init__(graph.interactions_only(), settings)

    @cached_property
    def normalized(self) -> CSR:
        """Ã, computed once."""
        return symmetric_normalize(self.graph.adjacency)

    @cached_property
    def inverse_root(self) -> Tensor:
        """1/√d of each node, float32 [N]; of a node without edges 1."""
        return self.graph.adjacency.degree.clamp(min=1).double().rsqrt().float()

    def propagate(self, generator: torch.Generator | None = None) -> Tensor:
        return propagate_mean(self.normalized, self.first, self.settings.layers, self._storage)

    def propagate_to(self, rows: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        return propagate_mean_to(self.normalized, self.first, self.settings.layers, rows, self._storage)

    def receive(
        self, layer: int, block: Block, sender: Tensor, receiver: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Σ_j e_j / √(d_i d_j), each drawn edge counted as often as it stands for one."""
        ((csr, share),) = block.parts
        row_scale, col_scale = (self.inverse_root[nodes].to(csr.device) for nodes in (block.receivers, block.senders))
        row_scale = row_scale if share is None else row_scale * share
        return spmm(scale_edges(replace(csr, edge_type=None), row_scale, col_scale), sender)

    @property
    def _storage(self) -> torch.dtype:
        """The type between the layers; scoring is always in float32."""
        return TYPES[self.settings.precision] if self.training else torch.float32

    def fold_in_vectors(self, history: CSR) -> Tensor:
        """Layer 0 of a new user u is zero, layer k is Σ_j e_j^(k−1) / √(d_u d_j) over u's items, whose vectors stay."""
        layers = self.settings.layers
        sent = self.keep("sent", lambda: layer_sum(self.normalized, self.first, layers))
        first = self.graph.num_users
        item_degree = self.graph.adjacency.degree[first : first + self.graph.num_items]
        return spmm(normalized_history(history, item_degree), sent[first : first + self.graph.num_items]) / (layers + 1)

    def edge_weights(self, edges: Tensor) -> Tensor:
        """1/√(d_i d_j), the same in every layer."""
        assert self.normalized.value is not None
        return self.normalized.value[edges].expand(self.settings.layers, -1)


def normalized_history(history: CSR, item_degree: Tensor) -> CSR:
    """New users' items with the weights 1/√(d_u d_j) of LightGCN's propagation.

    Args:
        history: [B, I].
        item_degree: int64 [I], in the trained graph; an item without edges counts as degree 1.
    """
    user_degree = history.degree[history.row_index()]
    weight = (user_degree * item_degree.clamp(min=1)[history.col.long()]).float().rsqrt()
    return replace(history, value=weight)
