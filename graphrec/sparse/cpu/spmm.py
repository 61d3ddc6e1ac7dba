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
    weight = np.ones(1) if value is None else value.numpy()
    for_each_block(_spmm, rowptr.numpy(), col.numpy(), weight, x.contiguous().numpy(), out.numpy())
    return out


@kernel
def _spmm(block, first_row, last_row, rowptr, col, weight, x, out):  # type: ignore[no-untyped-def]
    width = x.shape[1]
    step = 1 if len(weight) == len(col) else 0
    for row in range(first_row, last_row):
        out[row] = 0
        for edge in range(rowptr[row], rowptr[row + 1]):
            prefetch(x, col[min(edge + AHEAD, len(col) - 1)])
            add_scaled(out, row, 0, out.dtype.type(weight[edge * step]), x, col[edge], 0, width)
