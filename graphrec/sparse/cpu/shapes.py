"""Attention's three passes as kernels, compiled for one shape or for any.

With the number of heads and the widths known to the compiler, loops unroll into straight code, which takes half the
time. Each shape costs seconds of compilation, once on a machine, so small graphs use the kernels for any shape.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from graphrec.sparse.cpu.attend import attend_rows
from graphrec.sparse.cpu.attend_backward import receivers_backward, senders_backward
from graphrec.sparse.cpu.vector import inlined, kernel

LARGE = 300_000  # edges from which compiling for the shape pays


class Passes(NamedTuple):
    """What ``for_each_block`` runs; arguments as in ``attend_rows``, ``receivers_backward``, ``senders_backward``."""

    attend: Any
    receivers: Any
    senders: Any


def passes(num_edges: int, heads: int, score_width: int, width: int, is_v2: bool) -> Passes:
    """The kernels for a graph of that many edges, H heads, score width Dq and value width D."""
    return _for_shape(heads, score_width, width, is_v2) if num_edges >= LARGE else _for_any(is_v2)


@lru_cache
def _for_shape(heads: int, score_width: int, width: int, is_v2: bool) -> Passes:
    # variables that the functions below enclose are constants to the compiler
    H, Dq, D = np.uintp(heads), np.uintp(score_width), np.uintp(width)

    def attend(block, first, last, scratch, *arrays):  # type: ignore[no-untyped-def]
        attend_rows(H, Dq, D, is_v2, block, first, last, scratch, *arrays)

    def receivers(block, first, last, scratch, *arrays):  # type: ignore[no-untyped-def]
        receivers_backward(H, Dq, D, is_v2, block, first, last, scratch, *arrays)

    def senders(block, first, last, scratch, *arrays):  # type: ignore[no-untyped-def]
        senders_backward(H, Dq, D, is_v2, block, first, last, scratch, *arrays)

    return Passes(kernel(attend), kernel(receivers), kernel(senders))


@lru_cache
def _for_any(is_v2: bool) -> Passes:
    def attend(block, first, last, scratch, *arrays):  # type: ignore[no-untyped-def]
        H, Dq, D = _shape(scratch, arrays[3])
        attend_rows(H, Dq, D, is_v2, block, first, last, scratch, *arrays)

    def receivers(block, first, last, scratch, *arrays):  # type: ignore[no-untyped-def]
        H, Dq, D = _shape(scratch, arrays[3])
        receivers_backward(H, Dq, D, is_v2, block, first, last, scratch, *arrays)

    def senders(block, first, last, scratch, *arrays):  # type: ignore[no-untyped-def]
        H, Dq, D = _shape(scratch, arrays[3])
        senders_backward(H, Dq, D, is_v2, block, first, last, scratch, *arrays)

    return Passes(kernel(attend), kernel(receivers), kernel(senders))


@inlined
def _shape(scratch, value):  # type: ignore[no-untyped-def]
    heads = np.uintp(len(scratch.shift))
    return heads, np.uintp(scratch.moved.shape[1]) // heads, np.uintp(value.shape[1]) // heads
