"""Neighbour sampling: a few edges of each node instead of all, hop by hop outwards from a batch's nodes.

N nodes, E edges, K hops, n nodes in a sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphrec.errors import ArrayError
from graphrec.graph import HeteroGraph
from graphrec.sampling.draw_numba import NumbaDrawing
from graphrec.sampling.draw_torch import TorchDrawing
from graphrec.sampling.fanouts import Fanout, groups_of
from graphrec.sampling.plan import Drawing, Plan, edges_of
from graphrec.sparse import CSR
from graphrec.sparse.checks import check_range


@dataclass(frozen=True)
class Hop:
    """The edges drawn for the nodes at the first places of a sample.

    Args:
        csr: [rows, cols], with edge types; its columns are the places up to those that this hop adds.
        edge: int64, each edge's number in the graph.
    """

    csr: CSR
    edge: Tensor


@dataclass(frozen=True)
class Sample:
    """Nodes around seeds and some of the edges between them.

    Hop h holds edges into the first ``hops[h].csr.num_rows`` nodes from the first ``hops[h].csr.num_cols``: hop 0 leads
    to the seeds, the next to these and what hop 0 met, and so on. Layer k of K runs on hop K − k.

    Args:
        nodes: int64 [n], the seeds first.
        hops: K of them.
        num_seeds: how many of the nodes are seeds.
        tree: int64 [n], the seed that each node was met from, where seeds do not share nodes; else None.
    """

    nodes: Tensor
    hops: tuple[Hop, ...]
    num_seeds: int
    tree: Tensor | None = None


class NeighborSampler:
    """Draws some of each node's edges, uniformly or by weight.

    Everything drawn is a function of the graph, the settings, the seed and, for each node, the node itself (with times,
    its place in the sample): not of the other nodes in the batch, the machine, the device or the number of threads.
    Threads may share one sampler: a sample leaves nothing behind in it.

    Args:
        graph: on any device, which the samples are on too; on the CPU one thread draws each.
        fanout: how many edges of a node each hop draws, nearest to the seeds first; −1 for all. Either one sequence for
            edges of every type together, or one for each kind of edge: ``interacts``, and either ``knowledge`` for all
            relations together or names of relations; a relation counts in both directions, and a kind not named gives
            no edges.
        replace: whether an edge may be drawn more than once.
        weight: float [E] ≥ 0, finite: draw in proportion; None draws uniformly. Without replacement, fewer edges come
            where almost all weight lies on fewer than the fan-out.
        time: [E], when each edge came about, for seeds that must not see what came after them; whole numbers up to
            2⁵³. Each seed then has nodes of its own.

    Raises:
        UsageError: a fan-out that names no kind of edge, is empty or negative, or weights or times that do not fit.

    >>> import numpy as np
    >>> from graphrec.graph.hetero import assemble
    >>> graph = assemble((1, 3, 0), ["interacts"], np.zeros(3, int), np.array([1, 2, 3]), np.zeros(3, int))
    >>> sample = NeighborSampler(graph, [2]).sample(torch.tensor([0]), seed=1)  # user 0 has used all three items
    >>> len(sample.nodes), sample.hops[0].csr.num_edges
    (3, 2)
    """

    def __init__(
        self,
        graph: HeteroGraph,
        fanout: Fanout,
        *,
        replace: bool = False,
        weight: Tensor | None = None,
        time: Tensor | None = None,
    ) -> None:
        self.graph = graph
        self.groups, self.fanouts = groups_of(graph.relations, fanout)
        edges, plan = edges_of(graph.adjacency, self.groups, weight, time), Plan(self.groups, self.fanouts, replace)
        self._timed = time is not None
        self._drawing: Drawing = (NumbaDrawing if graph.device.type == "cpu" else TorchDrawing)(edges, plan)

    @property
    def layers(self) -> int:
        """K."""
        return self.fanouts.shape[0]

    def sample(
        self,
        seeds: Tensor,
        *,
        seed: int,
        removed: tuple[Tensor, Tensor] | None = None,
        until: Tensor | None = None,
    ) -> Sample:
        """Nodes and edges around some nodes.

        Args:
            seeds: int64 [S] in [0, N), distinct unless the sampler has times.
            seed: of all draws, a 64-bit integer.
            removed: pairs of nodes, int64 [P] each, between which no edge is drawn, of any type, in either direction,
                at any hop: the pairs that a loss is to predict.
            until: [S], with times only: each seed sees no edge that is younger.

        Raises:
            UsageError: seeds that repeat, seeds or removed pairs that are no nodes, or times without ``until`` or the
                other way round.
        """
        nodes, limit = self._checked_seeds(seeds, until)
        pairs = None if removed is None else self._checked_pairs(*removed)
        drawn = self._drawing.draw(nodes, seed, pairs, limit)
        ends = [*(len(rowptr) - 1 for rowptr, _, _ in drawn.hops[1:]), len(drawn.nodes)]
        hops = (self._hop(*hop, num_cols) for hop, num_cols in zip(drawn.hops, ends, strict=True))
        return Sample(drawn.nodes, tuple(hops), len(nodes), drawn.tree)

    def counts(self, nodes: Tensor) -> Tensor:
        """How many edges nodes have in the graph, by group of edge types, int64 [n, G]; ``nodes`` is int64 [n]."""
        return self._drawing.counts(nodes)

    def _checked_seeds(self, seeds: Tensor, until: Tensor | None) -> tuple[Tensor, Tensor | None]:
        check_range("seeds", seeds, self.graph.num_nodes)
        if self._timed != (until is not None):
            raise ArrayError("until needs a sampler with times, and a sampler with times needs until")
        if until is not None and until.shape != seeds.shape:
            raise ArrayError(f"until must have shape {list(seeds.shape)}, got {list(until.shape)}")
        if until is not None and bool(until.isnan().any()):
            raise ArrayError("until must be a time for every seed, got NaN")
        if not self._timed and len(seeds.unique()) < len(seeds):
            raise ArrayError("seeds must be distinct", "use seeds.unique()")
        device = self.graph.device
        return seeds.to(device, torch.int64), None if until is None else until.to(device, torch.float64)

    def _checked_pairs(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        for nodes in (one, other):
            check_range("removed", nodes, self.graph.num_nodes)
        if one.shape != other.shape:
            raise ArrayError(f"removed must be two tensors of one length, got {len(one)} and {len(other)}")
        return one.to(self.graph.device, torch.int64), other.to(self.graph.device, torch.int64)

    def _hop(self, rowptr: Tensor, col: Tensor, edge: Tensor, num_cols: int) -> Hop:
        kinds = self.graph.adjacency.edge_type
        assert kinds is not None
        return Hop(CSR.unchecked(rowptr, col, num_cols, kinds.index_select(0, edge)), edge)
