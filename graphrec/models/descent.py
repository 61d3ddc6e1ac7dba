"""Coordinate descent for SLIM, compiled; threads take blocks of items and share nothing that they write.

An item's solution depends on nothing but the data, so it is the same with any number of threads.
"""

from __future__ import annotations

from typing import Any

import numba

_jit: Any = numba.njit(nogil=True, cache=True, error_model="numpy")

_SWEEPS = 100  # over an item's weights, at most
_TOLERANCE = 1e-3  # of the largest weight: a sweep that changes none by more is the last


@_jit
def solve_rows(  # type: ignore[no-untyped-def]
    block,
    first,
    last,
    scratch,
    start,
    item_ptr,
    item_users,
    user_ptr,
    user_items,
    lasso,
    ridge,
    nonnegative,
    kept,
    weight,
):
    """Items start + first .. start + last − 1: descend, then keep the weights furthest from 0 and their items."""
    residual, weights, met, candidates = scratch
    for row in range(first, last):
        item = start + row
        found = _candidates(item, item_ptr, item_users, user_ptr, user_items, met, candidates)
        for edge in range(item_ptr[item], item_ptr[item + 1]):
            residual[item_users[edge]] = 1
        _descend(candidates[:found], item_ptr, item_users, lasso, ridge, nonnegative, residual, weights)
        _keep(candidates[:found], weights, kept[row], weight[row])
        _clear(item, candidates[:found], item_ptr, item_users, residual, weights)


@_jit
def _candidates(item, item_ptr, item_users, user_ptr, user_items, met, candidates):  # type: ignore[no-untyped-def]
    """Items used together with one; returns how many."""
    found = 0
    met[item] = item
    for edge in range(item_ptr[item], item_ptr[item + 1]):
        user = item_users[edge]
        for place in range(user_ptr[user], user_ptr[user + 1]):
            other = user_items[place]
            if met[other] != item:
                met[other] = item
                candidates[found] = other
                found += 1
    return found


@_jit
def _descend(candidates, item_ptr, item_users, lasso, ridge, nonnegative, residual, weights):  # type: ignore[no-untyped-def]
    """Sweep over all weights; then over those that are not 0 until they rest; and again, until all do."""
    everything = True
    for _ in range(_SWEEPS):
        change, largest = 0.0, 0.0
        for other in candidates:
            if everything or weights[other] != 0:
                moved = _move(other, item_ptr, item_users, lasso, ridge, nonnegative, residual, weights)
                change, largest = max(change, abs(moved)), max(largest, abs(weights[other]))
        rests = change <= _TOLERANCE * largest
        if rests and everything:
            break
        everything = rests


@_jit
def _move(other, item_ptr, item_users, lasso, ridge, nonnegative, residual, weights):  # type: ignore[no-untyped-def]
    """Set one weight to its best value while all others stay; returns by how much it moved."""
    begin, end, before = item_ptr[other], item_ptr[other + 1], weights[other]
    total = before * (end - begin)
    for edge in range(begin, end):
        total += residual[item_users[edge]]
    after = max(total - lasso, 0.0)
    if total < 0 and not nonnegative:
        after = min(total + lasso, 0.0)
    after /= end - begin + ridge
    weights[other] = after
    moved = weights[other] - before
    if moved != 0:
        for edge in range(begin, end):
            residual[item_users[edge]] -= moved
    return moved


@_jit
def _keep(candidates, weights, kept, weight):  # type: ignore[no-untyped-def]
    """Fill a row with the weights furthest from 0, ties to the lower item; 0 where there are not so many."""
    for other in candidates:
        if weights[other] != 0 and _worse(weight[0], kept[0], weights[other], other):
            _sink(kept, weight, other, weights[other])


@_jit
def _sink(kept, weight, item, value):  # type: ignore[no-untyped-def]
    """Replace the root of the heap, whose root is the worst kept."""
    place, child, size = 0, 1, len(kept)
    while child < size:
        if child + 1 < size and _worse(weight[child + 1], kept[child + 1], weight[child], kept[child]):
            child += 1
        if not _worse(weight[child], kept[child], value, item):
            break
        kept[place], weight[place] = kept[child], weight[child]
        place, child = child, 2 * child + 1
    kept[place], weight[place] = item, value


@_jit
def _worse(value, item, other_value, other_item):  # type: ignore[no-untyped-def]
    return abs(value) < abs(other_value) or (abs(value) == abs(other_value) and item > other_item)


@_jit
def _clear(item, candidates, item_ptr, item_users, residual, weights):  # type: ignore[no-untyped-def]
    """Everything as it was, for the next item."""
    for edge in range(item_ptr[item], item_ptr[item + 1]):
        residual[item_users[edge]] = 0
    for other in candidates:
        weights[other] = 0
        for edge in range(item_ptr[other], item_ptr[other + 1]):
            residual[item_users[edge]] = 0
