"""What attention does with the vectors at the other ends of a chunk's edges: scores from them, and sums of them.

A chunk is ``length`` edges from edge ``first`` on; ``col`` numbers the rows at their other ends in a matrix x
[n, H · D], heads side by side. Numbers of the edges stand in a matrix [H, CHUNK], as in ``chunks``; what lies beyond
``length`` there is undefined.

Scores take ``LANES`` edges at a time, whose sums over the width end in the lanes of one vector. Sums keep ``TILE``
vectors of the result in registers while they walk over the edges. Where the width is 1, lanes are edges throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from graphrec.sparse.cpu.vector import (
    FLAGS,
    INT,
    LANES,
    Matrix,
    lanes_before,
    leaky,
    load_masked,
    load_vector,
    reduce,
    spread,
    store_masked,
    store_vector,
    vectors_of,
)

TILE = 8
_NUMBER = types.uintp
_COUNTS = (_NUMBER,) * 4  # first, length, heads, width


@intrinsic
def gather_dot(typingctx, out, own, row, x, col, first, length, heads, width):  # type: ignore[no-untyped-def]
    """out[h, p] = Σ_w own[row, h · D + w] · x[col[first + p], h · D + w]."""
    return types.void(out, own, _NUMBER, x, col, *_COUNTS), _gather_dot


def _gather_dot(context, builder, signature, args):  # type: ignore[no-untyped-def]
    out, own, x = _matrices(context, builder, signature, args, 0, 1, 3)
    edges = _Edges(context, builder, signature, args, x)
    edges.score(out, lambda start: [own.row(args[2], start)], lambda own, x: _multiply(builder, own, x))
    return context.get_dummy_value()


@intrinsic
def gather_leaky_dot(typingctx, out, vector, own, x, col, first, length, heads, width):  # type: ignore[no-untyped-def]
    """out[h, p] = Σ_w vector[0, h · D + w] · leaky_relu(own[0, h · D + w] + x[col[first + p], h · D + w])."""
    return types.void(out, vector, own, x, col, *_COUNTS), _gather_leaky_dot


def _gather_leaky_dot(context, builder, signature, args):  # type: ignore[no-untyped-def]
    out, vector, own, x = _matrices(context, builder, signature, args, 0, 1, 2, 3)
    edges = _Edges(context, builder, signature, args, x)

    def term(vector, own, x):  # type: ignore[no-untyped-def]
        return _multiply(builder, vector, leaky(builder, _add(builder, own, x)))

    edges.score(out, lambda start: [vector.row(INT(0), start), own.row(INT(0), start)], term)
    return context.get_dummy_value()


@intrinsic
def gather_columns(typingctx, out, sign, x, column, col, first, length, heads):  # type: ignore[no-untyped-def]
    """out[h, p] += sign · x[col[first + p], column + h]."""
    return types.void(out, out.dtype, x, _NUMBER, col, *_COUNTS[:3]), _gather_columns


def _gather_columns(context, builder, signature, args):  # type: ignore[no-untyped-def]
    out, x = _matrices(context, builder, signature, args, 0, 2)
    edges = _Edges(context, builder, signature, args, x, width=INT(1))
    sign = spread(builder, args[1])
    for place, rows in edges.tiles():
        for head, _ in edges.each_head():
            pointer = builder.gep(out.row(head), [place])
            value = _multiply(builder, sign, edges.numbers(rows, builder.add(args[3], head)))
            store_vector(builder, _add(builder, load_vector(builder, pointer, x.size), value), pointer, x.size)
    return context.get_dummy_value()


@intrinsic
def gather_add(typingctx, out, row, weight, x, col, first, length, heads, width):  # type: ignore[no-untyped-def]
    """out[row, h · D + w] += Σ_p weight[h, p] · x[col[first + p], h · D + w]."""
    return types.void(out, _NUMBER, weight, x, col, *_COUNTS), _gather_add


def _gather_add(context, builder, signature, args):  # type: ignore[no-untyped-def]
    out, weight, x = _matrices(context, builder, signature, args, 0, 2, 3)
    edges = _Edges(context, builder, signature, args, x)
    edges.add(out.row(args[1]), weight, None, lambda x: x)
    return context.get_dummy_value()


@intrinsic
def gather_add_slope(typingctx, out, row, weight, own, x, col, first, length, heads, width):  # type: ignore[no-untyped-def]
    """out[row, h · D + w] += Σ_p weight[h, p] · leaky_relu'(own[0, h · D + w] + x[col[first + p], h · D + w])."""
    return types.void(out, _NUMBER, weight, own, x, col, *_COUNTS), _gather_add_slope


def _gather_add_slope(context, builder, signature, args):  # type: ignore[no-untyped-def]
    out, weight, own, x = _matrices(context, builder, signature, args, 0, 2, 3, 4)
    edges = _Edges(context, builder, signature, args, x)

    def term(own, x):  # type: ignore[no-untyped-def]
        return leaky(builder, ir.Constant(x.type, [1.0] * LANES), _add(builder, own, x))

    edges.add(out.row(args[1]), weight, own.row(INT(0)), term)
    return context.get_dummy_value()


@intrinsic
def gather_add_leaky(typingctx, out, row, weight, own, x, col, first, length, heads, width):  # type: ignore[no-untyped-def]
    """out[row, h · D + w] += Σ_p weight[h, p] · leaky_relu(own[0, h · D + w] + x[col[first + p], h · D + w])."""
    return types.void(out, _NUMBER, weight, own, x, col, *_COUNTS), _gather_add_leaky


def _gather_add_leaky(context, builder, signature, args):  # type: ignore[no-untyped-def]
    out, weight, own, x = _matrices(context, builder, signature, args, 0, 2, 3, 4)
    edges = _Edges(context, builder, signature, args, x)
    edges.add(out.row(args[1]), weight, own.row(INT(0)), lambda own, x: leaky(builder, _add(builder, own, x)))
    return context.get_dummy_value()


class _Edges:
    """A chunk's edges and the vectors at their other ends; the last arguments are col, first, length, heads, width."""

    def __init__(self, context: Any, builder: Any, signature: Any, args: Any, x: Matrix, width: Any = None) -> None:
        at = len(args) - (5 if width is None else 4)
        self.builder, self.x = builder, x
        col = context.make_array(signature.args[at])(context, builder, args[at])
        self.first, self.length, self.heads = args[at + 1 : at + 4]
        self.col, self.last = col.data, builder.sub(col.nitems, INT(1))
        self.width = args[at + 4] if width is None else width
        self.zeros = ir.Constant(ir.VectorType(x.item, LANES), None)

    def each_head(self) -> Iterator[tuple[Any, Any]]:
        """Each head and the first of its columns."""
        with cgutils.for_range_slice(self.builder, INT(0), self.heads, INT(1)) as (head, _):
            yield head, self.builder.mul(head, self.width)

    def tiles(self) -> Iterator[tuple[Any, list[Any]]]:
        """The first place of every ``LANES`` edges, and pointers to their rows.

        Beyond the chunk these are rows of the edges that follow, and after the graph's last edge its row.
        """
        for place, _ in vectors_of(self.builder, self.length):
            edge = self.builder.add(self.first, place)
            yield place, [self.row(self._bounded(self.builder.add(edge, INT(lane)))) for lane in range(LANES)]

    def row(self, edge: Any) -> Any:
        """Pointer to the row at an edge's other end."""
        return self.x.row(self.builder.zext(self.builder.load(self.builder.gep(self.col, [edge])), INT))

    def _bounded(self, edge: Any) -> Any:
        return self.builder.select(self.builder.icmp_unsigned("<", edge, self.last), edge, self.last)

    def numbers(self, rows: list[Any], column: Any) -> Any:
        """One column of ``LANES`` rows as a vector."""
        vector = self.zeros
        for lane, row in enumerate(rows):
            number = self.builder.load(self.builder.gep(row, [column]))
            vector = self.builder.insert_element(vector, number, ir.IntType(32)(lane))
        return vector

    def score(self, out: Matrix, own: Callable[[Any], list[Any]], term: Callable[..., Any]) -> None:
        """Set out[h, p] to the sum over a head's width of term(*own vectors, x)."""
        builder, size = self.builder, self.x.size
        for place, rows in self.tiles():
            for head, start in self.each_head():
                target, pointers = builder.gep(out.row(head), [place]), own(start)
                with self._narrow() as (narrow, wide):
                    with narrow:
                        numbers = [spread(builder, builder.load(pointer)) for pointer in pointers]
                        store_vector(builder, term(*numbers, self.numbers(rows, start)), target, size)
                    with wide:
                        sums = [cgutils.alloca_once_value(builder, self.zeros) for _ in rows]
                        for column, left in vectors_of(builder, self.width):
                            vectors = [self._load(pointer, column, left) for pointer in pointers]
                            for total, row in zip(sums, rows, strict=True):
                                x = self._load(row, builder.add(start, column), left)
                                builder.store(_add(builder, builder.load(total), term(*vectors, x)), total)
                        store_vector(builder, _across(builder, [builder.load(total) for total in sums]), target, size)

    def add(self, out: Any, weight: Matrix, own: Any, term: Callable[..., Any]) -> None:
        """Add Σ_p weight[h, p] · term(own vector if any, x_p) to ``out``, in every column.

        Vectors that do not cross from one head to the next take all columns as one group, else each head is a group.
        """
        builder = self.builder
        with self._narrow() as (narrow, wide):
            with narrow:
                self._add_narrow(out, weight, own, term)
            with wide:
                fits = builder.icmp_unsigned("==", builder.and_(self.width, INT(LANES - 1)), INT(0))
                columns = builder.mul(self.heads, self.width)
                groups = builder.select(fits, INT(1), self.heads)
                group = builder.select(fits, columns, self.width)
                with cgutils.for_range_slice(builder, INT(0), groups, INT(1)) as (number, _):
                    begin = builder.mul(number, group)
                    with cgutils.for_range_slice(builder, INT(0), group, INT(TILE * LANES)) as (tile, _):
                        self._add_tile(out, weight, own, term, begin, tile, group)

    def _add_tile(
        self, out: Any, weight: Matrix, own: Any, term: Callable[..., Any], begin: Any, tile: Any, group: Any
    ) -> None:
        """``add`` for ``TILE`` vectors of the columns begin .. begin + group, from ``tile`` on."""
        builder = self.builder
        places, weights = [], []
        for number in range(TILE):
            column = builder.add(tile, INT(LANES * number))
            inside = builder.icmp_unsigned("<", column, group)
            left = builder.select(inside, builder.sub(group, column), INT(0))
            column = builder.add(begin, builder.select(inside, column, INT(0)))
            places.append((column, left))
            weights.append(weight.row(builder.udiv(column, self.width)))
        sums = [cgutils.alloca_once_value(builder, self._load(out, *place)) for place in places]
        owned = [[] if own is None else [self._load(own, *place)] for place in places]
        with cgutils.for_range_slice(builder, INT(0), self.length, INT(1)) as (edge, _):
            row = self.row(builder.add(self.first, edge))
            for total, place, factors, vectors in zip(sums, places, weights, owned, strict=True):
                scale = spread(builder, builder.load(builder.gep(factors, [edge])))
                added = _multiply(builder, scale, term(*vectors, self._load(row, *place)))
                builder.store(_add(builder, builder.load(total), added), total)
        for total, (column, left) in zip(sums, places, strict=True):
            store_masked(builder, builder.load(total), builder.gep(out, [column]), left, self.x.size)

    def _add_narrow(self, out: Any, weight: Matrix, own: Any, term: Callable[..., Any]) -> None:
        """``add`` where a head has one column."""
        builder = self.builder
        for head, column in self.each_head():
            number = [] if own is None else [spread(builder, builder.load(builder.gep(own, [column])))]
            total = cgutils.alloca_once_value(builder, self.zeros)
            for place, rows in self.tiles():
                left = builder.sub(self.length, place)
                weights = load_vector(builder, builder.gep(weight.row(head), [place]), self.x.size)
                added = _multiply(builder, weights, term(*number, self.numbers(rows, column)))
                added = builder.select(lanes_before(builder, left), added, self.zeros)
                builder.store(_add(builder, builder.load(total), added), total)
            pointer = builder.gep(out, [column])
            builder.store(_add(builder, builder.load(pointer), reduce(builder, "fadd", builder.load(total))), pointer)

    def _load(self, pointer: Any, column: Any, left: Any) -> Any:
        return load_masked(self.builder, self.builder.gep(pointer, [column]), left, self.x.size)

    @contextmanager
    def _narrow(self) -> Iterator[tuple[Any, Any]]:
        """Two branches: for width 1 and for wider."""
        with self.builder.if_else(self.builder.icmp_unsigned("==", self.width, INT(1))) as branches:
            yield branches


def _matrices(context: Any, builder: Any, signature: Any, args: Any, *places: int) -> list[Matrix]:
    return [Matrix(context, builder, signature.args[place], args[place]) for place in places]


def _across(builder: Any, vectors: list[Any]) -> Any:
    """The sums over the lanes of ``LANES`` vectors, as the lanes of one: neighbours are added, then halves joined."""
    even, odd = (
        ir.Constant(ir.VectorType(ir.IntType(32), LANES), list(range(first, 2 * LANES, 2))) for first in (0, 1)
    )
    while len(vectors) > 1:
        pairs = zip(vectors[::2], vectors[1::2], strict=True)
        vectors = [
            _add(builder, builder.shuffle_vector(a, b, even), builder.shuffle_vector(a, b, odd)) for a, b in pairs
        ]
    return vectors[0]


def _add(builder: Any, x: Any, y: Any) -> Any:
    return builder.fadd(x, y, flags=FLAGS)


def _multiply(builder: Any, x: Any, y: Any) -> Any:
    return builder.fmul(x, y, flags=FLAGS)
