"""A part of the graph that one layer can run on: all edges, or drawn ones, into some nodes.

N nodes, n receivers, m senders, G groups of edge types.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from graphrec.sparse import CSR


@dataclass(frozen=True, eq=False)
class Block:
    """Edges into some nodes.

    Args:
        csr: [n, m] with edge types.
        receivers: the nodes that its rows are, int64 [n] or a slice of all nodes; where the graph is, which need not be
            where ``csr`` is.
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

    @cached_property
    def parts(self) -> list[tuple[CSR, Tensor | None]]:
        """The edges of each group that has some, and how many edges of the graph each of a row's stands for.

        That number is float32 [n], 0 for a row without edges in the group, and None where all edges are here and each
        stands for itself. Without any edge there is one part, which is empty.
        """
        if self.counts is None:
            return [(self.csr, None)]
        found: list[tuple[CSR, Tensor | None]] = [
            (part, _shares(part, count)) for part, count in zip(self._split(), self.counts.unbind(1), strict=True)
        ]
        return [(part, share) for part, share in found if part.num_edges] or found[:1]

    def _split(self) -> list[CSR]:
        if len(self.groups) <= 2:
            return [self.csr]
        assert self.csr.edge_type is not None
        bounds = torch.tensor(self.groups[1:-1], device=self.csr.device)
        group = torch.bucketize(self.csr.edge_type, bounds, right=True)
        return [self.csr.without_edges(group != number) for number in range(len(self.groups) - 1)]

    def to(self, device: torch.device) -> Block:
        """The same edges on another device. The nodes stay where they are, beside the tables that they index."""
        if device == self.csr.device:
            return self
        csr, counts = self.csr, self.counts
        kinds = None if csr.edge_type is None else csr.edge_type.to(device)
        moved = CSR.unchecked(csr.rowptr.to(device), csr.col.to(device), csr.num_cols, kinds)
        return replace(self, csr=moved, counts=None if counts is None else counts.to(device))

    def left_alone(self) -> Tensor:
        """bool [n], True for receivers that have edges in the graph and none here."""
        if self.counts is None:
            return self.csr.degree.new_zeros(self.csr.num_rows, dtype=torch.bool)
        return (self.csr.degree == 0) & (self.counts.sum(dim=1) > 0)


def _shares(part: CSR, count: Tensor) -> Tensor:
    return torch.where(part.degree > 0, count / part.degree.clamp(min=1), 0.0)
