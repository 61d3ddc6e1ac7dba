"""A part of the graph that one layer can run on: all edges, or drawn ones, into some nodes.

N nodes, n receivers, m senders, G groups of edge types.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphrec.sparse import CSR


@dataclass(frozen=True, eq=False)
class Block:
    """Edges into some nodes.

    Args:
        csr: [n, m] with edge types.
        receivers: the nodes that its rows are, int64 [n] or a slice of all nodes.
        senders: the nodes that its columns are, int64 [m] or a slice of all nodes.
        groups: the edge types at which each group of types begins, and where the last ends, G + 1 of them. Drawn edges
            were drawn within each group by itself.
        counts: int64 [n, G], how many edges of each group a receiver has in the whole graph; None where all are here.
    """

    csr: CSR
    receivers: Tensor | slice
    senders: Tensor | slice
    groups: Sequence[int] = ()
    counts: Tensor | None = None

    def by_group(self) -> list[tuple[CSR, Tensor | None]]:
        """Each group's edges, and how many edges of the graph each of a row's stands for, float32 [n].

        A row without edges in a group gets 0 there; None where all edges are here and each stands for itself.
        """
        if self.counts is None:
            return [(self.csr, None)]
        if self.counts.shape[1] == 1:
            parts = [self.csr]
        else:
            assert self.csr.edge_type is not None
            bounds = torch.tensor(self.groups[1:-1], device=self.csr.device)
            group = torch.bucketize(self.csr.edge_type, bounds, right=True)
            parts = [self.csr.without_edges(group != number) for number in range(self.counts.shape[1])]
        return [(part, _shares(part, count)) for part, count in zip(parts, self.counts.unbind(1), strict=True)]

    def left_alone(self) -> Tensor:
        """bool [n], True for receivers that have edges in the graph and none here."""
        if self.counts is None:
            return self.csr.degree.new_zeros(self.csr.num_rows, dtype=torch.bool)
        return (self.csr.degree == 0) & (self.counts.sum(dim=1) > 0)


def _shares(part: CSR, count: Tensor) -> Tensor:
    return torch.where(part.degree > 0, count / part.degree.clamp(min=1), 0.0)
