"""LightGCN's propagation: a weighted sum over neighbours, no weights, no non-linearity (He et al. 2020).

N nodes, W width.
"""

from __future__ import annotations

from torch import Tensor

from graphrec.sparse import CSR, spmm


def propagate_mean(normalized: CSR, vectors: Tensor, layers: int) -> Tensor:
    """The mean over layers 0..K of Ãᵏ E (LightGCN eqs. 7–8 with α_k = 1/(K+1)).

    In Horner form, E + Ã(E + Ã(E + …)), so that neither direction stores a layer.

    Args:
        normalized: Ã = D^-½ A D^-½, CSR [N, N].
        vectors: layer-0 vectors E, float [N, W].
        layers: K ≥ 0.

    Returns:
        float [N, W].

    >>> import torch
    >>> from graphrec.sparse import symmetric_normalize
    >>> pair = CSR.from_pairs(torch.tensor([0, 1]), torch.tensor([1, 0]), 2, 2)
    >>> propagate_mean(symmetric_normalize(pair), torch.tensor([[1.0], [3.0]]), layers=1)
    tensor([[2.],
            [2.]])
    """
    total = vectors
    for _ in range(layers):
        total = vectors + spmm(normalized, total)
    return total / (layers + 1)


def layer_sum(normalized: CSR, vectors: Tensor, layers: int) -> Tensor:
    """The sum over layers 0..K−1 of Ãᵏ E: what the neighbours send in all K steps together; zeros at K = 0."""
    if layers == 0:
        return vectors.new_zeros(vectors.shape)
    return propagate_mean(normalized, vectors, layers - 1) * layers
