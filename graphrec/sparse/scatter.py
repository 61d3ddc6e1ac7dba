"""The operations on torch-scatter, for devices and types that no kernel of ours covers.

Arrays of edges × width exist here, so rows are taken in blocks that need at most ``BLOCK_BYTES`` each, and a block is
computed again in the backward pass instead of being kept. A single row may need more.
"""

from __future__ import annotations

import importlib
from bisect import bisect_right
from collections.abc import Iterator
from types import ModuleType

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from graphrec.errors import MissingExtraError
from graphrec.sparse.csr import CSR
from graphrec.sparse.reference import edge_logits, keep_mask
from graphrec.sparse.terms import Terms

BLOCK_BYTES = 256 * 2**20


def torch_scatter() -> ModuleType:
    """The package.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module("torch_scatter")
    except ImportError:
        raise MissingExtraError("torch-scatter", "scatter") from None


def spmm(csr: CSR, x: Tensor, dtype: torch.dtype) -> Tensor:
    """As ``reference.spmm``."""
    segment_csr = torch_scatter().segment_csr

    def product(block: slice, edges: slice, x: Tensor) -> Tensor:
        sent = x[csr.col[edges].long()].to(torch.promote_types(x.dtype, torch.float32))
        if csr.value is not None:
            sent = sent * csr.value[edges].to(sent.dtype)[:, None]
        return segment_csr(sent, _pointers(csr, block, edges), reduce="sum").to(dtype)

    numbers = 2 * x.shape[1]  # of an edge: the gathered vector and the weighted one
    blocks = _row_blocks(csr, numbers * x.element_size())
    return torch.cat(
        [checkpoint(product, block, edges, x, use_reentrant=False, preserve_rng_state=False) for block, edges in blocks]
    )


def attend(
    csr: CSR, query: Tensor, key: Tensor, value: Tensor, terms: Terms, *, score: str, dropout: float, seed: int
) -> tuple[Tensor, Tensor]:
    """As ``reference.attend``."""
    segment_csr, gather_csr = torch_scatter().segment_csr, torch_scatter().gather_csr
    row = csr.row_index()

    def attended(
        block: slice, edges: slice, query: Tensor, key: Tensor, value: Tensor, *terms: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        of_edges = Terms(*terms)
        col, pointers = csr.col[edges].long(), _pointers(csr, block, edges)
        if of_edges.bias is not None:
            of_edges = of_edges._replace(bias=of_edges.bias[col])
        kind = None if csr.edge_type is None else csr.edge_type[edges]
        logit = edge_logits(query[row[edges]], key[col], kind, of_edges, score=score)
        largest = segment_csr(logit.detach(), pointers, reduce="max")
        weight = (logit - gather_csr(largest, pointers)).exp()
        total = segment_csr(weight, pointers, reduce="sum")
        weight = weight / gather_csr(total, pointers)
        if dropout > 0:
            numbers = torch.arange(edges.start, edges.stop, device=csr.device)
            weight = weight * keep_mask(numbers, query.shape[1], dropout, seed) / (1 - dropout)
        out = segment_csr(weight[:, :, None] * value[col], pointers, reduce="sum")
        return out, total.log() + largest

    heads = query.shape[1]
    numbers = heads * (5 * query.shape[2] + 2 * value.shape[2] + 8)  # of an edge, all intermediate results together
    blocks = _row_blocks(csr, numbers * query.element_size())
    results = [
        checkpoint(attended, block, edges, query, key, value, *terms, use_reentrant=False, preserve_rng_state=False)
        for block, edges in blocks
    ]
    out, lse = zip(*results, strict=True)
    return torch.cat(out), torch.cat(lse)


def _row_blocks(csr: CSR, edge_bytes: int) -> Iterator[tuple[slice, slice]]:
    """Blocks of whole rows, and their edges, that fit into ``BLOCK_BYTES``; at least one row each."""
    most, first, pointers = max(1, BLOCK_BYTES // edge_bytes), 0, csr.rowptr.tolist()
    if csr.num_rows == 0:
        yield slice(0, 0), slice(0, 0)
    while first < csr.num_rows:
        last = bisect_right(pointers, pointers[first] + most, lo=first) - 1
        last = min(max(last, first + 1), csr.num_rows)
        yield slice(first, last), slice(pointers[first], pointers[last])
        first = last


def _pointers(csr: CSR, block: slice, edges: slice) -> Tensor:
    return csr.rowptr[block.start : block.stop + 1] - edges.start
