"""Compiled kernels for CPU tensors, float32 and float64; called by ``graphrec.sparse.operators`` alone.

A graph is a tuple (rowptr, col, edge_type), its transpose one more, the permutation; terms are (vector, relation_key,
bias, relation_bias), each a tensor or None. Kernels see arrays: heads side by side in matrices, no rows for None.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from graphrec.sparse.cpu.scores import Dropout, Edges, Scratch, Terms
from graphrec.sparse.cpu.shapes import passes
from graphrec.sparse.cpu.spmm import spmm
from graphrec.sparse.cpu.threads import for_each_block, num_blocks
from graphrec.sparse.reference import dropout_constants

__all__ = ["attend", "attend_backward", "spmm"]


Graph = tuple[Tensor, Tensor, Tensor | None]
Optional = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]


def attend(
    graph: Graph, query: Tensor, key: Tensor, value: Tensor, terms: Optional, dropout: float, seed: int
) -> tuple[Tensor, Tensor]:
    """The forward pass: ``out`` [N, H, D] and ``lse`` [N, H]; the v2 score with a vector, dot without."""
    out, lse = query.new_empty(len(query), *value.shape[1:]), query.new_empty(query.shape[:2])
    edges = _edges(*graph)
    inputs = (*_matrices(query, key, value), _terms(query, *terms), _dropout(query, dropout, seed))
    kernels = passes(len(edges.col), *query.shape[1:], value.shape[2], terms[0] is not None)
    for_each_block(kernels.attend, edges.rowptr, _scratch(query), edges, *inputs, *_matrices(out, lse))
    return out, lse


def attend_backward(
    graph: Graph,
    turned: tuple[Tensor, Tensor, Tensor | None, Tensor],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    terms: Optional,
    dropout: float,
    seed: int,
    grad_out: Tensor,
    lse: Tensor,
    delta: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of query, key, value, vector, relation_key, bias, relation_bias; empty for what was not given."""
    edges, turned_edges = _edges(*graph), _edges(*turned)
    arrays = _terms(query, *terms)
    saved = _matrices(lse, delta, grad_out)
    inputs = (*_matrices(query, key, value), arrays, _dropout(query, dropout, seed), *saved)
    kernels = passes(len(edges.col), *query.shape[1:], value.shape[2], terms[0] is not None)
    scratch = _scratch(query)
    grad_query, grad_key, grad_value = (query.new_empty(tensor.shape) for tensor in (query, key, value))
    grad_bias = query.new_empty(arrays.bias.shape)
    # what all rows share is added up block by block, then in the order of the blocks
    blocks = num_blocks(edges.rowptr)
    parts = [
        query.new_zeros(blocks * len(array), array.shape[1])
        for array in (arrays.vector, arrays.relation_key, arrays.relation_bias)
    ]
    for_each_block(
        kernels.receivers,
        edges.rowptr,
        scratch,
        edges,
        *inputs,
        *_matrices(grad_query),
        *(part.numpy() for part in parts),
    )
    for_each_block(
        kernels.senders,
        turned_edges.rowptr,
        scratch,
        turned_edges,
        *inputs,
        *_matrices(grad_key, grad_value, grad_bias),
    )
    vector_sum, relation_key_sum, relation_bias_sum = (part.unflatten(0, (blocks, -1)).sum(0) for part in parts)
    grad_vector, grad_relation_key, grad_bias, grad_relation_bias = (
        query.new_empty(0) if term is None else gradient.view(term.shape)
        for term, gradient in zip(terms, (vector_sum, relation_key_sum, grad_bias, relation_bias_sum), strict=True)
    )
    return grad_query, grad_key, grad_value, grad_vector, grad_relation_key, grad_bias, grad_relation_bias


def _matrices(*tensors: Tensor) -> list[np.ndarray]:
    """[n, H, D] as [n, H · D], sharing memory where a tensor is contiguous."""
    return [tensor.contiguous().flatten(1).numpy() for tensor in tensors]


def _edges(rowptr: Tensor, col: Tensor, edge_type: Tensor | None, permutation: Tensor | None = None) -> Edges:
    kind = col.new_empty(0) if edge_type is None else edge_type
    number = rowptr.new_empty(0) if permutation is None else permutation
    return Edges(rowptr.numpy(), col.numpy(), kind.numpy(), number.numpy())


def _terms(query: Tensor, *terms: Tensor | None) -> Terms:
    return Terms(*_matrices(*(query.new_empty(0, 0) if term is None else term for term in terms)))


def _scratch(query: Tensor) -> Callable[[], Scratch]:
    return partial(Scratch.empty, query.shape[1], query.shape[2], query.numpy().dtype)


def _dropout(query: Tensor, dropout: float, seed: int) -> Dropout:
    first, second, threshold = dropout_constants(dropout, seed)
    real = np.float32 if query.dtype == torch.float32 else np.float64
    return Dropout(np.uint32(first), np.uint32(second), np.uint32(threshold), real(1 / (1 - dropout)), real(0))
