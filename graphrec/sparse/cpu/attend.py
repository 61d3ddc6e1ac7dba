"""Attention's forward pass on the CPU: one walk over the rows with a running maximum (Milakov & Gimelshein 2018)."""

from __future__ import annotations

import math

import numpy as np

from graphrec.sparse.cpu.chunks import largest_of, weigh
from graphrec.sparse.cpu.gather import gather_add, gather_columns
from graphrec.sparse.cpu.scores import ahead_of, chunk_length, kept_scale, meet_keys, scores_of
from graphrec.sparse.cpu.vector import inlined, prefetch


@inlined
def attend_rows(  # type: ignore[no-untyped-def]
    heads, score_width, width, is_v2, block, first_row, last_row, scratch,
    edges, query, key, value, terms, dropout, out, lse,
):  # fmt: skip
    """Write ``out`` [N, H · D] and ``lse`` [N, H] for a block of rows."""
    one = np.uintp(1)
    rowptr, col, bias = edges.rowptr, edges.col, terms.bias
    moved, shift, score, largest, total = scratch.moved, scratch.shift, scratch.score, scratch.largest, scratch.total
    for row in range(first_row, last_row):
        out[row] = 0
        largest[:] = -np.inf
        total[:] = 0
        first, row_end = np.uintp(rowptr[row]), np.uintp(rowptr[row + one])
        while first < row_end:
            length, kind = chunk_length(first, row_end, edges.edge_type)
            for place in range(length):
                ahead = ahead_of(col, first, place)
                prefetch(key, ahead, heads * score_width)
                prefetch(value, ahead, heads * width)
            meet_keys(query, row, kind, heads, score_width, is_v2, terms, moved, shift)
            scores_of(heads, score_width, is_v2, moved, key, col, first, length, terms.vector, shift, score)
            if len(bias):
                gather_columns(score, out.dtype.type(1), bias, np.uintp(0), col, first, length, heads)
            for head in range(heads):
                _weigh(score, head, length, largest, total, out, row, width)
                if dropout.threshold != 0:
                    for place in range(length):
                        score[head, place] *= kept_scale(first + place, head, heads, dropout)
            gather_add(out, row, score, value, col, first, length, heads, width)
            first += length
        _finish(out, lse, row, heads, width, largest, total)


@inlined
def _weigh(score, head, length, largest, total, out, row, width):  # type: ignore[no-untyped-def]
    """Turn a chunk's logits into exp(logit − maximum); what earlier chunks left is scaled to the new maximum."""
    before = largest[head]
    highest = max(before, largest_of(score, head, length))
    center = highest if highest > -np.inf else score.dtype.type(0)  # a chunk may be masked by biases of −inf
    summed = weigh(score, head, length, center)
    if total[head] != 0:
        factor = score.dtype.type(math.exp(before - center))
        summed += total[head] * factor
        for place in range(head * width, (head + np.uintp(1)) * width):
            out[row, place] *= factor
    largest[head], total[head] = highest, summed


@inlined
def _finish(out, lse, row, heads, width, largest, total):  # type: ignore[no-untyped-def]
    """Divide a row's sums by its weights' total; a row without edges stays 0."""
    for head in range(heads):
        lse[row, head] = largest[head] + math.log(total[head]) if total[head] != 0 else -np.inf
        scale = out.dtype.type(1) / total[head] if total[head] != 0 else out.dtype.type(0)
        for place in range(head * width, (head + np.uintp(1)) * width):
            out[row, place] *= scale
