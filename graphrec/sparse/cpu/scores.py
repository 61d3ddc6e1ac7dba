"""What the forward and both backward passes of attention share: logits of a row's edges, dropout, relations.

All indices are unsigned, for then nobody asks whether they count from the end; unsigned and signed do not mix (numba
would make floats of them).

A pass walks rows: "own" is the row's side of an edge, "other" the side it gathers. The forward pass and the receivers'
backward own queries and gather keys; the senders' backward, on the transpose, owns keys and gathers queries. A row's
edges are taken in chunks of one type and at most ``CHUNK`` edges, so that scratch does not grow with the graph.

Matrices are [nodes, H · Dq] or [nodes, H · D]; numbers per edge of a chunk are [H, CHUNK].
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from graphrec.sparse.cpu.vector import add_leaky_slope, add_scaled, dot, inlined, leaky_dot

CHUNK = np.uintp(128)
TILE = np.uintp(16)  # CHUNK is a multiple


class Edges(NamedTuple):
    """A CSR, or its transpose."""

    rowptr: np.ndarray
    col: np.ndarray
    edge_type: np.ndarray  # [0]: all edges are of one type
    number: np.ndarray  # on the transpose, each edge's number in the CSR, which the dropout hash counts; else [0]


class Terms(NamedTuple):
    """The optional parts of a logit; an array of no rows stands for one that was not given."""

    vector: np.ndarray  # [H, Dq] for v2, [0, Dq] for dot
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

    moved: np.ndarray  # [1, H · Dq], own side plus relation key
    run: np.ndarray  # [1, H · Dq], a gradient being added up
    shift: np.ndarray  # [H]
    peak: np.ndarray  # [H], largest logit of a chunk
    largest: np.ndarray  # [H], largest logit of a row so far
    total: np.ndarray  # [H]
    score: np.ndarray  # [H, CHUNK], logits, then weights
    gain: np.ndarray  # [H, CHUNK], gradients of the weights, then of the logits
    scale: np.ndarray  # [H, CHUNK], m

    @classmethod
    def empty(cls, heads: int, score_width: int, dtype: np.dtype[Any]) -> Scratch:
        rows, numbers = ((1, heads * score_width),) * 2, ((heads,),) * 4
        return cls(*(np.empty(shape, dtype) for shape in (*rows, *numbers, *((heads, CHUNK),) * 3)))


@inlined
def chunk_length(first, row_end, edge_type):  # type: ignore[no-untyped-def]
    """How many of a row's edges, from edge ``first`` on, make a chunk, and their type."""
    most = min(CHUNK, row_end - first)
    if len(edge_type) == 0:
        return most, np.uintp(0)
    kind = edge_type[first]
    length = np.uintp(1)
    while length < most and edge_type[first + length] == kind:
        length += np.uintp(1)
    return length, np.uintp(kind)


@inlined
def take_relation(  # type: ignore[no-untyped-def]
    own, row, kind, heads, width, adds_key, relation_key, relation_bias, moved, shift
):
    """Prepare for the edges of one row and type: ``moved`` [1, H · Dq] is own + r, ``shift`` [H] what all logits share.

    Without ``adds_key``, for the dot score on the queries' side, ⟨q, k + r⟩ = ⟨q, k⟩ + ⟨q, r⟩: r goes into ``shift``.
    """
    one, columns = own.dtype.type(1), heads * width
    has_key = len(relation_key) > 0
    moved[0] = 0
    add_scaled(moved, 0, 0, one, own, row, 0, columns)
    if has_key and adds_key:
        add_scaled(moved, 0, 0, one, relation_key, kind, 0, columns)
    for head in range(heads):
        shift[head] = relation_bias[kind, head] if len(relation_bias) else own.dtype.type(0)
        if has_key and not adds_key:
            shift[head] += dot(own, row, head * width, relation_key, kind, head * width, width)


@inlined
def logit(moved, other, node, head, width, vector, is_v2):  # type: ignore[no-untyped-def]
    """s of one edge and head, from the prepared own side and the gathered other."""
    start = head * width
    if not is_v2:
        return dot(moved, 0, start, other, node, start, width)
    return leaky_dot(vector, head, 0, moved, 0, start, other, node, start, width)


@inlined
def add_slope(out, row, gain, moved, other, node, head, width, vector, is_v2):  # type: ignore[no-untyped-def]
    """out[row] += gain · ∂s / ∂(moved + other) of one edge and head; for the dot score, gain · other."""
    start = head * width
    if not is_v2:
        add_scaled(out, row, start, gain, other, node, start, width)
    else:
        add_leaky_slope(out, row, start, gain, vector, head, 0, moved, 0, start, other, node, start, width)


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
