"""LightGCN (He et al. 2020): vectors propagated over the interactions, without weights or non-linearities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.nn.functional import embedding

from graphrec.errors import CombinationError
from graphrec.graph import Block, HeteroGraph
from graphrec.layers import drop_pairs, layer_sum, propagate_mean, propagate_mean_to, propagate_noisy
from graphrec.losses import info_nce_loss
from graphrec.models.base import check_setting, searched
from graphrec.models.embedding import TYPES, EmbeddingModel, EmbeddingSettings
from graphrec.sampling import Batch
from graphrec.sparse import CSR, scale_edges, spmm, symmetric_normalize

CONTRASTS = ("none", "simgcl", "xsimgcl")


@dataclass(frozen=True)
class LightGCNSettings(EmbeddingSettings):
    """The settings of LightGCN.

    Args:
        precision: ``float32``, or ``bfloat16`` to store what lies between the layers in half the bytes while training;
            sums, parameters and final vectors are float32 either way.
        edge_dropout: share of the pairs left out of each training step's graph, in [0, 1).
        contrast: ``none``; ``simgcl`` or ``xsimgcl``, which add noise to the layers while training and a loss that
            finds each node again in another view; both leave layer 0 out of the final vectors.
        contrast_weight: λ ≥ 0 of that loss.
        contrast_temperature: τ > 0 of that loss.
        noise: ε ≥ 0, length of what is added to a node's vector in each layer.
        contrast_layer: for xsimgcl, the layer that the final vectors are held against, from 1 to K.
    """

    MIN_LAYERS: ClassVar[int] = 0

    precision: str = "float32"
    edge_dropout: float = searched(0.0, choices=(0.0, 0.1, 0.3))
    contrast: str = "none"
    contrast_weight: float = 0.05
    contrast_temperature: float = 0.2
    noise: float = 0.1
    contrast_layer: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_setting("precision", self.precision, self.precision in TYPES, " or ".join(TYPES))
        check_setting("edge_dropout", self.edge_dropout, 0 <= self.edge_dropout < 1, "in [0, 1)")
        check_setting("contrast", self.contrast, self.contrast in CONTRASTS, f"one of {', '.join(CONTRASTS)}")
        check_setting("contrast_weight", self.contrast_weight, self.contrast_weight >= 0, ">= 0")
        check_setting("contrast_temperature", self.contrast_temperature, self.contrast_temperature > 0, "> 0")
        check_setting("noise", self.noise, self.noise >= 0, ">= 0")
        if self.contrast != "none":
            check_setting("layers", self.layers, self.layers >= 1, f">= 1 with contrast {self.contrast}")
            layer, last = self.contrast_layer, self.layers
            check_setting("contrast_layer", layer, 1 <= layer <= last, f"from 1 to {last}, the number of layers")

    @property
    def whole_graph_only(self) -> str | None:
        """The setting, if any, that cannot be served where neighbours are sampled."""
        return "contrast" if self.contrast != "none" else "edge_dropout" if self.edge_dropout else None


class LightGCN(EmbeddingModel):
    """The mean over layers 0..K of Ãᵏ E on the user–item graph; it uses no knowledge.

    Without layers it is matrix factorisation. With a contrast (Yu et al. 2022, SimGCL; Yu et al. 2023, XSimGCL) the
    mean is over layers 1..K.

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

    @property
    def capturable(self) -> bool:
        return self.settings.contrast == "none" and self.settings.edge_dropout == 0

    @property
    def mean_from(self) -> int:
        return 0 if self.settings.contrast == "none" else 1

    @torch.no_grad()
    def take_over(self, other: Self, now: Tensor, before: Tensor) -> None:
        """Without layers, nodes that ``other`` does not know start at the mean of their neighbours."""
        super().take_over(other, now, before)
        if self.settings.layers == 0:
            unknown = torch.ones(len(self.table), dtype=torch.bool, device=self.table.device)
            unknown[now[(now < len(self.table)) & (before < len(other.table))]] = False
            nodes = unknown.nonzero()[:, 0]
            received = spmm(self.graph.adjacency, self.first, rows=nodes)
            self.table[nodes] = (received / self.graph.adjacency.degree[nodes, None].clamp(min=1)).to(self.table.dtype)

    def propagate(self, generator: torch.Generator | None = None) -> Tensor:
        matrix, layers = self._matrix(generator), self.settings.layers
        mean = propagate_mean(matrix, self.first, layers - self.mean_from, self._storage)
        return spmm(matrix, mean) if self.mean_from else mean

    def propagate_to(self, rows: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        return self._over(self._matrix(generator), rows)

    def _over(self, matrix: CSR, rows: Tensor) -> tuple[Tensor, Tensor]:
        """``propagate_to`` over the given Ã."""
        first, layers = self.first, self.settings.layers
        if self.mean_from == 0:
            return propagate_mean_to(matrix, first, layers, rows, self._storage)
        mean = propagate_mean(matrix, first, layers - 1, self._storage)
        return spmm(matrix, mean, rows=rows), embedding(rows, first)

    def _matrix(self, generator: torch.Generator | None) -> CSR:
        """Ã; with a generator, under the edge dropout."""
        share = self.settings.edge_dropout
        if generator is None or share == 0:
            return self.normalized
        return drop_pairs(self.normalized, self.graph.seen.transpose[1], share, generator)

    def loss_and_vectors(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """With a contrast, the ranking loss plus λ times InfoNCE between two views of the batch's users and items.

        SimGCL's views are two propagations under noise, beside one without for the ranking loss. XSimGCL has a single
        one, under noise, for everything: its views are the final vectors and those of one layer.
        """
        settings = self.settings
        if settings.contrast == "none":
            return super().loss_and_vectors(batch)
        rows, place = self.batch_nodes(batch).unique(return_inverse=True)
        matrix = self._matrix(batch.generator)
        if settings.contrast == "xsimgcl":
            final, other = self._noisy(matrix, rows, batch.generator)
            one, first = final, embedding(rows, self.first)
        else:
            final, first = self._over(matrix, rows)
            one, other = (self._noisy(matrix, rows, batch.generator)[0] for _ in range(2))
        contrast = settings.contrast_weight * self._contrast(batch, rows, one, other)
        vectors = embedding(place, final)
        return self.batch_loss(batch, vectors, embedding(place, first)) + contrast, vectors

    def _noisy(self, matrix: CSR, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        settings = self.settings
        return propagate_noisy(
            matrix,
            self.first,
            rows,
            settings.layers,
            noise=settings.noise,
            layer=settings.contrast_layer,
            generator=generator,
            storage=self._storage,
        )

    def _contrast(self, batch: Batch, rows: Tensor, one: Tensor, other: Tensor) -> Tensor:
        """InfoNCE over the batch's distinct users plus that over its distinct items; ``rows`` rise."""
        total = one.new_zeros(())
        for nodes in (batch.user, batch.positive + self.graph.num_users):
            at = torch.searchsorted(rows, nodes.unique())
            total = total + info_nce_loss(one[at], other[at], self.settings.contrast_temperature)
        return total

    def propagate_sample(
        self, blocks: Sequence[Block], first: Tensor, num_seeds: int, generator: torch.Generator | None = None
    ) -> Tensor:
        refused = self.settings.whole_graph_only if self.training else None
        if refused:
            raise CombinationError(f"{refused} of {self.name} is for the whole graph", "leave out --sampling neighbor")
        return super().propagate_sample(blocks, first, num_seeds, generator)

    def receive(
        self, layer: int, block: Block, sender: Tensor, receiver: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Σ_j e_j / √(d_i d_j), each drawn edge counted as often as it stands for one."""
        ((csr, share),) = block.parts
        row_scale, col_scale = (self.inverse_root[nodes].to(csr.device) for nodes in (block.receivers, block.senders))
        row_scale = row_scale if share is None else row_scale * share
        return spmm(scale_edges(replace(csr, edge_type=None), row_scale, col_scale), sender)

    @property
    def _storage(self) -> torch.dtype | None:
        """The type between the layers where it is not that of layer 0, which scoring always keeps."""
        return TYPES[self.settings.precision] if self.training else None

    def fold_in_vectors(self, history: CSR) -> Tensor:
        """Layer 0 of a new user u is zero, layer k is Σ_j e_j^(k−1) / √(d_u d_j) over u's items, whose vectors stay.

        Without layers nothing is sent, and a new user is the mean of their items' vectors.
        """
        layers, items = self.settings.layers, self.graph.item_slice
        if layers == 0:
            return spmm(history.with_value(None), self.item_vectors()) / history.degree[:, None].clamp(min=1)
        sent = self.keep("sent", lambda: layer_sum(self.normalized, self.first, layers))[items]
        weighted = normalized_history(history, self.graph.adjacency.degree[items])
        return spmm(weighted, sent) / (layers + 1 - self.mean_from)

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
