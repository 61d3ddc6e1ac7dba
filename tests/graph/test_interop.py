from __future__ import annotations

from dataclasses import replace

import networkx
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import HeteroData
from torch_geometric.nn import SimpleConv

from graphrec.errors import DataError
from graphrec.graph import HeteroGraph, from_networkx, from_pyg, to_networkx, to_pyg
from graphrec.graph.hetero import assemble


def same(a: HeteroGraph, b: HeteroGraph) -> bool:
    """Equal in every number, features included."""
    sizes = all(
        getattr(a, name) == getattr(b, name) for name in ("num_users", "num_items", "num_entities", "relations")
    )
    tensors = all(
        torch.equal(getattr(a.adjacency, name), getattr(b.adjacency, name)) for name in ("rowptr", "col", "edge_type")
    )
    features, others = (
        {(kind, name): tensor for kind, named in graph.features.items() for name, tensor in named.items()}
        for graph in (a, b)
    )
    alike = features.keys() == others.keys() and all(
        torch.equal(tensor, others[key]) and tensor.dtype == others[key].dtype for key, tensor in features.items()
    )
    return sizes and tensors and alike


def small() -> HeteroGraph:
    """Users 0 1, items 2 3, entity 4; genre joins items to the entity, like joins items, users and both."""
    source, target, relation = [0, 1, 2, 3, 2, 0, 1], [2, 3, 4, 4, 3, 1, 2], [0, 0, 1, 1, 2, 2, 2]
    names = ["interacts", "genre", "like", "never"]
    return assemble((2, 2, 1), names, np.array(source), np.array(target), np.array(relation))


def test_pyg_by_hand() -> None:
    data = to_pyg(small())
    assert set(data.edge_types) == {
        ("user", "interacts", "item"),
        ("item", "rev_interacts", "user"),
        ("item", "genre", "entity"),
        ("entity", "rev_genre", "item"),
        ("item", "like", "item"),
        ("item", "rev_like", "item"),
        ("user", "like", "user"),
        ("user", "rev_like", "user"),
        ("user", "like", "item"),
        ("item", "rev_like", "user"),
    }
    assert data["item", "genre", "entity"].edge_index.tolist() == [[0, 1], [0, 0]]
    assert data["user", "like", "item"].edge_index.tolist() == [[1], [0]]
    assert (data["user"].num_nodes, data["item"].num_nodes, data["entity"].num_nodes) == (2, 2, 1)
    assert data.validate()


def test_pyg_messages_go_where_ours_go() -> None:
    graph = small()
    data = to_pyg(graph)
    x = torch.tensor([[1.0], [10.0]])
    received = SimpleConv()((x, torch.zeros(2, 1)), data["user", "interacts", "item"].edge_index)
    assert received.tolist() == [[1.0], [10.0]]  # item 0 from user 0, item 1 from user 1
    assert graph.adjacency.rows(2).tolist()[0] == 0


def test_networkx_by_hand() -> None:
    made = to_networkx(small())
    assert made.nodes[3] == {"kind": "item", "index": 1}
    assert made.nodes[4] == {"kind": "entity", "index": 0}
    assert set(made.edges(keys=True)) >= {(0, 2, "interacts"), (2, 0, "rev_interacts"), (1, 2, "like")}
    assert made.number_of_edges() == small().adjacency.num_edges


triples = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2), st.integers(0, 6)), max_size=30)


@given(triples=triples, sizes=st.sampled_from([(2, 3, 2), (3, 4, 0), (0, 7, 0), (7, 0, 0), (0, 0, 7)]))
def test_round_trips_are_exact(triples: list[tuple[int, int, int]], sizes: tuple[int, int, int]) -> None:
    source, relation, target = np.array(triples, np.int64).reshape(-1, 3).T
    graph = assemble(sizes, ["interacts", "a", "rev_b"], source, target, relation)
    items = {"x": torch.arange(2.0 * sizes[1]).reshape(-1, 2), "image": torch.zeros(sizes[1], 1)}
    features = {"item": items, "entity": {"x": torch.ones(sizes[2], 3).long()}}
    graph = replace(graph, features=features)
    assert same(from_pyg(to_pyg(graph)), graph)
    assert same(from_networkx(to_networkx(graph)), graph)


def test_round_trip_without_edges_or_nodes() -> None:
    nothing = np.empty(0, np.int64)
    for sizes in ((0, 0, 0), (2, 1, 0)):
        graph = assemble(sizes, ["interacts", "genre"], nothing, nothing, nothing)
        assert same(from_pyg(to_pyg(graph)), graph)
        assert same(from_networkx(to_networkx(graph)), graph)


def test_pyg_data_of_ones_own() -> None:
    data = HeteroData()
    data["item"].num_nodes, data["user"].num_nodes = 2, 1
    data["user"].x = torch.ones(1, 3)
    data["item", "rev_sold_by", "user"].edge_index = torch.tensor([[1], [0]])  # only the inverse is there
    data["user", "interacts", "item"].edge_index = torch.tensor([[0, 0], [1, 0]])
    graph = from_pyg(data)
    assert graph.relations == ("interacts", "rev_interacts", "sold_by", "rev_sold_by")
    assert graph.seen.col.tolist() == [0, 1]
    assert graph.num_entities == 0
    assert (graph.adjacency.rows(0).tolist(), graph.adjacency.rows(2).tolist()) == ([1, 2, 2], [0, 0])
    assert torch.equal(graph.features["user"]["x"], torch.ones(1, 3))


def test_networkx_graph_of_ones_own() -> None:
    made = networkx.MultiDiGraph()
    made.add_node("anna", kind="user", index=0)
    made.add_node("tea", kind="item", index=1)
    made.add_node("mug", kind="item", index=0)
    made.add_edge("anna", "tea", key="interacts")
    graph = from_networkx(made)
    assert graph.seen.col.tolist() == [1]
    assert graph.adjacency.num_edges == 2


def test_refused() -> None:
    data = HeteroData()
    data["shop"].num_nodes = 1
    with pytest.raises(DataError, match="node types must be among user, item, entity, got shop"):
        from_pyg(data)
    data = to_pyg(small())
    data.relations = ["interacts", "rev_interacts"]
    with pytest.raises(DataError, match="'genre' is not among the recorded ones: interacts"):
        from_pyg(data)
    made = networkx.MultiDiGraph()
    made.add_node(0, kind="user", index=0)
    with pytest.raises(DataError, match="no edges of relation 'interacts' between user and item, only none"):
        from_networkx(made)
    made.add_node(1, kind="user", index=2)
    with pytest.raises(DataError, match="indices of kind user must be 0 to 1, each once"):
        from_networkx(made)
    made.add_node(2, kind="shop", index=0)
    with pytest.raises(DataError, match="node 2 needs a kind"):
        from_networkx(made)
