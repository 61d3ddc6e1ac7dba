"""Registration of the compiled operations with torch: schemas, shapes for tracing, gradients.

Graphs go in as their tensors, the backend by its name. ``graphrec::attend`` knows two scores: v2 where a vector is
given, dot where none is; additive is v2 on one number per node and head, made before the edges are touched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from graphrec.sparse import cpu, triton, vendor
from graphrec.sparse.csr import CSR
from graphrec.sparse.terms import Terms

Product = Callable[..., Tensor]


def over_all(product: Product) -> Product:
    """``product(rowptr, col, value, x, dtype)`` of whole matrices as one that takes all of ``spmm``'s arguments.

    The vectors of chosen senders are laid out among zeros, and chosen rows are picked from the result.
    """

    def spmm(
        rowptr: Tensor,
        col: Tensor,
        value: Tensor | None,
        num_cols: int,
        x: Tensor,
        plus: Tensor | None,
        rows: Tensor | None,
        senders: Tensor | None,
        dtype: torch.dtype,
    ) -> Tensor:
        if senders is not None:
            x = x.new_zeros(num_cols, x.shape[1]).index_copy(0, senders, x)
        out = product(rowptr, col, value, x, dtype)
        if rows is not None:
            out = out.index_select(0, rows)
        return out if plus is None else out + plus

    return spmm


_SPMM: dict[str, Product] = {"cpu": cpu.spmm, "cuda": over_all(vendor.spmm), "triton": over_all(triton.spmm)}
_ATTEND: dict[str, Any] = {"cpu": cpu, "triton": triton}


def spmm(
    csr: CSR,
    turned: CSR | None,
    x: Tensor,
    plus: Tensor | None,
    rows: Tensor | None,
    senders: Tensor | None,
    dtype: torch.dtype,
    *,
    backend: str,
) -> Tensor:
    """The product with a backward pass through ``turned``, the transpose, which may be None where none is needed."""
    back = (None, None, None) if turned is None else (turned.rowptr, turned.col, turned.value)
    graph = (csr.rowptr, csr.col, csr.value, csr.num_cols)
    return torch.ops.graphrec.spmm(x, plus, rows, senders, *graph, *back, dtype, backend)


def attend(
    csr: CSR,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    terms: Terms,
    *,
    score: str,
    dropout: float,
    seed: int,
    backend: str,
) -> tuple[Tensor, Tensor]:
    """Attention with a backward pass through the transpose; arguments as ``graphrec.sparse.attend``."""
    if score == "additive":
        query, key, terms = _in_one_number(query, key, terms)
    turned: tuple[Tensor | None, ...] = (None, None, None, None)
    if torch.is_grad_enabled() and any(term is not None and term.requires_grad for term in (query, key, value, *terms)):
        other, permutation = csr.transpose
        turned = (other.rowptr, other.col, other.edge_type, permutation)
    graph = (csr.rowptr, csr.col, csr.edge_type)
    return torch.ops.graphrec.attend(query, key, value, *terms, *graph, *turned, dropout, seed, backend)


def _in_one_number(query: Tensor, key: Tensor, terms: Terms) -> tuple[Tensor, Tensor, Terms]:
    """The additive score as v2: ⟨vector, q + k + r⟩ is a sum of one number each."""
    vector, relation_key = terms.vector, terms.relation_key
    assert vector is not None
    query, key = (query * vector).sum(-1, keepdim=True), (key * vector).sum(-1, keepdim=True)
    relation_key = None if relation_key is None else (relation_key * vector).sum(-1, keepdim=True)
    return query, key, terms._replace(vector=vector.new_ones(len(vector), 1), relation_key=relation_key)


@torch.library.custom_op("graphrec::spmm", mutates_args=())
def _spmm(
    x: Tensor,
    plus: Tensor | None,
    rows: Tensor | None,
    senders: Tensor | None,
    rowptr: Tensor,
    col: Tensor,
    value: Tensor | None,
    num_cols: int,
    turned_rowptr: Tensor | None,
    turned_col: Tensor | None,
    turned_value: Tensor | None,
    dtype: torch.dtype,
    backend: str,
) -> Tensor:
    return _SPMM[backend](rowptr, col, value, num_cols, x, plus, rows, senders, dtype)


@_spmm.register_fake
def _spmm_fake(
    x: Tensor, plus: Tensor | None, rows: Tensor | None, senders: Tensor | None, rowptr: Tensor, *rest: Any
) -> Tensor:
    num_rows = rowptr.shape[0] - 1 if rows is None else rows.shape[0]
    return x.new_empty(num_rows, x.shape[1], dtype=rest[-2])


def _spmm_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, plus, rows, senders, rowptr, col, value, _, *turned, _, backend = inputs
    ctx.save_for_backward(rows, senders, rowptr, col, value, *turned)
    ctx.dtypes = (x.dtype, None if plus is None else plus.dtype)
    ctx.backend = backend


def _spmm_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """The rows that were written are now the senders, and the other way round."""
    rows, senders, *graph = ctx.saved_tensors
    forward, turned = graph[:3], graph[3:]
    needs_x, needs_plus = ctx.needs_input_grad[:2]
    x_dtype, plus_dtype = ctx.dtypes
    grad_x = grad_plus = None
    if needs_x:
        num_rows = forward[0].shape[0] - 1
        back = (senders, rows, *turned, num_rows, *forward)
        grad_x = torch.ops.graphrec.spmm(grad.to(x_dtype), None, *back, x_dtype, ctx.backend)
    if needs_plus:
        grad_plus = grad.to(plus_dtype)
    return grad_x, grad_plus, *[None] * 11


_spmm.register_autograd(_spmm_backward, setup_context=_spmm_context)


@torch.library.custom_op("graphrec::attend", mutates_args=())
def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    vector: Tensor | None,
    scale: Tensor | None,
    relation_key: Tensor | None,
    bias: Tensor | None,
    relation_bias: Tensor | None,
    rowptr: Tensor,
    col: Tensor,
    edge_type: Tensor | None,
    turned_rowptr: Tensor | None,
    turned_col: Tensor | None,
    turned_type: Tensor | None,
    permutation: Tensor | None,
    dropout: float,
    seed: int,
    backend: str,
) -> tuple[Tensor, Tensor]:
    terms = Terms(vector, scale, relation_key, bias, relation_bias)
    out, lse = _ATTEND[backend].attend((rowptr, col, edge_type), query, key, value, terms, dropout, seed)
    return out, lse


@_attend.register_fake
def _attend_fake(query: Tensor, key: Tensor, value: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    real = torch.float32 if query.dtype == torch.bfloat16 else query.dtype
    return query.new_empty(query.shape[0], *value.shape[1:]), query.new_empty(query.shape[:2], dtype=real)


@torch.library.custom_op("graphrec::attend_backward", mutates_args=())
def _attend_backward(
    grad_out: Tensor,
    grad_lse: Tensor,
    out: Tensor,
    lse: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    vector: Tensor | None,
    scale: Tensor | None,
    relation_key: Tensor | None,
    bias: Tensor | None,
    relation_bias: Tensor | None,
    rowptr: Tensor,
    col: Tensor,
    edge_type: Tensor | None,
    turned_rowptr: Tensor,
    turned_col: Tensor,
    turned_type: Tensor | None,
    permutation: Tensor,
    dropout: float,
    seed: int,
    backend: str,
    needed: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    graph, turned = (rowptr, col, edge_type), (turned_rowptr, turned_col, turned_type, permutation)
    terms = Terms(vector, scale, relation_key, bias, relation_bias)
    options = (dropout, seed, grad_out, grad_lse, out, lse, needed)
    gradients: Any = _ATTEND[backend].attend_backward(graph, turned, query, key, value, terms, *options)
    return gradients


@_attend_backward.register_fake
def _attend_backward_fake(grad_out: Tensor, grad_lse: Tensor, out: Tensor, lse: Tensor, *inputs: Any) -> Any:
    given = zip(inputs[:8], inputs[-1], strict=True)
    return tuple(out.new_empty(term.shape if need and term is not None else 0) for term, need in given)


def _attend_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*output, *inputs[:-3])
    ctx.options = inputs[-3:]


def _attend_backward_pass(ctx: Any, grad_out: Tensor, grad_lse: Tensor) -> tuple[Tensor | None, ...]:
    needed = list(ctx.needs_input_grad[:8])
    gradients = torch.ops.graphrec.attend_backward(grad_out, grad_lse, *ctx.saved_tensors, *ctx.options, needed)
    return *(gradient if need else None for gradient, need in zip(gradients, needed, strict=True)), *[None] * 10


_attend.register_autograd(_attend_backward_pass, setup_context=_attend_context)
