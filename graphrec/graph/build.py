"""From a data set to the graph that models propagate on, and what there is to say about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphrec.data import Dataset, Part
from graphrec.graph.hetero import INTERACTS, KINDS, HeteroGraph, assemble

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
