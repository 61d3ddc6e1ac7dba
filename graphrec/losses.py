"""Training losses as plain functions of propagated vectors.

B pairs in a batch, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid, normalize


def bpr_loss(user_BD: Tensor, positive_BD: Tensor, negative_BD: Tensor) -> Tensor:
    """Bayesian personalised ranking: mean of −ln σ(u·i − u·j) over the batch (Rendle et al. 2009, eq. 4).

    Departure: the L2 term is the caller's, since it applies to layer-0 vectors only (LightGCN §3.3).

    Args:
        user_BD, positive_BD, negative_BD: propagated vectors, one row a triple.

    Returns:
        A scalar ≥ 0.

    >>> bpr_loss(torch.ones(1, 2), torch.ones(1, 2), torch.ones(1, 2))
    tensor(0.6931)
    """
    margin_B = (user_BD * (positive_BD - negative_BD)).sum(dim=-1)
    return -logsigmoid(margin_B).mean()


def softmax_loss(user_BD: Tensor, item_BD: Tensor, used_BB: Tensor, temperature: float) -> Tensor:
    """In-batch sampled softmax: mean of −ln softmax over the batch's items of cos(u, i) / τ at the user's own item.

    The negatives of a pair are the other pairs' items (Wu et al. 2024, "On the Effectiveness of Sampled Softmax Loss
    for Item Recommendation", eq. 4). Departure: items that the user has used never count as negatives.

    Args:
        user_BD, item_BD: propagated vectors, one row an observed pair.
        used_BB: bool, whether user b has used item c of the batch.
        temperature: τ > 0.

    Returns:
        A scalar ≥ 0.

    >>> used = torch.eye(2, dtype=torch.bool)
    >>> softmax_loss(torch.eye(2), torch.eye(2), used, temperature=1.0)    # ln(1 + e^-1)
    tensor(0.3133)
    """
    logit_BB = normalize(user_BD, dim=-1) @ normalize(item_BD, dim=-1).T / temperature
    own_B = torch.arange(len(user_BD), device=user_BD.device)
    negative_BB = ~used_BB
    negative_BB[own_B, own_B] = True
    return cross_entropy(logit_BB.masked_fill(~negative_BB, -torch.inf), own_B)


def pool_bpr_loss(user_BD: Tensor, positive_BD: Tensor, pool_PD: Tensor, used_BP: Tensor) -> Tensor:
    """Bayesian personalised ranking against all items of a pool that the batch shares, not against one a pair.

    The mean over the pool of −ln σ(u·i − u·j), and over the batch. For a pool drawn uniformly its expectation is that
    of ``bpr_loss``, with less variance. Items that the user has used do not count; a user of all counts 0.

    Args:
        user_BD, positive_BD: propagated vectors, one row an observed pair.
        pool_PD: those of the pool.
        used_BP: bool, whether user b has used item p of the pool.

    Returns:
        A scalar ≥ 0.

    >>> pool_bpr_loss(torch.ones(1, 2), torch.ones(1, 2), torch.ones(3, 2), torch.zeros(1, 3, dtype=torch.bool))
    tensor(0.6931)
    """
    margin_BP = (user_BD * positive_BD).sum(dim=-1, keepdim=True) - user_BD @ pool_PD.T
    loss_BP = -logsigmoid(margin_BP).masked_fill(used_BP, 0.0)
    return (loss_BP.sum(dim=1) / (~used_BP).sum(dim=1).clamp(min=1)).mean()


def pool_softmax_loss(
    user_BD: Tensor,
    positive_BD: Tensor,
    pool_PD: Tensor,
    used_BP: Tensor,
    temperature: float,
    log_odds_P: Tensor | None = None,
) -> Tensor:
    """Sampled softmax against a pool that the batch shares: mean of −ln softmax of cos / τ at the pair's own item.

    An item that was drawn p times as often as a uniform draw would stands for 1/p of one: ln p is taken from its logit
    (logQ correction, Bengio & Senécal 2008; Yi et al. 2019, §3). Items that the user has used do not count.

    Args:
        user_BD, positive_BD, pool_PD, used_BP: as in ``pool_bpr_loss``.
        temperature: τ > 0.
        log_odds_P: ln p of each item of the pool; None for a uniform draw.

    Returns:
        A scalar ≥ 0.

    >>> pool = torch.tensor([[0.0, 1.0]])
    >>> pool_softmax_loss(torch.eye(2)[:1], torch.eye(2)[:1], pool, torch.zeros(1, 1, dtype=torch.bool), 1.0)
    tensor(0.3133)
    """
    unit_BD = normalize(user_BD, dim=-1)
    own_B = (unit_BD * normalize(positive_BD, dim=-1)).sum(dim=-1) / temperature
    logit_BP = unit_BD @ normalize(pool_PD, dim=-1).T / temperature
    if log_odds_P is not None:
        logit_BP = logit_BP - log_odds_P
    against_B = logit_BP.masked_fill(used_BP, -torch.inf).logsumexp(dim=1)
    return (torch.logaddexp(own_B, against_B) - own_B).mean()


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


def l2_penalty(*vectors_BD: Tensor) -> Tensor:
    """Half the squared length of the vectors, averaged over each tensor's rows and summed (LightGCN eq. 14).

    >>> l2_penalty(torch.ones(2, 3), torch.zeros(2, 3))
    tensor(1.5000)
    """
    return torch.stack([vector.square().sum() / len(vector) for vector in vectors_BD]).sum() / 2
