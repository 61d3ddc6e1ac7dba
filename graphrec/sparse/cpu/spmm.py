"""The sparse product on the CPU.

N rows, M columns, E edges, W width.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphrec.sparse.cpu.threads import for_each_block
from graphrec.sparse.cpu.vector import AHEAD, add_scaled, kernel, prefetch


def spmm(rowptr: Tensor, col: Tensor, value: Tensor | None, x: Tensor) -> Tensor:
    """out_i = Σ_e value_e x_j over the edges e = (i ← j) of row i, float [N, W]; see ``graphrec.sparse.spmm``."""
    out = torch.empty(len(rowptr) - 1, x.shape[1], dtype=x.dtype)
    weight = x.new_empty(0) if value is None else value.to(x.dtype)
    pointers = rowptr.numpy()
    for_each_block(_spmm, pointers, tuple, pointers, col.numpy(), weight.numpy(), x.contiguous().numpy(), out.numpy())
    return out


@kernel
def _spmm(block, first_row, last_row, scratch, rowptr, col, weight, x, out):  # type: ignore[no-untyped-def]
    one, width, last_edge = np.uintp(1), np.uintp(x.shape[1]), np.uintp(len(col) - 1)
    for row in range(first_row, last_row):
        out[row] = 0
        for edge in range(np.uintp(rowptr[row]), np.uintp(rowptr[row + one])):
            prefetch(x, np.uintp(col[min(edge + AHEAD, last_edge)]), width)
            scale = weight[edge] if len(weight) else out.dtype.type(1)
            add_scaled(out, row, 0, scale, x, np.uintp(col[edge]), 0, width)
