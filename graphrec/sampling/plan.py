"""What the forms of the sampler share: the edges they draw from, the settings, and what they give back.

N nodes, E edges, K hops, G groups of edge types, n nodes in a sample.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from graphrec.errors import ArrayError
from graphrec.sampling.draw import Edges
from graphrec.sparse import CSR


class Plan(NamedTuple):
    """What to draw.

    Args:
        groups: int64 [G + 1], the edge types at which each group begins.
        fanouts: int64 [K, G], −1 for all.
        replace: whether an edge may be drawn more than once.
    """

    groups: np.ndarray
    fanouts: np.ndarray
    replace: bool


class Drawn(NamedTuple):
    """Nodes and edges of a sample.

    Args:
        nodes: int64 [n], the seeds first, then those of each hop in the order in which its edges meet them.
        tree: int64 [n], the seed that each belongs to where seeds do not share nodes; else None.
        hops: K times the row pointers (int64) of the nodes known before, the places of the senders (int32) and the
            numbers (int64) of the edges, those of a node by group and draw.
    """

    nodes: Tensor
    tree: Tensor | None
    hops: list[tuple[Tensor, Tensor, Tensor]]


class Drawing(Protocol):
    """A form of the sampler. It keeps nothing from one call to the next, so threads may share it."""

    def draw(self, seeds: Tensor, seed: int, removed: tuple[Tensor, Tensor] | None, limit: Tensor | None) -> Drawn:
        """Draw around ``seeds``, int64 [S]; ``limit`` is float64 [S] or None, the rest as in ``NeighborSampler``."""
        ...

    def counts(self, nodes: Tensor) -> Tensor:
        """The edges of each group that nodes have in the graph, int64 [n, G]; ``nodes`` is int64 [n]."""
        ...


def edges_of(csr: CSR, groups: np.ndarray, weight: Tensor | None, time: Tensor | None) -> Edges:
    """The edges as tensors where the graph is, with their order by age and added weights, which are made on the CPU.

    Raises:
        UsageError: weights or times that do not fit.
    """
    assert csr.edge_type is not None
    for name, given in (("weight", weight), ("time", time)):
        if given is not None and given.shape != csr.col.shape:
            raise ArrayError(f"{name} must have shape [{csr.num_edges}], got {list(given.shape)}")
    if weight is not None and not bool((weight.isfinite() & (weight >= 0)).all()):
        raise ArrayError("every weight must be finite and >= 0")
    if time is not None and bool(time.isnan().any()):
        raise ArrayError("every edge needs a time, got NaN")
    order, sorted_time, added = np.empty(0, np.int64), np.empty(0, np.float64), np.empty(0, np.float64)
    if time is not None:
        age = time.cpu().numpy().astype(np.float64)
        group = np.searchsorted(groups, csr.edge_type.cpu().numpy(), side="right")
        order = np.lexsort((age, group, csr.row_index().cpu().numpy()))
        sorted_time = age[order]
    if weight is not None:
        each = weight.cpu().numpy().astype(np.float64)
        added = np.concatenate([[0.0], np.cumsum(each[order] if time is not None else each)])
    made = (torch.from_numpy(part).to(csr.device) for part in (order, sorted_time, added))
    return Edges(csr.rowptr, csr.col, csr.edge_type, *made)
