"""LightGCN's propagation: a weighted sum over neighbours, no weights, no non-linearity (He et al. 2020).

N nodes, W width.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd import Function

from graphrec.errors import UsageError
from graphrec.sparse import CSR, spmm


def propagate_mean(normalized: CSR, vectors: Tensor, layers: int, rows: Tensor | None = None) -> Tensor:
    """The mean over layers 0..K of Ãᵏ E (LightGCN eqs. 7–8 with α_k = 1/(K+1)).

    In Horner form, E + Ã(E + Ã(E + …)), so that no layer is stored. Ã is its own transpose, so the gradient is the same
    sum of the gradient that comes in.

    Args:
        normalized: Ã = D^-½ A D^-½, CSR [N, N], symmetric.
        vectors: layer-0 vectors E, float [N, W].
        layers: K ≥ 0.
        rows: int64 [n], distinct nodes whose vectors alone are wanted; None means all.

    Returns:
        float [N, W], or [n, W].

    Raises:
        UsageError: the matrix is not symmetric or a row comes twice, so that the gradient would be wrong; or a row is
            out of range.

    >>> import torch
    >>> from graphrec.sparse import symmetric_normalize
    >>> pair = CSR.from_pairs(torch.tensor([0, 1]), torch.tensor([1, 0]), 2, 2)
    >>> propagate_mean(symmetric_normalize(pair), torch.tensor([[1.0], [3.0]]), layers=1)
    tensor([[2.],
            [2.]])
    """
    if not normalized.symmetric:
        raise UsageError("propagate_mean needs a symmetric matrix", "make it with symmetric_normalize")
    if rows is not None and len(rows.unique()) < len(rows):
        raise UsageError("rows must be distinct", "use rows.unique()")
    last = normalized if rows is None else normalized.take_rows(rows)
    mean: Tensor = _PropagateMean.apply(normalized, last, vectors, layers, rows)  # type: ignore[no-untyped-call]
    return mean


class _PropagateMean(Function):
    """``propagate_mean``; the last product gives, and the first one backward takes, the wanted rows alone."""

    @staticmethod
    def forward(ctx: Any, normalized: CSR, last: CSR, vectors: Tensor, layers: int, rows: Tensor | None) -> Tensor:
        ctx.graphs, ctx.layers, ctx.rows = (normalized, last), layers, rows
        total = vectors
        for _ in range(layers - 1):
            total = spmm(normalized, total, plus=vectors)
        first = vectors if rows is None else vectors[rows]
        return (spmm(last, total, plus=first) if layers else first) / (layers + 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (normalized, last), layers, rows = ctx.graphs, ctx.layers, ctx.rows
        first = grad / (layers + 1)
        if rows is None:
            total = first
            for _ in range(layers):
                total = spmm(normalized, total, plus=first)
            return None, None, total, None, None
        total = spmm(last.transpose[0], first) if layers else grad.new_zeros(normalized.num_rows, grad.shape[1])
        total[rows] += first
        for _ in range(layers - 1):
            total = spmm(normalized, total)
            total[rows] += first
        return None, None, total, None, None


def layer_sum(normalized: CSR, vectors: Tensor, layers: int) -> Tensor:
    """The sum over layers 0..K−1 of Ãᵏ E: what the neighbours send in all K steps together; zeros at K = 0."""
    if layers == 0:
        return vectors.new_zeros(vectors.shape)
    return propagate_mean(normalized, vectors, layers - 1) * layers
