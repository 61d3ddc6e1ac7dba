"""Graph attention over users, items and knowledge, starting as LightGCN's propagation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from graphrec.graph import Block, HeteroGraph
from graphrec.layers import GATLayer, dropped, merge_groups
from graphrec.models.base import check_setting
from graphrec.models.embedding import EmbeddingModel, EmbeddingSettings
from graphrec.models.lightgcn import normalized_history
from graphrec.sampling import Batch
from graphrec.sparse import CSR, edge_attention, segment_sum, spmm

# The attention's few scalars must travel far (to about −10) while table entries move by hundredths.
ATTENTION_RATE = 4.0
ALL = slice(None)


@dataclass(frozen=True)
class GATSettings(EmbeddingSettings):
    """Settings of the graph-attention model.

    Args:
        heads: H ≥ 1, a divisor of ``width``.
        attention_dropout: share of edges left out of a sum, in [0, 1).
        message_dropout: share of the sent numbers set to zero, in [0, 1).
        attention_l2: weight ≥ 0 of the squared attention parameters, which pulls to LightGCN's weights; without it
            attention memorises small data.
        knowledge: whether knowledge edges carry messages too.
    """

    heads: int = 4
    attention_dropout: float = 0.0
    message_dropout: float = 0.0
    attention_l2: float = 0.1
    knowledge: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        divides = self.heads >= 1 and self.width % self.heads == 0
        check_setting("heads", self.heads, divides, f"a divisor of width {self.width}")
        check_setting("attention_l2", self.attention_l2, self.attention_l2 >= 0, ">= 0")
        for field in ("attention_dropout", "message_dropout"):
            share = getattr(self, field)
            check_setting(field, share, 0 <= share < 1, "in [0, 1)")


class GAT(EmbeddingModel):
    """The mean over layers 0..K of attention over the heterogeneous graph (see ``GATLayer`` for the equation).

    Args:
        graph: users, items and entities.
        settings: a ``GATSettings``.
    """

    name: ClassVar[str] = "gat"
    Settings: ClassVar[type] = GATSettings

    def __init__(self, graph: HeteroGraph, settings: Any) -> None:
        super().__init__(graph if settings.knowledge else graph.interactions_only(), settings)
        relations = len(self.graph.relations)
        self.attention = nn.ModuleList(
            GATLayer(settings.width, settings.heads, relations) for _ in range(settings.layers)
        )

    @cached_property
    def row_scale(self) -> Tensor:
        """c_i = Σ_j 1/√(d_i d_j) of each node, float32 [N], computed once."""
        inverse_root = self.graph.adjacency.degree.clamp(min=1).double().rsqrt()[:, None]
        return (inverse_root * spmm(self.graph.adjacency, inverse_root))[:, 0].float()

    @cached_property
    def log_degree(self) -> Tensor:
        """ln d of each node, float32 [N], computed once; of a node without edges 0."""
        return self.graph.adjacency.degree.clamp(min=1).float().log()

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        attention = list(self.attention.parameters())
        return [
            {"params": [self.table], "lr": learning_rate},
            {"params": attention, "lr": learning_rate * ATTENTION_RATE},
        ]

    @torch.no_grad()
    def take_shared(self, other: Self) -> None:
        """Attention, relation by relation of the same name; a relation that ``other`` did not know starts at 0."""
        known = {name: number for number, name in enumerate(other.graph.relations)}
        pairs = [(number, known[name]) for number, name in enumerate(self.graph.relations) if name in known]
        now, before = (torch.tensor(numbers) for numbers in zip(*pairs, strict=True))
        for mine, theirs in zip(self._attention(), other._attention(), strict=True):
            mine.scale.copy_(theirs.scale)
            for relations, earlier in (
                (mine.relation_key, theirs.relation_key),
                (mine.relation_bias, theirs.relation_bias),
            ):
                relations.zero_()[now] = earlier[before].to(relations)

    def batch_loss(self, batch: Batch, final: Tensor, first: Tensor) -> Tensor:
        squares = torch.stack([parameter.square().sum() for parameter in self.attention.parameters()])
        return super().batch_loss(batch, final, first) + self.settings.attention_l2 * squares.sum()

    def propagate(self, generator: torch.Generator | None = None) -> Tensor:
        total = self.first
        for vectors, _ in self._layers(generator):
            total = total + vectors
        return total / (self.settings.layers + 1)

    def propagate_to(self, rows: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        first = embedding(rows, self.first)
        *between, total = [vectors for vectors, _ in self._layers(generator, rows)]
        for vectors in between:
            total = total + embedding(rows, vectors)
        return (first + total) / (self.settings.layers + 1), first

    def receive(
        self, layer: int, block: Block, sender: Tensor, receiver: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """c_i Σ_j α_ij e_j; where kinds of edges were drawn apart, the softmax is over all of them nevertheless."""
        parts = self._attend(layer, block, sender, receiver, generator)
        if len(parts) == 1:  # every edge stands for as many, which the softmax does not notice
            return parts[0][0]
        shares = [share for _, share in block.parts if share is not None]
        received, lse = zip(*parts, strict=True)
        return merge_groups(received, lse, shares)

    def fold_in_vectors(self, history: CSR) -> Tensor:
        """A new user's layer 0 is zero; in layer k it attends over its items' vectors of layer k−1, which stay."""
        first, last = self.graph.num_users, self.graph.num_users + self.graph.num_items
        sent = self.keep("sent", lambda: [self.first, *(vectors for vectors, _ in self._layers())])
        weighted = normalized_history(history, self.graph.adjacency.degree[first:last])
        assert weighted.value is not None
        row_scale = segment_sum(weighted, weighted.value)
        typed = replace(
            history, edge_type=torch.full_like(history.col, self.graph.relations.index("rev_interacts")), value=None
        )
        vectors = total = self.first.new_zeros(history.num_rows, self.settings.width)
        for layer, sender in zip(self._attention(), sent, strict=False):
            vectors, _ = layer(
                typed, vectors, sender[first:last], row_scale=row_scale, log_degree=self.log_degree[first:last]
            )
            total = total + vectors
        return total / (self.settings.layers + 1)

    def edge_weights(self, edges: Tensor) -> Tensor:
        """c_i α_ij, the factor of the sender's vector in the receiver's."""
        layers = self.keep("layers", lambda: list(self._layers()))
        adjacency = self.graph.adjacency
        receiver_scale = self.row_scale[adjacency.row_index()[edges]]
        vectors = self.first
        weights = []
        for layer, (received, lse) in zip(self._attention(), layers, strict=True):
            terms = layer.scores_from(vectors, vectors, self.log_degree)
            weights.append(edge_attention(adjacency, lse=lse, edges=edges, **terms).mean(dim=1) * receiver_scale)
            vectors = received
        return torch.stack(weights)

    def _attention(self) -> list[GATLayer]:
        return list(self.attention)  # type: ignore[arg-type]

    def _layers(
        self, generator: torch.Generator | None = None, rows: Tensor | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """What each layer's nodes receive, float32 [N, W], and the log-sum-exp of their scores, [N, H].

        With ``rows`` the last layer has those nodes alone, [n, W] and [n, H].
        """
        vectors = self.first
        whole = Block(self.graph.adjacency, ALL, ALL)
        for number in range(1, self.settings.layers + 1):
            block, receiver = whole, vectors
            if rows is not None and number == self.settings.layers:
                block, receiver = Block(self.graph.adjacency.take_rows(rows), rows, ALL), vectors[rows]
            ((vectors, lse),) = self._attend(number, block, vectors, receiver, generator)
            yield vectors, lse

    def _attend(
        self, number: int, block: Block, sender: Tensor, receiver: Tensor, generator: torch.Generator | None
    ) -> list[tuple[Tensor, Tensor]]:
        """What a block's receivers get from each group of edges, float32 [n, W], and the log-sum-exp, [n, H]."""
        message, dropout, seed = sender, 0.0, 0
        if generator is not None:
            message = dropped(sender, self.settings.message_dropout, generator)
            dropout = self.settings.attention_dropout
            if dropout > 0:
                seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
        return [
            self._attention()[number - 1](
                csr,
                receiver,
                sender,
                row_scale=self.row_scale[block.receivers].to(sender.device),
                log_degree=self.log_degree[block.senders].to(sender.device),
                message=message,
                dropout=dropout,
                seed=seed,
            )
            for csr, _ in block.parts
        ]
