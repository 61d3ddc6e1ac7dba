"""Training losses as plain functions of propagated vectors.

B pairs in a batch, D width.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import logsigmoid, normalize


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
    return pool_softmax_loss(user_BD, item_BD, item_BD, used_BB, temperature)


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
    against_B = log_sum_exp(unit_BD, normalize(pool_PD, dim=-1), temperature, used_BP, log_odds_P)
    return (torch.logaddexp(own_B, against_B) - own_B).mean()


def bilateral_softmax_loss(
    user_BD: Tensor,
    positive_BD: Tensor,
    against_PD: Tensor,
    used_BP: Tensor,
    temperature: float,
    negative_weight: float = 1.0,
    log_odds_P: Tensor | None = None,
) -> Tensor:
    """Softmax with a weight of its own on the negatives: mean of −cos(u, i)/τ + w ln Σ_j exp(cos(u, j)/τ).

    The bilateral softmax loss as its authors' code has it (Wu et al. 2024, "BSL: Understanding and Improving Softmax
    Loss for Recommendation"; there w is called τ₂, and w = 1 sampled softmax). Unlike in ``softmax_loss`` the sum does
    not hold the pair's own item, so a pair that is ranked well still pulls. Departures: items that the user has used
    never count as negatives; the paper's mean over a user's positives is not taken, nor is it for LightGCN in that
    code. A pair that has no negative counts 0.

    Args:
        user_BD, positive_BD: propagated vectors, one row an observed pair.
        against_PD: those of the negatives: of a pool, or ``positive_BD`` again for the batch's own items.
        used_BP: bool, whether user b has used item p of the negatives; the pair's own item is used.
        temperature: τ > 0.
        negative_weight: w > 0.
        log_odds_P: as in ``pool_softmax_loss``.

    Returns:
        A scalar of either sign.

    >>> used = torch.eye(2, dtype=torch.bool)
    >>> bilateral_softmax_loss(torch.eye(2), torch.eye(2), torch.eye(2), used, temperature=1.0)    # −1 + ln e^0
    tensor(-1.)
    """
    unit_BD = normalize(user_BD, dim=-1)
    own_B = (unit_BD * normalize(positive_BD, dim=-1)).sum(dim=-1) / temperature
    against_B = log_sum_exp(unit_BD, normalize(against_PD, dim=-1), temperature, used_BP, log_odds_P)
    return (negative_weight * against_B - own_B).masked_fill(used_BP.all(dim=1), 0.0).mean()


def alignment_uniformity_loss(user_BD: Tensor, item_BD: Tensor, uniformity: float) -> Tensor:
    """Alignment of observed pairs, and how evenly users and items lie on the sphere (Wang et al. 2022, DirectAU).

    With all vectors at length 1: mean ‖u − i‖² + γ/2 · (ln mean exp(−2 ‖u − u'‖²) + ln mean exp(−2 ‖i − i'‖²)), the
    means over the batch's pairs, and over all two of its rows, as in the authors' code: a user that comes twice is two
    rows. There are no negatives. A batch of one pair has no uniformity.

    Args:
        user_BD, item_BD: propagated vectors, one row an observed pair.
        uniformity: γ ≥ 0.

    Returns:
        A scalar of either sign.

    >>> alignment_uniformity_loss(torch.eye(2), torch.eye(2), uniformity=1.0)    # ‖u − u'‖² = 2, twice half of ln e^-4
    tensor(-4.)
    """
    user_BD, item_BD = normalize(user_BD, dim=-1), normalize(item_BD, dim=-1)
    alignment = (user_BD - item_BD).square().sum(dim=-1).mean()
    return alignment + uniformity * (_log_potential(user_BD) + _log_potential(item_BD)) / 2


def _log_potential(unit_BD: Tensor) -> Tensor:
    """ln of the mean of exp(−2 ‖x − y‖²) over all two rows of unit vectors, for which ‖x − y‖² = 2 − 2 x·y."""
    rows = len(unit_BD)
    if rows < 2:
        return unit_BD.new_zeros(())
    itself_BB = torch.eye(rows, dtype=torch.bool, device=unit_BD.device)
    others_B = log_sum_exp(unit_BD, unit_BD, 1 / 4, itself_BB)
    return others_B.logsumexp(dim=0) - 4 - math.log(rows * (rows - 1))


def info_nce_loss(one_BD: Tensor, other_BD: Tensor, temperature: float) -> Tensor:
    """Two views of the same nodes: mean of −ln softmax over all nodes of cos / τ at the node itself.

    InfoNCE as contrastive recommenders use it (Yu et al. 2022, SimGCL), from the first view to the second.

    Args:
        one_BD, other_BD: vectors of B distinct nodes in either view.
        temperature: τ > 0.

    Returns:
        A scalar ≥ 0.

    >>> info_nce_loss(torch.eye(2), torch.eye(2), temperature=1.0)    # ln(1 + e^-1)
    tensor(0.3133)
    """
    one_BD, other_BD = normalize(one_BD, dim=-1), normalize(other_BD, dim=-1)
    own_B = (one_BD * other_BD).sum(dim=-1) / temperature
    return (log_sum_exp(one_BD, other_BD, temperature) - own_B).mean()


def l2_penalty(*vectors_BD: Tensor) -> Tensor:
    """Half the squared length of the vectors, averaged over each tensor's rows and summed (LightGCN eq. 14).

    >>> l2_penalty(torch.ones(2, 3), torch.zeros(2, 3))
    tensor(1.5000)
    """
    return torch.stack([vector.square().sum() / len(vector) for vector in vectors_BD]).sum() / 2


def log_sum_exp(
    one_BD: Tensor,
    other_PD: Tensor,
    temperature: float,
    left_out_BP: Tensor | None = None,
    log_odds_P: Tensor | None = None,
) -> Tensor:
    """ln Σ_p exp(⟨b, p⟩/τ − ln odds_p) for each row b, over the p that are not left out of it.

    The array of all b and p is written once and kept for the backward pass, which is two products with it; composed of
    torch's functions the same takes twice the time.

    Args:
        one_BD, other_PD: vectors.
        temperature: τ > 0.
        left_out_BP: bool, or None for none.
        log_odds_P: taken from each logit, without gradient; or None.

    Returns:
        float [B]; −inf for a row that leaves out all.

    >>> log_sum_exp(torch.eye(2), torch.eye(2), 1.0, torch.eye(2, dtype=torch.bool))    # ln e^0
    tensor([0., 0.])
    """
    total_B: Tensor = _LogSumExp.apply(  # type: ignore[no-untyped-call]
        one_BD, other_PD, temperature, left_out_BP, log_odds_P
    )
    return total_B


class _LogSumExp(Function):
    @staticmethod
    def forward(
        ctx: Any,
        one_BD: Tensor,
        other_PD: Tensor,
        temperature: float,
        left_out_BP: Tensor | None,
        log_odds_P: Tensor | None,
    ) -> Tensor:
        weight_BP = (one_BD / temperature) @ other_PD.T
        if log_odds_P is not None:
            weight_BP.sub_(log_odds_P)
        if left_out_BP is not None:
            weight_BP.masked_fill_(left_out_BP, -torch.inf)
        top_B = weight_BP.amax(dim=1, keepdim=True)
        top_B.masked_fill_(top_B == -torch.inf, 0.0)
        weight_BP.sub_(top_B).exp_()
        sum_B = weight_BP.sum(dim=1, keepdim=True)
        ctx.save_for_backward(one_BD, other_PD, weight_BP, sum_B)
        ctx.temperature = temperature
        return (sum_B.log() + top_B)[:, 0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_B: Tensor) -> tuple[Tensor | None, ...]:
        one_BD, other_PD, weight_BP, sum_B = ctx.saved_tensors
        tiny = torch.finfo(sum_B.dtype).tiny  # a row that leaves out all has weights 0 and the sum 0
        share_B = grad_B[:, None] / (sum_B.clamp(min=tiny) * ctx.temperature)
        return share_B * (weight_BP @ other_PD), weight_BP.T @ (share_B * one_BD), None, None, None
