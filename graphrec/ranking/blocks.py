"""Exact top-k of any scores, block by block: the one place where items are put in order.

B rows in a block, I items, n users, k places in a list, S seen pairs of a block.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphrec.errors import ArrayError, SettingError, TrainingError
from graphrec.ranking.heap import topk_range
from graphrec.sparse import CSR

# Scores of one block stay below what the C allocator keeps and hands out again (32 MiB): a larger block is fresh pages
# every time, and filling in those costs more than the product itself (Gowalla, 2 cores: 2.5 s against 7 s).
_BLOCK_BYTES = 24 * 2**20
_SERIAL_SCORES = 200_000  # fewer scores than this are not worth a second thread


@dataclass(frozen=True, eq=False)
class Ranking:
    """The best items of some users, best first.

    Attributes:
        items: int64 [n, k]; −1 where fewer than k items could be ranked.
        scores: float32 [n, k]; −inf where the item is −1.
    """

    items: Tensor
    scores: Tensor


@torch.no_grad()
def rank(
    score_block: Callable[[Tensor], Tensor],
    users: Tensor,
    k: int,
    *,
    num_items: int,
    seen: CSR | None = None,
    allowed: Tensor | None = None,
    block_size: int | None = None,
) -> Ranking:
    """Rank all items for every given user and keep the best k; equal scores go to the lower item number.

    An item is left out where it is seen, not allowed, or scored −inf. The scores themselves are never written to.

    Args:
        score_block: user numbers int64 [B] → scores [B, I]; compared as float32.
        users: int64 [n].
        k: places in a list, ≥ 1; a list has min(k, I).
        num_items: I.
        seen: CSR [U, I] of pairs to leave out; its row is the user number.
        allowed: bool [I], the items to choose from; all if None.
        block_size: users scored at once; ``users_at_once`` by default.

    Raises:
        TrainingError: a score is not a number.
        UsageError: ``k`` or a shape is wrong.

    >>> scores = torch.tensor([[0.5, 2.0, 2.0, -1.0]])
    >>> rank(lambda users: scores[users], torch.tensor([0]), 3, num_items=4).items
    tensor([[1, 2, 0]])
    """
    check_k(k)
    block_size = users_at_once(num_items) if block_size is None else block_size
    blocks = [
        _rank_block(score_block(block), block, min(k, num_items), num_items, seen, allowed)
        for block in users.split(block_size)
        if len(block)
    ]
    if not blocks:
        empty = torch.empty(0, min(k, num_items), device=users.device)
        return Ranking(empty.long(), empty)
    return Ranking(torch.cat([items for _, items in blocks]), torch.cat([scores for scores, _ in blocks]))


def users_at_once(num_items: int) -> int:
    """As many users as have 24 MiB of scores, but 64 to 4096, and a multiple of 64.

    >>> users_at_once(10), users_at_once(40_000), users_at_once(10**9)
    (4096, 128, 64)
    """
    return min(max(_BLOCK_BYTES // (4 * max(num_items, 1)) // 64, 1), 64) * 64


def topk_rows(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row, largest first; equal ones in the order of their columns, also at the k-th place.

    ``torch.topk`` leaves open which of several equal entries it returns; this does not.

    Args:
        scores: float [B, I], compared as float32.
        k: ≥ 1; min(k, I) columns come back.

    Returns:
        float32 values and int64 columns, each [B, min(k, I)].

    Raises:
        TrainingError: a score is not a number.

    >>> topk_rows(torch.tensor([[1.0, 3.0, 1.0, 1.0]]), 2)
    (tensor([[3., 1.]]), tensor([[1, 0]]))
    """
    check_k(k)
    k = min(k, scores.shape[1])
    if scores.is_cuda:
        return _topk_torch(_finite(scores.float()), k)
    return _topk_cpu(scores, k, None, None)


def entries(csr: CSR, rows: Tensor) -> tuple[Tensor, Tensor]:
    """The columns of some rows of a CSR, one after the other.

    Args:
        csr: any.
        rows: int64 [B], in any order, repeated or not.

    Returns:
        offsets int64 [B + 1] and columns int32 [S]: those of ``rows[i]`` are ``columns[offsets[i]:offsets[i + 1]]``.

    >>> csr = CSR.from_pairs(torch.tensor([0, 1, 1]), torch.tensor([2, 0, 1]), 2, 3)
    >>> entries(csr, torch.tensor([1, 0]))
    (tensor([0, 2, 3]), tensor([0, 1, 2], dtype=torch.int32))
    """
    first = csr.rowptr[rows]
    count = csr.rowptr[rows + 1] - first
    offsets = torch.nn.functional.pad(count.cumsum(0), (1, 0))
    shift = (first - offsets[:-1]).repeat_interleave(count)
    return offsets, csr.col[shift + torch.arange(len(shift), device=shift.device)]


def check_k(k: int) -> None:
    if k < 1:
        raise SettingError(f"k must be >= 1, got {k}")


def _rank_block(
    scores: Tensor, users: Tensor, k: int, num_items: int, seen: CSR | None, allowed: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Best scores and items of one block; −inf and −1 where nothing is left."""
    if scores.shape != (len(users), num_items):
        raise ArrayError(f"scores must have shape {(len(users), num_items)}, got {tuple(scores.shape)}")
    hidden = None if seen is None else entries(seen, users.to(seen.device))
    if scores.is_cuda:
        values, items = _topk_torch(_hide(_finite(scores.float()), hidden, allowed), k)
    else:
        values, items = _topk_cpu(scores, k, hidden, allowed)
    return values, items.masked_fill(values == -torch.inf, -1)


# plain torch, for GPUs


def _finite(scores: Tensor) -> Tensor:
    check_nan(int(torch.isnan(scores).sum()))
    return scores


def check_nan(count: int) -> None:
    if count:
        raise TrainingError(f"{count} scores of a block are not a number", "the model has diverged: train it anew")


def _hide(scores: Tensor, hidden: tuple[Tensor, Tensor] | None, allowed: Tensor | None) -> Tensor:
    """A copy with −inf where an item is hidden or not allowed."""
    scores = scores.clone()
    if allowed is not None:
        scores.masked_fill_(~allowed.to(scores.device), -torch.inf)
    if hidden is not None:
        offsets, columns = (part.to(scores.device) for part in hidden)
        row = torch.arange(len(scores), device=scores.device).repeat_interleave(offsets.diff())
        scores[row, columns.long()] = -torch.inf
    return scores


def _topk_torch(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """torch.topk, an exact repair of the rows whose k-th and (k+1)-th scores are equal, then order among equals."""
    best, place = torch.topk(scores, min(k + 1, scores.shape[1]), dim=1)
    values, columns = best[:, :k].contiguous(), place[:, :k].contiguous()
    if best.shape[1] > k > 0:
        open_rows = (best[:, k - 1] == best[:, k]).nonzero()[:, 0]
        columns[open_rows] = _lowest_columns(scores[open_rows], values[open_rows, -1:], k)
        values = torch.gather(scores, 1, columns)
    columns, order = columns.sort(dim=1)
    values, order = torch.gather(values, 1, order).sort(dim=1, descending=True, stable=True)
    return values, torch.gather(columns, 1, order)


def _lowest_columns(scores: Tensor, threshold: Tensor, k: int) -> Tensor:
    """Columns [B, k]: all that are above its threshold, then the lowest of those that equal it."""
    above, equal = scores > threshold, scores == threshold
    missing = k - above.sum(dim=1, keepdim=True)
    chosen = above | (equal & (equal.cumsum(dim=1) <= missing))
    return chosen.nonzero()[:, 1].reshape(-1, k)


# numba, for CPUs


def _topk_cpu(
    scores: Tensor, k: int, hidden: tuple[Tensor, Tensor] | None, allowed: Tensor | None
) -> tuple[Tensor, Tensor]:
    num_rows = len(scores)
    table = scores.detach().float().contiguous().numpy()
    offsets, columns = (torch.zeros(num_rows + 1).long(), torch.empty(0).int()) if hidden is None else hidden
    barred = torch.empty(0).bool() if allowed is None else ~allowed.cpu()
    values, items = np.empty((num_rows, k), np.float32), np.empty((num_rows, k), np.int64)
    arrays = (table, offsets.cpu().numpy(), columns.cpu().numpy(), barred.numpy(), values, items)
    workers = torch.get_num_threads() if scores.numel() >= _SERIAL_SCORES else 1
    bounds = np.linspace(0, num_rows, workers + 1).astype(np.int64)
    if k == 0 or workers == 1:
        nans = [topk_range(*arrays, 0, num_rows)] if k else [0]
    else:
        with ThreadPoolExecutor(workers) as pool:
            nans = list(pool.map(lambda i: topk_range(*arrays, bounds[i], bounds[i + 1]), range(workers)))
    check_nan(sum(nans))
    return torch.from_numpy(values), torch.from_numpy(items)
