"""Kernels in Triton for CUDA tensors, float32 and bfloat16; called by ``graphrec.sparse.operators`` alone.

Sums and softmaxes are float32 whatever the storage; no sum's order depends on timing, so the same call gives the same
bytes. The first call imports Triton. Under its interpreter (``TRITON_INTERPRET=1`` before anything imports it, as
torch_geometric does) the same kernels run on CPU tensors, slowly, which is how they are tested without a GPU.

The first call on a graph waits for the device, to share out the rows; later ones do not, so a CUDA graph can capture
them.

N rows, M columns, E edges, H heads, D width of a value, Dq width of a query and a key, R relations, W width.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence

import torch
from torch import Tensor

from graphrec.errors import ArrayError
from graphrec.sparse.terms import Graph, Terms, Turned

__all__ = ["attend", "attend_backward", "available", "spmm"]


def available(device: torch.device) -> bool:
    """Whether the kernels can run on tensors of that device: CUDA, or any under Triton's interpreter."""
    if importlib.util.find_spec("triton") is None:
        return False
    return device.type == "cuda" or os.environ.get("TRITON_INTERPRET") == "1"


def spmm(rowptr: Tensor, col: Tensor, value: Tensor | None, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """out_i = Σ_e value_e x_j over the edges e = (i ← j) of row i; see ``graphrec.sparse.spmm``.

    Args:
        rowptr: int64 [N + 1]; col: int32 [E].
        value: float [E], or None, which counts as 1.
        x: float32 or bfloat16 [M, W].
        dtype: of the result, float32 or bfloat16; None means x's.

    Returns:
        [N, W] of that type.

    Raises:
        UsageError: a type that the kernels do not take.
    """
    _check_types(x=x)
    from graphrec.sparse.triton import product

    with torch.cuda.device_of(x):
        return product.spmm(rowptr, col, _contiguous(value), x.contiguous(), x.dtype if dtype is None else dtype)


def attend(
    graph: Graph, query: Tensor, key: Tensor, value: Tensor, terms: Terms, dropout: float, seed: int
) -> tuple[Tensor, Tensor]:
    """Attention's forward pass; see ``graphrec.sparse.attend``.

    The logit of an edge is s + bias_j + relation_bias_t; with a vector s = ⟨vector, leaky_relu(q_i + k_j + r_t, 0.2)⟩,
    else s = scale · ⟨q_i, k_j⟩ + ⟨q_i, r_t⟩.

    Args:
        graph: of N rows and M columns.
        query: [N, H, Dq]; key: [M, H, Dq]; value: [M, H, D]: float32 or bfloat16, all one type.
        terms: vector [H, Dq], scale [H] (without a vector only), relation_key [R, H, Dq], bias [M, H],
            relation_bias [R, H].
        dropout: in [0, 1).
        seed: of the dropout.

    Returns:
        out [N, H, D] of the value's type and lse float32 [N, H]; 0 and −inf for a row without edges.

    Raises:
        UsageError: a type that the kernels do not take.
    """
    _check_types(query=query, key=key, value=value)
    from graphrec.sparse.triton import forward

    given = _all_contiguous(terms)
    with torch.cuda.device_of(query):
        return forward.attend(graph, query.contiguous(), key.contiguous(), value.contiguous(), given, dropout, seed)


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
    """Attention's backward pass.

    Args:
        graph, query, key, value, terms, dropout, seed: as given to ``attend``.
        turned: the transpose; its edge e is the graph's edge permutation[e].
        grad_out: [N, H, D]; grad_lse: [N, H].
        out, lse: as ``attend`` returned them.
        needed: whether the gradient of query, key, value, vector, scale, relation_key, bias, relation_bias is needed.

    Returns:
        The eight gradients, of their tensors' types and shapes; [0] for a term not given or a gradient not needed.

    Raises:
        UsageError: a type that the kernels do not take.
    """
    _check_types(query=query, key=key, value=value)
    from graphrec.sparse.triton import backward

    given = _all_contiguous(terms)
    inputs = (query.contiguous(), key.contiguous(), value.contiguous())
    delta = (grad_out.float() * out.float()).sum(-1) - grad_lse
    saved = (grad_out.contiguous(), lse.contiguous(), delta)
    with torch.cuda.device_of(query):
        gradients = backward.attend_backward(graph, turned, *inputs, given, dropout, seed, saved, needed)
    return tuple(query.new_empty(0) if gradient is None else gradient for gradient in gradients)


def _all_contiguous(terms: Terms) -> Terms:
    return Terms(*map(_contiguous, terms))


def _contiguous(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()


def _check_types(**tensors: Tensor) -> None:
    for name, tensor in tensors.items():
        if tensor.dtype not in (torch.float32, torch.bfloat16):
            raise ArrayError(f"{name} is {tensor.dtype}; the triton backend takes float32 and bfloat16")
