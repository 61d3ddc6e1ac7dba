"""The few machine instructions that compiled Python cannot say: vector arithmetic on slices of rows, and prefetch.

LLVM cannot know that two arrays never overlap, so it would not vectorise these short loops by itself. Matrices are
C-contiguous and of one float type. Nothing here checks bounds: callers are validated before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.caching import FunctionCache
from numba.extending import intrinsic

SLOPE = 0.2  # of the leaky ReLU
LANES = 8  # of a vector register: float32 fills AVX2, float64 AVX-512; LLVM splits what does not fit
LINE = 64  # bytes of a cache line
AHEAD = np.uintp(16)  # edges between a prefetch and the use
FAST = frozenset({"reassoc", "contract", "arcp", "nsz"})  # fast arithmetic that keeps NaN and infinity
FLAGS = tuple(FAST)
INT = ir.IntType(64)
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
    x, y = (Matrix(context, builder, signature.args[place], args[place]) for place in (0, 3))
    starts = x.row(args[1], args[2]), y.row(args[4], args[5])
    total = cgutils.alloca_once_value(builder, ir.Constant(ir.VectorType(x.item, LANES), None))
    for place, left in vectors_of(builder, args[-1]):
        one, other = (load_masked(builder, builder.gep(start, [place]), left, x.size) for start in starts)
        builder.store(builder.fadd(builder.load(total), builder.fmul(one, other, flags=FLAGS), flags=FLAGS), total)
    return reduce(builder, "fadd", builder.load(total))


@intrinsic
def add_scaled(typingctx, out, i, a, scale, x, j, b, width):  # type: ignore[no-untyped-def]
    """out[i, a + w] += scale · x[j, b + w]."""
    return types.void(out, *_AT, out.dtype, x, *_AT, types.uintp), _add_scaled


def _add_scaled(context, builder, signature, args):  # type: ignore[no-untyped-def]
    out, x = (Matrix(context, builder, signature.args[place], args[place]) for place in (0, 4))
    target, source, scales = out.row(args[1], args[2]), x.row(args[5], args[6]), spread(builder, args[3])
    for place, left in vectors_of(builder, args[-1]):
        pointer = builder.gep(target, [place])
        added = builder.fmul(scales, load_masked(builder, builder.gep(source, [place]), left, x.size), flags=FLAGS)
        total = builder.fadd(load_masked(builder, pointer, left, x.size), added, flags=FLAGS)
        store_masked(builder, total, pointer, left, x.size)
    return context.get_dummy_value()


@intrinsic
def prefetch(typingctx, x, i, width):  # type: ignore[no-untyped-def]
    """Ask for row i of a matrix of that width to be brought near; reads nothing."""
    return types.void(x, types.uintp, types.uintp), _prefetch


def _prefetch(context, builder, signature, args):  # type: ignore[no-untyped-def]
    matrix = Matrix(context, builder, signature.args[0], args[0])
    emit_prefetch(builder, matrix.row(args[1]), builder.mul(args[2], INT(matrix.size)))
    return context.get_dummy_value()


def emit_prefetch(builder: Any, pointer: Any, size: Any) -> None:
    """Ask for ``size`` bytes from a pointer on."""
    byte, flag = ir.IntType(8), ir.IntType(32)
    start = builder.bitcast(pointer, byte.as_pointer())
    function_type = ir.FunctionType(ir.VoidType(), [byte.as_pointer(), flag, flag, flag])
    function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0")
    with cgutils.for_range_slice(builder, INT(0), size, INT(LINE)) as (offset, _):
        builder.call(function, [builder.gep(start, [offset]), flag(0), flag(3), flag(1)])


class Matrix:
    """A C-contiguous array of two dimensions as the compiler sees it; unsigned 16-bit integers hold bfloat16.

    Attributes:
        item: the type in memory; size: its bytes.
        columns: of the matrix.
    """

    def __init__(self, context: Any, builder: Any, array_type: Any, array: Any) -> None:
        self.builder = builder
        self.item = context.get_value_type(array_type.dtype)
        self.size = context.get_abi_sizeof(self.item)
        made = context.make_array(array_type)(context, builder, array)
        self.data = made.data
        self.columns = cgutils.unpack_tuple(builder, made.shape, 2)[1]

    def row(self, row: Any, column: Any = None) -> Any:
        """Pointer to a row's entry in that column, its first if none is given."""
        place = self.builder.mul(row, self.columns)
        return self.builder.gep(self.data, [place if column is None else self.builder.add(place, column)])


def widen(builder: Any, vector: Any) -> Any:
    """A vector as it lies in memory as numbers to compute with: bfloat16 is the upper half of a float32."""
    if not isinstance(vector.type.element, ir.IntType):
        return vector
    wide = ir.VectorType(ir.IntType(32), LANES)
    bits = builder.shl(builder.zext(vector, wide), ir.Constant(wide, [16] * LANES))
    return builder.bitcast(bits, ir.VectorType(ir.FloatType(), LANES))


def narrow(builder: Any, vector: Any, item: Any) -> Any:
    """Numbers as they shall lie in memory, ties to even; what is not a number stays so."""
    if not isinstance(item, ir.IntType):
        return vector
    wide = ir.VectorType(ir.IntType(32), LANES)

    def all_lanes(number: int) -> Any:
        return ir.Constant(wide, [number] * LANES)

    bits = builder.bitcast(vector, wide)
    odd = builder.and_(builder.lshr(bits, all_lanes(16)), all_lanes(1))
    rounded = builder.add(bits, builder.add(odd, all_lanes(0x7FFF)))
    magnitude = builder.and_(bits, all_lanes(0x7FFFFFFF))
    unordered = builder.icmp_unsigned(">", magnitude, all_lanes(0x7F800000))
    kept = builder.select(unordered, all_lanes(0x7FC00000), rounded)
    return builder.trunc(builder.lshr(kept, all_lanes(16)), ir.VectorType(item, LANES))


def leaky(builder: Any, x: Any, z: Any = None) -> Any:
    """x where z > 0, else SLOPE · x, in each lane; z is x unless given."""
    slopes, zeros = ir.Constant(x.type, [SLOPE] * LANES), ir.Constant(x.type, None)
    positive = builder.fcmp_ordered(">", x if z is None else z, zeros)
    return builder.select(positive, x, builder.fmul(x, slopes, flags=FLAGS))


def vectors_of(builder: Any, length: Any) -> Iterator[tuple[Any, Any]]:
    """A loop over ``length`` numbers, a vector at a time: its first place, and how many numbers are left from there."""
    with cgutils.for_range_slice(builder, INT(0), length, INT(LANES)) as (place, _):
        yield place, builder.sub(length, place)


def lanes_before(builder: Any, left: Any) -> Any:
    """Which lanes' numbers are below ``left``, an unsigned integer."""
    numbers = ir.Constant(ir.VectorType(ir.IntType(32), LANES), list(range(LANES)))
    return builder.icmp_unsigned("<", numbers, spread(builder, builder.trunc(left, ir.IntType(32))))


def load_masked(builder: Any, pointer: Any, left: Any, align: int) -> Any:
    """The first ``left`` numbers from a pointer, at most ``LANES``; the other lanes are 0 and are not read."""
    vector = ir.VectorType(pointer.type.pointee, LANES)
    args = [pointer, ir.IntType(32)(align), lanes_before(builder, left), ir.Constant(vector, None)]
    return _call(builder, "llvm.masked.load", vector, args)


def store_masked(builder: Any, vector: Any, pointer: Any, left: Any, align: int) -> None:
    """Write the first ``left`` lanes, at most ``LANES``."""
    args = [vector, pointer, ir.IntType(32)(align), lanes_before(builder, left)]
    _call(builder, "llvm.masked.store", vector.type, args, result=ir.VoidType())


def load_vector(builder: Any, pointer: Any, align: int) -> Any:
    """``LANES`` numbers from a pointer to the first."""
    vector = ir.VectorType(pointer.type.pointee, LANES)
    return builder.load(builder.bitcast(pointer, vector.as_pointer()), align=align)


def store_vector(builder: Any, vector: Any, pointer: Any, align: int) -> None:
    """``LANES`` numbers to a pointer to the first."""
    builder.store(vector, builder.bitcast(pointer, vector.type.as_pointer()), align=align)


def spread(builder: Any, number: Any) -> Any:
    """A vector of ``LANES`` times the same number."""
    empty = ir.Constant(ir.VectorType(number.type, LANES), ir.Undefined)
    first = builder.insert_element(empty, number, ir.IntType(32)(0))
    return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(ir.IntType(32), LANES), None))


def reduce(builder: Any, operation: str, vector: Any) -> Any:
    """One number from a vector's lanes, by ``fadd`` or ``fmax``."""
    item = vector.type.element
    start = [ir.Constant(item, 0.0)] if operation == "fadd" else []
    return _call(builder, f"llvm.vector.reduce.{operation}", vector.type, [*start, vector], result=item)


def rint(builder: Any, vector: Any) -> Any:
    """Each lane rounded to a whole number."""
    return _call(builder, "llvm.rint", vector.type, [vector])


def _call(builder: Any, name: str, vector: Any, args: list[Any], result: Any = None) -> Any:
    """Call LLVM's function of that name for that vector type, which it returns unless told."""
    kind = {"float": "f32", "double": "f64", "i16": "i16"}[str(vector.element)]
    pointer = ".p0" if "masked" in name else ""
    function_type = ir.FunctionType(vector if result is None else result, [argument.type for argument in args])
    function = cgutils.get_or_insert_function(builder.module, function_type, f"{name}.v{LANES}{kind}{pointer}")
    return builder.call(function, args, fastmath=() if pointer else FLAGS)
