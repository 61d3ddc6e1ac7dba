"""What the forward and both backward passes of attention share: logits of a row's edges, dropout, relations.

All indices are unsigned, for then nobody asks whether they count from the end; unsigned and signed do not mix (numba
would make floats of them).

A pass walks rows: "own" is the row's side of an edge, "other" the side it gathers. The forward pass and the queries'
backward own queries and gather keys; the senders' backward, on the transpose, owns keys and gathers queries. A row's
edges are taken in chunks of one type and at most ``CHUNK`` edges, so that scratch does not grow with the graph.

Matrices are [nodes, H · Dq] or [nodes, H · D]; numbers per edge of a chunk are [H, CHUNK].
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from graphrec.sparse.cpu.gather import gather_add, gather_add_slope, gather_dot, gather_leaky_dot
from graphrec.sparse.cpu.vector import AHEAD, add_scaled, dot, inlined

CHUNK = np.uintp(128)  # a multiple of LANES


class Edges(NamedTuple):
    """A CSR, or its transpose."""

    rowptr: np.ndarray
    col: np.ndarray
    edge_type: np.ndarray  # [0]: all edges are of one type
    number: np.ndarray  # on the transpose, each edge's number in the CSR, which the dropout hash counts; else [0]


class Terms(NamedTuple):
    """The optional parts of a logit; an array of no rows stands for one that was not given."""

    vector: np.ndarray  # [1, H · Dq], for v2 alone
    scale: np.ndarray  # [1, H], for dot alone
    relation_key: np.ndarray  # [R, H · Dq]
    bias: np.ndarray  # [M, H]
    relation_bias: np.ndarray  # [R, H]


class Dropout(NamedTuple):
    """Constants of the hash; see ``reference.keep_mask``."""

    first: np.uint32
    second: np.uint32
    threshold: np.uint32  # 0: nothing is dropped
    kept: np.floating[Any]  # 1 / (1 − p)
    dropped: np.floating[Any]  # 0 of the same type


class Scratch(NamedTuple):
    """What a thread needs while it works on one row."""

    moved: np.ndarray  # [1, H · Dq], own side as it meets the other
    run: np.ndarray  # [1, H · Dq], a gradient being added up
    shift: np.ndarray  # [H], what all logits of a chunk share
    largest: np.ndarray  # [H], largest logit of a row so far
    total: np.ndarray  # [H]
    score: np.ndarray  # [H, CHUNK], logits, then weights
    gain: np.ndarray  # [H, CHUNK], gradients of the weights, then of the logits

    @classmethod
    def empty(cls, heads: int, score_width: int, dtype: np.dtype[Any]) -> Scratch:
        rows, numbers = ((1, heads * score_width),) * 2, ((heads,),) * 3
        return cls(*(np.empty(shape, dtype) for shape in (*rows, *numbers, *((heads, CHUNK),) * 2)))


@inlined
def chunk_length(first, row_end, edge_type):  # type: ignore[no-untyped-def]
    """How many of a row's edges, from edge ``first`` on, make a chunk, and their type; types rise along a row."""
    most = min(CHUNK, row_end - first)
    if len(edge_type) == 0:
        return most, np.uintp(0)
    kind = edge_type[first]
    if edge_type[first + most - np.uintp(1)] == kind:
        return most, np.uintp(kind)
    length = np.uintp(1)
    while edge_type[first + length] == kind:
        length += np.uintp(1)
    return length, np.uintp(kind)


@inlined
def meet_keys(query, row, kind, heads, width, is_v2, terms, moved, shift):  # type: ignore[no-untyped-def]
    """Prepare a query for the keys of one type: s of an edge is ⟨moved, k⟩ + shift, or v2's function of moved + k.

    For the dot score ``moved`` is scale · q and ``shift`` has ⟨q, r⟩; for v2 ``moved`` is q + r.
    """
    _set_shift(kind, heads, terms, shift)
    moved[0] = 0
    for head in range(heads):
        start = head * width
        add_scaled(moved, 0, start, scale_of(terms.scale, head, query), query, row, start, width)
        if len(terms.relation_key) and is_v2:
            add_scaled(moved, 0, start, query.dtype.type(1), terms.relation_key, kind, start, width)
        elif len(terms.relation_key):
            shift[head] += dot(query, row, start, terms.relation_key, kind, start, width)


@inlined
def meet_queries(key, row, kind, heads, width, terms, moved, shift):  # type: ignore[no-untyped-def]
    """Prepare a key for the queries of one type: s of an edge is ⟨moved, q⟩, or v2's function of moved + q.

    ``moved`` is scale · k + r.
    """
    _set_shift(kind, heads, terms, shift)
    moved[0] = 0
    for head in range(heads):
        start = head * width
        add_scaled(moved, 0, start, scale_of(terms.scale, head, key), key, row, start, width)
        if len(terms.relation_key):
            add_scaled(moved, 0, start, key.dtype.type(1), terms.relation_key, kind, start, width)


@inlined
def _set_shift(kind, heads, terms, shift):  # type: ignore[no-untyped-def]
    """Set ``shift`` to the relation's bias."""
    for head in range(heads):
        shift[head] = terms.relation_bias[kind, head] if len(terms.relation_bias) else shift.dtype.type(0)


@inlined
def scale_of(scale, head, like):  # type: ignore[no-untyped-def]
    """The dot score's factor, 1 where none is given, in the type of ``like``."""
    return scale[0, head] if len(scale) else like.dtype.type(1)


@inlined
def ahead_of(col, first, place):  # type: ignore[no-untyped-def]
    """The column whose row to prefetch while edge ``first + place`` is worked on."""
    return np.uintp(col[min(first + place + AHEAD, np.uintp(len(col)) - np.uintp(1))])


@inlined
def scores_of(heads, width, is_v2, moved, other, col, first, length, vector, shift, score):  # type: ignore[no-untyped-def]
    """Set ``score`` to a chunk's logits without the senders' biases, from the prepared own side and the other."""
    if is_v2:
        gather_leaky_dot(score, vector, moved, other, col, first, length, heads, width)
    else:
        gather_dot(score, moved, np.uintp(0), other, col, first, length, heads, width)
    for head in range(heads):
        for place in range(length):
            score[head, place] += shift[head]


@inlined
def slopes_of(heads, width, is_v2, moved, other, col, first, length, vector, gain, run):  # type: ignore[no-untyped-def]
    """Set ``run`` [1, H · Dq] to Σ gain · ∂s/∂(moved + other) over a chunk; for the dot score, Σ gain · other."""
    run[0] = 0
    if not is_v2:
        gather_add(run, np.uintp(0), gain, other, col, first, length, heads, width)
        return
    gather_add_slope(run, np.uintp(0), gain, moved, other, col, first, length, heads, width)
    for place in range(heads * width):
        run[0, place] *= vector[0, place]


@inlined
def kept_scale(edge, head, heads, dropout):  # type: ignore[no-untyped-def]
    """m of one edge and head: 0 where dropout takes it, else 1 / (1 − p); as ``reference.keep_mask``."""
    if dropout.threshold == 0:
        return dropout.kept
    counter = edge * heads + head
    hashed = _mix(np.uint32(counter) ^ dropout.first)
    hashed = _mix(hashed + np.uint32(counter >> np.uintp(32)) + dropout.second)
    return dropout.kept if hashed >= dropout.threshold else dropout.dropped


@inlined
def _mix(number):  # type: ignore[no-untyped-def]
    number = np.uint32(number)
    number = np.uint32((number ^ (number >> np.uint32(16))) * np.uint32(0x7FEB352D))
    number = np.uint32((number ^ (number >> np.uint32(15))) * np.uint32(0x846CA68B))
    return np.uint32(number ^ (number >> np.uint32(16)))
