"""The sparse product on the CPU.

N rows, M columns, E edges, W width.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from torch import Tensor

from graphrec.sparse.cpu.memory import empty
from graphrec.sparse.cpu.threads import for_each_block, most_work
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
    narrow,
    spread,
    store_masked,
    store_vector,
    widen,
)

TILE = 8  # vectors of a row that stay in registers


def spmm(
    rowptr: Tensor,
    col: Tensor,
    value: Tensor | None,
    num_cols: int,
    x: Tensor,
    plus: Tensor | None,
    rows: Tensor | None,
    senders: Tensor | None,
    dtype: torch.dtype,
) -> Tensor:
    """As ``graphrec.sparse.spmm``, from the graph's tensors, its number of columns and the type of the result."""
    num_rows = len(rowptr) - 1 if rows is None else len(rows)
    out = empty((num_rows, x.shape[1]), dtype)
    real = torch.float64 if x.dtype == torch.float64 else torch.float32
    weight = torch.empty(0, dtype=real) if value is None else value.to(real)
    start = x.new_empty(0, 0) if plus is None else plus
    graph, matrices = (rowptr.numpy(), col.numpy(), weight.numpy()), map(_stored, (x, start, out))
    if rows is None and senders is None:
        for_each_block(_spmm, graph[0], tuple, *graph, *matrices)
    else:
        pointers, chosen = _chosen(graph[0], num_cols, rows, senders)
        space = partial(_space, most_work(pointers), weight.numpy().dtype)
        for_each_block(_spmm_some, pointers, space, *graph, *matrices, *chosen)
    return out


def _stored(matrix: Tensor) -> np.ndarray:
    """The matrix in memory; bfloat16, which NumPy does not know, as integers."""
    matrix = matrix.detach().contiguous()
    return (matrix.view(torch.uint16) if matrix.dtype == torch.bfloat16 else matrix).numpy()


def _chosen(
    rowptr: np.ndarray, num_cols: int, rows: Tensor | None, senders: Tensor | None
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Where the chosen rows' edges would begin if they stood one after another; the rows; each column's row of ``x``.

    No rows stand for all. A column whose row is −1 sends nothing; no columns stand for rows of the same numbers.
    """
    numbers, place = np.empty(0, np.int64), np.empty(0, np.int32)
    if rows is not None:
        numbers = rows.numpy()
        rowptr = np.concatenate([rowptr[:1], np.cumsum(rowptr[numbers + 1] - rowptr[numbers])])
    if senders is not None:
        place = np.full(num_cols, -1, np.int32)
        place[senders.numpy()] = np.arange(len(senders), dtype=np.int32)
    return rowptr, (numbers, place)


def _space(work: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For a block's edges, the row of ``x`` and the weight of each; for its rows, where their edges end."""
    return np.zeros(work, np.int32), np.zeros(work, dtype), np.empty(work, np.uintp)


@kernel
def _spmm(block, first_row, last_row, scratch, rowptr, col, weight, x, plus, out):  # type: ignore[no-untyped-def]
    one = np.uintp(1)
    for row in range(first_row, last_row):
        _sum_row(out, row, plus, weight, x, col, np.uintp(rowptr[row]), np.uintp(rowptr[row + one]))


@kernel
def _spmm_some(block, first_row, last_row, scratch, rowptr, col, weight, x, plus, out, rows, place):  # type: ignore[no-untyped-def]
    """The block's edges that count are copied to one place first, so that fetching ahead goes from row to row."""
    one, last = np.uintp(1), np.uintp(0)
    near_col, near_weight, end = scratch
    for number in range(first_row, last_row):
        row = np.uintp(rows[number]) if len(rows) else number
        for edge in range(np.uintp(rowptr[row]), np.uintp(rowptr[row + one])):
            at = place[col[edge]] if len(place) else col[edge]
            near_col[last] = at
            near_weight[last] = weight[edge] if len(weight) else 1
            last += np.uintp(at >= 0)
        end[number - first_row] = last
    first = np.uintp(0)
    for number in range(first_row, last_row):
        last = end[number - first_row]
        _sum_row(out, number, plus, near_weight, x, near_col, first, last)
        first = last


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
        self.real = context.get_value_type(signature.args[3].dtype)

    def sum_tile(self, tile: Any, left: Any) -> None:
        """The columns from ``tile`` on, ``left`` of them, or all ``TILE`` vectors where that is None."""
        builder, x = self.builder, self.x
        columns = [builder.add(tile, INT(LANES * number)) for number in range(TILE)]
        zeros = ir.Constant(ir.VectorType(self.real, LANES), None)
        sums = [cgutils.alloca_once_value(builder, zeros) for _ in columns]
        with builder.if_then(builder.icmp_unsigned("!=", self.plus.columns, INT(0))):
            for number, (total, column) in enumerate(zip(sums, columns, strict=True)):
                builder.store(self._load(self.plus, self.row, column, left, number), total)
        with cgutils.for_range_slice(builder, self.first, self.last, INT(1)) as (edge, _):
            size = INT(TILE * LANES) if left is None else left
            emit_prefetch(builder, x.row(self._ahead_of(edge), tile), builder.mul(size, INT(x.size)))
            scales, sender = spread(builder, self._weight_of(edge)), self._sender_of(edge)
            for number, (total, column) in enumerate(zip(sums, columns, strict=True)):
                added = builder.fmul(scales, self._load(x, sender, column, left, number), flags=FLAGS)
                builder.store(builder.fadd(builder.load(total), added, flags=FLAGS), total)
        for number, (total, column) in enumerate(zip(sums, columns, strict=True)):
            pointer, vector = self.out.row(self.row, column), narrow(builder, builder.load(total), self.out.item)
            if left is None:
                store_vector(builder, vector, pointer, self.out.size)
            else:
                store_masked(builder, vector, pointer, self._beyond(left, number), self.out.size)

    def _load(self, matrix: Matrix, row: Any, column: Any, left: Any, number: int) -> Any:
        pointer = matrix.row(row, column)
        if left is None:
            vector = load_vector(self.builder, pointer, matrix.size)
        else:
            vector = load_masked(self.builder, pointer, self._beyond(left, number), matrix.size)
        return widen(self.builder, vector)

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
        weight = cgutils.alloca_once_value(self.builder, ir.Constant(self.real, 1.0))
        with self.builder.if_then(self.builder.icmp_unsigned("!=", self.weight.nitems, INT(0))):
            self.builder.store(self.builder.load(self.builder.gep(self.weight.data, [edge])), weight)
        return self.builder.load(weight)
