"""The few machine instructions that compiled Python cannot say: vector arithmetic on slices of rows, and prefetch.

LLVM cannot know that two arrays never overlap, so it would not vectorise these short loops by itself. Matrices are
C-contiguous and of one float type. Nothing here checks bounds: callers are validated before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, overload

LANES = 8  # of a vector register: float32 fills AVX2, float64 AVX-512; LLVM splits what does not fit
LINE = 64  # bytes of a cache line
AHEAD = 12  # edges between a prefetch and the use
FAST = frozenset({"reassoc", "contract", "arcp", "nsz"})  # fast arithmetic that keeps NaN and infinity
_FLAGS = tuple(FAST)
_INT = ir.IntType(64)

kernel = numba.njit(cache=True, nogil=True, fastmath=set(FAST), boundscheck=False, error_model="numpy")


@intrinsic
def dot(typingctx, x, i, a, y, j, b, width):  # type: ignore[no-untyped-def]
    """Σ_w x[i, a + w] · y[j, b + w] over width columns."""
    return x.dtype(x, types.int64, types.int64, y, types.int64, types.int64, types.int64), _dot


def _dot(context, builder, signature, args):  # type: ignore[no-untyped-def]
    slices = _Slices(context, builder, signature, [(0, 1, 2), (3, 4, 5)], args, width=args[6])
    lanes = cgutils.alloca_once_value(builder, ir.Constant(slices.vector, None))
    with slices.tiles() as (x, y):
        product = builder.fmul(slices.load(x), slices.load(y), flags=_FLAGS)
        builder.store(builder.fadd(builder.load(lanes), product, flags=_FLAGS), lanes)
    total = cgutils.alloca_once_value(builder, slices.sum_lanes(builder.load(lanes)))
    with slices.rest() as (x, y):
        product = builder.fmul(builder.load(x), builder.load(y), flags=_FLAGS)
        builder.store(builder.fadd(builder.load(total), product, flags=_FLAGS), total)
    return builder.load(total)


@intrinsic
def add_scaled(typingctx, out, i, a, scale, x, j, b, width):  # type: ignore[no-untyped-def]
    """out[i, a + w] += scale · x[j, b + w] for each w < width."""
    return types.void(out, types.int64, types.int64, out.dtype, x, types.int64, types.int64, types.int64), _add_scaled


def _add_scaled(context, builder, signature, args):  # type: ignore[no-untyped-def]
    slices = _Slices(context, builder, signature, [(0, 1, 2), (4, 5, 6)], args, width=args[7])
    scales = slices.spread(args[3])
    with slices.tiles() as (out, x):
        product = builder.fmul(scales, slices.load(x), flags=_FLAGS)
        slices.store(builder.fadd(slices.load(out), product, flags=_FLAGS), out)
    with slices.rest() as (out, x):
        product = builder.fmul(args[3], builder.load(x), flags=_FLAGS)
        builder.store(builder.fadd(builder.load(out), product, flags=_FLAGS), out)
    return context.get_dummy_value()


@intrinsic
def prefetch(typingctx, x, i):  # type: ignore[no-untyped-def]
    """Ask for row i of a matrix to be brought near; reads nothing."""
    return types.void(x, types.int64), _prefetch


def _prefetch(context, builder, signature, args):  # type: ignore[no-untyped-def]
    matrix = context.make_array(signature.args[0])(context, builder, args[0])
    columns = cgutils.unpack_tuple(builder, matrix.shape, 2)[1]
    byte = ir.IntType(8)
    item = context.get_abi_sizeof(context.get_value_type(signature.args[0].dtype))
    size = builder.mul(columns, _INT(item))
    row = builder.gep(builder.bitcast(matrix.data, byte.as_pointer()), [builder.mul(args[1], size)])
    flag = ir.IntType(32)
    signature_type = ir.FunctionType(ir.VoidType(), [byte.as_pointer(), flag, flag, flag])
    function = cgutils.get_or_insert_function(builder.module, signature_type, "llvm.prefetch.p0")
    with cgutils.for_range_slice(builder, _INT(0), size, _INT(LINE)) as (offset, _):
        builder.call(function, [builder.gep(row, [offset]), flag(0), flag(3), flag(1)])
    return context.get_dummy_value()


class _Slices:
    """Two row slices of one width, walked together: whole vectors first, then single numbers."""

    def __init__(self, context: Any, builder: Any, signature: Any, places: Any, args: Any, width: Any) -> None:
        self.builder, self.width = builder, width
        self.item = context.get_value_type(signature.args[places[0][0]].dtype)
        self.vector = ir.VectorType(self.item, LANES)
        self.align = context.get_abi_sizeof(self.item)
        self.starts = []
        for matrix, row, column in places:
            array = context.make_array(signature.args[matrix])(context, builder, args[matrix])
            columns = cgutils.unpack_tuple(builder, array.shape, 2)[1]
            offset = builder.add(builder.mul(args[row], columns), args[column])
            self.starts.append(builder.gep(array.data, [offset]))
        self.whole = builder.and_(width, _INT(-LANES))

    @contextmanager
    def tiles(self) -> Iterator[list[Any]]:
        with cgutils.for_range_slice(self.builder, _INT(0), self.whole, _INT(LANES)) as (place, _):
            yield [self.builder.gep(start, [place]) for start in self.starts]

    @contextmanager
    def rest(self) -> Iterator[list[Any]]:
        with cgutils.for_range_slice(self.builder, self.whole, self.width, _INT(1)) as (place, _):
            yield [self.builder.gep(start, [place]) for start in self.starts]

    def load(self, pointer: Any) -> Any:
        return self.builder.load(self.builder.bitcast(pointer, self.vector.as_pointer()), align=self.align)

    def store(self, vector: Any, pointer: Any) -> None:
        self.builder.store(vector, self.builder.bitcast(pointer, self.vector.as_pointer()), align=self.align)

    def spread(self, number: Any) -> Any:
        first = self.builder.insert_element(ir.Constant(self.vector, ir.Undefined), number, ir.IntType(32)(0))
        places = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
        return self.builder.shuffle_vector(first, ir.Constant(self.vector, ir.Undefined), places)

    def sum_lanes(self, vector: Any) -> Any:
        name = f"llvm.vector.reduce.fadd.v{LANES}f{8 * self.align}"
        function_type = ir.FunctionType(self.item, [self.item, self.vector])
        function = cgutils.get_or_insert_function(self.builder.module, function_type, name)
        return self.builder.call(function, [ir.Constant(self.item, 0.0), vector], fastmath=_FLAGS)


def exp(x: float) -> float:
    """e^x by a polynomial that the compiler can vectorise; 0 where float32 or float64 would be subnormal.

    x = n ln 2 + r with |r| ≤ ln 2 / 2; e^r by its Taylor series, 2^n by writing the exponent's bits.
    """
    return math.exp(x)


@overload(exp)
def _exp(x):  # type: ignore[no-untyped-def]
    single = x == types.float32
    real, whole = (np.float32, np.int32) if single else (np.float64, np.int64)
    bits, offset, terms = (23, 127, 8) if single else (52, 1023, 14)
    lowest = real(-87.0 if single else -708.0)
    highest = real(88.0 if single else 709.0)
    per_ln2 = real(1 / math.log(2))
    # ln 2 in two parts, the first with few enough bits for n times it to be exact
    high = real(0.693359375 if single else 0.6931471803691238)
    low = real(-2.12194440e-4 if single else 1.9082149292705877e-10)
    factors = tuple(real(1 / math.factorial(power)) for power in range(terms - 1, -1, -1))

    def compute(x):  # type: ignore[no-untyped-def]
        bounded = highest if x > highest else (lowest if x < lowest else x)  # NaN passes
        n = np.rint(bounded * per_ln2)
        r = (bounded - n * high) - n * low
        total = factors[0]
        for factor in factors[1:]:
            total = total * r + factor
        power = whole((whole(np.int32(n)) + whole(offset)) << whole(bits)).view(real)
        return real(0.0) if x < lowest else total * power

    return compute
