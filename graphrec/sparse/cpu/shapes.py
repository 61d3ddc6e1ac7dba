"""Attention kernels for given shapes.

Compiled for one number of heads and widths, loops unroll into straight code, several times faster than code for any
shape. It takes seconds to compile, once for each shape on a machine, so small graphs use the code for any shape.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from graphrec.sparse.cpu.attend import attend_rows
from graphrec.sparse.cpu.attend_backward import receivers_backward, senders_backward
from graphrec.sparse.cpu.vector import kernel

LARGE = 300_000  # edges


class Kernels(NamedTuple):
    """The three passes, called by ``for_each_block``."""

    attend: Callable[..., None]
    receivers: Callable[..., None]
    senders: Callable[..., None]


def kernels(num_edges: int, heads: int, score_width: int, width: int) -> Kernels:
    """The passes for a graph of this size and these shapes."""
    return _for_shape(heads, score_width, width) if num_edges >= LARGE else _for_any()


@lru_cache
def _for_shape(heads: int, score_width: int, width: int) -> Kernels:
    shape = np.uintp(heads), np.uintp(score_width), np.uintp(width)  # constants of what is compiled
    heads, score_width, width = shape
    def attend(block, first_row, last_row, scratch, edges, query, key, value, terms, dropout, out, lse):
        attend_rows(heads, score_width, width, block, first_row, last_row, scratch, edges, query, key, value, terms, dropout, out, lse)
    def receivers(block, first_row, last_row, scratch, edges, query, key, value, terms, dropout, lse, delta, grad_out, grad_query, grad_vector, grad_relation_key, grad_relation_bias):
        receivers_backward(heads, score_width, width, block, first_row, last_row, scratch, edges, query, key, value, terms, dropout, lse, delta, grad_out, grad_query, grad_vector, grad_relation_key, grad_relation_bias)
    def senders(block, first_row, last_row, scratch, edges, query, key, value, terms, dropout, lse, delta, grad_out, grad_key, grad_value, grad_bias):
        senders_backward(heads, score_width, width, block, first_row, last_row, scratch, edges, query, key, value, terms, dropout, lse, delta, grad_out, grad_key, grad_value, grad_bias)
    return Kernels(kernel(attend), kernel(receivers), kernel(senders))


def _for_any():
    return _for_shape(4,1,16)
