"""Attention's forward pass on the CPU: one walk over the rows with a running maximum (Milakov & Gimelshein 2018)."""

from __future__ import annotations

import math

import numpy as np

from graphrec.sparse.cpu.scores import TILE, chunk_length, kept_scale, logit, take_relation
from graphrec.sparse.cpu.vector import AHEAD, add_scaled, exp, inlined, prefetch


@inlined
def attend_rows(  # type: ignore[no-untyped-def]
    heads, score_width, width, is_v2, block, first_row, last_row, scratch,
    edges, query, key, value, terms, dropout, out, lse,
):  # fmt: skip
    """Write ``out`` [N, H · D] and ``lse`` [N, H] for a block of rows."""
    one = np.uintp(1)
    rowptr, col, edge_type, _ = edges
    vector, relation_key, bias, relation_bias = terms
    last_edge = np.uintp(len(col) - 1)
    moved, shift, score = scratch.moved, scratch.shift, scratch.score
    peak, largest, total = scratch.peak, scratch.largest, scratch.total
    for row in range(first_row, last_row):
        out[row] = 0
        largest[:] = -np.inf
        total[:] = 0
        first, row_end = np.uintp(rowptr[row]), np.uintp(rowptr[row + one])
        while first < row_end:
            length, kind = chunk_length(first, row_end, edge_type)
            take_relation(query, row, kind, heads, score_width, is_v2, relation_key, relation_bias, moved, shift)
            peak[:] = -np.inf
            for place in range(length):
                node, ahead = np.uintp(col[first + place]), np.uintp(col[min(first + place + AHEAD, last_edge)])
                prefetch(key, ahead, heads * score_width)
                prefetch(value, ahead, heads * width)
                for head in range(heads):
                    term = logit(moved, key, node, head, score_width, vector, is_v2) + shift[head]
                    term = term + bias[node, head] if len(bias) else term
                    score[head, place] = term
                    peak[head] = max(peak[head], term)
            for head in range(heads):
                _weigh(score, head, length, peak, largest, total, out, row)
            for place in range(length):
                node = np.uintp(col[first + place])
                for head in range(heads):
                    start = head * width
                    weight = score[head, place] * kept_scale(first + place, head, heads, dropout)
                    add_scaled(out, row, start, weight, value, node, start, width)
            first += length
        _finish(out, lse, row, largest, total)


@inlined
def _weigh(score, head, length, peak, largest, total, out, row):  # type: ignore[no-untyped-def]
    """Turn a chunk's logits into exp(logit − maximum); what earlier chunks left is scaled to the new maximum."""
    before = largest[head]
    highest = max(before, peak[head])
    center = highest if highest > -np.inf else score.dtype.type(0)  # a chunk may be masked by biases of −inf
    for tile in range(np.uintp(0), length, TILE):  # the last tile reaches beyond the chunk, into unused scratch
        for place in range(tile, tile + TILE):
            score[head, place] = exp(score[head, place] - center)
    summed = score.dtype.type(0)
    for place in range(length):
        summed += score[head, place]
    if total[head] != 0:
        width = np.uintp(out.shape[1]) // np.uintp(len(total))
        factor = exp(before - center)
        summed += total[head] * factor
        for place in range(head * width, (head + np.uintp(1)) * width):
            out[row, place] *= factor
    largest[head], total[head] = highest, summed


@inlined
def _finish(out, lse, row, largest, total):  # type: ignore[no-untyped-def]
    """Divide a row's sums by its weights' total; a row without edges stays 0."""
    heads = np.uintp(len(total))
    width = np.uintp(out.shape[1]) // heads
    for head in range(heads):
        lse[row, head] = largest[head] + math.log(total[head]) if total[head] != 0 else -np.inf
        scale = out.dtype.type(1) / total[head] if total[head] != 0 else out.dtype.type(0)
        for place in range(head * width, (head + np.uintp(1)) * width):
            out[row, place] *= scale
