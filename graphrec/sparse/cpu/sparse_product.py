"""The product of two sparse matrices as a dense one, on the CPU.

N rows, M rows of the right matrix, K columns.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphrec.sparse.cpu.memory import empty
from graphrec.sparse.cpu.threads import for_each_block
from graphrec.sparse.cpu.vector import kernel
from graphrec.sparse.csr import CSR


def sparse_product(left: CSR, right: CSR) -> Tensor:
    """As ``graphrec.sparse.sparse_product``; each row is made in one piece of memory that stays near."""
    out = empty((left.num_rows, right.num_cols), torch.float32)
    for_each_block(_product_rows, _work(left, right), tuple, *_arrays(left), *_arrays(right), out.numpy())
    return out


def _work(left: CSR, right: CSR) -> np.ndarray:
    """Terms of each row's sums and its columns, as row pointers: what blocks are to share evenly."""
    terms = right.degree[left.col.long()].cumsum(0)
    before = torch.cat([terms.new_zeros(1), terms])[left.rowptr]
    return (before + torch.arange(left.num_rows + 1) * right.num_cols).numpy()


def _arrays(csr: CSR) -> tuple[np.ndarray, ...]:
    """Row pointers, columns and values; no values stand for ones."""
    value = torch.empty(0) if csr.value is None else csr.value
    return csr.rowptr.numpy(), csr.col.numpy(), value.numpy()


@kernel
def _product_rows(  # type: ignore[no-untyped-def]
    block, first_row, last_row, scratch, rowptr, col, value, right_rowptr, right_col, right_value, out
):
    for row in range(np.intp(first_row), np.intp(last_row)):
        sums = out[row]
        sums[:] = np.float32(0)
        for edge in range(rowptr[row], rowptr[row + 1]):
            weight = value[edge] if len(value) else np.float32(1)
            middle = col[edge]
            for term in range(right_rowptr[middle], right_rowptr[middle + 1]):
                sums[right_col[term]] += weight * (right_value[term] if len(right_value) else np.float32(1))
