"""The sparse product: each program adds up the vectors that several rows' pieces receive.

N rows, M columns, E edges, W width.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphrec.sparse.triton.blocks import gather, load_vectors, store_sums, take_edges, take_pieces
from graphrec.sparse.triton.pieces import WARPS, Pieces, pieces_of, tiling


def spmm(rowptr: Tensor, col: Tensor, value: Tensor | None, x: Tensor, dtype: torch.dtype) -> Tensor:
    """As ``graphrec.sparse.triton.spmm``."""
    out = x.new_empty(len(rowptr) - 1, x.shape[1], dtype=dtype)
    sum_rows(pieces_of(rowptr), col, value, x.contiguous(), out)
    return out


def sum_rows(pieces: Pieces, col: Tensor | None, value: Tensor | None, x: Tensor, out: Tensor) -> None:
    """Write Σ_e value_e x_e over the edges of each row into ``out`` [N, …]; the rows that ``pieces`` lacks stay.

    Args:
        pieces: of the rows.
        col: int32 [E], the row of ``x`` for each edge; the edge's number where None.
        value: float [E] or None, which counts as 1.
        x: [M, …], contiguous, the trailing dimensions those of ``out``.
        out: contiguous.
    """
    width = out.shape[1:].numel()
    block = tiling(1, width)
    part = None if pieces.hubs is None else torch.empty(pieces.num_slots, width, device=x.device)
    _sum_rows[pieces.grid(block)](*pieces.tensors(), col, value, x, out, part, W=width, **block, num_warps=WARPS)
    if pieces.hubs is not None:
        assert part is not None
        sum_rows(pieces.hubs, None, None, part, out)


@triton.jit(do_not_specialize=["num_pieces"])
def _sum_rows(  # type: ignore[no-untyped-def]
    first, count, row, slot, num_pieces, col, value, x, out, part,
    W: tl.constexpr, PIECES: tl.constexpr, LANES: tl.constexpr, HEADS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    begin, length, own, place, there = take_pieces(first, count, row, slot, num_pieces, PIECES)
    # every lane has a sum of its own, so that nothing is exchanged between threads before the end
    total = tl.zeros((PIECES, LANES, HEADS, WIDTH), tl.float32)
    longest = tl.max(length, 0)
    step = 0
    while step < longest:
        edge, here = take_edges(begin, length, step, LANES)
        sent = load_vectors(x, gather(col, edge, here), here, 1, W, HEADS, WIDTH)
        if value is not None:
            sent *= tl.load(value + edge, mask=here, other=0.0).to(tl.float32)[:, :, None, None]
        total += sent
        step += LANES
    store_sums(out, part, tl.sum(total, 1), own, place, there, 1, W, HEADS, WIDTH)
