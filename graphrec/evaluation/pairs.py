"""Pairs with labels: their scores, and how far those part the two labels.

n pairs, B users in a block, I items, U users.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from graphrec.evaluation.metrics import auc
from graphrec.ranking import check_nan, users_at_once
from graphrec.sparse import CSR


@torch.no_grad()
def pair_scores(score_block: Callable[[Tensor], Tensor], user: Tensor, item: Tensor, *, num_items: int) -> Tensor:
    """The score of each pair, in memory for one block of users at a time.

    Args:
        score_block: user numbers int64 [B] → scores [B, I].
        user, item: int64 [n], in any order, repeated or not.
        num_items: I.

    Returns:
        float32 [n], on the device of ``user``.

    >>> scores = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> pair_scores(lambda users: scores[users], torch.tensor([1, 0, 1]), torch.tensor([0, 1, 1]), num_items=2)
    tensor([3., 2., 4.])
    """
    users, row = user.unique(return_inverse=True)
    row, order = row.sort()
    size = users_at_once(num_items)
    scores = torch.empty(len(user), device=user.device)
    for first in range(0, len(users), size):
        start, stop = torch.searchsorted(row, torch.tensor([first, first + size], device=row.device)).tolist()
        pairs = order[start:stop]
        scores[pairs] = score_block(users[first : first + size])[row[start:stop] - first, item[pairs]].float()
    return scores


def labelled_auc(score_block: Callable[[Tensor], Tensor], positive: CSR, negative: CSR) -> float:
    """The chance that a positive pair scores above a negative one, of whatever users: AUC over all pairs together.

    Args:
        score_block: user numbers int64 [B] → scores [B, I].
        positive, negative: CSR [U, I], each with a pair at least.

    Raises:
        TrainingError: a score is not a number.

    >>> positive = CSR.from_pairs(torch.tensor([0]), torch.tensor([0]), 2, 2)
    >>> negative = CSR.from_pairs(torch.tensor([0, 1]), torch.tensor([1, 1]), 2, 2)
    >>> labelled_auc(lambda users: torch.tensor([[3.0, 2.0], [5.0, 4.0]])[users], positive, negative)
    0.5
    """
    user = torch.cat([positive.row_index(), negative.row_index()])
    item = torch.cat([positive.col, negative.col]).long()
    scores = pair_scores(score_block, user, item, num_items=positive.num_cols)
    check_nan(int(scores.isnan().sum()))
    return auc(scores, torch.arange(len(scores), device=scores.device) < positive.num_edges)
