"""Arithmetic on graphs: tensors and CSR in, tensors out; torch, numpy and numba alone."""

from __future__ import annotations

from graphrec.sparse.backends import available_backends, set_backend
from graphrec.sparse.csr import CSR
from graphrec.sparse.ops import (
    attend,
    edge_attention,
    segment_logsumexp,
    segment_softmax,
    segment_sum,
    sparse_product,
    spmm,
)
from graphrec.sparse.scaling import scale_edges, symmetric_normalize
from graphrec.sparse.spectrum import chebyshev_product, right_singular_vectors

__all__ = [
    "CSR",
    "symmetric_normalize",
    "scale_edges",
    "spmm",
    "sparse_product",
    "attend",
    "edge_attention",
    "segment_logsumexp",
    "segment_softmax",
    "segment_sum",
    "set_backend",
    "available_backends",
    "chebyshev_product",
    "right_singular_vectors",
]
