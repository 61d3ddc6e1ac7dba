"""Compiled kernels for CPU tensors, float32 and float64; called by ``graphrec.sparse.operators`` and ``ops`` alone.

A graph is a tuple (rowptr, col, edge_type), its transpose one more, the permutation. Kernels see arrays: heads side by
side in matrices, no rows for None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from graphrec.sparse.cpu import scores
from graphrec.sparse.cpu.memory import empty
from graphrec.sparse.cpu.scores import Dropout, Edges, Scratch
from graphrec.sparse.cpu.shapes import passes
from graphrec.sparse.cpu.sparse_product import sparse_product
from graphrec.sparse.cpu.spmm import spmm
from graphrec.sparse.cpu.threads import for_each_block, num_blocks
from graphrec.sparse.reference import dropout_constants
from graphrec.sparse.terms import Graph, Terms, Turned

__all__ = ["attend", "attend_backward", "sparse_product", "spmm"]


def attend(
    graph: Graph, query: Tensor, key: Tensor, value: Tensor, terms: Terms, dropout: float, seed: int
) -> tuple[Tensor, Tensor]:
    """The forward pass: ``out`` [N, H, D] and ``lse`` [N, H]; the v2 score with a vector, dot without."""
    out = empty((len(query), *value.shape[1:]), query.dtype)
    lse = query.new_empty(query.shape[:2])
    edges = _edges(*graph)
    inputs = (*_matrices(query, key, value), _terms(query, terms), _dropout(query, dropout, seed))
    kernels = passes(len(edges.col), *query.shape[1:], value.shape[2], terms.vector is not None)
    for_each_block(kernels.attend, edges.rowptr, _scratch(query), edges, *inputs, *_matrices(out, lse))
    return out, lse


def attend_backward(
    graph: Graph,
    turned: Turned,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    terms: Terms,
    dropout: float,
    seed: int,
    grad_out: Tensor,
    grad_lse: Tensor,
    out: Tensor,
    lse: Tensor,
    needed: Sequence[bool],
) -> tuple[Tensor, ...]:
    """Gradients of query, key, value and the five terms, in that order; empty where not ``needed``."""
    edges, turned_edges = _edges(*graph), _edges(*turned)
    heads, score_width, width = *query.shape[1:], value.shape[2]
    kernels = passes(len(edges.col), heads, score_width, width, terms.vector is not None)
    queries, keys, values, gradient = _matrices(query, key, value, grad_out)
    arrays, scratch = _terms(query, terms), _scratch(query)

    saved = np.empty((len(query), 2 * heads), queries.dtype)
    outs, grad_lses, lses = _matrices(out, grad_lse, lse)
    for_each_block(kernels.softmax, edges.rowptr, tuple, outs, gradient, grad_lses, lses, saved)

    # a gradient without rows is not computed; the values' always is
    grad_query, grad_key = (
        empty((len(tensor) * need, *tensor.shape[1:]), tensor.dtype)
        for tensor, need in zip((query, key), needed, strict=False)
    )
    grad_value, grad_logit = (
        empty(shape, query.dtype) for shape in (tuple(value.shape), (len(edges.col) * needed[0], heads))
    )
    blocks = num_blocks(turned_edges.rowptr)
    parts = _parts(arrays, needed[3:], blocks)
    inputs = (queries, keys, values, arrays, _dropout(query, dropout, seed), saved, gradient)
    outputs = (*_matrices(grad_key, grad_value, grad_logit), parts)
    for_each_block(kernels.senders, turned_edges.rowptr, scratch, turned_edges, *inputs, *outputs)
    if needed[0]:
        for_each_block(
            kernels.queries, edges.rowptr, scratch, edges, queries, keys, arrays, *_matrices(grad_logit, grad_query)
        )
    grads = (grad_query, grad_key, grad_value, *_sums(terms, parts, blocks))
    given = (True, True, True, *(term is not None for term in terms))
    return tuple(
        grad if need and there else query.new_empty(0) for grad, need, there in zip(grads, needed, given, strict=True)
    )


def _parts(arrays: scores.Terms, needed: Sequence[bool], blocks: int) -> scores.Terms:
    """Where the terms' gradients go: the bias has a row a sender, the others are added up in a part for each block."""
    rows = {"bias": len(arrays.bias)}
    wanted = zip(arrays._asdict().items(), needed, strict=True)
    return scores.Terms(
        *(
            np.zeros((need * rows.get(name, blocks * len(array)), array.shape[1]), array.dtype)
            for (name, array), need in wanted
        )
    )


def _sums(terms: Terms, parts: scores.Terms, blocks: int) -> Iterator[Tensor]:
    """The terms' gradients, in the terms' shapes."""
    for name, term in terms._asdict().items():
        part = torch.from_numpy(getattr(parts, name))
        if term is not None and len(part):
            part = (part if name == "bias" else part.unflatten(0, (blocks, -1)).sum(0)).view(term.shape)
        yield part


def _matrices(*tensors: Tensor) -> list[np.ndarray]:
    """[n, H, D] as [n, H · D], sharing memory where a tensor is contiguous."""
    return [tensor.contiguous().flatten(1).numpy() for tensor in tensors]


def _edges(rowptr: Tensor, col: Tensor, edge_type: Tensor | None, permutation: Tensor | None = None) -> Edges:
    kind = col.new_empty(0) if edge_type is None else edge_type
    number = rowptr.new_empty(0) if permutation is None else permutation
    return Edges(rowptr.numpy(), col.numpy(), kind.numpy(), number.numpy())


def _terms(query: Tensor, terms: Terms) -> scores.Terms:
    """The terms as matrices, vector and scale in one row; without rows what is not given."""
    vector, scale = (None if term is None else term[None] for term in (terms.vector, terms.scale))
    given = terms._replace(vector=vector, scale=scale)
    return scores.Terms(*_matrices(*(query.new_empty(0, 1) if term is None else term for term in given)))


def _scratch(query: Tensor) -> Callable[[], Scratch]:
    return partial(Scratch.empty, query.shape[1], query.shape[2], query.numpy().dtype)


def _dropout(query: Tensor, dropout: float, seed: int) -> Dropout:
    first, second, threshold = dropout_constants(dropout, seed)
    real = np.float32 if query.dtype == torch.float32 else np.float64
    return Dropout(np.uint32(first), np.uint32(second), np.uint32(threshold), real(1 / (1 - dropout)), real(0))
