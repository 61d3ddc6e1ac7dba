"""What attention does with a chunk of one row's edges at once: the largest logit, and weights from logits.

A chunk's numbers stand in a row of a matrix [H, CHUNK], CHUNK a multiple of ``LANES``: whole vectors are read, and what
lies beyond the chunk's length is masked. Left to itself the compiler would gather and scatter these numbers one by one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from graphrec.sparse.cpu.vector import (
    FLAGS,
    LANES,
    Matrix,
    lanes_before,
    load_vector,
    reduce,
    rint,
    spread,
    store_vector,
    vectors_of,
)


@intrinsic
def largest_of(typingctx, score, head, length):  # type: ignore[no-untyped-def]
    """The maximum over p < length of score[head, p]; −inf for length 0."""
    return score.dtype(score, types.uintp, types.uintp), _largest_of


def _largest_of(context, builder, signature, args):  # type: ignore[no-untyped-def]
    chunk = _Chunk(context, builder, signature, args)
    lowest = chunk.constant(-math.inf)
    largest = cgutils.alloca_once_value(builder, lowest)
    for place, inside in chunk.vectors():
        score = builder.select(inside, chunk.load(0, place), lowest)
        before = builder.load(largest)
        builder.store(builder.select(builder.fcmp_ordered(">", score, before), score, before), largest)
    return reduce(builder, "fmax", builder.load(largest))


@intrinsic
def weigh(typingctx, score, head, length, center):  # type: ignore[no-untyped-def]
    """score[head, p] becomes exp(score[head, p] − center) for p < length; returns the sum."""
    return score.dtype(score, types.uintp, types.uintp, score.dtype), _weigh


def _weigh(context, builder, signature, args):  # type: ignore[no-untyped-def]
    chunk = _Chunk(context, builder, signature, args)
    center = spread(builder, args[3])
    total = cgutils.alloca_once_value(builder, chunk.zeros)
    for place, inside in chunk.vectors():
        weight = chunk.exp(builder.fsub(chunk.load(0, place), center, flags=FLAGS))
        weight = builder.select(inside, weight, chunk.zeros)
        chunk.store(0, place, weight)
        builder.store(builder.fadd(builder.load(total), weight, flags=FLAGS), total)
    return reduce(builder, "fadd", builder.load(total))


@intrinsic
def weigh_gain(typingctx, score, head, length, gain):  # type: ignore[no-untyped-def]
    """score[head, p] becomes its exp, a weight, and gain[head, p] is multiplied by it; returns the sum of the gains."""
    return score.dtype(score, types.uintp, types.uintp, gain), _weigh_gain


def _weigh_gain(context, builder, signature, args):  # type: ignore[no-untyped-def]
    chunk = _Chunk(context, builder, signature, args, matrices=(0, 3))
    total = cgutils.alloca_once_value(builder, chunk.zeros)
    for place, inside in chunk.vectors():
        weight = chunk.exp(chunk.load(0, place))
        chunk.store(0, place, weight)
        gain = builder.fmul(chunk.load(1, place), weight, flags=FLAGS)
        gain = builder.select(inside, gain, chunk.zeros)
        chunk.store(1, place, gain)
        builder.store(builder.fadd(builder.load(total), gain, flags=FLAGS), total)
    return reduce(builder, "fadd", builder.load(total))


class _Chunk:
    """The first ``length`` numbers in row ``head`` of some matrices; head and length are arguments 1 and 2."""

    def __init__(self, context: Any, builder: Any, signature: Any, args: Any, matrices: tuple[int, ...] = (0,)) -> None:
        self.builder, self.length = builder, args[2]
        walked = [Matrix(context, builder, signature.args[place], args[place]) for place in matrices]
        self.item, self.size = walked[0].item, walked[0].size
        self.vector = ir.VectorType(self.item, LANES)
        self.zeros = ir.Constant(self.vector, None)
        self.starts = [matrix.row(args[1]) for matrix in walked]

    def vectors(self) -> Iterator[tuple[Any, Any]]:
        """Each vector's first place, and which of its lanes lie before ``length``."""
        for place, left in vectors_of(self.builder, self.length):
            yield place, lanes_before(self.builder, left)

    def constant(self, number: float) -> Any:
        return ir.Constant(self.vector, [ir.Constant(self.item, number)] * LANES)

    def load(self, matrix: int, place: Any) -> Any:
        return load_vector(self.builder, self.builder.gep(self.starts[matrix], [place]), self.size)

    def store(self, matrix: int, place: Any, vector: Any) -> None:
        store_vector(self.builder, vector, self.builder.gep(self.starts[matrix], [place]), self.size)

    def exp(self, x: Any) -> Any:
        """e^x for x ≤ 0; 0 where the result would be subnormal, 1 for an x above 0.

        What attention subtracts from a logit is no less than it, but for rounding, which with large logits is a lot.
        x = n ln 2 + r with |r| ≤ ln 2 / 2; e^r by its Taylor series, 2^n by writing the exponent's bits.
        """
        single = self.size == 4
        bits, bias, terms = (23, 127, 8) if single else (52, 1023, 14)
        lowest = -87.0 if single else -708.0
        # ln 2 in two parts, the first with few enough bits for n times it to be exact
        high = 0.693359375 if single else 0.6931471803691238
        low = -2.12194440e-4 if single else 1.9082149292705877e-10
        builder, fast = self.builder, {"flags": FLAGS}
        whole = ir.VectorType(ir.IntType(8 * self.size), LANES)

        bounded = builder.select(builder.fcmp_ordered(">", x, self.zeros), self.zeros, x)
        n = rint(builder, builder.fmul(bounded, self.constant(1 / math.log(2)), **fast))
        r = builder.fsub(bounded, builder.fmul(n, self.constant(high), **fast), **fast)
        r = builder.fsub(r, builder.fmul(n, self.constant(low), **fast), **fast)
        total = self.constant(1 / math.factorial(terms - 1))
        for order in range(terms - 2, -1, -1):
            total = builder.fadd(builder.fmul(total, r, **fast), self.constant(1 / math.factorial(order)), **fast)
        power = builder.fptosi(n, ir.VectorType(ir.IntType(32), LANES))
        power = power if single else builder.sext(power, whole)
        power = builder.add(power, ir.Constant(whole, [bias] * LANES))
        exponent = builder.shl(power, ir.Constant(whole, [bits] * LANES))
        result = builder.fmul(total, builder.bitcast(exponent, self.vector), **fast)
        return builder.select(builder.fcmp_ordered("<", x, self.constant(lowest)), self.zeros, result)
