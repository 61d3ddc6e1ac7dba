"""Poolings of a user's history: what the items that were used say about a candidate.

B histories, J used items, C candidates, H heads, W width, L places in a sequence.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphrec.sparse import CSR, spmm

LIMIT = 30.0
"""Logits are cut off at ±30, so that their exponentials and any sum of those stay within float32."""


class HistoryAttention(nn.Module):
    """A candidate attends over what a user has used: Σ_h Σ_j α_hj ⟨v_j, v_c⟩_h over the used items j other than c.

    α_hj = n^(β−1) exp(l_hj) / (Σ_k exp(l_hk))^β, l_hj = ⟨A v_c + b, v_j⟩_h / √(W/H), a head being a slice of the
    vectors: the scaled dot product and the heads of Vaswani et al. (2017, §3.2), with the smoothed denominator of NAIS
    (He et al. 2018, eq. 9). n is the number of used items other than c. A and b start at 0, where α is 1/n: the mean.

    Departures from NAIS: n^(β−1), which makes the start the mean for every β; no hidden layer and no non-linearity in
    the logits; one vector an item, not one as used and one as candidate; the vectors in the logits are constants for
    the gradient. Logits are cut off at ±30 instead of being shifted by their largest, so that exp(l) belongs to a pair
    of items and serves all users.

    Args:
        width: W.
        heads: H, a divisor of W.
        smoothing: β in [0, 1]; 1 is the softmax.
    """

    def __init__(self, width: int, heads: int, smoothing: float) -> None:
        super().__init__()
        self.heads = heads
        self.smoothing = smoothing
        self.weight = nn.Parameter(torch.zeros(width, width))
        self.bias = nn.Parameter(torch.zeros(width))

    def query(self, candidate: Tensor) -> Tensor:
        """What the candidates ask with, float32 [C, W]."""
        return (candidate.detach() @ self.weight.T + self.bias) * (self.heads / candidate.shape[1]) ** 0.5

    def forward(
        self, history: CSR, used: Tensor, candidate: Tensor, query: Tensor, same: Tensor, count: Tensor
    ) -> Tensor:
        """Scores of the candidates, float32 [B, C]; 0 for a history that holds nothing but the candidate.

        Args:
            history: [B, J], a row a person.
            used: vectors of the used items, float32 [J, W].
            candidate, query: vectors of the candidates and ``query`` of them, float32 [C, W].
            same: int64 [2, n], the pairs of a used item and a candidate that are the same item.
            count: n, float32 [B, C] or [B, 1].
        """
        total = used.new_zeros(())
        scale = count.clamp(min=1) ** (self.smoothing - 1)
        for v, w, q in zip(*(part.chunk(self.heads, dim=1) for part in (used, candidate, query)), strict=True):
            weight = (v.detach() @ q.T).clamp(-LIMIT, LIMIT).exp().index_put((same[0], same[1]), v.new_zeros(()))
            above, below = spmm(history, weight * (v @ w.T)), spmm(history, weight)
            some = below > 0
            total = total + torch.where(some, above / torch.where(some, below, 1.0) ** self.smoothing, 0.0)
        return total * scale

    def parts(self, used: Tensor, candidate: Tensor, itself: Tensor) -> Tensor:
        """What each used item of one history adds to the score of one candidate, float32 [n].

        Args:
            used: vectors of the used items, float32 [n, W].
            candidate: vector of the candidate, float32 [W].
            itself: bool [n], True for the candidate itself, which adds 0.
        """
        v, w, q = (part.view(-1, self.heads, part.shape[-1] // self.heads) for part in self._three(used, candidate))
        weight = (v * q).sum(dim=2).clamp(-LIMIT, LIMIT).exp().masked_fill(itself[:, None], 0.0)
        below = weight.sum(dim=0).clamp(min=torch.finfo(torch.float32).tiny)
        count = max(int((~itself).sum()), 1)
        return (weight / below**self.smoothing * (v * w).sum(dim=2)).sum(dim=1) * count ** (self.smoothing - 1)

    def _three(self, used: Tensor, candidate: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return used, candidate[None], self.query(candidate[None])
