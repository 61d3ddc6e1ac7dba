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


def l2_penalty(*vectors_BD: Tensor) -> Tensor:
    """Half the squared length of the vectors, summed over the tensors and averaged over the batch (LightGCN eq. 14).

    >>> l2_penalty(torch.ones(2, 3), torch.zeros(2, 3))
    tensor(1.5000)
    """
    squares = torch.stack([vector.square().sum() for vector in vectors_BD])
    return squares.sum() / (2 * len(vectors_BD[0]))
