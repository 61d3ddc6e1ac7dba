"""The sparse product by the GPU vendor's library (cuSPARSE), through torch."""

from __future__ import annotations

import torch
from torch import Tensor


def spmm(rowptr: Tensor, col: Tensor, value: Tensor | None, x: Tensor, plus: Tensor | None = None) -> Tensor:
    """As ``graphrec.sparse.spmm``, from the graph's tensors: float [N, W] from x float [M, W]."""
    weight = x.new_ones(len(col)) if value is None else value.to(x.dtype)
    size = (len(rowptr) - 1, len(x))
    out = torch.sparse_csr_tensor(rowptr.to(col.dtype), col, weight, size, check_invariants=False) @ x
    return out if plus is None else out.add_(plus)
