"""The ranking losses by name: what each takes from a batch, and the call of its function.

B pairs, P negatives, W width.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from graphrec.losses import (
    alignment_uniformity_loss,
    bilateral_softmax_loss,
    bpr_loss,
    pool_bpr_loss,
    pool_softmax_loss,
    softmax_loss,
)
from graphrec.sampling import Batch, used_in_batch
from graphrec.sparse import CSR

LOSSES = ("bpr", "softmax", "bsl", "alignment_uniformity")
PAIRED = ("bpr",)
"""Losses that hold one negative against each pair, where there is no pool."""
WITHOUT_NEGATIVES = ("alignment_uniformity",)


def negatives_of(loss: str, batch: Batch) -> Tensor:
    """The items of a batch's ``negative`` that a loss takes, int64; none where it holds the batch's own items against.

    Args:
        loss: one of ``LOSSES``.
        batch: pairs and negatives.
    """
    taken = loss in PAIRED or (batch.pooled and loss not in WITHOUT_NEGATIVES)
    return batch.negative if taken else batch.negative[:0]


def ranking_loss(settings: Any, seen: CSR, batch: Batch, user: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """The loss of a batch that the settings ask for, a scalar.

    Args:
        settings: an ``EmbeddingSettings``.
        seen: CSR [U, I] of used items, which never count as negatives.
        batch: pairs and negatives.
        user, positive: final vectors, float32 [B, W].
        negative: those of ``negatives_of``, float32 [P, W].
    """
    loss, temperature = settings.loss, settings.temperature
    if loss == "alignment_uniformity":
        return alignment_uniformity_loss(user, positive, settings.uniformity)
    if loss == "bpr" and not batch.pooled:
        return bpr_loss(user, positive, negative)
    used = used_in_batch(seen, batch.user, batch.negative if batch.pooled else batch.positive).to(user.device)
    log_odds = None if batch.log_odds is None else batch.log_odds.to(user.device)
    if loss == "bpr":
        return pool_bpr_loss(user, positive, negative, used)
    if loss == "bsl":
        against = negative if batch.pooled else positive
        return bilateral_softmax_loss(user, positive, against, used, temperature, settings.negative_weight, log_odds)
    if batch.pooled:
        return pool_softmax_loss(user, positive, negative, used, temperature, log_odds)
    return softmax_loss(user, positive, used, temperature)
