"""Graph attention that starts as LightGCN's propagation and learns departures from it.

N receiving nodes, M sending nodes, H heads, D width of a head, W = H · D, R relations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from graphrec.sparse import CSR, attend

_ABSENT = -1e30  # a logit that gets no weight beside any other


class GATLayer(nn.Module):
    """One step of multi-head, relation-aware attention with linear messages.

        α_ij = softmax_j( g_h ⟨e_i, e_j⟩ + ⟨e_i, r_th⟩ + b_th − ½ ln d_j ),   out_i = c_i Σ_j α_ij e_j,
        c_i = Σ_j 1/√(d_i d_j)

    over all edges (i ← j) of relation t, per head h (a slice of the width). At g = r = b = 0, where training starts, it
    is exactly LightGCN's product with D^-½ A D^-½ (He et al. 2020, eq. 7).

    The dot-product score is that of Vaswani et al. 2017, the softmax over neighbours that of GAT (Veličković et al.
    2018, eq. 3), the relation key that of KGAT's idea (Wang et al. 2019, eq. 4) in its lightest form. Departures from
    GAT: no weight matrix and no non-linearity on the messages, which cost accuracy in recommendation; the vectors in
    the score are constants for the gradient, so that they learn through what they send and attention through its own
    few numbers; the degree in the score and the row scale c_i, which keep popularity where LightGCN has it.

    Args:
        width: W, a multiple of ``heads``.
        heads: H.
        relations: R, edge types in the graph.
    """

    def __init__(self, width: int, heads: int, relations: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = nn.Parameter(torch.zeros(heads))
        self.relation_key = nn.Parameter(torch.zeros(relations, heads, width // heads))
        self.relation_bias = nn.Parameter(torch.zeros(relations, heads))

    def scores_from(self, receiver: Tensor, sender: Tensor, log_degree: Tensor) -> dict[str, Any]:
        """The terms of the score as ``attend`` and ``edge_attention`` take them.

        Args:
            receiver: float [N, W]; sender: float [M, W].
            log_degree: float [M], ln d_j of the senders.
        """
        return {
            "query": self._split(receiver.detach()),
            "key": self._split(sender.detach()),
            "scale": self.scale,
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
        value = self._split(sender if message is None else message)
        terms = self.scores_from(receiver, sender, log_degree)
        received, lse = attend(csr, value=value, dropout=dropout, seed=seed, **terms)
        return received.flatten(1) * row_scale[:, None], lse

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
