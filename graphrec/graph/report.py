"""What there is to say about a graph: from the graph itself, or from a data set that may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numba
import numpy as np

from graphrec.data import Dataset, Part
from graphrec.data.storage import blocks
from graphrec.graph.build import build_graph
from graphrec.graph.hetero import INTERACTS, KINDS, HeteroGraph

_QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)


def graph_report(graph: HeteroGraph) -> dict[str, Any]:
    """Facts about a graph, ready for JSON.

    Returns:
        ``nodes`` by kind; ``edges`` by relation, inverses not repeated; ``degrees`` of each kind with nodes: mean and
        quantiles of the number of incoming edges; ``components``: number of connected ones and nodes in the
        largest; ``isolated`` nodes by kind; ``dropped_self_loops``.
    """
    return _Counts(graph).report()


def dataset_report(dataset: Dataset) -> dict[str, Any]:
    """``graph_report`` of the training graph, ``build_graph(dataset)``, in memory that grows with the nodes alone.

    The interactions are passed over block by block; of the knowledge the graph is built.

    >>> import numpy as np
    >>> from graphrec.data import IdMap, Interactions, Knowledge
    >>> rows = Interactions(*np.array([[0, 0], [0, 1]], np.int32), np.zeros(2, np.uint8), np.ones(2, np.int32))
    >>> report = dataset_report(Dataset(IdMap.dense(1), IdMap.dense(2), IdMap.dense(0), rows, Knowledge()))
    >>> report["edges"], report["components"]
    ({'interacts': 2}, {'count': 1, 'largest': 3})
    """
    counts = _Counts(build_graph(dataset, parts=()))
    edges = dataset.interactions
    for user, item, part in blocks(edges.user, edges.item, edges.part):
        fit = part == Part.FIT
        counts.add(user[fit], item[fit] + dataset.num_users)
    return counts.report()


class _Counts:
    """Degrees and connected components of a graph to which further interactions may be added."""

    def __init__(self, graph: HeteroGraph) -> None:
        self.graph = graph
        csr = graph.adjacency
        assert csr.edge_type is not None
        by_type = csr.edge_type.bincount(minlength=graph.num_relations).tolist()
        self.edges = {graph.relations[i]: by_type[i] for i in range(0, graph.num_relations, 2)}
        self.degree = csr.degree.cpu().numpy().copy()
        self.parent = np.arange(graph.num_nodes, dtype=np.int32)
        _join_rows(self.parent, csr.rowptr.cpu().numpy(), csr.col.cpu().numpy())

    def add(self, first: np.ndarray, second: np.ndarray) -> None:
        """Count distinct interactions between these nodes, each in both directions."""
        self.edges[INTERACTS] += len(first)
        _count(self.degree, first)
        _count(self.degree, second)
        _join(self.parent, first, second)

    def report(self) -> dict[str, Any]:
        """All that ``graph_report`` promises."""
        by_kind = dict(self._by_kind())
        return {
            "nodes": {kind: self.graph.count(kind) for kind in KINDS},
            "edges": self.edges,
            "degrees": {kind: _quantiles(own) for kind, own in by_kind.items() if len(own)},
            "components": self._components(),
            "isolated": {kind: int((own == 0).sum()) for kind, own in by_kind.items()},
            "dropped_self_loops": self.graph.dropped_self_loops,
        }

    def _by_kind(self) -> Iterator[tuple[str, np.ndarray]]:
        for kind in KINDS:
            first = self.graph.first(kind)
            yield kind, self.degree[first : first + self.graph.count(kind)]

    def _components(self) -> dict[str, int]:
        if not len(self.parent):
            return {"count": 0, "largest": 0}
        sizes = np.bincount(_roots(self.parent))
        return {"count": int((sizes > 0).sum()), "largest": int(sizes.max())}


def _quantiles(degree: np.ndarray) -> dict[str, float]:
    values = degree.astype(np.float64)
    points = np.quantile(values, _QUANTILES).tolist()
    return {"mean": float(values.mean())} | {f"q{q:g}": point for q, point in zip(_QUANTILES, points, strict=True)}


_jit: Any = numba.njit(nogil=True, cache=True)


@_jit
def _root(parent: np.ndarray, node: int) -> int:
    """The node that stands for the component; the way there is halved."""
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@_jit
def _join(parent: np.ndarray, first: np.ndarray, second: np.ndarray) -> None:
    """Make one component of the two nodes of each pair; the lower number stands for it."""
    for edge in range(len(first)):
        one, other = _root(parent, first[edge]), _root(parent, second[edge])
        if one < other:
            parent[other] = one
        elif other < one:
            parent[one] = other


@_jit
def _join_rows(parent: np.ndarray, rowptr: np.ndarray, col: np.ndarray) -> None:
    """As ``_join``, for the edges of a CSR."""
    for row in range(len(rowptr) - 1):
        for edge in range(rowptr[row], rowptr[row + 1]):
            one, other = _root(parent, row), _root(parent, col[edge])
            if one < other:
                parent[other] = one
            elif other < one:
                parent[one] = other


@_jit
def _roots(parent: np.ndarray) -> np.ndarray:
    """The component of each node."""
    roots = np.empty_like(parent)
    for node in range(len(parent)):
        roots[node] = _root(parent, node)
    return roots


@_jit
def _count(degree: np.ndarray, nodes: np.ndarray) -> None:
    for node in nodes:
        degree[node] += 1
