"""Attention's backward pass on the CPU, from the saved log-sum-exp: no weight is stored between the passes.

With α = exp(logit − lse_i), g the gradient of out and m dropout's factor,

    ∂logit = α (m ⟨g_i, value_j⟩ − δ_i),   δ_i = ⟨g_i, out_i⟩ − ∂lse_i,   ∂value_j = Σ_i α m g_i.

Receivers gather over their own edges, senders over the transpose's, so that no two threads write one place.
"""

from __future__ import annotations

import numpy as np

from graphrec.sparse.cpu.scores import TILE, add_slope, chunk_length, kept_scale, logit, take_relation
from graphrec.sparse.cpu.vector import AHEAD, add_leaky, add_scaled, dot, exp, inlined, prefetch


@inlined
def receivers_backward(  # type: ignore[no-untyped-def]
    heads, score_width, width, is_v2, block, first_row, last_row, scratch,
    edges, query, key, value, terms, dropout, lse, delta, grad_out,
    grad_query, grad_vector, grad_relation_key, grad_relation_bias,
):  # fmt: skip
    """Write the gradient of ``query`` [N, H · Dq] and add up this block's part of the shared gradients.

    These are ``grad_vector`` [blocks · H, Dq], ``grad_relation_key`` [blocks · R, H · Dq] and ``grad_relation_bias``
    [blocks · R, H].
    """
    one = np.uintp(1)
    rowptr, col, edge_type, _ = edges
    vector, relation_key, bias, relation_bias = terms
    last_edge = np.uintp(len(col) - 1)
    moved, shift, score, gain = scratch.moved, scratch.shift, scratch.score, scratch.gain
    run, total = scratch.run, scratch.total
    for row in range(first_row, last_row):
        grad_query[row] = 0
        first, row_end = np.uintp(rowptr[row]), np.uintp(rowptr[row + one])
        while first < row_end:
            length, kind = chunk_length(first, row_end, edge_type)
            take_relation(query, row, kind, heads, score_width, is_v2, relation_key, relation_bias, moved, shift)
            for place in range(length):
                node, ahead = np.uintp(col[first + place]), np.uintp(col[min(first + place + AHEAD, last_edge)])
                prefetch(key, ahead, heads * score_width)
                prefetch(value, ahead, heads * width)
                for head in range(heads):
                    term = logit(moved, key, node, head, score_width, vector, is_v2) + shift[head] - lse[row, head]
                    score[head, place] = term + bias[node, head] if len(bias) else term
                    pull = dot(grad_out, row, head * width, value, node, head * width, width)
                    scale = kept_scale(first + place, head, heads, dropout)
                    gain[head, place] = scale * pull - delta[row, head]
            for head in range(heads):
                total[head] = _times_exp(gain, score, head, length)
            run[0] = 0
            for place in range(length):
                node = np.uintp(col[first + place])
                for head in range(heads):
                    add_slope(run, 0, gain[head, place], moved, key, node, head, score_width, vector, is_v2)
                    _add_vector(grad_vector, block, gain[head, place], moved, key, node, head, score_width, is_v2)
            _add_chunk(run, total, row, kind, block, query, is_v2, relation_key, grad_query, grad_relation_key)
            if len(relation_bias):
                at = block * np.uintp(len(relation_bias)) + kind
                for head in range(heads):
                    grad_relation_bias[at, head] += total[head]
            first += length


@inlined
def senders_backward(  # type: ignore[no-untyped-def]
    heads, score_width, width, is_v2, block, first_row, last_row, scratch,
    edges, query, key, value, terms, dropout, lse, delta, grad_out,
    grad_key, grad_value, grad_bias,
):  # fmt: skip
    """Write the gradients of ``key`` [M, H · Dq], ``value`` [M, H · D] and ``bias`` [M, H]; the rows are senders."""
    one = np.uintp(1)
    rowptr, col, edge_type, number = edges
    vector, relation_key, bias, relation_bias = terms
    last_edge = np.uintp(len(col) - 1)
    moved, shift, score, gain = scratch.moved, scratch.shift, scratch.score, scratch.gain
    scale = scratch.scale
    for row in range(first_row, last_row):
        grad_key[row] = 0
        grad_value[row] = 0
        if len(bias):
            grad_bias[row] = 0
        first, row_end = np.uintp(rowptr[row]), np.uintp(rowptr[row + one])
        while first < row_end:
            length, kind = chunk_length(first, row_end, edge_type)
            take_relation(key, row, kind, heads, score_width, True, relation_key, relation_bias, moved, shift)
            for place in range(length):
                node, ahead = np.uintp(col[first + place]), np.uintp(col[min(first + place + AHEAD, last_edge)])
                prefetch(query, ahead, heads * score_width)
                prefetch(grad_out, ahead, heads * width)
                prefetch(lse, ahead, heads)
                prefetch(delta, ahead, heads)
                for head in range(heads):
                    term = logit(moved, query, node, head, score_width, vector, is_v2)
                    term += shift[head] - lse[node, head]
                    score[head, place] = term + bias[row, head] if len(bias) else term
                    pull = dot(grad_out, node, head * width, value, row, head * width, width)
                    scale[head, place] = kept_scale(np.uintp(number[first + place]), head, heads, dropout)
                    gain[head, place] = scale[head, place] * pull - delta[node, head]
            for head in range(heads):
                summed = _times_exp(gain, score, head, length)
                if len(bias):
                    grad_bias[row, head] += summed
            for place in range(length):
                node = np.uintp(col[first + place])
                for head in range(heads):
                    start = head * width
                    weight = score[head, place] * scale[head, place]
                    add_scaled(grad_value, row, start, weight, grad_out, node, start, width)
                    add_slope(grad_key, row, gain[head, place], moved, query, node, head, score_width, vector, is_v2)
            first += length


@inlined
def _times_exp(gain, score, head, length):  # type: ignore[no-untyped-def]
    """Turn a head's ``score`` into exp(score), its weights, and ``gain`` into weight · gain; return the sum of that."""
    for tile in range(np.uintp(0), length, TILE):  # the last tile reaches beyond the chunk, into unused scratch
        for place in range(tile, tile + TILE):
            score[head, place] = exp(score[head, place])
            gain[head, place] *= score[head, place]
    summed = gain.dtype.type(0)
    for place in range(length):
        summed += gain[head, place]
    return summed


@inlined
def _add_vector(grad_vector, block, gain, moved, key, node, head, width, is_v2):  # type: ignore[no-untyped-def]
    """The vector's gradient, gain · leaky_relu(z), where the score has one."""
    if is_v2:
        start, heads = head * width, np.uintp(key.shape[1]) // width
        add_leaky(grad_vector, block * heads + head, 0, gain, moved, 0, start, key, node, start, width)


@inlined
def _add_chunk(  # type: ignore[no-untyped-def]
    run, total, row, kind, block, query, is_v2, relation_key, grad_query, grad_relation_key
):
    """Hand a chunk's sums to the query and the relation.

    For the dot score the run is Σ ∂logit k_j, to which the query's gradient adds Σ ∂logit · r, and the relation's is
    Σ ∂logit · q; for v2 the run is both gradients.
    """
    one, columns = query.dtype.type(1), np.uintp(query.shape[1])
    add_scaled(grad_query, row, 0, one, run, 0, 0, columns)
    if len(relation_key) == 0:
        return
    relation = block * np.uintp(len(relation_key)) + kind
    if is_v2:
        add_scaled(grad_relation_key, relation, 0, one, run, 0, 0, columns)
        return
    heads = np.uintp(len(total))
    width = columns // heads
    for head in range(heads):
        start = head * width
        add_scaled(grad_query, row, start, total[head], relation_key, kind, start, width)
        add_scaled(grad_relation_key, relation, start, total[head], query, row, start, width)
