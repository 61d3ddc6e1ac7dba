"""The sparse product by the GPU vendor's library (cuSPARSE), through torch."""

from __future__ import annotations

import torch
from torch import Tensor


def spmm(rowptr: Tensor, col: Tensor, value: Tensor | None, x: Tensor, dtype: torch.dtype) -> Tensor:
    """out_i = Σ_e value_e x_j over the edges e = (i ← j) of row i: dtype [N, W] from x float [M, W]."""
    x = x.to(torch.promote_types(x.dtype, dtype))  # the library writes what it reads
    weight = x.new_ones(len(col)) if value is None else value.to(x.dtype)
    size = (len(rowptr) - 1, len(x))
    matrix = torch.sparse_csr_tensor(rowptr.to(col.dtype), col, weight, size, check_invariants=False)
    return (matrix @ x).to(dtype)
