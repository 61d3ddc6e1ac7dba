"""What the kernels share: reading pieces, gathering vectors, the score of an edge, dropout.

A program's block has the dimensions (p, l, h, w): pieces, lanes (edges of a piece at a time), heads, width. Each is a
power of two, so every load and store masks what lies beyond the true sizes, given as ``H`` and ``D`` or ``Dq``. What is
the same for all lanes has l = 1. A node is int64, for node · H · D may pass 2³¹. An optional tensor is a pointer or
None, and ``is not None`` is decided when the kernel is compiled.
"""

from __future__ import annotations

import triton
import triton.language as tl

from graphrec.sparse.reference import SLOPE

_SLOPE = tl.constexpr(SLOPE)


@triton.jit
def take_pieces(first, count, row, slot, num_pieces, PIECES: tl.constexpr):  # type: ignore[no-untyped-def]
    """This program's pieces: first edge, edges, row, slot and whether there is one at all, each [p]."""
    piece = tl.program_id(0) * PIECES + tl.arange(0, PIECES)
    there = piece < num_pieces
    begin = tl.load(first + piece, mask=there, other=0)
    length = tl.load(count + piece, mask=there, other=0)
    own = tl.load(row + piece, mask=there, other=0).to(tl.int64)
    part = tl.load(slot + piece, mask=there, other=-1).to(tl.int64)
    return begin, length, own, part, there


@triton.jit
def take_edges(begin, length, step, LANES: tl.constexpr):  # type: ignore[no-untyped-def]
    """The edges of one step, int64 [p, l], and whether there is one."""
    lane = step + tl.arange(0, LANES)[None, :]
    return begin[:, None] + lane, lane < length[:, None]


@triton.jit
def gather(numbers, edge, here):  # type: ignore[no-untyped-def]
    """The node (or type) that ``numbers`` [E] holds for each edge; the edge itself without ``numbers``."""
    if numbers is not None:
        return tl.load(numbers + edge, mask=here, other=0).to(tl.int64)
    else:
        return edge


@triton.jit
def load_vectors(  # type: ignore[no-untyped-def]
    pointer, node, there, H: tl.constexpr, D: tl.constexpr, HEADS: tl.constexpr, WIDTH: tl.constexpr
):
    """float32 (p, l, h, w): the vectors [·, H, D] of nodes [p, l], 0 where there is none."""
    at, mask = _places(node, there, H, D, HEADS, WIDTH)
    return tl.load(pointer + at, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def store_vectors(  # type: ignore[no-untyped-def]
    pointer, block, node, there, H: tl.constexpr, D: tl.constexpr, HEADS: tl.constexpr, WIDTH: tl.constexpr
):
    """Write float32 (p, h, w) as the vectors [·, H, D] of nodes [p]."""
    at, mask = _places(node[:, None], there[:, None], H, D, HEADS, WIDTH)
    tl.store(pointer + at, block[:, None, :, :].to(pointer.dtype.element_ty), mask=mask)


@triton.jit
def store_sums(  # type: ignore[no-untyped-def]
    out, part, block, own, place, there,
    H: tl.constexpr, D: tl.constexpr, HEADS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Write float32 (p, h, w): a row in one piece to its row of ``out``, a hub's piece to its slot of ``part``."""
    if out is not None:
        store_vectors(out, block, own, there & (place < 0), H, D, HEADS, WIDTH)
    if part is not None:
        store_vectors(part, block, place, there & (place >= 0), H, D, HEADS, WIDTH)


@triton.jit
def _places(  # type: ignore[no-untyped-def]
    node, there, H: tl.constexpr, D: tl.constexpr, HEADS: tl.constexpr, WIDTH: tl.constexpr
):
    head = tl.arange(0, HEADS)[None, None, :, None]
    width = tl.arange(0, WIDTH)[None, None, None, :]
    return (node[:, :, None, None] * H + head) * D + width, there[:, :, None, None] & (head < H) & (width < D)


@triton.jit
def load_numbers(pointer, node, there, H: tl.constexpr, HEADS: tl.constexpr):  # type: ignore[no-untyped-def]
    """float32 (p, l, h): the numbers [·, H] of nodes [p, l], 0 where there is none."""
    head = tl.arange(0, HEADS)[None, None, :]
    mask = there[:, :, None] & (head < H)
    return tl.load(pointer + node[:, :, None] * H + head, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def store_numbers(pointer, block, node, there, H: tl.constexpr, HEADS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Write float32 (p, l, h) as the numbers [·, H] of nodes [p, l]."""
    head = tl.arange(0, HEADS)[None, None, :]
    mask = there[:, :, None] & (head < H)
    tl.store(pointer + node[:, :, None] * H + head, block.to(pointer.dtype.element_ty), mask=mask)


@triton.jit
def load_shared(pointer, H: tl.constexpr, D: tl.constexpr, HEADS: tl.constexpr, WIDTH: tl.constexpr):  # type: ignore[no-untyped-def]
    """float32 (1, 1, h, w) of one tensor [H, D] that all edges share."""
    head, width = tl.arange(0, HEADS)[:, None], tl.arange(0, WIDTH)[None, :]
    block = tl.load(pointer + head * D + width, mask=(head < H) & (width < D), other=0.0)
    return block.to(tl.float32)[None, None, :, :]


@triton.jit
def shifted_keys(  # type: ignore[no-untyped-def]
    key, kind, here, scale, relation_key, H: tl.constexpr, Dq: tl.constexpr, HEADS: tl.constexpr, WIDTH: tl.constexpr
):
    """scale · k + r of each edge (p, l, h, w), from its key and its type [p, l]."""
    if scale is not None:
        key = key * load_shared(scale, H, 1, HEADS, 1)
    if relation_key is not None:
        key = key + load_vectors(relation_key, kind, here, H, Dq, HEADS, WIDTH)
    return key


@triton.jit
def scores(query, key, vector, H: tl.constexpr, Dq: tl.constexpr, HEADS: tl.constexpr, WIDTH: tl.constexpr):  # type: ignore[no-untyped-def]
    """s of each edge (p, l, h), from its query and its shifted key: v2 with a vector, dot without."""
    if vector is not None:
        z = query + key
        return tl.sum(load_shared(vector, H, Dq, HEADS, WIDTH) * z * _leaky_slopes(z), 3)
    else:
        return tl.sum(query * key, 3)


@triton.jit
def add_biases(  # type: ignore[no-untyped-def]
    logit, bias, node, there, relation_bias, kind, here, H: tl.constexpr, HEADS: tl.constexpr
):
    """The logit from s (p, l, h): with the bias of sender ``node`` and of type ``kind``; −inf where no edge is."""
    if bias is not None:
        logit += load_numbers(bias, node, there, H, HEADS)
    if relation_bias is not None:
        logit += load_numbers(relation_bias, kind, here, H, HEADS)
    return tl.where(here[:, :, None], logit, float("-inf"))


@triton.jit
def center_of(logit):  # type: ignore[no-untyped-def]
    """What to subtract from logits up to this one before exp; 0 for −inf, where all are masked."""
    return tl.where(logit == float("-inf"), 0.0, logit)  # −inf − (−inf) is not a number


@triton.jit
def slopes(query, key, vector, other):  # type: ignore[no-untyped-def]
    """∂s/∂z without its factor, the vector, for v2; ``other``, whichever of query and key is meant, for dot."""
    if vector is not None:
        return _leaky_slopes(query + key)
    else:
        return other


@triton.jit
def _leaky_slopes(z):  # type: ignore[no-untyped-def]
    """The leaky ReLU's derivative, with which leaky_relu(z) = z · slope."""
    return tl.where(z > 0, 1.0, _SLOPE)


@triton.jit
def times_vector(  # type: ignore[no-untyped-def]
    total, vector, H: tl.constexpr, Dq: tl.constexpr, HEADS: tl.constexpr, WIDTH: tl.constexpr
):
    """A sum of ``slopes`` (p, h, w) with the factor that they lack."""
    if vector is not None:
        total = total * tl.sum(load_shared(vector, H, Dq, HEADS, WIDTH), 1)
    return total


@triton.jit
def kept_scales(  # type: ignore[no-untyped-def]
    edge, first, second, threshold, kept, H: tl.constexpr, HEADS: tl.constexpr
):
    """m of each edge and head (p, l, h): 0 where dropout takes it, else ``kept``; as ``reference.keep_mask``.

    The three constants of the hash are 32-bit numbers that come as signed ones; they are None without dropout.
    """
    if kept is not None:
        counter = edge[:, :, None] * H + tl.arange(0, HEADS)[None, None, :]
        hashed = _mix(counter.to(tl.uint32) ^ first.to(tl.uint32))
        hashed = _mix(hashed + (counter >> 32).to(tl.uint32) + second.to(tl.uint32))
        return tl.where(hashed >= threshold.to(tl.uint32), kept, 0.0)
    else:
        return 1.0


@triton.jit
def _mix(number):  # type: ignore[no-untyped-def]
    number = (number ^ (number >> 16)) * 0x7FEB352D
    number = (number ^ (number >> 15)) * 0x846CA68B
    return number ^ (number >> 16)
