"""A graph handed to PyG and networkx and taken back unchanged. Neither is imported before it is needed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from graphrec.errors import GraphError
from graphrec.graph.hetero import INTERACTS, KINDS, REVERSE, Features, HeteroGraph, assemble

if TYPE_CHECKING:
    import networkx
    from torch_geometric.data import HeteroData


def to_pyg(graph: HeteroGraph) -> HeteroData:
    """The graph as PyG's HeteroData: node types ``user``, ``item``, ``entity``, edges numbered within their types.

    A relation that joins several kinds of node becomes one PyG edge type for each pair of kinds it joins; inverses are
    edge types like others. ``edge_index`` runs from source to target, and each of a kind's features is an attribute of
    the modality's name. Attributes of the whole are ``relations``, the names by edge type, those without edges
    included, and ``features``, (kind, modality) of each feature.

    >>> import numpy as np
    >>> from graphrec.graph.hetero import assemble
    >>> graph = assemble((1, 2, 0), ["interacts"], np.array([0]), np.array([2]), np.array([0]))
    >>> to_pyg(graph)["user", "interacts", "item"].edge_index.tolist()
    [[0], [1]]
    """
    from torch_geometric.data import HeteroData

    data = HeteroData()
    data.relations = list(graph.relations)
    data.features = [(kind, name) for kind, named in graph.features.items() for name in named]
    for kind in KINDS:
        data[kind].num_nodes = graph.count(kind)
        for modality, tensor in graph.features.get(kind, {}).items():
            data[kind][modality] = tensor
    first = torch.tensor([graph.first(kind) for kind in KINDS], device=graph.device)
    target, source = graph.adjacency.row_index(), graph.adjacency.col.long()
    source_kind = torch.bucketize(source, first[1:], right=True)
    target_kind = torch.bucketize(target, first[1:], right=True)
    edge_index = torch.stack([source - first[source_kind], target - first[target_kind]])
    assert graph.adjacency.edge_type is not None
    code = (graph.adjacency.edge_type * 3 + source_kind) * 3 + target_kind
    for value in code.unique().tolist():
        name = (KINDS[value // 3 % 3], graph.relations[value // 9], KINDS[value % 3])
        data[name].edge_index = edge_index[:, code == value]
    return data


def from_pyg(data: HeteroData) -> HeteroGraph:
    """A graph from PyG's HeteroData, from ``to_pyg`` or of one's own.

    Args:
        data: node types among ``user``, ``item``, ``entity``; interactions are ``("user", "interacts", "item")``; a
            name that begins with ``rev_`` is an inverse. Inverses that are missing are added. ``x``
            becomes the features of this name, where ``features`` of the whole does not name others.

    Raises:
        DataError: another node type, or no interactions.
    """
    unknown = [kind for kind in data.node_types if kind not in KINDS]
    if unknown:
        raise GraphError(f"node types must be among {', '.join(KINDS)}, got {', '.join(unknown)}")
    sizes = _sizes({kind: int(data[kind].num_nodes) for kind in data.node_types})
    first = dict(zip(KINDS, np.cumsum((0, *sizes[:2])).tolist(), strict=True))
    names = _forward_names(getattr(data, "relations", None), (name for _, name, _ in data.edge_types))
    edges = []
    for edge_type in data.edge_types:
        source_kind, name, target_kind = edge_type
        source, target = data[edge_type].edge_index.cpu().numpy()
        edges.append(_forward(names, name, source + first[source_kind], target + first[target_kind]))
    features: Features = {}
    for kind, name in getattr(data, "features", [(kind, "x") for kind in data.node_types if "x" in data[kind]]):
        features.setdefault(kind, {})[name] = data[kind][name]
    device = next((data[edge_type].edge_index.device for edge_type in data.edge_types), torch.device("cpu"))
    return _joined(sizes, names, edges, features).to(device)


def to_networkx(graph: HeteroGraph) -> networkx.MultiDiGraph:
    """The graph as a networkx MultiDiGraph from source to target, for graphs that fit into Python objects.

    Nodes are numbered as in the graph and carry ``kind`` and ``index`` (within the kind); the key of an edge is its
    relation, inverses included. The graph's attributes ``relations`` and ``features`` hold the rest.

    >>> import numpy as np
    >>> from graphrec.graph.hetero import assemble
    >>> graph = assemble((1, 2, 0), ["interacts"], np.array([0]), np.array([2]), np.array([0]))
    >>> list(to_networkx(graph).edges(keys=True))
    [(0, 2, 'interacts'), (2, 0, 'rev_interacts')]
    """
    import networkx

    assert graph.adjacency.edge_type is not None
    made = networkx.MultiDiGraph(relations=graph.relations, features=dict(graph.features))
    for kind in KINDS:
        first = graph.first(kind)
        made.add_nodes_from((first + i, {"kind": kind, "index": i}) for i in range(graph.count(kind)))
    columns = (graph.adjacency.col, graph.adjacency.row_index(), graph.adjacency.edge_type)
    source, target, types = (column.tolist() for column in columns)
    made.add_edges_from(zip(source, target, (graph.relations[edge_type] for edge_type in types), strict=True))
    return made


def from_networkx(made: networkx.MultiDiGraph) -> HeteroGraph:
    """A graph from a networkx MultiDiGraph, from ``to_networkx`` or of one's own.

    Args:
        made: every node with ``kind`` and ``index``, every edge with its relation as key; ``rev_`` marks inverses, and
            those that are missing are added.

    Raises:
        DataError: a node without kind or index, indices that are not 0, 1, 2, …, or no interactions.
    """
    places: dict[Any, tuple[str, int]] = {}
    for node, attributes in made.nodes(data=True):
        if attributes.get("kind") not in KINDS or "index" not in attributes:
            raise GraphError(f"node {node!r} needs a kind ({', '.join(KINDS)}) and an index, got {attributes}")
        places[node] = attributes["kind"], attributes["index"]
    by_kind = {kind: sorted(index for own, index in places.values() if own == kind) for kind in KINDS}
    for kind, indices in by_kind.items():
        if indices != list(range(len(indices))):
            raise GraphError(f"the indices of kind {kind} must be 0 to {len(indices) - 1}, each once")
    sizes = _sizes({kind: len(indices) for kind, indices in by_kind.items()})
    first = dict(zip(KINDS, np.cumsum((0, *sizes[:2])).tolist(), strict=True))
    number = {node: first[kind] + index for node, (kind, index) in places.items()}
    by_name: dict[str, list[tuple[int, int]]] = {}
    for source, target, name in made.edges(keys=True):
        by_name.setdefault(name, []).append((number[source], number[target]))
    names = _forward_names(made.graph.get("relations"), by_name)
    edges = [_forward(names, name, *np.array(pairs).T) for name, pairs in by_name.items()]
    return _joined(sizes, names, edges, dict(made.graph.get("features", {})))


def _sizes(counts: dict[str, int]) -> tuple[int, int, int]:
    return counts.get("user", 0), counts.get("item", 0), counts.get("entity", 0)


def _forward_names(relations: Iterable[str] | None, present: Iterable[str]) -> list[str]:
    """Names of the relations without inverses, ``interacts`` first, as recorded or else in order of appearance."""
    if relations is not None:
        return list(relations)[::2]
    found = list(dict.fromkeys(name.removeprefix(REVERSE) for name in present))
    if INTERACTS not in found:
        raise GraphError(f"no edges of relation 'interacts' between user and item, only {', '.join(found) or 'none'}")
    return [INTERACTS, *(name for name in found if name != INTERACTS)]


def _forward(names: list[str], name: str, source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, ...]:
    """Source, target and relation of edges in the direction their relation is read, whichever they came in."""
    if name in names:
        return source, target, np.full(len(source), names.index(name))
    inverse_of = name.removeprefix(REVERSE)
    if inverse_of == name or inverse_of not in names:
        raise GraphError(f"relation {name!r} is not among the recorded ones: {', '.join(names)}")
    return target, source, np.full(len(source), names.index(inverse_of))


def _joined(
    sizes: tuple[int, int, int], names: list[str], edges: list[tuple[np.ndarray, ...]], features: Features
) -> HeteroGraph:
    nothing = np.empty(0, np.int64)
    source, target, relation = (np.concatenate(parts) for parts in zip(*edges, (nothing,) * 3, strict=True))
    return assemble(sizes, names, source, target, relation, features)
