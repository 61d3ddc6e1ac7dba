"""Attention's passes as kernels, compiled for one shape or for any.

With the number of heads and the widths known to the compiler, loops unroll into straight code, which takes half the
time. Each shape costs seconds of compilation, once on a machine, so small graphs use the kernels for any shape.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from graphrec.sparse.cpu.attend import attend_rows
from graphrec.sparse.cpu.attend_backward import queries_backward, senders_backward, softmax_rows
from graphrec.sparse.cpu.vector import inlined, kernel

LARGE = 300_000  # edges from which compiling for the shape pays


class Passes(NamedTuple):
    """What ``for_each_block`` runs; each is named after the function that has its arguments."""

    attend: Any
    softmax: Any
    senders: Any
    queries: Any


def passes(num_edges: int, heads: int, score_width: int, width: int, is_v2: bool) -> Passes:
    """The kernels for a graph of that many edges, H heads, score width Dq and value width D."""
    return _for_shape(heads, score_width, width, is_v2) if num_edges >= LARGE else _for_any(is_v2)


@lru_cache
def _for_shape(heads: int, score_width: int, width: int, is_v2: bool) -> Passes:
    # variables that the functions below enclose are constants to the compiler
    H, Dq, D = np.uintp(heads), np.uintp(score_width), np.uintp(width)

    def attend(block, first, last, scratch, *arrays):  # type: ignore[no-untyped-def]
        attend_rows(H, Dq, D, is_v2, block, first, last, scratch, *arrays)

    def softmax(block, first, last, scratch, *arrays):  # type: ignore[no-untyped-def]
        softmax_rows(H, D, first, last, *arrays)

    def senders(block, first, last, scratch, *arrays):  # type: ignore[no-untyped-def]
        senders_backward(H, Dq, D, is_v2, block, first, last, scratch, *arrays)

    def queries(block, first, last, scratch, *arrays):  # type: ignore[no-untyped-def]
        queries_backward(H, Dq, is_v2, first, last, scratch, *arrays)

    return Passes(kernel(attend), kernel(softmax), kernel(senders), kernel(queries))


@lru_cache
def _for_any(is_v2: bool) -> Passes:
    def attend(block, first, last, scratch, *arrays):  # type: ignore[no-untyped-def]
        H, Dq, D = _shape(scratch, arrays[3])
        attend_rows(H, Dq, D, is_v2, block, first, last, scratch, *arrays)

    def softmax(block, first, last, scratch, *arrays):  # type: ignore[no-untyped-def]
        heads = np.uintp(arrays[2].shape[1])
        softmax_rows(heads, np.uintp(arrays[0].shape[1]) // heads, first, last, *arrays)

    def senders(block, first, last, scratch, *arrays):  # type: ignore[no-untyped-def]
        H, Dq, D = _shape(scratch, arrays[3])
        senders_backward(H, Dq, D, is_v2, block, first, last, scratch, *arrays)

    def queries(block, first, last, scratch, *arrays):  # type: ignore[no-untyped-def]
        H, Dq, _ = _shape(scratch, arrays[1])
        queries_backward(H, Dq, is_v2, first, last, scratch, *arrays)

    return Passes(kernel(attend), kernel(softmax), kernel(senders), kernel(queries))


@inlined
def _shape(scratch, value):  # type: ignore[no-untyped-def]
    heads = np.uintp(len(scratch.shift))
    return heads, np.uintp(scratch.moved.shape[1]) // heads, np.uintp(value.shape[1]) // heads
