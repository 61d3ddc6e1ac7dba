"""Items a user has not used: drawn without rejection, and recognised within a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from graphrec.sparse import CSR


class NegativeSampler:
    """Draws items uniformly over those a user has not used.

    The r-th unused item of a user whose sorted used items are p_0 < p_1 < … is r + #{k : p_k − k ≤ r}: one draw of r
    and one binary search in the user's own items give it; no draw is ever rejected, and nothing is kept.

    Args:
        seen: CSR [U, I] of used items.
    """

    def __init__(self, seen: CSR) -> None:
        self.seen = seen
        self._halvings = int(seen.degree.max()).bit_length() if seen.num_rows else 0

    def sample(self, user: Tensor, generator: torch.Generator) -> Tensor:
        """One unused item a row.

        Args:
            user: int64 [B]; each must have an unused item.
            generator: on the device of ``seen``.

        Returns:
            int64 [B], item numbers.
        """
        degree = self.seen.degree[user]
        unused = self.seen.num_cols - degree
        uniform = torch.rand(len(user), generator=generator, device=user.device, dtype=torch.float64)
        rank = torch.minimum((uniform * unused).long(), unused - 1)
        first, low, high = self.seen.rowptr[user], torch.zeros_like(user), degree
        for _ in range(self._halvings):
            middle = (low + high) // 2
            used = self.seen.col[(first + middle).clamp(max=self.seen.num_edges - 1)]
            below = (used - middle <= rank) & (low < high)
            low, high = torch.where(below, middle + 1, low), torch.where(below, high, middle)
        return rank + low


def used_in_batch(seen: CSR, user: Tensor, item: Tensor) -> Tensor:
    """Which of the batch's items each of its users has used.

    Args:
        seen: CSR [U, I] of used items.
        user: int64 [B].
        item: int64 [C].

    Returns:
        bool [B, C].

    >>> seen = CSR.from_pairs(torch.tensor([0, 0, 1]), torch.tensor([0, 2, 1]), 2, 3)
    >>> used_in_batch(seen, torch.tensor([0, 1]), torch.tensor([2, 1]))
    tensor([[ True, False],
            [False,  True]])
    """
    if seen.device.type == "cuda":
        return _looked_up(seen, user, item)
    distinct, column, times = item.unique(return_inverse=True, return_counts=True)
    slot = torch.full((seen.num_cols,), -1, dtype=torch.int64, device=item.device)
    slot[distinct] = torch.arange(len(distinct), device=item.device)
    row, edge = _spread(seen.rowptr[user], seen.degree[user])
    found = slot[seen.col[edge].long()]
    row, found = row[found >= 0], found[found >= 0]
    pair, place = _spread((times.cumsum(0) - times)[found], times[found])  # an item may come several times
    used = torch.zeros(len(user), len(item), dtype=torch.bool, device=user.device)
    used[row[pair], column.argsort()[place]] = True
    return used


def _spread(first: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Whose it is, and which: the numbers from each ``first`` on, ``count`` of them, one after another."""
    start = torch.arange(len(count), device=count.device).repeat_interleave(count)
    return start, (first - (count.cumsum(0) - count))[start] + torch.arange(len(start), device=count.device)


def _looked_up(seen: CSR, user: Tensor, item: Tensor) -> Tensor:
    """``used_in_batch`` by a binary search for every user and item: more work, but no size has to be waited for."""
    pair = seen.row_index() * seen.num_cols + seen.col
    wanted = user[:, None] * seen.num_cols + item
    place = torch.searchsorted(pair, wanted).clamp(max=len(pair) - 1)
    return pair[place] == wanted
