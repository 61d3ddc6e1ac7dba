"""Ranking metrics as pure functions of which listed items were hits; nothing here knows a model.

n users, k places in a list, I items, U users in training. A list shorter than k is judged as if its missing places were
misses; −1 marks an empty place.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from graphrec.errors import ArrayError, SettingError
from graphrec.sparse import CSR


def hit_matrix(ranked: Tensor, relevant: CSR) -> Tensor:
    """Which listed items are relevant to their user.

    Args:
        ranked: int64 [n, k], item numbers, best first; −1 where a place is empty.
        relevant: CSR [n, I]; row i belongs to row i of ``ranked``.

    Returns:
        bool [n, k].

    >>> relevant = CSR.from_pairs(torch.tensor([0, 0]), torch.tensor([1, 3]), 1, 4)
    >>> hit_matrix(torch.tensor([[3, 0, -1]]), relevant)
    tensor([[ True, False, False]])
    """
    if len(ranked) != relevant.num_rows:
        raise ArrayError(f"ranked and relevant must have as many rows, got {len(ranked)} and {relevant.num_rows}")
    if not relevant.num_edges:
        return torch.zeros_like(ranked, dtype=torch.bool)
    row = torch.arange(len(ranked), device=ranked.device)[:, None]
    known = (relevant.row_index() * relevant.num_cols + relevant.col).sort().values
    wanted = row * relevant.num_cols + ranked
    place = torch.searchsorted(known, wanted).clamp_(max=len(known) - 1)
    return (known[place] == wanted) & (ranked >= 0)


def recall(hits: Tensor, num_relevant: Tensor, k: int) -> Tensor:
    """Share of a user's relevant items among the first k: hits / |relevant|, not / min(k, |relevant|).

    Args:
        hits: bool [n, ≥ k or fewer], from ``hit_matrix``; the first k columns count.
        num_relevant: int64 [n], ≥ 1.
        k: ≥ 1.

    Returns:
        float64 [n].

    >>> recall(torch.tensor([[True, False, True]]), torch.tensor([4]), 2)
    tensor([0.2500], dtype=torch.float64)
    """
    return _first(hits, k).sum(dim=1) / num_relevant


def precision(hits: Tensor, k: int) -> Tensor:
    """Share of hits among the first k places: hits / k, also where a list is shorter. Args as for ``recall``.

    >>> precision(torch.tensor([[True, False, True]]), 2)
    tensor([0.5000], dtype=torch.float64)
    """
    return _first(hits, k).sum(dim=1) / k


def f1(hits: Tensor, num_relevant: Tensor, k: int) -> Tensor:
    """Harmonic mean of precision and recall: 2 hits / (k + |relevant|). Args as for ``recall``.

    >>> f1(torch.tensor([[True, False, True]]), torch.tensor([4]), 2)
    tensor([0.3333], dtype=torch.float64)
    """
    return 2 * _first(hits, k).sum(dim=1) / (k + num_relevant)


def ndcg(hits: Tensor, num_relevant: Tensor, k: int) -> Tensor:
    """Normalised discounted cumulative gain (Järvelin and Kekäläinen 2002) with gains 0 and 1.

    Σ_{hits at rank r ≤ k} 1/log₂(r + 1), over the same sum for hits at ranks 1..min(k, |relevant|): the ideal is that
    of all relevant items, not only of those that were found. Args as for ``recall``.

    >>> ndcg(torch.tensor([[False, True]]), torch.tensor([1]), 2)  # 1 / log2(3)
    tensor([0.6309], dtype=torch.float64)
    """
    found = _first(hits, k)
    discount = torch.arange(2, k + 2, dtype=torch.float64, device=hits.device).log2().reciprocal()
    ideal = discount.cumsum(0)[num_relevant.clamp(1, k) - 1]
    return (found * discount[: found.shape[1]]).sum(dim=1) / ideal


def average_precision(hits: Tensor, num_relevant: Tensor, k: int) -> Tensor:
    """Σ_{hits at rank r ≤ k} precision@r, over min(k, |relevant|); its mean over users is MAP@k.

    Args as for ``recall``.

    >>> average_precision(torch.tensor([[True, False, True]]), torch.tensor([2]), 3)  # (1/1 + 2/3) / 2
    tensor([0.8333], dtype=torch.float64)
    """
    found = _first(hits, k)
    rank = torch.arange(1, found.shape[1] + 1, dtype=torch.float64, device=hits.device)
    return (found * found.cumsum(dim=1) / rank).sum(dim=1) / num_relevant.clamp(1, k)


def reciprocal_rank(hits: Tensor, k: int) -> Tensor:
    """1 / rank of the first hit among the first k, 0 without one; its mean over users is MRR@k. Args as for ``recall``.

    >>> reciprocal_rank(torch.tensor([[False, True, True]]), 3)
    tensor([0.5000], dtype=torch.float64)
    """
    found = _first(hits, k)
    rank = torch.arange(1, found.shape[1] + 1, dtype=torch.float64, device=hits.device)
    return (found / rank).amax(dim=1)


def hit_rate(hits: Tensor, k: int) -> Tensor:
    """1 where there is a hit among the first k, else 0. Args as for ``recall``.

    >>> hit_rate(torch.tensor([[False, False, True]]), 2)
    tensor([0.], dtype=torch.float64)
    """
    return _first(hits, k).amax(dim=1)


def auc(scores: Tensor, labels: Tensor) -> float:
    """Chance that a positive scores above a negative, ties counting half (Mann–Whitney U / (n₊ n₋)).

    Args:
        scores: float [n].
        labels: bool or 0/1 [n].

    Raises:
        UsageError: unless there are both positives and negatives.

    >>> auc(torch.tensor([0.1, 0.4, 0.4, 0.8]), torch.tensor([0, 0, 1, 1]))  # (1 + ½ + 1 + 1) / 4
    0.875
    """
    positive = labels.bool()
    num_positive, num_negative = int(positive.sum()), int((~positive).sum())
    if not num_positive or not num_negative:
        raise ArrayError(f"auc needs both labels, got {num_positive} positives and {num_negative} negatives")
    _, place, count = scores.double().unique(return_inverse=True, return_counts=True)
    below = count.cumsum(0) - count
    middle_rank = below + (count + 1) / 2
    total = float(middle_rank[place[positive]].double().sum())
    return (total - num_positive * (num_positive + 1) / 2) / (num_positive * num_negative)


def exposure(ranked: Tensor, num_items: int) -> Tensor:
    """How many of the lists hold each item, int64 [I].

    >>> exposure(torch.tensor([[0, 2], [2, -1]]), 4)
    tensor([1, 0, 2, 0])
    """
    return torch.bincount(ranked[ranked >= 0], minlength=num_items)


def coverage(shown: Tensor) -> float:
    """Share of items that anybody is shown, from ``exposure``.

    >>> coverage(torch.tensor([1, 0, 2, 0]))
    0.5
    """
    return float((shown > 0).double().mean())


def gini(shown: Tensor) -> float:
    """Gini coefficient of exposure: 0 where all items are shown equally often, (I − 1)/I where one item takes all.

    Σ_i (2i − I − 1) x_i / (I Σ x) over exposures in rising order, i from 1; 0 where nothing is shown.

    >>> gini(torch.tensor([0, 0, 0, 8]))
    0.75
    """
    ordered = shown.double().sort().values
    weight = 2 * torch.arange(1, len(shown) + 1, dtype=torch.float64, device=shown.device) - len(shown) - 1
    return float((weight * ordered).sum() / (len(shown) * ordered.sum()).clamp(min=1))


def novelty(ranked: Tensor, popularity: Tensor, num_users: int) -> Tensor:
    """Mean self-information −log₂(p_i) of a user's listed items, p_i the share of users who used item i in training.

    An item nobody used counts as used by one, so that the value stays finite.

    Args:
        ranked: int64 [n, k].
        popularity: int64 [I], training users by item.
        num_users: users in training, ≥ 1.

    Returns:
        float64 [n], in bits; 0 for an empty list.

    >>> novelty(torch.tensor([[0, 1]]), torch.tensor([4, 1]), 4)  # (0 + 2) / 2
    tensor([1.], dtype=torch.float64)
    """
    bits = -(popularity.clamp(min=1).double() / num_users).log2()
    return _mean_listed(ranked, bits)


def popularity_bias(ranked: Tensor, popularity: Tensor) -> Tensor:
    """Mean popularity of a user's listed items over that of a training interaction, Σ p² / Σ p.

    1: people are shown things as popular as those they used; above 1: more popular ones. Args as for ``novelty``.

    Returns:
        float64 [n]; 0 for an empty list.

    >>> popularity_bias(torch.tensor([[0, 1]]), torch.tensor([3, 1]))  # ((3 + 1) / 2) / ((9 + 1) / 4)
    tensor([0.8000], dtype=torch.float64)
    """
    popularity = popularity.double()
    typical = popularity.square().sum() / popularity.sum().clamp(min=1)
    return _mean_listed(ranked, popularity) / typical.clamp(min=torch.finfo(torch.float64).tiny)


def diversity(ranked: Tensor, audience: CSR) -> Tensor:
    """1 − mean cosine between the training audiences of a list's items (intra-list diversity, Ziegler et al. 2005).

    With unit vectors v the sum over pairs is (|Σ v|² − m) / 2 for m items with an audience: one walk over their users.

    Args:
        ranked: int64 [n, k].
        audience: CSR [I, U], the training users of each item.

    Returns:
        float64 [n] in [0, 1]; 0 for a list of fewer than two items, which has no pair.

    >>> audience = CSR.from_pairs(torch.tensor([0, 1, 1, 2]), torch.tensor([0, 0, 1, 1]), 3, 2)
    >>> diversity(torch.tensor([[0, 1, 2]]), audience)  # 1 - (1/√2 + 0 + 1/√2) / 3
    tensor([0.5286], dtype=torch.float64)
    """
    arrays = (ranked, audience.rowptr, audience.col)
    values = _diversity(*(array.cpu().contiguous().numpy() for array in arrays), audience.num_cols)
    return torch.from_numpy(values).to(ranked.device)


_jit: Any = numba.njit(nogil=True, cache=True)


@_jit
def _diversity(ranked, rowptr, col, num_users):  # type: ignore[no-untyped-def]
    total = np.zeros(num_users)
    out = np.zeros(len(ranked))
    for row in range(len(ranked)):
        listed, pairs = 0, 0.0
        for item in ranked[row]:
            if item < 0:
                continue
            listed += 1
            start, stop = rowptr[item], rowptr[item + 1]
            weight = 1 / np.sqrt(max(stop - start, 1))
            for user in col[start:stop]:
                pairs += weight * total[user]
                total[user] += weight
        if listed > 1:
            out[row] = 1 - pairs / (listed * (listed - 1) / 2)
        for item in ranked[row]:
            if item >= 0:
                total[col[rowptr[item] : rowptr[item + 1]]] = 0
    return out


def _first(hits: Tensor, k: int) -> Tensor:
    """The first k columns as float64; at least one column, so that a maximum exists."""
    if k < 1:
        raise SettingError(f"k must be >= 1, got {k}")
    found = hits[:, :k].double()
    return found if found.shape[1] else found.new_zeros(len(found), 1)


def _mean_listed(ranked: Tensor, value: Tensor) -> Tensor:
    """Mean of ``value`` over each list's items, 0 where it is empty."""
    listed = ranked >= 0
    return (value[ranked.clamp(min=0)] * listed).sum(dim=1) / listed.sum(dim=1).clamp(min=1)
