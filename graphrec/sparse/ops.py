"""The public operations on a CSR, each by the backend that is picked for it.

N rows, M columns, E edges, H heads, D width of a value, Dq width of a query and a key, R relations, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from graphrec.errors import ArrayError, BackendError, SettingError
from graphrec.sparse import cpu, operators, reference, scatter
from graphrec.sparse.backends import pick
from graphrec.sparse.checks import check_alike, check_range, check_shape, check_terms
from graphrec.sparse.csr import CSR
from graphrec.sparse.terms import Terms


def spmm(
    csr: CSR,
    x: Tensor,
    *,
    plus: Tensor | None = None,
    rows: Tensor | None = None,
    senders: Tensor | None = None,
    dtype: torch.dtype | None = None,
    backend: str | None = None,
) -> Tensor:
    """The sparse product: out_i = plus_i + Σ_e value_e x_j over the edges e = (i ← j) of row i.

    Its backward is the product with the transpose, which the CSR makes once and keeps (or with the CSR itself where
    that is symmetric), with ``rows`` and ``senders`` exchanged; no dense matrix is saved for it. The values receive no
    gradient. Sums are float32 at least, whatever the type of what is read and written.

    Args:
        csr: [N, M]; without values each edge counts 1.
        x: float [M, W].
        plus: float [N, W], added in the same pass; None counts as 0.
        rows: int64 [n] in [0, N), the rows to compute, in this order; None means all.
        senders: int64 [m] in [0, M), distinct: whose vectors ``x`` [m, W] holds; all others count as 0.
        dtype: of the result and of ``plus``; None means that of ``x``. float64 goes with float64 alone.
        backend: one of ``available_backends()``, or None to choose by device.

    Returns:
        float [N, W], or [n, W] with ``rows``, and so is ``plus``; a row without edges is 0, or what ``plus`` has there.

    Raises:
        UsageError: shapes, types, devices or a backend that do not fit; rows or senders out of range.

    >>> pair = CSR.from_pairs(torch.tensor([0, 0]), torch.tensor([0, 1]), 2, 2)
    >>> spmm(pair, torch.tensor([[1.0], [2.0]]))
    tensor([[3.],
            [0.]])
    >>> spmm(pair, torch.tensor([[2.0]]), rows=torch.tensor([0]), senders=torch.tensor([1]))
    tensor([[2.]])
    """
    check_shape("x", x, (csr.num_cols if senders is None else len(senders), None))
    check_alike(csr, x=x)
    wanted = x.dtype if dtype is None else dtype
    if wanted != x.dtype and torch.float64 in (wanted, x.dtype):
        raise ArrayError(f"x is {x.dtype}, the result {wanted}; float64 goes with float64 alone")
    if plus is not None:
        check_shape("plus", plus, (csr.num_rows if rows is None else len(rows), x.shape[1]))
        check_alike(csr, plus=plus)
        if plus.dtype != wanted:
            raise ArrayError(f"plus is {plus.dtype}; the result is {wanted}, and one float type is needed")
    for name, numbers, size in (("rows", rows, csr.num_rows), ("senders", senders, csr.num_cols)):
        if numbers is not None and numbers.device.type == "cpu":  # elsewhere a look would wait for the device
            check_range(name, numbers, size)
    name = pick(backend, x, "spmm", on_gpu="cuda")
    if name in ("reference", "scatter"):
        product = reference.spmm if name == "reference" else scatter.spmm

        def whole(rowptr: Tensor, col: Tensor, value: Tensor | None, x: Tensor, dtype: torch.dtype) -> Tensor:
            return product(csr, x, dtype)

        graph = (csr.rowptr, csr.col, csr.value, csr.num_cols)
        return operators.over_all(whole)(*graph, x, plus, rows, senders, wanted)
    turned = None
    if x.requires_grad and torch.is_grad_enabled():
        turned = csr if csr.symmetric else csr.transpose[0]
    return operators.spmm(csr, turned, x, plus, rows, senders, wanted, backend=name)


def sparse_product(left: CSR, right: CSR, *, backend: str | None = None) -> Tensor:
    """The product of two sparse matrices as a dense one: out_ik = Σ_j left_ij right_jk; no gradient goes through it.

    Args:
        left: [N, M]; right: [M, K]; without values each edge counts 1.
        backend: one of ``available_backends()``, or None to choose by device.

    Returns:
        float32 [N, K].

    Raises:
        UsageError: sizes, devices or a backend that do not fit.

    >>> one = CSR.from_pairs(torch.tensor([0, 0]), torch.tensor([0, 1]), 1, 2)
    >>> two = CSR.from_pairs(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), 2, 3)
    >>> sparse_product(one, two)
    tensor([[2., 1., 0.]])
    """
    if left.num_cols != right.num_rows:
        raise ArrayError(f"left has {left.num_cols} columns, right {right.num_rows} rows; they must be as many")
    if left.device != right.device:
        raise BackendError(f"left is on {left.device}, right on {right.device}")
    name = pick(backend, left.rowptr.new_empty(0, dtype=torch.float32), "sparse_product", on_gpu="reference")
    return cpu.sparse_product(left, right) if name == "cpu" else reference.sparse_product(left, right)


def attend(
    csr: CSR,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    score: str = "dot",
    vector: Tensor | None = None,
    scale: Tensor | None = None,
    relation_key: Tensor | None = None,
    bias: Tensor | None = None,
    relation_bias: Tensor | None = None,
    dropout: float = 0.0,
    seed: int = 0,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Attention: out_i = Σ_e m_e α_e value_j, with α the softmax over all edges e = (i ← j) of row i together.

    The logit of an edge of type t is s + bias_j + relation_bias_t, per head, where

        dot:       s = scale ⟨q_i, k_j⟩ + ⟨q_i, r_t⟩                       (Vaswani et al. 2017, scale for 1/√Dq)
        additive:  s = leaky_relu(⟨vector, q_i + k_j + r_t⟩, 0.2)          (GAT, Veličković et al. 2018, eq. 3)
        v2:        s = ⟨vector, leaky_relu(q_i + k_j + r_t, 0.2)⟩          (GATv2, Brody et al. 2022, eq. 7)

    and m_e is 1, or with dropout 0 or 1/(1 − dropout) by a hash of (seed, edge number, head), the same in the backward
    pass and in every backend. No array of edges × width is made (``reference`` apart).

    Args:
        csr: [N, M]; its values are not used.
        query: float [N, H, Dq]; key: float [M, H, Dq]; value: float [M, H, D].
        score: ``dot``, ``additive`` or ``v2``.
        vector: float [H, Dq], for ``additive`` and ``v2`` only.
        scale: float [H], for ``dot`` only; None counts as 1.
        relation_key: float [R, H, Dq]; relation_bias: float [R, H]; both need edge types below R.
        bias: float [M, H].
        dropout: in [0, 1).
        seed: of the dropout, a 64-bit integer.
        backend: one of ``available_backends()``, or None to choose by device.

    Returns:
        out, float [N, H, D], and the log-sum-exp of the logits, float [N, H]; 0 and −inf for a row without edges.

    Raises:
        UsageError: shapes, devices, an option or a backend that do not fit.

    >>> pair = CSR.from_pairs(torch.tensor([0, 0]), torch.tensor([0, 1]), 1, 2)
    >>> out, lse = attend(pair, torch.zeros(1, 1, 2), torch.zeros(2, 1, 2), torch.tensor([[[1.0]], [[3.0]]]))
    >>> out.item(), lse.exp().item()
    (2.0, 2.0)
    """
    terms = Terms(vector, scale, relation_key, bias, relation_bias)
    check_terms(csr, query, key, score, terms)
    check_shape("value", value, (csr.num_cols, query.shape[1], None))
    check_alike(csr, query=query, value=value)
    if not 0 <= dropout < 1:
        raise SettingError(f"dropout must be in [0, 1), got {dropout}")
    name = pick(backend, query, "attend", on_gpu="triton")
    if name == "reference":
        return reference.attend(csr, query, key, value, terms, score=score, dropout=dropout, seed=seed)
    if name == "scatter":
        return scatter.attend(csr, query, key, value, terms, score=score, dropout=dropout, seed=seed)
    return operators.attend(csr, query, key, value, terms, score=score, dropout=dropout, seed=seed, backend=name)


def edge_attention(
    csr: CSR,
    query: Tensor,
    key: Tensor,
    *,
    score: str = "dot",
    vector: Tensor | None = None,
    scale: Tensor | None = None,
    relation_key: Tensor | None = None,
    bias: Tensor | None = None,
    relation_bias: Tensor | None = None,
    lse: Tensor,
    edges: Tensor,
) -> Tensor:
    """The attention weights α of chosen edges, before dropout, from ``attend``'s log-sum-exp.

    Args:
        csr, query, key, score, vector, scale, relation_key, bias, relation_bias: as given to ``attend``.
        lse: float [N, H], as ``attend`` returned it.
        edges: int64 [n], edge numbers.

    Returns:
        float [n, H].

    Raises:
        UsageError: as ``attend``, or an edge number out of range.
    """
    terms = Terms(vector, scale, relation_key, bias, relation_bias)
    check_terms(csr, query, key, score, terms)
    check_shape("lse", lse, query.shape[:2])
    if len(edges) and not (int(edges.min()) >= 0 and int(edges.max()) < csr.num_edges):
        raise ArrayError(f"edges must lie in [0, {csr.num_edges})")
    row = torch.searchsorted(csr.rowptr, edges, right=True) - 1
    col = csr.col[edges].long()
    terms = terms._replace(bias=None if bias is None else bias[col])
    edge_type = None if csr.edge_type is None else csr.edge_type[edges]
    logit = reference.edge_logits(query[row], key[col], edge_type, terms, score=score)
    return (logit - lse[row]).clamp(max=0.0).exp()  # above 0 by rounding alone, which with large logits is a lot


def segment_sum(csr: CSR, x: Tensor) -> Tensor:
    """The sum over each row's edges: float [N, …] from x float [E, …]; 0 for a row without edges.

    >>> pair = CSR.from_pairs(torch.tensor([0, 0]), torch.tensor([0, 1]), 2, 2)
    >>> segment_sum(pair, torch.tensor([1.0, 2.0]))
    tensor([3., 0.])
    """
    check_shape("x", x, (csr.num_edges, *([None] * (x.dim() - 1))))
    return reference.segment_sum(csr, x)


def segment_logsumexp(csr: CSR, score: Tensor) -> Tensor:
    """ln Σ exp over each row's edges, float [N, H] from score float [E, H]; −inf for a row without edges.

    >>> pair = CSR.from_pairs(torch.tensor([0, 0]), torch.tensor([0, 1]), 2, 2)
    >>> segment_logsumexp(pair, torch.zeros(2, 1)).flatten()
    tensor([0.6931,   -inf])
    """
    check_shape("score", score, (csr.num_edges, None))
    return reference.segment_logsumexp(csr, score)


def segment_softmax(csr: CSR, score: Tensor) -> Tensor:
    """The softmax over each row's edges, float [E, H] from score float [E, H].

    >>> pair = CSR.from_pairs(torch.tensor([0, 0]), torch.tensor([0, 1]), 2, 2)
    >>> segment_softmax(pair, torch.zeros(2, 1)).flatten()
    tensor([0.5000, 0.5000])
    """
    return (score - segment_logsumexp(csr, score)[csr.row_index()]).exp()
