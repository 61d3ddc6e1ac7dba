"""From a data set to the graph that models propagate on, and what there is to say about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphrec.data import Dataset, Part
from graphrec.graph.deferred import DeferredGraph
from graphrec.graph.hetero import INTERACTS, KINDS, REVERSE, HeteroGraph, assemble
from graphrec.sparse import CSR

_ROWS_AT_ONCE = 2**22
_QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)


def build_graph(dataset: Dataset, parts: Sequence[Part] = (Part.FIT,), *, knowledge: bool = True) -> HeteroGraph:
    """The propagation graph: interactions of the given parts and the knowledge, each edge beside its inverse.

    No row of another part becomes an edge. A triple that joins a node to itself tells propagation nothing; it is left
    out and counted.

    Args:
        dataset: users, items, entities, rows and triples.
        parts: whose rows may be known; fit rows alone unless a model is trained again on all training rows.
        knowledge: False leaves the triples out; the entities stay as nodes.

    Raises:
        DataError: two relations of the knowledge would have one name in the graph.
    """
    user, item = dataset.interactions.select(*parts)
    sizes = (dataset.num_users, dataset.num_items, dataset.num_entities)
    names = [INTERACTS]
    source, target, relation = [user], [item + dataset.num_users], [np.zeros(len(user), np.int32)]
    if knowledge:
        facts = dataset.knowledge
        names += facts.relations
        source.append(facts.head)
        target.append(facts.tail)
        relation.append(facts.relation + 1)
    return assemble(sizes, names, np.concatenate(source), np.concatenate(target), np.concatenate(relation))


def defer_graph(dataset: Dataset, parts: Sequence[Part] = (Part.FIT,)) -> HeteroGraph:
    """What ``build_graph`` makes, made when its edges are first asked for.

    What was used by whom (``seen``) comes from the rows alone and makes no other edge.
    """
    sizes = (dataset.num_users, dataset.num_items, dataset.num_entities)
    names = (INTERACTS, *dataset.knowledge.relations)
    relations = tuple(name for forward in names for name in (forward, REVERSE + forward))
    return DeferredGraph(sizes, relations, lambda: build_graph(dataset, parts), lambda: rows_csr(dataset, parts))


def rows_csr(dataset: Dataset, parts: Sequence[Part]) -> CSR:
    """The interactions of some parts as CSR [U, I].

    The rows stand in the order of users and items, so they are counted, not sorted; they are read a few million at a
    time and may be memory-mapped.
    """
    rows = dataset.interactions
    counts = np.zeros(dataset.num_users + 1, np.int64)
    chosen = [int(part) for part in parts]
    total = sum(int(np.isin(rows.part[block], chosen).sum()) for block in _blocks(len(rows)))
    col, filled, last = np.empty(total, np.int32), 0, 0
    for block in _blocks(len(rows)):
        kept = np.isin(rows.part[block], chosen)
        user, item = rows.user[block][kept], rows.item[block][kept]
        place = user.astype(np.int64) * dataset.num_items + item
        assert (np.diff(place, prepend=last) >= 0).all(), "interactions are not in order"
        last = place[-1] if len(place) else last
        counts[1:] += np.bincount(user, minlength=dataset.num_users)
        col[filled : filled + len(item)] = item
        filled += len(item)
    return CSR(torch.from_numpy(counts.cumsum()), torch.from_numpy(col), dataset.num_items)


def _blocks(length: int) -> list[slice]:
    return [slice(first, first + _ROWS_AT_ONCE) for first in range(0, length, _ROWS_AT_ONCE)]


def graph_report(graph: HeteroGraph) -> dict[str, Any]:
    """Facts about a graph, ready for JSON.

    Returns:
        ``nodes`` by kind; ``edges`` by relation, inverses not repeated; ``degrees`` of each kind with nodes: mean and
        quantiles of the number of incoming edges; ``components``: number of connected ones and nodes in the
        largest; ``isolated`` nodes by kind; ``dropped_self_loops``.
    """
    degree = graph.adjacency.degree
    by_kind = {kind: degree[graph.first(kind) : graph.first(kind) + graph.count(kind)] for kind in KINDS}
    assert graph.adjacency.edge_type is not None
    by_type = torch.bincount(graph.adjacency.edge_type, minlength=graph.num_relations).tolist()
    return {
        "nodes": {kind: graph.count(kind) for kind in KINDS},
        "edges": {graph.relations[i]: by_type[i] for i in range(0, graph.num_relations, 2)},
        "degrees": {kind: _quantiles(own) for kind, own in by_kind.items() if len(own)},
        "components": _components(graph),
        "isolated": {kind: int((own == 0).sum()) for kind, own in by_kind.items()},
        "dropped_self_loops": graph.dropped_self_loops,
    }


def _quantiles(degree: Tensor) -> dict[str, float]:
    values = degree.double().cpu().numpy()
    points = np.quantile(values, _QUANTILES).tolist()
    return {"mean": float(values.mean())} | {f"q{q:g}": point for q, point in zip(_QUANTILES, points, strict=True)}


def _components(graph: HeteroGraph) -> dict[str, int]:
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    if not graph.num_nodes:
        return {"count": 0, "largest": 0}
    csr = graph.adjacency
    links = csr_array(
        (np.ones(csr.num_edges, np.int8), csr.col.cpu().numpy(), csr.rowptr.cpu().numpy()),
        shape=(graph.num_nodes, graph.num_nodes),
    )
    count, label = connected_components(links, directed=False)
    return {"count": int(count), "largest": int(np.bincount(label).max())}
