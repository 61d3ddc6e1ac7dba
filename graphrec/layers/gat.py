"""Graph attention that starts as LightGCN's propagation and learns departures from it.

N receiving nodes, M sending nodes, H heads, D width of a head, W = H · D, R relations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from graphrec.sparse import CSR, attend, edge_attention

SCORES = ("dot", "additive", "v2")
GAIN_LIMIT = 8.0
"""How far ln of a message's factor can go. The losses on cosines leave the size of vectors open, and without a bound
the factors of all layers grow together until the scores, which are products of two such vectors, overflow."""
_ABSENT = -1e30  # a logit that gets no weight beside any other


class GATLayer(nn.Module):
    """One step of multi-head, relation-aware attention with linear messages.

        α_ij = softmax_j( s_ij + b_th − ½ ln d_j ),   out_i = c_i Σ_j α_ij f_t ⊙ e_j,   c_i = Σ_j 1/√(d_i d_j)

    over all edges (i ← j) of relation t, per head h (a slice of the width), with a score s_ij that is one of

        dot:       g_h ⟨e_i, e_j⟩ + ⟨e_i, r_th⟩
        additive:  leaky_relu(⟨a_h, e_i + e_j + r_th⟩)
        v2:        ⟨a_h, leaky_relu(e_i + e_j + r_th)⟩

    and messages scaled by f_t = exp(8 tanh(m_t / 8)), which lies between e⁻⁸ and e⁸. At g = a = r = b = m = 0, where
    training starts, it is exactly LightGCN's product with D^-½ A D^-½ (He et al. 2020, eq. 7).

    The dot-product score is that of Vaswani et al. 2017, the additive one and the softmax over neighbours those of GAT
    (Veličković et al. 2018, eq. 3), v2 that of GATv2 (Brody et al. 2022, eq. 7), the relation key that of KGAT's idea
    (Wang et al. 2019, eq. 4) in its lightest form, the message scaled by its relation that of KGIN (Wang et al. 2021,
    eq. 6), here by a factor above 0. Departures from GAT: no weight matrix and no non-linearity on the messages, which
    cost accuracy in recommendation; the vectors in the score are constants for the gradient, so that they learn through
    what they send and attention through its own few numbers; the degree in the score and the row scale c_i, which keep
    popularity where LightGCN has it.

    Args:
        width: W, a multiple of ``heads``.
        heads: H.
        relations: R, edge types in the graph.
        score: one of ``SCORES``.
        gain: whether m is learned; without it f is 1.
    """

    def __init__(self, width: int, heads: int, relations: int, score: str = "dot", *, gain: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.score = score
        if score == "dot":
            self.scale = nn.Parameter(torch.zeros(heads))
        else:
            self.vector = nn.Parameter(torch.zeros(heads, width // heads))
        self.relation_key = nn.Parameter(torch.zeros(relations, heads, width // heads))
        self.relation_bias = nn.Parameter(torch.zeros(relations, heads))
        self.relation_gain = nn.Parameter(torch.zeros(relations, heads, width // heads)) if gain else None

    def scores_from(self, receiver: Tensor, sender: Tensor, log_degree: Tensor) -> dict[str, Any]:
        """The terms of the score as ``attend`` and ``edge_attention`` take them.

        Args:
            receiver: float [N, W]; sender: float [M, W].
            log_degree: float [M], ln d_j of the senders.
        """
        own = {"scale": self.scale} if self.score == "dot" else {"vector": self.vector}
        return own | {
            "score": self.score,
            "query": self._split(receiver.detach()),
            "key": self._split(sender.detach()),
            "relation_key": self.relation_key,
            "bias": (-0.5 * log_degree)[:, None].expand(-1, self.heads),
            "relation_bias": self.relation_bias,
        }

    def forward(
        self,
        csr: CSR,
        receiver: Tensor,
        sender: Tensor,
        *,
        row_scale: Tensor,
        log_degree: Tensor,
        message: Tensor | None = None,
        dropout: float = 0.0,
        seed: int = 0,
    ) -> tuple[Tensor, Tensor]:
        """Send every sender's vector along its edges.

        Args:
            csr: [N, M] with edge types.
            receiver, sender: float [N, W], [M, W].
            row_scale: float [N], c_i.
            log_degree: float [M], ln d_j.
            message: float [M, W], what is sent, if not the sender's vector (dropout on messages).
            dropout: share of edges and heads left out of the sum, in [0, 1).
            seed: of that dropout.

        Returns:
            The received vectors, float [N, W], and the log-sum-exp of the scores, float [N, H].
        """
        message = sender if message is None else message
        if self.relation_gain is not None:
            csr, nodes, counts = csr.typed_columns
            scales, parts = self._gain().flatten(1), embedding(nodes, message).split(counts)
            message = torch.cat([part * scales[kind] for kind, part in enumerate(parts)])
            sender, log_degree = sender.detach()[nodes], log_degree[nodes]
        terms = self.scores_from(receiver, sender, log_degree)
        received, lse = attend(csr, value=self._split(message), dropout=dropout, seed=seed, **terms)
        return received.flatten(1) * row_scale[:, None], lse

    def pair_messages(
        self, receiver: Tensor, sender: Tensor, lse: Tensor, relation: int, *, row_scale: Tensor, log_degree: Tensor
    ) -> Tensor:
        """What single edges of one relation carry, c_i α_ij f_t ⊙ e_j; none needs to be looked up.

        Args:
            receiver, sender: float [B, W], the vectors at the two ends.
            lse: float [B, H], of the receivers, as ``forward`` returned it.
            relation: edge type.
            row_scale: float [B], c_i of the receivers.
            log_degree: float [B], ln d_j of the senders.

        Returns:
            float [B, W], B the edges.
        """
        number = torch.arange(len(receiver), device=receiver.device)
        kinds = torch.full_like(number, relation, dtype=torch.int32)
        bounds = torch.arange(len(receiver) + 1, device=receiver.device)
        pairs = CSR.unchecked(bounds, number.int(), len(receiver), kinds)
        weight = edge_attention(pairs, lse=lse, edges=number, **self.scores_from(receiver, sender, log_degree))
        message = weight[..., None] * self._split(sender)
        if self.relation_gain is not None:
            message = message * self._gain()[relation]
        return message.flatten(1) * row_scale[:, None]

    def mean_gain(self, relation: Tensor) -> Tensor:
        """f of edges, as a mean over the width of a head: float [n, H] from edge types [n]; ones without m."""
        if self.relation_gain is None:
            return self.relation_bias.new_ones(len(relation), self.heads)
        return self._gain().mean(dim=2)[relation]

    def _gain(self) -> Tensor:
        """f of every relation, float [R, H, D]."""
        assert self.relation_gain is not None
        return (GAIN_LIMIT * torch.tanh(self.relation_gain / GAIN_LIMIT)).exp()

    def _split(self, vectors: Tensor) -> Tensor:
        return vectors.unflatten(-1, (self.heads, -1))


def merge_groups(received: Sequence[Tensor], lse: Sequence[Tensor], shares: Sequence[Tensor]) -> Tensor:
    """One softmax over several groups of edges that were attended over apart.

    A group in which each drawn edge stands for s_g of the graph has the weight s_g exp(lse_g) in the sum of all
    exponentials, so the groups' results are averaged by softmax_g(lse_g + ln s_g).

    Args:
        received: by group, float [N, W].
        lse: by group, float [N, H].
        shares: by group, float [N], s_g; 0 for a row without edges in the group.

    Returns:
        float [N, W]; 0 for a row without edges in any.

    >>> both = [torch.tensor([[1.0]]), torch.tensor([[4.0]])]
    >>> merge_groups(both, [torch.zeros(1, 1)] * 2, [torch.tensor([1.0]), torch.tensor([2.0])])
    tensor([[3.]])
    """
    share = torch.stack(tuple(shares))[..., None]
    logits = torch.where(share > 0, torch.stack(tuple(lse)) + share.log(), _ABSENT)
    weight = logits.softmax(dim=0)[..., None]
    by_head = torch.stack(tuple(received)).unflatten(-1, (weight.shape[2], -1))
    return (weight * by_head).sum(dim=0).flatten(1)
