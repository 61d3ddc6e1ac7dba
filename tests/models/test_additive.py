"""Newer items count more, by the same rule in all models that sum over what a user has used."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphrec.errors import UsageError
from graphrec.graph import HeteroGraph
from graphrec.models import MODELS, AdditiveModel, ItemItem, build_model, make_settings
from graphrec.models.timeline import older
from graphrec.sparse import CSR
from tests.models.items import ROWS, graph_of, kept_matrix, random_graph
from tests.worlds import hand_graph

NAMES = [name for name, cls in MODELS.items() if issubclass(cls, AdditiveModel)]
# of ROWS: user 0 used items 0 and 1 at once; user 1 item 2, item 0 and then item 1; user 2 item 3 at no known time
TIMES = torch.tensor([7, 7, 5, 9, 3, 4, -1])


def fitted(name: str, graph: HeteroGraph, recency: float, **settings: Any) -> AdditiveModel:
    model = build_model(name, graph, {name: make_settings(name, settings | {"recency": recency})})
    assert isinstance(model, AdditiveModel)
    model.fit()
    return model


def timed(name: str) -> HeteroGraph:
    graph = hand_graph() if name == "knowledge_knn" else random_graph(4)
    times = torch.randint(-1, 6, (graph.seen.num_edges,), generator=torch.Generator().manual_seed(1))
    return replace(graph, times=times)


def scores_of(model: AdditiveModel) -> torch.Tensor:
    return model.score_block(torch.arange(model.graph.num_users))


def test_by_hand() -> None:
    """At ρ = 1 an item counts 1, half where one is newer, and a third where two are."""
    model = fitted("item_knn", replace(graph_of(ROWS), times=TIMES), 1.0)
    assert isinstance(model, ItemItem)
    weight = torch.tensor(
        [[1.0, 1.0, 0.0, 0.0, 0.0], [1 / 2, 1.0, 1 / 3, 0.0, 0.0], [0.0, 1.0, 0.0, 1 / 2, 0.0], [0.0] * 5]
    )
    assert torch.allclose(scores_of(model), weight @ torch.from_numpy(kept_matrix(model)).float(), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_weighted_sums_of_what_each_item_adds(name: str) -> None:
    graph = timed(name)
    model = fitted(name, graph, 0.5)
    newer = older(graph.seen, -graph.times)
    scores = scores_of(model)
    for user in range(graph.num_users):
        mine = graph.seen.row_index() == user
        weight = (1.0 + newer[mine]) ** -0.5
        for item in range(graph.num_items):
            expected = (model.added(graph.seen.col[mine], item) * weight).sum()
            assert scores[user, item].item() == pytest.approx(expected.item(), abs=1e-5)
        history = model.used.take_rows(torch.tensor([user]))
        assert model.contributions(history, 0).sum().item() == pytest.approx(scores[user, 0].item(), abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_newcomers_who_used_the_same_in_the_same_order_get_the_same(name: str) -> None:
    graph = timed(name)
    model = fitted(name, graph, 1.5)
    places = older(graph.seen, graph.times).float()
    assert torch.equal(model.fold_in(graph.seen.with_value(places)), scores_of(model))
    stretched = graph.seen.with_value(3 * places + 1)
    assert torch.equal(model.fold_in(stretched), scores_of(model))


@pytest.mark.parametrize("name", NAMES)
def test_without_an_order_all_count_alike(name: str) -> None:
    graph = timed(name)
    recent, plain = fitted(name, graph, 1.0), fitted(name, graph, 0.0)
    assert torch.equal(recent.fold_in(graph.seen), scores_of(plain))
    assert torch.equal(plain.fold_in(graph.seen.with_value(torch.rand(graph.seen.num_edges))), scores_of(plain))
    at_once = replace(graph, times=torch.full_like(graph.times, 8))
    assert torch.equal(fitted(name, at_once, 1.0).used.value, torch.zeros(graph.seen.num_edges))
    assert torch.equal(scores_of(fitted(name, at_once, 1.0)), scores_of(plain))
    assert torch.equal(recent.similarity_block(torch.arange(3)), plain.similarity_block(torch.arange(3)))


@pytest.mark.parametrize("name", NAMES)
def test_recency_needs_times(name: str) -> None:
    graph = hand_graph() if name == "knowledge_knn" else random_graph(4)
    settings = make_settings(name, {"recency": 0.5})
    unknown = replace(graph, times=torch.full((graph.seen.num_edges,), -1))
    for without in (replace(graph, times=None), unknown):
        assert MODELS[name].obstacle(without, settings) == "recency needs timestamps, and the data has none"
        assert MODELS[name].obstacle(without, make_settings(name, {})) is None
    with pytest.raises(UsageError, match="recency must be >= 0, got -1"):
        make_settings(name, {"recency": -1.0})


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 4)), max_size=20))
def test_older_counts_the_smaller_ones_of_a_row(pairs: list[tuple[int, int]]) -> None:
    pairs.sort(key=lambda pair: pair[0])
    rows = torch.tensor([row for row, _ in pairs], dtype=torch.int64)
    times = torch.tensor([time for _, time in pairs], dtype=torch.int64)
    used = CSR.from_pairs(rows, torch.arange(len(pairs)), 4, max(len(pairs), 1))
    assert older(used, times).tolist() == [sum(r == row and t < time for r, t in pairs) for row, time in pairs]
