"""Scores of different views made comparable: mean 0 and deviation 1 over the items a user has not trained on.

B users in a block, I items, W width, n pairs of the block's users with their own items.
"""

from __future__ import annotations

import torch
from torch import Tensor

from graphrec.ranking import entries
from graphrec.sparse import CSR


def vector_moments(item_vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Mean μ [W] and covariance Σ [W, W] of the rows of ``item_vectors`` [I, W], all items counted.

    >>> vector_moments(torch.tensor([[0.0], [2.0]]))
    (tensor([1.]), tensor([[1.]]))
    """
    mean = item_vectors.mean(dim=0)
    centred = item_vectors - mean
    return mean, centred.T @ centred / max(len(item_vectors), 1)


def product_moments(user_vectors: Tensor, mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Mean u·μ and variance uᵀΣu of a user's inner products with all items, without computing those.

    Args:
        user_vectors: float [B, W].
        mean, covariance: of the item vectors, by ``vector_moments``.

    Returns:
        mean [B] and variance [B].
    """
    variance = ((user_vectors @ covariance) * user_vectors).sum(dim=1)
    return user_vectors @ mean, variance.clamp(min=0)


def score_moments(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [B] and variance [B] of each row of ``scores`` [B, I].

    >>> score_moments(torch.tensor([[0.0, 2.0]]))
    (tensor([1.]), tensor([1.0000]))
    """
    mean = scores.mean(dim=1)
    away = torch.linalg.vector_norm(scores - mean[:, None], dim=1)  # torch.var_mean takes five times as long on a CPU
    return mean, away.square() / scores.shape[1]


def standard_scale(scores: Tensor, mean: Tensor, variance: Tensor, history: CSR) -> tuple[Tensor, Tensor]:
    """m and 1 / s of z̃ = (z − m) / s, over the items that are not in the user's history.

    The moments over all items are corrected for the history: with δ = −Σ (z − mean) / r over its items and r the number
    of items left, m = mean + δ and s² = (I · variance − Σ (z − mean)²) / r − δ². A row whose remaining scores are all
    equal has 0 for 1 / s.

    Args:
        scores: float32 [B, I].
        mean, variance: [B], over all items.
        history: CSR [B, I], the items to leave out; distinct.

    Returns:
        float32 [B] each.

    >>> history = CSR.from_pairs(torch.tensor([0]), torch.tensor([2]), 1, 3)
    >>> scores = torch.tensor([[1.0, 3.0, 8.0]])
    >>> standard_scale(scores, *score_moments(scores), history)
    (tensor([2.]), tensor([1.0000]))
    """
    num_items = scores.shape[1]
    mean, variance = mean.double(), variance.double()
    row = history.row_index()
    away = scores[row, history.col.long()].double() - mean[row]
    left = (num_items - history.degree).clamp(min=1).double()
    shift = -torch.zeros_like(mean).index_add_(0, row, away) / left
    rest = num_items * variance - torch.zeros_like(mean).index_add_(0, row, away.square())
    rest = rest / left - shift.square()
    # below these bounds the variance is what rounding leaves of equal scores
    varies = rest > 1e-6 * variance + 1e-12 * mean.square()
    return (mean + shift).float(), torch.where(varies, rest.clamp(min=1e-60).rsqrt(), 0.0).float()


def degree_scale(degree: Tensor) -> Tensor:
    """Mean and deviation of ln(1 + d), float32 [2]; the deviation is 1 where all are equal."""
    logs = degree.double().log1p()
    if not len(logs):
        return torch.tensor([0.0, 1.0])
    deviation = logs.std(correction=0)
    return torch.stack([logs.mean(), deviation.where(deviation > 1e-6, 1.0)]).float()


def scaled_log(degree: Tensor, scale: Tensor) -> Tensor:
    """ln(1 + d) by the mean and deviation that ``degree_scale`` found."""
    return (degree.float().log1p() - scale[0]) / scale[1]


def rows_of(csr: CSR, rows: Tensor) -> CSR:
    """Some rows of a CSR's structure, in the order given.

    >>> csr = CSR.from_pairs(torch.tensor([0, 1]), torch.tensor([2, 0]), 2, 3)
    >>> rows_of(csr, torch.tensor([1])).col
    tensor([0], dtype=torch.int32)
    """
    offsets, columns = entries(csr, rows)
    return CSR(offsets, columns, csr.num_cols)
