"""Attention's forward pass: one walk over each row's edges with a running maximum (Milakov & Gimelshein 2018).

A hub's pieces are merged by attention itself: a piece is a node whose logit is its log-sum-exp and whose value is its
output, for out_i = Σ_p exp(lse_p − lse_i) out_p and lse_i = ln Σ_p exp(lse_p).

N rows, M columns, E edges, H heads, D width of a value, Dq width of a query and a key, R relations.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphrec.sparse.reference import dropout_constants
from graphrec.sparse.terms import Graph, Terms
from graphrec.sparse.triton.blocks import (
    add_biases,
    center_of,
    gather,
    kept_scales,
    load_vectors,
    scores,
    shifted_keys,
    store_sums,
    take_edges,
    take_pieces,
)
from graphrec.sparse.triton.pieces import WARPS, Pieces, pieces_of, tiling

Dropout = tuple[int, int, int, float] | tuple[None, None, None, None]
NO_DROPOUT: Dropout = (None, None, None, None)


def dropout_of(dropout: float, seed: int) -> Dropout:
    """Constants of the hash and 1 / (1 − p) as the kernels take them; a dropout of 0 costs nothing.

    The hash's 32-bit numbers come as signed ones, for Triton would compile another kernel for a larger integer.
    """
    if dropout == 0:
        return NO_DROPOUT
    first, second, threshold = (n - 2**32 if n >= 2**31 else n for n in dropout_constants(dropout, seed))
    return first, second, threshold, 1 / (1 - dropout)


def attend(
    graph: Graph, query: Tensor, key: Tensor, value: Tensor, terms: Terms, dropout: float, seed: int
) -> tuple[Tensor, Tensor]:
    """As ``graphrec.sparse.triton.attend``; all tensors contiguous."""
    rowptr, col, edge_type = graph
    num_rows, heads, _ = query.shape
    out = query.new_empty(num_rows, heads, value.shape[2])
    lse = torch.empty(num_rows, heads, device=query.device)
    hashed = dropout_of(dropout, seed)
    _attend_pieces(pieces_of(rowptr), col, edge_type, query, key, value, terms, hashed, out, lse)
    return out, lse


def _attend_pieces(
    pieces: Pieces,
    col: Tensor | None,
    edge_type: Tensor | None,
    query: Tensor | None,
    key: Tensor | None,
    value: Tensor,
    terms: Terms,
    dropout: Dropout,
    out: Tensor,
    lse: Tensor,
) -> None:
    """Write ``out`` [N, H, D] and ``lse`` [N, H] of the rows in ``pieces``; without ``col``, edge e sends value e."""
    _, heads, width = out.shape
    score_width = 1 if key is None else key.shape[2]
    block = tiling(heads, width, score_width)
    part_out = part_lse = None
    if pieces.hubs is not None:
        part_out = torch.empty(pieces.num_slots, heads, width, device=out.device)
        part_lse = torch.empty(pieces.num_slots, heads, device=out.device)
    _attend[pieces.grid(block)](
        *pieces.tensors(), col, edge_type, query, key, value, *terms, *dropout, out, lse, part_out, part_lse,
        H=heads, Dq=score_width, D=width, **block, num_warps=WARPS,
    )  # fmt: skip
    if pieces.hubs is not None:
        assert part_out is not None
        merged = Terms(bias=part_lse)
        _attend_pieces(pieces.hubs, None, None, None, None, part_out, merged, NO_DROPOUT, out, lse)


@triton.jit(do_not_specialize=["num_pieces", "hash_first", "hash_second", "threshold"])
def _attend(  # type: ignore[no-untyped-def]
    first, count, row, slot, num_pieces, col, edge_type, query, key, value,
    vector, scale, relation_key, bias, relation_bias, hash_first, hash_second, threshold, kept,
    out, lse, part_out, part_lse,
    H: tl.constexpr, Dq: tl.constexpr, D: tl.constexpr, PIECES: tl.constexpr, LANES: tl.constexpr,
    HEADS: tl.constexpr, SCORE: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    begin, length, own, place, there = take_pieces(first, count, row, slot, num_pieces, PIECES)
    # every lane keeps a softmax of its own, so that nothing is exchanged between threads before the end
    peak = tl.full((PIECES, LANES, HEADS), float("-inf"), tl.float32)
    total = tl.zeros((PIECES, LANES, HEADS), tl.float32)
    received = tl.zeros((PIECES, LANES, HEADS, WIDTH), tl.float32)
    if key is not None:
        asked = load_vectors(query, own[:, None], there[:, None], H, Dq, HEADS, SCORE)
    longest = tl.max(length, 0)
    step = 0
    while step < longest:
        edge, here = take_edges(begin, length, step, LANES)
        node = gather(col, edge, here)
        kind = gather(edge_type, edge, here)
        logit = tl.zeros((PIECES, LANES, HEADS), tl.float32)
        if key is not None:
            offered = load_vectors(key, node, here, H, Dq, HEADS, SCORE)
            offered = shifted_keys(offered, kind, here, scale, relation_key, H, Dq, HEADS, SCORE)
            logit += scores(asked, offered, vector, H, Dq, HEADS, SCORE)
        logit = add_biases(logit, bias, node, here, relation_bias, kind, here, H, HEADS)

        higher = tl.maximum(peak, logit)
        center = center_of(higher)
        faded, weight = tl.exp(peak - center), tl.exp(logit - center)
        total = total * faded + weight
        weight *= kept_scales(edge, hash_first, hash_second, threshold, kept, H, HEADS)
        sent = load_vectors(value, node, here, H, D, HEADS, WIDTH)
        received = received * faded[:, :, :, None] + weight[:, :, :, None] * sent
        peak = higher
        step += LANES

    highest = tl.max(peak, 1)
    center = center_of(highest)
    share = tl.exp(peak - center[:, None, :])
    summed = tl.sum(total * share, 1)
    divisor = tl.where(summed == 0, 1.0, summed)  # a row without edges stays 0
    result = tl.sum(received * share[:, :, :, None], 1) / divisor[:, :, None]
    logsumexp = tl.where(summed == 0, float("-inf"), center + tl.log(divisor))

    store_sums(out, part_out, result, own, place, there, H, D, HEADS, WIDTH)
    store_sums(lse, part_lse, logsumexp[:, :, None], own, place, there, H, 1, HEADS, 1)
