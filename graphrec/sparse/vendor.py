"""The sparse product by the GPU vendor's library (cuSPARSE), through torch."""

from __future__ import annotations

import torch
from torch import Tensor


def spmm(rowptr: Tensor, col: Tensor, value: Tensor | None, x: Tensor) -> Tensor:
    """out_i = Σ_e value_e x_j over the edges e = (i ← j) of row i: float [N, W] from x float [M, W]."""
    weight = x.new_ones(len(col)) if value is None else value.to(x.dtype)
    size = (len(rowptr) - 1, len(x))
    return torch.sparse_csr_tensor(rowptr.to(col.dtype), col, weight, size, check_invariants=False) @ x
