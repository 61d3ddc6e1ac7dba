"""What attention does with the vectors at the other ends of a chunk's edges: scores from them, and sums of them.

A chunk is the numbers ``node[:length]`` of rows of a matrix x [n, C]; of each row the columns start .. start + width
are meant. Results of the edges stand in a row of a matrix [H, CHUNK], as in ``chunks``; what lies beyond ``length``
there is undefined, and ``node`` must hold valid numbers up to the next multiple of ``LANES``.

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

TILE = 4
_EDGES = (types.Array(types.uintp, 1, "C"), types.uintp, types.uintp, types.uintp)  # node, length, start, width
_ROW = types.uintp


@intrinsic
def gather_dot(typingctx, out, head, own, row, x, node, length, start, width):  # type: ignore[no-untyped-def]
    """out[head, p] = Σ_w own[row, start + w] · x[node[p], start + w]."""
    return types.void(out, _ROW, own, _ROW, x, *_EDGES), _gather_dot


def _gather_dot(context, builder, signature, args):  # type: ignore[no-untyped-def]
    out, own, x = _matrices(context, builder, signature, args, 0, 2, 4)
    edges = _Edges(context, builder, signature, args, x)
    edges.score(out.row(args[1]), [own.row(args[3], edges.start)], lambda own, x: _multiply(builder, own, x))
    return context.get_dummy_value()


@intrinsic
def gather_leaky_dot(typingctx, out, head, vector, moved, x, node, length, start, width):  # type: ignore[no-untyped-def]
    """out[head, p] = Σ_w vector[head, w] · leaky_relu(moved[0, start + w] + x[node[p], start + w])."""
    return types.void(out, _ROW, vector, moved, x, *_EDGES), _gather_leaky_dot


def _gather_leaky_dot(context, builder, signature, args):  # type: ignore[no-untyped-def]
    out, vector, moved, x = _matrices(context, builder, signature, args, 0, 2, 3, 4)
    edges = _Edges(context, builder, signature, args, x)

    def term(vector, own, x):  # type: ignore[no-untyped-def]
        return _multiply(builder, vector, leaky(builder, _add(builder, own, x)))

    edges.score(out.row(args[1]), [vector.row(args[1]), moved.row(INT(0), edges.start)], term)
    return context.get_dummy_value()


@intrinsic
def gather_column(typingctx, out, head, sign, x, node, length, start, width):  # type: ignore[no-untyped-def]
    """out[head, p] += sign · x[node[p], start]."""
    return types.void(out, _ROW, out.dtype, x, *_EDGES), _gather_column


def _gather_column(context, builder, signature, args):  # type: ignore[no-untyped-def]
    out, x = _matrices(context, builder, signature, args, 0, 3)
    edges = _Edges(context, builder, signature, args, x)
    sign, row = spread(builder, args[2]), out.row(args[1])
    for place in edges.tiles():
        pointer = builder.gep(row, [place])
        value = _multiply(builder, sign, edges.numbers(place))
        store_vector(builder, _add(builder, load_vector(builder, pointer, x.size), value), pointer, x.size)
    return context.get_dummy_value()


@intrinsic
def gather_add(typingctx, out, row, weight, head, x, node, length, start, width):  # type: ignore[no-untyped-def]
    """out[row, start + w] += Σ_p weight[head, p] · x[node[p], start + w]."""
    return types.void(out, _ROW, weight, _ROW, x, *_EDGES), _gather_add


def _gather_add(context, builder, signature, args):  # type: ignore[no-untyped-def]
    out, weight, x = _matrices(context, builder, signature, args, 0, 2, 4)
    edges = _Edges(context, builder, signature, args, x)
    edges.add(out.row(args[1], edges.start), weight.row(args[3]), None, lambda x: x)
    return context.get_dummy_value()


@intrinsic
def gather_add_slope(typingctx, out, row, weight, head, moved, x, node, length, start, width):  # type: ignore[no-untyped-def]
    """out[row, start + w] += Σ_p weight[head, p] · leaky_relu'(moved[0, start + w] + x[node[p], start + w])."""
    return types.void(out, _ROW, weight, _ROW, moved, x, *_EDGES), _gather_add_slope


def _gather_add_slope(context, builder, signature, args):  # type: ignore[no-untyped-def]
    out, weight, moved, x = _matrices(context, builder, signature, args, 0, 2, 4, 5)
    edges = _Edges(context, builder, signature, args, x)

    def term(own, x):  # type: ignore[no-untyped-def]
        return leaky(builder, ir.Constant(x.type, [1.0] * LANES), _add(builder, own, x))

    edges.add(out.row(args[1], edges.start), weight.row(args[3]), moved.row(INT(0), edges.start), term)
    return context.get_dummy_value()


@intrinsic
def gather_add_leaky(typingctx, out, row, weight, head, moved, x, node, length, start, width):  # type: ignore[no-untyped-def]
    """out[row, w] += Σ_p weight[head, p] · leaky_relu(moved[0, start + w] + x[node[p], start + w])."""
    return types.void(out, _ROW, weight, _ROW, moved, x, *_EDGES), _gather_add_leaky


def _gather_add_leaky(context, builder, signature, args):  # type: ignore[no-untyped-def]
    out, weight, moved, x = _matrices(context, builder, signature, args, 0, 2, 4, 5)
    edges = _Edges(context, builder, signature, args, x)
    own = moved.row(INT(0), edges.start)
    edges.add(out.row(args[1]), weight.row(args[3]), own, lambda own, x: leaky(builder, _add(builder, own, x)))
    return context.get_dummy_value()


class _Edges:
    """A chunk's edges; node, length, start and width are the last four arguments."""

    def __init__(self, context: Any, builder: Any, signature: Any, args: Any, x: Matrix) -> None:
        self.builder, self.x = builder, x
        self.node = context.make_array(signature.args[-4])(context, builder, args[-4]).data
        self.length, self.start, self.width = args[-3:]
        self.zeros = ir.Constant(ir.VectorType(x.item, LANES), None)

    def tiles(self) -> Iterator[Any]:
        """The first place of every ``LANES`` edges."""
        for place, _ in vectors_of(self.builder, self.length):
            yield place

    def row(self, place: Any) -> Any:
        """Pointer to column ``start`` of an edge's row."""
        return self.x.row(self.builder.load(self.builder.gep(self.node, [place])), self.start)

    def rows(self, place: Any) -> list[Any]:
        """The same for ``LANES`` edges."""
        return [self.row(self.builder.add(place, INT(lane))) for lane in range(LANES)]

    def numbers(self, place: Any) -> Any:
        """Column ``start`` of ``LANES`` edges as a vector."""
        vector = self.zeros
        for lane, row in enumerate(self.rows(place)):
            vector = self.builder.insert_element(vector, self.builder.load(row), ir.IntType(32)(lane))
        return vector

    def score(self, out: Any, own: list[Any], term: Callable[..., Any]) -> None:
        """Set out[p] to the sum over the width of term(*own vectors, x)."""
        builder, size = self.builder, self.x.size
        with self._narrow() as (narrow, wide):
            with narrow:
                numbers = [spread(builder, builder.load(pointer)) for pointer in own]
                for place in self.tiles():
                    store_vector(builder, term(*numbers, self.numbers(place)), builder.gep(out, [place]), size)
            with wide:
                for place in self.tiles():
                    sums = [cgutils.alloca_once_value(builder, self.zeros) for _ in range(LANES)]
                    rows = self.rows(place)
                    for column, left in vectors_of(builder, self.width):
                        vectors = [self._load(pointer, column, left) for pointer in own]
                        for total, row in zip(sums, rows, strict=True):
                            added = term(*vectors, self._load(row, column, left))
                            builder.store(_add(builder, builder.load(total), added), total)
                    totals = _across(builder, [builder.load(total) for total in sums])
                    store_vector(builder, totals, builder.gep(out, [place]), size)

    def add(self, out: Any, weight: Any, own: Any, term: Callable[..., Any]) -> None:
        """Add Σ_p weight[p] · term(own vector if any, x_p) to ``out``, over the width."""
        builder = self.builder
        with self._narrow() as (narrow, wide):
            with narrow:
                number = [] if own is None else [spread(builder, builder.load(own))]
                total = cgutils.alloca_once_value(builder, self.zeros)
                for place in self.tiles():
                    left = builder.sub(self.length, place)
                    weights = load_masked(builder, builder.gep(weight, [place]), left, self.x.size)
                    added = _multiply(builder, weights, term(*number, self.numbers(place)))
                    added = builder.select(lanes_before(builder, left), added, self.zeros)
                    builder.store(_add(builder, builder.load(total), added), total)
                builder.store(_add(builder, builder.load(out), reduce(builder, "fadd", builder.load(total))), out)
            with wide, cgutils.for_range_slice(builder, INT(0), self.width, INT(TILE * LANES)) as (first, _):
                self._add_tile(out, weight, own, term, first)

    def _add_tile(self, out: Any, weight: Any, own: Any, term: Callable[..., Any], first: Any) -> None:
        """``add`` for TILE · LANES columns from ``first`` on."""
        builder = self.builder
        columns = [builder.add(first, INT(LANES * number)) for number in range(TILE)]
        places = [(column, self._left(column)) for column in columns]
        sums = [cgutils.alloca_once_value(builder, self._load(out, *place)) for place in places]
        own_vectors = [[] if own is None else [self._load(own, *place)] for place in places]
        with cgutils.for_range_slice(builder, INT(0), self.length, INT(1)) as (edge, _):
            row = self.row(edge)
            scale = spread(builder, builder.load(builder.gep(weight, [edge])))
            for total, place, owned in zip(sums, places, own_vectors, strict=True):
                added = _multiply(builder, scale, term(*owned, self._load(row, *place)))
                builder.store(_add(builder, builder.load(total), added), total)
        for total, (column, left) in zip(sums, places, strict=True):
            store_masked(builder, builder.load(total), builder.gep(out, [column]), left, self.x.size)

    def _left(self, column: Any) -> Any:
        """Columns from there to the width's end, at least 0."""
        inside = self.builder.icmp_unsigned("<", column, self.width)
        return self.builder.select(inside, self.builder.sub(self.width, column), INT(0))

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
