"""Neighbour sampling: a few edges of each node instead of all, hop by hop outwards from a batch's nodes.

N nodes, E edges, K hops, n nodes in a sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphrec.errors import UsageError, nearest
from graphrec.graph import HeteroGraph
from graphrec.graph.hetero import INTERACTS
from graphrec.sampling.draw import Edges, Found, Removed, draw_hop, edges_between
from graphrec.sparse import CSR
from graphrec.sparse.checks import check_range

ALL = -1  # a fan-out that takes every edge
KNOWLEDGE = "knowledge"

Fanout = Sequence[int] | Mapping[str, Sequence[int]]


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
    its place in the sample): not of the other nodes in the batch, the machine or the number of threads. One sampler
    serves one thread at a time.

    Args:
        graph: on the CPU.
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
        if graph.device.type != "cpu":
            raise UsageError(f"the sampler takes a graph on the CPU, got one on {graph.device}")
        self.graph = graph
        self.replace = replace
        self.groups, self.fanouts = _groups(graph.relations, fanout)
        self._timed = time is not None
        self._edges = _edges(graph.adjacency, self.groups, weight, time)
        self._place = np.empty(len(self._edges.order), np.int64)  # of each edge in the order of time
        self._place[self._edges.order] = np.arange(len(self._place))
        self._slot = np.full(graph.num_nodes, -1, np.int32)
        self._list_of = np.full(graph.num_nodes, -1, np.int32)

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
        nodes = self._checked(seeds, until)
        tree = np.arange(len(nodes)) if self._timed else np.empty(0, np.int64)
        limits = np.empty(0, np.float64) if until is None else until.numpy().astype(np.float64)
        gone, with_removed = self._removed(removed)
        hops: list[Hop] = []
        try:
            self._slot[nodes] = np.arange(len(nodes), dtype=np.int32)
            for hop, fanout in enumerate(self.fanouts):
                found = Found(*self._room(nodes, tree, fanout), self._slot)
                rowptr = np.empty(len(nodes) + 1, np.int64)
                col, number = (np.empty(len(found.nodes) - len(nodes), kind) for kind in (np.int32, np.int64))
                options = (self.groups, fanout, self.replace, np.uint64(seed % 2**64), np.uint64(hop), limits, gone)
                known = draw_hop(self._edges, *options, found, len(nodes), rowptr, col, number)
                nodes, tree = found.nodes[:known], found.tree[:known]
                hops.append(self._hop(rowptr, col[: rowptr[-1]], number[: rowptr[-1]], known))
        finally:
            self._slot[nodes] = -1
            self._list_of[with_removed] = -1
        trees = torch.from_numpy(tree) if self._timed else None
        return Sample(torch.from_numpy(nodes), tuple(hops), len(seeds), trees)

    def _checked(self, seeds: Tensor, until: Tensor | None) -> np.ndarray:
        check_range("seeds", seeds, self.graph.num_nodes)
        nodes: np.ndarray = seeds.numpy().astype(np.int64)
        if self._timed != (until is not None):
            raise UsageError("until needs a sampler with times, and a sampler with times needs until")
        if until is not None and until.shape != seeds.shape:
            raise UsageError(f"until must have shape {list(seeds.shape)}, got {list(until.shape)}")
        if until is not None and bool(until.isnan().any()):
            raise UsageError("until must be a time for every seed, got NaN")
        if not self._timed and len(np.unique(nodes)) < len(nodes):
            raise UsageError("seeds must be distinct", "use seeds.unique()")
        return nodes

    def _removed(self, pairs: tuple[Tensor, Tensor] | None) -> tuple[Removed, np.ndarray]:
        """The places of all edges between the pairs, by the node that they lead to, and these nodes."""
        if pairs is None:
            nothing = np.empty(0, np.int64)
            return Removed(self._list_of, nothing, nothing), nothing
        for nodes in pairs:
            check_range("removed", nodes, self.graph.num_nodes)
        one, other = (nodes.numpy().astype(np.int64) for nodes in pairs)
        if one.shape != other.shape:
            raise UsageError(f"removed must be two tensors of one length, got {len(one)} and {len(other)}")
        row, col = np.concatenate([one, other]), np.concatenate([other, one])
        number = np.empty(edges_between(self._edges, row, col, False, np.empty(0, np.int64)), np.int64)
        edges_between(self._edges, row, col, True, number)
        number = np.unique(number)
        node = np.searchsorted(self._edges.rowptr, number, side="right") - 1
        place = number if not self._timed else self._place[number]
        place = place[np.lexsort((place, node))]
        with_removed, begin = np.unique(node, return_index=True)
        self._list_of[with_removed] = np.arange(len(with_removed), dtype=np.int32)
        return Removed(self._list_of, np.append(begin, len(place)), place), with_removed

    def _room(self, nodes: np.ndarray, tree: np.ndarray, fanout: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Both arrays with place for all that a hop may add."""
        most = len(nodes) * int(fanout.clip(min=0).sum())
        if (fanout == ALL).any():
            rowptr = self._edges.rowptr
            most += int((rowptr[nodes + 1] - rowptr[nodes]).sum())
        more = np.empty(most, np.int64)
        return np.concatenate([nodes, more]), np.concatenate([tree, more]) if self._timed else tree

    def _hop(self, rowptr: np.ndarray, col: np.ndarray, number: np.ndarray, num_cols: int) -> Hop:
        edge = torch.from_numpy(number)
        kinds = self.graph.adjacency.edge_type
        assert kinds is not None
        return Hop(CSR(torch.from_numpy(rowptr), torch.from_numpy(col), num_cols, kinds[edge]), edge)


def _groups(relations: Sequence[str], fanout: Fanout) -> tuple[np.ndarray, np.ndarray]:
    """The edge types at which each group begins, [G + 1], and each hop's fan-outs, [K, G]."""
    if not isinstance(fanout, Mapping):
        return np.array([0, len(relations)]), _counts([fanout])
    known = [INTERACTS, KNOWLEDGE, *relations[2::2]]
    for name in fanout:
        if name not in known:
            hint = nearest(name, known) or f"there are {', '.join(known)}"
            raise UsageError(f"fan-out {name!r} names no kind of edge", hint)
    if KNOWLEDGE in fanout and len(fanout.keys() - {INTERACTS, KNOWLEDGE}):
        raise UsageError("a fan-out names either knowledge or single relations of it")
    if not fanout:
        raise UsageError("a fan-out needs at least one kind of edge")
    layers = len(next(iter(fanout.values())))
    starts, counts = [0], [fanout.get(INTERACTS, [0] * layers)]
    if KNOWLEDGE in fanout:
        starts.append(2)
        counts.append(fanout[KNOWLEDGE])
    else:
        starts += range(2, len(relations), 2)
        counts += [fanout.get(name, [0] * layers) for name in relations[2::2]]
    return np.array([*starts, len(relations)]), _counts(counts)


def _counts(columns: Sequence[Sequence[int]]) -> np.ndarray:
    """Fan-outs of each kind as [K, G]."""
    if len({len(column) for column in columns}) != 1 or not columns[0]:
        raise UsageError("a fan-out needs one number for each hop, as many for every kind of edge")
    counts = np.array(columns, np.int64).T
    if counts.min() < ALL:
        raise UsageError(f"a fan-out must be >= 0, or {ALL} for all edges, got {counts.min()}")
    return np.ascontiguousarray(counts)


def _edges(csr: CSR, groups: np.ndarray, weight: Tensor | None, time: Tensor | None) -> Edges:
    assert csr.edge_type is not None
    for name, given in (("weight", weight), ("time", time)):
        if given is not None and given.shape != csr.col.shape:
            raise UsageError(f"{name} must have shape [{csr.num_edges}], got {list(given.shape)}")
    if weight is not None and not bool((weight.isfinite() & (weight >= 0)).all()):
        raise UsageError("every weight must be finite and >= 0")
    if time is not None and bool(time.isnan().any()):
        raise UsageError("every edge needs a time, got NaN")
    order, sorted_time = np.empty(0, np.int64), np.empty(0, np.float64)
    if time is not None:
        age = time.numpy().astype(np.float64)
        group = np.searchsorted(groups, csr.edge_type.numpy(), side="right")
        order = np.lexsort((age, group, csr.row_index().numpy()))
        sorted_time = age[order]
    added = np.empty(0, np.float64)
    if weight is not None:
        each = weight.numpy().astype(np.float64)
        added = np.concatenate([[0.0], np.cumsum(each[order] if time is not None else each)])
    return Edges(csr.rowptr.numpy(), csr.col.numpy(), csr.edge_type.numpy(), order, sorted_time, added)
