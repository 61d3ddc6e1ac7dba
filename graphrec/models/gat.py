"""Graph attention over users, items and knowledge, starting as LightGCN's propagation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, logsigmoid

from graphrec.graph import Block, HeteroGraph
from graphrec.layers import GATLayer, dropped, merge_groups
from graphrec.models.embedding import EmbeddingModel
from graphrec.models.gat_settings import GATSettings
from graphrec.models.lightgcn import normalized_history
from graphrec.sampling import Batch
from graphrec.sparse import CSR, edge_attention, segment_sum, spmm

# The scores' few numbers must travel far (to about −10) while table entries move by hundredths. Factors of messages
# need not: four times as fast, training falls back by half now and then (Book-Crossing at a learning rate of 1e-2).
SCORE_RATE = 4.0
ALL = slice(None)
TO_ITEM, TO_USER = 0, 1  # types of the edges of interactions, by who receives


class GAT(EmbeddingModel):
    """The mean over layers 0..K of attention over the heterogeneous graph (see ``GATLayer`` for the equation).

    Without ``own_edges`` a step takes what the two ends of a pair to predict send each other out of their vectors,
    layer by layer: a score that may read the edge off the graph teaches attention to look for it, and no list is made
    from such an edge.

    Args:
        graph: users, items and entities.
        settings: a ``GATSettings``.
    """

    name: ClassVar[str] = "gat"
    Settings: ClassVar[type] = GATSettings

    def __init__(self, graph: HeteroGraph, settings: Any) -> None:
        super().__init__(settings.prune(graph), settings)
        relations = len(self.graph.relations)
        self.attention = nn.ModuleList(
            GATLayer(settings.width, settings.heads, relations, settings.score, gain=settings.relation_gain)
            for _ in range(settings.layers)
        )
        if settings.knowledge_weight > 0:
            self.fact_weight = nn.Parameter(torch.ones(relations // 2, settings.width))

    @cached_property
    def degree(self) -> Tensor:
        """d of each node, int64 [N], computed once: its interactions, or its facts where it has no interaction."""
        used = self._used.degree
        return torch.where(used > 0, used, self.graph.adjacency.degree)

    @cached_property
    def row_scale(self) -> Tensor:
        """c_i = Σ_j 1/√(d_i d_j) of each node over the edges that d_i counts, float32 [N], computed once."""
        inverse_root = self.degree.clamp(min=1).double().rsqrt()[:, None]
        interactions = self._used
        used, all_edges = (spmm(csr, inverse_root) for csr in (interactions, self.graph.adjacency))
        return (inverse_root * torch.where(interactions.degree[:, None] > 0, used, all_edges))[:, 0].float()

    @cached_property
    def log_degree(self) -> Tensor:
        """ln d of each node, float32 [N], computed once; of a node without edges 0."""
        return self.degree.clamp(min=1).float().log()

    @property
    def _used(self) -> CSR:
        """The graph's interactions alone."""
        kinds = self.graph.adjacency.edge_type
        assert kinds is not None
        return self.graph.adjacency if self.graph.num_relations == 2 else self.graph.adjacency.without_edges(kinds >= 2)

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        named = dict(self.attention.named_parameters())
        factors = [named.pop(name) for name in list(named) if name.endswith("relation_gain")]
        facts = [self.fact_weight] if self.settings.knowledge_weight > 0 else []
        return [
            {"params": [self.table, *factors, *facts], "lr": learning_rate},
            {"params": list(named.values()), "lr": learning_rate * SCORE_RATE},
        ]

    @torch.no_grad()
    def take_shared(self, other: Self) -> None:
        """Attention and the weights of facts, relation by relation of the same name.

        A relation that ``other`` did not know starts with attention 0 and, as in any run, with the weights 1 of facts.
        """
        known = {name: number for number, name in enumerate(other.graph.relations)}
        pairs = [(number, known[name]) for number, name in enumerate(self.graph.relations) if name in known]
        now, before = (torch.tensor(numbers) for numbers in zip(*pairs, strict=True))
        for mine, theirs in zip(self._attention(), other._attention(), strict=True):
            for name in ("scale",) if mine.score == "dot" else ("vector",):
                getattr(mine, name).copy_(getattr(theirs, name))
            for name in ("relation_key", "relation_bias", "relation_gain"):
                relations, earlier = getattr(mine, name), getattr(theirs, name)
                if relations is not None and earlier is not None:
                    relations.zero_()[now] = earlier[before].to(relations)
        if self.settings.knowledge_weight > 0 and other.settings.knowledge_weight > 0:
            here, there = now[::2] // 2, before[::2] // 2  # each relation is followed by its inverse
            self.fact_weight[here] = other.fact_weight[there].to(self.fact_weight)

    @torch.no_grad()
    def reset(self, generator: torch.Generator) -> None:
        """As for any model; items that nobody has used start at 0, so that their vectors are what knowledge says."""
        super().reset(generator)
        self.table[self.graph.item_slice] *= (self.graph.seen.transpose[0].degree > 0)[:, None]

    def loss_and_vectors(self, batch: Batch) -> tuple[Tensor, Tensor]:
        of_pairs = super().loss_and_vectors if self.settings.own_edges else self._without_own_edges
        value, final = of_pairs(batch)
        if self.settings.knowledge_weight > 0:
            value = value + self.settings.knowledge_weight * self.fact_loss(len(batch), batch.generator)
        return value, final

    def _without_own_edges(self, batch: Batch) -> tuple[Tensor, Tensor]:
        nodes = self.batch_nodes(batch)
        rows, place = (None, nodes) if nodes.is_cuda else nodes.unique(return_inverse=True)
        first = sent = total = embedding(place, _at(rows, self.first))
        for number, (received, lse) in enumerate(self._layers(batch.generator, rows), start=1):
            if number < self.settings.layers:  # the last layer has the rows alone
                received, lse = _at(rows, received), _at(rows, lse)
            received, lse = embedding(place, received), embedding(place, lse)
            total = total + received - self._own_messages(number, sent, lse, nodes, len(batch))
            sent = received
        final = total / (self.settings.layers + 1)
        return self.batch_loss(batch, final, first), final

    def _own_messages(self, number: int, sent: Tensor, lse: Tensor, nodes: Tensor, size: int) -> Tensor:
        """What the two ends of each of a batch's pairs get from each other in one layer, float32 [n, W].

        Args:
            number: of the layer.
            sent: vectors of the layer below, float32 [n, W]; lse: of this layer's scores, float32 [n, H].
            nodes: int64 [n], users, positives and negatives, which get nothing.
            size: how many pairs there are.
        """
        user, item = slice(0, size), slice(size, 2 * size)
        layer = self._attention()[number - 1]
        messages = [
            layer.pair_messages(
                sent[to],
                sent[by],
                lse[to],
                kind,
                row_scale=self.row_scale[nodes[to]],
                log_degree=self.log_degree[nodes[by]],
            )
            for to, by, kind in ((user, item, TO_USER), (item, user, TO_ITEM))
        ]
        return torch.cat([*messages, sent.new_zeros(len(sent) - 2 * size, sent.shape[1])])

    def fact_loss(self, size: int, generator: torch.Generator) -> Tensor:
        """How far facts are from scoring above made-up ones: the mean of −ln σ(s(h, r, t) − s(h, r, t′)).

        s(h, r, t) = Σ (e_h ⊙ w_r ⊙ e_t) of layer-0 vectors: DistMult (Yang et al. 2015), where KGAT has TransR (Wang et
        al. 2019, eq. 2); t′ is drawn evenly from items and entities. 0 for a graph without facts.

        Args:
            size: facts drawn.
            generator: source of the draws.
        """
        csr, device = self.graph.adjacency, self.graph.device
        if not len(self._facts):
            return self.table.new_zeros(())
        edge = self._facts[torch.randint(len(self._facts), (size,), generator=generator, device=device)]
        tail, head = torch.searchsorted(csr.rowptr, edge, right=True) - 1, csr.col[edge].long()
        other = torch.randint(self.graph.num_users, self.graph.num_nodes, (size,), generator=generator, device=device)
        assert csr.edge_type is not None
        weight = self.fact_weight[csr.edge_type[edge].long() // 2]
        known, made_up = (embedding(node, self.table).float() for node in (tail, other))
        return -logsigmoid((embedding(head, self.table).float() * weight * (known - made_up)).sum(dim=1)).mean()

    @cached_property
    def _facts(self) -> Tensor:
        """Edges of the knowledge in their own direction, int64."""
        kind = self.graph.adjacency.edge_type
        assert kind is not None
        return ((kind >= 2) & (kind % 2 == 0)).nonzero()[:, 0]

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
        weighted = normalized_history(history, self.degree[first:last])
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
        """c_i α_ij f_t, the factor of the sender's vector in the receiver's, as a mean over heads and width."""
        layers = self.keep("layers", lambda: list(self._layers()))
        adjacency = self.graph.adjacency
        assert adjacency.edge_type is not None
        receiver_scale, kind = self.row_scale[adjacency.row_index()[edges]], adjacency.edge_type[edges]
        vectors = self.first
        weights = []
        for layer, (received, lse) in zip(self._attention(), layers, strict=True):
            terms = layer.scores_from(vectors, vectors, self.log_degree)
            weight = edge_attention(adjacency, lse=lse, edges=edges, **terms)
            weights.append((weight * layer.mean_gain(kind)).mean(dim=1) * receiver_scale)
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
                row_scale=self.row_scale[block.receivers].to(sender),
                log_degree=self.log_degree[block.senders].to(sender),
                message=message,
                dropout=dropout,
                seed=seed,
            )
            for csr, _ in block.parts
        ]


def _at(rows: Tensor | None, values: Tensor) -> Tensor:
    """Some rows of a tensor; itself where None are asked for."""
    return values if rows is None else embedding(rows, values)
