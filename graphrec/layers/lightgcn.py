"""LightGCN's propagation: a weighted sum over neighbours, no weights, no non-linearity (He et al. 2020).

N nodes, W width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import embedding, normalize

from graphrec.errors import ArrayError
from graphrec.sparse import CSR, spmm
from graphrec.sparse.checks import check_range


def propagate_mean(normalized: CSR, vectors: Tensor, layers: int, storage: torch.dtype | None = None) -> Tensor:
    """The mean over layers 0..K of Ãᵏ E (LightGCN eqs. 7–8 with α_k = 1/(K+1)).

    In Horner form, E + Ã(E + Ã(E + …)), so that no layer is stored. Ã is its own transpose, so the gradient is the same
    sum of the gradient that comes in.

    Args:
        normalized: Ã = D^-½ A D^-½, CSR [N, N], symmetric.
        vectors: layer-0 vectors E, float [N, W].
        layers: K ≥ 0.
        storage: the type that what lies between the layers is stored in; sums, E, the result and E's gradient keep
            theirs. None means E's type.

    Returns:
        float [N, W].

    Raises:
        UsageError: the matrix is not symmetric, so that the gradient would be wrong.

    >>> from graphrec.sparse import symmetric_normalize
    >>> pair = CSR.from_pairs(torch.tensor([0, 1]), torch.tensor([1, 0]), 2, 2)
    >>> propagate_mean(symmetric_normalize(pair), torch.tensor([[1.0], [3.0]]), layers=1)
    tensor([[2.],
            [2.]])
    """
    _check_symmetric(normalized)
    stored = vectors.dtype if storage is None else storage
    mean: Tensor = _PropagateMean.apply(normalized, vectors, layers, stored)  # type: ignore[no-untyped-call]
    return mean


def propagate_mean_to(
    normalized: CSR, vectors: Tensor, layers: int, rows: Tensor, storage: torch.dtype | None = None
) -> tuple[Tensor, Tensor]:
    """Some rows of ``propagate_mean`` and the same rows of E, for a training step.

    The last product gives, and the first of the backward pass takes, these rows alone. That the rows of E come along
    saves their gradient an array of E's size: it is added to the one that propagation makes anyway.

    Args:
        normalized, vectors, layers: as in ``propagate_mean``.
        rows: int64 [n], distinct.
        storage: as in ``propagate_mean``.

    Returns:
        Both float [n, W].

    Raises:
        UsageError: as ``propagate_mean``, or a row comes twice or is out of range.

    >>> from graphrec.sparse import symmetric_normalize
    >>> pair = CSR.from_pairs(torch.tensor([0, 1]), torch.tensor([1, 0]), 2, 2)
    >>> propagate_mean_to(symmetric_normalize(pair), torch.tensor([[1.0], [3.0]]), layers=1, rows=torch.tensor([1]))
    (tensor([[2.]]), tensor([[3.]]))
    """
    _check_symmetric(normalized)
    if rows.device.type == "cpu":  # elsewhere a look would wait for the device
        _check_distinct(rows, normalized.num_rows)
    stored = vectors.dtype if storage is None else storage
    both: tuple[Tensor, Tensor] = _PropagateMeanTo.apply(  # type: ignore[no-untyped-call]
        normalized, vectors, layers, rows, stored
    )
    return both


class _PropagateMean(Function):
    @staticmethod
    def forward(ctx: Any, normalized: CSR, vectors: Tensor, layers: int, storage: torch.dtype) -> Tensor:
        ctx.normalized, ctx.layers, ctx.storage = normalized, layers, storage
        return _layer_total(normalized, vectors, layers, storage).div_(layers + 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        total = _layer_total(ctx.normalized, grad, ctx.layers, ctx.storage).div_(ctx.layers + 1)
        return None, total, None, None


def _layer_total(normalized: CSR, vectors: Tensor, layers: int, storage: torch.dtype) -> Tensor:
    """The sum over layers 0..K of Ãᵏ E, a tensor of its own of E's type."""
    if layers == 0:
        return vectors.clone()
    return spmm(normalized, _horner(normalized, vectors.to(storage), layers - 1), plus=vectors, dtype=vectors.dtype)


def _horner(normalized: CSR, vectors: Tensor, layers: int) -> Tensor:
    """The sum over layers 0..K of Ãᵏ E, in E's type."""
    total = vectors
    for _ in range(layers):
        total = spmm(normalized, total, plus=vectors)
    return total


class _PropagateMeanTo(Function):
    @staticmethod
    def forward(
        ctx: Any, normalized: CSR, vectors: Tensor, layers: int, rows: Tensor, storage: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        ctx.normalized, ctx.layers, ctx.rows, ctx.storage = normalized, layers, rows, storage
        own = vectors.index_select(0, rows)
        if layers == 0:
            return own.clone(), own
        total = _horner(normalized, vectors.to(storage), layers - 1)
        received = spmm(normalized, total, rows=rows, plus=own, dtype=vectors.dtype)
        return received.div_(layers + 1), own

    @staticmethod
    def backward(ctx: Any, grad: Tensor, grad_own: Tensor) -> tuple[Tensor | None, ...]:
        normalized, layers, rows = ctx.normalized, ctx.layers, ctx.rows
        share = grad / (layers + 1)
        sent, senders = share.to(ctx.storage), rows
        for layer in range(layers, 0, -1):
            dtype = grad.dtype if layer == 1 else ctx.storage
            total = spmm(normalized, sent, senders=senders, dtype=dtype)
            added = share if layer > 1 else share + grad_own
            total.index_copy_(0, rows, total.index_select(0, rows).add_(added))  # index_add_ takes twice the time
            sent, senders = total, None
        if layers == 0:
            sent = grad.new_zeros(normalized.num_rows, grad.shape[1]).index_add_(0, rows, share + grad_own)
        return None, sent, None, None, None


def propagate_noisy(
    normalized: CSR,
    vectors: Tensor,
    rows: Tensor,
    layers: int,
    *,
    noise: float,
    layer: int,
    generator: torch.Generator,
    storage: torch.dtype | None = None,
) -> tuple[Tensor, Tensor]:
    """Layers under noise: e_k = Ã e_(k−1) + ε sign(Ã e_(k−1)) ⊙ n/‖n‖ (Yu et al. 2022, SimGCL, and its code).

    n is uniform in [0, 1)^W, drawn anew for each node and layer. The gradient passes the noise by.

    Args:
        normalized, vectors: as in ``propagate_mean``.
        rows: int64 [n], distinct.
        layers: K ≥ 1.
        noise: ε ≥ 0.
        layer: from 1 to K, the one to give back by itself.
        generator: of the noise.
        storage: as in ``propagate_mean``.

    Returns:
        Of the rows, the mean over layers 1..K and one layer, both float [n, W].
    """
    _check_symmetric(normalized)
    stored, chosen, total = vectors.dtype if storage is None else storage, None, None
    for number in range(1, layers + 1):
        last = number == layers  # which is of use in these rows alone
        vectors = spmm(normalized, vectors.to(stored), rows=rows if last else None, dtype=vectors.dtype)
        drawn = torch.rand(vectors.shape, generator=generator, dtype=vectors.dtype, device=vectors.device)
        vectors = vectors + noise * vectors.detach().sign() * normalize(drawn, dim=-1)
        own = vectors if last else embedding(rows, vectors)
        total = own if total is None else total + own
        chosen = own if number == layer else chosen
    assert total is not None and chosen is not None
    return total / layers, chosen


def drop_pairs(normalized: CSR, item_order: Tensor, share: float, generator: torch.Generator) -> CSR:
    """Ã without some of the pairs, drawn anew at each call, both directions of a pair together: it stays symmetric.

    Degrees are those of the whole graph, and the kept edges count 1/(1 − p), as in LightGCN's code, so that what a node
    receives stays the same on average and fits the scores, which are made over all edges. The edges that are left out
    keep their places, with the value 0: nothing is sorted or transposed.

    Args:
        normalized: Ã of users and items alone, the users first: its first half of edges are the users', by user and
            item, the other the items'.
        item_order: int64 [E/2], the places of the items' edges among the users': ``seen.transpose[1]``.
        share: p in [0, 1), the probability of a pair to be left out.
        generator: of the draw.
    """
    assert normalized.value is not None
    drawn = torch.rand(len(item_order), generator=generator, device=normalized.device)
    factor = (drawn >= share).float().mul_(1 / (1 - share))
    both = torch.cat([factor, factor.index_select(0, item_order)]).mul_(normalized.value)
    return normalized.with_value(both).known_symmetric()


def _check_symmetric(normalized: CSR) -> None:
    if not normalized.symmetric:
        raise ArrayError("propagate_mean needs a symmetric matrix", "make it with symmetric_normalize")


def _check_distinct(rows: Tensor, size: int) -> None:
    check_range("rows", rows, size)
    number = torch.arange(len(rows))
    if not torch.equal(number.new_zeros(size).index_copy(0, rows, number)[rows], number):
        raise ArrayError("rows must be distinct", "use rows.unique()")


def layer_sum(normalized: CSR, vectors: Tensor, layers: int) -> Tensor:
    """The sum over layers 0..K−1 of Ãᵏ E: what the neighbours send in all K steps together; zeros at K = 0."""
    if layers == 0:
        return vectors.new_zeros(vectors.shape)
    return propagate_mean(normalized, vectors, layers - 1) * layers
