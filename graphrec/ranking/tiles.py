"""Exact top-k of inner products, a tile of items at a time: scores that never leave the cache.

n users, I items, W width, k places in a list, B users of a block, T items of a tile.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import repeat

import numpy as np
import torch
from torch import Tensor

from graphrec.errors import BackendError
from graphrec.ranking.blocks import Ranking, check_k, check_nan, entries
from graphrec.ranking.heap import offer_tile, order_rows
from graphrec.sparse import CSR

BLOCK_USERS = 1024
TILE_ITEMS = 2048


@torch.no_grad()
def rank_vectors(
    user_vectors: Tensor,
    item_vectors: Tensor,
    users: Tensor,
    k: int,
    *,
    seen: CSR | None = None,
    allowed: Tensor | None = None,
) -> Ranking:
    """What ``rank`` gives for the scores ``user_vectors[users] @ item_vectors.T``, on a CPU and several times faster.

    ``rank`` writes the scores of a block for all items to memory and reads them back. Here each thread scores a tile
    of items for its own users and keeps the best k so far. What a product rounds to may depend on the shape of its
    block, so scores may differ from ``rank``'s in the last bit; the order among equal ones does not.

    Args:
        user_vectors: float32 [U, W].
        item_vectors: float32 [I, W].
        users: int64 [n].
        k: places in a list, ≥ 1; a list has min(k, I).
        seen: CSR [U, I] of pairs to leave out, each row in the order of its items.
        allowed: bool [I], the items to choose from; all if None.

    Raises:
        TrainingError: a score is not a number.
        UsageError: ``k`` or the device is wrong.

    >>> rank_vectors(torch.ones(1, 1), torch.tensor([[0.5], [2.0], [2.0]]), torch.tensor([0]), 2).items
    tensor([[1, 2]])
    """
    check_k(k)
    if item_vectors.is_cuda:
        raise BackendError("rank_vectors runs on a CPU", "use rank")
    places = min(k, len(item_vectors))
    values = np.full((len(users), places), -np.inf, np.float32)
    items = np.full((len(users), places), len(item_vectors), np.int64)
    barred = np.zeros(0, np.bool_) if allowed is None else ~allowed.numpy()

    def fill(first: int, size: int) -> int:
        block = slice(first, first + size)
        hidden = _hidden(seen, users[block])
        return _rank_block(user_vectors[users[block]], item_vectors, hidden, barred, values[block], items[block])

    if places:
        with _one_thread_each() as workers, ThreadPoolExecutor(workers) as pool:
            size = max(1, min(BLOCK_USERS, -(-len(users) // workers)))
            check_nan(sum(pool.map(fill, range(0, len(users), size), repeat(size))))
    items[np.isneginf(values)] = -1
    return Ranking(torch.from_numpy(items), torch.from_numpy(values))


Hidden = tuple[np.ndarray, np.ndarray, np.ndarray]


def _hidden(seen: CSR | None, users: Tensor) -> Hidden:
    """Hidden items one after another, and where each user's begin and end."""
    if seen is None:
        none = np.zeros(len(users), np.int64)
        return np.zeros(0, np.int32), none, none
    offsets, columns = entries(seen, users)
    return columns.numpy(), offsets[:-1].numpy().copy(), offsets[1:].numpy()


def _rank_block(
    user_vectors: Tensor,
    item_vectors: Tensor,
    hidden: Hidden,
    barred: np.ndarray,
    values: np.ndarray,
    items: np.ndarray,
) -> int:
    """The best items of one block of users; returns how many scores are not a number."""
    columns, cursor, ends = hidden
    scratch = torch.empty(len(user_vectors) * TILE_ITEMS)
    nans = 0
    for first in range(0, len(item_vectors), TILE_ITEMS):
        part = item_vectors[first : first + TILE_ITEMS]
        tile = scratch[: len(user_vectors) * len(part)].view(len(user_vectors), len(part))
        torch.mm(user_vectors, part.T, out=tile)
        nans += offer_tile(
            tile.numpy(), first, columns, cursor, ends, barred[first : first + TILE_ITEMS], values, items
        )
    order_rows(values, items)
    return nans


class _Threads:
    """Torch's thread count, which is set for the whole process, while calls of ours run, perhaps several at once.

    A thread takes the count over when it first uses torch. So it is changed and set back in threads of their own: those
    of a pool start with 1, and the caller's keeps what it had.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.calls = 0
        self.count = 1

    def enter(self) -> int:
        with self.lock:
            if not self.calls:
                self.count = _exchange(1)
            self.calls += 1
            return self.count

    def leave(self) -> None:
        with self.lock:
            self.calls -= 1
            if torch.get_num_threads() == 1 < self.count:  # this thread first used torch during another's call
                torch.set_num_threads(self.count)
            _exchange(1 if self.calls else self.count)


_threads = _Threads()


@contextmanager
def _one_thread_each() -> Iterator[int]:
    """Let torch use one thread in each of ours, which wait for each other only at the end; yields how many to start."""
    workers = _threads.enter()
    try:
        yield workers
    finally:
        _threads.leave()


def _exchange(count: int) -> int:
    """Set what new threads will take over; returns what it was."""

    def exchange() -> int:
        before = torch.get_num_threads()
        torch.set_num_threads(count)
        return before

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(exchange).result()
