"""The sparse product on the CPU.

N rows, M columns, E edges, W width.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from torch import Tensor

from graphrec.sparse.cpu.threads import for_each_block
from graphrec.sparse.cpu.vector import (
    AHEAD,
    FLAGS,
    INT,
    LANES,
    Matrix,
    emit_prefetch,
    kernel,
    load_masked,
    load_vector,
    spread,
    store_masked,
    store_vector,
)

TILE = 8  # vectors of a row that stay in registers


def spmm(rowptr: Tensor, col: Tensor, value: Tensor | None, x: Tensor, plus: Tensor | None = None) -> Tensor:
    """out_i = plus_i + Σ_e value_e x_j over the edges e = (i ← j) of row i, float [N, W]."""
    out = torch.empty(len(rowptr) - 1, x.shape[1], dtype=x.dtype)
    weight = x.new_empty(0) if value is None else value.to(x.dtype)
    start = x.new_empty(0, 0) if plus is None else plus.contiguous()
    arrays = (tensor.numpy() for tensor in (rowptr, col, weight, x.contiguous(), start, out))
    for_each_block(_spmm, rowptr.numpy(), tuple, *arrays)
    return out


@kernel
def _spmm(block, first_row, last_row, scratch, rowptr, col, weight, x, plus, out):  # type: ignore[no-untyped-def]
    one = np.uintp(1)
    for row in range(first_row, last_row):
        _sum_row(out, row, plus, weight, x, col, np.uintp(rowptr[row]), np.uintp(rowptr[row + one]))


@intrinsic
def _sum_row(typingctx, out, row, plus, weight, x, col, first, last):  # type: ignore[no-untyped-def]
    """out[row] = plus[row] + Σ_e weight[e] · x[col[e]] over edges first .. last; empty arrays count as 0 and as 1."""
    number = types.uintp
    return types.void(out, number, plus, weight, x, col, number, number), _emit_sum_row


def _emit_sum_row(context, builder, signature, args):  # type: ignore[no-untyped-def]
    walk = _Row(context, builder, signature, args)
    with cgutils.for_range_slice(builder, INT(0), walk.out.columns, INT(TILE * LANES)) as (tile, _):
        left = builder.sub(walk.out.columns, tile)
        whole = builder.icmp_unsigned(">=", left, INT(TILE * LANES))
        with builder.if_else(whole) as (then, otherwise):
            with then:
                walk.sum_tile(tile, None)
            with otherwise:
                walk.sum_tile(tile, left)
    return context.get_dummy_value()


class _Row:
    """One row's sum, ``TILE`` vectors at a time; the arguments are those of ``_sum_row``."""

    def __init__(self, context: Any, builder: Any, signature: Any, args: Any) -> None:
        self.builder = builder
        self.out, self.plus, self.x = (
            Matrix(context, builder, signature.args[place], args[place]) for place in (0, 2, 4)
        )
        self.weight, self.col = (
            context.make_array(signature.args[place])(context, builder, args[place]) for place in (3, 5)
        )
        self.row, self.first, self.last = args[1], args[6], args[7]

    def sum_tile(self, tile: Any, left: Any) -> None:
        """The columns from ``tile`` on, ``left`` of them, or all ``TILE`` vectors where that is None."""
        builder, x = self.builder, self.x
        columns = [builder.add(tile, INT(LANES * number)) for number in range(TILE)]
        zeros = ir.Constant(ir.VectorType(x.item, LANES), None)
        sums = [cgutils.alloca_once_value(builder, zeros) for _ in columns]
        with builder.if_then(builder.icmp_unsigned("!=", self.plus.columns, INT(0))):
            for number, (total, column) in enumerate(zip(sums, columns, strict=True)):
                builder.store(self._load(self.plus.row(self.row, column), left, number), total)
        with cgutils.for_range_slice(builder, self.first, self.last, INT(1)) as (edge, _):
            size = INT(TILE * LANES) if left is None else left
            emit_prefetch(builder, x.row(self._ahead_of(edge), tile), builder.mul(size, INT(x.size)))
            scales, sender = spread(builder, self._weight_of(edge)), self._sender_of(edge)
            for number, (total, column) in enumerate(zip(sums, columns, strict=True)):
                added = builder.fmul(scales, self._load(x.row(sender, column), left, number), flags=FLAGS)
                builder.store(builder.fadd(builder.load(total), added, flags=FLAGS), total)
        for number, (total, column) in enumerate(zip(sums, columns, strict=True)):
            pointer = self.out.row(self.row, column)
            if left is None:
                store_vector(builder, builder.load(total), pointer, x.size)
            else:
                store_masked(builder, builder.load(total), pointer, self._beyond(left, number), x.size)

    def _load(self, pointer: Any, left: Any, number: int) -> Any:
        if left is None:
            return load_vector(self.builder, pointer, self.x.size)
        return load_masked(self.builder, pointer, self._beyond(left, number), self.x.size)

    def _beyond(self, left: Any, number: int) -> Any:
        """How many of ``left`` columns remain for a tile's vectors from that number on."""
        skipped = INT(LANES * number)
        some = self.builder.icmp_unsigned(">", left, skipped)
        return self.builder.select(some, self.builder.sub(left, skipped), INT(0))

    def _sender_of(self, edge: Any) -> Any:
        return self.builder.zext(self.builder.load(self.builder.gep(self.col.data, [edge])), INT)

    def _ahead_of(self, edge: Any) -> Any:
        """The sender of a later edge, whose row is to be fetched."""
        ahead, final = self.builder.add(edge, INT(int(AHEAD))), self.builder.sub(self.col.nitems, INT(1))
        return self._sender_of(self.builder.select(self.builder.icmp_unsigned("<", ahead, final), ahead, final))

    def _weight_of(self, edge: Any) -> Any:
        weight = cgutils.alloca_once_value(self.builder, ir.Constant(self.x.item, 1.0))
        with self.builder.if_then(self.builder.icmp_unsigned("!=", self.weight.nitems, INT(0))):
            self.builder.store(self.builder.load(self.builder.gep(self.weight.data, [edge])), weight)
        return self.builder.load(weight)
