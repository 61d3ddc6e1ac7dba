"""The three walks of attention's backward pass, ``senders``, ``receivers`` and ``relations``, as kernels.

See ``backward`` for what they compute, ``blocks`` for the dimensions (p, l, h, w) of a program's block.
"""

from __future__ import annotations

import triton
import triton.language as tl

from graphrec.sparse.triton.blocks import (
    add_biases,
    center_of,
    gather,
    kept_scales,
    load_numbers,
    load_vectors,
    scores,
    shifted_keys,
    slopes,
    store_numbers,
    store_sums,
    store_vectors,
    take_edges,
    take_pieces,
    times_vector,
)


@triton.jit(do_not_specialize=["num_pieces", "hash_first", "hash_second", "threshold"])
def senders_kernel(  # type: ignore[no-untyped-def]
    first, count, row, slot, num_pieces, col, edge_type, number, query, key, value,
    vector, scale, relation_key, bias, relation_bias, hash_first, hash_second, threshold, kept,
    grad_out, lse, delta,
    grad_key, grad_value, grad_bias, part_key, part_value, part_bias, part_vector, ds,
    H: tl.constexpr, Dq: tl.constexpr, D: tl.constexpr, PIECES: tl.constexpr, LANES: tl.constexpr,
    HEADS: tl.constexpr, SCORE: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """A row is a sender; ``number`` is an edge's number in the graph. A result that is None is not computed."""
    begin, length, own, place, there = take_pieces(first, count, row, slot, num_pieces, PIECES)
    offered = load_vectors(key, own[:, None], there[:, None], H, Dq, HEADS, SCORE)
    held = load_vectors(value, own[:, None], there[:, None], H, D, HEADS, WIDTH)
    to_key = tl.zeros((PIECES, LANES, HEADS, SCORE), tl.float32)
    to_value = tl.zeros((PIECES, LANES, HEADS, WIDTH), tl.float32)
    to_bias = tl.zeros((PIECES, LANES, HEADS), tl.float32)
    to_vector = tl.zeros((PIECES, LANES, HEADS, SCORE), tl.float32)
    longest = tl.max(length, 0)
    step = 0
    while step < longest:
        edge, here = take_edges(begin, length, step, LANES)
        node, original = gather(col, edge, here), gather(number, edge, here)
        kind = gather(edge_type, edge, here)
        asked = load_vectors(query, node, here, H, Dq, HEADS, SCORE)
        moved = shifted_keys(offered, kind, here, scale, relation_key, H, Dq, HEADS, SCORE)
        logit = scores(asked, moved, vector, H, Dq, HEADS, SCORE)
        logit = add_biases(logit, bias, own[:, None], there[:, None], relation_bias, kind, here, H, HEADS)
        # above 0 by rounding alone, which with large logits is a lot
        weight = tl.exp(tl.minimum(logit - center_of(load_numbers(lse, node, here, H, HEADS)), 0.0))
        gradient = load_vectors(grad_out, node, here, H, D, HEADS, WIDTH)
        kept_scale = kept_scales(original, hash_first, hash_second, threshold, kept, H, HEADS)
        pull = tl.sum(gradient * held, 3) * kept_scale
        change = weight * (pull - load_numbers(delta, node, here, H, HEADS))
        bent = change[:, :, :, None] * slopes(asked, moved, vector, asked)
        if ds is not None:
            store_numbers(ds, change, original, here, H, HEADS)
        if grad_value is not None:
            to_value += (weight * kept_scale)[:, :, :, None] * gradient
        if grad_key is not None:
            to_key += bent
        if grad_bias is not None:
            to_bias += change
        if part_vector is not None:
            to_vector += bent * (asked + moved)
        step += LANES

    for_key = times_vector(tl.sum(to_key, 1), vector, H, Dq, HEADS, SCORE)
    store_sums(grad_key, part_key, for_key, own, place, there, H, Dq, HEADS, SCORE)
    store_sums(grad_value, part_value, tl.sum(to_value, 1), own, place, there, H, D, HEADS, WIDTH)
    store_sums(grad_bias, part_bias, tl.sum(to_bias, 1)[:, :, None], own, place, there, H, 1, HEADS, 1)
    if part_vector is not None:
        program = tl.program_id(0).to(tl.int64) + tl.zeros((1,), tl.int64)
        for_vector = tl.sum(tl.sum(to_vector, 1), 0)[None, :, :]
        store_vectors(part_vector, for_vector, program, program >= 0, H, Dq, HEADS, SCORE)


@triton.jit(do_not_specialize=["num_pieces"])
def receivers_kernel(  # type: ignore[no-untyped-def]
    first, count, row, slot, num_pieces, col, edge_type, query, key, vector, scale, relation_key, ds,
    grad_query, part_query,
    H: tl.constexpr, Dq: tl.constexpr, PIECES: tl.constexpr, LANES: tl.constexpr, HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
):  # fmt: skip
    """A row is a receiver: Σ ds · ∂s/∂q over its edges."""
    begin, length, own, place, there = take_pieces(first, count, row, slot, num_pieces, PIECES)
    asked = load_vectors(query, own[:, None], there[:, None], H, Dq, HEADS, WIDTH)
    total = tl.zeros((PIECES, LANES, HEADS, WIDTH), tl.float32)
    longest = tl.max(length, 0)
    step = 0
    while step < longest:
        edge, here = take_edges(begin, length, step, LANES)
        node, kind = gather(col, edge, here), gather(edge_type, edge, here)
        offered = load_vectors(key, node, here, H, Dq, HEADS, WIDTH)
        moved = shifted_keys(offered, kind, here, scale, relation_key, H, Dq, HEADS, WIDTH)
        change = load_numbers(ds, edge, here, H, HEADS)
        total += change[:, :, :, None] * slopes(asked, moved, vector, moved)
        step += LANES
    for_query = times_vector(tl.sum(total, 1), vector, H, Dq, HEADS, WIDTH)
    store_sums(grad_query, part_query, for_query, own, place, there, H, Dq, HEADS, WIDTH)


@triton.jit(do_not_specialize=["num_pieces"])
def relations_kernel(  # type: ignore[no-untyped-def]
    first, count, row, slot, num_pieces, listed, receiver, col, query, key, vector, relation_key, ds,
    grad_key, grad_bias, part_key, part_bias,
    H: tl.constexpr, Dq: tl.constexpr, PIECES: tl.constexpr, LANES: tl.constexpr, HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
):  # fmt: skip
    """A row is a relation, ``listed`` its edges: Σ ds · ∂s/∂r and Σ ds."""
    begin, length, own, place, there = take_pieces(first, count, row, slot, num_pieces, PIECES)
    if grad_key is not None:
        relation = load_vectors(relation_key, own[:, None], there[:, None], H, Dq, HEADS, WIDTH)
    to_key = tl.zeros((PIECES, LANES, HEADS, WIDTH), tl.float32)
    to_bias = tl.zeros((PIECES, LANES, HEADS), tl.float32)
    longest = tl.max(length, 0)
    step = 0
    while step < longest:
        at, here = take_edges(begin, length, step, LANES)
        edge = gather(listed, at, here)
        change = load_numbers(ds, edge, here, H, HEADS)
        to_bias += change
        if grad_key is not None:
            asked = load_vectors(query, gather(receiver, edge, here), here, H, Dq, HEADS, WIDTH)
            offered = load_vectors(key, gather(col, edge, here), here, H, Dq, HEADS, WIDTH)
            to_key += change[:, :, :, None] * slopes(asked, offered + relation, vector, asked)
        step += LANES
    for_key = times_vector(tl.sum(to_key, 1), vector, H, Dq, HEADS, WIDTH)
    store_sums(grad_key, part_key, for_key, own, place, there, H, Dq, HEADS, WIDTH)
    store_sums(grad_bias, part_bias, tl.sum(to_bias, 1)[:, :, None], own, place, there, H, 1, HEADS, 1)
