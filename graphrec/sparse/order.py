"""Integers put in order and told apart, by counting where that is cheaper than comparing."""

from __future__ import annotations

import numba
import numpy as np
import torch
from torch import Tensor


def sorted_order(*keys: Tensor) -> Tensor:
    """The stable order by the first key, ties by the second, and so on: int64 [E]; keys are integers ≥ 0.

    >>> sorted_order(torch.tensor([1, 0, 1]), torch.tensor([5, 9, 4])).tolist()
    [1, 2, 0]
    """
    order = torch.arange(len(keys[0]), device=keys[0].device)
    for key in reversed(keys):
        order = _reorder(order, key)
    return order


def _reorder(order: Tensor, key: Tensor) -> Tensor:
    """``order`` stably sorted by ``key`` [E], the key of each edge."""
    largest = int(key.max()) if len(key) else 0
    if key.device.type != "cpu" or largest > 4 * len(key) + 1024:
        return order[torch.sort(key[order], stable=True).indices]
    result = torch.empty_like(order)
    _count_sort(order.numpy(), key.numpy(), np.zeros(largest + 2, np.int64), result.numpy())
    return result


@numba.njit(cache=True, nogil=True)
def _count_sort(order: np.ndarray, key: np.ndarray, place: np.ndarray, result: np.ndarray) -> None:
    """``place`` [largest key + 2], zeros, becomes the next free place of each key."""
    for number in key:
        place[number + 1] += 1
    for number in range(1, len(place)):
        place[number] += place[number - 1]
    for edge in order:
        result[place[key[edge]]] = edge
        place[key[edge]] += 1


def distinct(numbers: Tensor, limit: int) -> tuple[Tensor, Tensor]:
    """What ``numbers.unique(return_inverse=True)`` gives for int64 below ``limit``; not sorted where that is slower.

    >>> distinct(torch.tensor([3, 0, 3]), 4)
    (tensor([0, 3]), tensor([1, 0, 1]))
    """
    if limit > 4 * len(numbers):
        return numbers.unique(return_inverse=True)
    there = torch.zeros(limit, dtype=torch.bool, device=numbers.device).index_fill_(0, numbers, True)
    return there.nonzero()[:, 0], (there.cumsum(0) - 1)[numbers]


def row_pointers(row: Tensor, num_rows: int) -> Tensor:
    """Where each row begins among entries sorted by row, int64 [N + 1]."""
    counts = torch.bincount(row, minlength=num_rows)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])
