"""Attention's backward pass, from the saved log-sum-exp, in up to three walks over the edges.

With α = exp(logit − lse_i), g the gradient of out and m dropout's factor, an edge's logit has the gradient

    ds = α (m ⟨g_i, value_j⟩ − δ_i),   δ_i = ⟨g_i, out_i⟩ − ∂lse_i.

Senders: over the transpose, a row a sender j. This walk alone gathers vectors of values. It gives ∂value_j = Σ α m g_i,
∂bias_j = Σ ds and ∂key_j, adds up the vector's gradient, and writes ds [E, H] where one of the next two needs it.
Receivers: over the graph's own rows, for ∂query_i, from ds. Relations: over the edges listed by type, for ∂relation_key
and ∂relation_bias, from ds. The last two gather queries and keys alone.

With z = q + k + r, ∂s/∂q = ∂s/∂k = ∂s/∂r = vector · leaky_relu′(z) for v2; for dot, ∂s/∂q = scale · k + r,
∂s/∂k = scale · q, ∂s/∂r = q, and ∂scale = Σ_j ⟨k_j, Σ ds q_i⟩, which needs no walk.

N rows, M columns, E edges, H heads, D width of a value, Dq width of a query and a key, R relations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from graphrec.sparse.terms import Graph, Terms, Turned
from graphrec.sparse.triton.backward_kernels import receivers_kernel, relations_kernel, senders_kernel
from graphrec.sparse.triton.forward import Dropout, dropout_of
from graphrec.sparse.triton.pieces import WARPS, Pieces, by_type, pieces_of, receivers_of, tiling
from graphrec.sparse.triton.product import sum_rows

_NAMES = ("query", "key", "value", "vector", "scale", "relation_key", "bias", "relation_bias")


class _Sums(NamedTuple):
    """A gradient, and slots for the parts of it that come from hubs; both None where it is not needed."""

    out: Tensor | None
    part: Tensor | None


def attend_backward(
    graph: Graph,
    turned: Turned,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    terms: Terms,
    dropout: float,
    seed: int,
    saved: tuple[Tensor, Tensor, Tensor],
    needs: Sequence[bool],
) -> list[Tensor | None]:
    """As ``graphrec.sparse.triton.attend_backward``, with None for a gradient that is not needed.

    Args:
        saved: grad_out, lse and delta. All tensors are contiguous.
    """
    inputs = (query, key, value, *terms)
    wanted = {name for name, need, term in zip(_NAMES, needs, inputs, strict=True) if need and term is not None}
    ds = None
    if wanted & {"query", "relation_key", "relation_bias"}:
        ds = torch.empty(len(graph[1]), query.shape[1], device=query.device)
    gradients = _senders(turned, inputs, dropout_of(dropout, seed), saved, wanted, ds)
    if ds is not None and "query" in wanted:
        gradients["query"] = _receivers(graph, query, key, terms, ds)
    if ds is not None and wanted & {"relation_key", "relation_bias"}:
        gradients |= _relations(graph, query, key, terms, ds, wanted)
    return [gradients.get(name) for name in _NAMES]


def _senders(
    turned: Turned,
    inputs: tuple[Tensor | None, ...],
    dropout: Dropout,
    saved: tuple[Tensor, Tensor, Tensor],
    wanted: set[str],
    ds: Tensor | None,
) -> dict[str, Tensor]:
    """Gradients of key, value, bias, vector and scale, and ``ds`` [E, H], over the transpose."""
    query, key, value, vector, scale, _, bias, _ = inputs
    assert query is not None and key is not None and value is not None
    rowptr, col, edge_type, number = turned
    heads, score_width, width = *key.shape[1:], value.shape[2]
    pieces, block = pieces_of(rowptr), tiling(heads, width, score_width)
    # with a scale this is Σ ds q_i, of which both its own and the key's gradient are made
    slope_type = key.dtype if scale is None else torch.float32
    keys = _sums(pieces, key if wanted & {"key", "scale"} else None, slope_type)
    values = _sums(pieces, value if "value" in wanted else None)
    biases = _sums(pieces, bias if "bias" in wanted else None)
    vectors = None
    if "vector" in wanted:
        vectors = torch.empty(*pieces.grid(block), heads, score_width, device=key.device)
    senders_kernel[pieces.grid(block)](
        *pieces.tensors(), col, edge_type, number, *inputs, *dropout, *saved,
        keys.out, values.out, biases.out, keys.part, values.part, biases.part, vectors, ds,
        H=heads, Dq=score_width, D=width, **block, num_warps=WARPS,
    )  # fmt: skip
    _merge(pieces, keys, values, biases)
    found = {"key": keys.out, "value": values.out, "bias": biases.out}
    if vector is not None and vectors is not None:
        found["vector"] = vectors.sum(0).to(vector.dtype)
    if scale is not None and keys.out is not None:
        found["scale"] = (keys.out * key).sum((0, 2)).to(scale.dtype)
        found["key"] = (keys.out * scale[:, None]).to(key.dtype)
    return {name: gradient for name, gradient in found.items() if gradient is not None and name in wanted}


def _receivers(graph: Graph, query: Tensor, key: Tensor, terms: Terms, ds: Tensor) -> Tensor:
    """The query's gradient, over the graph's own rows."""
    rowptr, col, edge_type = graph
    vector, scale, relation_key, _, _ = terms
    pieces, block = pieces_of(rowptr), tiling(*query.shape[1:])
    grad_query, part = sums = _sums(pieces, query)
    assert grad_query is not None
    receivers_kernel[pieces.grid(block)](
        *pieces.tensors(), col, edge_type, query, key, vector, scale, relation_key, ds, grad_query, part,
        H=query.shape[1], Dq=query.shape[2], **block, num_warps=WARPS,
    )  # fmt: skip
    _merge(pieces, sums)
    return grad_query


def _relations(
    graph: Graph, query: Tensor, key: Tensor, terms: Terms, ds: Tensor, wanted: set[str]
) -> dict[str, Tensor]:
    """Gradients of relation_key and relation_bias, over the edges listed by type; 0 for a type that no edge has."""
    rowptr, col, edge_type = graph
    assert edge_type is not None
    vector, _, relation_key, _, relation_bias = terms
    pieces, listed = by_type(edge_type)
    block = tiling(*query.shape[1:])
    keys = _sums(pieces, relation_key if "relation_key" in wanted else None)
    biases = _sums(pieces, relation_bias if "relation_bias" in wanted else None)
    for gradient in (keys.out, biases.out):
        if gradient is not None:
            gradient.zero_()
    relations_kernel[pieces.grid(block)](
        *pieces.tensors(), listed, receivers_of(rowptr), col, query, key, vector, relation_key, ds,
        keys.out, biases.out, keys.part, biases.part,
        H=query.shape[1], Dq=query.shape[2], **block, num_warps=WARPS,
    )  # fmt: skip
    _merge(pieces, keys, biases)
    found = {"relation_key": keys.out, "relation_bias": biases.out}
    return {name: gradient for name, gradient in found.items() if gradient is not None}


def _sums(pieces: Pieces, like: Tensor | None, dtype: torch.dtype | None = None) -> _Sums:
    """Room for a gradient of the shape of ``like``, a row for each row of the walk, and for its hubs' parts."""
    if like is None:
        return _Sums(None, None)
    part = None
    if pieces.hubs is not None:
        part = torch.empty(pieces.num_slots, *like.shape[1:], device=like.device)
    return _Sums(torch.empty_like(like, dtype=dtype), part)


def _merge(pieces: Pieces, *gradients: _Sums) -> None:
    """Add up the hubs' parts."""
    for gradient, part in gradients:
        if gradient is not None and part is not None and pieces.hubs is not None:
            sum_rows(pieces.hubs, None, None, part, gradient)
