"""Attention's backward pass on the CPU, from the saved log-sum-exp: no weight is stored between the passes.

With α = exp(logit − lse_i), g the gradient of out and m dropout's factor,

    ∂logit = α (m ⟨g_i, value_j⟩ − δ_i),   δ_i = ⟨g_i, out_i⟩ − ∂lse_i,   ∂value_j = Σ_i α m g_i.

One walk over the transpose gathers q_i, g_i, lse_i and δ_i for each sender j. With z = q_i + k_j + r_t, the vector
∂s/∂z is the gradient of the key and of the relation's key alike, so that walk gives every gradient but the queries'.
Theirs, where they are wanted, come from the ∂logit that it leaves behind: one number an edge and head.
"""

from __future__ import annotations

import numpy as np

from graphrec.sparse.cpu.chunks import weigh_gain
from graphrec.sparse.cpu.gather import gather_add, gather_add_leaky, gather_columns, gather_dot
from graphrec.sparse.cpu.scores import (
    ahead_of,
    chunk_length,
    kept_scale,
    meet_keys,
    meet_queries,
    scale_of,
    scores_of,
    slopes_of,
)
from graphrec.sparse.cpu.vector import add_scaled, dot, inlined, prefetch


@inlined
def softmax_rows(heads, width, first_row, last_row, out, grad_out, grad_lse, lse, saved):  # type: ignore[no-untyped-def]
    """Write lse and δ side by side, ``saved`` [N, 2 · H], for they are gathered together."""
    for row in range(first_row, last_row):
        for head in range(heads):
            start = head * width
            saved[row, head] = lse[row, head]
            saved[row, heads + head] = dot(grad_out, row, start, out, row, start, width) - grad_lse[row, head]


@inlined
def senders_backward(  # type: ignore[no-untyped-def]
    heads, score_width, width, is_v2, block, first_row, last_row, scratch,
    edges, query, key, value, terms, dropout, saved, grad_out,
    grad_key, grad_value, grad_logit, grads,
):  # fmt: skip
    """Write the gradients of ``key`` [M, H · Dq] and ``value`` [M, H · D]; the rows are senders.

    Gradients without rows are not wanted. ``grad_logit`` [E, H] gets ∂logit in the order of the graph's edges.
    ``grads``, zeros at first, are like ``terms``: the bias has a row a sender, the others a part for each block.
    """
    one = np.uintp(1)
    rowptr, col = edges.rowptr, edges.col
    for row in range(first_row, last_row):
        grad_value[row] = 0
        if len(grad_key):
            grad_key[row] = 0
        first, row_end = np.uintp(rowptr[row]), np.uintp(rowptr[row + one])
        while first < row_end:
            length, kind = chunk_length(first, row_end, edges.edge_type)
            for place in range(length):
                ahead = ahead_of(col, first, place)
                prefetch(query, ahead, heads * score_width)
                prefetch(grad_out, ahead, heads * width)
                prefetch(saved, ahead, heads + heads)
            meet_queries(key, row, kind, heads, score_width, terms, scratch.moved, scratch.shift)
            _logits(heads, score_width, is_v2, row, col, first, length, scratch, query, terms, saved)
            gather_dot(scratch.gain, value, row, grad_out, col, first, length, heads, width)
            _drop(scratch.gain, heads, first, length, edges.number, dropout)
            gather_columns(scratch.gain, value.dtype.type(-1), saved, heads, col, first, length, heads)
            for head in range(heads):
                scratch.total[head] = weigh_gain(scratch.score, head, length, scratch.gain)
            _drop(scratch.score, heads, first, length, edges.number, dropout)
            gather_add(grad_value, row, scratch.score, grad_out, col, first, length, heads, width)
            if len(grad_logit):
                _keep(scratch.gain, heads, first, length, edges.number, grad_logit)
            if len(grad_key) + len(grads.relation_key) + len(grads.scale):
                moved, gain, run = scratch.moved, scratch.gain, scratch.run
                slopes_of(heads, score_width, is_v2, moved, query, col, first, length, terms.vector, gain, run)
            _add_chunk(
                row, kind, block, heads, score_width, col, first, length, scratch, query, key, terms, grad_key, grads
            )
            first += length


@inlined
def _logits(heads, width, is_v2, row, col, first, length, scratch, query, terms, saved):  # type: ignore[no-untyped-def]
    """Set the scores of a chunk to logit − lse."""
    moved, shift, score = scratch.moved, scratch.shift, scratch.score
    for head in range(heads):
        if len(terms.bias):
            shift[head] += terms.bias[row, head]
    scores_of(heads, width, is_v2, moved, query, col, first, length, terms.vector, shift, score)
    gather_columns(score, score.dtype.type(-1), saved, np.uintp(0), col, first, length, heads)


@inlined
def _drop(numbers, heads, first, length, number, dropout):  # type: ignore[no-untyped-def]
    """Multiply a chunk's numbers by dropout's factors."""
    if dropout.threshold != 0:
        for place in range(length):
            edge = np.uintp(number[first + place])
            for head in range(heads):
                numbers[head, place] *= kept_scale(edge, head, heads, dropout)


@inlined
def _keep(gain, heads, first, length, number, grad_logit):  # type: ignore[no-untyped-def]
    """Write a chunk's ∂logit to where its edges stand in the graph."""
    for place in range(length):
        edge = np.uintp(number[first + place])
        for head in range(heads):
            grad_logit[edge, head] = gain[head, place]


@inlined
def _add_chunk(  # type: ignore[no-untyped-def]
    row, kind, block, heads, width, col, first, length, scratch, query, key, terms, grad_key, grads
):
    """Hand a chunk's sums, ``run`` = Σ ∂logit ∂s/∂z and ``total`` = Σ ∂logit, to the key and the terms."""
    run, total, one = scratch.run, scratch.total, key.dtype.type(1)
    if len(grads.vector):
        gather_add_leaky(grads.vector, block, scratch.gain, scratch.moved, query, col, first, length, heads, width)
    if len(grads.relation_key):
        relation = block * np.uintp(len(terms.relation_key)) + kind
        add_scaled(grads.relation_key, relation, 0, one, run, 0, 0, heads * width)
    for head in range(heads):
        start = head * width
        if len(grad_key):
            add_scaled(grad_key, row, start, scale_of(terms.scale, head, key), run, 0, start, width)
        if len(grads.scale):
            grads.scale[block, head] += dot(run, 0, start, key, row, start, width)
        if len(grads.bias):
            grads.bias[row, head] += total[head]
        if len(grads.relation_bias):
            grads.relation_bias[block * np.uintp(len(terms.relation_bias)) + kind, head] += total[head]


@inlined
def queries_backward(  # type: ignore[no-untyped-def]
    heads, score_width, is_v2, first_row, last_row, scratch,
    edges, query, key, terms, grad_logit, grad_query,
):  # fmt: skip
    """Write the gradient of ``query`` [N, H · Dq] from ``grad_logit`` [E, H]."""
    one = np.uintp(1)
    rowptr, col = edges.rowptr, edges.col
    moved, shift, run, total, gain = scratch.moved, scratch.shift, scratch.run, scratch.total, scratch.gain
    for row in range(first_row, last_row):
        grad_query[row] = 0
        first, row_end = np.uintp(rowptr[row]), np.uintp(rowptr[row + one])
        while first < row_end:
            length, kind = chunk_length(first, row_end, edges.edge_type)
            total[:] = 0
            for place in range(length):
                prefetch(key, ahead_of(col, first, place), heads * score_width)
                for head in range(heads):
                    gain[head, place] = grad_logit[first + place, head]
                    total[head] += gain[head, place]
            meet_keys(query, row, kind, heads, score_width, is_v2, terms, moved, shift)
            slopes_of(heads, score_width, is_v2, moved, key, col, first, length, terms.vector, gain, run)
            for head in range(heads):
                start = head * score_width
                add_scaled(grad_query, row, start, scale_of(terms.scale, head, query), run, 0, start, score_width)
                if len(terms.relation_key) and not is_v2:
                    add_scaled(grad_query, row, start, total[head], terms.relation_key, kind, start, score_width)
            first += length
