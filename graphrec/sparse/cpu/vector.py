"""The few machine instructions that compiled Python cannot say: vector arithmetic on slices of rows, and prefetch.

LLVM cannot know that two arrays never overlap, so it would not vectorise these short loops by itself. Matrices are
C-contiguous and of one float type. Nothing here checks bounds: callers are validated before.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.caching import FunctionCache
from numba.extending import intrinsic, overload

SLOPE = 0.2  # of the leaky ReLU
LANES = 8  # of a vector register: float32 fills AVX2, float64 AVX-512; LLVM splits what does not fit
LINE = 64  # bytes of a cache line
AHEAD = np.uintp(16)  # edges between a prefetch and the use
FAST = frozenset({"reassoc", "contract", "arcp", "nsz"})  # fast arithmetic that keeps NaN and infinity
_FLAGS = tuple(FAST)
_INT = ir.IntType(64)
_AT = (types.uintp, types.uintp)  # row and first column

# Without _nrt=False each array that is handed on counts its references atomically, which doubles an edge's cost. The
# price: kernels make no arrays; scratch comes from outside.
_options: dict[str, Any] = {"nogil": True, "fastmath": set(FAST), "error_model": "numpy", "_nrt": False}
_sources = hashlib.sha256(
    b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
).hexdigest()


class _Cache(FunctionCache):
    """Compiled code on disk. numba asks whether a kernel's own file has changed; a kernel is made of several."""

    def _index_key(self, sig, codegen):  # type: ignore[no-untyped-def]
        return *super()._index_key(sig, codegen), _sources  # type: ignore[no-untyped-call]


def kernel(function: Callable[..., Any], **options: Any) -> Any:
    """Compile a function for arrays and numbers on its first call, and keep the result on disk."""
    dispatcher: Any = numba.njit(**_options, **options)(function)
    dispatcher._cache = _Cache(function)  # type: ignore[no-untyped-call]
    return dispatcher


def inlined(function: Callable[..., Any]) -> Any:
    """A kernel's part: handing over arrays would cost more than these short functions do."""
    return kernel(function, forceinline=True)


@intrinsic
def dot(typingctx, x, i, a, y, j, b, width):  # type: ignore[no-untyped-def]
    """Σ_w x[i, a + w] · y[j, b + w] over w < width."""
    return x.dtype(x, *_AT, y, *_AT, types.uintp), _dot


def _dot(context, builder, signature, args):  # type: ignore[no-untyped-def]
    loop = _Loop(context, builder, signature, args, matrices=(0, 3))
    return loop.sum(lambda x, y: loop.multiply(x, y))


@intrinsic
def leaky_dot(typingctx, v, i, a, x, j, b, y, k, c, width):  # type: ignore[no-untyped-def]
    """Σ_w v[i, a + w] · leaky_relu(x[j, b + w] + y[k, c + w])."""
    return x.dtype(v, *_AT, x, *_AT, y, *_AT, types.uintp), _leaky_dot


def _leaky_dot(context, builder, signature, args):  # type: ignore[no-untyped-def]
    loop = _Loop(context, builder, signature, args, matrices=(0, 3, 6))
    return loop.sum(lambda v, x, y: loop.multiply(v, loop.leaky(loop.add(x, y))))


@intrinsic
def add_scaled(typingctx, out, i, a, scale, x, j, b, width):  # type: ignore[no-untyped-def]
    """out[i, a + w] += scale · x[j, b + w]."""
    return types.void(out, *_AT, out.dtype, x, *_AT, types.uintp), _add_scaled


def _add_scaled(context, builder, signature, args):  # type: ignore[no-untyped-def]
    loop = _Loop(context, builder, signature, args, matrices=(0, 4), scale=args[3])
    loop.add_to_first(lambda x: x)
    return context.get_dummy_value()


@intrinsic
def add_leaky(typingctx, out, i, a, scale, x, j, b, y, k, c, width):  # type: ignore[no-untyped-def]
    """out[i, a + w] += scale · leaky_relu(x[j, b + w] + y[k, c + w])."""
    return types.void(out, *_AT, out.dtype, x, *_AT, y, *_AT, types.uintp), _add_leaky


def _add_leaky(context, builder, signature, args):  # type: ignore[no-untyped-def]
    loop = _Loop(context, builder, signature, args, matrices=(0, 4, 7), scale=args[3])
    loop.add_to_first(lambda x, y: loop.leaky(loop.add(x, y)))
    return context.get_dummy_value()


@intrinsic
def add_leaky_slope(typingctx, out, i, a, scale, v, h, d, x, j, b, y, k, c, width):  # type: ignore[no-untyped-def]
    """out[i, a + w] += scale · v[h, d + w] · leaky_relu'(x[j, b + w] + y[k, c + w])."""
    return types.void(out, *_AT, out.dtype, v, *_AT, x, *_AT, y, *_AT, types.uintp), _add_leaky_slope


def _add_leaky_slope(context, builder, signature, args):  # type: ignore[no-untyped-def]
    loop = _Loop(context, builder, signature, args, matrices=(0, 4, 7, 10), scale=args[3])
    loop.add_to_first(lambda v, x, y: loop.leaky(v, loop.add(x, y)))
    return context.get_dummy_value()


@intrinsic
def prefetch(typingctx, x, i, width):  # type: ignore[no-untyped-def]
    """Ask for row i of a matrix of that width to be brought near; reads nothing."""
    return types.void(x, types.uintp, types.uintp), _prefetch


def _prefetch(context, builder, signature, args):  # type: ignore[no-untyped-def]
    matrix = context.make_array(signature.args[0])(context, builder, args[0])
    item = context.get_abi_sizeof(context.get_value_type(signature.args[0].dtype))
    size = builder.mul(args[2], _INT(item))
    byte, flag = ir.IntType(8), ir.IntType(32)
    row = builder.gep(builder.bitcast(matrix.data, byte.as_pointer()), [builder.mul(args[1], size)])
    function_type = ir.FunctionType(ir.VoidType(), [byte.as_pointer(), flag, flag, flag])
    function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0")
    with cgutils.for_range_slice(builder, _INT(0), size, _INT(LINE)) as (offset, _):
        builder.call(function, [builder.gep(row, [offset]), flag(0), flag(3), flag(1)])
    return context.get_dummy_value()


class _Loop:
    """A walk along slices of rows, all of one width: vectors of ``LANES`` numbers first, then single numbers.

    ``matrices`` are the places of the matrices among ``args``, each followed by its row and first column; the width is
    the last argument.
    """

    def __init__(
        self, context: Any, builder: Any, signature: Any, args: Any, matrices: tuple[int, ...], scale: Any = None
    ) -> None:
        self.builder, self.scale, self.width = builder, scale, args[-1]
        self.item = context.get_value_type(signature.args[matrices[0]].dtype)
        self.vector = ir.VectorType(self.item, LANES)
        self.size = context.get_abi_sizeof(self.item)
        self.starts = []
        for place in matrices:
            array = context.make_array(signature.args[place])(context, builder, args[place])
            columns = cgutils.unpack_tuple(builder, array.shape, 2)[1]
            offset = builder.add(builder.mul(args[place + 1], columns), args[place + 2])
            self.starts.append(builder.gep(array.data, [offset]))

    def sum(self, term: Callable[..., Any]) -> Any:
        lanes = cgutils.alloca_once_value(self.builder, ir.Constant(self.vector, None))
        for pointers in self._vectors():
            self.builder.store(self.add(self.builder.load(lanes), term(*map(self._load, pointers))), lanes)
        total = cgutils.alloca_once_value(self.builder, self._sum_lanes(self.builder.load(lanes)))
        for pointers in self._numbers():
            self.builder.store(self.add(self.builder.load(total), term(*map(self.builder.load, pointers))), total)
        return self.builder.load(total)

    def add_to_first(self, term: Callable[..., Any]) -> None:
        scales = self._spread(self.scale)
        for out, *pointers in self._vectors():
            added = self.multiply(scales, term(*map(self._load, pointers)))
            self.builder.store(self.add(self._load(out), added), self._as_vector(out), align=self.size)
        for out, *pointers in self._numbers():
            added = self.multiply(self.scale, term(*map(self.builder.load, pointers)))
            self.builder.store(self.add(self.builder.load(out), added), out)

    def add(self, x: Any, y: Any) -> Any:
        return self.builder.fadd(x, y, flags=_FLAGS)

    def multiply(self, x: Any, y: Any) -> Any:
        return self.builder.fmul(x, y, flags=_FLAGS)

    def leaky(self, x: Any, z: Any = None) -> Any:
        """x where z > 0, else SLOPE · x; z is x unless given."""
        slope = ir.Constant(self.item, SLOPE)
        slopes, zeros = slope, ir.Constant(self.item, 0.0)
        if x.type == self.vector:
            slopes, zeros = ir.Constant(self.vector, [slope] * LANES), ir.Constant(self.vector, None)
        positive = self.builder.fcmp_ordered(">", x if z is None else z, zeros)
        return self.builder.select(positive, x, self.multiply(x, slopes))

    def _vectors(self) -> Iterator[list[Any]]:
        whole = self.builder.and_(self.width, _INT(-LANES))
        with cgutils.for_range_slice(self.builder, _INT(0), whole, _INT(LANES)) as (place, _):
            yield [self.builder.gep(start, [place]) for start in self.starts]

    def _numbers(self) -> Iterator[list[Any]]:
        whole = self.builder.and_(self.width, _INT(-LANES))
        with cgutils.for_range_slice(self.builder, whole, self.width, _INT(1)) as (place, _):
            yield [self.builder.gep(start, [place]) for start in self.starts]

    def _as_vector(self, pointer: Any) -> Any:
        return self.builder.bitcast(pointer, self.vector.as_pointer())

    def _load(self, pointer: Any) -> Any:
        return self.builder.load(self._as_vector(pointer), align=self.size)

    def _spread(self, number: Any) -> Any:
        first = self.builder.insert_element(ir.Constant(self.vector, ir.Undefined), number, ir.IntType(32)(0))
        places = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
        return self.builder.shuffle_vector(first, ir.Constant(self.vector, ir.Undefined), places)

    def _sum_lanes(self, vector: Any) -> Any:
        name = f"llvm.vector.reduce.fadd.v{LANES}f{8 * self.size}"
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
    real: Any = np.float32 if single else np.float64
    whole: Any = np.int32 if single else np.int64
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
