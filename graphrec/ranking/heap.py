"""The best k of many scores through a heap, compiled: serial code without the lock, for Python's own threads.

Unlike numba's own threads, those survive a fork. A heap's root is the worst kept: lowest score, then highest item.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

_CHUNK = 64  # scores compared with the threshold at once

_jit: Any = numba.njit(nogil=True, cache=True)


@_jit
def topk_range(table, offsets, columns, barred, values, items, start, stop):  # type: ignore[no-untyped-def]
    """Rows start..stop: copy, hide, select; returns how many scores are not a number."""
    num_items = table.shape[1]
    buffer = np.empty(num_items, np.float32)
    nans = 0
    for row in range(start, stop):
        for item in range(num_items):
            score = table[row, item]
            nans += score != score
            buffer[item] = score
        for item in range(len(barred)):
            if barred[item]:
                buffer[item] = -np.inf
        for place in range(offsets[row], offsets[row + 1]):
            buffer[columns[place]] = -np.inf
        _select(buffer, values[row], items[row])
    return nans


@_jit
def offer_tile(tile, first, columns, cursor, ends, barred, values, items):  # type: ignore[no-untyped-def]
    """Scores of the items from ``first`` on, for some rows: hide, then put what is good enough into the rows' heaps.

    ``columns[cursor[row]:ends[row]]`` are the row's hidden items, in order; the cursor moves on. The tile is written
    to. Returns how many scores are not a number.
    """
    nans = 0
    for row in range(len(tile)):
        scores = tile[row]
        for place in range(len(barred)):
            if barred[place]:
                scores[place] = -np.inf
        while cursor[row] < ends[row] and columns[cursor[row]] < first + len(scores):
            scores[columns[cursor[row]] - first] = -np.inf
            cursor[row] += 1
        nans += _offer(scores, 0, first, values[row], items[row])
    return nans


@_jit
def order_rows(values, items):  # type: ignore[no-untyped-def]
    """Heaps into lists, the best first."""
    for row in range(len(values)):
        _order(values[row], items[row])


@_jit
def _select(scores, values, items):  # type: ignore[no-untyped-def]
    """The best of ``scores``, in order."""
    k = len(values)
    for place in range(k):
        values[place], items[place] = scores[place], place
    for place in range(k // 2 - 1, -1, -1):
        _sink(values, items, place, k, values[place], items[place])
    _offer(scores, k, 0, values, items)
    _order(values, items)


@_jit
def _offer(scores, start, first, values, items):  # type: ignore[no-untyped-def]
    """Put scores[start:], of the items from first + start on, into a heap whose items all have lower numbers.

    Returns how many of these scores are not a number; they stay out.
    """
    k, nans = len(values), 0
    for begin in range(start, len(scores), _CHUNK):
        stop = min(begin + _CHUNK, len(scores))
        threshold = values[0]
        below = np.int32(0)  # as wide as a score, so that the comparison runs on whole vectors
        for score in scores[begin:stop]:
            below += np.int32(1) if score <= threshold else np.int32(0)
        if below < stop - begin:
            for place in range(begin, stop):
                nans += scores[place] != scores[place]
                if scores[place] > values[0]:
                    _sink(values, items, 0, k, scores[place], first + place)
    return nans


@_jit
def _order(values, items):  # type: ignore[no-untyped-def]
    for last in range(len(values) - 1, 0, -1):
        score, item = values[last], items[last]
        values[last], items[last] = values[0], items[0]
        _sink(values, items, 0, last, score, item)


@_jit
def _sink(values, items, place, size, score, item):  # type: ignore[no-untyped-def]
    """Put (score, item) at ``place`` of the heap, or below it where a worse child must rise."""
    child = 2 * place + 1
    while child < size:
        other = child + 1
        if other < size and _worse(values[other], items[other], values[child], items[child]):
            child = other
        if not _worse(values[child], items[child], score, item):
            break
        values[place], items[place] = values[child], items[child]
        place, child = child, 2 * child + 1
    values[place], items[place] = score, item


@_jit
def _worse(score, item, other_score, other_item):  # type: ignore[no-untyped-def]
    return score < other_score or (score == other_score and item > other_item)
