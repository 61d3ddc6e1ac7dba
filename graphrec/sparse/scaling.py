"""Edge values made of a number for each node.

N rows, M columns.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from graphrec.errors import ArrayError
from graphrec.sparse.csr import CSR

_EDGES_AT_ONCE = 2**22


def symmetric_normalize(csr: CSR) -> CSR:
    """D^-½ A D^-½: the value of an edge between i and j is 1/√(d_i d_j) (Kipf & Welling 2017, §2, without self-loops).

    Raises:
        UsageError: the graph is not its own transpose.

    >>> star = CSR.from_pairs(torch.tensor([0, 0, 1, 2]), torch.tensor([1, 2, 0, 0]), 3, 3)
    >>> symmetric_normalize(star).value
    tensor([0.7071, 0.7071, 0.7071, 0.7071])
    """
    structure = csr if csr.value is None else csr.with_value(None)
    if not structure.symmetric:
        raise ArrayError("symmetric_normalize needs a graph in which every edge stands with its reverse")
    scale = csr.degree.clamp(min=1).double().rsqrt()  # a row without edges is never read
    return scale_edges(structure, scale, scale).known_symmetric()


def scale_edges(csr: CSR, row_scale: Tensor, col_scale: Tensor) -> CSR:
    """The same edges with values row_scale_i · col_scale_j, computed a few million at a time.

    Args:
        csr: [N, M]; its values are not used.
        row_scale, col_scale: float [N], [M], of one type.

    >>> pair = CSR.from_pairs(torch.tensor([0, 0]), torch.tensor([0, 1]), 1, 2)
    >>> scale_edges(pair, torch.tensor([2.0]), torch.tensor([1.0, 3.0])).value
    tensor([2., 6.])
    """
    value = torch.empty(csr.num_edges, device=csr.device)
    starts = torch.arange(0, csr.num_edges, _EDGES_AT_ONCE, device=csr.device)
    inner = (torch.searchsorted(csr.rowptr, starts[1:], right=True) - 1).unique()  # whole rows, so a hub's is longer
    for first, last in itertools.pairwise([0, *inner.tolist(), csr.num_rows]):
        begin, end = int(csr.rowptr[first]), int(csr.rowptr[last])
        rows = row_scale[first:last].repeat_interleave(csr.degree[first:last], output_size=end - begin)
        value[begin:end] = rows * col_scale[csr.col[begin:end]]
    return csr.with_value(value)
