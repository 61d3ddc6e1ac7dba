"""What each operation means, in plain torch on any device: the judge of every other backend.

Slow and hungry (arrays of edges × width exist here), differentiated by torch itself.

N rows, M columns, E edges, H heads, D width of a value, Dq width of a query and a key, R relations.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from graphrec.sparse.csr import CSR
from graphrec.sparse.terms import Terms

SLOPE = 0.2  # of the leaky ReLU, as in GAT (Veličković et al. 2018, §2.1)

_MASK = 0xFFFFFFFF


def spmm(csr: CSR, x: Tensor, dtype: torch.dtype) -> Tensor:
    """out_i = Σ_e value_e x_j over the edges e = (i ← j) of row i: dtype [N, W] from x float [M, W]."""
    sent = x[csr.col.long()].to(torch.promote_types(x.dtype, torch.float32))
    if csr.value is not None:
        sent = sent * csr.value.to(sent.dtype)[:, None]
    return segment_sum(csr, sent).to(dtype)


def sparse_product(left: CSR, right: CSR) -> Tensor:
    """out_ik = Σ_j left_ij right_jk: float32 [N, K] from [N, M] and [M, K]."""
    terms = right.take_rows(left.col.long())
    edge = terms.row_index()
    weight = torch.ones(terms.num_edges, device=left.device)
    for value in (terms.value, None if left.value is None else left.value[edge]):
        weight = weight if value is None else weight * value
    place = left.row_index()[edge] * right.num_cols + terms.col
    sums = weight.new_zeros(left.num_rows * right.num_cols).index_add(0, place, weight)
    return sums.view(left.num_rows, right.num_cols)


def attend(
    csr: CSR, query: Tensor, key: Tensor, value: Tensor, terms: Terms, *, score: str, dropout: float, seed: int
) -> tuple[Tensor, Tensor]:
    """out_i = Σ_e m_e softmax_e(logit_e) value_j; see ``graphrec.sparse.attend``."""
    row, col = csr.row_index(), csr.col.long()
    of_edges = terms._replace(bias=None if terms.bias is None else terms.bias[col])
    logit = edge_logits(query[row], key[col], csr.edge_type, of_edges, score=score)
    lse = segment_logsumexp(csr, logit)
    weight = (logit - lse[row]).exp()
    if dropout > 0:
        edges = torch.arange(csr.num_edges, device=csr.device)
        kept = keep_mask(edges, query.shape[1], dropout, seed)
        weight = weight * kept / (1 - dropout)
    return segment_sum(csr, weight[:, :, None] * value[col]), lse


def edge_logits(query: Tensor, key: Tensor, edge_type: Tensor | None, terms: Terms, *, score: str) -> Tensor:
    """The logit of each edge and head, from the vectors at its two ends.

    Args:
        query, key: float [E, H, Dq], of each edge's receiver and sender.
        edge_type: int32 [E] or None.
        terms: the bias is float [E, H], of each edge's sender.

    Returns:
        float [E, H].
    """
    kind = None if edge_type is None else edge_type.long()
    if terms.scale is not None:
        key = key * terms.scale[:, None]
    if terms.relation_key is not None:
        key = key + terms.relation_key[kind]
    if terms.vector is None:
        logit = (query * key).sum(-1)
    elif score == "additive":
        logit = leaky_relu(((query + key) * terms.vector).sum(-1), SLOPE)
    else:
        logit = (leaky_relu(query + key, SLOPE) * terms.vector).sum(-1)
    if terms.bias is not None:
        logit = logit + terms.bias
    if terms.relation_bias is not None:
        logit = logit + terms.relation_bias[kind]
    return logit


def segment_sum(csr: CSR, x: Tensor) -> Tensor:
    """The sum over each row's edges, float [N, …] from x float [E, …]."""
    return x.new_zeros(csr.num_rows, *x.shape[1:]).index_add(0, csr.row_index(), x)


def segment_logsumexp(csr: CSR, score: Tensor) -> Tensor:
    """ln Σ exp over each row's edges, float [N, H] from score float [E, H]; −inf for a row without edges."""
    row = csr.row_index()
    largest = segment_max(csr, score)
    return segment_sum(csr, (score - largest[row]).exp()).log() + largest


def segment_max(csr: CSR, score: Tensor) -> Tensor:
    """The largest of each row's edges, float [N, H] from score float [E, H], without gradient; 0 for an empty row."""
    place = csr.row_index()[:, None].expand_as(score)
    zeros = score.new_zeros(csr.num_rows, score.shape[1])
    return zeros.scatter_reduce(0, place, score.detach(), "amax", include_self=False)


def keep_mask(edges: Tensor, heads: int, dropout: float, seed: int) -> Tensor:
    """Which weights attention dropout keeps: a hash of (seed, edge number, head), the same in every backend.

    The counter c = edge · H + head is hashed in two halves, mix(mix(low(c) ^ s₁) + high(c) + s₂), with s₁, s₂ from the
    seed; a weight stays where the hash is at least dropout · 2³².

    Args:
        edges: int64 [n], edge numbers.
        heads: H.
        dropout: in [0, 1).
        seed: a 64-bit integer.

    Returns:
        bool [n, H].
    """
    first, second, threshold = dropout_constants(dropout, seed)
    counter = edges[:, None] * heads + torch.arange(heads, device=edges.device)
    hashed = _mix((counter & _MASK) ^ first)
    return _mix((hashed + (counter >> 32) + second) & _MASK) >= threshold


def dropout_constants(dropout: float, seed: int) -> tuple[int, int, int]:
    """The two halves of the hashed seed and the threshold below which a weight is dropped (0: none is)."""
    first = int(_mix(torch.tensor(seed & _MASK)))
    second = int(_mix(torch.tensor(((seed >> 32) & _MASK) ^ first)))
    return first, second, int(dropout * 2**32)


def _mix(number: Tensor) -> Tensor:
    """A bijection of 32-bit numbers (held in int64) by xor-shifts and odd factors, each bit depending on all."""
    number = ((number ^ (number >> 16)) * 0x7FEB352D) & _MASK
    number = ((number ^ (number >> 15)) * 0x846CA68B) & _MASK
    return number ^ (number >> 16)
