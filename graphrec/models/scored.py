"""Losses of ``graphrec.losses`` on scores, for models whose scores are no products of vectors.

B pairs in a batch, P negatives, R histories.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def scored_bpr_loss(own: Tensor, against: Tensor, used: Tensor | None = None) -> Tensor:
    """``bpr_loss`` and ``pool_bpr_loss`` on scores: mean of −ln σ(own − against); 0 for no pair.

    Args:
        own: scores of observed pairs, [B], or [B, 1] for a pool.
        against: those of a negative each, [B], or of a pool's items, [B, P].
        used: bool [B, P], the items of a pool that do not count.

    >>> scored_bpr_loss(torch.ones(1), torch.ones(1))
    tensor(0.6931)
    """
    loss = -logsigmoid(own - against)
    if used is not None:
        loss = loss.masked_fill(used, 0.0).sum(dim=1) / (~used).sum(dim=1).clamp(min=1)
    return loss.sum() / max(len(loss), 1)


def scored_softmax_loss(
    own_B: Tensor,
    against_RP: Tensor,
    used_RP: Tensor,
    row_B: Tensor,
    temperature: float,
    log_odds_P: Tensor | None = None,
) -> Tensor:
    """``pool_softmax_loss`` on scores, several pairs to a row of negatives; 0 for no pair.

    Args:
        own_B: scores of observed pairs.
        against_RP: those of R rows with the negatives.
        used_RP: bool, the negatives of a row that do not count.
        row_B: int64, the row of each pair.
        temperature: τ > 0.
        log_odds_P: as in ``pool_softmax_loss``.

    >>> none = torch.zeros(1, 1, dtype=torch.bool)
    >>> scored_softmax_loss(torch.ones(2), torch.zeros(1, 1), none, torch.tensor([0, 0]), 1.0)    # ln(1 + e^-1)
    tensor(0.3133)
    """
    own_B, logit_RP = own_B / temperature, against_RP / temperature
    if log_odds_P is not None:
        logit_RP = logit_RP - log_odds_P
    against_R = logit_RP.masked_fill(used_RP, -torch.inf).logsumexp(dim=1)
    return (torch.logaddexp(own_B, against_R[row_B]) - own_B).sum() / max(len(own_B), 1)
