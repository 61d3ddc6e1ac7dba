"""A deferred graph: known without its edges, and with them the same graph."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from graphrec.data import Part
from graphrec.errors import DataError
from graphrec.graph import DeferredGraph, HeteroGraph, build_graph, defer_graph, rows_csr
from graphrec.sparse import CSR
from tests.worlds import hand_graph, small_world

WORLD = small_world()


def refuse() -> HeteroGraph:
    raise AssertionError("the edges were asked for")


def same(first: CSR, second: CSR) -> bool:
    return torch.equal(first.rowptr, second.rowptr) and torch.equal(first.col, second.col)


def test_it_is_the_graph_that_would_have_been_built() -> None:
    deferred, built = defer_graph(WORLD), build_graph(WORLD)
    assert isinstance(deferred, DeferredGraph)
    assert (deferred.num_nodes, deferred.relations, deferred.device) == (built.num_nodes, built.relations, built.device)
    assert same(deferred.seen, built.seen) and not deferred.is_made
    assert built.times is not None and torch.equal(deferred.times, built.times) and not deferred.is_made
    only, built_only = deferred.interactions_only(), built.interactions_only()
    assert (only.num_nodes, only.relations) == (built_only.num_nodes, built_only.relations)
    assert only.interactions_only() is only and same(only.seen, built.seen) and not deferred.is_made
    assert torch.equal(only.times, built.times) and not deferred.is_made
    assert same(only.adjacency, built_only.adjacency) and deferred.is_made
    assert same(deferred.adjacency, built.adjacency)
    assert deferred.dropped_self_loops == built.dropped_self_loops
    cut = deferred.without_edges(torch.tensor([0]), torch.tensor([60]))
    assert torch.equal(DeferredGraph((60, 40, built.num_entities), built.relations, lambda: built).times, built.times)
    assert same(cut.adjacency, built.without_edges(torch.tensor([0]), torch.tensor([60])).adjacency)


def test_features_need_no_edges() -> None:
    shared = WORLD.features["item"]["text"]
    deferred = defer_graph(WORLD)
    for graph in (deferred, deferred.interactions_only()):
        assert set(graph.features) == {"item"} and not deferred.is_made
        assert np.shares_memory(graph.features["item"]["text"].numpy(), shared)
    assert deferred.to("meta").features["item"]["numbers"].device == torch.device("meta")
    built = build_graph(WORLD)
    for graph in (built, built.interactions_only(), built.without_edges(torch.tensor([0]), torch.tensor([60]))):
        assert np.shares_memory(graph.features["item"]["text"].numpy(), shared)


def test_entities_take_their_features_along() -> None:
    sizes, features = (2, 3, 1), {"item": {"x": torch.ones(3, 1)}, "entity": {"x": torch.ones(1, 1)}}
    graph = DeferredGraph(sizes, hand_graph().relations, refuse, features=features)
    assert set(graph.features) == {"item", "entity"} and set(graph.interactions_only().features) == {"item"}


def test_sizes_need_no_edges() -> None:
    graph = DeferredGraph((2, 3, 1), ("interacts", "rev_interacts"), refuse)
    assert graph.item_slice == slice(2, 5) and graph.num_relations == 2
    assert graph.interactions_only().num_nodes == 5 and graph.to("cpu") is graph
    assert graph.to("meta").device == torch.device("meta")
    assert repr(graph) == "DeferredGraph(users=2, items=3, entities=1, relations=2)"
    with pytest.raises(AssertionError, match="asked for"):
        _ = graph.seen
    with pytest.raises(DataError, match="each followed by its inverse"):
        DeferredGraph((2, 3, 1), ("interacts",), refuse)


def test_without_rows_of_its_own_what_was_seen_comes_from_the_graph() -> None:
    built = hand_graph()
    graph = DeferredGraph((2, 3, 1), built.relations, lambda: built)
    assert same(graph.seen, built.seen)


def test_rows_are_counted() -> None:
    for parts in ((Part.FIT,), (Part.FIT, Part.SELECT, Part.BLEND), (Part.TEST,), ()):
        user, item = WORLD.interactions.select(*parts)
        expected = CSR.from_pairs(user, item, WORLD.num_users, WORLD.num_items)
        assert same(rows_csr(WORLD, parts), expected)


def test_rows_may_be_read_only() -> None:
    rows = WORLD.interactions
    for array in (rows.user, rows.item, rows.part):
        assert isinstance(array, np.ndarray)
    frozen = {name: np.array(getattr(rows, name)) for name in ("user", "item", "part", "count")}
    for array in frozen.values():
        array.flags.writeable = False
    dataset = type(WORLD)(WORLD.users, WORLD.items, WORLD.entities, type(rows)(**frozen), WORLD.knowledge)
    assert same(rows_csr(dataset, (Part.FIT,)), rows_csr(WORLD, (Part.FIT,)))
