from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphrec.errors import DataError, UsageError
from graphrec.graph import HeteroGraph
from graphrec.graph.hetero import assemble
from graphrec.sparse import CSR

Edge = tuple[int, int, int]


def edges(graph: HeteroGraph) -> list[Edge]:
    """(row, type, col) in the order of the CSR."""
    columns = (graph.adjacency.row_index(), graph.adjacency.edge_type, graph.adjacency.col)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def small() -> HeteroGraph:
    """Users 0 1, items 2 3 4, entity 5: user 0 used 2 and 3, user 1 used 3; 2 and 4 have genre 5 and are alike.

    Both directions of the likeness are in the data, so each gets its inverse.
    """
    source, target = [0, 0, 1, 2, 4, 2, 4], [2, 3, 3, 5, 5, 4, 2]
    relation = [0, 0, 0, 1, 1, 2, 2]
    return assemble((2, 3, 1), ["interacts", "genre", "like"], np.array(source), np.array(target), np.array(relation))


def test_by_hand() -> None:
    graph = small()
    assert graph.relations == ("interacts", "rev_interacts", "genre", "rev_genre", "like", "rev_like")
    assert edges(graph) == [
        (0, 1, 2),
        (0, 1, 3),
        (1, 1, 3),
        (2, 0, 0),
        (2, 3, 5),
        (2, 4, 4),
        (2, 5, 4),
        (3, 0, 0),
        (3, 0, 1),
        (4, 3, 5),
        (4, 4, 2),
        (4, 5, 2),
        (5, 2, 2),
        (5, 2, 4),
    ]
    assert (graph.num_nodes, graph.num_relations, graph.device.type) == (6, 6, "cpu")
    assert [graph.user_slice, graph.item_slice, graph.entity_slice] == [slice(0, 2), slice(2, 5), slice(5, 6)]
    assert [(graph.first(kind), graph.count(kind)) for kind in ("user", "item", "entity")] == [(0, 2), (2, 3), (5, 1)]
    assert repr(graph) == "HeteroGraph(users=2, items=3, entities=1, edges=14, relations=6)"


def test_seen_is_cached() -> None:
    graph = small()
    assert graph.seen.rowptr.tolist() == [0, 2, 3]
    assert graph.seen.col.tolist() == [0, 1, 1]
    assert (graph.seen.num_cols, graph.seen.edge_type) == (3, None)
    assert graph.seen is graph.seen


def test_seen_leaves_knowledge_about_users_out() -> None:
    # user 1 knows user 0 and likes item 2
    graph = assemble((2, 1, 0), ["interacts", "about"], np.array([0, 1, 1]), np.array([2, 0, 2]), np.array([0, 1, 1]))
    assert graph.seen.rowptr.tolist() == [0, 1, 1]


def test_repeated_edges_become_one_and_self_loops_go() -> None:
    source, target, relation = np.array([2, 0, 2, 0, 2]), np.array([1, 1, 2, 1, 1]), np.array([1, 0, 1, 0, 1])
    graph = assemble((1, 1, 1), ["interacts", "about"], source, target, relation)
    assert edges(graph) == [(0, 1, 1), (1, 0, 0), (1, 2, 2), (2, 3, 1)]
    assert graph.dropped_self_loops == 1


def test_interactions_only() -> None:
    graph = small().interactions_only()
    assert graph.num_nodes == 5
    assert graph.relations == ("interacts", "rev_interacts")
    assert edges(graph) == [edge for edge in edges(small()) if edge[1] < 2]
    assert graph.interactions_only() is graph


def test_without_edges_takes_both_directions_and_every_type() -> None:
    graph = small().without_edges(torch.tensor([4, 0, 1]), torch.tensor([2, 3, 2]))  # 1 and 2 are not joined
    gone = {(4, 2), (2, 4), (0, 3), (3, 0)}
    assert edges(graph) == [edge for edge in edges(small()) if (edge[0], edge[2]) not in gone]
    assert graph.adjacency.symmetric
    assert small().without_edges(*torch.empty(2, 0)).adjacency.num_edges == 14


def test_there_already() -> None:
    graph = small()
    assert graph.to("cpu") is graph


@pytest.mark.gpu
def test_moving() -> None:
    graph = HeteroGraph(2, 3, 1, small().adjacency, small().relations, {"user": {"x": torch.ones(2, 4)}})
    moved = graph.to("cuda")
    assert moved.device.type == moved.features["user"]["x"].device.type == moved.seen.device.type == "cuda"
    assert edges(moved) == edges(graph)
    assert edges(moved.without_edges(torch.tensor([0]), torch.tensor([3]))) == edges(
        graph.without_edges(torch.tensor([0]), torch.tensor([3]))
    )
    assert moved.seen.col.tolist() == graph.seen.col.tolist()


def test_refused() -> None:
    good = small()
    for relations, message in (
        (("likes", "rev_likes"), "relations must be 'interacts'"),
        (("interacts",), "each followed by its inverse"),
        ((*good.relations, "genre", "rev_genre"), "got twice: genre, rev_genre"),
        (("interacts", "rev_interacts"), r"every edge needs a type in \[0, 2\)"),
    ):
        with pytest.raises(DataError, match=message):
            HeteroGraph(2, 3, 1, good.adjacency, relations)
    with pytest.raises(DataError, match="adjacency of 7 nodes"):
        HeteroGraph(3, 3, 1, good.adjacency, good.relations)
    with pytest.raises(DataError, match="every edge needs a type"):
        HeteroGraph(1, 1, 0, CSR.from_pairs([0, 1], [1, 0], 2, 2), good.relations)
    one_way = CSR.from_pairs([1], [0], 2, 2, edge_type=[0])
    with pytest.raises(DataError, match="every edge must stand beside its inverse"):
        HeteroGraph(1, 1, 0, one_way, ("interacts", "rev_interacts"))
    for features in ({"item": {"x": torch.ones(2, 1)}}, {"label": {"x": torch.ones(2, 1)}}):
        with pytest.raises(DataError, match="with 2 rows fit no kind of node"):
            HeteroGraph(2, 3, 1, good.adjacency, good.relations, features)
    with pytest.raises(DataError, match="too many to number"):
        assemble((2**31, 2**31, 0), ["interacts"], np.array([0]), np.array([1]), np.array([0]))


def test_nothing_at_all() -> None:
    nothing = np.empty(0, np.int64)
    graph = assemble((0, 0, 0), ["interacts"], nothing, nothing, nothing)
    assert (graph.num_nodes, graph.seen.num_rows, graph.seen.num_cols) == (0, 0, 0)
    lonely = assemble((2, 3, 0), ["interacts"], nothing, nothing, nothing)
    assert lonely.seen.rowptr.tolist() == [0, 0, 0]


triples = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 2), st.integers(0, 8)), max_size=40)


@given(triples=triples)
def test_every_edge_stands_once_with_its_inverse_in_order(triples: list[Edge]) -> None:
    source, relation, target = np.array(triples, np.int64).reshape(-1, 3).T
    graph = assemble((3, 4, 2), ["interacts", "a", "b"], source, target, relation)
    forward = {(t, 2 * r, s) for s, r, t in triples if s != t}
    assert edges(graph) == sorted(forward | {(col, kind + 1, row) for row, kind, col in forward})
    assert graph.adjacency.symmetric
    assert graph.dropped_self_loops == len({triple for triple in triples if triple[0] == triple[2]})


def facts_of(graph: HeteroGraph) -> set[tuple[int, int, str]]:
    """(receiver, sender, relation) of the edges of knowledge."""
    csr = graph.adjacency
    assert csr.edge_type is not None
    edges = zip(csr.row_index().tolist(), csr.col.tolist(), csr.edge_type.tolist(), strict=True)
    return {(row, col, graph.relations[kind]) for row, col, kind in edges if kind >= 2}


def pruning_world() -> HeteroGraph:
    """User 0, items 1–3, entities 4 and 5: all items have genre 4, item 1 is by 5 too, and items 1 and 2 are alike."""
    source, target = np.array([0, 1, 2, 3, 1, 1]), np.array([1, 4, 4, 4, 5, 2])
    return assemble((1, 3, 2), ["interacts", "genre", "by", "like"], source, target, np.array([0, 1, 1, 1, 2, 3]))


def test_hubs_lose_their_facts_and_nothing_else() -> None:
    graph = pruning_world()
    pruned = graph.prune_knowledge(hub_facts=2)
    assert facts_of(pruned) == {edge for edge in facts_of(graph) if 4 not in edge[:2]}
    assert pruned.num_nodes == graph.num_nodes and pruned.relations == graph.relations
    assert torch.equal(pruned.seen.col, graph.seen.col)
    assert facts_of(graph.prune_knowledge(hub_facts=3)) == facts_of(graph)
    assert facts_of(pruned.prune_knowledge(hub_facts=2)) == facts_of(pruned)


def test_an_item_is_no_hub() -> None:
    """Item 1 has three facts; items are what is to be known about."""
    graph = pruning_world()
    assert any(1 in edge[:2] for edge in facts_of(graph.prune_knowledge(hub_facts=1)))


def test_relations_can_be_left_out() -> None:
    graph = pruning_world()
    pruned = graph.prune_knowledge(relations=["genre", "like"])
    assert facts_of(pruned) == {(1, 5, "rev_by"), (5, 1, "by")}
    with pytest.raises(UsageError, match="no relation 'gener' to leave out"):
        graph.prune_knowledge(relations=["gener"])


def test_a_relation_that_is_left_out_makes_no_hub() -> None:
    graph = pruning_world()
    assert facts_of(graph.prune_knowledge(hub_facts=2, relations=["genre"])) == facts_of(
        graph.prune_knowledge(relations=["genre"])
    )
